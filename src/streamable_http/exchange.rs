//! `Exchanger::exchange`: sends one message, with retries, and relays the messages that come back, in order, as they arrive.

use crate::error::Error;
use crate::log::Log;
use crate::mcp::list_pages::items_of_list;
use crate::mcp::message::{Message, MessageKind};
use crate::streamable_http::attempt::param_headers;
use crate::streamable_http::failed_attempt::FailedAttempt;
use crate::streamable_http::get_stream;
use crate::streamable_http::merged_list::relay_whole_list;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::reinitialize::{live_session, respond_locally};
use crate::streamable_http::relayed::{Relayed, Sink};
use crate::streamable_http::remote_server::{RemoteServer, head_of};
use crate::streamable_http::retry_loop::{attempt_now, attempt_until_done};
use crate::streamable_http::server_state::RefusedInitialize;
use crate::streamable_http::settings::Settings;
use crate::streamable_http::tool_listing::{check_hint, list_tools};
use crate::sync::cancel::Cancel;
use crate::upstream::SignedClient;
use std::sync::Arc;
use std::time::Instant;

/// Exchanges messages with one server, in one session.
#[derive(Debug)]
pub struct Exchanger {
    server: Arc<RemoteServer>,
}

impl Exchanger {
    pub fn new(settings: Settings, client: SignedClient, log: Log) -> Exchanger {
        Exchanger { server: Arc::new(RemoteServer::new(settings, client, log)) }
    }

    /// An exchanger of another client with the same server. Connections, credentials and the limits of the server are shared.
    pub(crate) fn for_another_client(&self) -> Exchanger {
        Exchanger { server: Arc::new(self.server.for_another_client()) }
    }

    pub fn client(&self) -> &SignedClient {
        &self.server.client
    }

    /// When the message must have its response; `None` is no limit.
    pub(crate) fn deadline(&self, message: &Message) -> Option<Instant> {
        self.server.deadline(message)
    }

    /// Whether a server before 2026-07-28 has responded to `initialize`.
    pub fn has_session(&self) -> bool {
        self.server.state.session().version().is_some()
    }

    /// Whether there is a session to end.
    pub(crate) fn has_session_id(&self) -> bool {
        self.server.state.session().id().is_some()
    }

    /// The id of the session that an `initialize` in flight is offered, or else of the one in use.
    pub(crate) fn session_id(&self) -> Option<String> {
        let state = &self.server.state;
        state.offer().unwrap_or_else(|| state.session()).id().map(str::to_owned)
    }

    /// Whether there is a session to end other than this one.
    pub(crate) fn has_other_session(&self, known: Option<&str>) -> bool {
        self.server.state.session().id().is_some_and(|id| Some(id) != known)
    }

    /// Whether the tool's argument for the profile is the server's own, as far as its tools are known.
    pub(crate) fn has_own_profile(&self, tool: &str) -> bool {
        self.server.state.tools.has_own_profile(tool)
    }

    /// Sets, once, the sink of everything that belongs to no call.
    pub(crate) fn set_session_sink(
        &self,
        sink: impl Fn(Relayed) -> Result<(), Error> + Send + Sync + 'static,
    ) {
        self.server.set_session_sink(sink);
    }

    /// Relays what belongs to no call.
    pub(crate) fn relay_for_session(&self, relayed: Relayed) -> Result<(), Error> {
        self.server.relay_for_session(relayed)
    }

