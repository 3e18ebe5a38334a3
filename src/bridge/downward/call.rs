//! One request of the client to a modern server: sent as often as the server has questions, with one response.

use crate::bridge::downward::questions::{Abilities, InputRequired, NoAnswers, ask};
use crate::bridge::downward::request::next_leg;
use crate::bridge::downward::response::{
    Answer, Request, answer, notification_to_legacy, to_legacy,
};
use crate::bridge::downward::tools::WrappedTools;
use crate::bridge::losses::Losses;
use crate::bridge::watch::{Refusal, is_of_legacy_server};
use crate::client::ClientRequests;
use crate::error::{Error, Kind};
use crate::json::members::Members;
use crate::json::object::Object;
use crate::mcp::message::Message;
use crate::random;
use crate::streamable_http::Exchanger;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::cancel::{Cancel, cancelled};
use serde_json::value::RawValue;
use std::time::{Duration, Instant};

/// Maximum number of results with questions.
const MAX_ROUNDS: u32 = 10;

/// How long to wait before a request is sent again whose result has a state and no questions: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// A call with its environment.
pub(crate) struct Call<'a> {
    pub(crate) exchanger: &'a Exchanger,
    pub(crate) client: &'a ClientRequests,
    pub(crate) abilities: Abilities,
    pub(crate) tools: &'a WrappedTools,
    pub(crate) losses: &'a Losses,
    /// The client's request.
    pub(crate) request: Request<'a>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: &'a Cancel,
}

/// How the sending of a request ended.
enum Leg {
    /// Everything was relayed.
    Over,
    /// The result asks the client for input.
    InputRequired(String),
    /// A server of the legacy era refused it. Nothing was relayed.
    Refused(Refusal),
}

/// State that the legs of a call share.
#[derive(Default)]
struct Progress {
    /// The last value of `notifications/progress`, which only grows.
    last: Option<f64>,
    /// The URL elicitations that were accepted.
    accepted_urls: Vec<String>,
}

impl Call<'_> {
    /// Sends the modern request and relays the messages in the client's form. Returns a refusal that shows the server to
    /// speak the legacy era, if that is the first response.
    ///
    /// # Errors
    /// Those of `Exchanger::exchange`; a question that the client does not support, or without an answer.
    pub(crate) fn run(
        &self,
        modern: &Message,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Refusal>, Error> {
        let mut progress = Progress::default();
        let mut rounds = 0;
        let mut wait = FIRST_WAIT;
        let mut next = None;
        loop {
            let leg = next.as_ref().unwrap_or(modern);
            let required = match self.leg(leg, &mut progress, sink)? {
                Leg::Over => return Ok(None),
                Leg::Refused(refusal) if next.is_none() => return Ok(Some(refusal)),
                Leg::Refused(refusal) => return refusal.pass(sink).map(|()| None),
                Leg::InputRequired(result) => InputRequired::read(&result, self.abilities)?,
            };
            let mut responses = String::new();
            if required.questions.is_empty() {
                self.pause(wait)?;
                wait = (wait * 2).min(MAX_WAIT);
            } else {
                rounds += 1;
                if rounds > MAX_ROUNDS {
                    let what =
                        format!("the server requested input {MAX_ROUNDS} times and requests more");
                    return Err(Error::new(Kind::InvalidResponse, what));
                }
                sink(Relayed::AwaitsClient(true))?;
                let asked = ask(self.client, &required.questions, self.deadline, self.cancel);
                sink(Relayed::AwaitsClient(false))?;
                match asked {
                    Ok(answers) => {
                        responses = answers.responses;
                        progress.accepted_urls.extend(answers.accepted_urls);
                    }
                    Err(NoAnswers::Failed(error)) => return Err(error),
                    Err(NoAnswers::Refused(cause)) => {
                        let line = refused_line(self.request.id, &cause);
                        let line = Line::response(line.into_bytes(), 0, true);
                        return sink(Relayed::Line(line)).map(|()| None);
                    }
                }
            }
            let id = format!("sigv4-proxy-{}", random::uuid());
            next = next_leg(modern, &id, &responses, required.state.as_deref());
            if next.is_none() {
                let what = "the request cannot be repeated with the client's responses";
                return Err(Error::new(Kind::InvalidResponse, what));
            }
        }
    }

    /// Sends the request once, and relays the messages unless the client or the server has to be asked.
    fn leg(
        &self,
        message: &Message,
        progress: &mut Progress,
        sink: &mut Sink<'_>,
    ) -> Result<Leg, Error> {
        let mut instead = None;
        let mut any_line = false;
        let take = &mut |relayed| match relayed {
            Relayed::Line(line) if line.is_response() => {
                let text = str::from_utf8(&line.bytes).unwrap_or_default();
                let answer = answer(text);
                let is_error = answer == Answer::Error;
                match answer {
                    Answer::InputRequired(result) => {
                        instead = Some(Leg::InputRequired(result));
                        // The rest of an open stream is not waited for.
                        return if line.is_last { Ok(()) } else { Err(cancelled()) };
                    }
                    Answer::Other(kind) => return Err(unknown_type(&kind)),
                    Answer::Complete => complete_urls(progress, sink)?,
                    Answer::Error => {}
                }
                let refuses = is_error && !any_line && is_of_legacy_server(Ok(&line));
                // The server responds to the id of this leg.
                let bytes = to_legacy(text, &self.request, self.tools).into_bytes();
                let line = Line { bytes, http_error: legacy_status(line.http_error), ..line };
                if refuses {
                    instead = Some(Leg::Refused(Refusal(Ok(line))));
                    return Ok(());
                }
                any_line = true;
                sink(Relayed::Line(line))
            }
            Relayed::Line(line) => {
                any_line = true;
                notification(line, progress).map_or(Ok(()), |line| sink(Relayed::Line(line)))
            }
            Relayed::Request(_) => {
                self.losses.log_once(
                    "ignoring a request from the server: MCP 2026-07-28 has no server requests",
                );
                Ok(())
            }
            other => sink(other),
        };
        let sent = self.exchanger.exchange(message, self.deadline, self.cancel, take);
        match (instead, sent) {
            (Some(instead), _) => Ok(instead),
            (None, Err(error)) if !any_line && is_of_legacy_server(Err(&error)) => {
                Ok(Leg::Refused(Refusal(Err(error))))
            }
            (None, sent) => sent.map(|()| Leg::Over),
        }
    }

    fn pause(&self, wait: Duration) -> Result<(), Error> {
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if self.cancel.sleep(left.map_or(wait, |left| left.min(wait))) {
            return Err(cancelled());
        }
        if left.is_some_and(|left| left <= wait) {
            let what = "the request timed out before the server finished it";
            return Err(Error::new(Kind::TimedOut, what)
                .hint("raise --timeout, or --tool-timeout for tools/call"));
        }
        Ok(())
    }
}

