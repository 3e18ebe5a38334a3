//! `ThreadPool`: threads that run one blocking job each, kept for a while for the next.
//!
//! There is no bound here; who hands in jobs keeps one. When the system has no thread left, a job is refused: it never
//! runs on the thread that hands it in.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// An idle thread ends after this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A job holds no deep recursion; a TLS handshake is the largest thing on its stack.
const STACK_BYTES: usize = 512 * 1024;

/// Something to run. What it returns is run next, on the same thread.
pub(crate) struct Job(Box<dyn FnOnce(Fate) -> Option<Job> + Send>);

/// What becomes of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Runs,
    /// There is no thread for it.
    Refused,
}

impl Job {
    /// A job that is simply dropped if there is no thread for it.
    pub(crate) fn new(run: impl FnOnce() -> Option<Job> + Send + 'static) -> Job {
        Job::of((), move |()| run(), |()| ())
    }

    /// Runs `run`; or `refuse` if there is no thread, which must not block.
    pub(crate) fn of<T: Send + 'static>(
        subject: T,
        run: impl FnOnce(T) -> Option<Job> + Send + 'static,
        refuse: impl FnOnce(T) + Send + 'static,
    ) -> Job {
        Job(Box::new(move |fate| match fate {
            Fate::Runs => run(subject),
            Fate::Refused => {
                refuse(subject);
                None
            }
        }))
    }

    /// A panic ends this job and what it would have returned, but not the thread.
    fn run(self) {
        let mut next = Some(self);
        while let Some(Job(job)) = next {
            next = catch_unwind(AssertUnwindSafe(|| job(Fate::Runs))).unwrap_or(None);
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct ThreadPool {
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

impl ThreadPool {
    /// Runs the job on a thread of its own, at once. False: there is no thread, and the job is refused.
    pub(crate) fn run(&self, job: Job) -> bool {
        let mut state = self.shared.lock();
        if state.idle > 0 {
            state.idle -= 1;
            state.jobs.push_back(job);
            drop(state);
            self.shared.wake.notify_one();
            return true;
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
        if spawned.is_err()
            && let Some(Job(job)) = take(&first)
        {
            job(Fate::Refused);
        }
        spawned.is_ok()
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

impl fmt::Debug for ThreadPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Workers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_panic_ends_the_job_and_not_its_thread() {
        let workers = ThreadPool::default();
        let (done, finished) = mpsc::channel();
        let panics = Job::new(|| panic!("as it must"));
        let first = done.clone();
        workers.run(Job::new(move || {
            let _ = first.send(thread::current().id());
            Some(panics)
        }));
        let its_thread = finished.recv_timeout(Duration::from_secs(10)).expect("it runs");
        while workers.shared.lock().idle == 0 {
            thread::yield_now();
        }
        workers.run(Job::new(move || {
            let _ = done.send(thread::current().id());
            None
        }));
        assert_eq!(finished.recv_timeout(Duration::from_secs(10)), Ok(its_thread));
    }

    #[test]
    fn jobs_that_wait_for_each_other_all_run() {
        let workers = ThreadPool::default();
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
