//! One attempt: a message sent once, and what comes back for it relayed.

use crate::credentials::Credentials;
use crate::mcp::message::Message;
use crate::mcp::request_meta::RequestMeta;
use crate::mcp::session::Session;
use crate::mcp::tool_catalog::Page;
use crate::streamable_http::failed_attempt::{FailedAttempt, Sent};
use crate::streamable_http::http_sse::HttpSse;
use crate::streamable_http::http_sse_attempt;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::recoverable_errors::RecoverableErrors;
use crate::streamable_http::relay::Relay;
use crate::streamable_http::relayed::Sink;
use crate::streamable_http::remote_server::{POST_HEADERS, RemoteServer, session_headers};
use crate::streamable_http::response_body::relay_body;
use crate::streamable_http::resume::resume;
use crate::upstream::response::SignedResponse;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the body of a notification's error response may take: the messages that follow wait for it.
const NOTIFICATION_ERROR_TIMEOUT: Duration = Duration::from_secs(1);

/// What one attempt is sent with.
pub(crate) enum Transport {
    StreamableHttp {
        credentials: Arc<Credentials>,
        /// The default one for a message that needs none.
        session: Arc<Session>,
        /// The page of the list of tools that the message asks for, if it does.
        page: Option<Page>,
    },
    HttpSse(Arc<HttpSse>),
}

/// Sends the message and relays what comes back.
pub(crate) fn attempt(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
    transport: Transport,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    message.count_attempt();
    let (credentials, session, page) = match transport {
        Transport::StreamableHttp { credentials, session, page } => (credentials, session, page),
        Transport::HttpSse(http_sse) => {
            return http_sse_attempt::attempt(server, message, &http_sse, sink);
        }
    };
    let started = server.log.is_debug().then(Instant::now);
    let sent = Sent {
        signed_at: server.client.signing_time(),
        session,
        param_headers: param_headers(server, message),
    };
    let mut headers = Vec::with_capacity(8);
    headers.extend(POST_HEADERS);
    headers.extend(session_headers(&sent.session));
    headers.extend(message.message.request_meta().into_iter().flat_map(RequestMeta::headers));
    headers.extend(sent.param_headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let request = message.request(server.client.target(), &headers);
    let response = server.client.send(&request, &credentials, message.cancel);
    drop(headers);
    let mut response = match response {
        Ok(response) => response,
        Err(error) => return Err(FailedAttempt::no_response(error, sent)),
    };
    if let Some(started) = started {
        message.note_response(&response, started);
    }
    if (200..300).contains(&response.status()) {
        let answered = Answered { response, credentials, sent, page };
        return relay_response(server, message, answered, sink);
    }
    if message.message.ids().is_empty() {
        response.set_deadline(Instant::now().checked_add(NOTIFICATION_ERROR_TIMEOUT));
    }
    let failed = FailedAttempt::error_response(server, message, &mut response, &credentials, sent);
    drop(response);
    if message.message.is_initialize() && failed.is_of_http_sse_server() {
        return http_sse_attempt::initialize(server, message, &credentials, failed, sink);
    }
    Err(failed)
}

/// The `Mcp-Param-*` headers of a call, as far as its tool is known.
pub(crate) fn param_headers(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
) -> Vec<(String, String)> {
    if message.has_param_headers() {
        server.state.tools.headers(message.message.body())
    } else {
        Vec::new()
    }
}

/// A successful response, and what its request was sent with.
struct Answered<'a> {
    response: SignedResponse<'a>,
    credentials: Arc<Credentials>,
    sent: Sent,
    page: Option<Page>,
}

fn relay_response(
    server: &RemoteServer,
    prepared: &PreparedMessage<'_>,
    answered: Answered<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    let Answered { response, credentials, sent, page } = answered;
    let message: &Message = prepared.message;
    if prepared.needs_session() && sent.session.id().is_none() {
        let id = response.header("mcp-session-id");
        if id.is_some() {
            server.state.update_session(|session| session.learn_id(id));
        }
    }
    if message.ids().is_empty() {
        // What a server sends here means nothing, and no request waits for it.
        response.response.finish();
        return Ok(());
    }
    let standing = message.is_initialize().then(|| {
        let account = credentials.account.as_deref();
        let session = Session::offered(response.header("mcp-session-id"), account);
        server.state.set_offer(session, None)
    });
    let on_initialized = |version| {
        if let Some(standing) = &standing {
            server.state.accept_offer(&standing.offer, prepared.as_written, version);
        }
    };
    let mut relay = Relay::new(server, message.ids(), sink)
        .learning(page)
        .holding_back(RecoverableErrors::of(server, prepared));
    if message.is_initialize() {
        relay.on_initialized = Some(&on_initialized);
    }
    let result = match relay_body(response.response, &mut relay) {
        // Since 2026-07-28 a broken stream has lost its request.
        Err(unanswered) if message.request_meta().is_none() => {
            // The session that the stream belongs to; its id may have come with the response.
            let session = match &standing {
                Some(standing) => Arc::clone(&standing.offer.session),
                None if sent.session.id().is_some() => Arc::clone(&sent.session),
                None => server.state.session(),
            };
            resume(server, prepared, &session, &mut relay, unanswered)
        }
        other => other.map_err(|unanswered| unanswered.error),
    };
    match (result, relay.take_held_error()) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(held)) => Err(FailedAttempt::held(held, credentials, sent)),
        (Err(error), _) => Err(FailedAttempt::permanent(error)),
    }
}
