//! A client's GET: relays the server's standing stream, or holds one open if the server has none.

use crate::conversation::Origin;
use crate::error::Error;
use crate::http::event_stream::KEEP_ALIVE;
use crate::listener::client::Client;
use crate::listener::event::event_without_message;
use crate::listener::reply::Reply;
use crate::listener::request::Request;
use crate::listener::status::of_server;
use crate::streamable_http::relayed::Relayed;
use crate::sync::cancel::Cancel;
use std::sync::Arc;

/// Relays the server's stream.
pub(crate) fn relay_stream(
    client: &Arc<Client>,
    request: &Request,
    reply: &Arc<Reply>,
) -> Result<(), Error> {
    let exchanger = client.conversation.profiles.first();
    let mut headers = request.headers.of_mcp();
    if let Some(id) = request.headers.get("last-event-id") {
        headers.push(("last-event-id".to_owned(), id.to_owned()));
    }
    loop {
        let is_resumed = headers.iter().any(|(name, _)| name == "last-event-id");
        let origin = Origin::Stream { serial: client.next_serial(), is_resumed };
        let session = exchanger.session_number();
        let at_server = Cancel::new();
        let ended = Arc::clone(&at_server);
        let _ends = request.cancel.on_cancel(Arc::new(move || ended.cancel()));
        let result = exchanger.relay_stream(&headers, &at_server, &mut |relayed| {
            let begins = matches!(&relayed, Relayed::Head(head) if head.is_event_stream);
            take_from_stream(client, relayed, origin, reply)?;
            if begins {
                client.begin_stream(&at_server, reply);
                // A session that has ended meanwhile has not ended this.
                if exchanger.session_number() != session {
                    at_server.cancel();
                }
            }
            Ok(())
        });
        client.end_stream(&at_server);
        client.conversation.end_requests(origin);
        let is_over = request.cancel.is_cancelled() || client.is_closed();
        if is_over || exchanger.session_number() == session {
            return result;
        }
        // The events of another session have other ids.
        headers.retain(|(name, _)| name != "last-event-id");
    }
}

/// Holds a stream open for a client whose server has none.
pub(crate) fn hold_stream(
    client: &Arc<Client>,
    cancel: &Arc<Cancel>,
    reply: &Arc<Reply>,
) -> Result<(), Error> {
    let own = Cancel::new();
    let ended = Arc::clone(&own);
    let _ends = cancel.on_cancel(Arc::new(move || ended.cancel()));
    reply.start_events()?;
    client.begin_stream(&own, reply);
    while !own.sleep(KEEP_ALIVE) && reply.write_events(b":\n\n").is_ok() {}
    client.end_stream(&own);
    Ok(())
}

/// Relays what arrives on the server's stream.
fn take_from_stream(
    client: &Arc<Client>,
    relayed: Relayed,
    origin: Origin,
    reply: &Arc<Reply>,
) -> Result<(), Error> {
    match relayed {
        Relayed::Head(head) => {
            reply.set_headers(head.headers);
            if head.is_event_stream { reply.start_events() } else { Ok(()) }
        }
        // The server's own error.
        Relayed::Line(line) if line.http_error.is_some() => {
            reply.send(line.http_error.map_or(500, of_server), &line.bytes).map(drop)
        }
        Relayed::Event(fields, data) => reply.write_events(&event_without_message(&fields, data)),
        relayed => {
            let Some(relayed) = client.conversation.bridge.take(0, relayed) else {
                return Ok(());
            };
            let event = client.event_of(0, relayed, origin);
            event.map_or(Ok(()), |event| reply.write_events(&event))
        }
    }
}
