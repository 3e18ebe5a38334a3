//! `Workers`: threads that run one blocking job each, kept for a while for the next.
//!
//! There is no bound here; who hands in jobs keeps one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// An idle thread ends after this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A job holds no deep recursion; a TLS handshake is the largest thing on its stack.
const STACK_BYTES: usize = 512 * 1024;

/// Something to run. What it returns is run next, on the same thread.
pub(crate) struct Job(Box<dyn FnOnce() -> Option<Job> + Send>);

impl Job {
    pub(crate) fn new(job: impl FnOnce() -> Option<Job> + Send + 'static) -> Job {
        Job(Box::new(job))
    }

    pub(crate) fn run(self) {
        let mut next = Some(self);
        while let Some(Job(job)) = next {
            next = job();
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Workers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Jobs handed to threads that are waking up.
    jobs: VecDeque<Job>,
    /// Threads that wait and have no job in `jobs`.
    idle: usize,
}

impl Workers {
    /// Runs the job on a thread of its own, at once. The job must not panic.
    pub(crate) fn run(&self, job: Job) {
        // Out of threads: the job is late rather than lost.
        if let Some(job) = self.hand_over(job) {
            job.run();
        }
    }

    /// The same, but gives the job back where there is no thread for it.
    pub(crate) fn hand_over(&self, job: Job) -> Option<Job> {
        let mut state = self.shared.lock();
        if state.idle > 0 {
            state.idle -= 1;
            state.jobs.push_back(job);
            drop(state);
            self.shared.wake.notify_one();
            return None;
        }
        drop(state);
        let shared = Arc::clone(&self.shared);
        let first = Arc::new(Mutex::new(Some(job)));
        let its = Arc::clone(&first);
        let spawned = thread::Builder::new().name("call".to_owned()).stack_size(STACK_BYTES).spawn(
            move || {
                if let Some(job) = take(&its) {
                    job.run();
                }
                shared.work();
            },
        );
        if spawned.is_ok() { None } else { take(&first) }
    }
}

fn take(job: &Mutex<Option<Job>>) -> Option<Job> {
    job.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Shared {
    /// Runs jobs until there has been none for some time.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            state.idle += 1;
            let (woken, _) = self
                .wake
                .wait_timeout_while(state, PATIENCE, |state| state.jobs.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            let Some(job) = state.jobs.pop_front() else {
                state.idle -= 1;
                return;
            };
            drop(state);
            job.run();
            state = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Workers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn jobs_that_wait_for_each_other_all_run() {
        let workers = Workers::default();
        for _ in 0..3 {
            let (done, finished) = mpsc::channel();
            let barrier = Arc::new(std::sync::Barrier::new(20));
            for _ in 0..20 {
                let (done, barrier) = (done.clone(), Arc::clone(&barrier));
                workers.run(Job::new(move || {
                    barrier.wait();
                    let _ = done.send(());
                    None
                }));
            }
            for _ in 0..20 {
                finished
                    .recv_timeout(Duration::from_secs(10))
                    .expect("every job runs on a thread of its own");
            }
        }
    }
}
