//! `Watch`: an exchange whose first message is evidence of the server's eras.

use crate::aws::error_cause::{Cause, classify};
use crate::bridge::evidence::{self, Asked, Reply, Verdict, verdict};
use crate::bridge::facts::Speaks;
use crate::error::{Error, Kind};
use crate::json::object::Object;
use crate::mcp::message::Message;
use crate::mcp::server_message::ErrorBody;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::{Exchanger, RefusedInitialize};
use crate::sync::cancel::Cancel;
use std::time::Instant;

/// The code of an error that names the revisions which the server speaks.
const UNSUPPORTED_VERSION: &str = "-32022";

/// How a request ended that was watched.
pub(crate) enum Watched {
    /// Everything was relayed, or the error is to be returned.
    Over(Result<(), Error>),
    /// The first response is a refusal after which the server is asked for the other era. Nothing was relayed.
    Refused(Refusal),
}

/// A refusal that was held back: the server's own words, or the error of this program.
pub(crate) struct Refusal(pub(crate) Result<Line, Error>);

impl Refusal {
    /// Gives the client the refusal as it came.
    pub(crate) fn pass(self, sink: &mut Sink<'_>) -> Result<(), Error> {
        sink(Relayed::Line(self.0?))
    }
}

/// Sends the request as it is, and relays what comes back unless the first thing is a refusal that `asks`. `learn` is called
/// before the client has the response, so that its next message meets what is known by then.
pub(crate) fn watch(
    exchanger: &Exchanger,
    (asked, message): (Asked, &Message),
    deadline: Option<Instant>,
    cancel: &Cancel,
    learn: &dyn Fn(&Verdict),
    sink: &mut Sink<'_>,
) -> (Watched, Verdict) {
    let mut found = Verdict::default();
    let mut held = None;
    let mut any_line = false;
    let result = exchanger.exchange(message, deadline, cancel, &mut |relayed| {
        if let Relayed::Line(line) = relayed {
            if line.is_response() && !any_line {
                found = of_line(asked, &line);
                learn(&found);
                if is_held(asked, &found) {
                    held = Some(line);
                    return Ok(());
                }
            }
            any_line = true;
            return sink(Relayed::Line(line));
        }
        any_line |= !matches!(relayed, Relayed::Head(_) | Relayed::Event(..));
        sink(relayed)
    });
    let watched = match (held, result) {
        (Some(line), _) => Watched::Refused(Refusal(Ok(line))),
        (None, Err(error)) if !any_line => {
            found = of_failure(asked, &error);
            learn(&found);
            if is_held(asked, &found) {
                Watched::Refused(Refusal(Err(error)))
            } else {
                Watched::Over(Err(error))
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

/// Whether a server says with this response to a legacy message that it speaks the modern era alone.
pub(crate) fn is_of_modern_server(response: &str) -> bool {
    // Most responses are results, which are not parsed for this.
    response.contains(UNSUPPORTED_VERSION)
        && read_text(response, None, |reply| verdict(Asked::Initialize, reply))
            .is_some_and(|verdict| verdict.legacy == Speaks::No)
}

/// Whether the server refuses a legacy message with this, since it speaks the modern era alone.
pub(crate) fn is_refusal_of_era(line: &Line) -> bool {
    line.http_error.is_some() && str::from_utf8(&line.bytes).is_ok_and(is_of_modern_server)
}

/// What a response says.
fn of_line(asked: Asked, line: &Line) -> Verdict {
    read_line(line, |reply| verdict(asked, reply)).unwrap_or_default()
}

/// What a failure without a JSON-RPC error says.
fn of_failure(asked: Asked, error: &Error) -> Verdict {
    reply_of(error).map(|reply| verdict(asked, reply)).unwrap_or_default()
}

/// Whether this refused a translated request as a server of the legacy era does.
pub(crate) fn is_of_legacy_server(refusal: Result<&Line, &Error>) -> bool {
    let judge = evidence::is_of_legacy_server;
    match refusal {
        Ok(line) => read_line(line, judge).unwrap_or_default(),
        Err(error) => reply_of(error).is_some_and(judge),
    }
}

fn read_line<T>(line: &Line, judge: impl FnOnce(Reply<'_>) -> T) -> Option<T> {
    read_text(str::from_utf8(&line.bytes).ok()?, line.http_error, judge)
}

/// `status`: of the HTTP error that it came with.
fn read_text<T>(text: &str, status: Option<u16>, judge: impl FnOnce(Reply<'_>) -> T) -> Option<T> {
    let members = Object::parse(text)?;
    if let Some(result) = members.get_non_null("result") {
        return Some(judge(Reply::Result(result.get())));
    }
    let error = members.get_non_null("error")?.get();
    let code = ErrorBody::parse(text)?.code;
    Some(judge(Reply::Error { code, error, status }))
}

/// An HTTP error of the server. One that AWS explains is AWS's own.
fn reply_of(error: &Error) -> Option<Reply<'static>> {
    let Kind::HttpStatus(status) = error.kind() else { return None };
    let error_type = error.aws_error().and_then(|aws| aws.error_type.as_deref());
    let cause = classify(status, error_type.unwrap_or_default(), error.message());
    (cause == Cause::Other).then_some(Reply::Refused { status })
}
