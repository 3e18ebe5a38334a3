//! `PreparedMessage`: a message as it is sent, with everything that its attempts share.

use crate::error::Error;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::tool_catalog::Page;
use crate::signing::{Header, Payload};
use crate::streamable_http::recoverable_errors::RecoverableErrors;
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::retry;
use crate::streamable_http::server_state::ServerSession;
use crate::sync::cancel::Cancel;
use crate::upstream::request::{RequestTarget, UnsignedRequest};
use crate::upstream::response::{SignedResponse, request_id};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A message and its limits.
pub(crate) struct PreparedMessage<'a> {
    pub(crate) message: &'a Message,
    /// The message as the client wrote it, without the user's metadata.
    pub(crate) as_written: &'a Message,
    /// The tool that it calls, if there is a tool filter.
    pub(crate) tool: Option<String>,
    /// It requests a page of a merged list: the stream is read only briefly after the response.
    pub(crate) is_page: bool,
    payload: Payload,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: &'a Cancel,
    attempts: RefCell<AttemptLog>,
}

/// The attempts so far, for the log.
#[derive(Debug, Default)]
struct AttemptLog {
    count: u32,
    /// Status of the last response, and the time until its head arrived.
    head: Option<(u16, Duration)>,
    /// Request id of the last response that had one.
    request_id: Option<String>,
}

impl<'a> PreparedMessage<'a> {
    pub(crate) fn new(
        server: &RemoteServer,
        message: &'a Message,
        deadline: Option<Instant>,
        cancel: &'a Cancel,
    ) -> PreparedMessage<'a> {
        PreparedMessage {
            message,
            as_written: message,
            tool: None,
            is_page: false,
            payload: server.client.payload(message.body(), message.hash()),
            deadline,
            cancel,
            attempts: RefCell::default(),
        }
    }

    /// This message as the request for a page of a list.
    pub(crate) fn into_page_of_list(self) -> PreparedMessage<'a> {
        PreparedMessage { is_page: true, ..self }
    }

    /// The POST request that carries it.
    pub(crate) fn request<'r>(
        &'r self,
        target: &'r RequestTarget,
        headers: &'r [Header<'r>],
    ) -> UnsignedRequest<'r> {
        UnsignedRequest {
            body: self.message.body(),
            payload: Some(&self.payload),
            is_stream: self.message.is_subscription(),
            is_idempotent: self.has_idempotent_method(),
            ..UnsignedRequest::new("POST", target, headers, self.deadline)
        }
    }

    /// Whether sending it twice does no harm: by its method, or by what the server's listing says of the tool that it calls.
    pub(crate) fn is_idempotent(&self, server: &RemoteServer) -> bool {
        self.has_idempotent_method()
            || (self.message.method() == Some("tools/call")
                && matches!(self.message.kind(), MessageKind::Request { .. })
                && server.state.tools.may_repeat(self.message.body()))
    }

    fn has_idempotent_method(&self) -> bool {
        match self.message.kind() {
            MessageKind::Request { method, .. } => retry::is_idempotent(method),
            MessageKind::Notification { .. } | MessageKind::Response => true,
            MessageKind::Batch { ids, .. } => ids.is_empty(),
        }
    }

    /// Whether it needs a session: requests of 2026-07-28 need none, nor does the one that begins it.
    pub(crate) fn needs_session(&self) -> bool {
        !self.message.is_initialize() && self.message.request_meta().is_none()
    }

    /// Whether it means the same in another session. A response does not, nor does a cancellation: the request that it
    /// names was lost with the session.
    pub(crate) fn survives_session(&self) -> bool {
        let names_request = matches!(
            self.message.kind(),
            MessageKind::Response | MessageKind::Notification { cancels: Some(_), .. }
        );
        self.needs_session() && !names_request
    }

    /// Whether some of its arguments may have to be repeated in `Mcp-Param-*` headers, which a client that speaks HTTP does
    /// itself.
    pub(crate) fn has_param_headers(&self) -> bool {
        self.message.headers().is_none()
            && self.message.request_meta().is_some()
            && self.message.method() == Some("tools/call")
    }

    /// The errors of a response in this session that another attempt may help against. Of a batch, other requests may have
    /// run.
    pub(crate) fn recoverable_errors(
        &self,
        session: &ServerSession,
        has_runtime_session: bool,
    ) -> RecoverableErrors {
        let is_lone = self.message.ids().len() == 1;
        RecoverableErrors {
            by_code: is_lone,
            of_param_headers: is_lone && self.has_param_headers(),
            of_lost_session: has_runtime_session || (self.needs_session() && session.can_be_lost()),
        }
    }

    /// The page of the list of tools that it requests, if it does. Call it before sending.
    pub(crate) fn page(&self, server: &RemoteServer) -> Option<Page> {
        let is_listing = self.message.method() == Some("tools/list");
        is_listing.then(|| server.state.tools.page(self.message))
    }

    pub(crate) fn count_attempt(&self) {
        self.attempts.borrow_mut().count += 1;
    }

    pub(crate) fn note_response(&self, response: &SignedResponse<'_>, started: Instant) {
        let mut attempts = self.attempts.borrow_mut();
        attempts.head = Some((response.status(), started.elapsed()));
        let request_id = request_id(response).map(str::to_owned);
        attempts.request_id = request_id.or(attempts.request_id.take());
    }

    /// `tools/call 5: HTTP 200 after 12 ms, complete after 30 ms, 2 attempts, request id abc`.
    pub(crate) fn summary(&self, took: Duration, error: Option<&Error>) -> String {
        let mut text = self.message.method().unwrap_or("response").to_owned();
        if matches!(self.message.kind(), MessageKind::Batch { .. }) {
            "batch".clone_into(&mut text);
        }
        for id in self.message.ids() {
            let _ = write!(text, " {}", id.as_json());
        }
        let attempts = self.attempts.borrow();
        let separator = if let Some((status, after)) = attempts.head {
            let _ = write!(text, ": HTTP {status} after {} ms", after.as_millis());
            ", "
        } else {
            ": "
        };
        let _ = write!(text, "{separator}complete after {} ms", took.as_millis());
        if attempts.count > 1 {
            let _ = write!(text, ", {} attempts", attempts.count);
        }
        if let Some(request_id) = &attempts.request_id {
            let _ = write!(text, ", request id {request_id}");
        }
        if let Some(error) = error {
            let _ = write!(text, ", {}", error.kind().name());
        }
        text
    }
}
