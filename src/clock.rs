//! The one place that reads the clock; everything else is given the time.

use time::OffsetDateTime;

pub fn now() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    OffsetDateTime::now_utc()
}
