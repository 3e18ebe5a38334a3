//! One attempt over HTTP+SSE, the transport of 2024-11-05: `initialize`, and the messages of its session.

use crate::credentials::Credentials;
use crate::http::event_stream::Event;
use crate::mcp::tool_catalog::Page;
use crate::streamable_http::failed_attempt::{FailedAttempt, SentRequest};
use crate::streamable_http::http_sse::{Expected, HttpSse};
use crate::streamable_http::http_sse_stream;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relay::Relay;
use crate::streamable_http::relayed::Sink;
use crate::streamable_http::remote_server::{POST_HEADERS, RemoteServer};
use crate::streamable_http::server_state::{OnInitialized, ServerSession};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

/// A message, and the credentials and session that it is sent with.
pub(crate) struct HttpSseAttempt<'a> {
    pub(crate) server: &'a RemoteServer,
    pub(crate) message: &'a PreparedMessage<'a>,
    pub(crate) credentials: &'a Arc<Credentials>,
    pub(crate) session: &'a Arc<ServerSession>,
    pub(crate) http_sse: &'a HttpSse,
}

/// Sends a refused `initialize` again, in a session that a new stream begins. If the server has no such stream, `refusal` is
/// what happened.
pub(crate) fn initialize(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    refusal: Box<FailedAttempt>,
    on_initialized: OnInitialized<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    let Some(credentials) = refusal.credentials.clone() else { return Err(refusal) };
    let http_sse = match http_sse_stream::open(server, message.deadline, message.cancel) {
        Ok(Some(http_sse)) => http_sse,
        Ok(None) => return Err(refusal),
        Err(error) => return Err(FailedAttempt::no_response(server, error, refusal.sent)),
    };
    let offered = ServerSession {
        session: server.state.new_session(None, credentials.account.as_deref()),
        http_sse: Some(Arc::clone(&http_sse)),
        initialize_response: None,
    };
    let _standing = server.state.set_offer(offered.clone());
    let session = Arc::new(offered);
    let is_initialized = Cell::new(false);
    let on_result = |version| {
        is_initialized.set(true);
        on_initialized(session.with_version(version));
    };
    let (credentials, session, http_sse) = (&credentials, &session, &*http_sse);
    let attempt = HttpSseAttempt { server, message, credentials, session, http_sse };
    let mut relay = attempt.relay(None, sink);
    relay.on_initialized = Some(&on_result);
    let result = attempt.exchange(&mut relay);
    if !is_initialized.get() {
        http_sse.close();
    }
    result
}

impl<'a> HttpSseAttempt<'a> {
    /// Sends the message, and relays its responses from the stream, which another thread reads.
    pub(crate) fn run(
        &self,
        page: Option<Page>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Box<FailedAttempt>> {
        self.exchange(&mut self.relay(page, sink))
    }

    fn relay<'r, 'd>(&self, page: Option<Page>, sink: &'r mut Sink<'d>) -> Relay<'r, 'd>
    where
        'a: 'r,
    {
        let message = self.message.message;
        let mut relay = Relay::new(self.server, message.ids(), sink)
            .learning(page)
            .holding_back(self.message.recoverable_errors(self.session, false))
            .on_shared_stream();
        relay.is_batch = message.is_batch();
        relay
    }

    fn exchange(&self, relay: &mut Relay<'_, '_>) -> Result<(), Box<FailedAttempt>> {
        let PreparedMessage { deadline, cancel, .. } = *self.message;
        let ids = self.message.message.ids();
        let sent = || SentRequest::new(self.message, self.session);
        let _expected = Expected::new(self.http_sse, ids);
        // A response that has arrived counts, even if the POST failed.
        match self.post() {
            Err(failed) if !self.http_sse.has_response(ids) => return Err(failed),
            _ => {}
        }
        while !relay.is_done() {
            let response = self.http_sse.take(ids, deadline, cancel);
            let response =
                response.map_err(|error| FailedAttempt::no_response(self.server, error, sent()))?;
            let event = Event { data: response.into_bytes(), ..Event::default() };
            relay.take_event(event).map_err(FailedAttempt::permanent)?;
        }
        match relay.take_held_error() {
            None => Ok(()),
            Some(held) => Err(FailedAttempt::held(held, Arc::clone(self.credentials), sent())),
        }
    }

    /// Sends the message. The HTTP response means nothing, unless it is an error.
    fn post(&self) -> Result<(), Box<FailedAttempt>> {
        let HttpSseAttempt { server, message, credentials, .. } = *self;
        let started = Instant::now();
        let sent = SentRequest::new(message, self.session);
        let request = message.request(&self.http_sse.target, &POST_HEADERS);
        let mut response = match server.client.send(&request, credentials, message.cancel) {
            Ok(response) => response,
            Err(error) => return Err(FailedAttempt::no_response(server, error, sent)),
        };
        message.note_response(&response, started);
        if (200..300).contains(&response.status()) {
            response.response.finish();
            return Ok(());
        }
        Err(FailedAttempt::error_response(server, message, &mut response, credentials, sent))
    }
}
