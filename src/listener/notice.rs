//! `Notice`: passes a message on that has no response of its own: a notification, or the response to a request of the server.
//!
//! The client has the server's status. If the server is busy, it has 202 and does not wait: many clients end their session when
//! a notification fails. This program then delivers the message, before all that the client sends later.

use crate::error::{Error, Kind};
use crate::listener::accepted::{AcceptedCount, Counted, Undelivered};
use crate::listener::client::Client;
use crate::listener::reply::as_text;
use crate::listener::response::ResponseWriter;
use crate::listener::status::{of_error, of_server};
use crate::log::Log;
use crate::mcp::error_response::error_text;
use crate::mcp::id::Id;
use crate::mcp::message::{Message, MessageKind};
use crate::scheduler::{CANCEL_GRACE, CallKind};
use crate::streamable_http::relayed::{Line, Relayed};
use crate::sync::cancel::Cancel;
use crate::sync::spawn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Maximum wait for the messages before it. Then it is sent all the same.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
pub(crate) struct Notice<'a> {
    pub(crate) client: &'a Arc<Client>,
    pub(crate) message: &'a Message,
    /// Of all clients.
    pub(crate) accepted: &'a AcceptedCount,
    pub(crate) log: &'a Log,
}

/// The message once its client has 202, until it is delivered.
struct InDelivery<'a> {
    _counted: Counted<'a>,
    _undelivered: Option<Undelivered>,
}

impl<'a> Notice<'a> {
    /// Delivers the message, and sends the response of its POST.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn relay(self, response: &mut ResponseWriter) -> Result<(), Error> {
        let Notice { client, message, log, .. } = self;
        let cancelled = match message.kind() {
            MessageKind::Notification { cancels, .. } => cancels.as_ref(),
            _ => None,
        };
        if cancelled.is_some_and(|id| !cancel(client, id)) {
            return response.send(202, &[], b"");
        }
        let number = client.next_serial();
        // A call waits for these.
        let is_urgent = cancelled.is_some() || matches!(message.kind(), MessageKind::Response);
        let (mut accepted, mut server_response) = (None, ServerResponse::default());
        if !is_urgent && client.accepted().is_some_and(|others| others.any_before(number)) {
            match self.accept(number, response) {
                Ok(now) => accepted = Some(now),
                Err(error) => return self.refuse(&error, server_response, response),
            }
            let deadline = Instant::now().checked_add(MAX_WAIT);
            let _ = client.wait_for_accepted(number, deadline, &Cancel::default());
        }
        let sent = self.send(&mut server_response, &mut || {
            if accepted.is_none() {
                accepted = Some(self.accept(number, response)?);
            }
            Ok(())
        });
        if accepted.is_some() {
            let refused = server_response
                .refusal
                .map(|line| String::from_utf8_lossy(&line.bytes).into_owned());
            if let Some(why) = sent.err().map(|error| error.to_string()).or(refused) {
                log.warn(format_args!("a message of the client could not be delivered: {why}"));
            }
            return Ok(());
        }
        match sent {
            Ok(()) => server_response.send(202, response),
            Err(error) => self.refuse(&error, server_response, response),
        }
    }

    fn refuse(
        self,
        error: &Error,
        mut server_response: ServerResponse,
        response: &mut ResponseWriter,
    ) -> Result<(), Error> {
        self.log.debug(format_args!("refused: {error}"));
        if error.kind() == Kind::TooMany {
            server_response.headers.push(("Retry-After".to_owned(), "1".to_owned()));
        }
        let body = error_text("null", error, self.log.redactor());
        server_response.send_error(of_error(error), &body, response)
    }

    /// Sends the response early. The client needs another connection, since this one is in use until the message is delivered.
    ///
    /// # Errors
    /// `TooMany`: too many messages wait for the server.
    fn accept(self, number: u64, response: &mut ResponseWriter) -> Result<InDelivery<'a>, Error> {
        let counted = self.accepted.add()?;
        self.log.debug("accepting a message that the server does not take yet");
        let undelivered = self.client.accepted().map(|others| others.add(number));
        response.close_afterwards();
        // The message is delivered all the same if the client is gone.
        let _ = response.send(202, &[], b"");
        Ok(InDelivery { _counted: counted, _undelivered: undelivered })
    }

    /// Sends the message. `on_delay` is called when the server is busy.
    fn send(
        self,
        server_response: &mut ServerResponse,
        on_delay: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Notice { client, message, .. } = self;
        let deliver = &mut |profile, relayed| {
            match server_response.take(relayed) {
                Some(Relayed::Delayed) => on_delay()?,
                Some(relayed) => client.deliver(profile, relayed),
                None => {}
            }
            Ok(())
        };
        client.conversation.send(message, &Cancel::default(), deliver)?;
        if message.method() == Some("notifications/initialized") {
            client.conversation.end_requests_of_sessions();
        }
        Ok(())
    }
}

/// The server's response to a message that has no result.
#[derive(Default)]
pub(crate) struct ServerResponse {
    headers: Vec<(String, String)>,
    /// Its own JSON-RPC error.
    refusal: Option<Line>,
}

impl ServerResponse {
    /// Takes what belongs to the response, and returns anything else.
    pub(crate) fn take(&mut self, relayed: Relayed) -> Option<Relayed> {
        match relayed {
            Relayed::Head(head) => self.headers = head.headers,
            Relayed::Line(line) if line.http_error.is_some() => self.refusal = Some(line),
            other => return Some(other),
        }
        None
    }

    /// Sends the refusal, or else this status.
    pub(crate) fn send(self, status: u16, response: &mut ResponseWriter) -> Result<(), Error> {
        match &self.refusal {
            Some(line) => {
                let status = line.http_error.map_or(500, of_server);
                response.send(status, &self.headers_of_json(), &line.bytes)
            }
            None => response.send(status, &as_text(&self.headers), b""),
        }
    }

    /// Sends an error of this program.
    pub(crate) fn send_error(
        self,
        status: u16,
        body: &str,
        response: &mut ResponseWriter,
    ) -> Result<(), Error> {
        response.send(status, &self.headers_of_json(), body.as_bytes())
    }

    fn headers_of_json(&self) -> Vec<(&str, &str)> {
        let mut headers = as_text(&self.headers);
        headers.push(("Content-Type", "application/json"));
        headers
    }
}

/// Cancels the call with this id. Returns whether the server is to be notified.
pub(crate) fn cancel(client: &Arc<Client>, id: &Id) -> bool {
    let call = client.call(id).filter(|call| call.kind != CallKind::Initialize);
    let was_cancelled = call.as_ref().is_some_and(|call| call.cancel.is_withdrawn());
    let Some(call) = call.filter(|call| call.cancel_id(id)) else { return true };
    let is_unsent = call.is_held.load(Ordering::SeqCst);
    if call.is_sessionless || is_unsent || client.conversation.bridge.is_downward() {
        // Closing the connection is the cancellation, or nothing was sent.
        call.cancel.cancel();
        return false;
    }
    // A batch may cancel a call ten thousand times.
    if was_cancelled {
        return true;
    }
    // Many servers never end the stream of a cancelled call.
    let late = Arc::clone(&call);
    let close = move || {
        late.cancel.sleep(CANCEL_GRACE);
        late.cancel.cancel();
    };
    if spawn("cancelled", close).is_err() {
        call.cancel.cancel();
    }
    true
}
