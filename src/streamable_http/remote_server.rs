//! `RemoteServer`: the client and the state of one server, which all its exchanges share.

use crate::aws::hostname;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::http::Response;
use crate::log::Log;
use crate::mcp::client_info;
use crate::mcp::error_response::wholly_without_secrets;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::server_message::ErrorBody;
use crate::mcp::session::{Session, check_session_id};
use crate::mcp::tool_catalog::Page;
use crate::signing::Header;
use crate::streamable_http::affinity::Affinity;
use crate::streamable_http::pacer::Pacer;
use crate::streamable_http::relayed::{Head, Line, Relayed, Sink};
use crate::streamable_http::retry_quota::RetryQuota;
use crate::streamable_http::server_state::{ServerSession, ServerState};
use crate::streamable_http::settings::Settings;
use crate::sync::cancel::Cancel;
use crate::sync::single_flight::SingleFlight;
use crate::upstream::SignedClient;
use crate::upstream::request::UnsignedRequest;
use crate::upstream::response::SignedResponse;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The messages that follow a notification wait for it, so it has a time limit even without `--timeout`.
const NOTIFICATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The headers of every POST.
pub(crate) const POST_HEADERS: [Header<'static>; 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they do not depend on each other")]
pub(crate) struct RemoteServer {
    pub(crate) client: SignedClient,
    pub(crate) state: ServerState,
    /// The server is a runtime or a gateway of Bedrock `AgentCore`, by its host or by the service that is signed for.
    pub(crate) is_agentcore: bool,
    /// The runtime session of requests of 2026-07-28.
    pub(crate) affinity: Affinity,
    pub(crate) is_lazy: bool,
    pub(crate) merges_lists: bool,
    names_client: bool,
    timeout: Option<Duration>,
    tool_timeout: Option<Duration>,
    pub(crate) retries: u32,
    pub(crate) quota: Arc<RetryQuota>,
    pub(crate) pacer: Arc<Pacer>,
    pub(crate) max_message_bytes: usize,
    /// Initializes the session that several calls need, once for all of them.
    pub(crate) initializing: SingleFlight,
    /// Lists the tools that several calls need to know, once for all of them.
    pub(crate) listing: SingleFlight,
    /// Cancels what belongs to no call.
    pub(crate) closing: Arc<Cancel>,
    session_sink: SessionSink,
    pub(crate) log: Log,
}

/// Receives messages that belong to no call: those that the server sends during an `initialize`, and the end of it.
#[derive(Default)]
struct SessionSink(OnceLock<Box<RelayForSession>>);

type RelayForSession = dyn Fn(Relayed) -> Result<(), Error> + Send + Sync;

impl fmt::Debug for SessionSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SessionSink")
    }
}

impl RemoteServer {
    pub(crate) fn new(settings: Settings, client: SignedClient, log: Log) -> RemoteServer {
        let of_host = hostname::of_host(client.endpoint().service_host()).service;
        let services = [Some(client.scope().current().service.clone()), of_host];
        let is_agentcore = services.iter().flatten().any(|service| service == "bedrock-agentcore");
        let affinity = Affinity::new(&settings.runtime_session, &client, is_agentcore, log.clone());
        let pacer = Pacer::new(client.facts().requests_per_second);
        RemoteServer {
            client,
            state: ServerState::new(settings.policy),
            is_agentcore,
            affinity,
            is_lazy: settings.is_lazy,
            merges_lists: settings.merges_lists,
            names_client: settings.names_client,
            timeout: settings.timeout,
            tool_timeout: settings.tool_timeout,
            retries: settings.retries,
            quota: Arc::default(),
            pacer: Arc::new(pacer),
            max_message_bytes: settings.max_message_bytes,
            initializing: SingleFlight::new("handshake"),
            listing: SingleFlight::new("tools/list"),
            closing: Cancel::new(),
            session_sink: SessionSink::default(),
            log,
        }
    }

    /// This server for another client: nothing is known of it, but the limits of requests are shared.
    pub(crate) fn for_another_client(&self) -> RemoteServer {
        RemoteServer {
            client: self.client.for_another_client(),
            state: ServerState::new(self.state.tools.policy().clone()),
            affinity: self.affinity.for_another_client(),
            quota: Arc::clone(&self.quota),
            pacer: Arc::clone(&self.pacer),
            initializing: SingleFlight::new("handshake"),
            listing: SingleFlight::new("tools/list"),
            closing: Cancel::new(),
            session_sink: SessionSink::default(),
            log: self.log.clone(),
            ..*self
        }
    }

    /// Sets, once, what takes everything that belongs to no call.
    pub(crate) fn set_session_sink(
        &self,
        deliver: impl Fn(Relayed) -> Result<(), Error> + Send + Sync + 'static,
    ) {
        let _ = self.session_sink.0.set(Box::new(deliver));
    }

    /// Relays what belongs to no call.
    pub(crate) fn relay_for_session(&self, relayed: Relayed) -> Result<(), Error> {
        self.session_sink.0.get().map_or(Ok(()), |deliver| deliver(relayed))
    }

    /// Whether a session has yet to begin before the messages that need one can be sent.
    pub(crate) fn awaits_session(&self) -> bool {
        self.state.is_initialize_deferred() || self.initializing.is_under_way()
    }

    /// When the message must have its response.
    pub(crate) fn deadline(&self, message: &Message) -> Option<Instant> {
        // A batch is one request to the server, so the shortest limit of its members is that of all.
        let further = match message.kind() {
            MessageKind::Request { .. } if message.is_subscription() => return None,
            _ if message.ids().is_empty() => Some(NOTIFICATION_TIMEOUT),
            _ => self.tool_timeout.filter(|_| message.calls_tool()),
        };
        let limit = [self.timeout, further].into_iter().flatten().min();
        limit.and_then(|limit| Instant::now().checked_add(limit))
    }

