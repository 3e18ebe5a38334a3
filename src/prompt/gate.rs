//! `SignInGate`: wraps every exchange, and starts a sign-in after a failure that a sign-in would fix.

use crate::client::ClientRequests;
use crate::error::{Error, SignIn};
use crate::log::Log;
use crate::mcp::error_codes::{INTERNAL_ERROR, INVALID_PARAMS, URL_ELICITATION_REQUIRED};
use crate::mcp::error_response::protocol_error;
use crate::mcp::message::Message;
use crate::mcp::server_message::protocol_version;
use crate::prompt::calls::{CALL_WAIT, Outcome, ROUND_WAIT, SignInCall};
use crate::prompt::client_view::{ClientView, takes_urls};
use crate::prompt::link::Link;
use crate::prompt::mode::Mode;
use crate::prompt::round::{Round, may_be_repeated};
use crate::prompt::shared_sign_in::{Audience, SharedSignIn};
use crate::prompt::sign_ins::SignIns;
use crate::prompt::tool::{self, SignInTool};
use crate::streamable_http::Exchanger;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::cancel::Cancel;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Maximum number of sign-ins for one call: a role may need those of two sessions.
const MAX_SIGN_INS: usize = 4;

/// The sign-ins of this process, and the state of its client that they need.
pub struct SignInGate {
    mode: Mode,
    view: ClientView,
    sign_ins: SignIns,
    tool: SignInTool,
    client: ClientRequests,
    has_answered_initialize: AtomicBool,
    log: Log,
}

/// A message on its way to the server.
pub(crate) struct Exchange<'a> {
    pub(crate) exchanger: &'a Arc<Exchanger>,
    pub(crate) message: &'a Message,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: &'a Cancel,
    /// Set while the call waits and nothing of it has reached the server.
    pub(crate) is_held: &'a AtomicBool,
    /// Sends a message and relays its responses.
    pub(crate) send: &'a dyn Fn(&Message, &mut Sink<'_>) -> Result<(), Error>,
}

impl SignInGate {
    pub fn new(mode: Mode, client: ClientRequests, log: Log) -> SignInGate {
        let audience = Audience::new(client.clone());
        SignInGate {
            mode,
            view: ClientView::default(),
            sign_ins: SignIns::new(mode, audience, log.clone()),
            tool: SignInTool::default(),
            client,
            has_answered_initialize: AtomicBool::new(false),
            log,
        }
    }

    /// Sets, once, the function that starts a deferred session after a sign-in. It returns whether there was one.
    pub(crate) fn on_signed_in(self: &Arc<Self>, begin: impl Fn() -> bool + Send + Sync + 'static) {
        let gate = Arc::downgrade(self);
        let _ = self.sign_ins.on_signed_in.set(Box::new(move || {
            let Some(gate) = gate.upgrade() else { return };
            if !begin() && gate.tool.is_offered() && gate.view.has_session() {
                gate.client.notify("notifications/tools/list_changed", "{}");
            }
        }));
    }

    /// The client has sent `notifications/initialized`.
    pub(crate) fn client_is_initialized(&self) {
        self.view.initialized();
    }

    /// Whether this program responded to `initialize` itself, so that the session is deferred.
    pub(crate) fn has_answered_initialize(&self) -> bool {
        self.has_answered_initialize.load(Ordering::Relaxed)
    }

    /// Exchanges a message with the server. If that fails for want of a sign-in, the call waits for one or responds with the
    /// link, and the message is sent again after success.
    pub(crate) fn exchange(
        &self,
        exchange: &Exchange<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let message = exchange.message;
        let mut restored = None;
        let mut repeated = None;
        if may_be_repeated(message) {
            match Round::of(message) {
                None => {}
                Some(Ok((round, before))) => (repeated, restored) = (Some(round), Some(before)),
                Some(Err(())) => {
                    let why = "invalid params: requestState cannot be decoded";
                    let line = protocol_error(message.ids()[0].as_json(), INVALID_PARAMS, why);
                    return sink(Relayed::Line(Line::response(line.into_bytes(), 0, true)));
                }
            }
        }
        let message = restored.as_ref().unwrap_or(message);
        let exchange = &Exchange { message, ..*exchange };
        match message.method() {
            _ if self.mode == Mode::Off => return (exchange.send)(message, sink),
            Some("initialize") => return self.initialize(exchange, sink),
            Some("tools/list") => return self.list_tools(exchange, sink),
            _ => {}
        }
        if let Some(why) = self.tool.called_by(message) {
            return self.call_tool(exchange, &why, repeated.as_ref(), sink);
        }
        if let Some(round) = repeated
            && let Some(sign_in) = self.sign_ins.find(&round.sign_in)
        {
            let call = self.call(exchange, &sign_in, &sign_in.need);
            match exchange.hold(|| call.resume(&round))? {
                Outcome::SignedIn => {}
                outcome => return self.respond(message, &sign_in.need, &sign_in, outcome, sink),
            }
        }
        self.send_signed_in(exchange, sink)
    }

