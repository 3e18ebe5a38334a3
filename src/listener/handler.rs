//! `Handler`: handles a request for the MCP endpoint, by its method and the kind of its message.

use crate::conversation::Conversation;
use crate::error::Error;
use crate::listener::accepted::AcceptedCount;
use crate::listener::call::{Call, Progress};
use crate::listener::client::Client;
use crate::listener::clients::Clients;
use crate::listener::notice::{self, MAX_WAIT, Notice, ServerResponse};
use crate::listener::reply::Reply;
use crate::listener::request::{Headers, Method, Request, SESSION_ID};
use crate::listener::response::{ResponseWriter, too_many_streams};
use crate::listener::slots::Slots;
use crate::listener::standing_stream::{hold_stream, relay_stream};
use crate::listener::status::of_error;
use crate::log::Log;
use crate::mcp::error_response;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::session::check_version;
use crate::scheduler::InFlight;
use crate::sync::cancel::Cancel;
use crate::sync::spawn;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PROTOCOL_VERSION: &str = "mcp-protocol-version";

/// Time limit of a DELETE.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Handler {
    clients: Clients,
    slots: Slots,
    accepted: AcceptedCount,
    /// Whether clients may hold a stream open for what belongs to no call.
    opens_get_stream: bool,
    log: Log,
}

impl Handler {
    /// `make` makes the conversation of another client.
    pub fn new(
        make: impl Fn() -> Arc<Conversation> + Send + Sync + 'static,
        max_in_flight: usize,
        opens_get_stream: bool,
        log: Log,
    ) -> Handler {
        let first = make();
        // Without a thread the first request looks them up.
        let _ = spawn("credentials", move || first.look_up_credentials());
        let (clients, slots) = (Clients::new(make, log.clone()), Slots::new(max_in_flight));
        let accepted = AcceptedCount::default();
        Handler { clients, slots, accepted, opens_get_stream, log }
    }

