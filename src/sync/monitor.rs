//! `Monitor`: a locked value whose changes threads wait for, each until its own deadline or cancellation.

use crate::error::{Error, Kind};
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::{lock, wait, wait_timeout};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// A mutex and its condition variable. The lock is held briefly, never across I/O.
#[derive(Default)]
pub(crate) struct Monitor<T> {
    value: Mutex<T>,
    changed: Condvar,
}

/// Reason why a wait ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    Cancelled,
    TimedOut,
}

impl WaitError {
    /// The error of a request that waited.
    pub(crate) fn into_error(self) -> Error {
        match self {
            WaitError::Cancelled => cancelled(),
            WaitError::TimedOut => Error::new(Kind::TimedOut, "the request timed out")
                .hint("raise --timeout, or --tool-timeout for tools/call"),
        }
    }
}

impl<T: Send + 'static> Monitor<T> {
    pub(crate) fn new(value: T) -> Arc<Monitor<T>> {
        Arc::new(Monitor { value: Mutex::new(value), changed: Condvar::new() })
    }

    /// Locks the value, to read it or to change a part that no thread waits for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    /// Changes the value and wakes the threads that wait.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `find` returns a value. `find` runs under the lock, first immediately and then after each change.
    pub(crate) fn wait<R>(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        cancel: &Cancel,
        mut find: impl FnMut(&mut T) -> Option<R>,
    ) -> Result<R, WaitError> {
        if let Some(found) = find(&mut self.lock()) {
            return Ok(found);
        }
        let monitor = Arc::clone(self);
        // Takes the lock, so that the notification cannot fall between the check and the wait after it.
        let _waking = cancel.on_cancel(Arc::new(move || monitor.update(|_| ())));
        let mut value = self.lock();
        loop {
            if let Some(found) = find(&mut value) {
                return Ok(found);
            }
            if cancel.is_cancelled() {
                return Err(WaitError::Cancelled);
            }
            value = match deadline {
                None => wait(&self.changed, value),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(WaitError::TimedOut);
                    }
                    wait_timeout(&self.changed, value, left)
                }
            };
        }
    }
}

impl<T> fmt::Debug for Monitor<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Monitor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_wait_ends_with_the_change_the_deadline_or_the_cancellation() {
        let after = |milliseconds| Instant::now().checked_add(Duration::from_millis(milliseconds));
        let monitor = Monitor::new(0);
        let cancel = Cancel::new();
        let is_one = |value: &mut i32| (*value == 1).then_some("one");
        assert_eq!(monitor.wait(after(20), &cancel, is_one), Err(WaitError::TimedOut));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| monitor.wait(None, &cancel, is_one));
            monitor.update(|value| *value = 1);
            assert_eq!(waiting.join().expect("it waits"), Ok("one"));
            let waiting = scope.spawn(|| monitor.wait(after(60_000), &cancel, |_| None::<()>));
            cancel.cancel();
            assert_eq!(waiting.join().expect("it waits"), Err(WaitError::Cancelled));
        });
        assert_eq!(monitor.wait(None, &cancel, is_one), Ok("one"), "no wait, no cancellation");
    }
}
