//! One attempt over HTTP+SSE, the transport of 2024-11-05: `initialize`, and the messages of its session.
//!
//! The thread that sent `initialize` reads the stream to its end, which is the session's. Until the response has come the
//! stream belongs to that call, with its time limit and its cancellation; from then on to the session.

use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::{Response, read_error};
use crate::log::Log;
use crate::mcp::session::Session;
use crate::streamable_http::failed_attempt::{FailedAttempt, Sent};
use crate::streamable_http::http_sse::{Expected, HttpSse};
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relay::Relay;
use crate::streamable_http::relayed::Sink;
use crate::streamable_http::remote_server::{POST_HEADERS, RemoteServer};
use crate::streamable_http::response_body::is_event_stream;
use crate::sync::cancel::Cancel;
use crate::upstream::request::SignedTarget;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The server must say within this time where to send messages.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(30);

/// Ends the session with its stream, however that ends.
struct SessionEnd<'a> {
    log: &'a Log,
    http_sse: Arc<HttpSse>,
    /// The server has responded to `initialize` with a result.
    is_initialized: Cell<bool>,
}

impl Drop for SessionEnd<'_> {
    fn drop(&mut self) {
        self.http_sse.end();
        if self.is_initialized.get() {
            self.log.debug("the event stream of the server ended");
        }
    }
}

/// Sends a refused `initialize` again: an older server responds to a GET with a stream, and names on it the URL for
/// messages. If it does not, `refusal` is what happened. Returns when the stream has ended.
pub(crate) fn initialize(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
    credentials: &Arc<Credentials>,
    refusal: Box<FailedAttempt>,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    let PreparedMessage { cancel, deadline, .. } = *message;
    let stream = Cancel::new();
    let ending = Arc::clone(&stream);
    let until_answered = cancel.on_cancel(move || ending.cancel());
    let limit = [deadline, Instant::now().checked_add(ENDPOINT_TIMEOUT)];
    let limit = limit.into_iter().flatten().min();
    let opened = match server.get_stream(&Session::default(), None, limit, true, &stream) {
        Ok(response) if response.status() == 200 && is_event_stream(&response) => response,
        Err(error) if error.kind() == Kind::Cancelled => {
            return Err(FailedAttempt::permanent(error));
        }
        _ => return Err(refusal),
    };
    let mut events = EventStream::new(opened, server.max_message_bytes, read_error);
    let target = match read_target(server, &mut events) {
        Ok(Some(target)) => target,
        Ok(None) => return Err(refusal),
        Err(_) if stream.is_cancelled() => return Err(cancelled()),
        Err(error) => return Err(FailedAttempt::permanent(error)),
    };
    events.reader().set_deadline(deadline);
    let http_sse = Arc::new(HttpSse::new(target, Arc::clone(&stream)));
    let session_end = SessionEnd {
        log: &server.log,
        http_sse: Arc::clone(&http_sse),
        is_initialized: Cell::new(false),
    };
    let offered = Session::offered(None, credentials.account.as_deref());
    let standing = server.state.set_offer(offered, Some(Arc::clone(&http_sse)));
    post(server, message, &http_sse, credentials)?;

    let on_initialized = |version| {
        session_end.is_initialized.set(true);
        server.state.accept_offer(&standing.offer, message.as_written, version);
    };
    let on_other_response = |text| http_sse.put(text);
    let mut relay = Relay::new(server, message.message.ids(), sink).on_shared_stream();
    relay.on_initialized = Some(&on_initialized);
    relay.on_other_response = Some(&on_other_response);
    let mut until_answered = Some(until_answered);
    loop {
        match events.next_event() {
            Ok(Some(event)) if event.is_message() => {
                relay.take_event(event.data).map_err(FailedAttempt::permanent)?;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) if relay.is_done() => return Ok(()),
            Ok(None) | Err(_) if stream.is_cancelled() => return Err(cancelled()),
            Ok(None) => return Err(refusal),
            Err(error) => return Err(FailedAttempt::permanent(error)),
        }
        if relay.is_done() && until_answered.take().is_some() {
            if !session_end.is_initialized.get() {
                return Ok(());
            }
            events.reader().set_deadline(None);
        }
    }
}

/// Where the server wants messages; `None` if its first event is another one, or if there is none.
fn read_target(
    server: &RemoteServer,
    events: &mut EventStream<Response<'_>>,
) -> Result<Option<SignedTarget>, Error> {
    let event = match events.next_event() {
        Ok(Some(event)) if event.name == "endpoint" => event,
        Err(error) if error.kind() == Kind::TimedOut => {
            let what = "the server's event stream did not say in time where to send messages";
            return Err(Error::new(Kind::TimedOut, what).hint(
                "is this the URL of an MCP endpoint? raise --timeout if the server is slow",
            ));
        }
        _ => return Ok(None),
    };
    let reference = String::from_utf8_lossy(&event.data);
    let endpoint = server.client.endpoint().join(&reference).map_err(|error| {
        let why = error.message();
        let what = format!("the server's endpoint event is not followed: {why}");
        Error::new(Kind::InvalidResponse, what)
    })?;
    server.log.debug(format_args!("the server speaks HTTP+SSE (2024-11-05) at {endpoint}"));
    Ok(Some(server.client.target_at(&endpoint)))
}

/// Sends a message of the session, and relays its responses from the stream that another thread reads.
pub(crate) fn attempt(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
    http_sse: &HttpSse,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    let PreparedMessage { deadline, cancel, .. } = *message;
    let ids = message.message.ids();
    let credentials =
        server.client.credentials(deadline, cancel).map_err(FailedAttempt::permanent)?;
    let _expected = Expected::new(http_sse, ids);
    let page = message.page(server);
    post(server, message, http_sse, &credentials)?;
    let mut relay = Relay::new(server, ids, sink).learning(page).on_shared_stream();
    while !relay.is_done() {
        let response = http_sse.take(ids, deadline, cancel).map_err(FailedAttempt::permanent)?;
        relay.take_event(response.into_bytes()).map_err(FailedAttempt::permanent)?;
    }
    Ok(())
}

/// Sends a message. The HTTP response means nothing, unless it is an error.
fn post(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
    http_sse: &HttpSse,
    credentials: &Arc<Credentials>,
) -> Result<(), Box<FailedAttempt>> {
    let started = Instant::now();
    let sent = Sent::without_session(server.client.signing_time());
    let request = message.request(&http_sse.target, &POST_HEADERS);
    let mut response = match server.client.send(&request, credentials, message.cancel) {
        Ok(response) => response,
        Err(error) => return Err(FailedAttempt::no_response(error, sent)),
    };
    message.note_response(&response, started);
    if (200..300).contains(&response.status()) {
        response.response.finish();
        return Ok(());
    }
    Err(FailedAttempt::error_response(server, message, &mut response, credentials, sent))
}

fn cancelled() -> Box<FailedAttempt> {
    FailedAttempt::permanent(Error::new(Kind::Cancelled, "the call was cancelled"))
}
