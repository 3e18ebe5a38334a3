//! Reads the body of a successful response to its end: JSON, or an event stream.

use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::{BodyKind, Response, read_error};
use crate::streamable_http::relay::Relay;
use std::time::{Duration, Instant};

/// A stream that was open for this time and brought something is one that the server means to keep.
pub(crate) const LONG_LIFE: Duration = Duration::from_secs(10);

/// A body that ended without the response to each request.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: Error,
    pub(crate) ending: Ending,
    /// Where the event stream can be resumed.
    pub(crate) resume_at: Option<ResumePoint>,
}

/// How such a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Before it was complete: the connection or the event stream ended, or the JSON did.
    CutShort,
    /// It has no byte.
    Empty,
    /// It is something else than the response, or relaying it failed.
    Other,
}

/// Where an event stream ended.
#[derive(Clone, Debug)]
pub(crate) struct ResumePoint {
    pub(crate) last_id: String,
    /// Wait that the server asks for.
    pub(crate) retry: Option<Duration>,
    /// It was open for long and brought something.
    pub(crate) was_alive: bool,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Unanswered {
        let is_lost = error.kind() == Kind::Unreachable;
        let ending = if is_lost { Ending::CutShort } else { Ending::Other };
        Unanswered::new(error, ending)
    }
}

impl Unanswered {
    fn new(error: Error, ending: Ending) -> Unanswered {
        Unanswered { error, ending, resume_at: None }
    }
}

/// Relays the whole body, whatever its declared type. `Ok` means that every request has its response.
pub(crate) fn relay_body(
    mut response: Response<'_>,
    relay: &mut Relay<'_, '_>,
) -> Result<(), Unanswered> {
    let status = response.status();
    let kind = response.body_kind()?;
    let instead = match kind {
        BodyKind::Json => return relay_json(response, relay),
        BodyKind::EventStream => return relay_stream(response, relay, None),
        BodyKind::Empty if response.is_event_stream() => {
            return relay_stream(response, relay, None);
        }
        BodyKind::Empty => return Err(empty(status)),
        BodyKind::Markup => "an HTML or XML page",
        BodyKind::Other => "a body that is neither JSON nor an event stream",
    };
    let declared = Some(response.media_type()).filter(|declared| !declared.is_empty());
    let declared = declared.unwrap_or("no Content-Type");
    let error = missing_response(format_args!("HTTP {status} with {instead} ({declared})"))
        .hint("check that the URL is an MCP endpoint");
    Err(match kind {
        BodyKind::Markup => relay.server.client.explain_page(&response, error).into(),
        _ => error.into(),
    })
}

fn relay_json(mut response: Response<'_>, relay: &mut Relay<'_, '_>) -> Result<(), Unanswered> {
    let status = response.status();
    let body = response.read_whole(relay.server.max_message_bytes)?;
    // The connection is free before the client can send its next request.
    drop(response);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(empty(status));
    }
    relay.take_body(body)?;
    if relay.is_done() {
        return Ok(());
    }
    let is_cut_short = relay.is_cut_short();
    let ending = if is_cut_short { Ending::CutShort } else { Ending::Other };
    let error = missing_response("a message that is not the response to this request");
    relay.conclude(error).map_err(|error| Unanswered::new(error, ending))
}

/// Relays an event stream, or the rest of one after the event `last_id`.
pub(crate) fn relay_stream(
    response: Response<'_>,
    relay: &mut Relay<'_, '_>,
    last_id: Option<String>,
) -> Result<(), Unanswered> {
    let opened = Instant::now();
    let mut events = EventStream::new(response, relay.server.max_message_bytes, read_error)
        .keeping_fields(relay.keeps_events)
        .resumed_after(last_id);
    relay.pairs_lines = true;
    let result = relay_events(&mut events, relay);
    relay.pairs_lines = false;
    relay.hand_out()?;
    let Some(error) = result? else { return Ok(()) };
    let is_silent = error.kind() == Kind::TimedOut;
    let was_alive = events.brought_anything() && opened.elapsed() >= LONG_LIFE && !is_silent;
    let is_final = relay.has_report();
    let ending = match error.kind() {
        Kind::InvalidResponse | Kind::Unreachable if !is_final => Ending::CutShort,
        _ => Ending::Other,
    };
    let Err(error) = relay.conclude(error) else { return Ok(()) };
    let resume_at = events.last_id().filter(|_| !is_final).map(|last_id| ResumePoint {
        last_id: last_id.to_owned(),
        retry: events.retry(),
        was_alive,
    });
    Err(Unanswered { error, ending, resume_at })
}

/// Relays events until the stream has nothing more for the request, or ends without its response: then why.
fn relay_events(
    events: &mut EventStream<Response<'_>>,
    relay: &mut Relay<'_, '_>,
) -> Result<Option<Error>, Error> {
    let mut is_ending = false;
    loop {
        let arrived = match events.next_arrived() {
            Ok(None) => {
                relay.hand_out()?;
                events.next_event()
            }
            arrived => arrived,
        };
        match arrived {
            Ok(Some(event)) => {
                let may_be_cut_short = event.may_be_cut_short;
                relay.take_event(event)?;
                if may_be_cut_short && relay.is_cut_short() && !relay.is_done() {
                    return Ok(Some(ended_early()));
                }
                // The request may be sent again: the old stream is not read further.
                if relay.holds_error() {
                    return Ok(None);
                }
                let grace_end = || Instant::now().checked_add(relay.stream_grace);
                if !is_ending && relay.is_done() {
                    is_ending = true;
                    events.reader().set_deadline(grace_end());
                } else if relay.has_report() {
                    events.reader().shorten_deadline(grace_end());
                }
            }
            // Messages may follow the response, so a stream is read to its end, however it ends.
            Ok(None) | Err(_) if relay.is_done() => return Ok(None),
            Ok(None) => return Ok(Some(ended_early())),
            Err(error) => return Ok(Some(error.context("event stream of the server"))),
        }
    }
}

fn ended_early() -> Error {
    missing_response("an event stream that ended before the response")
}

fn empty(status: u16) -> Unanswered {
    let error = missing_response(format_args!("HTTP {status} with an empty body"));
    Unanswered::new(error, Ending::Empty)
}

fn missing_response(instead: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::InvalidResponse,
        format!("no response to this request: the server sent {instead}"),
    )
}
