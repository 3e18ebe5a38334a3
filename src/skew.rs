//! `Skew`: how far a server's clock is from ours, learned from the `Date` of its answers as the AWS SDKs do.
//!
//! AWS refuses signatures that are minutes off; with the difference known, the next one is right.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use time::{Duration, OffsetDateTime};

/// The time of an answer that took longer says nothing of the server's clock.
const SLOW_ANSWER: Duration = Duration::minutes(15);

#[derive(Debug, Default)]
pub(crate) struct Skew {
    /// Seconds by which the clock here is behind.
    behind: AtomicI64,
    is_known: AtomicBool,
}

impl Skew {
    /// The server's time when it is `here` here.
    pub(crate) fn at(&self, here: OffsetDateTime) -> OffsetDateTime {
        match self.behind.load(Ordering::Relaxed) {
            0 => here,
            behind => here + Duration::seconds(behind),
        }
    }

    /// The server said that it was `there` when it was `here` here.
    pub(crate) fn set(&self, here: OffsetDateTime, there: OffsetDateTime) {
        let behind = (there - here).whole_seconds();
        // Nearly every answer says the same; what is only read can be in the caches of all processors.
        if self.behind() != Some(behind) {
            self.behind.store(behind, Ordering::Relaxed);
            self.is_known.store(true, Ordering::Relaxed);
        }
    }

    /// By how many seconds the clock here is behind, once the server has told its time.
    pub(crate) fn behind(&self) -> Option<i64> {
        let behind = self.behind.load(Ordering::Relaxed);
        self.is_known.load(Ordering::Relaxed).then_some(behind)
    }

    /// An answer with this `Date`, not from a cache, came back between these times. Whether it was believed.
    pub(crate) fn learn(
        &self,
        sent: OffsetDateTime,
        received: OffsetDateTime,
        date: OffsetDateTime,
    ) -> bool {
        let took = received - sent;
        let is_fresh = took <= SLOW_ANSWER;
        if is_fresh {
            self.set(sent + took / 2, date);
        }
        is_fresh
    }
}
