//! `Admission`: whether a request that may start gets a thread of its own at once. Decisions only; threads and the clock
//! are the scheduler's.
//!
//! Waking a thread costs more than a quick call. While a few concurrent calls keep the processors busy and complete, a
//! thread that is done with one takes the next. When they do not, because the server is slow, all waiting requests start
//! at once, and for some time so do those that follow. Measured without it, with 64 calls in flight: 0.43 times the calls per
//! second of a client without a proxy instead of 0.56 (goal: 0.5).

use std::time::Duration;

/// Number of calls in flight that are never held back. With 8, the static build made 4 to 11 % fewer calls per second.
pub(crate) const QUICK_CALLS: usize = 16;

/// Time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// With quick calls this part of the processors that they can use is busy: one in four. The client needs processors, too.
const BUSY: u32 = 4;

/// Calls are slow after this number of successive ticks without busy processors. A single one may be due to the operating
/// system's scheduler.
const SLOW_TICKS: u32 = 3;

/// Number of requests that start at once before quick calls are assumed again.
const SLOW_CALLS: u32 = 65_536;

/// The clock stops after this number of successive ticks in which nothing was held back.
const QUIET_TICKS: u32 = 20;

#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Number of requests that still start at once, however many are in flight.
    slow_calls: u32,
    /// A thread calls `tick`.
    has_clock: bool,
    /// A call was completed in this tick.
    any_completed: bool,
    slow_ticks: u32,
    quiet_ticks: u32,
}

/// Action of the clock's thread after a tick.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    Wait,
    /// Starts what is held back.
    Start,
    /// Ends.
    End,
}

impl Admission {
    /// Whether another request should wait for a running one to finish.
    pub(crate) fn is_full(&self, in_flight: usize) -> bool {
        in_flight >= QUICK_CALLS && self.slow_calls == 0
    }

    pub(crate) fn call_started(&mut self) {
        self.slow_calls = self.slow_calls.saturating_sub(1);
    }

    pub(crate) fn call_completed(&mut self) {
        self.any_completed = true;
    }

    pub(crate) fn has_clock(&self) -> bool {
        self.has_clock
    }

    /// `tick` is called from now on.
    pub(crate) fn start_clock(&mut self) {
        (self.has_clock, self.slow_ticks, self.quiet_ticks) = (true, 0, 0);
    }

    /// No thread calls `tick`, so nothing may be held back.
    pub(crate) fn clock_failed(&mut self) {
        (self.has_clock, self.slow_calls) = (false, SLOW_CALLS);
    }

    /// Decides after a tick. `any_waits`: requests are held back.
    pub(crate) fn tick(&mut self, any_waits: bool, is_busy: bool) -> Tick {
        // Something else may keep the processors busy while no call progresses.
        let is_quick = std::mem::take(&mut self.any_completed) && is_busy;
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
        self.has_clock = false;
        Tick::End
    }
}

/// Whether this process used as much processor time as quick calls do in the time that passed.
pub(crate) fn is_busy(used: Duration, passed: Duration, processors: usize) -> bool {
    let processors = u32::try_from(processors.min(QUICK_CALLS)).unwrap_or(1);
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
            (ms(15), ms(4), 64, false),
            (ms(16), ms(4), 64, true),
            (ms(0), ms(4), 1, false),
        ] {
            assert_eq!(is_busy(used, passed, processors), busy, "{used:?} on {processors}");
        }
    }

    #[test]
    fn while_calls_are_quick_a_few_are_in_flight() {
        let mut admission = Admission::default();
        assert!(!admission.is_full(QUICK_CALLS - 1) && admission.is_full(QUICK_CALLS));
        admission.start_clock();
        for is_quick in [true, false, false, true, false, false] {
            if is_quick {
                admission.call_completed();
            }
            assert_eq!(admission.tick(true, is_quick), Tick::Wait);
        }
        assert_eq!(admission.tick(true, false), Tick::Start);
        assert!(!admission.is_full(1000), "now they are slow");
        (0..SLOW_CALLS).for_each(|_| admission.call_started());
        assert!(admission.is_full(1000), "it is tried again now and then");
        assert_eq!(admission.tick(true, false), Tick::Wait);
    }

    #[test]
    fn a_busy_process_without_a_call_that_ends_lets_the_rest_start() {
        let mut admission = Admission::default();
        admission.start_clock();
        admission.call_completed();
        let ticks: Vec<Tick> = (0..4).map(|_| admission.tick(true, true)).collect();
        assert_eq!(ticks, [Tick::Wait, Tick::Wait, Tick::Wait, Tick::Start]);
    }

    #[test]
    fn the_clock_stops_when_nothing_is_held_back() {
        let mut admission = Admission::default();
        admission.start_clock();
        for _ in 1..QUIET_TICKS {
            assert_eq!(admission.tick(false, false), Tick::Wait);
        }
        assert!(admission.has_clock());
        assert_eq!(admission.tick(false, false), Tick::End);
        assert!(!admission.has_clock());
    }
}
