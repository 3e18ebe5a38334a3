//! Initializing a session with what the client once sent: one that was deferred, or one in place of a session that died,
//! which the client does not notice.
//!
//! A thread of its own does it, once for all calls; each call waits for it until its own limit.

use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::session::Session;
use crate::random;
use crate::streamable_http::attempt::Transport;
use crate::streamable_http::failed_attempt::{FailedAttempt, Sent};
use crate::streamable_http::http_sse::HttpSse;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relay::Relay;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::remedies::Recovery;
use crate::streamable_http::remote_server::{POST_HEADERS, RemoteServer, session_headers};
use crate::streamable_http::response_body::relay_body;
use crate::sync::cancel::Cancel;
use crate::upstream::response::SignedResponse;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time limit of an `initialize` of our own, whether or not a call still waits for it; a cold start fits in.
const INITIALIZE_TIMEOUT: Duration = Duration::from_secs(120);

/// The protocol version for a client that names none.
const FALLBACK_VERSION: &str = "2025-11-25";

/// For a session that is initialized before the client has sent its own.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Responds to `initialize` locally (`--lazy`). All that it says of the server is that its lists may change; the client is
/// told that they have once the server has responded.
pub(crate) fn respond_locally(initialize: &Message, sink: &mut Sink<'_>) -> Result<(), Error> {
    let request = serde_json::from_slice::<Value>(initialize.body()).unwrap_or_default();
    let version = request["params"]["protocolVersion"].as_str().unwrap_or(FALLBACK_VERSION);
    let result = json!({
        "protocolVersion": version,
        "capabilities": {
            "prompts": { "listChanged": true },
            "resources": { "listChanged": true },
            "tools": { "listChanged": true },
        },
        "serverInfo": { "name": "sigv4-proxy", "version": env!("CARGO_PKG_VERSION") },
    });
    let id = initialize.ids()[0].as_json();
    let bytes = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes();
    sink(Relayed::Line(Line::response(bytes, 0, true)))
}

/// What the message is to be sent with now; initializes a session if it needs one that is deferred, or that belongs to
/// another AWS account. `check` has the last word on the message, after the session is known.
pub(crate) fn transport_for(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    check: impl Fn() -> Result<(), Error>,
) -> Result<Transport, Box<FailedAttempt>> {
    let needs_session = message.needs_session();
    if needs_session && let Some(http_sse) = http_sse_for(server, message) {
        check().map_err(FailedAttempt::permanent)?;
        return Ok(Transport::HttpSse(http_sse));
    }
    let credentials = server.client.credentials(message.deadline, message.cancel);
    let credentials = credentials.map_err(FailedAttempt::permanent)?;
    loop {
        let session = if needs_session {
            session_for(server, message, &credentials).map_err(FailedAttempt::permanent)?
        } else {
            Arc::default()
        };
        // What is known of the tools ends with the session, so each attempt is checked again.
        check().map_err(FailedAttempt::permanent)?;
        let page = message.page(server);
        let depends_on_session = needs_session && (message.tool.is_some() || page.is_some());
        if !depends_on_session || server.state.session().number() == session.number() {
            return Ok(Transport::StreamableHttp { credentials, session, page });
        }
    }
}

fn http_sse_for(server: &RemoteServer, message: &PreparedMessage<'_>) -> Option<Arc<HttpSse>> {
    if matches!(message.message.kind(), MessageKind::Response)
        && let Some(offer) = server.state.offer()
    {
        return offer.http_sse;
    }
    server.state.http_sse()
}

/// The session to send a message with, as soon as it can be used.
fn session_for(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    credentials: &Credentials,
) -> Result<Arc<Session>, Error> {
    let PreparedMessage { deadline, cancel, .. } = *message;
    if matches!(message.message.kind(), MessageKind::Response) {
        let offered = server.state.offer().map(|offer| offer.session);
        return Ok(offered.unwrap_or_else(|| server.state.session()));
    }
    let is_pending = server.state.is_initialize_deferred() || server.initializing.is_under_way();
    let mut session = server.state.session();
    if is_pending {
        session = live_session(server, None, deadline, cancel)?;
    }
    if session.id().is_some() && session.is_of_another(credentials.account.as_deref()) {
        server.log.debug("the AWS account has changed: the session is begun anew");
        session = live_session(server, Some(&session), deadline, cancel)?;
    }
    Ok(session)
}

/// After an attempt whose session was dead: initializes another one. True, for another attempt.
pub(crate) fn replace_session(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    failed: &FailedAttempt,
) -> Result<bool, Error> {
    server.log.debug(format_args!("the session is dead: {}", failed.error));
    live_session(server, Some(&failed.sent.session), message.deadline, message.cancel)?;
    Ok(true)
}