    /// Sends a message, after as many sign-ins as that takes.
    fn send_signed_in(&self, exchange: &Exchange<'_>, sink: &mut Sink<'_>) -> Result<(), Error> {
        let message = exchange.message;
        let mut needed: Vec<SignIn> = Vec::new();
        loop {
            let Err(error) = (exchange.send)(message, sink) else { return Ok(()) };
            let Some(need) = error.needed_sign_in().filter(|_| needed.len() < MAX_SIGN_INS) else {
                return Err(error);
            };
            // The token that ended the last sign-in is refused, although it looks valid.
            let distrusts_token = needed.iter().any(|before| before.method == need.method);
            let sign_in = if begins_sign_in(message) {
                self.sign_ins.begin(need, exchange.exchanger, distrusts_token)
            } else {
                self.sign_ins.pending(need)
            };
            let Some(sign_in) = sign_in else { return Err(error) };
            let outcome = if begins_sign_in(message) {
                exchange.hold(|| self.call(exchange, &sign_in, need).begin(CALL_WAIT))?
            } else {
                match sign_in.link() {
                    Some(link) => Outcome::Link { link, is_required: false },
                    None => return Err(error),
                }
            };
            match outcome {
                Outcome::SignedIn => {
                    exchange.exchanger.client().forget_credential_failure();
                    needed.push(need.clone());
                }
                outcome => return self.respond(message, need, &sign_in, outcome, sink),
            }
        }
    }

    /// Sends `initialize`, or responds to it here if that needs a sign-in: the client keeps the server, and
    /// the user is asked once a call needs it.
    fn initialize(&self, exchange: &Exchange<'_>, sink: &mut Sink<'_>) -> Result<(), Error> {
        let message = exchange.message;
        self.view.begin(message);
        let result = (exchange.send)(message, &mut |relayed| {
            if let Relayed::Line(line) = &relayed
                && line.is_response()
            {
                self.view.negotiated(protocol_version(&line.bytes));
            }
            sink(relayed)
        });
        match result {
            Err(error) if error.needed_sign_in().is_some() => {
                self.log
                    .debug(format_args!("responding to initialize without the server: {error}"));
                self.has_answered_initialize.store(true, Ordering::Relaxed);
                exchange.exchanger.answer_initialize(message, &mut |relayed| {
                    if let Relayed::Line(line) = &relayed {
                        self.view.negotiated(protocol_version(&line.bytes));
                    }
                    sink(relayed)
                })
            }
            result => result,
        }
    }

    /// Sends `tools/list`. Until the client has had the server's list, it may get a single tool that signs in.
    fn list_tools(&self, exchange: &Exchange<'_>, sink: &mut Sink<'_>) -> Result<(), Error> {
        let message = exchange.message;
        if !self.tool.may_stand_in() {
            return self.send_signed_in(exchange, sink);
        }
        let result = (exchange.send)(message, &mut |relayed| {
            if let Relayed::Line(line) = &relayed
                && line.is_response()
            {
                self.tool.learn(&line.bytes);
            }
            sink(relayed)
        });
        match result {
            Err(error) if error.needed_sign_in().is_some() => {
                result_line(message, &self.tool.list(message, &error), sink)
            }
            result => result,
        }
    }

