//! `FailedAttempt`: why an attempt failed, for `retry`, and what the client is sent if nothing helps.

use crate::clock;
use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::http::{parse_date, parse_retry_after, parse_retry_after_millis};
use crate::log::Log;
use crate::mcp::error_response::without_secrets;
use crate::mcp::server_message::ErrorBody;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::recoverable_errors::HeldError;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::retry::{Delivery, Failure};
use crate::streamable_http::server_state::ServerSession;
use crate::upstream::response::SignedResponse;
use std::sync::Arc;
use time::OffsetDateTime;

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) error: Error,
    /// What is decided from; `None` if another attempt would end in the same way.
    pub(crate) failure: Option<Failure>,
    /// The server's own errors, one for each request: sent to the client in place of `error`.
    lines: Vec<String>,
    /// What the request was signed with.
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) sent: Sent,
}

/// What belongs to one attempt.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) signed_at: OffsetDateTime,
    pub(crate) session: Arc<ServerSession>,
    pub(crate) param_headers: Vec<(String, String)>,
}

impl Sent {
    pub(crate) fn in_session(signed_at: OffsetDateTime, session: &Arc<ServerSession>) -> Sent {
        Sent { signed_at, session: Arc::clone(session), param_headers: Vec::new() }
    }

    /// A failure of this attempt.
    fn failure(&self, delivery: Delivery) -> Failure {
        Failure {
            had_session: self.session.can_be_lost(),
            ..Failure::new(delivery, self.signed_at)
        }
    }
}

impl FailedAttempt {
    /// Another attempt would end in the same way.
    pub(crate) fn permanent(error: Error) -> Box<FailedAttempt> {
        Box::new(FailedAttempt {
            error,
            failure: None,
            lines: Vec::new(),
            credentials: None,
            sent: Sent::in_session(OffsetDateTime::UNIX_EPOCH, &Arc::default()),
        })
    }

    /// No byte of a response came.
    pub(crate) fn no_response(error: Error, sent: Sent) -> Box<FailedAttempt> {
        let delivery = match error.kind() {
            Kind::Unreachable if error.is_unsent() => Some(Delivery::NotSent),
            Kind::Unreachable => Some(Delivery::Unknown),
            _ => None,
        };
        let failure = delivery.map(|delivery| sent.failure(delivery));
        Box::new(FailedAttempt { failure, sent, ..*FailedAttempt::permanent(error) })
    }

    /// A successful response whose error was held back.
    pub(crate) fn held(
        held: HeldError,
        credentials: Arc<Credentials>,
        sent: Sent,
    ) -> Box<FailedAttempt> {
        let body = held.lines.first().and_then(|line| ErrorBody::parse(line));
        let text = body.map(|body| body.message);
        let text = text.unwrap_or_default();
        let error =
            Error::new(Kind::InvalidResponse, format!("error {} of the server: {text}", held.code));
        let failure = Failure {
            status: 200,
            code: Some(held.code),
            text,
            ..sent.failure(Delivery::Answered)
        };
        Box::new(FailedAttempt {
            failure: Some(failure),
            lines: held.lines,
            credentials: Some(credentials),
            sent,
            ..*FailedAttempt::permanent(error)
        })
    }

    /// An error response, whose body is read here.
    pub(crate) fn error_response(
        server: &RemoteServer,
        message: &PreparedMessage<'_>,
        response: &mut SignedResponse<'_>,
        credentials: &Arc<Credentials>,
        sent: Sent,
    ) -> Box<FailedAttempt> {
        let report = server.client.read_error(response, credentials);
        let error_body = ErrorBody::parse(&report.body);
        let date = response.header("date").and_then(parse_date).unwrap_or_else(clock::now);
        let retry_after = response
            .header("x-amz-retry-after")
            .and_then(parse_retry_after_millis)
            .or_else(|| parse_retry_after(response.header("retry-after")?, date));
        let failure = Failure {
            status: response.status(),
            code: error_body.as_ref().map(|body| body.code),
            cause: report.cause,
            text: match &error_body {
                Some(body) => body.message.clone(),
                None => report.body.clone(),
            },
            retry_after,
            server_time: report.server_time,
            ..sent.failure(Delivery::Answered)
        };
        let lines = error_body.map_or_else(Vec::new, |body| {
            message.message.ids().iter().map(|id| body.with_id(id)).collect()
        });
        Box::new(FailedAttempt {
            error: report.error,
            failure: Some(failure),
            lines,
            credentials: Some(Arc::clone(credentials)),
            sent,
        })
    }

    /// Whether the server refused `initialize` as one of 2024-11-05 does, which offers HTTP+SSE only.
    pub(crate) fn is_of_http_sse_server(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| {
            matches!(failure.status, 400 | 404 | 405) && failure.code.is_none()
        })
    }

    /// Relays the server's own errors as the responses that they are; without any, returns the error.
    pub(crate) fn give_up(self, log: &Log, sink: &mut Sink<'_>) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Err(self.error);
        }
        let last = self.lines.len() - 1;
        for (index, line) in self.lines.into_iter().enumerate() {
            let bytes = without_secrets(line, log.redactor()).into_bytes();
            sink(Relayed::Line(Line::response(bytes, index, index == last)))?;
        }
        Ok(())
    }
}
