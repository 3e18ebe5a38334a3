//! The standing GET stream of servers before 2026-07-28: opened, kept open, given up.

use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::read_error;
use crate::streamable_http::relay::Relay;
use crate::streamable_http::relayed::Sink;
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::response_body::is_event_stream;
use crate::sync::cancel::Cancel;
use std::time::Duration;

/// Delay before the stream is opened again, unless the server asks for another; it doubles up to the limit.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Maximum number of streams in a row without an event: a stream costs the server's owner money.
const MAX_FRUITLESS: u32 = 5;

/// How one stream ended.
enum Listened {
    /// The server has no such stream (any 4xx, 501).
    NotOffered,
    /// The stream ended; what it asked for.
    Ended { last_id: Option<String>, retry: Option<Duration>, any_event: bool },
}

/// Holds the stream open until the session ends or the server shows that it has nothing to send.
pub(crate) fn listen(server: &RemoteServer, cancel: &Cancel, sink: &mut Sink<'_>) {
    let mut last_id: Option<String> = None;
    let mut fruitless = 0;
    let mut first_delay = FIRST_DELAY;
    let mut delay = first_delay;
    loop {
        match listen_once(server, last_id.as_deref(), cancel, sink) {
            // No conclusion about the session: many servers answer 404 to a GET they do not know.
            Ok(Listened::NotOffered) => return,
            Ok(Listened::Ended { last_id: last, retry, any_event }) => {
                last_id = last;
                first_delay = retry.map_or(first_delay, |retry| retry.min(MAX_DELAY));
                if any_event || retry.is_some() {
                    delay = first_delay;
                }
                if any_event {
                    fruitless = 0;
                }
            }
            Err(error) if error.kind() == Kind::Cancelled => return,
            Err(error) => server.log.debug(format_args!("GET stream: {error}")),
        }
        fruitless += 1;
        if fruitless > MAX_FRUITLESS {
            server.log.debug("GET stream: given up, it brought nothing");
            return;
        }
        if cancel.sleep(delay) {
            return;
        }
        delay = (delay * 2).min(MAX_DELAY);
    }
}

fn listen_once(
    server: &RemoteServer,
    last_id: Option<&str>,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<Listened, Error> {
    // The older transport has its own standing stream.
    if server.state.session().http_sse.is_some() {
        return Ok(Listened::NotOffered);
    }
    let response = server.get_stream(&server.state.session(), last_id, None, true, cancel)?;
    let status = response.status();
    server.log.debug(format_args!("GET stream: HTTP {status}"));
    if (400..500).contains(&status) || status == 501 {
        return Ok(Listened::NotOffered);
    }
    if status != 200 || !is_event_stream(&response) {
        return Err(Error::new(
            Kind::HttpStatus(status),
            format!("the GET stream was answered with HTTP {status}"),
        ));
    }
    let mut relay = Relay::new(server, &[], sink);
    let mut events = EventStream::new(response, server.max_message_bytes, read_error);
    let mut any_event = false;
    // A stream that breaks has ended: what it asked for still counts.
    while let Ok(Some(event)) = events.next_event() {
        any_event = true;
        relay.take_event(event)?;
    }
    if cancel.is_cancelled() {
        return Err(Error::new(Kind::Cancelled, "the stream was closed"));
    }
    let last_id = events.last_id().or(last_id).map(str::to_owned);
    Ok(Listened::Ended { last_id, retry: events.retry(), any_event })
}