    /// Responds to a call of the tool.
    fn call_tool(
        &self,
        exchange: &Exchange<'_>,
        why: &Error,
        repeated: Option<&Round>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let message = exchange.message;
        let need = why.needed_sign_in();
        let Some(sign_in) =
            need.and_then(|need| self.sign_ins.begin(need, exchange.exchanger, false))
        else {
            return result_line(message, &tool::result(message, &self.safe(why), true), sink);
        };
        let need = need.unwrap_or(&sign_in.need);
        let call = self.call(exchange, &sign_in, need);
        let takes_url = takes_urls(message)
            || (message.request_meta().is_none() && self.view.takes_elicitations());
        let outcome = exchange.hold(|| {
            let outcome = match repeated.filter(|round| round.sign_in == sign_in.id) {
                Some(round) => call.resume(round)?,
                None => call.begin(ROUND_WAIT)?,
            };
            match outcome {
                Outcome::Link { .. } if !takes_url && sign_in.note_shown_by_tool() => call.wait(),
                outcome => Ok(outcome),
            }
        })?;
        let result = match outcome {
            Outcome::SignedIn => {
                tool::result(message, "signed in; the server's tools are available now", false)
            }
            Outcome::Link { link, .. } => {
                tool::result(message, &self.instruction(&link, need), false)
            }
            Outcome::Failed(error) => tool::result(message, &self.safe(&error), true),
            Outcome::Repeat(result) => result,
        };
        result_line(message, &result, sink)
    }

    fn call<'a>(
        &'a self,
        exchange: &Exchange<'a>,
        sign_in: &'a Arc<SharedSignIn>,
        need: &'a SignIn,
    ) -> SignInCall<'a> {
        let Exchange { message, deadline, cancel, .. } = *exchange;
        SignInCall { sign_in, need, message, deadline, cancel, view: &self.view, log: &self.log }
    }

    /// Responds to a call that cannot continue.
    fn respond(
        &self,
        message: &Message,
        need: &SignIn,
        sign_in: &SharedSignIn,
        outcome: Outcome,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        match outcome {
            Outcome::SignedIn => Ok(()),
            Outcome::Failed(error) => Err(error),
            Outcome::Repeat(result) => result_line(message, &result, sink),
            Outcome::Link { link, is_required } => {
                let required = is_required.then_some(&*sign_in.id);
                let error = self.link_error(&link, need, required).to_string();
                let last = message.ids().len() - 1;
                message.ids().iter().enumerate().try_for_each(|(index, id)| {
                    let id = id.as_json();
                    let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
                    sink(Relayed::Line(Line::response(line.into_bytes(), index, index == last)))
                })
            }
        }
    }

    fn link_error(&self, link: &Link, need: &SignIn, required: Option<&str>) -> Value {
        let mut data = json!({ "source": "sigv4-proxy", "kind": "credentials" });
        let code = if let Some(id) = required {
            data["elicitations"] = json!([link.elicitation(&need.profile, Some(id))]);
            URL_ELICITATION_REQUIRED
        } else {
            data["hint"] = format!("or run {} in a terminal", need.command()).into();
            data["signIn"] = link.data(&need.profile);
            INTERNAL_ERROR
        };
        json!({ "code": code, "message": self.instruction(link, need), "data": data })
    }

    fn instruction(&self, link: &Link, need: &SignIn) -> String {
        self.log.redactor().safe(&link.instruction(need))
    }

    fn safe(&self, error: &Error) -> String {
        self.log.redactor().safe(&error.to_string())
    }
}

impl fmt::Debug for SignInGate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SignInGate({:?})", self.mode)
    }
}

impl Exchange<'_> {
    /// Runs `wait`, during which nothing of the message is on its way.
    fn hold<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.is_held.store(true, Ordering::SeqCst);
        let waited = wait();
        self.is_held.store(false, Ordering::SeqCst);
        waited
    }
}

/// Whether this message may start a sign-in, because a person probably waits for it.
fn begins_sign_in(message: &Message) -> bool {
    message.any_method(|method| matches!(method, "tools/call" | "prompts/get" | "resources/read"))
}

fn result_line(message: &Message, result: &Value, sink: &mut Sink<'_>) -> Result<(), Error> {
    let id = message.ids()[0].as_json();
    let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    sink(Relayed::Line(Line::response(line.into_bytes(), 0, true)))
}