    /// Responds to a request for the MCP endpoint.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn handle(
        &self,
        request: Request,
        response: &mut ResponseWriter,
    ) -> Result<(), Error> {
        match request.method {
            Method::Post => self.post(request, response),
            Method::Get => self.get(&request, response),
            Method::Delete => self.delete(&request, response),
        }
    }

    /// Ends everything that belongs to clients, before the process ends.
    pub(crate) fn close(&self) {
        self.clients.close();
    }

    // ---- POST

    fn post(&self, request: Request, response: &mut ResponseWriter) -> Result<(), Error> {
        let Request { headers, body, cancel, .. } = request;
        let message = match Message::parse(body) {
            Ok(message) => message.with_headers(headers.of_mcp().into()),
            Err(line) => return send_json(response, 400, &line),
        };
        let client = if message.is_initialize() && message.request_meta().is_none() {
            Ok(self.clients.begin())
        } else {
            self.client_of(&headers, Some(&message))
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => return self.refuse(&message, &error, response),
        };
        if let Some(line) = client.conversation.bridge.respond_at_once(&message) {
            return send_json(response, 200, &line);
        }
        let message = match message.kind() {
            MessageKind::Response | MessageKind::Batch { .. } => {
                for id in message.cancelled_by_batch() {
                    notice::cancel(&client, &id);
                }
                let Some(left) = client.conversation.client.take_responses(message) else {
                    return response.send(202, &[], b"");
                };
                client.conversation.take_responses(&left);
                left
            }
            _ => message,
        };
        if !message.ids().is_empty() {
            return self.call(&client, &message, &cancel, response);
        }
        let Handler { accepted, log, .. } = self;
        Notice { client: &client, message: &message, accepted, log }.relay(response)
    }

    /// The client that sent the request.
    fn client_of(
        &self,
        headers: &Headers,
        message: Option<&Message>,
    ) -> Result<Arc<Client>, Error> {
        let version = headers.get(PROTOCOL_VERSION);
        // Since 2026-07-28 there are no sessions.
        let is_modern = message.is_some_and(|message| message.request_meta().is_some());
        if let Some(id) = headers.get(SESSION_ID).filter(|id| !is_modern && !id.is_empty()) {
            let client = self.clients.with_session(id, version)?;
            // Otherwise the server has the header, and decides.
            if client.conversation.bridge.is_downward() {
                version.map_or(Ok(()), check_version)?;
            }
            return Ok(client);
        }
        let state = message.and_then(Message::request_state);
        if let Some(client) = state.and_then(|state| self.clients.awaiting(&state)) {
            return Ok(client);
        }
        let identity = message.and_then(Message::client_meta).unwrap_or_default();
        let version = version.unwrap_or_default().as_bytes();
        self.clients.without_session(&[version, b"\n", identity.as_bytes()].concat())
    }

    fn call(
        &self,
        client: &Arc<Client>,
        message: &Message,
        cancel: &Arc<Cancel>,
        response: &mut ResponseWriter,
    ) -> Result<(), Error> {
        let deadline = client.conversation.profiles.first().deadline(message);
        if message.is_subscription() && !response.set_standing() {
            return self.refuse(message, &too_many_streams(), response);
        }
        let in_flight = Arc::new(InFlight::new(client.next_serial(), message, deadline));
        let ended = Arc::clone(&in_flight);
        let _ends = cancel.on_cancel(Arc::new(move || ended.cancel.cancel()));
        let reply = Reply::new(response);
        let call = Call {
            client,
            clients: &self.clients,
            in_flight: &in_flight,
            reply: &reply,
            slots: &self.slots,
            slot: self.slots.uncounted(),
            log: &self.log,
            progress: Progress::default(),
        };
        call.run(message);
        reply.end(response);
        Ok(())
    }

    // ---- GET

    fn get(&self, request: &Request, response: &mut ResponseWriter) -> Result<(), Error> {
        if !self.opens_get_stream {
            return response.send(405, &[("Allow", "POST, DELETE")], b"");
        }
        let client = match self.client_of(&request.headers, None) {
            Ok(client) => client,
            Err(error) => return self.send_error(&error, response),
        };
        let deadline = Instant::now().checked_add(MAX_WAIT);
        // After that time the server decides.
        let _ = client.wait_for_accepted(client.next_serial(), deadline, &request.cancel);
        let reply = Reply::new(response);
        let result = if client.has_own_stream() {
            hold_stream(&client, &request.cancel, &reply)
        } else {
            relay_stream(&client, request, &reply)
        };
        if let Err(error) = &result {
            self.log.debug(format_args!("GET stream: {error}"));
            // Once the stream has begun, only an early end can report the failure.
            let _ = reply.send(of_error(error), self.error_text(error).as_bytes());
        }
        reply.end(response);
        Ok(())
    }

    // ---- DELETE

    fn delete(&self, request: &Request, response: &mut ResponseWriter) -> Result<(), Error> {
        let client = match self.client_of(&request.headers, None) {
            Ok(client) => client,
            Err(error) => return self.send_error(&error, response),
        };
        let deadline = Instant::now().checked_add(DELETE_TIMEOUT);
        let exchangers = client.conversation.profiles.exchangers();
        let has_own = client.has_own_stream();
        let mut server_response = ServerResponse::default();
        let deleted = if has_own {
            Ok(Some(204))
        } else {
            let passed = request.headers.of_mcp();
            let sink = &mut |relayed| {
                server_response.take(relayed);
                Ok(())
            };
            exchangers[0].relay_delete(&passed, deadline, &request.cancel, sink)
        };
        let ended = exchangers.iter().skip(usize::from(!has_own));
        for exchanger in ended.filter(|exchanger| exchanger.has_session_id()) {
            exchanger.end_session(Instant::now() + Duration::from_secs(2));
        }
        if let Some(id) = request.headers.get(SESSION_ID) {
            self.clients.forget(id);
        }
        match deleted {
            Ok(status) => server_response.send(status.unwrap_or(204), response),
            Err(error) => {
                server_response.send_error(of_error(&error), &self.error_text(&error), response)
            }
        }
    }

    // ---- Refusals

    /// Responds to a message that was not sent, or that has no response of the server.
    fn refuse(
        &self,
        message: &Message,
        error: &Error,
        response: &mut ResponseWriter,
    ) -> Result<(), Error> {
        send_json(response, of_error(error), &self.body_of(message, error))
    }

    /// The error as the response to this message.
    fn body_of(&self, message: &Message, error: &Error) -> String {
        self.log.debug(format_args!("refused: {error}"));
        if message.ids().is_empty() {
            return self.error_text(error);
        }
        message.error_responses(error, self.log.redactor())
    }

    fn send_error(&self, error: &Error, response: &mut ResponseWriter) -> Result<(), Error> {
        self.log.debug(format_args!("refused: {error}"));
        send_json(response, of_error(error), &self.error_text(error))
    }

    fn error_text(&self, error: &Error) -> String {
        error_response::error_text("null", error, self.log.redactor())
    }
}

fn send_json(response: &mut ResponseWriter, status: u16, body: &str) -> Result<(), Error> {
    response.send(status, &[("Content-Type", "application/json")], body.as_bytes())
}
