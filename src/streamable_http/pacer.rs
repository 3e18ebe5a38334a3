//! `Pacer`: turns for the requests to a server whose limit of requests per second is known. Makes decisions only.
//!
//! The limit is the account's, whose other processes are not seen here, so nothing waits until the server refuses a request
//! for its rate. From then on requests start one after another, at the allowed rate, until none has had to wait for a while.

use crate::sync::lock;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The turns end when the last one was this long ago.
const QUIET: Duration = Duration::from_secs(2);

/// Refusals within this time after a change of the interval are of requests that were sent before it.
const SETTLING: Duration = Duration::from_secs(2);

/// Time without a refusal after which turns come more often again.
const RECOVERY: Duration = Duration::from_secs(10);

const MAX_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Pacer {
    /// The time between two requests at the allowed rate; `None` if no rate is known.
    min_interval: Option<Duration>,
    turns: Mutex<Option<Turns>>,
}

#[derive(Debug)]
struct Turns {
    interval: Duration,
    next: Instant,
    /// When the interval was last changed, or found to be right.
    changed: Instant,
}

impl Pacer {
    pub(crate) fn new(requests_per_second: Option<u32>) -> Pacer {
        // A little less than the rate: requests do not all take the same time to arrive.
        let interval = |rate: u32| Duration::from_millis(1100) / rate.max(1);
        Pacer { min_interval: requests_per_second.map(interval), turns: Mutex::default() }
    }

    /// Whether requests may ever have to wait.
    pub(crate) fn knows_rate(&self) -> bool {
        self.min_interval.is_some()
    }

    /// The time until a new request may start.
    pub(crate) fn turn(&self, now: Instant) -> Duration {
        let mut turns = lock(&self.turns);
        if turns.as_ref().is_some_and(|turns| now.saturating_duration_since(turns.next) > QUIET) {
            *turns = None;
        }
        turns.as_mut().map_or(Duration::ZERO, |turns| turns.take(now))
    }

    /// The time until a refused request may start again, which is `retry_after` at least; `None` if no rate is known.
    pub(crate) fn turn_after_refusal(
        &self,
        now: Instant,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        let min_interval = self.min_interval?;
        let mut turns = lock(&self.turns);
        let turns = turns.get_or_insert(Turns {
            interval: min_interval,
            next: now + min_interval,
            changed: now,
        });
        turns.refused(now, min_interval);
        if let Some(earliest) = retry_after.and_then(|asked| now.checked_add(asked)) {
            turns.next = turns.next.max(earliest);
        }
        Some(turns.take(now))
    }
}

impl Turns {
    fn take(&mut self, now: Instant) -> Duration {
        let turn = self.next.max(now);
        self.next = turn + self.interval;
        turn - now
    }

    /// Adapts the interval to what other processes leave of the rate.
    fn refused(&mut self, now: Instant, min_interval: Duration) {
        let since = now.saturating_duration_since(self.changed);
        if since < SETTLING {
            return;
        }
        self.interval = if since >= RECOVERY { self.interval / 2 } else { self.interval * 2 };
        self.interval = self.interval.clamp(min_interval, MAX_INTERVAL);
        self.changed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn nothing_waits_before_the_first_refusal_and_where_no_rate_is_known() {
        let now = Instant::now();
        let pacer = Pacer::new(Some(3));
        assert!((0..100).all(|_| pacer.turn(now).is_zero()));
        let unknown = Pacer::new(None);
        assert_eq!(unknown.turn_after_refusal(now, Some(ms(9))), None);
        assert!(unknown.turn(now).is_zero() && !unknown.knows_rate());
    }

    #[test]
    fn after_a_refusal_requests_start_one_after_another() {
        let now = Instant::now();
        let pacer = Pacer::new(Some(10));
        let refused = || pacer.turn_after_refusal(now, None);
        assert_eq!([refused(), refused()], [Some(ms(110)), Some(ms(220))]);
        assert_eq!(pacer.turn(now), ms(330), "a new request waits for its turn, too");
        assert_eq!(pacer.turn(now + ms(400)), ms(40));
        assert_eq!(pacer.turn(now + ms(700)), ms(0), "an unused turn is not made up for");
        assert_eq!(pacer.turn(now + ms(700)), ms(110));
        assert_eq!(pacer.turn(now + QUIET + ms(921)), ms(0));
        assert_eq!(pacer.turn(now + QUIET + ms(921)), ms(0), "no request had to wait any more");
    }

    #[test]
    fn the_server_can_ask_for_a_longer_wait() {
        let now = Instant::now();
        let pacer = Pacer::new(Some(10));
        let refused = |asked| pacer.turn_after_refusal(now, asked);
        assert_eq!(refused(Some(ms(5000))), Some(ms(5000)));
        assert_eq!(refused(Some(ms(10))), Some(ms(5110)), "after the first");
        assert_eq!(refused(Some(Duration::MAX)), Some(ms(5220)));
    }

    #[test]
    fn turns_become_rarer_while_requests_are_refused() {
        let begin = Instant::now();
        let pacer = Pacer::new(Some(10));
        let refused_at = |at: Duration| {
            let now = begin + at;
            let first = pacer.turn_after_refusal(now, None).unwrap_or_default();
            pacer.turn(now).saturating_sub(first)
        };
        let seconds = Duration::from_secs;
        for (at, interval) in [
            (seconds(0), ms(110)),
            (seconds(1), ms(110)),
            (seconds(3), ms(220)),
            (seconds(4), ms(220)),
            (seconds(6), ms(440)),
            (seconds(20), ms(220)),
            (seconds(31), ms(110)),
        ] {
            assert_eq!(refused_at(at), interval, "{at:?}");
        }
        for at in (33..60).step_by(2) {
            assert!(refused_at(seconds(at)) <= MAX_INTERVAL);
        }
    }
}
