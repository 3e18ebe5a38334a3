//! `SingleFlight`: work that several calls need at once, done once for all of them on a separate thread.
//!
//! Each call waits until its own deadline or cancellation; the work continues for the others.

use crate::error::{Error, Kind, out_of_threads};
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::{Monitor, WaitError};
use crate::sync::spawn;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct SingleFlight {
    /// Name of its threads.
    thread_name: &'static str,
    state: Arc<Monitor<State>>,
}

#[derive(Default)]
struct State {
    is_under_way: bool,
    /// Number of flights so far.
    number: u64,
    /// Error of the last flight, if it failed.
    error: Option<Error>,
}

/// Work in progress. Records the end on drop, so also after a panic or without a thread.
struct Flight {
    state: Arc<Monitor<State>>,
    result: Option<Result<(), Error>>,
}

impl SingleFlight {
    pub(crate) fn new(name: &'static str) -> SingleFlight {
        SingleFlight { thread_name: name, state: Monitor::new(State::default()) }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.state.lock().is_under_way
    }

    /// Waits until no work is in progress and returns the value of `find`. If that is `None`, starts `work` and, when it
    /// is done, returns its error or calls `find` again. The argument of `find`: whether work has ended since this call began.
    ///
    /// `find` must not block. `work` is started once for all callers and must have limits of its own.
    ///
    /// # Errors
    /// The error of the work, `Cancelled`, or `TimedOut` at the deadline.
    pub(crate) fn get<R>(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
        find: impl Fn(bool) -> Option<R>,
        work: impl Fn() -> Result<(), Error> + Clone + Send + 'static,
    ) -> Result<R, Error> {
        // Number of the flight whose result counts for this call: the one in progress, or the next.
        let mut awaited = None;
        loop {
            let landed = self.state.wait(deadline, cancel, |state| {
                let awaited = *awaited.get_or_insert(state.number + u64::from(!state.is_under_way));
                if state.is_under_way {
                    return None;
                }
                let is_done = state.number >= awaited;
                if let Some(error) = state.error.as_ref().filter(|_| is_done) {
                    return Some(Err(error.clone()));
                }
                let found = find(is_done);
                if found.is_none() {
                    state.is_under_way = true;
                    state.number += 1;
                }
                Some(Ok(found))
            });
            match landed {
                Ok(Ok(Some(found))) => return Ok(found),
                Ok(Ok(None)) => self.start(work.clone()),
                Ok(Err(error)) => return Err(error),
                Err(WaitError::Cancelled) => {
                    return Err(cancelled());
                }
                Err(WaitError::TimedOut) => {
                    let what = "the request timed out before the server responded";
                    return Err(Error::new(Kind::TimedOut, what)
                        .hint("raise --timeout, or --tool-timeout for tools/call"));
                }
            }
        }
    }

    fn start(&self, work: impl FnOnce() -> Result<(), Error> + Send + 'static) {
        let flight = Flight { state: Arc::clone(&self.state), result: None };
        // Without a thread the flight is dropped, which records an error.
        let _ = spawn(self.thread_name, move || flight.land(work()));
    }
}

impl Flight {
    fn land(mut self, result: Result<(), Error>) {
        self.result = Some(result);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            Err(if thread::panicking() {
                Error::new(Kind::Internal, "a bug in sigv4-proxy ended it").hint("please report it")
            } else {
                out_of_threads()
            })
        });
        self.state.update(|state| {
            state.is_under_way = false;
            state.error = result.err();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn work_is_done_once_and_continues_without_the_call_that_started_it() {
        let flight = SingleFlight::new("test");
        let runs = Arc::new(AtomicU32::new(0));
        let (finish, finished) = channel::<()>();
        let finished = Arc::new(std::sync::Mutex::new(finished));
        let work = || {
            let (runs, finished) = (Arc::clone(&runs), Arc::clone(&finished));
            move || {
                runs.fetch_add(1, Ordering::SeqCst);
                let _ = finished.lock().expect("one thread works").recv();
                Ok(())
            }
        };
        let find = |is_done: bool| is_done.then(|| runs.load(Ordering::SeqCst));
        let (forever, cancel) = (Cancel::default(), Cancel::default());
        let soon = Instant::now().checked_add(Duration::from_millis(20));
        let late = flight.get(soon, &forever, find, work()).expect_err("it lasts longer");
        assert_eq!(late.kind(), Kind::TimedOut);
        thread::scope(|scope| {
            let waiting =
                [(); 3].map(|()| scope.spawn(|| flight.get(None, &forever, find, work())));
            let cancelled = scope.spawn(|| flight.get(None, &cancel, find, work()));
            cancel.cancel();
            let cancelled = cancelled.join().expect("it waits").expect_err("it was cancelled");
            assert_eq!(cancelled.kind(), Kind::Cancelled);
            finish.send(()).expect("it is under way");
            drop(finish);
            for found in waiting {
                // A late caller has started another flight.
                assert!((1..=4).contains(&found.join().expect("it waits").expect("no failure")));
            }
        });
    }

    #[test]
    fn a_failure_is_returned_to_all_who_waited_and_to_none_after_them() {
        let flight = SingleFlight::new("test");
        let cancel = Cancel::default();
        let get = |work: fn() -> Result<(), Error>| {
            flight.get(None, &cancel, |is_done| is_done.then_some(()), work)
        };
        let error = get(|| Err(Error::new(Kind::InvalidResponse, "no"))).expect_err("it fails");
        assert_eq!(error.message(), "no");
        assert!(get(|| Ok(())).is_ok());
        let error = get(|| panic!("a test of panics")).expect_err("it fails");
        assert_eq!(error.kind(), Kind::Internal);
        assert!(get(|| Ok(())).is_ok());
    }
}
