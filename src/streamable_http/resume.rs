//! Resuming an event stream that ended before the response came (before 2026-07-28).

use crate::error::{Error, Kind};
use crate::mcp::session::Session;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relay::Relay;
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::response_body::{ResumePoint, Unanswered, is_event_stream, relay_body};
use std::time::{Duration, Instant};

/// Delay before a stream is resumed, unless the server asks for another.
const DEFAULT_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Maximum number of streams in a row that bring nothing.
const MAX_FRUITLESS: u32 = 5;

/// Resumes the stream until the response has come, or cannot come any more. `unanswered` is how the stream ended.
pub(crate) fn resume(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
    session: &Session,
    relay: &mut Relay<'_, '_>,
    unanswered: Unanswered,
) -> Result<(), Error> {
    let PreparedMessage { deadline, cancel, .. } = *message;
    let Unanswered { mut error, resume_at: Some(mut point) } = unanswered else {
        return Err(unanswered.error);
    };
    let mut fruitless = 0;
    loop {
        fruitless = if point.any_event { 0 } else { fruitless + 1 };
        let delay = point.retry.unwrap_or(DEFAULT_DELAY).min(MAX_DELAY);
        let is_too_late = deadline
            .is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= delay);
        if fruitless > MAX_FRUITLESS || is_too_late {
            return Err(error);
        }
        if cancel.sleep(delay) {
            return Err(Error::new(Kind::Cancelled, "the call was cancelled"));
        }
        match server.get_stream(session, Some(&point.last_id), deadline, false, cancel) {
            Ok(response) if response.status() == 200 && is_event_stream(&response) => {
                let Err(unanswered) = relay_body(response, relay) else { return Ok(()) };
                error = unanswered.error;
                let ended_at = unanswered.resume_at;
                point = match ended_at {
                    Some(next) => ResumePoint { retry: next.retry.or(point.retry), ..next },
                    None => ResumePoint { any_event: false, ..point },
                };
            }
            Ok(response) if response.status() < 500 => return Err(error),
            Ok(_) | Err(_) => point.any_event = false,
        }
    }
}
