//! `Failed`: an attempt that failed, with all that `retry` wants to know of it.

use crate::aws::error_cause::Cause;
use crate::clock;
use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::http::{parse_date, parse_retry_after, parse_retry_after_millis};
use crate::json::edit::one_line;
use crate::log::Log;
use crate::mcp::error_response::without_secrets;
use crate::mcp::server_message::ErrorBody;
use crate::mcp::session::Session;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relay::KeptError;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::retry::Delivery;
use crate::upstream::response::SignedResponse;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// `lines`, if there are any, are what the client gets when nothing can be done.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// `None`: another attempt would be no better.
    pub(crate) delivery: Option<Delivery>,
    pub(crate) status: u16,
    pub(crate) code: Option<i64>,
    pub(crate) cause: Cause,
    pub(crate) text: String,
    /// The server's own errors, one for each request.
    pub(crate) lines: Vec<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) server_time: Option<OffsetDateTime>,
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) sent: Sent,
}

/// What belongs to one attempt.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) signed_at: OffsetDateTime,
    pub(crate) session: Arc<Session>,
    pub(crate) param_headers: Vec<(String, String)>,
}

impl Sent {
    pub(crate) fn without_session(signed_at: OffsetDateTime) -> Sent {
        Sent { signed_at, session: Arc::default(), param_headers: Vec::new() }
    }
}

impl Failed {
    /// Another attempt would be no better.
    pub(crate) fn permanent(error: Error) -> Box<Failed> {
        Box::new(Failed {
            error,
            delivery: None,
            status: 0,
            code: None,
            cause: Cause::Other,
            text: String::new(),
            lines: Vec::new(),
            retry_after: None,
            server_time: None,
            credentials: None,
            sent: Sent::without_session(OffsetDateTime::UNIX_EPOCH),
        })
    }

    /// No byte of an answer came.
    pub(crate) fn no_response(error: Error, sent: Sent) -> Box<Failed> {
        let delivery = match error.kind() {
            Kind::Unreachable if error.is_unsent() => Some(Delivery::NotSent),
            Kind::Unreachable => Some(Delivery::Unknown),
            _ => None,
        };
        Box::new(Failed { delivery, sent, ..*Failed::permanent(error) })
    }

    /// An error that came as a proper answer.
    pub(crate) fn kept(kept: KeptError, credentials: Arc<Credentials>, sent: Sent) -> Box<Failed> {
        let text = ErrorBody::parse(&kept.line).map(|body| body.message.into_owned());
        let text = text.unwrap_or_default();
        let error =
            Error::new(Kind::InvalidResponse, format!("error {} of the server: {text}", kept.code));
        Box::new(Failed {
            delivery: Some(Delivery::Answered),
            status: 200,
            code: Some(kept.code),
            text,
            lines: vec![kept.line],
            credentials: Some(credentials),
            sent,
            ..*Failed::permanent(error)
        })
    }

    /// An error response, whose body is read here.
    pub(crate) fn error_response(
        server: &RemoteServer,
        message: &PreparedMessage<'_>,
        response: &mut SignedResponse<'_>,
        credentials: &Arc<Credentials>,
        sent: Sent,
    ) -> Box<Failed> {
        let report = server.client.read_error(response, credentials);
        let error_body = ErrorBody::parse(&report.body);
        let date = response.header("date").and_then(parse_date).unwrap_or_else(clock::now);
        let retry_after = response
            .header("x-amz-retry-after")
            .and_then(parse_retry_after_millis)
            .or_else(|| parse_retry_after(response.header("retry-after")?, date));
        Box::new(Failed {
            delivery: Some(Delivery::Answered),
            status: response.status(),
            code: error_body.as_ref().map(|body| body.code),
            cause: report.cause,
            text: match &error_body {
                Some(body) => body.message.clone().into_owned(),
                None => report.text,
            },
            lines: error_body.map_or_else(Vec::new, |body| {
                message.message.ids().iter().map(|id| body.with_id(id)).collect()
            }),
            error: report.error,
            retry_after,
            server_time: report.server_time,
            credentials: Some(Arc::clone(credentials)),
            sent,
        })
    }

    /// Relays the server's own errors as the responses that they are; without any, returns the error.
    pub(crate) fn give_up(self, log: &Log, sink: &mut Sink<'_>) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Err(self.error);
        }
        let last = self.lines.len() - 1;
        for (index, line) in self.lines.into_iter().enumerate() {
            let bytes = one_line(without_secrets(line, log.redactor()).into_bytes());
            sink(Relayed::Line(Line::response(bytes, index, index == last)))?;
        }
        Ok(())
    }
}