/// The HTTP status of a JSON-RPC error for a legacy client. A legacy server has none for it, and such a client takes the 404 of an
/// unknown method for the end of its session. What says something of the credentials stays.
fn legacy_status(status: Option<u16>) -> Option<u16> {
    status.filter(|status| matches!(status, 401 | 403))
}

/// Notifies the client that the elicitations by URL are complete.
fn complete_urls(progress: &mut Progress, sink: &mut Sink<'_>) -> Result<(), Error> {
    std::mem::take(&mut progress.accepted_urls).into_iter().try_for_each(|id| {
        let line = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{{"elicitationId":"{id}"}}}}"#
        );
        sink(Relayed::Line(Line::notification(line.into_bytes())))
    })
}

/// A notification as the client reads it; `None` if it is left out.
fn notification(line: Line, progress: &mut Progress) -> Option<Line> {
    let members = Members::parse(&line.bytes).ok()?;
    match members.method.as_deref() {
        Some("notifications/progress") => {
            let params = members.params.and_then(|params| str::from_utf8(params).ok());
            let value = params.and_then(progress_of);
            if let (Some(value), Some(last)) = (value, progress.last)
                && value <= last
            {
                return None;
            }
            progress.last = value.or(progress.last);
            Some(line)
        }
        Some("notifications/subscriptions/acknowledged") => None,
        _ => {
            let changed = str::from_utf8(&line.bytes).ok().and_then(notification_to_legacy);
            Some(match changed {
                Some(changed) => Line { bytes: changed.into_bytes(), ..line },
                None => line,
            })
        }
    }
}

fn progress_of(params: &str) -> Option<f64> {
    Object::parse(params)?.get("progress").map(RawValue::get)?.parse().ok()
}

fn unknown_type(kind: &str) -> Error {
    let what =
        format!("the server's result has the type {kind:?}, which this client does not support");
    Error::new(Kind::InvalidResponse, what)
}

/// The response to a request whose question the client refused with this error.
fn refused_line(id: &str, cause: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"the client refused the server's request","data":{{"source":"sigv4-proxy","kind":"refused","cause":{cause}}}}}}}"#
    )
}
