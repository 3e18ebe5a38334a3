//! One attempt: sends a message once and relays the response.

use crate::credentials::Credentials;
use crate::mcp::message::Message;
use crate::mcp::request_meta::RequestMeta;
use crate::mcp::tool_catalog::Page;
use crate::streamable_http::failed_attempt::{FailedAttempt, SentRequest};
use crate::streamable_http::http_sse_attempt::{self, HttpSseAttempt};
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relay::{PAGE_GRACE, Relay};
use crate::streamable_http::relayed::{Relayed, Sink};
use crate::streamable_http::remote_server::{
    POST_HEADERS, RemoteServer, head_of, of_http_client, session_headers, session_id,
};
use crate::streamable_http::response_body::relay_body;
use crate::streamable_http::resume::resume;
use crate::streamable_http::server_state::{OnInitialized, ServerSession, StandingOffer};
use crate::upstream::response::SignedResponse;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time limit for the body of a notification's error response: the messages that follow wait for it.
const NOTIFICATION_ERROR_TIMEOUT: Duration = Duration::from_secs(1);

/// What an attempt needs in addition to the message.
pub(crate) struct AttemptContext {
    pub(crate) credentials: Arc<Credentials>,
    /// The default one for a message that needs none.
    pub(crate) session: Arc<ServerSession>,
    /// The page of the list of tools that the message requests, if it does.
    pub(crate) page: Option<Page>,
}

/// Sends the message and relays what comes back.
pub(crate) fn attempt(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    context: AttemptContext,
    on_initialized: OnInitialized<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    message.count_attempt();
    let AttemptContext { credentials, session, mut page } = context;
    if let Some(http_sse) = &session.http_sse {
        let attempt = HttpSseAttempt {
            server,
            message,
            credentials: &credentials,
            session: &session,
            http_sse,
        };
        return attempt.run(page, sink);
    }
    let started = server.log.is_debug().then(Instant::now);
    let mut sent = SentRequest::new(message, &session);
    sent.param_headers = param_headers(server, message);
    let PreparedMessage { deadline, cancel, .. } = *message;
    let membership = server.affinity.join(message.message, &credentials, deadline, cancel);
    let membership = membership.map_err(FailedAttempt::permanent)?;
    let mut headers = Vec::with_capacity(8);
    if let Some(of_client) = message.message.headers() {
        headers.extend(of_http_client(of_client));
        headers.extend(session.id().map(|id| ("mcp-session-id", id)));
    } else {
        headers.extend(POST_HEADERS);
        headers.extend(session_headers(&session));
        headers.extend(message.message.request_meta().into_iter().flat_map(RequestMeta::headers));
        let param_headers = sent.param_headers.iter();
        headers.extend(param_headers.map(|(name, value)| (name.as_str(), value.as_str())));
    }
    headers.extend(membership.header());
    let request = message.request(server.client.target(), &headers);
    let response = server.client.send(&request, &credentials, message.cancel);
    drop(headers);
    let mut response = match response {
        Ok(response) => response,
        Err(error) => return Err(FailedAttempt::no_response(server, error, sent)),
    };
    if let Some(started) = started {
        message.note_response(&response, started);
    }
    let is_initialize = message.message.is_initialize();
    sent.runtime_ids = membership.take_head(&response, &credentials, is_initialize);
    if (200..300).contains(&response.status()) {
        // Clients without a session share this state: an id that one of them is given is not for the others.
        let is_shared = message.message.headers().is_some() && session.id().is_none();
        if message.needs_session() && !is_shared {
            server.learn_session_id(&mut sent.session, &response, page.as_mut());
        }
        if message.message.headers().is_some() {
            sink(Relayed::Head(Box::new(head_of(&response)))).map_err(FailedAttempt::permanent)?;
        }
        let success = Success { response, credentials, sent, page };
        return relay_response(server, message, success, on_initialized, sink);
    }
    if message.message.ids().is_empty() {
        response.set_deadline(Instant::now().checked_add(NOTIFICATION_ERROR_TIMEOUT));
    }
    let failed = FailedAttempt::error_response(server, message, &mut response, &credentials, sent);
    drop(response);
    if is_initialize {
        server.affinity.keep(&failed.sent.runtime_ids);
    }
    if is_initialize && failed.is_of_http_sse_server() {
        return http_sse_attempt::initialize(server, message, failed, on_initialized, sink);
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
struct Success<'a> {
    response: SignedResponse<'a>,
    credentials: Arc<Credentials>,
    sent: SentRequest,
    page: Option<Page>,
}

fn relay_response(
    server: &RemoteServer,
    prepared: &PreparedMessage<'_>,
    success: Success<'_>,
    on_initialized: OnInitialized<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    let Success { response, credentials, sent, page } = success;
    let message: &Message = prepared.message;
    if message.ids().is_empty() {
        // A body has no meaning here, and no request waits for it.
        response.response.finish();
        return Ok(());
    }
    let offered = if message.is_initialize() {
        let id = session_id(&response).map_err(FailedAttempt::permanent)?;
        let session = server.state.new_session(id, credentials.account.as_deref());
        Some(ServerSession { session, ..ServerSession::default() })
    } else {
        None
    };
    let standing = offered.clone().map(|offered| server.state.set_offer(offered));
    // Only with a session on offer: the version is parsed out of the whole response.
    let is_initialized = Cell::new(false);
    let on_result = offered.as_ref().map(|offered| {
        |version| {
            is_initialized.set(true);
            // Another response may have named another id meanwhile.
            let latest = standing.as_ref().and_then(StandingOffer::session);
            on_initialized(latest.as_deref().unwrap_or(offered).with_version(version));
        }
    });
    let mut relay = Relay::new(server, message.ids(), sink)
        .learning(page)
        .holding_back(prepared.recoverable_errors(&sent.session, sent.runtime_ids.any_carried()));
    relay.is_batch = message.is_batch();
    relay.keeps_events = message.headers().is_some();
    if prepared.is_page {
        relay.stream_grace = PAGE_GRACE;
    }
    relay.on_initialized = on_result.as_ref().map(|on_result| on_result as _);
    let result = match relay_body(response.response, &mut relay) {
        // Since 2026-07-28 a broken stream has lost its request.
        Err(unanswered) if message.request_meta().is_none() => {
            // The stream belongs to the session that was offered with it, or to the one that the request was sent in.
            let session = match &standing {
                Some(standing) => standing.session().unwrap_or_else(|| server.state.session()),
                None => Arc::clone(&sent.session),
            };
            resume(server, prepared, session, &mut relay, unanswered)
        }
        other => other,
    };
    if offered.is_some() && !is_initialized.get() {
        server.affinity.keep(&sent.runtime_ids);
    }
    match (result, relay.take_held_error()) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(held)) => Err(FailedAttempt::held(held, credentials, sent)),
        (Err(unanswered), _) => Err(FailedAttempt::unanswered(server, prepared, unanswered, sent)),
    }
}
