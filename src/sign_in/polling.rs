//! `Polling`: when to ask whether the user has finished (RFC 8628 §3.5). Pure: time is an argument.

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use crate::credentials::expiry;

/// The interval if the service names none (RFC 8628 §3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// The shortest waits in the first minutes, when the user is probably at it, and later.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LATER_WAIT: Duration = Duration::from_secs(5);
const FIRST_MINUTES: Duration = Duration::from_secs(2 * 60);

/// How much longer each wait is after every `slow_down`.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// The longest wait after requests without a usable response.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The schedule of one authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polling {
    interval: Duration,
    began: OffsetDateTime,
    expires_at: OffsetDateTime,
    /// The time before the next request, from `since` on.
    wait: Duration,
    since: OffsetDateTime,
    /// The first request is sent at once, since the code may have been granted already; the interval follows.
    is_first: bool,
    /// Requests in a row without a usable response.
    failures: u32,
}

impl Polling {
    pub(crate) fn new(
        interval: Duration,
        began: OffsetDateTime,
        expires_at: OffsetDateTime,
    ) -> Polling {
        let (wait, since) = (interval, began);
        Polling { interval, began, expires_at, wait, since, is_first: true, failures: 0 }
    }

    /// Whether the code has expired. Judged before each request, so that a machine that slept does not send a dead code.
    pub(crate) fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.expires_at
    }

    /// The time to wait before the next request, or for the end of the code.
    pub(crate) fn wait(&self, now: OffsetDateTime) -> Duration {
        let next = expiry::after(self.since, self.wait).min(self.expires_at);
        // The clock may have been set back.
        expiry::left(next, now).min(self.wait)
    }

    /// The user has not finished.
    pub(crate) fn pending(&mut self, now: OffsetDateTime) {
        self.failures = 0;
        self.schedule(now);
    }

    pub(crate) fn slow_down(&mut self, now: OffsetDateTime) {
        self.interval += SLOW_DOWN;
        self.pending(now);
    }

    /// Handles no response, or one without a state of the authorization.
    pub(crate) fn no_response(&mut self, now: OffsetDateTime) {
        self.failures = self.failures.saturating_add(1);
        self.schedule(now);
    }

    fn schedule(&mut self, now: OffsetDateTime) {
        let shortest = if self.is_first {
            Duration::ZERO
        } else if expiry::left(now, self.began) < FIRST_MINUTES {
            FIRST_WAIT
        } else {
            LATER_WAIT
        };
        self.is_first = false;
        let usual = self.interval.max(shortest);
        let longer = usual.saturating_mul(2_u32.saturating_pow(self.failures.min(8)));
        self.wait = longer.min(MAX_BACKOFF.max(usual));
        self.since = now;
    }
}

/// The interval that the service requests.
pub(crate) fn interval(value: Option<&Value>) -> Duration {
    let named = value.and_then(expiry::lifetime);
    named.unwrap_or(DEFAULT_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    const BEGAN: OffsetDateTime = datetime!(2030-01-01 12:00 UTC);

    fn at(seconds: u64) -> OffsetDateTime {
        BEGAN + Duration::from_secs(seconds)
    }

    #[test]
    fn intervals() {
        for (named, seconds) in [
            (None, 5),
            (Some(json!(0)), 1),
            (Some(json!(-3)), 5),
            (Some(json!(1)), 1),
            (Some(json!(7)), 7),
            (Some(json!("x")), 5),
            (Some(json!(1e9)), 60),
        ] {
            assert_eq!(interval(named.as_ref()).as_secs(), seconds, "{named:?}");
        }
    }

    /// The seconds at which a poll is due if each finds the user still at it.
    fn times(interval: u64, until: u64) -> Vec<u64> {
        let mut polling = Polling::new(Duration::from_secs(interval), BEGAN, at(600));
        let (mut times, mut now) = (Vec::new(), 0);
        polling.pending(BEGAN);
        loop {
            now += polling.wait(at(now)).as_secs();
            if now > until || polling.is_over(at(now)) {
                return times;
            }
            times.push(now);
            polling.pending(at(now));
        }
    }

    #[test]
    fn the_first_poll_comes_after_the_interval_and_later_ones_are_rarer() {
        assert_eq!(times(1, 8), [1, 3, 5, 7]);
        assert_eq!(times(3, 10), [3, 6, 9]);
        assert_eq!(times(1, 140)[58..], [117, 119, 121, 126, 131, 136]);
        assert_eq!(times(7, 140)[15..], [112, 119, 126, 133, 140]);
        let whole = times(1, 3600);
        assert!((150..170).contains(&whole.len()), "{}", whole.len());
        assert!(whole.last() < Some(&600));
    }

    #[test]
    fn slow_down_is_for_good() {
        let mut polling = Polling::new(Duration::from_secs(1), BEGAN, at(600));
        polling.slow_down(BEGAN);
        assert_eq!(polling.wait(at(1)).as_secs(), 5);
        polling.pending(at(7));
        assert_eq!(polling.wait(at(7)).as_secs(), 6);
        polling.slow_down(at(13));
        polling.pending(at(200));
        assert_eq!(polling.wait(at(200)).as_secs(), 11);
    }

    #[test]
    fn waits_double_without_a_response_up_to_a_limit() {
        let mut polling = Polling::new(Duration::from_secs(1), BEGAN, at(600));
        let mut waits = Vec::new();
        for _ in 0..6 {
            polling.no_response(at(10));
            waits.push(polling.wait(at(10)).as_secs());
        }
        assert_eq!(waits, [2, 8, 16, 30, 30, 30]);
        polling.pending(at(10));
        assert_eq!(polling.wait(at(10)).as_secs(), 2);
        let mut slow = Polling::new(Duration::from_secs(45), BEGAN, at(600));
        slow.no_response(at(10));
        assert_eq!(slow.wait(at(10)).as_secs(), 45, "never sooner than asked for");
    }

    #[test]
    fn a_machine_that_slept_or_whose_clock_was_set_sends_no_dead_code_and_does_not_wait_for_hours()
    {
        let polling = Polling::new(Duration::from_secs(5), BEGAN, at(600));
        assert!(
            !polling.is_over(at(599)) && polling.is_over(at(600)) && polling.is_over(at(8 * 3600))
        );
        assert_eq!(polling.wait(at(8 * 3600)), Duration::ZERO);
        assert_eq!(polling.wait(BEGAN - Duration::from_secs(3600)).as_secs(), 5);
        assert_eq!(polling.wait(at(3)).as_secs(), 2);
        let mut polling = polling;
        polling.pending(at(598));
        polling.pending(at(598));
        assert_eq!(polling.wait(at(598)).as_secs(), 2, "the end of the code");
    }
}
