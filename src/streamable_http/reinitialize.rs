//! Initializes a session with the client's own `initialize`: a deferred one, or one that replaces a lost session without
//! the client noticing.
//!
//! A thread of its own does it, once for all calls; each call waits for it until its own limit.

use crate::error::{Error, Kind};
use crate::mcp::message::Message;
use crate::mcp::server_message::{ErrorBody, server_error};
use crate::mcp::session::{Session, negotiated};
use crate::random;
use crate::streamable_http::attempt::{AttemptContext, attempt};
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::remedies::Recovery;
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::server_state::{OnInitialized, RefusedInitialize, ServerSession};
use crate::sync::cancel::Cancel;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time limit of an `initialize` that this program sends, whether or not a call still waits for it; allows for a cold start.
const INITIALIZE_TIMEOUT: Duration = Duration::from_secs(120);

/// For a session that is initialized before the client has sent its own.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Responds to `initialize` locally (`--lazy`). It declares only that the lists may change; the client is notified that they
/// have once the server has responded.
pub(crate) fn respond_locally(initialize: &Message, sink: &mut Sink<'_>) -> Result<(), Error> {
    let request = serde_json::from_slice::<Value>(initialize.body()).unwrap_or_default();
    let version = negotiated(request["params"]["protocolVersion"].as_str());
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

/// The session, once none is being initialized; initializes one if it is deferred, or if `lost` is still in use.
pub(crate) fn live_session(
    server: &Arc<RemoteServer>,
    lost: Option<&Session>,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Arc<ServerSession>, Error> {
    let state = &server.state;
    let find = |_| {
        let is_deferred = state.is_initialize_deferred();
        let session = state.session();
        let is_lost = lost.is_some_and(|lost| lost.is(&session));
        (!is_deferred && !is_lost).then_some(session)
    };
    let worker = Arc::clone(server);
    let found = server.initializing.get(deadline, cancel, find, move || initialize(&worker));
    found.map_err(|error| match error.kind() {
        Kind::Cancelled => error,
        _ if state.is_initialize_deferred() => {
            error.context("the session could not be initialized").for_lack_of_session()
        }
        _ => error
            .context("the session has expired, and a new one could not be initialized")
            .for_lack_of_session(),
    })
}

fn initialize(server: &Arc<RemoteServer>) -> Result<(), Error> {
    let is_replaced = handshake(server);
    let is_news = {
        let mut stored = server.state.stored_initialize();
        let is_news = stored.is_deferred && stored.is_answered_locally;
        stored.is_deferred &= !matches!(is_replaced, Ok(true));
        is_news
    };
    match is_replaced {
        Ok(true) => announce_session(server, is_news),
        Ok(false) => {}
        Err(error) => {
            let _ = server.relay_for_session(Relayed::NoSession);
            return Err(error);
        }
    }
    Ok(())
}

/// Announces to the client's side that a new session is in use.
fn announce_session(server: &RemoteServer, is_news: bool) {
    let mut news = vec![Relayed::NewSession];
    if is_news {
        news.extend(["tools", "prompts", "resources"].map(|list| {
            let line =
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
            Relayed::Line(Line::notification(line.into_bytes()))
        }));
    }
    // An error says that the client is gone.
    let _ = news.into_iter().try_for_each(|relayed| server.relay_for_session(relayed));
}

/// Sends the client's `initialize` again, under a new id. False: the client has initialized another session meanwhile.
fn handshake(server: &Arc<RemoteServer>) -> Result<bool, Error> {
    let old = server.state.session();
    let (initialize, initialized, is_deferred) = {
        let stored = server.state.stored_initialize();
        (stored.initialize.clone(), stored.initialized.clone(), stored.is_deferred)
    };
    let initialize = initialize
        .and_then(|line| Message::parse(line.to_vec()).ok())
        .map(|message| match server.state.tools.policy().metadata().added_to(&message) {
            Ok(Some(changed)) => changed,
            // It had its metadata when it was sent, or it would not have been.
            Ok(None) | Err(_) => message,
        })
        .and_then(|message| message.with_own_id(&format!("sigv4-proxy-{}", random::uuid())))
        .ok_or_else(|| {
            Error::new(Kind::InvalidResponse, "it was not initialized by this process")
        })?;
    let deadline = Instant::now().checked_add(INITIALIZE_TIMEOUT);
    let session = send_initialize(server, &initialize, deadline)?;
    server.state.set_refusal(None);
    if !is_deferred && session.version() != old.version() {
        server.log.warn(format_args!(
            "the new session uses protocol version {}, the previous one used {}",
            session.version().unwrap_or("unknown"),
            old.version().unwrap_or("unknown")
        ));
    }
    let session = send_initialized(server, initialized.as_deref(), session, deadline)?;
    if !is_deferred {
        server.log.debug("using a new session; the state of the previous one is lost");
    }
    Ok(server.state.replace_session(&old, session))
}

/// Sends `initialize` and returns the session that it began.
fn send_initialize(
    server: &Arc<RemoteServer>,
    initialize: &Message,
    deadline: Option<Instant>,
) -> Result<ServerSession, Error> {
    let begun = RefCell::new(None);
    let on_initialized = |session| *begun.borrow_mut() = Some(session);
    let mut response = None;
    // The server may send a request before it responds; its response is for us.
    let sink: &mut Sink<'_> = &mut |relayed| match relayed {
        Relayed::Line(line) if line.is_response() => {
            response = Some(line);
            Ok(())
        }
        relayed => server.relay_for_session(relayed),
    };
    let message = PreparedMessage::new(server, initialize, deadline, &server.closing);
    let sent = send(server, &message, &Arc::default(), &on_initialized, sink);
    if let (Ok(()), Some(begun)) = (&sent, begun.take()) {
        let initialize_response = response.map(|line| line.bytes.into());
        return Ok(ServerSession { initialize_response, ..begun });
    }
    let of_response = |line: &Line| {
        let body = str::from_utf8(&line.bytes).ok().and_then(ErrorBody::parse);
        body.map(|body| server_error(body.code, &body.message))
    };
    let error = sent.err().or_else(|| response.as_ref().and_then(of_response));
    let error = error.unwrap_or_else(|| {
        Error::new(Kind::InvalidResponse, "the server did not respond to initialize")
    });
    server.state.set_refusal(Some(RefusedInitialize { response, error: error.clone() }));
    Err(error)
}

/// Sends `notifications/initialized` in a session that no call uses yet. Returns it under its latest id.
fn send_initialized(
    server: &Arc<RemoteServer>,
    initialized: Option<&[u8]>,
    session: ServerSession,
    deadline: Option<Instant>,
) -> Result<ServerSession, Error> {
    let standing = server.state.set_offer(session.clone());
    if let Ok(initialized) = Message::parse(initialized.unwrap_or(INITIALIZED).to_vec()) {
        let message = PreparedMessage::new(server, &initialized, deadline, &server.closing);
        let sent = send(server, &message, &Arc::new(session.clone()), &|_| (), &mut |_| Ok(()));
        if let Err(error) = sent {
            session.close();
            return Err(error);
        }
    }
    Ok(standing.session().map_or(session, |latest| ServerSession::clone(&latest)))
}

/// Sends one message of the handshake, as often as `retry` allows. Another session is not started.
fn send(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    session: &Arc<ServerSession>,
    on_initialized: OnInitialized<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let mut recovery = Recovery::new(server, message);
    loop {
        let credentials =
            server.client.credentials_for_request(message.deadline, message.cancel)?;
        let context = AttemptContext { credentials, session: Arc::clone(session), page: None };
        let Err(failed) = attempt(server, message, context, on_initialized, sink) else {
            recovery.succeeded();
            return Ok(());
        };
        let next = recovery.decide(&failed);
        if !recovery.recover(&next, &failed, sink)? {
            return failed.give_up(message, &server.log, sink);
        }
    }
}
