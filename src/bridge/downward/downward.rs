//! `Downward`: the messages of a legacy client of a modern server.

use crate::bridge::downward::batch::{BatchedRequests, exchange_batch};
use crate::bridge::downward::call::Call;
use crate::bridge::downward::handshake::{Offers, initialize_result};
use crate::bridge::downward::listen::ListenStream;
use crate::bridge::downward::questions::Abilities;
use crate::bridge::downward::request::to_modern;
use crate::bridge::downward::response::Request;
use crate::bridge::downward::tools::WrappedTools;
use crate::bridge::envelope::Envelope;
use crate::bridge::facts::MODERN_VERSION;
use crate::bridge::level::Level;
use crate::bridge::losses::Losses;
use crate::bridge::outgoing::Outgoing;
use crate::bridge::watch::Refusal;
use crate::client::ClientRequests;
use crate::error::{Error, Kind};
use crate::json::object::Object;
use crate::log::Log;
use crate::mcp::error_codes::{INVALID_PARAMS, METHOD_NOT_FOUND};
use crate::mcp::error_response::protocol_error;
use crate::mcp::id::Id;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::session::negotiated;
use crate::streamable_http::Exchanger;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Downward {
    client: ClientRequests,
    /// Whether a stream of notifications may be held open.
    streams: bool,
    session: Mutex<Option<Arc<Session>>>,
    /// By profile.
    tools: Mutex<HashMap<usize, Arc<WrappedTools>>>,
    listen: ListenStream,
    batched: BatchedRequests,
    losses: Losses,
    log: Log,
}

/// The client's declarations, from `initialize` on.
#[derive(Debug)]
struct Session {
    envelope: Envelope,
    abilities: Abilities,
    offers: Offers,
    /// JSON.
    log_level: Mutex<Option<Arc<str>>>,
    initialize: Arc<[u8]>,
}

impl Downward {
    pub(crate) fn new(client: ClientRequests, streams: bool, log: Log) -> Downward {
        Downward {
            client,
            streams,
            session: Mutex::default(),
            tools: Mutex::default(),
            listen: ListenStream::new(log.clone()),
            batched: BatchedRequests::default(),
            losses: Losses::new(log.clone()),
            log,
        }
    }

    /// Handles the client's `initialize`. `discovered`: the server's `DiscoverResult`. Returns the response.
    pub(crate) fn begin(
        &self,
        exchanger: &Arc<Exchanger>,
        initialize: &Message,
        discovered: &str,
    ) -> String {
        let envelope = Envelope::of_initialize(initialize);
        let session = Session {
            abilities: Abilities::of(&envelope.capabilities),
            envelope,
            offers: Offers::of(discovered, self.streams),
            log_level: Mutex::default(),
            initialize: initialize.body().into(),
        };
        if session.offers.logging {
            let loss = "the server sends no log messages until the client sends logging/setLevel";
            self.losses.log_once(loss);
        }
        self.listen.begin(exchanger, session.offers, &session.envelope.members());
        let requested = params_of(initialize).and_then(|params| params.text("protocolVersion"));
        let version = negotiated(requested.as_deref());
        if lock(&self.session).replace(Arc::new(session)).is_none() {
            self.log.info(format_args!(
                "translating between the client (MCP {version}) and the server (MCP {MODERN_VERSION}): --bridge"
            ));
        }
        let host = exchanger.client().endpoint().service_host();
        let result = initialize_result(version, discovered, host, self.streams);
        let id = initialize.ids().first().map_or("null", Id::as_json);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
    }

    /// Opens the stream of the server's own notifications.
    pub(crate) fn listen(&self) {
        self.listen.open();
    }

    /// The response to a request that needs neither the server nor any time; `None` for others.
    pub(crate) fn respond_at_once(&self, message: &Message) -> Option<String> {
        let MessageKind::Request { id, method, .. } = message.kind() else { return None };
        let json = id.as_json();
        match &**method {
            "ping" => Some(empty_result(json)),
            "logging/setLevel" => Some(self.set_level(message, json)),
            _ if method.starts_with("tasks/") => {
                Some(protocol_error(json, METHOD_NOT_FOUND, "the server does not support tasks"))
            }
            _ => None,
        }
    }

