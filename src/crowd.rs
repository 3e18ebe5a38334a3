//! `Crowd`: whether a request that could start gets a thread of its own at once. Decisions only; the proxy has the
//! threads and the clock.
//!
//! Waking a thread costs more than a quick call. So a few requests start at once, and more wait for a thread that is
//! done in a moment, as long as there are such: if nobody was done for a whole tick of the clock, all start, and so do
//! those that come after them, for a while.

use std::time::Duration;

/// So many requests on their way are no crowd.
pub(crate) const FEW: usize = 8;

/// The time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// After a tick in which nobody was done, so many requests start at once.
const SLOW_CALLS: u32 = 4096;

/// After so many ticks in which nothing was put off, nobody need look at the clock.
const QUIET_TICKS: u32 = 20;

#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// So many requests start at once, however many are on their way.
    slow_calls: u32,
    /// Somebody calls `tick`.
    is_watched: bool,
    /// In this tick.
    any_done: bool,
    quiet_ticks: u32,
}

/// What is to be done after a tick.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    Wait,
    /// What waits.
    Start,
    /// Nobody need look any more.
    End,
}

impl Crowd {
    /// Whether one more had better wait for one of those that are on their way.
    pub(crate) fn is_one(&self, on_their_way: usize) -> bool {
        on_their_way >= FEW && self.slow_calls == 0
    }

    pub(crate) fn one_starts(&mut self) {
        self.slow_calls = self.slow_calls.saturating_sub(1);
    }

    pub(crate) fn one_is_done(&mut self) {
        self.any_done = true;
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// `tick` is called from now on.
    pub(crate) fn watch(&mut self) {
        (self.is_watched, self.any_done, self.quiet_ticks) = (true, false, 0);
    }

    /// There is no thread that could call `tick`, so nothing may be put off.
    pub(crate) fn is_unwatched(&mut self) {
        (self.is_watched, self.slow_calls) = (false, SLOW_CALLS);
    }

    /// A tick of the clock has passed. `any_waits`: something is put off.
    pub(crate) fn tick(&mut self, any_waits: bool) -> Tick {
        let any_done = std::mem::take(&mut self.any_done);
        if any_waits {
            self.quiet_ticks = 0;
            if any_done {
                return Tick::Wait;
            }
            self.slow_calls = SLOW_CALLS;
            return Tick::Start;
        }
        self.quiet_ticks += 1;
        if self.quiet_ticks < QUIET_TICKS {
            return Tick::Wait;
        }
        self.is_watched = false;
        Tick::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_put_off_waits_no_longer_than_two_ticks() {
        let mut crowd = Crowd::default();
        assert!(!crowd.is_one(FEW - 1) && crowd.is_one(FEW));
        crowd.watch();
        crowd.one_is_done();
        assert_eq!(crowd.tick(true), Tick::Wait);
        assert_eq!(crowd.tick(true), Tick::Start);
        assert!(!crowd.is_one(1000), "the server is slow");
        for _ in 0..SLOW_CALLS {
            crowd.one_starts();
        }
        assert!(crowd.is_one(1000), "it is tried again now and then");
    }

    #[test]
    fn the_clock_is_looked_at_only_while_there_is_something_going_on() {
        let mut crowd = Crowd::default();
        crowd.watch();
        for _ in 1..QUIET_TICKS {
            assert_eq!(crowd.tick(false), Tick::Wait);
        }
        assert!(crowd.is_watched());
        assert_eq!(crowd.tick(false), Tick::End);
        assert!(!crowd.is_watched());
    }
}
