//! `ClockSkew`: how far the clock here is from that of a server, learned from a refusal that blames the clock and from
//! nothing else.
//!
//! AWS refuses signatures that are minutes off; with the difference known, the next one is right. Whoever answers can
//! write any time, so none is taken that no clock shows, and a later refusal corrects what an earlier one said.

use std::sync::atomic::{AtomicI64, Ordering};
use time::{Duration, OffsetDateTime};

/// A smaller difference is not what AWS refuses signatures for.
const MIN_DIFFERENCE: Duration = Duration::minutes(4);

/// The years that the clock of a server can show; other times are absurd and teach nothing.
const PLAUSIBLE_YEARS: std::ops::Range<i32> = 2020..2100;

/// No difference has been learned.
const UNKNOWN: i64 = i64::MIN;

#[derive(Debug)]
pub(crate) struct ClockSkew {
    /// Seconds by which the clock here is behind, or `UNKNOWN`.
    behind: AtomicI64,
}

impl ClockSkew {
    /// The server's time when it is `here` here; `None` as long as nothing has been learned.
    pub(crate) fn known_at(&self, here: OffsetDateTime) -> Option<OffsetDateTime> {
        Some(here.saturating_add(Duration::seconds(self.behind()?)))
    }

    /// The server's time when it is `here` here, as far as it is known.
    pub(crate) fn at(&self, here: OffsetDateTime) -> OffsetDateTime {
        self.known_at(here).unwrap_or(here)
    }

    /// The server said that it was `there` when it was `here` here.
    pub(crate) fn set(&self, here: OffsetDateTime, there: OffsetDateTime) {
        // To the nearest second; no two times are further apart than fits.
        let seconds = ((there - here).whole_milliseconds() + 500).div_euclid(1000);
        self.behind.store(i64::try_from(seconds).unwrap_or_default(), Ordering::Relaxed);
    }

    /// By how many seconds the clock here is behind, once that has been learned.
    pub(crate) fn behind(&self) -> Option<i64> {
        Some(self.behind.load(Ordering::Relaxed)).filter(|behind| *behind != UNKNOWN)
    }
}

impl Default for ClockSkew {
    fn default() -> ClockSkew {
        ClockSkew { behind: AtomicI64::new(UNKNOWN) }
    }
}

/// Whether a server whose clock shows `there` refuses what was signed at `signed_at` for its time alone.
pub(crate) fn explains_refusal(there: OffsetDateTime, signed_at: OffsetDateTime) -> bool {
    PLAUSIBLE_YEARS.contains(&there.year()) && (there - signed_at).abs() >= MIN_DIFFERENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    #[test]
    fn what_is_learned_lasts_until_something_else_is() {
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
    fn a_time_that_no_clock_shows_explains_nothing() {
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
    fn the_ends_of_time_do_not_overflow() {
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
