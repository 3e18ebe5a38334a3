//! `Crowd`: whether a request that could start gets a thread of its own at once. Decisions only; the proxy has the
//! threads and the clock.
//!
//! Waking a thread costs more than a quick call. So while calls are quick, a few are on their way at a time, and a thread
//! that is done with one takes the next. When they are no longer quick, everything that waits starts at once, and so
//! does what comes after it, for a while.

use std::time::Duration;

/// So many requests on their way are no crowd.
pub(crate) const FEW: usize = 8;

/// The time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Calls are quick if so many are done in a tick.
const QUICK: u32 = 24;

/// They are slow if they were not quick in so many ticks one after another: one may be the scheduler's doing.
const SLOW_TICKS: u32 = 3;

/// So many requests start at once before it is tried again whether calls are quick.
const SLOW_CALLS: u32 = 16_384;

/// After so many ticks in which nothing was put off, nobody need look at the clock.
const QUIET_TICKS: u32 = 20;

#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// So many requests start at once, however many are on their way.
    slow_calls: u32,
    /// Somebody calls `tick`.
    is_watched: bool,
    /// So many were done in this tick.
    done: u32,
    slow_ticks: u32,
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
        self.done = self.done.saturating_add(1);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// `tick` is called from now on.
    pub(crate) fn watch(&mut self) {
        (self.is_watched, self.done, self.slow_ticks, self.quiet_ticks) = (true, 0, 0, 0);
    }

    /// There is no thread that could call `tick`, so nothing may be put off.
    pub(crate) fn is_unwatched(&mut self) {
        (self.is_watched, self.slow_calls) = (false, SLOW_CALLS);
    }

    /// A tick of the clock has passed. `any_waits`: something is put off.
    pub(crate) fn tick(&mut self, any_waits: bool) -> Tick {
        let is_quick = std::mem::take(&mut self.done) >= QUICK;
        if any_waits {
            self.quiet_ticks = 0;
            self.slow_ticks = if is_quick { 0 } else { self.slow_ticks + 1 };
            if self.slow_ticks < SLOW_TICKS {
                return Tick::Wait;
            }
            (self.slow_calls, self.slow_ticks) = (SLOW_CALLS, 0);
            return Tick::Start;
        }
        self.slow_ticks = 0;
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

    fn tick(crowd: &mut Crowd, done: u32) -> Tick {
        (0..done).for_each(|_| crowd.one_is_done());
        crowd.tick(true)
    }

    #[test]
    fn while_calls_are_quick_a_few_are_on_their_way() {
        let mut crowd = Crowd::default();
        assert!(!crowd.is_one(FEW - 1) && crowd.is_one(FEW));
        crowd.watch();
        for done in [QUICK, 0, 5, QUICK, 0, QUICK - 1] {
            assert_eq!(tick(&mut crowd, done), Tick::Wait);
        }
        assert_eq!(tick(&mut crowd, QUICK - 1), Tick::Start);
        assert!(!crowd.is_one(1000), "now they are slow");
        (0..SLOW_CALLS).for_each(|_| crowd.one_starts());
        assert!(crowd.is_one(1000), "it is tried again now and then");
        assert_eq!(tick(&mut crowd, 0), Tick::Wait);
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
