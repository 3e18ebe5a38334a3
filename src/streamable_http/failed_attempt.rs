//! `FailedAttempt`: why an attempt failed, for `retry`, and the error for the client if it is the last.

use crate::aws::error_cause::Cause;
use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::log::Log;
use crate::mcp::error_response::{array, wholly_without_secrets, without_secrets};
use crate::mcp::server_message::{ErrorBody, server_error};
use crate::streamable_http::affinity::AttemptIds;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::recoverable_errors::HeldError;
use crate::streamable_http::relayed::{Head, Line, Relayed, Sink};
use crate::streamable_http::remote_server::{RemoteServer, head_of};
use crate::streamable_http::response_body::{Ending, Unanswered};
use crate::streamable_http::retry::{Delivery, Failure};
use crate::streamable_http::server_state::ServerSession;
use crate::upstream::response::{SignedResponse, retry_after};
use std::sync::Arc;
use std::time::Duration;

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) error: Error,
    /// What is decided from; `None` if another attempt would end in the same way.
    pub(crate) failure: Option<Failure>,
    /// The server's own errors, one for each request: sent to the client instead of `error`.
    lines: Vec<String>,
    /// The server's own error for a message without requests.
    refusal: Option<String>,
    /// The head of the server's response, if the client has it.
    head: Option<Box<Head>>,
    /// What the request was signed with.
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) sent: SentRequest,
}

/// The request of an attempt, as far as its failure depends on it.
#[derive(Debug)]
pub(crate) struct SentRequest {
    pub(crate) session: Arc<ServerSession>,
    /// The message can be sent again in another session, should this one be lost.
    can_change_session: bool,
    pub(crate) param_headers: Vec<(String, String)>,
    pub(crate) runtime_ids: AttemptIds,
}

impl SentRequest {
    pub(crate) fn new(message: &PreparedMessage<'_>, session: &Arc<ServerSession>) -> SentRequest {
        SentRequest {
            session: Arc::clone(session),
            can_change_session: session.can_be_lost() && message.survives_session(),
            param_headers: Vec::new(),
            runtime_ids: AttemptIds::default(),
        }
    }

    /// Of an attempt that sent none.
    fn none() -> SentRequest {
        SentRequest {
            session: Arc::default(),
            can_change_session: false,
            param_headers: Vec::new(),
            runtime_ids: AttemptIds::default(),
        }
    }