    /// Sends the message and relays what comes back until `deadline`. For requests `Ok` means that their responses were
    /// among it.
    pub fn exchange(
        &self,
        message: &Message,
        deadline: Option<Instant>,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let server = &self.server;
        let policy = server.state.tools.policy();
        let tool = policy.judge(message)?;
        let changed = policy.metadata().added_to(message)?;
        let as_written = message;
        let message = changed.as_ref().unwrap_or(message);
        server.learn_client(message);
        if server.is_lazy && message.is_initialize() {
            return self.answer_initialize(as_written, sink);
        }
        if message.method() == Some("notifications/initialized")
            && server.state.defer_initialized(message)
        {
            return Ok(());
        }
        // The request that it names has not been sent, or was lost with the session.
        if matches!(message.kind(), MessageKind::Notification { cancels: Some(_), .. })
            && server.awaits_session()
        {
            return Ok(());
        }
        let mut message = PreparedMessage::new(server, message, deadline, cancel);
        (message.as_written, message.tool) = (as_written, tool);
        let started = server.log.is_debug().then(Instant::now);
        let list = server.merges_lists.then(|| items_of_list(message.message)).flatten();
        message.is_page = list.is_some();
        let result = match list {
            Some(items) => relay_whole_list(server, &message, items, sink),
            None => self.run(&message, sink),
        };
        if let Some(started) = started {
            server.log.debug(message.summary(started.elapsed(), result.as_ref().err()));
        }
        result
    }

    /// Answers the client's `initialize` without the server, which gets it with the first request that needs a session.
    pub(crate) fn answer_initialize(
        &self,
        initialize: &Message,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        self.server.state.defer_initialize(initialize);
        respond_locally(initialize, sink)
    }

    /// Sends the message once and relays what comes back: no retry, no recovery.
    pub(crate) fn try_once(
        &self,
        message: &Message,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let server = &self.server;
        let changed = server.state.tools.policy().metadata().added_to(message)?;
        let message = changed.as_ref().unwrap_or(message);
        let message = PreparedMessage::new(server, message, server.deadline(message), cancel);
        self.attempt(&message, sink).or_else(|failed| failed.give_up(&message, &server.log, sink))
    }

