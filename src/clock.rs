//! The one place that reads the clock; everything else takes the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// UTC. Every call reads it several times, and `OffsetDateTime::now_utc` takes five times the instructions.
pub fn now() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    let second = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    second.replace_nanosecond(since.subsec_nanos()).unwrap_or(second)
}

/// Processor time used by this process; zero where unknown.
#[cfg(unix)]
pub(crate) fn processor_time() -> Duration {
    use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};
    let used = clock_gettime_dynamic(DynamicClockId::Known(ClockId::ProcessCPUTime));
    used.ok().and_then(|used| used.try_into().ok()).unwrap_or_default()
}

#[cfg(not(unix))]
pub(crate) fn processor_time() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with the one place that reads the clock"
    )]
    fn it_is_now() {
        let (before, now, after) = (OffsetDateTime::now_utc(), now(), OffsetDateTime::now_utc());
        assert!(before <= now && now <= after);
    }
}