    /// Sends the message in the form of a modern server, and relays the responses in the form of a legacy client. Returns a
    /// refusal that shows the server to speak the legacy era; nothing was relayed then.
    pub(crate) fn exchange(
        &self,
        outgoing: Outgoing<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Refusal>, Error> {
        let Outgoing { message, deadline, cancel, .. } = outgoing;
        match message.kind() {
            MessageKind::Request { method, .. } => {
                if let Some(response) = self.respond_at_once(message) {
                    return respond(response, sink).map(|()| None);
                }
                match &**method {
                    "resources/subscribe" | "resources/unsubscribe" => {
                        self.subscribe(message, deadline, cancel, sink).map(|()| None)
                    }
                    _ => self.call(outgoing, sink),
                }
            }
            MessageKind::Notification { method, cancels } => {
                // A request that was sent alone is cancelled by the front.
                if let Some(id) = cancels {
                    self.batched.cancel(id);
                }
                if &**method == "notifications/initialized" {
                    self.listen();
                }
                Ok(None)
            }
            MessageKind::Response => {
                self.log.debug("ignoring a response from the client: the server sent no request");
                Ok(None)
            }
            MessageKind::Batch { .. } => {
                let send = |one: &Message, sink: &mut Sink<'_>| {
                    let own = Cancel::new();
                    let ends_own = Arc::clone(&own);
                    let _with_batch = cancel.on_cancel(Arc::new(move || ends_own.cancel()));
                    let _listed = self.batched.list(one, &own);
                    let sent =
                        self.exchange(Outgoing { message: one, cancel: &own, ..outgoing }, sink);
                    // A connection that was closed on purpose looks broken.
                    let sent = sent.map_err(|e| if own.is_cancelled() { cancelled() } else { e });
                    sent?.map_or(Ok(()), |refusal| refusal.pass(sink))
                };
                exchange_batch(message, &self.log, cancel, send, sink).map(|()| None)
            }
        }
    }

    /// The `initialize` of the client.
    pub(crate) fn initialize(&self) -> Option<Message> {
        Message::parse(self.session()?.initialize.to_vec()).ok()
    }

    /// Ends the notification stream: the server speaks the legacy era.
    pub(crate) fn end(&self) {
        *lock(&self.session) = None;
        self.listen.end();
    }

    /// Ends the stream of notifications, before the process ends.
    pub(crate) fn close(&self) {
        self.listen.close();
    }

    fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    fn call(&self, outgoing: Outgoing<'_>, sink: &mut Sink<'_>) -> Result<Option<Refusal>, Error> {
        let Outgoing { route, message, deadline, cancel } = outgoing;
        let Some(session) = self.session() else {
            // Or the server has just been found to speak the legacy era.
            let error = Error::new(Kind::InvalidRequest, "the client has not sent initialize");
            return Ok(Some(Refusal(Err(error))));
        };
        let level = lock(&session.log_level).clone();
        let modern = to_modern(message, &session.envelope, level.as_deref())?;
        let params = params_of(message);
        let text = |name| params.as_ref()?.text(name);
        let tool = text("name");
        let tools = Arc::clone(lock(&self.tools).entry(route.profile).or_default());
        let request = Request {
            id: message.ids()[0].as_json(),
            method: message.method().unwrap_or_default(),
            tool: tool.as_deref(),
            is_first_page: text("cursor").is_none(),
        };
        let call = Call {
            exchanger: route.exchanger,
            client: &self.client,
            abilities: session.abilities,
            tools: &tools,
            losses: &self.losses,
            request,
            deadline,
            cancel,
        };
        call.run(&modern, sink)
    }

    fn set_level(&self, message: &Message, id: &str) -> String {
        let Some(session) = self.session().filter(|session| session.offers.logging) else {
            return protocol_error(id, METHOD_NOT_FOUND, "the server does not support logging");
        };
        let params = params_of(message);
        let level = params.as_ref().and_then(|params| params.get("level"));
        let Some(level) = level.filter(|level| Level::from_json(level).is_some()) else {
            let why = format!("invalid params: level must be one of {}", Level::NAMES.join(", "));
            return protocol_error(id, INVALID_PARAMS, &why);
        };
        *lock(&session.log_level) = Some(level.get().into());
        empty_result(id)
    }

    fn subscribe(
        &self,
        message: &Message,
        deadline: Option<Instant>,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let id = message.ids()[0].as_json();
        if !self.session().is_some_and(|session| session.offers.subscribe) {
            let why = "the server does not support resource subscriptions";
            return respond(protocol_error(id, METHOD_NOT_FOUND, why), sink);
        }
        let Some(uri) = params_of(message).and_then(|params| params.text("uri")) else {
            let why = "invalid params: uri is missing";
            return respond(protocol_error(id, INVALID_PARAMS, why), sink);
        };
        if message.method() == Some("resources/unsubscribe") {
            self.listen.unsubscribe(&uri, deadline, cancel)?;
            return respond(empty_result(id), sink);
        }
        let response = if self.listen.subscribe(&uri, deadline, cancel)? {
            empty_result(id)
        } else {
            let why = format!("the server did not acknowledge the subscription to {uri}");
            protocol_error(id, INVALID_PARAMS, &why)
        };
        respond(response, sink)
    }
}

fn empty_result(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
}

fn respond(response: String, sink: &mut Sink<'_>) -> Result<(), Error> {
    sink(Relayed::Line(Line::response(response.into_bytes(), 0, true)))
}

fn params_of(message: &Message) -> Option<Object<'_>> {
    let text = str::from_utf8(message.body()).ok()?;
    Object::parse(Object::parse(text)?.get("params")?.get())
}