    /// Names the client in the User-Agent from now on, if this request contains its name.
    pub(crate) fn learn_client(&self, request: &Message) {
        let says_so = request.is_initialize() || request.request_meta().is_some();
        if self.names_client
            && says_so
            && let Some(user_agent) = client_info::with_client_of(request.body())
        {
            self.client.set_user_agent(user_agent);
        }
    }

    /// Requests an event stream: the standing one, or the rest of one after the event `last_id`. Returns also what the
    /// request was signed with.
    pub(crate) fn get_stream<'a>(
        &'a self,
        session: &Session,
        last_id: Option<&str>,
        deadline: Option<Instant>,
        is_standing: bool,
        cancel: &'a Cancel,
    ) -> Result<(SignedResponse<'a>, Arc<Credentials>), Error> {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(session_headers(session));
        headers.extend(last_id.map(|id| ("last-event-id", id)));
        let request = UnsignedRequest::new("GET", self.client.target(), &headers, deadline);
        let request = UnsignedRequest { is_stream: is_standing, ..request };
        let credentials = self.client.credentials_for_request(deadline, cancel)?;
        Ok((self.client.send(&request, &credentials, cancel)?, credentials))
    }

    /// Sends a request without a body for a client that speaks HTTP, with the headers that it sent.
    pub(crate) fn send_for_client<'a>(
        &'a self,
        method: &str,
        session: &Session,
        headers: &[(String, String)],
        deadline: Option<Instant>,
        credentials: &Credentials,
        cancel: &'a Cancel,
    ) -> Result<SignedResponse<'a>, Error> {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let id = session.id().map(|id| ("mcp-session-id", id));
        let headers: Vec<Header<'_>> = headers.chain(id).collect();
        let request = UnsignedRequest::new(method, self.client.target(), &headers, deadline);
        let request = UnsignedRequest { is_stream: deadline.is_none(), ..request };
        self.client.send(&request, credentials, cancel)
    }

    /// Relays the server's own JSON-RPC error, if the response is one; otherwise returns its text as an error.
    pub(crate) fn relay_refusal(
        &self,
        response: &mut SignedResponse<'_>,
        credentials: &Credentials,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let report = self.client.read_error(response, credentials);
        if ErrorBody::parse(&report.body).is_none() {
            return Err(report.error);
        }
        let bytes = wholly_without_secrets(report.body, self.log.redactor()).into_bytes();
        let http_error = Some(response.status());
        sink(Relayed::Line(Line { http_error, is_last: true, ..Line::notification(bytes) }))
    }

    /// Continues `session` under the id that a successful response names, if that is another. Its tools may be others, too:
    /// of what is known, only `page`, to which this is the response, still counts.
    pub(crate) fn learn_session_id(
        &self,
        session: &mut Arc<ServerSession>,
        response: &Response<'_>,
        page: Option<&mut Page>,
    ) {
        let named = match session_id(response) {
            Ok(named) => named.filter(|named| session.id() != Some(named)),
            Err(error) => {
                self.log.warn(error);
                None
            }
        };
        let Some(id) = named else { return };
        self.log.debug("the server changed the id of the session");
        if session.id().is_some() {
            self.state.tools.forget_before(page);
        }
        self.state.set_session_id(session, id);
        Arc::make_mut(session).set_id(id);
    }

    /// Ends the session on the server, if there is one. Best effort, until `deadline`.
    pub(crate) fn delete_session(&self, deadline: Instant) {
        let session = self.state.session();
        if session.id().is_none() {
            return;
        }
        let (deadline, cancel) = (Some(deadline), Cancel::default());
        let Ok(credentials) = self.client.credentials(deadline, &cancel) else { return };
        let headers: Vec<Header<'_>> = session_headers(&session).collect();
        let request = UnsignedRequest::new("DELETE", self.client.target(), &headers, deadline);
        match self.client.send(&request, &credentials, &cancel) {
            Ok(response) => {
                self.log.debug(format_args!("DELETE session: HTTP {}", response.status()));
            }
            Err(error) => self.log.debug(format_args!("DELETE session: {error}")),
        }
    }

    /// Cancels exchanges that belong to no call: an `initialize` that this program sent, the stream of HTTP+SSE.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.state.session().close();
    }
}

/// The session id that a response names, if it does.
///
/// # Errors
/// `InvalidResponse`: it cannot be repeated in a request.
pub(crate) fn session_id<'a>(response: &'a Response<'_>) -> Result<Option<&'a str>, Error> {
    response.headers("mcp-session-id").next().map_or(Ok(None), check_session_id)
}

/// The headers of a request that a client sent over HTTP, as it sent them.
pub(crate) fn of_http_client(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    let is_named = headers.iter().any(|(name, _)| name == "accept");
    let own = POST_HEADERS.into_iter().filter(move |(name, _)| !(is_named && *name == "accept"));
    own.chain(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// What a client that speaks HTTP has of the head of a response.
pub(crate) fn head_of(response: &Response<'_>) -> Head {
    let is_passed = |name: &str| {
        (name.starts_with("mcp-") && name != "mcp-session-id")
            || matches!(name, "retry-after" | "allow")
    };
    let headers = response.all_headers().filter(|(name, _)| is_passed(name));
    Head {
        is_event_stream: response.is_event_stream(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}

/// The headers that every request of a session repeats.
pub(crate) fn session_headers(session: &Session) -> impl Iterator<Item = Header<'_>> {
    let id = session.id().map(|id| ("mcp-session-id", id));
    let version = session.version().map(|version| ("mcp-protocol-version", version));
    id.into_iter().chain(version)
}