/// The session, once none is being initialized; initializes one if it is deferred, or if `dead` is still in use.
pub(crate) fn live_session(
    server: &Arc<RemoteServer>,
    dead: Option<&Session>,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Arc<Session>, Error> {
    let state = &server.state;
    let find = |_| {
        let is_deferred = state.is_initialize_deferred();
        let session = state.session();
        let is_dead = dead.is_some_and(|dead| dead.number() == session.number());
        (!is_deferred && !is_dead).then_some(session)
    };
    let worker = Arc::clone(server);
    let found = server.initializing.get(deadline, cancel, find, move || initialize(&worker));
    found.map_err(|error| match error.kind() {
        Kind::Cancelled => error,
        _ if state.is_initialize_deferred() => error.context("the session could not be begun"),
        _ => error.context("the session has ended, and a new one could not be begun"),
    })
}

fn initialize(server: &RemoteServer) -> Result<(), Error> {
    let is_replaced = handshake(server);
    let was_deferred = {
        let mut stored = server.state.stored_initialize();
        let was_deferred = stored.is_deferred;
        stored.is_deferred &= !matches!(is_replaced, Ok(true));
        was_deferred
    };
    if is_replaced? {
        announce_session(server, was_deferred);
    }
    Ok(())
}

/// Tells the client's side that a new session is in use.
fn announce_session(server: &RemoteServer, was_deferred: bool) {
    let mut pieces = vec![Relayed::NewSession];
    if was_deferred && server.is_lazy {
        pieces.extend(["tools", "prompts", "resources"].map(|list| {
            let line =
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
            Relayed::Line(Line::notification(line.into_bytes()))
        }));
    }
    // An error says that the client is gone.
    let _ = pieces.into_iter().try_for_each(|piece| server.relay_for_session(piece));
}

/// Sends what the client once sent, under an id of our own. False: the client has begun another session meanwhile.
fn handshake(server: &RemoteServer) -> Result<bool, Error> {
    let dead = server.state.session();
    let (initialize, is_deferred) = {
        let stored = server.state.stored_initialize();
        (stored.initialize.clone(), stored.is_deferred)
    };
    let initialize = initialize
        .and_then(|line| Message::parse(line.to_vec()).ok())
        .map(|message| match server.state.tools.policy().metadata().added_to(&message) {
            Ok(Some(changed)) => changed,
            // It had its metadata when it was sent, or it would not have been.
            Ok(None) | Err(_) => message,
        })
        .and_then(|message| message.with_id(&format!("sigv4-proxy-{}", random::uuid())))
        .ok_or_else(|| {
            Error::new(Kind::InvalidResponse, "it was not begun through this process")
        })?;
    let deadline = Instant::now().checked_add(INITIALIZE_TIMEOUT);
    let credentials = server.client.credentials(deadline, &server.closing)?;
    let response = post(server, &initialize, &Session::default(), deadline)?;
    let account = credentials.account.as_deref();
    let offered = Session::offered(response.header("mcp-session-id"), account);
    let standing = server.state.set_offer(offered, None);

    let version = RefCell::new(None);
    let on_initialized = |named| *version.borrow_mut() = Some(named);
    // The server may send a request before it responds; its response is for us.
    let sink: &mut Sink<'_> = &mut |piece| match piece {
        Relayed::Line(line) if line.is_response() => Ok(()),
        other => server.relay_for_session(other),
    };
    let mut relay = Relay::new(server, initialize.ids(), sink);
    relay.on_initialized = Some(&on_initialized);
    relay_body(response.response, &mut relay).map_err(|unanswered| unanswered.error)?;
    let Some(version) = version.take() else {
        return Err(Error::new(Kind::InvalidResponse, "the server refused to initialize again"));
    };
    let mut session = Session::clone(&dead);
    session.begin(&standing.offer.session, version);
    if !is_deferred && session.version() != dead.version() {
        server.log.warn(format_args!(
            "the new session speaks protocol {}, the old one spoke {}",
            session.version().unwrap_or("unknown"),
            dead.version().unwrap_or("unknown")
        ));
    }
    let initialized = server.state.stored_initialize().initialized.clone();
    let initialized = initialized.as_deref().unwrap_or(INITIALIZED);
    if let Ok(initialized) = Message::parse(initialized.to_vec()) {
        post(server, &initialized, &session, deadline)?.response.finish();
    }
    if !is_deferred {
        server.log.debug("the session was begun anew; what the old one held is gone");
    }
    Ok(server.state.replace_session(&dead, session))
}

/// Sends one message of the handshake, as often as `retry` allows. An error response is an error.
fn post<'a>(
    server: &'a RemoteServer,
    message: &Message,
    session: &Session,
    deadline: Option<Instant>,
) -> Result<SignedResponse<'a>, Error> {
    let cancel = &*server.closing;
    let mut headers = POST_HEADERS.to_vec();
    headers.extend(session_headers(session));
    let message = PreparedMessage::new(server, message, deadline, cancel);
    let request = message.request(server.client.target(), &headers);
    let mut recovery = Recovery::new(server, &message);
    loop {
        let credentials = server.client.credentials(deadline, cancel)?;
        // Without the session: whatever fails here, another session does not help.
        let sent = Sent::without_session(server.client.signing_time());
        let failed = match server.client.send(&request, &credentials, cancel) {
            Ok(response) if (200..300).contains(&response.status()) => return Ok(response),
            Ok(mut response) => {
                FailedAttempt::error_response(server, &message, &mut response, &credentials, sent)
            }
            Err(error) => FailedAttempt::no_response(error, sent),
        };
        let next = recovery.decide(&failed);
        if !recovery.recover(&next, &failed)? {
            return Err(failed.error);
        }
    }
}
