//! The one place that reads the clock; everything else is given the time.

use std::time::Duration;
use time::OffsetDateTime;

pub fn now() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    OffsetDateTime::now_utc()
}

/// Processor time that this process has used. Where it cannot be told, none.
#[cfg(unix)]
pub(crate) fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

#[cfg(not(unix))]
pub(crate) fn processor_time() -> Duration {
    Duration::ZERO
}
