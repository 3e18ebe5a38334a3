//! `Failed`: an attempt that failed, with all that `retry` wants to know of it.

use crate::aws::error_cause::Cause;
use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::json::edit::one_line;
use crate::mcp::message::safe_error;
use crate::mcp::server_message::ErrorBody;
use crate::mcp::session::Session;
use crate::redact::Redactor;
use crate::streamable_http::relay::{KeptError, Line, Relayed, Sink};
use crate::streamable_http::retry::Delivery;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// `lines`, if there are any, are what the client gets when nothing can be done.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// `None`: another attempt would be no better.
    pub(crate) reached: Option<Delivery>,
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
    pub(crate) mirrors: Vec<(String, String)>,
}

impl Failed {
    /// Another attempt would be no better.
    pub(crate) fn for_good(error: Error) -> Box<Failed> {
        Box::new(Failed {
            error,
            reached: None,
            status: 0,
            code: None,
            cause: Cause::Other,
            text: String::new(),
            lines: Vec::new(),
            retry_after: None,
            server_time: None,
            credentials: None,
            sent: Sent {
                signed_at: OffsetDateTime::UNIX_EPOCH,
                session: Arc::default(),
                mirrors: Vec::new(),
            },
        })
    }

    /// No byte of an answer came.
    pub(crate) fn unanswered(error: Error, sent: Sent) -> Box<Failed> {
        let reached = match error.kind() {
            Kind::Unreachable if error.is_unsent() => Some(Delivery::Nobody),
            Kind::Unreachable => Some(Delivery::Perhaps),
            _ => None,
        };
        Box::new(Failed { reached, sent, ..*Failed::for_good(error) })
    }

    /// An error that came as a proper answer.
    pub(crate) fn kept(kept: KeptError, credentials: Arc<Credentials>, sent: Sent) -> Box<Failed> {
        let text = ErrorBody::parse(&kept.line).map(|body| body.message.into_owned());
        let text = text.unwrap_or_default();
        let error =
            Error::new(Kind::InvalidResponse, format!("error {} of the server: {text}", kept.code));
        Box::new(Failed {
            reached: Some(Delivery::Server),
            status: 200,
            code: Some(kept.code),
            text,
            lines: vec![kept.line],
            credentials: Some(credentials),
            sent,
            ..*Failed::for_good(error)
        })
    }
}

/// The server's own errors are the answers; without them it is put into words.
pub(crate) fn give_up(
    failed: Box<Failed>,
    redactor: &Redactor,
    deliver: &mut Sink<'_>,
) -> Result<(), Error> {
    if failed.lines.is_empty() {
        return Err(failed.error);
    }
    let last = failed.lines.len() - 1;
    for (place, line) in failed.lines.into_iter().enumerate() {
        let bytes = one_line(safe_error(line, redactor).into_bytes());
        deliver(Relayed::Line(Line {
            bytes,
            answers: vec![place],
            is_last: place == last,
            stays_open: false,
        }))?;
    }
    Ok(())
}
