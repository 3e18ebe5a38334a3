//! `InputHandoff`: somebody goes on reading when the thread that reads is busy with a call of its own.
//!
//! Handing every line to another thread costs more than the line itself: a thread that sleeps has to be woken. So the
//! thread that reads a lone request also sends it, and leaves the input here meanwhile: only when there is a watcher, which
//! takes the input over if the thread is not back in a moment. The watcher looks at the clock only while there is something
//! going on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the client writes may lie unread for so long.
const PATIENCE: Duration = Duration::from_millis(1);

/// After so long without a call the watcher ends.
const QUIET: Duration = Duration::from_millis(20);

pub(crate) struct InputHandoff<T> {
    state: Mutex<State<T>>,
    /// Never told; the watcher only sleeps on it.
    pause: Condvar,
}

/// After a call that was slow so many are handed to other threads: there waking one costs nothing by comparison.
const SLOW_CALLS: u32 = 16;

struct State<T> {
    /// The input, and since when nobody reads it.
    left: Option<(T, Instant)>,
    last_used: Instant,
    is_watched: bool,
    /// So many calls are not worth it.
    not_worth_it: u32,
}

impl<T> InputHandoff<T> {
    pub(crate) fn new() -> InputHandoff<T> {
        let state =
            State { left: None, last_used: Instant::now(), is_watched: false, not_worth_it: 0 };
        InputHandoff { state: Mutex::new(state), pause: Condvar::new() }
    }

    /// Whether calls are so quick at present that the reading thread should make the next one itself.
    pub(crate) fn is_worth_it(&self) -> bool {
        let mut state = self.state();
        let is_worth_it = state.not_worth_it == 0;
        state.not_worth_it = state.not_worth_it.saturating_sub(1);
        is_worth_it
    }

    /// Leaves the input for a while, if a watcher is there or `start_watcher` gets one; otherwise gives it back.
    pub(crate) fn leave(&self, input: T, start_watcher: impl FnOnce() -> bool) -> Result<(), T> {
        let mut state = self.state();
        // The watcher waits for this lock, so it finds the input.
        if !state.is_watched && !start_watcher() {
            return Err(input);
        }
        let now = Instant::now();
        state.is_watched = true;
        state.left = Some((input, now));
        state.last_used = now;
        Ok(())
    }

    /// Back to reading, unless somebody else reads by now.
    pub(crate) fn take_back(&self) -> Option<T> {
        self.state().left.take().map(|(input, _)| input)
    }

    /// Watches until the input has been left for too long, and takes it over; or until all is quiet.
    pub(crate) fn watch(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            match &state.left {
                Some((_, since)) if now.duration_since(*since) >= PATIENCE => {
                    state.is_watched = false;
                    state.not_worth_it = SLOW_CALLS;
                    return state.left.take().map(|(input, _)| input);
                }
                None if now.duration_since(state.last_used) >= QUIET => {
                    state.is_watched = false;
                    return None;
                }
                _ => {}
            }
            let woken = self.pause.wait_timeout(state, PATIENCE);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn what_is_left_for_too_long_is_taken_over() {
        let standby = Arc::new(InputHandoff::new());
        assert_eq!(standby.leave("input", || false), Err("input"), "nobody would watch");
        assert_eq!(standby.leave("input", || true), Ok(()));
        let watcher = Arc::clone(&standby);
        let watching = thread::spawn(move || watcher.watch());
        assert_eq!(watching.join().expect("it watches"), Some("input"));
        assert_eq!(standby.take_back(), None);
        let worth_it = (0..=SLOW_CALLS).filter(|_| standby.is_worth_it()).count();
        assert_eq!(worth_it, 1, "after some other calls it is tried again");
        assert_eq!(standby.leave("input", || false), Err("input"), "nobody watches any more");
    }

    #[test]
    fn what_is_taken_back_in_time_is_not() {
        let standby = Arc::new(InputHandoff::new());
        assert_eq!(standby.leave(1, || true), Ok(()));
        assert_eq!(standby.take_back(), Some(1));
        let no_other = || panic!("there is a watcher already");
        assert_eq!(standby.leave(2, no_other), Ok(()));
        assert_eq!(standby.take_back(), Some(2));
        let started = Instant::now();
        assert_eq!(standby.watch(), None);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(standby.leave(3, || false), Err(3));
    }
}
