//! `Scheduler`: runs the messages of the queue on threads.

use crate::clock::processor_time;
use crate::error::{Error, out_of_threads};
use crate::log::Log;
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::scheduler::admission::{TICK, Tick, is_busy};
use crate::scheduler::detached::{DetachedQueue, Purpose, Push};
use crate::scheduler::handoff::InputHandoff;
use crate::scheduler::in_flight::InFlight;
use crate::scheduler::open_streams::{Excess, STREAM_END_DELAY};
use crate::scheduler::queue::{After, Queue, Runnable, timed_out_in_queue};
use crate::scheduler::threads::{Job, ThreadPool};
use crate::scheduler::timer::Timer;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::Instant;

/// Work that the scheduler passes to its owner. Each task runs on a thread of its own, except `Refuse` and `CloseStream`.
pub(crate) enum Task<'a, I> {
    /// Reads until the input ends or another thread takes it over.
    Read(I),
    /// Relays a request and its responses, and calls `complete` with the last of them.
    Call(&'a Arc<InFlight>, &'a Message),
    /// Relays a notification.
    Notify(&'a Message),
    /// Reports the error of a message that is not sent, and responds to its requests. Must not block.
    Refuse(&'a [&'a Message], &'a Error),
    /// Ends the remaining I/O of a call.
    CloseStream(&'a InFlight),
}

/// The owner's handler of tasks.
type Handle<I> = dyn Fn(Task<'_, I>) + Send + Sync;

/// Work outside the queue: sends a detached message, or handles a timer entry.
type Work = Box<dyn FnOnce() + Send>;

/// `I` is the input, which moves between the threads that read it.
pub(crate) struct Scheduler<I> {
    queue: Mutex<Queue>,
    handoff: InputHandoff<I>,
    detached: Mutex<DetachedQueue<Work>>,
    timer: Timer<Due>,
    threads: ThreadPool,
    handle: Box<Handle<I>>,
    on_idle: OnceLock<Box<dyn Fn() + Send + Sync>>,
    log: Log,
}

/// A timer entry.
enum Due {
    Work(Work),
    /// Open streams beyond their limit are old enough to be closed.
    Sweep,
    /// The deadline of a waiting request may have passed.
    Deadline,
}

/// Result of `cancel`.
#[derive(Debug)]
pub(crate) enum Cancelled {
    /// The request had not started and never will. `may_start`: as returned by `submit`.
    Waiting {
        may_start: bool,
    },
    InFlight(Arc<InFlight>),
    /// The request has its response, or never existed.
    Unknown,
}

impl<I: Send + 'static> Scheduler<I> {
    pub(crate) fn new(
        max_in_flight: usize,
        max_message_bytes: usize,
        log: Log,
        handle: impl Fn(Task<'_, I>) + Send + Sync + 'static,
    ) -> Arc<Scheduler<I>> {
        Arc::new(Scheduler {
            queue: Mutex::new(Queue::new(max_in_flight, max_message_bytes)),
            handoff: InputHandoff::new(),
            detached: Mutex::new(DetachedQueue::new(max_message_bytes)),
            timer: Timer::new(),
            threads: ThreadPool::default(),
            handle: Box::new(handle),
            on_idle: OnceLock::new(),
            log,
        })
    }

    // ---- Messages of the queue

    /// Starts a thread that reads the input. False: no thread could be started.
    pub(crate) fn read(self: &Arc<Self>, input: I) -> bool {
        self.threads.run(self.reading(input))
    }

    /// Adds a message at the end of the queue, or refuses it if too many wait. A request gets a response by its deadline,
    /// started or not. Returns whether a message may start now, by `start` or `start_lone`.
    pub(crate) fn submit(&self, message: Message, deadline: Option<Instant>) -> bool {
        let mut queue = self.queue();
        if let Err(error) = queue.check_room(&message) {
            drop(queue);
            (self.handle)(Task::Refuse(&[&message], &error));
            return false;
        }
        queue.push(message, deadline);
        queue.needs_attention()
    }

    /// Starts all messages that may start, on other threads.
    pub(crate) fn start(self: &Arc<Self>) {
        while let Some(next) = self.next() {
            self.threads.run(self.running(next));
        }
    }

    /// Starts all messages that may start. A lone request runs on the calling thread, which reads the input. If that takes
    /// long, another thread continues reading; then this returns `None`, and the caller stops reading.
    pub(crate) fn start_lone(self: &Arc<Self>, input: I) -> Option<I> {
        let Some(next) = self.lone() else {
            self.start();
            self.watch_deadline();
            return Some(input);
        };
        match self.handoff.park(input, || self.threads.run(self.watching())) {
            Ok(()) => {
                self.run_from(next);
                self.handoff.unpark()
            }
            Err(input) => {
                self.threads.run(self.running(next));
                Some(input)
            }
        }
    }

    /// Schedules a check of the last message's deadline, if the message waits.
    pub(crate) fn watch_deadline(self: &Arc<Self>) {
        let due = self.queue().plan_check(Instant::now());
        if let Some(due) = due {
            self.schedule(due, Due::Deadline);
        }
    }

    /// Removes a request from the queue, or returns it if it is in flight.
    pub(crate) fn cancel(&self, id: &Id) -> Cancelled {
        let mut queue = self.queue();
        if queue.remove_waiting(id) {
            self.check_idle(&queue);
            return Cancelled::Waiting { may_start: queue.needs_attention() };
        }
        queue.in_flight(id).map_or(Cancelled::Unknown, Cancelled::InFlight)
    }

    /// Removes every `server/discover` from the queue and returns those in flight that have no response yet.
    pub(crate) fn give_up_discovers(&self) -> Vec<Arc<InFlight>> {
        let mut queue = self.queue();
        let calls = queue.give_up_discovers();
        self.check_idle(&queue);
        calls
    }

    /// Records that the call no longer counts as in flight, and starts the messages that waited for it.
    pub(crate) fn complete(self: &Arc<Self>, call: &Arc<InFlight>, after: After) {
        let mut queue = self.queue();
        queue.complete(call, after);
        self.check_idle(&queue);
        let may_start = queue.needs_attention();
        let has_excess_streams = queue.has_excess_streams();
        drop(queue);
        if has_excess_streams {
            let now = Instant::now();
            let excess = self.queue().excess_streams(now);
            self.close_streams(&excess, now);
        }
        if may_start {
            self.start();
        }
    }

    /// Records that the call waits for the client, or no longer, and starts the messages that waited for its place.
    pub(crate) fn set_awaits_client(self: &Arc<Self>, call: &InFlight, awaits: bool) {
        let mut queue = self.queue();
        queue.set_awaits_client(call, awaits);
        self.start_waiting(queue);
    }

    /// Starts the messages that may start since the queue has changed.
    fn start_waiting(self: &Arc<Self>, queue: MutexGuard<'_, Queue>) {
        let may_start = queue.needs_attention();
        drop(queue);
        if may_start {
            self.start();
        }
    }

    /// Takes the next message that may start, except those left to finishing threads.
    fn next(self: &Arc<Self>) -> Option<Runnable> {
        let mut queue = self.queue();
        if queue.claim_clock() {
            drop(queue);
            if self.threads.run(self.ticking()) {
                return None;
            }
            queue = self.queue();
            queue.clock_failed();
        }
        if queue.needs_thread() { queue.start_next() } else { None }
    }

    /// Takes a message that may start while no other is in flight.
    fn lone(&self) -> Option<Runnable> {
        let mut queue = self.queue();
        let is_lone = queue.is_quiet() && queue.needs_thread() && self.handoff.is_worth_it();
        if is_lone { queue.start_next() } else { None }
    }

    /// Runs a message, and then waiting ones, until none may start.
    fn run_from(self: &Arc<Self>, first: Runnable) {
        let mut next = Some(first);
        while let Some(running) = next {
            // A panic must not leave the message in flight.
            let ran = catch_unwind(AssertUnwindSafe(|| match &running {
                Runnable::Call(call, message) => (self.handle)(Task::Call(call, message)),
                Runnable::Notification(message) => (self.handle)(Task::Notify(message)),
            }));
            if ran.is_err() {
                self.log.error("a bug in sigv4-proxy dropped a message");
            }
            let mut queue = self.end(&running);
            next = queue.start_next();
            self.start_waiting(queue);
        }
    }

    fn end(&self, ended: &Runnable) -> MutexGuard<'_, Queue> {
        let mut queue = self.queue();
        match ended {
            Runnable::Call(call, _) => queue.end_call(call),
            Runnable::Notification(_) => queue.end_notification(),
        }
        self.check_idle(&queue);
        queue
    }

    // ---- Jobs

    fn reading(self: &Arc<Self>, input: I) -> Job {
        let scheduler = Arc::clone(self);
        Job::new(move || {
            (scheduler.handle)(Task::Read(input));
            None
        })
    }

    /// Continues reading when the reading thread is busy for too long.
    fn watching(self: &Arc<Self>) -> Job {
        let scheduler = Arc::clone(self);
        Job::new(move || scheduler.handoff.watch().map(|input| scheduler.reading(input)))
    }

    fn running(self: &Arc<Self>, next: Runnable) -> Job {
        let run = |(scheduler, next): (Arc<Self>, Runnable)| {
            scheduler.run_from(next);
            None
        };
        Job::of((Arc::clone(self), next), run, |(scheduler, refused)| {
            let (Runnable::Call(_, message) | Runnable::Notification(message)) = &refused;
            (scheduler.handle)(Task::Refuse(&[message], &out_of_threads()));
            drop(scheduler.end(&refused));
        })
    }

    /// Starts messages that are held back for too long.
    fn ticking(self: &Arc<Self>) -> Job {
        let scheduler = Arc::clone(self);
        Job::new(move || {
            if catch_unwind(AssertUnwindSafe(|| scheduler.tick())).is_err() {
                scheduler.queue().clock_failed();
            }
            None
        })
    }

    fn tick(self: &Arc<Self>) {
        let clock = Cancel::default();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut before = (processor_time(), Instant::now());
        loop {
            clock.sleep(TICK);
            let now = (processor_time(), Instant::now());
            let used = now.0.saturating_sub(before.0);
            let is_busy = is_busy(used, now.1.duration_since(before.1), processors);
            before = now;
            let tick = self.queue().tick(is_busy);
            match tick {
                Tick::Wait => {}
                Tick::Start => self.start(),
                Tick::End => return,
            }
        }
    }

    // ---- Work outside the queue

    /// Runs work on another thread. False: no thread could be started, and `refuse` ran on this one.
    pub(crate) fn spawn(
        &self,
        run: impl FnOnce() + Send + 'static,
        refuse: impl FnOnce() + Send + 'static,
    ) -> bool {
        let run = move |refuse| {
            drop(refuse);
            run();
            None
        };
        self.threads.run(Job::of(refuse, run, |refuse| refuse()))
    }

    /// Runs work that sends a detached message of `bytes`, as soon as the limit of its purpose allows.
    pub(crate) fn detach(
        self: &Arc<Self>,
        purpose: Purpose,
        bytes: usize,
        work: impl FnOnce() + Send + 'static,
    ) {
        self.begin_detached();
        let pushed = lock(&self.detached).push(purpose, bytes, Box::new(work));
        match pushed {
            Push::Send(first) => {
                let run = move |(scheduler, first): (Arc<Self>, Work)| {
                    scheduler.run_detached(purpose, first);
                    None
                };
                self.threads.run(Job::of((Arc::clone(self), first), run, move |(scheduler, _)| {
                    (scheduler.handle)(Task::Refuse(&[], &out_of_threads()));
                    lock(&scheduler.detached).send_failed(purpose);
                    scheduler.end_detached();
                }));
            }
            Push::Waits => {}
            Push::Dropped => {
                self.log.warn(format_args!(
                    "too many messages wait for the server ({purpose:?}): dropping one"
                ));
                self.end_detached();
            }
        }
    }

    fn run_detached(&self, purpose: Purpose, first: Work) {
        let mut next = Some(first);
        while let Some(work) = next {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                self.log.error("a bug in sigv4-proxy dropped a message");
            }
            self.end_detached();
            next = lock(&self.detached).next(purpose);
        }
    }

    /// Prevents the scheduler from being idle until `end_detached`.
    pub(crate) fn begin_detached(&self) {
        self.queue().begin_detached();
    }

    pub(crate) fn end_detached(&self) {
        let mut queue = self.queue();
        queue.end_detached();
        self.check_idle(&queue);
    }

    /// Runs short work at the time `due`; immediately if no thread can be started.
    pub(crate) fn run_at(self: &Arc<Self>, due: Instant, work: impl FnOnce() + Send + 'static) {
        self.schedule(due, Due::Work(Box::new(work)));
    }

    fn schedule(self: &Arc<Self>, due: Instant, entry: Due) {
        if !self.timer.add(due, entry) {
            return;
        }
        let run = |scheduler: Arc<Self>| {
            while let Some(due) = scheduler.timer.next() {
                let run = AssertUnwindSafe(|| scheduler.run_due(due, Instant::now()));
                if catch_unwind(run).is_err() {
                    scheduler.log.error("a bug in sigv4-proxy ended a scheduled task");
                }
            }
            None
        };
        self.threads.run(Job::of(Arc::clone(self), run, |scheduler| {
            // Too early is better than never.
            let later = Instant::now() + STREAM_END_DELAY;
            for due in scheduler.timer.take_all() {
                match due {
                    // The next message schedules the check again.
                    Due::Deadline => scheduler.queue().check_failed(),
                    due => scheduler.run_due(due, later),
                }
            }
        }));
    }

    fn run_due(self: &Arc<Self>, due: Due, now: Instant) {
        match due {
            Due::Work(work) => work(),
            Due::Sweep => {
                let excess = self.queue().sweep_streams(now);
                self.close_streams(&excess, now);
            }
            Due::Deadline => self.refuse_overdue(now),
        }
    }

    /// Refuses the requests whose deadline passed before they could start.
    fn refuse_overdue(self: &Arc<Self>, now: Instant) {
        let (overdue, next_check) = self.queue().take_overdue(now);
        if let Some(due) = next_check {
            self.schedule(due, Due::Deadline);
        }
        if overdue.is_empty() {
            return;
        }
        let overdue: Vec<&Message> = overdue.iter().collect();
        (self.handle)(Task::Refuse(&overdue, &timed_out_in_queue()));
        let queue = self.queue();
        self.check_idle(&queue);
        // A notification that was queued after them needs no slot.
        self.start_waiting(queue);
    }

    fn close_streams(self: &Arc<Self>, excess: &Excess, now: Instant) {
        for call in &excess.to_close {
            (self.handle)(Task::CloseStream(call));
        }
        if excess.needs_sweep {
            self.schedule(now + STREAM_END_DELAY, Due::Sweep);
        }
    }

    // ---- Shutdown

    /// Calls `notify` whenever every request has its response and every message is sent, also now. `notify` must not call
    /// the scheduler. Only the first call of this has an effect.
    pub(crate) fn notify_when_idle(&self, notify: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_idle.set(Box::new(notify));
        self.check_idle(&self.queue());
    }

    /// Starts nothing from now on. Returns the waiting messages and the calls in flight.
    pub(crate) fn close(&self) -> (Vec<Message>, Vec<Arc<InFlight>>) {
        self.queue().close()
    }

    fn check_idle(&self, queue: &Queue) {
        if let Some(notify) = self.on_idle.get()
            && queue.is_idle()
        {
            notify();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl<I> fmt::Debug for Scheduler<I> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Scheduler").field("threads", &self.threads).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Format, Level};
    use crate::redact::Redactor;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A scheduler whose calls and notifications are sent to the receiver as soon as they run.
    fn scheduler() -> (Arc<Scheduler<()>>, Receiver<String>) {
        let log = Log::new(Level::Silent, Format::Text, None, Redactor::default()).expect("a log");
        let (ran, running) = channel();
        let handle = move |task: Task<'_, ()>| {
            if let Task::Call(_, message) | Task::Notify(message) = task {
                let _ = ran.send(message.method().unwrap_or_default().to_owned());
            }
        };
        (Scheduler::new(4, 1000, log, handle), running)
    }

    fn submit(scheduler: &Scheduler<()>, line: &str) -> bool {
        let message = Message::parse(line.as_bytes().to_vec()).expect("a message");
        scheduler.submit(message, None)
    }

    #[test]
    fn messages_run_in_order_until_the_scheduler_is_idle() {
        let (scheduler, running) = scheduler();
        assert!(submit(&scheduler, r#"{"id":0,"method":"initialize"}"#));
        submit(&scheduler, r#"{"method":"notifications/initialized"}"#);
        submit(&scheduler, r#"{"id":1,"method":"ping"}"#);
        let (idle, is_idle) = channel();
        scheduler.notify_when_idle(move || {
            let _ = idle.send(());
        });
        assert!(is_idle.try_recv().is_err(), "messages wait");
        scheduler.start();
        for method in ["initialize", "notifications/initialized", "ping"] {
            assert_eq!(running.recv_timeout(LIMIT).as_deref(), Ok(method));
        }
        is_idle.recv_timeout(LIMIT).expect("nothing is left");
    }

    #[test]
    fn a_waiting_request_is_cancelled_and_unknown_afterwards() {
        let (scheduler, running) = scheduler();
        submit(&scheduler, r#"{"id":1,"method":"ping"}"#);
        let id = Id::from_json("1").expect("an id");
        assert!(matches!(scheduler.cancel(&id), Cancelled::Waiting { may_start: false }));
        assert!(matches!(scheduler.cancel(&id), Cancelled::Unknown));
        scheduler.start();
        assert!(running.try_recv().is_err());
    }

    #[test]
    fn detached_work_runs_while_a_barrier_is_in_flight() {
        let (scheduler, _running) = scheduler();
        submit(&scheduler, r#"{"id":0,"method":"initialize"}"#);
        assert!(scheduler.queue().start_next().is_some(), "in flight without an end");
        let (ran, running) = channel();
        scheduler.detach(Purpose::Response, 10, move || ran.send(()).expect("the test waits"));
        running.recv_timeout(LIMIT).expect("it waits for nothing");
    }
}
