//! `Watch`: an exchange whose first message is evidence of what the server speaks.

use crate::aws::error_cause::{Cause, classify};
use crate::bridge::evidence::{Asked, Reply, Verdict, verdict};
use crate::bridge::facts::Speaks;
use crate::error::{Error, Kind};
use crate::json::object::Object;
use crate::mcp::message::Message;
use crate::mcp::server_message::ErrorBody;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::{Exchanger, RefusedInitialize};
use crate::sync::cancel::Cancel;
use std::time::Instant;

/// How a request ended that was watched.
pub(crate) enum Watched {
    /// Everything was relayed, or the error is to be returned.
    Over(Result<(), Error>),
    /// The first thing that came is a refusal after which the server is asked for the other era. Nothing was relayed.
    Refused(Refusal),
}

/// A refusal that was held back.
pub(crate) struct Refusal {
    /// The server's own words, or the error of this program.
    answer: Result<Line, Error>,
}

impl Refusal {
    /// Gives the client the refusal as it came.
    pub(crate) fn pass(self, sink: &mut Sink<'_>) -> Result<(), Error> {
        sink(Relayed::Line(self.answer?))
    }
}

/// Sends the request as it is, and relays what comes back unless the first thing is a refusal that `asks`.
pub(crate) fn watch(
    exchanger: &Exchanger,
    (asked, message): (Asked, &Message),
    deadline: Option<Instant>,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> (Watched, Verdict) {
    let mut found = Verdict::default();
    let mut held = None;
    let mut any_line = false;
    let result = exchanger.exchange(message, deadline, cancel, &mut |relayed| {
        if let Relayed::Line(line) = relayed {
            if line.is_response() && !any_line {
                found = of_line(asked, &line);
                if is_held(asked, &found) {
                    held = Some(line);
                    return Ok(());
                }
            }
            any_line = true;
            return sink(Relayed::Line(line));
        }
        any_line = true;
        sink(relayed)
    });
    let watched = match (held, result) {
        (Some(line), _) => Watched::Refused(Refusal { answer: Ok(line) }),
        (None, Err(error)) if !any_line => {
            found = of_failure(asked, &error);
            match is_held(asked, &found) {
                true => Watched::Refused(Refusal { answer: Err(error) }),
                false => Watched::Over(Err(error)),
            }
        }
        (None, result) => Watched::Over(result),
    };
    (watched, found)
}

/// Whether the client may get something else in place of what says this.
fn is_held(asked: Asked, found: &Verdict) -> bool {
    found.asks || (asked == Asked::Discover && found.modern == Speaks::No)
}

/// What the refusal of an `initialize` of this program says.
pub(crate) fn of_refused_initialize(refusal: &RefusedInitialize) -> Verdict {
    match &refusal.response {
        Some(line) => of_line(Asked::Initialize, line),
        None => of_failure(Asked::Initialize, &refusal.error),
    }
}

/// What a response says.
fn of_line(asked: Asked, line: &Line) -> Verdict {
    let text = str::from_utf8(&line.bytes).unwrap_or_default();
    let Some(members) = Object::parse(text) else { return Verdict::default() };
    if let Some(result) = members.get_non_null("result") {
        return verdict(asked, Reply::Result(result.get()));
    }
    match (members.get_non_null("error"), ErrorBody::parse(text)) {
        (Some(error), Some(body)) => {
            let (code, error) = (body.code, error.get());
            verdict(asked, Reply::Error { code, error, status: line.http_error })
        }
        _ => Verdict::default(),
    }
}

/// What a failure without a JSON-RPC error says. One that AWS explains is its own, not the server's.
fn of_failure(asked: Asked, error: &Error) -> Verdict {
    let Kind::HttpStatus(status) = error.kind() else { return Verdict::default() };
    let error_type = error.aws_error().and_then(|aws| aws.error_type.as_deref());
    match classify(status, error_type.unwrap_or_default(), error.message()) {
        Cause::Other => verdict(asked, Reply::Refused { status }),
        _ => Verdict::default(),
    }
}
