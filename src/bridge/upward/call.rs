//! A leg of a call: from a request of the client to its response, which may be questions.

use crate::bridge::facts::Speaks;
use crate::bridge::upward::calls::{Calls, Leg, Outcome, Step};
use crate::bridge::upward::request::ModernRequest;
use crate::bridge::upward::response::{Awaited, Translated};
use crate::bridge::upward::session::LegacySession;
use crate::bridge::watch::{Refusal, is_of_modern_server, of_refused_initialize};
use crate::error::{Error, Kind};
use crate::json::object::Object;
use crate::mcp::error_codes::INVALID_PARAMS;
use crate::mcp::error_response::protocol_error;
use crate::mcp::message::Message;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::WaitError;
use crate::sync::spawn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// A call that is given up if it has no response when this is dropped.
struct OpenLeg<'a> {
    session: &'a Arc<LegacySession>,
    key: u64,
    /// The call is parked: it belongs to the next leg, which may be open already.
    is_parked: bool,
}

impl Drop for OpenLeg<'_> {
    fn drop(&mut self) {
        if self.is_parked {
            return;
        }
        if let Some(call) = self.session.calls.update(|calls| calls.abandon(self.key)) {
            self.session.give_up(call);
        }
    }
}

/// Sends the request to the older server, or continues the one that it names, and relays what comes back. Returns the
/// refusal, if the server speaks 2026-07-28 alone by now.
pub(crate) fn run(
    session: &Arc<LegacySession>,
    request: &ModernRequest<'_>,
    deadline: Option<Instant>,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<Option<Refusal>, Error> {
    let leg = Leg {
        declared: request.declared(),
        progress_token: request.progress_token().map(str::to_owned),
        level: request.level(),
    };
    let has_level = leg.level.is_some();
    let (target, state) = (request.target(), request.param("requestState"));
    let key = if let Some(state) = state {
        let state: String = serde_json::from_str(state.get()).unwrap_or_default();
        let take_over =
            |calls: &mut Calls| calls.take_over(&state, request.method, target.as_deref(), leg);
        let Some(key) = session.calls.update(take_over) else {
            let id = request.id.as_json();
            let error = protocol_error(id, INVALID_PARAMS, "unknown request state");
            return respond(error, sink);
        };
        key
    } else {
        session.begin(request, deadline, cancel)?;
        if request.may_be_asked() {
            session.await_stream(cancel);
        }
        let may_be_asked = request.may_be_asked();
        session.calls.update(|calls| calls.begin(request.method, target, may_be_asked, leg))
    };
    let open = OpenLeg { session, key, is_parked: false };
    let answers = state.and(request.param("inputResponses"));
    let answers = answers.and_then(|answers| Object::parse(answers.get()));
    for response in session.calls.update(|calls| calls.answer(key, answers.as_ref())) {
        session.send(response, cancel)?;
    }
    if has_level {
        session.set_level(deadline, cancel);
    }
    // What ended meanwhile is not sent.
    if cancel.is_cancelled() {
        return Err(cancelled());
    }
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(WaitError::TimedOut.into_error());
    }
    open.go_on(request, deadline, cancel, sink)
}

impl OpenLeg<'_> {
    fn go_on(
        mut self,
        request: &ModernRequest<'_>,
        deadline: Option<Instant>,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Refusal>, Error> {
        let OpenLeg { session, key, .. } = self;
        // A call that has started at the server is not started again elsewhere.
        let mut may_be_refused = request.param("requestState").is_none();
        loop {
            let step = |calls: &mut Calls| calls.step(key, Instant::now());
            match session.calls.wait(deadline, cancel, step).map_err(WaitError::into_error)? {
                Step::Relay(line) => {
                    may_be_refused = false;
                    sink(Relayed::Line(Line::notification(line.into_bytes())))?;
                    // There may be room for another.
                    session.calls.update(|_| ());
                }
                Step::Send(id, cancel) => {
                    let message = request.translated(id).ok_or_else(bug)?;
                    send(session, key, message, cancel)?;
                }
                Step::Ask(result) => {
                    self.is_parked = true;
                    session.watch_overdue();
                    let id = request.id.as_json();
                    return respond(
                        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
                        sink,
                    );
                }
                Step::Refuse => {
                    let what = "too many calls wait for responses from the client";
                    return Err(Error::new(Kind::TooMany, what)
                        .hint("respond to the input requests of earlier calls first"));
                }
                Step::Finish(Outcome::Failed(error), _) => {
                    let is_modern = error.lacks_session()
                        && session.exchanger.refused_initialize().is_some_and(|(refusal, _)| {
                            of_refused_initialize(&refusal).legacy == Speaks::No
                        });
                    return if is_modern { Ok(Some(Refusal(Err(error)))) } else { Err(error) };
                }
                Step::Finish(Outcome::Response(response), exchange) => {
                    session.linger(&exchange);
                    match self.translated(request, &response) {
                        Translated::Response(line)
                            if may_be_refused && is_of_modern_server(&response) =>
                        {
                            return Ok(Some(Refusal(Ok(last(line)))));
                        }
                        Translated::Response(line) => return respond(line, sink),
                        Translated::Asks(questions) => {
                            session.calls.update(|calls| calls.ask_again(key, questions));
                        }
                    }
                }
            }
        }
    }

    fn translated(&self, request: &ModernRequest<'_>, response: &str) -> Translated {
        let session = self.session;
        let awaited = Awaited {
            id: request.id,
            method: request.method,
            may_be_asked: request.may_be_asked(),
            declared: request.declared(),
        };
        awaited.translate(response, &session.server(), &mut |tool| {
            session.losses.log_once(&format!(
                "tool {tool:?} is omitted from tools/list: it can only be called as a task, which MCP 2026-07-28 does not have"
            ));
        })
    }
}

/// Relays the response, after which nothing follows.
pub(crate) fn respond(line: String, sink: &mut Sink<'_>) -> Result<Option<Refusal>, Error> {
    sink(Relayed::Line(last(line))).map(|()| None)
}

fn last(line: String) -> Line {
    Line::response(line.into_bytes(), 0, true)
}

/// Sends the request on a thread of its own, which outlives the leg if the call is parked.
fn send(
    session: &Arc<LegacySession>,
    key: u64,
    message: Message,
    cancel: Arc<Cancel>,
) -> Result<(), Error> {
    let session = Arc::clone(session);
    let run = move || {
        let mut is_answered = false;
        let relay = &mut |relayed| {
            match relayed {
                Relayed::Line(line) if line.is_response() => {
                    is_answered = true;
                    let response = String::from_utf8(line.bytes).unwrap_or_default();
                    session.calls.update(|calls| calls.finish(key, Outcome::Response(response)));
                }
                relayed => drop(session.take(Some(key), relayed)),
            }
            Ok(())
        };
        let exchange = || session.exchanger.exchange(&message, None, &cancel, relay);
        let error = match catch_unwind(AssertUnwindSafe(exchange)) {
            Ok(Err(error)) => error,
            // An exchange that succeeds has had the response.
            Ok(Ok(())) | Err(_) => bug(),
        };
        if !is_answered {
            session.calls.update(|calls| calls.finish(key, Outcome::Failed(error)));
        }
    };
    spawn("bridged-call", run)
}

fn bug() -> Error {
    Error::new(Kind::Internal, "a bug in sigv4-proxy ended this call").hint("please report it")
}
