//! The stream of HTTP+SSE, the transport of 2024-11-05: opened, and read to its end, which is the session's, on a thread of
//! its own.

use crate::error::{Error, Kind};
use crate::http::event_stream::{Event, EventStream};
use crate::http::{Response, read_error};
use crate::mcp::server_message::{ServerMessage, ServerMessageKind};
use crate::mcp::session::Session;
use crate::streamable_http::http_sse::HttpSse;
use crate::streamable_http::relay::Relay;
use crate::streamable_http::relayed::Sink;
use crate::streamable_http::remote_server::RemoteServer;
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::{Sender, channel, spawn};
use crate::upstream::request::RequestTarget;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The server must say within this time where to send messages.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(30);

/// Marks the session as ended, however the reading of its stream ends.
struct StreamEnd(Arc<HttpSse>);

impl Drop for StreamEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Opens a session: requests the stream, and reads from it the URL for messages. `None`: the server has no such stream.
/// Waits until `deadline` or `cancel`, for `ENDPOINT_TIMEOUT` at most.
pub(crate) fn open(
    server: &Arc<RemoteServer>,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Option<Arc<HttpSse>>, Error> {
    let limit = [deadline, Instant::now().checked_add(ENDPOINT_TIMEOUT)];
    let limit = limit.into_iter().flatten().min();
    let stream = Cancel::new();
    let closing = Arc::clone(&stream);
    let _until_opened = cancel.on_cancel(Arc::new(move || closing.cancel()));
    let (report, opened) = channel();
    let server = Arc::clone(server);
    spawn("http-sse", move || read_stream(&server, &stream, limit, &report))?;
    opened.recv().unwrap_or_else(|_| {
        Err(Error::new(Kind::Internal, "a bug in sigv4-proxy ended it").hint("please report it"))
    })
}

/// Opens the stream, reports that, and reads it to its end.
fn read_stream(
    server: &Arc<RemoteServer>,
    stream: &Arc<Cancel>,
    limit: Option<Instant>,
    report: &Sender<Result<Option<Arc<HttpSse>>, Error>>,
) {
    let opened = open_stream(server, stream, limit);
    let (mut events, http_sse) = match opened {
        Ok(Some((events, target))) => (events, HttpSse::new(target, Arc::clone(stream))),
        Ok(None) => return drop(report.send(Ok(None))),
        Err(error) => return drop(report.send(Err(error))),
    };
    events.reader().set_deadline(None);
    let stream_end = StreamEnd(Arc::new(http_sse));
    let http_sse = &stream_end.0;
    let _ = report.send(Ok(Some(Arc::clone(http_sse))));
    let on_other_response = |text| http_sse.put(text);
    let sink: &mut Sink<'_> = &mut |relayed| server.relay_for_session(relayed);
    let mut relay = Relay::new(server, &[], sink);
    relay.on_other_response = Some(&on_other_response);
    while let Ok(Some(event)) = events.next_event() {
        // An error says that the client is gone.
        if relay.take_event(event).is_err() {
            break;
        }
    }
    server.log.debug("the server's event stream ended");
}

type OpenStream<'a> = (EventStream<Response<'a>>, RequestTarget);

fn open_stream<'a>(
    server: &'a RemoteServer,
    stream: &'a Cancel,
    limit: Option<Instant>,
) -> Result<Option<OpenStream<'a>>, Error> {
    let mut response = match server.get_stream(&Session::default(), None, limit, true, stream) {
        Ok((response, _)) if response.status() == 200 => response.response,
        Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::Unreachable) => {
            return Err(error);
        }
        _ => return Ok(None),
    };
    response.check_coding()?;
    if !response.opens_event_stream() {
        return Ok(None);
    }
    let mut events = EventStream::new(response, server.max_message_bytes, read_error);
    let first = loop {
        match events.next_event() {
            Ok(Some(event)) if is_heartbeat(&event) => {}
            first => break first,
        }
    };
    let event = match first {
        Ok(Some(event)) if event.name == "endpoint" => event,
        Err(_) if stream.is_cancelled() => {
            return Err(cancelled());
        }
        Err(error) if error.kind() == Kind::TimedOut => {
            let what = "the server's event stream did not send its endpoint in time";
            return Err(Error::new(Kind::TimedOut, what).hint(
                "check that the URL is an MCP endpoint; raise --timeout if the server is slow",
            ));
        }
        _ => return Ok(None),
    };
    let reference = String::from_utf8_lossy(&event.data);
    let endpoint = server.client.endpoint().join(&reference).map_err(|error| {
        let why = error.message();
        let what = format!("the server's endpoint event is not accepted: {why}");
        Error::new(Kind::InvalidResponse, what)
    })?;
    server.log.debug(format_args!("the server uses HTTP+SSE (2024-11-05) at {endpoint}"));
    Ok(Some((events, RequestTarget::new(&endpoint))))
}

/// Whether an event may precede the one with the URL.
fn is_heartbeat(event: &Event) -> bool {
    if !event.is_message() {
        return !matches!(&*event.name, "endpoint" | "error");
    }
    let message = ServerMessage::parse(&event.data, &[]);
    matches!(message.kind, ServerMessageKind::NotAMessage { .. })
}
