//! `Failed`: an attempt that failed, with all that `retry` wants to know of it.

use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::error_cause::Cause;
use crate::incoming::ErrorBody;
use crate::message::{one_line, safe_error};
use crate::redact::Redactor;
use crate::relay::{Deliver, Delivery, KeptError, Line};
use crate::retry::Reached;
use crate::session::Session;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// `lines`, if there are any, are what the client gets when nothing can be done.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// `None`: another attempt would be no better.
    pub(super) reached: Option<Reached>,
    pub(super) status: u16,
    pub(super) code: Option<i64>,
    pub(super) cause: Cause,
    pub(super) text: String,
    /// The server's own errors, one for each request.
    pub(super) lines: Vec<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) server_time: Option<OffsetDateTime>,
    pub(super) credentials: Option<Arc<Credentials>>,
    pub(super) sent: Sent,
}

/// What belongs to one attempt.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) signed_at: OffsetDateTime,
    pub(super) session: Arc<Session>,
    pub(super) mirrors: Vec<(String, String)>,
}

impl Failed {
    /// Another attempt would be no better.
    pub(super) fn for_good(error: Error) -> Box<Failed> {
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
    pub(super) fn unanswered(error: Error, sent: Sent) -> Box<Failed> {
        let reached = match error.kind() {
            Kind::Unreachable if error.is_unsent() => Some(Reached::Nobody),
            Kind::Unreachable => Some(Reached::Perhaps),
            _ => None,
        };
        Box::new(Failed { reached, sent, ..*Failed::for_good(error) })
    }

    /// An error that came as a proper answer.
    pub(super) fn kept(kept: KeptError, credentials: Arc<Credentials>, sent: Sent) -> Box<Failed> {
        let text = ErrorBody::parse(&kept.line).map(|body| body.message.into_owned());
        let text = text.unwrap_or_default();
        let error =
            Error::new(Kind::BadAnswer, format!("error {} of the server: {text}", kept.code));
        Box::new(Failed {
            reached: Some(Reached::Server),
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
pub(super) fn give_up(
    failed: Box<Failed>,
    redactor: &Redactor,
    deliver: &mut Deliver<'_>,
) -> Result<(), Error> {
    if failed.lines.is_empty() {
        return Err(failed.error);
    }
    let last = failed.lines.len() - 1;
    for (place, line) in failed.lines.into_iter().enumerate() {
        let bytes = one_line(safe_error(line, redactor).into_bytes());
        deliver(Delivery::Line(Line {
            bytes,
            answers: vec![place],
            is_last: place == last,
            stays_open: false,
        }))?;
    }
    Ok(())
}
