//! `ThreadPool`: threads that run one blocking job each and are reused.
//!
//! The callers limit the number of jobs. When the system refuses a thread, the job is refused: it never runs on the calling
//! thread.

use crate::sync::{lock, spawn, wait_timeout_while};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Time after which an idle thread ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Work for a thread. The job that it returns runs next, on the same thread.
pub(crate) struct Job(Box<dyn FnOnce(Fate) -> Option<Job> + Send>);

/// Outcome of starting a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Runs,
    /// No thread could be started.
    Refused,
}

impl Job {
    /// A job that is dropped if no thread can be started.
    pub(crate) fn new(run: impl FnOnce() -> Option<Job> + Send + 'static) -> Job {
        Job::of((), move |()| run(), |()| ())
    }

    /// A job that calls `run`, or `refuse` if no thread can be started. `refuse` must not block.
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

    /// Runs this job and those that follow from it. A panic ends the job, not the thread.
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
    /// Jobs for threads that are waking up.
    jobs: VecDeque<Job>,
    /// Number of waiting threads that no job in `jobs` is meant for.
    idle: usize,
}

impl ThreadPool {
    /// Runs the job immediately on a thread. False: no thread could be started, and the job was refused.
    pub(crate) fn run(&self, job: Job) -> bool {
        let mut state = lock(&self.shared.state);
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
        let taken = Arc::clone(&first);
        let spawned = spawn("call", move || {
            let job = lock(&taken).take();
            if let Some(job) = job {
                job.run();
            }
            shared.work();
        });
        if spawned.is_err() {
            let refused = lock(&first).take();
            if let Some(Job(job)) = refused {
                job(Fate::Refused);
            }
        }
        spawned.is_ok()
    }
}

impl Shared {
    /// Runs jobs until none came for `IDLE_TIMEOUT`.
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            state.idle += 1;
            let has_none = |state: &mut State| state.jobs.is_empty();
            state = wait_timeout_while(&self.wake, state, IDLE_TIMEOUT, has_none);
            let Some(job) = state.jobs.pop_front() else {
                state.idle -= 1;
                return;
            };
            drop(state);
            job.run();
            state = lock(&self.state);
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ThreadPool")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn a_panic_ends_the_job_and_not_its_thread() {
        let threads = ThreadPool::default();
        let (done, finished) = mpsc::channel();
        let panics = Job::new(|| panic!("as expected"));
        let first = done.clone();
        threads.run(Job::new(move || {
            let _ = first.send(thread::current().id());
            Some(panics)
        }));
        let thread_id = finished.recv_timeout(Duration::from_secs(10)).expect("it runs");
        while lock(&threads.shared.state).idle == 0 {
            thread::yield_now();
        }
        threads.run(Job::new(move || {
            let _ = done.send(thread::current().id());
            None
        }));
        assert_eq!(finished.recv_timeout(Duration::from_secs(10)), Ok(thread_id));
    }

    #[test]
    fn jobs_that_wait_for_each_other_all_run() {
        let threads = ThreadPool::default();
        for _ in 0..3 {
            let (done, finished) = mpsc::channel();
            let barrier = Arc::new(std::sync::Barrier::new(20));
            for _ in 0..20 {
                let (done, barrier) = (done.clone(), Arc::clone(&barrier));
                threads.run(Job::new(move || {
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