    /// Attempts it until it succeeds or another attempt would be no better.
    fn run<'s>(&self, message: &PreparedMessage<'_>, sink: &mut Sink<'s>) -> Result<(), Error> {
        let server = &self.server;
        let attempt = |sink: &mut Sink<'s>| self.attempt(message, sink);
        let learn = |failed: &FailedAttempt, sink: &mut Sink<'s>| {
            self.learn_param_headers(message, failed, sink)
        };
        attempt_until_done(server, message, sink, attempt, learn)?;
        if message.message.method() == Some("notifications/initialized") {
            server.state.store_initialized(message.message);
        }
        Ok(())
    }

    fn attempt(
        &self,
        message: &PreparedMessage<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Box<FailedAttempt>> {
        let server = &self.server;
        let check = || check_hint(server, message);
        let on_initialized = |session| server.state.accept_session(session, message.as_written);
        attempt_now(server, message, check, &on_initialized, sink)
    }

    /// Lists the tools after the server missed a header. False: the call would have the same headers again.
    fn learn_param_headers(
        &self,
        message: &PreparedMessage<'_>,
        failed: &FailedAttempt,
        sink: &mut Sink<'_>,
    ) -> bool {
        let server = &self.server;
        server.log.debug("the server reports missing headers: listing its tools again");
        let client = message.message.client_meta();
        let PreparedMessage { deadline, cancel, .. } = *message;
        if let Err(error) = list_tools(server, client.as_deref(), deadline, cancel, sink) {
            server.log.debug(format_args!("the tools cannot be listed: {error}"));
        }
        param_headers(server, message) != failed.sent.param_headers
    }

    /// Holds the standing GET stream open until the session ends or the server shows that it has nothing to send.
    pub fn listen(&self, cancel: &Cancel, sink: &mut Sink<'_>) {
        get_stream::listen(&self.server, cancel, sink);
    }

    /// Relays one stream as the server sends it, for a client that requested it with these headers over HTTP.
    pub(crate) fn relay_stream(
        &self,
        headers: &[(String, String)],
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        get_stream::relay_one(&self.server, headers, cancel, sink)
    }

    /// Passes on the DELETE of a client that speaks HTTP, and relays the server's refusal. Returns the status of its consent.
    pub(crate) fn relay_delete(
        &self,
        headers: &[(String, String)],
        deadline: Option<Instant>,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<Option<u16>, Error> {
        let server = &self.server;
        let credentials = server.client.credentials(deadline, cancel)?;
        let session = server.state.session();
        let mut response =
            server.send_for_client("DELETE", &session, headers, deadline, &credentials, cancel)?;
        sink(Relayed::Head(Box::new(head_of(&response))))?;
        if (200..300).contains(&response.status()) {
            return Ok(Some(response.status()));
        }
        server.relay_refusal(&mut response, &credentials, sink).map(|()| None)
    }

    /// Continues a session that the client began before this process.
    pub(crate) fn adopt_session(&self, id: &str, version: Option<&str>) {
        self.server.state.adopt_session(id, version);
    }

    /// The number of the session in use.
    pub(crate) fn session_number(&self) -> u64 {
        self.server.state.session().number()
    }

    /// The number of the session that the server's next request belongs to: one that is beginning, or the one in use.
    pub(crate) fn latest_session_number(&self) -> u64 {
        let state = &self.server.state;
        state.offer().unwrap_or_else(|| state.session()).number()
    }

    /// Stores the client's `initialize` from `first`, deferred: the first request that needs a session sends it.
    pub(crate) fn defer_initialize(&self, first: &Exchanger) {
        self.server.state.defer_initialize_of(&first.server.state);
    }

    /// Whether the client has initialized its session and the server has not received it.
    pub(crate) fn is_initialize_deferred(&self) -> bool {
        self.server.state.is_initialize_deferred()
    }

    /// Why the last `initialize` that this program sent for the client failed, if it did, and that `initialize`.
    pub(crate) fn refused_initialize(&self) -> Option<(Arc<RefusedInitialize>, Message)> {
        let refusal = self.server.state.refusal()?;
        let initialize = self.server.state.stored_initialize().initialize.clone()?;
        Some((refusal, Message::parse(initialize.to_vec()).ok()?))
    }

    /// Forgets the session and its `initialize`: the server has none.
    pub(crate) fn forget_session(&self) {
        self.server.state.forget_session();
    }

    /// Initializes the session now, if that is deferred.
    pub(crate) fn initialize_now(&self, cancel: &Cancel) -> Result<(), Error> {
        live_session(&self.server, None, None, cancel).map(|_| ())
    }

    /// Replaces the session in use, with the client's own `initialize`.
    pub(crate) fn begin_another_session(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let lost = self.server.state.session();
        live_session(&self.server, Some(&lost.session), deadline, cancel).map(|_| ())
    }

    /// Waits until there is a session; without one begins it with this `initialize`.
    ///
    /// # Errors
    /// The server refused it or was unreachable: nothing of the attempt is kept.
    pub(crate) fn begin_session(
        &self,
        initialize: &Message,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let state = &self.server.state;
        state.defer_first_initialize(initialize);
        let begun = live_session(&self.server, None, deadline, cancel);
        // Others may still wait for what this call does not.
        if begun.is_err() && !self.server.initializing.is_under_way() {
            state.forget_deferred_initialize();
        }
        begun.map(|_| ())
    }

    /// The response to the `initialize` that this program sent to begin the session in use.
    pub(crate) fn initialize_response(&self) -> Option<Arc<[u8]>> {
        self.server.state.session().initialize_response.clone()
    }

    /// Whether the server's messages outside calls come on the stream that the session lives on (HTTP+SSE).
    pub(crate) fn has_shared_stream(&self) -> bool {
        self.server.state.session().http_sse.is_some()
    }

    /// Maximum size of a message.
    pub(crate) fn max_message_bytes(&self) -> usize {
        self.server.max_message_bytes
    }

    /// Cancels what belongs to no call. Credentials, which other clients need, are still looked up.
    pub fn close(&self) {
        self.server.close();
    }

    /// Ends the session on the server, if there is one. Best effort, until `deadline`.
    pub fn end_session(&self, deadline: Instant) {
        self.server.delete_session(deadline);
    }
}
