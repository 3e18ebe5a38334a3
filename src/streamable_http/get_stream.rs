//! The standing GET stream of servers before 2026-07-28: opened, kept open, closed. Or, for an HTTP client, one
//! stream as the server sends it.

use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::{Response, read_error};
use crate::streamable_http::reconnect::{Backoff, NotOpened, no_event_stream, open};
use crate::streamable_http::relay::Relay;
use crate::streamable_http::relayed::{Relayed, Sink};
use crate::streamable_http::remote_server::{RemoteServer, head_of};
use crate::streamable_http::response_body::LONG_LIFE;
use crate::sync::cancel::Cancel;
use std::time::{Duration, Instant};

/// Maximum number of empty streams in a row, from a server that never kept one open: each costs its operator.
const MAX_FRUITLESS: u32 = 10;

/// Holds the stream open until the session ends or the server shows that it has nothing to send.
pub(crate) fn listen(server: &RemoteServer, cancel: &Cancel, sink: &mut Sink<'_>) {
    let mut backoff = Backoff::default();
    let mut last_id = None;
    let mut last_session = None;
    let mut is_kept = false;
    loop {
        let mut session = server.state.session();
        // Another session has other events.
        if last_session.replace(session.number()) != Some(session.number()) {
            last_id = None;
        }
        // The older transport has its own standing stream.
        if session.http_sse.is_some() {
            return;
        }
        let opened = open(server, &mut session, last_id.as_deref(), None, true, cancel);
        if sink(Relayed::StreamOpened).is_err() {
            return;
        }
        let wait = match opened {
            Ok(response) => {
                let opened = Instant::now();
                let ended = listen_to(server, response, last_id, sink);
                last_id = ended.last_id;
                backoff.set_wait(ended.retry);
                if ended.brought_anything || opened.elapsed() >= LONG_LIFE {
                    is_kept = true;
                    backoff.after_success()
                } else {
                    backoff.after_failure(None)
                }
            }
            Err(NotOpened::Final(error)) => {
                server.log.debug(format_args!("GET stream: {error}"));
                return;
            }
            Err(NotOpened::Later { error, retry_after }) => {
                server.log.debug(format_args!("GET stream: {error}"));
                backoff.after_failure(retry_after)
            }
        };
        if !is_kept && backoff.fruitless() >= MAX_FRUITLESS {
            server.log.debug("GET stream: giving up, it delivered nothing");
            return;
        }
        if cancel.sleep(wait) {
            return;
        }
    }
}

/// Relays one stream, with its events, to its end. `headers`: those of the client's request.
///
/// # Errors
/// The server refused it, or it broke.
pub(crate) fn relay_one(
    server: &RemoteServer,
    headers: &[(String, String)],
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let credentials = server.client.credentials(None, cancel)?;
    let mut session = server.state.session();
    let mut response =
        server.send_for_client("GET", &session, headers, None, &credentials, cancel)?;
    sink(Relayed::Head(Box::new(head_of(&response))))?;
    let is_success = (200..300).contains(&response.status());
    if !is_success || !response.opens_event_stream() {
        let missing = no_event_stream(&response);
        let relayed = server.relay_refusal(&mut response, &credentials, sink);
        // The server has not refused anything.
        return if is_success { relayed.map_err(|_| missing) } else { relayed };
    }
    response.check_coding()?;
    server.learn_session_id(&mut session, &response, None);
    let mut relay = Relay::new(server, &[], sink);
    relay.keeps_events = true;
    relay.is_clients_own = true;
    let mut events = EventStream::new(response.response, server.max_message_bytes, read_error)
        .keeping_fields(true);
    while let Some(event) = events.next_event()? {
        relay.take_event(event)?;
    }
    Ok(())
}

/// How a stream ended.
struct Ended {
    last_id: Option<String>,
    retry: Option<Duration>,
    brought_anything: bool,
}

/// Relays a stream to its end. One that breaks has ended; its `retry` still counts.
fn listen_to(
    server: &RemoteServer,
    response: Response<'_>,
    last_id: Option<String>,
    sink: &mut Sink<'_>,
) -> Ended {
    let mut relay = Relay::new(server, &[], sink);
    let mut events =
        EventStream::new(response, server.max_message_bytes, read_error).resumed_after(last_id);
    let result = loop {
        match events.next_event() {
            Ok(Some(event)) => {
                let may_be_cut_short = event.may_be_cut_short;
                if let Err(error) = relay.take_event(event) {
                    break Err(error);
                }
                // Its id does not count: it comes again.
                if may_be_cut_short && relay.is_cut_short() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // An event that is too large comes again and again.
    let is_too_large = result.is_err_and(|error| error.kind() == Kind::TooLarge);
    Ended {
        last_id: events.last_id().map(str::to_owned),
        retry: events.retry(),
        brought_anything: events.brought_anything() && !is_too_large,
    }
}
