//! `Admission`: whether a request that could start gets a thread of its own at once. Decisions only; the proxy has the
//! threads and the clock.
//!
//! Waking a thread costs more than a quick call. So while a few calls at a time keep the processors busy, and get done, a
//! thread that is done with one takes the next. When they do not, because the server takes its time, everything that waits
//! starts at once, and so does what comes after it, for a while.

use std::time::Duration;

/// So many requests on their way are no crowd.
pub(crate) const FEW: usize = 8;

/// The time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// One in so many of the processors that a few calls could use is used when calls are quick. Whoever wrote the requests and
/// reads the answers wants processors, too.
const BUSY: u32 = 4;

/// Calls are slow if the processors were not busy in so many ticks one after another: one may be the scheduler's doing.
const SLOW_TICKS: u32 = 3;

/// So many requests start at once before it is tried again whether calls are quick.
const SLOW_CALLS: u32 = 65_536;

/// After so many ticks in which nothing was put off, nobody need look at the clock.
const QUIET_TICKS: u32 = 20;

#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// So many requests start at once, however many are on their way.
    slow_calls: u32,
    /// Somebody calls `tick`.
    is_watched: bool,
    /// A call was done in this tick.
    any_done: bool,
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

impl Admission {
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
        (self.is_watched, self.slow_ticks, self.quiet_ticks) = (true, 0, 0);
    }

    /// There is no thread that could call `tick`, so nothing may be put off.
    pub(crate) fn is_unwatched(&mut self) {
        (self.is_watched, self.slow_calls) = (false, SLOW_CALLS);
    }

    /// A tick of the clock has passed. `any_waits`: something is put off.
    pub(crate) fn tick(&mut self, any_waits: bool, is_busy: bool) -> Tick {
        // Something else may keep the processors busy while none of the calls gets anywhere.
        let is_quick = std::mem::take(&mut self.any_done) && is_busy;
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

/// Whether so much processor time of this process is what quick calls use in the time that passed.
pub(crate) fn is_busy(used: Duration, passed: Duration, processors: usize) -> bool {
    let processors = u32::try_from(processors.min(FEW)).unwrap_or(1);
    used * BUSY >= passed * processors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_calls_keep_a_part_of_the_processors_busy() {
        let ms = Duration::from_millis;
        for (used, passed, processors, busy) in [
            (ms(1), ms(4), 1, true),
            (ms(1), ms(4), 2, false),
            (ms(2), ms(4), 2, true),
            (ms(7), ms(4), 64, false),
            (ms(8), ms(4), 64, true),
            (ms(0), ms(4), 1, false),
        ] {
            assert_eq!(is_busy(used, passed, processors), busy, "{used:?} on {processors}");
        }
    }

    #[test]
    fn while_calls_are_quick_a_few_are_on_their_way() {
        let mut crowd = Admission::default();
        assert!(!crowd.is_one(FEW - 1) && crowd.is_one(FEW));
        crowd.watch();
        for is_quick in [true, false, false, true, false, false] {
            if is_quick {
                crowd.one_is_done();
            }
            assert_eq!(crowd.tick(true, is_quick), Tick::Wait);
        }
        assert_eq!(crowd.tick(true, false), Tick::Start);
        assert!(!crowd.is_one(1000), "now they are slow");
        (0..SLOW_CALLS).for_each(|_| crowd.one_starts());
        assert!(crowd.is_one(1000), "it is tried again now and then");
        assert_eq!(crowd.tick(true, false), Tick::Wait);
    }

    #[test]
    fn a_busy_process_without_a_call_that_ends_lets_the_rest_start() {
        let mut crowd = Admission::default();
        crowd.watch();
        crowd.one_is_done();
        let ticks: Vec<Tick> = (0..4).map(|_| crowd.tick(true, true)).collect();
        assert_eq!(ticks, [Tick::Wait, Tick::Wait, Tick::Wait, Tick::Start]);
    }

    #[test]
    fn the_clock_is_looked_at_only_while_there_is_something_going_on() {
        let mut crowd = Admission::default();
        crowd.watch();
        for _ in 1..QUIET_TICKS {
            assert_eq!(crowd.tick(false, false), Tick::Wait);
        }
        assert!(crowd.is_watched());
        assert_eq!(crowd.tick(false, false), Tick::End);
        assert!(!crowd.is_watched());
    }
}
