//! A stream that ended before the answer came is taken up where it ended (before 2026-07-28).

use crate::error::{Error, Kind};
use crate::mcp::session::Session;
use crate::streamable_http::exchange::Exchanger;
use crate::streamable_http::relay::{Interruption, Relay, is_event_stream};
use crate::sync::cancel::Cancel;
use std::time::{Duration, Instant};

/// A stream is taken up after this time, unless the server asks for another.
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so many attempts in a row that brought nothing, the answer is given up.
const PATIENCE: u32 = 5;

impl Exchanger {
    /// As often as it takes and is of use. `error` is what the stream ended with.
    pub(crate) fn resume(
        &self,
        error: Error,
        relay: &mut Relay<'_, '_>,
        session: &Session,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let mut result = Err(error);
        let mut in_vain = 0;
        let mut waiting = relay.interruption();
        while let Some(interruption) = waiting.take() {
            in_vain = if interruption.any_event { 0 } else { in_vain + 1 };
            let wait = interruption.retry.unwrap_or(WAIT).min(LONGEST_WAIT);
            let is_too_late = deadline
                .is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= wait);
            if in_vain > PATIENCE || is_too_late {
                break;
            }
            if cancel.sleep(wait) {
                return Err(Error::new(Kind::Cancelled, "the call was cancelled"));
            }
            match self.upstream.get(session, Some(&interruption.last_id), deadline, false, cancel) {
                Ok(answer) if answer.status() == 200 && is_event_stream(&answer) => {
                    result = relay.take_answer(answer);
                    waiting = relay.interruption();
                }
                Ok(answer) if answer.status() < 500 => break,
                Ok(_) | Err(_) => waiting = Some(Interruption { any_event: false, ..interruption }),
            }
        }
        result
    }
}