    /// A failure of this attempt.
    fn failure(&self, delivery: Delivery) -> Failure {
        Failure {
            can_change_session: self.can_change_session,
            has_runtime_session: self.runtime_ids.any_carried(),
            ..Failure::new(delivery)
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
            refusal: None,
            head: None,
            credentials: None,
            sent: SentRequest::none(),
        })
    }

    /// No byte of a response came.
    pub(crate) fn no_response(
        server: &RemoteServer,
        error: Error,
        sent: SentRequest,
    ) -> Box<FailedAttempt> {
        let delivery = match error.kind() {
            Kind::Unreachable if error.is_unsent() => Some(Delivery::NotSent),
            Kind::Unreachable => Some(Delivery::Unknown),
            _ => None,
        };
        let error = match delivery {
            Some(Delivery::Unknown) => server.client.explain_cut(error),
            _ => error,
        };
        let failure = delivery.map(|delivery| sent.failure(delivery));
        Box::new(FailedAttempt { failure, sent, ..*FailedAttempt::permanent(error) })
    }

    /// A successful response that ended without a response to the request.
    pub(crate) fn unanswered(
        server: &RemoteServer,
        message: &PreparedMessage<'_>,
        unanswered: Unanswered,
        sent: SentRequest,
    ) -> Box<FailedAttempt> {
        let may_send_again = match unanswered.ending {
            // Since 2026-07-28 a broken response has lost its request, and only the client has a new id for it.
            Ending::CutShort => message.message.request_meta().is_none(),
            Ending::Empty => true,
            Ending::Other => false,
        };
        let failure = may_send_again.then(|| sent.failure(Delivery::Unknown));
        let error = match unanswered.ending {
            Ending::CutShort => server.client.explain_cut(unanswered.error),
            Ending::Empty | Ending::Other => unanswered.error,
        };
        Box::new(FailedAttempt { failure, sent, ..*FailedAttempt::permanent(error) })
    }

    /// A successful response whose error was held back.
    pub(crate) fn held(
        held: HeldError,
        credentials: Arc<Credentials>,
        sent: SentRequest,
    ) -> Box<FailedAttempt> {
        let body = held.lines.first().and_then(|line| ErrorBody::parse(line));
        let text = body.map(|body| body.message);
        let text = text.unwrap_or_default();
        let error = server_error(held.code, &text);
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
        sent: SentRequest,
    ) -> Box<FailedAttempt> {
        let report = server.client.read_error(response, credentials);
        let error_body = ErrorBody::parse(&report.body);
        let retry_after = retry_after(response);
        let is_throttled =
            matches!(response.status(), 429 | 503) || report.cause == Cause::Throttled;
        let wait = retry_after.filter(|wait| is_throttled && !wait.is_zero()).map(try_again_in);
        let error = match &wait {
            Some(wait) => report.error.hint(wait.clone()),
            None => report.error,
        };
        let failure = Failure {
            status: response.status(),
            code: error_body.as_ref().map(|body| body.code),
            cause: report.cause,
            text: match &error_body {
                Some(body) => body.message.clone(),
                None => report.body.clone(),
            },
            retry_after,
            signed_at: Some(response.signed_at),
            server_time: report.server_time,
            ..sent.failure(Delivery::Answered)
        };
        let error_body = error_body.map(|body| match &wait {
            Some(wait) => body.with_advice(wait),
            None => body,
        });
        let (ids, headers) = (message.message.ids(), message.message.headers());
        // On stdio there is no response to a notification.
        let is_refusal = error_body.is_some() && ids.is_empty() && headers.is_some();
        let lines = error_body
            .map_or_else(Vec::new, |body| ids.iter().map(|id| body.with_id(id)).collect());
        Box::new(FailedAttempt {
            error,
            failure: Some(failure),
            lines,
            refusal: is_refusal.then_some(report.body),
            head: headers.map(|_| Box::new(head_of(response))),
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

    /// Relays the server's own errors as the responses to the message that they are; without any, returns the error.
    pub(crate) fn give_up(
        self,
        message: &PreparedMessage<'_>,
        log: &Log,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if let Some(head) = self.head {
            sink(Relayed::Head(head))?;
        }
        let status = self.failure.map(|failure| failure.status);
        let http_error = status.filter(|status| *status >= 300);
        if let Some(refusal) = self.refusal {
            let bytes = wholly_without_secrets(refusal, log.redactor()).into_bytes();
            let line = Line { http_error, is_last: true, ..Line::notification(bytes) };
            return sink(Relayed::Line(line));
        }
        if self.lines.is_empty() {
            return Err(self.error);
        }
        let answers = (0..self.lines.len()).collect();
        let mut lines = self.lines.into_iter().map(|line| without_secrets(line, log.redactor()));
        let text = if message.message.is_batch() {
            array(lines)
        } else {
            lines.next().unwrap_or_default()
        };
        let line = Line::responses(text.into_bytes(), answers);
        sink(Relayed::Line(Line { http_error, is_last: true, ..line }))
    }
}

/// Advice to wait as long as the server asks.
fn try_again_in(wait: Duration) -> String {
    let seconds = wait.as_secs_f64().ceil();
    let (count, unit) = match wait.as_secs() {
        0..120 => return format!("try again in {seconds} s"),
        120..7200 => (seconds / 60.0, "min"),
        7200..172_800 => (seconds / 3600.0, "h"),
        _ => (seconds / 86400.0, "days"),
    };
    format!("try again in {} {unit} (Retry-After: {seconds} s)", count.ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_in_words() {
        for (wait, expected) in [
            (Duration::from_millis(1), "try again in 1 s"),
            (Duration::from_secs(20), "try again in 20 s"),
            (Duration::from_secs(3599), "try again in 60 min (Retry-After: 3599 s)"),
            (Duration::from_secs(3600), "try again in 60 min (Retry-After: 3600 s)"),
            (Duration::from_secs(86_400), "try again in 24 h (Retry-After: 86400 s)"),
            (Duration::from_secs(864_000), "try again in 10 days (Retry-After: 864000 s)"),
        ] {
            assert_eq!(try_again_in(wait), expected);
        }
        assert!(try_again_in(Duration::MAX).contains("days"));
    }
}
