//! The body of a successful response, read to its end: JSON, or an event stream.

use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::{Response, read_error};
use crate::streamable_http::relay::Relay;
use std::time::{Duration, Instant};

/// A stream that stays open after the response is read for this time.
const STREAM_GRACE: Duration = Duration::from_secs(5);

/// A body that ended without the response to each request.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: Error,
    /// Where the event stream can be resumed.
    pub(crate) resume_at: Option<ResumePoint>,
}

/// Where an event stream ended.
#[derive(Clone, Debug)]
pub(crate) struct ResumePoint {
    pub(crate) last_id: String,
    /// How long the server asks to wait.
    pub(crate) retry: Option<Duration>,
    /// Whether it brought anything.
    pub(crate) any_event: bool,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Unanswered {
        Unanswered { error, resume_at: None }
    }
}

/// Relays the whole body. `Ok` means that every request has its response.
pub(crate) fn relay_body(
    mut response: Response<'_>,
    relay: &mut Relay<'_, '_>,
) -> Result<(), Unanswered> {
    let status = response.status();
    match media_type(&response) {
        kind if kind.eq_ignore_ascii_case("text/event-stream") => relay_stream(response, relay),
        kind if kind.eq_ignore_ascii_case("application/json") => {
            let body = response.read_whole(relay.server.max_message_bytes)?;
            // The connection is free before the client can send its next request.
            drop(response);
            if body.iter().all(u8::is_ascii_whitespace) {
                return Err(no_response(format_args!("HTTP {status} with an empty body")).into());
            }
            relay.take_body(body)?;
            if relay.is_done() {
                return Ok(());
            }
            relay.conclude(no_response("a message that does not answer this request"))?;
            Ok(())
        }
        other => {
            let what = if other.is_empty() { "a body of no type" } else { other }.to_owned();
            if response.read_beginning(1024).is_empty() {
                return Err(no_response(format_args!("HTTP {status} with an empty body")).into());
            }
            Err(no_response(format_args!("HTTP {status} with {what}"))
                .hint("is this the URL of an MCP endpoint?")
                .into())
        }
    }
}

fn relay_stream(response: Response<'_>, relay: &mut Relay<'_, '_>) -> Result<(), Unanswered> {
    let mut events = EventStream::new(response, relay.server.max_message_bytes, read_error);
    let mut any_event = false;
    let mut is_ending = false;
    let error = loop {
        match events.next_event() {
            Ok(Some(event)) => {
                any_event = true;
                relay.take_event(event)?;
                // The request may be sent again: the old stream has nothing more to say.
                if relay.holds_error() {
                    return Ok(());
                }
                if !is_ending && relay.is_done() {
                    is_ending = true;
                    events.reader().set_deadline(Instant::now().checked_add(STREAM_GRACE));
                }
            }
            // Messages may follow the response, so a stream is read to its end, however it ends.
            Ok(None) | Err(_) if relay.is_done() => return Ok(()),
            Ok(None) => break no_response("an event stream that ended too early"),
            Err(error) => break error.context("event stream of the server"),
        }
    };
    let is_final = relay.has_report();
    let Err(error) = relay.conclude(error) else { return Ok(()) };
    let resume_at = events.last_id().filter(|_| !is_final).map(|last_id| ResumePoint {
        last_id: last_id.to_owned(),
        retry: events.retry(),
        any_event,
    });
    Err(Unanswered { error, resume_at })
}

fn no_response(instead: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::InvalidResponse,
        format!("no response to this request: the server sent {instead}"),
    )
}

pub(crate) fn is_event_stream(response: &Response<'_>) -> bool {
    media_type(response).eq_ignore_ascii_case("text/event-stream")
}

/// `Content-Type` without its parameters.
fn media_type<'a>(response: &'a Response<'_>) -> &'a str {
    let value = response.header("content-type").unwrap_or_default();
    value.split_once(';').map_or(value, |(media_type, _)| media_type).trim()
}
