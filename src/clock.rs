//! The one place that reads the clock; everything else is given the time.
//!
//! AWS refuses signatures that are minutes off. When it says what time it is, the difference is kept here, so that
//! every later signature, whatever it is for, is right at once.

use std::sync::atomic::{AtomicI64, Ordering};
use time::{Duration, OffsetDateTime};

/// Seconds by which this machine's clock is behind AWS's.
static BEHIND: AtomicI64 = AtomicI64::new(0);

/// The time as AWS has it, as far as that is known.
pub fn now() -> OffsetDateTime {
    here() + Duration::seconds(BEHIND.load(Ordering::Relaxed))
}

/// From now on it is what it is `there`. How many seconds the clock here is behind that.
pub(crate) fn set_by(there: OffsetDateTime) -> i64 {
    let behind = (there - here()).whole_seconds();
    BEHIND.store(behind, Ordering::Relaxed);
    behind
}

fn here() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    OffsetDateTime::now_utc()
}
