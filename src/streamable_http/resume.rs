//! Resuming a stream that ended before the response came, where it ended (before 2026-07-28).

use crate::error::{Error, Kind};
use crate::mcp::session::Session;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relay::{Interruption, Relay, is_event_stream};
use crate::streamable_http::remote_server::RemoteServer;
use std::time::{Duration, Instant};

/// Delay before a stream is resumed, unless the server asks for another.
const DEFAULT_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Maximum number of attempts in a row that bring nothing.
const MAX_FRUITLESS: u32 = 5;

/// Resumes the stream until the response has come, or there is no point in going on. `error` is what the stream ended
/// with.
pub(crate) fn resume(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
    session: &Session,
    relay: &mut Relay<'_, '_>,
    error: Error,
) -> Result<(), Error> {
    let PreparedMessage { deadline, cancel, .. } = *message;
    let mut result = Err(error);
    let mut fruitless = 0;
    let mut interrupted = relay.take_interruption();
    while let Some(interruption) = interrupted.take() {
        fruitless = if interruption.any_event { 0 } else { fruitless + 1 };
        let delay = interruption.retry.unwrap_or(DEFAULT_DELAY).min(MAX_DELAY);
        let is_too_late = deadline
            .is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= delay);
        if fruitless > MAX_FRUITLESS || is_too_late {
            break;
        }
        if cancel.sleep(delay) {
            return Err(Error::new(Kind::Cancelled, "the call was cancelled"));
        }
        let last_id = Some(interruption.last_id.as_str());
        match server.get_stream(session, last_id, deadline, false, cancel) {
            Ok(response) if response.status() == 200 && is_event_stream(&response) => {
                result = relay.take_response(response);
                interrupted = relay.take_interruption();
            }
            Ok(response) if response.status() < 500 => break,
            Ok(_) | Err(_) => interrupted = Some(Interruption { any_event: false, ..interruption }),
        }
    }
    result
}
