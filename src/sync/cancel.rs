//! `Cancel`: cancels a call while another thread waits in it.

use crate::error::{Error, Kind};
use crate::sync::{lock, wait_timeout_while};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Cancellation of one call, from any thread: its waits end at once.
#[derive(Default)]
pub struct Cancel {
    state: Mutex<CancelState>,
    changed: Condvar,
}

#[derive(Default)]
struct CancelState {
    cancelled: bool,
    withdrawn: bool,
    /// Callbacks by registration number.
    wakers: Vec<(u64, Waker)>,
    next_number: u64,
}

/// Ends one wait of the call. Shared, so that what is waited for often can keep one.
pub(crate) type Waker = Arc<dyn Fn() + Send + Sync>;

/// Registration of a callback, removed on drop.
pub(crate) struct OnCancel<'a> {
    cancel: &'a Cancel,
    number: u64,
}

impl Cancel {
    pub fn new() -> Arc<Cancel> {
        Arc::default()
    }

    /// Ends every wait of the call, present and future.
    pub fn cancel(&self) {
        let mut state = lock(&self.state);
        state.cancelled = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        for (_, wake) in wakers {
            wake();
        }
    }

    pub fn is_cancelled(&self) -> bool {
        lock(&self.state).cancelled
    }

    /// Has nothing more sent for the call. What was sent goes on until `cancel`.
    pub(crate) fn withdraw(&self) {
        lock(&self.state).withdrawn = true;
    }

    /// Whether nothing more is to be sent for the call.
    pub(crate) fn is_withdrawn(&self) -> bool {
        let state = lock(&self.state);
        state.withdrawn || state.cancelled
    }

    /// Sleeps for `time`, or until the call is cancelled. Returns whether it was.
    pub fn sleep(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        wait_timeout_while(&self.changed, state, time, |state| !state.cancelled).cancelled
    }

    /// Runs `wake` once when the call is cancelled, on the cancelling thread; immediately if it is cancelled already.
    ///
    /// To wake a thread that waits for a condition, `wake` must take and release the lock of that condition before it
    /// notifies: the thread may have checked `is_cancelled` and not be waiting yet.
    pub(crate) fn on_cancel(&self, wake: Waker) -> OnCancel<'_> {
        let mut state = lock(&self.state);
        let number = state.next_number;
        state.next_number += 1;
        if state.cancelled {
            drop(state);
            wake();
        } else {
            state.wakers.push((number, wake));
        }
        OnCancel { cancel: self, number }
    }
}

impl Drop for OnCancel<'_> {
    fn drop(&mut self) {
        lock(&self.cancel.state).wakers.retain(|(number, _)| *number != self.number);
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cancel({})", self.is_cancelled())
    }
}

impl fmt::Debug for OnCancel<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OnCancel")
    }
}

/// The error of a cancelled call.
pub(crate) fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "the call was cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_registered_callback_runs_once() {
        let woken = Arc::new(AtomicUsize::new(0));
        let wake = |by: usize| {
            let woken = Arc::clone(&woken);
            Arc::new(move || {
                woken.fetch_add(by, Ordering::SeqCst);
            })
        };
        let cancel = Cancel::new();
        let _kept = cancel.on_cancel(wake(1));
        drop(cancel.on_cancel(wake(10)));
        let _kept_too = cancel.on_cancel(wake(100));
        cancel.cancel();
        cancel.cancel();
        assert_eq!(woken.load(Ordering::SeqCst), 101);
        let _late = cancel.on_cancel(wake(1000));
        assert_eq!(woken.load(Ordering::SeqCst), 1101);
    }

    #[test]
    fn a_cancelled_call_does_not_sleep() {
        let cancel = Cancel::new();
        assert!(!cancel.sleep(Duration::from_millis(1)));
        cancel.cancel();
        assert!(cancel.sleep(Duration::from_secs(60)));
    }
}
