//! `ClockSkew`: the difference between the local clock and a server's, learned only from an error response that blames the
//! clock.
//!
//! AWS refuses signatures that are minutes off; with the difference known, the next signature is accepted. A server can
//! state any time, so absurd times are ignored, and a later response corrects an earlier one.

use std::sync::atomic::{AtomicI64, Ordering};
use time::{Duration, OffsetDateTime};

/// AWS does not refuse signatures for smaller differences.
const MIN_DIFFERENCE: Duration = Duration::minutes(4);

/// The years that a server's clock can show; times in other years are ignored.
const PLAUSIBLE_YEARS: std::ops::Range<i32> = 2020..2100;

/// No difference has been learned.
const UNKNOWN: i64 = i64::MIN;

#[derive(Debug)]
pub(crate) struct ClockSkew {
    /// Seconds by which the local clock is behind, or `UNKNOWN`.
    behind: AtomicI64,
}

impl ClockSkew {
    /// The server's time when the local clock shows `here`; `None` until a difference is known.
    pub(crate) fn known_at(&self, here: OffsetDateTime) -> Option<OffsetDateTime> {
        Some(here.saturating_add(Duration::seconds(self.behind()?)))
    }

    /// The server's time when the local clock shows `here`; the local time until a difference is known.
    pub(crate) fn at(&self, here: OffsetDateTime) -> OffsetDateTime {
        self.known_at(here).unwrap_or(here)
    }

    /// Stores that the server's clock showed `there` when the local clock showed `here`.
    pub(crate) fn set(&self, here: OffsetDateTime, there: OffsetDateTime) {
        // Rounded to the nearest second. The difference of any two times fits.
        let seconds = ((there - here).whole_milliseconds() + 500).div_euclid(1000);
        self.behind.store(i64::try_from(seconds).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Seconds by which the local clock is behind, once known.
    pub(crate) fn behind(&self) -> Option<i64> {
        Some(self.behind.load(Ordering::Relaxed)).filter(|behind| *behind != UNKNOWN)
    }
}

impl Default for ClockSkew {
    fn default() -> ClockSkew {
        ClockSkew { behind: AtomicI64::new(UNKNOWN) }
    }
}

/// Whether a server whose clock shows `there` refuses a signature made at `signed_at` because of its time alone.
pub(crate) fn explains_refusal(there: OffsetDateTime, signed_at: OffsetDateTime) -> bool {
    PLAUSIBLE_YEARS.contains(&there.year()) && (there - signed_at).abs() >= MIN_DIFFERENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    #[test]
    fn a_difference_lasts_until_another_is_stored() {
        let skew = ClockSkew::default();
        assert_eq!((skew.at(NOW), skew.known_at(NOW), skew.behind()), (NOW, None, None));
        for seconds in [1200, -1200, 0] {
            skew.set(NOW, NOW + Duration::seconds(seconds));
            let later = NOW + Duration::hours(5);
            assert_eq!(skew.known_at(later), Some(later + Duration::seconds(seconds)));
            assert_eq!(skew.behind(), Some(seconds));
        }
    }

    #[test]
    fn absurd_times_and_small_differences_explain_nothing() {
        for there in [
            datetime!(9999-12-31 23:59:59 UTC),
            datetime!(0000-01-01 00:00 UTC),
            datetime!(1970-01-01 00:00 UTC),
            NOW,
            NOW + Duration::seconds(239),
        ] {
            assert!(!explains_refusal(there, NOW), "{there}");
        }
        for there in [NOW + Duration::minutes(4), NOW - Duration::days(400)] {
            assert!(explains_refusal(there, NOW), "{there}");
        }
        assert!(
            explains_refusal(NOW, datetime!(1970-01-01 00:00 UTC)),
            "a machine without a clock"
        );
    }

    #[test]
    fn the_first_and_the_last_time_do_not_overflow() {
        let (first, last) =
            (time::PrimitiveDateTime::MIN.assume_utc(), time::PrimitiveDateTime::MAX.assume_utc());
        let skew = ClockSkew::default();
        skew.set(first, last);
        assert_eq!(skew.at(NOW), last);
        skew.set(last, first);
        assert_eq!(skew.at(NOW), first);
        assert!(!explains_refusal(last, first) && !explains_refusal(first, last));
    }
}
