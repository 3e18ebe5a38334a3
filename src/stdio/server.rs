//! stdin line → call → stdout line: threads, taking calls back, the end.
//!
//! The reader never waits for the network: it hands each message to the lane, which keeps the order that
//! matters. The client's answers to the server and its cancellations never wait.

use crate::cli::{GetStream, Options};
use crate::clock::processor_time;
use crate::error::{Error, Kind};
use crate::log::Log;
use crate::mcp::message::{self, Id, Message, MessageKind};
use crate::scheduler::admission::{TICK, Tick, is_busy};
use crate::scheduler::detached::{DetachedQueue, Purpose, Push};
use crate::scheduler::handoff::InputHandoff;
use crate::scheduler::queue::{After, Call, Queue, Runnable, STREAM_END_DELAY};
use crate::scheduler::threads::{Job, ThreadPool};
use crate::scheduler::timer::Timer;
use crate::signing::BodyHash;
use crate::stdio::input::{Input, read_line};
use crate::stdio::output::Output;
use crate::stdio::server_requests::{self, Origin, ServerRequests};
use crate::streamable_http::exchange::Exchanger;
use crate::streamable_http::profile_router::ProfileRouter;
use crate::streamable_http::relay::{Line, Relayed, ServerRequest};
use crate::sync::cancel::Cancel;
use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// So much of the input is read ahead.
const INPUT_BUFFER_BYTES: usize = 64 * 1024;

/// A cancelled call may end in order for so long: the server may have to finish a request it nested in it.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// A cancellation is sent so much later than the request it names, lest it overtake it.
const CANCEL_DELAY: Duration = Duration::from_millis(100);

/// What is left of the calls is told to the client within this time when the process ends.
const SHUTDOWN_FLUSH_TIMEOUT: Duration = Duration::from_millis(300);

/// How long the end may take, with what the calls still say and the end of each profile's session.
const CLOSING_LIMIT: Duration = Duration::from_millis(600);

/// The waits before a session that is owed is tried to be begun again.
const FIRST_BEGIN: Duration = Duration::from_secs(2);
const LONGEST_BEGIN: Duration = Duration::from_secs(60);

/// Why the proxy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// stdin is at its end.
    InputClosed,
    /// stdout cannot be written: the client is gone.
    OutputClosed,
    /// SIGTERM, SIGINT or SIGHUP.
    Signal,
    /// After `InputClosed`: nothing is in flight any more.
    Idle,
}

/// Relays until the input ends, the output breaks, or a signal arrives through `ends`.
///
/// Threads that are blocked on the input or the output are left behind; the process is expected to end. Fails when the
/// system has no threads for it.
pub fn run(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    profiles: ProfileRouter,
    options: &Options,
    log: Log,
    (end, ends): (Sender<End>, &Receiver<End>),
) -> Result<End, Error> {
    let proxy = Arc::new(Proxy {
        signs_bodies: profiles.first().upstream().signs_bodies(),
        profiles,
        log,
        max_message_bytes: options.max_message_bytes,
        get_stream: options.sse,
        output: Output::new(output),
        lane: Mutex::new(Queue::new(options.max_in_flight, options.max_message_bytes)),
        workers: ThreadPool::default(),
        standby: InputHandoff::new(),
        timer: Timer::new(),
        detached: Mutex::new(DetachedQueue::new(options.max_message_bytes)),
        server_requests: Mutex::default(),
        listen_cancel: Mutex::default(),
        begin_cancel: Mutex::default(),
        end,
        draining: AtomicBool::new(false),
    });
    let input: Box<dyn Read + Send> = Box::new(input);
    proxy.take_what_belongs_to_no_call();
    if !options.lazy {
        proxy.look_for_credentials();
    }
    let input = BufReader::with_capacity(INPUT_BUFFER_BYTES, input);
    if !proxy.workers.run(proxy.writing()) || !proxy.workers.run(proxy.reading(input)) {
        return Err(out_of_threads());
    }

    let mut why = ends.recv().unwrap_or(End::InputClosed);
    if why == End::InputClosed {
        why = proxy.drain(options.drain_timeout, ends);
    }
    proxy.log.debug(format_args!("ending: {why:?}"));
    proxy.close(why, ends);
    Ok(why)
}

fn out_of_threads() -> Error {
    let what = "out of threads: the system refused to start another one";
    Error::new(Kind::Unreachable, what)
        .hint("raise the limit (ulimit -u, TasksMax, the pids limit of the container) or lower --max-in-flight")
        .unsent()
}

type ClientInput = BufReader<Box<dyn Read + Send>>;

struct Proxy {
    profiles: ProfileRouter,
    log: Log,
    max_message_bytes: usize,
    /// Signatures cover the bodies of messages.
    signs_bodies: bool,
    get_stream: GetStream,
    output: Output,
    lane: Mutex<Queue>,
    workers: ThreadPool,
    standby: InputHandoff<ClientInput>,
    timer: Timer<Due>,
    detached: Mutex<DetachedQueue<Detached>>,
    server_requests: Mutex<ServerRequests>,
    /// The standing GET stream of the session.
    listen_cancel: Mutex<Option<Arc<Cancel>>>,
    /// The attempts to begin a session that is owed (`--lazy`).
    begin_cancel: Mutex<Option<Arc<Cancel>>>,
    end: Sender<End>,
    /// The input is at its end: `Idle` is told.
    draining: AtomicBool,
}

/// What is to be done later.
enum Due {
    /// The server is told of a cancellation.
    Cancellation(Message),
    /// A cancelled call has had its time to end in order.
    Close(Arc<Call>),
    /// Streams that stay open have become too many.
    Sweep,
    /// A request may have waited for its turn for too long.
    Overdue,
}

/// A message that waits for no request.
struct Detached {
    message: Message,
    /// `None`: as its content says.
    conversation: Option<Arc<Exchanger>>,
}

impl Proxy {
    /// A handshake has what to say to the client when no call waits for it.
    fn take_what_belongs_to_no_call(self: &Arc<Self>) {
        for (place, conversation) in self.profiles.all().enumerate() {
            let (proxy, other) = (Arc::downgrade(self), place.checked_sub(1));
            conversation.on_delivery(move |delivery| {
                proxy.upgrade().map_or(Ok(()), |proxy| proxy.deliver_aside(other, delivery))
            });
        }
    }

    /// The first request finds the credentials ready, and whoever tests a configuration sees at once if they are
    /// missing, also with an empty stdin: its end waits for this as for a call.
    fn look_for_credentials(self: &Arc<Self>) {
        self.lane().begin_aside();
        let look = |proxy: Arc<Proxy>| {
            let looked = catch_unwind(AssertUnwindSafe(|| {
                let upstream = proxy.profiles.first().upstream();
                match upstream.credentials(None, &Cancel::default()) {
                    Ok(found) => {
                        proxy.log.info(format_args!("credentials: {}", found.summary()));
                    }
                    Err(error) if error.kind() == Kind::Cancelled => {}
                    Err(error) => proxy.log.error_once(error),
                }
            }));
            if looked.is_err() {
                proxy.log.error("a bug in sigv4-proxy ended the search for credentials");
            }
            proxy.end_aside();
            None
        };
        self.workers.run(Job::of(Arc::clone(self), look, |proxy| proxy.end_aside()));
    }

    // ---- in

    /// Reads lines.
    fn reading(self: &Arc<Self>, input: ClientInput) -> Job {
        let proxy = Arc::clone(self);
        Job::new(move || {
            let read = catch_unwind(AssertUnwindSafe(|| proxy.read_all(input)));
            let is_at_end = read.unwrap_or_else(|_| {
                proxy.log.error("a bug in sigv4-proxy ended the reading of stdin");
                true
            });
            if is_at_end {
                let _ = proxy.end.send(End::InputClosed);
            }
            None
        })
    }

    /// Reads lines and hands them over. A request that comes alone is sent by the thread that read it, but only once
    /// another one is there to read on. False: another thread reads now.
    fn read_all(self: &Arc<Self>, mut input: ClientInput) -> bool {
        loop {
            let may_start = match read_line(&mut input, self.max_message_bytes, self.signs_bodies) {
                Ok(Input::Line { bytes, hash }) => self.accept(bytes, hash),
                Ok(Input::TooLong { id }) => {
                    self.say(message::too_long_line(id.as_deref(), self.max_message_bytes));
                    false
                }
                Ok(Input::End) => return true,
                Err(error) => {
                    self.log.error(format_args!("stdin cannot be read: {error}"));
                    return true;
                }
            };
            if !may_start {
                self.watch_limits();
                continue;
            }
            let lone = if input.buffer().is_empty() { self.lone_start() } else { None };
            let Some(start) = lone else {
                self.pump();
                self.watch_limits();
                continue;
            };
            if let Err(not_left) = self.standby.leave(input, || self.workers.run(self.watching())) {
                input = not_left;
                self.workers.run(self.job(start));
                continue;
            }
            self.go_on_from(start);
            match self.standby.take_back() {
                Some(again) => input = again,
                None => return false,
            }
        }
    }

    /// Reads on if the thread that reads is busy for too long.
    fn watching(self: &Arc<Self>) -> Job {
        let proxy = Arc::clone(self);
        Job::new(move || proxy.standby.watch().map(|input| proxy.reading(input)))
    }

    /// True: something may start now.
    fn accept(self: &Arc<Self>, line: Vec<u8>, hash: Option<Box<BodyHash>>) -> bool {
        let message = match Message::parse(line) {
            Ok(message) => message.with_hash(hash),
            Err(answer) => {
                self.say(answer);
                return false;
            }
        };
        match message.sort() {
            MessageKind::Response => self.respond(message),
            MessageKind::Batch { ids, has_notification: false } if ids.is_empty() => {
                self.respond(message);
            }
            MessageKind::Notification { cancels: Some(id), .. } => {
                let id = id.clone();
                return self.take_back(&id, message);
            }
            MessageKind::Batch { .. } => {
                self.is_responded_to(&message);
                return self.enter(message);
            }
            MessageKind::Request { .. } | MessageKind::Notification { .. } => {
                return self.enter(message);
            }
        }
        false
    }

    // ---- the lane

    /// True: something may start now.
    fn enter(&self, message: Message) -> bool {
        let is_request = !message.ids().is_empty();
        let upstream = self.profiles.first().upstream();
        let deadline = if is_request { upstream.deadline(&message) } else { None };
        let mut lane = self.lane();
        let room = lane.room_for(&message);
        let Err(error) = room else {
            lane.enter(message, deadline);
            return lane.wants_somebody();
        };
        drop(lane);
        self.report(&error);
        for id in message.ids() {
            self.say(message::error_line(id, &error, self.log.redactor()));
        }
        false
    }

    /// Sees to it that a request which still waits for its turn is answered at its limit.
    fn watch_limits(self: &Arc<Self>) {
        let due = self.lane().next_look(Instant::now());
        if let Some(due) = due {
            self.later(due, Due::Overdue);
        }
    }

    /// Answers the requests whose time has passed before their turn came.
    fn answer_overdue(self: &Arc<Self>, now: Instant) {
        let (overdue, again) = self.lane().take_overdue(now);
        if let Some(due) = again {
            self.later(due, Due::Overdue);
        }
        if overdue.is_empty() {
            return;
        }
        let what = "the time limit of the request passed while it waited for those before it";
        let error = Error::new(Kind::TimedOut, what)
            .hint("raise --timeout, --tool-timeout for tools/call, or --max-in-flight")
            .unsent();
        self.report(&error);
        for id in overdue.iter().flat_map(Message::ids) {
            self.say(message::error_line(id, &error, self.log.redactor()));
        }
        self.tell_if_idle(&self.lane());
    }

    /// Starts what may start now.
    fn pump(self: &Arc<Self>) {
        while let Some(start) = self.next_start() {
            self.workers.run(self.job(start));
        }
    }

    /// A request that may start while nothing else is under way.
    fn lone_start(&self) -> Option<Runnable> {
        let mut lane = self.lane();
        let is_lone = lane.is_calm() && lane.wants_a_thread() && self.standby.is_worth_it();
        if is_lone { lane.start_next() } else { None }
    }

    /// What may start now, but for what a finishing thread is about to take.
    fn next_start(self: &Arc<Self>) -> Option<Runnable> {
        let mut lane = self.lane();
        if lane.wants_a_watcher() {
            drop(lane);
            if self.workers.run(self.watching_the_clock()) {
                return None;
            }
            lane = self.lane();
            lane.is_unwatched();
        }
        if lane.wants_a_thread() { lane.start_next() } else { None }
    }

    /// Starts what is put off for too long.
    fn watching_the_clock(self: &Arc<Self>) -> Job {
        let proxy = Arc::clone(self);
        Job::new(move || {
            if catch_unwind(AssertUnwindSafe(|| proxy.watch_the_clock())).is_err() {
                proxy.lane().is_unwatched();
            }
            None
        })
    }

    fn watch_the_clock(self: &Arc<Self>) {
        let clock = Cancel::default();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut before = (processor_time(), Instant::now());
        loop {
            clock.sleep(TICK);
            let now = (processor_time(), Instant::now());
            let used = now.0.saturating_sub(before.0);
            let is_busy = is_busy(used, now.1.duration_since(before.1), processors);
            before = now;
            let tick = self.lane().tick(is_busy);
            match tick {
                Tick::Wait => {}
                Tick::Start => self.pump(),
                Tick::End => return,
            }
        }
    }

    fn job(self: &Arc<Self>, start: Runnable) -> Job {
        let run = |(proxy, start): (Arc<Proxy>, Runnable)| {
            proxy.go_on_from(start);
            None
        };
        Job::of((Arc::clone(self), start), run, |(proxy, start)| proxy.turn_away(&start))
    }

    /// There is no thread for it.
    fn turn_away(&self, start: &Runnable) {
        let error = out_of_threads();
        self.report(&error);
        let mut lane = match start {
            Runnable::Call(call, _) => {
                for id in &call.ids {
                    self.say(message::error_line(id, &error, self.log.redactor()));
                }
                let mut lane = self.lane();
                lane.end_call(call);
                lane
            }
            Runnable::Notification(_) => self.lane(),
        };
        if matches!(start, Runnable::Notification(_)) {
            lane.end_notification();
        }
        self.tell_if_idle(&lane);
    }

    /// A message's way, and after it whatever waits next.
    fn go_on_from(self: &Arc<Self>, start: Runnable) {
        let mut next = Some(start);
        while let Some(start) = next {
            // Whatever happens on the way, the place becomes free.
            let way = catch_unwind(AssertUnwindSafe(|| match &start {
                Runnable::Call(call, message) => self.call(call, message),
                Runnable::Notification(message) => self.notify(message),
            }));
            if way.is_err() {
                self.log.error("a bug in sigv4-proxy ended a message's way");
            }
            let mut lane = self.lane();
            match &start {
                Runnable::Call(call, _) => lane.end_call(call),
                Runnable::Notification(_) => lane.end_notification(),
            }
            self.tell_if_idle(&lane);
            next = lane.start_next();
            let more_may_start = lane.wants_somebody();
            drop(lane);
            if more_may_start {
                self.pump();
            }
        }
    }

    /// A request's whole way. It is answered when this is over, whatever happens.
    fn call(self: &Arc<Self>, call: &Arc<Call>, message: &Message) {
        let mut answered = Vec::new();
        let mut any_line = false;
        let mut any_request = false;
        let is_open = || call.is_wanted();
        let exchange = catch_unwind(AssertUnwindSafe(|| {
            let route = self.profiles.route(message)?;
            let message = route.changed.as_ref().unwrap_or(message);
            let deliver = &mut |delivery| match delivery {
                Relayed::Line(mut line) => {
                    any_line = true;
                    answered.extend(&line.answers);
                    if line.answers.is_empty() {
                        line.bytes = self.profiles.as_asked(route.other, line.bytes);
                    }
                    let is_answered = answered.len() == call.ids.len();
                    self.deliver(call, line, is_answered)
                }
                Relayed::Request(request) => {
                    any_request = true;
                    self.pass_on(route.other, request, Origin::Call(call.serial), is_open)
                }
                Relayed::CancelledRequest(id) => {
                    self.is_cancelled(route.other, &id);
                    Ok(())
                }
                Relayed::NewSession => Ok(()),
            };
            route.conversation.exchange(message, call.deadline, &call.cancel, deliver)
        }));
        self.profiles.end(&call.ids);
        if any_request {
            self.server_requests().end(Origin::Call(call.serial));
        }
        let result = exchange.unwrap_or_else(|_| {
            Err(Error::new(Kind::Internal, "a bug in sigv4-proxy ended this call")
                .hint("please report it"))
        });
        match result {
            Ok(()) => self.log.recovered(),
            Err(_) if answered.len() == call.ids.len() => {}
            Err(error) => {
                self.answer_for(call, error, &answered, any_line);
                self.begin_later();
            }
        }
    }

    /// The call failed: what the server did not answer is answered here.
    fn answer_for(
        self: &Arc<Self>,
        call: &Arc<Call>,
        error: Error,
        answered: &[usize],
        any_line: bool,
    ) {
        let left: Vec<usize> =
            (0..call.ids.len()).filter(|place| !answered.contains(place)).collect();
        if !left.iter().all(|place| call.is_taken_back(*place)) {
            self.report(&error);
        }
        let error = match error.kind() {
            Kind::Cancelled => {
                Error::new(Kind::Cancelled, "sigv4-proxy ended before the answer came")
            }
            _ => error,
        };
        for place in left {
            let id = &call.ids[place];
            let line = if call.is_subscription && any_line {
                message::cancelled_line(id, &error, self.log.redactor())
            } else {
                message::error_line(id, &error, self.log.redactor())
            };
            let line = Line {
                bytes: line.into_bytes(),
                answers: vec![place],
                is_last: true,
                stays_open: false,
            };
            let _ = self.deliver(call, line, true);
        }
    }

    /// A notification's whole way. It never has an answer, not even when it fails.
    fn notify(self: &Arc<Self>, message: &Message) {
        let sent = catch_unwind(AssertUnwindSafe(|| self.send(message)));
        match sent {
            Ok(Ok(()))
                if message.method() == Some("notifications/initialized")
                    && !self.profiles.first().owes_initialize() =>
            {
                self.listen();
            }
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.report(&error),
            Err(_) => self.log.error("a bug in sigv4-proxy ended a notification"),
        }
    }

    /// Sends what has no answer.
    fn send(self: &Arc<Self>, message: &Message) -> Result<(), Error> {
        let route = self.profiles.route(message)?;
        let message = route.changed.as_ref().unwrap_or(message);
        let deadline = route.conversation.upstream().deadline(message);
        route.conversation.exchange(message, deadline, &Cancel::default(), &mut |delivery| {
            self.deliver_aside(route.other, delivery)
        })
    }

    // ---- what waits for nothing and holds up nothing

    /// The client's response to a request of the server.
    fn respond(self: &Arc<Self>, message: Message) {
        let is_pong = self.is_responded_to(&message);
        let purpose = if is_pong { Purpose::Pong } else { Purpose::Response };
        self.detach(purpose, message, None);
    }

    /// The requests of the server that this message responds to wait no longer. True: it answers pings only.
    fn is_responded_to(&self, message: &Message) -> bool {
        let ids = message.responds_to();
        let mut requests = self.server_requests();
        // All of them, not only those up to the first that is no ping.
        let pings = ids.iter().filter(|id| requests.remove(id) == Some(true)).count();
        pings > 0 && pings == ids.len()
    }

    /// Sends the message on a thread of its own, as soon as there is a place.
    fn detach(
        self: &Arc<Self>,
        purpose: Purpose,
        message: Message,
        conversation: Option<Arc<Exchanger>>,
    ) {
        self.lane().begin_aside();
        let bytes = message.body().len();
        let push = self.detached().push(purpose, bytes, Detached { message, conversation });
        match push {
            Push::Send(first) => {
                let run = move |(proxy, first): (Arc<Proxy>, Detached)| {
                    proxy.send_detached(purpose, first);
                    None
                };
                self.workers.run(Job::of((Arc::clone(self), first), run, move |(proxy, _)| {
                    proxy.report(&out_of_threads());
                    proxy.detached().give_up(purpose);
                    proxy.end_aside();
                }));
            }
            Push::Waits => {}
            Push::Dropped => {
                self.log.warn(format_args!(
                    "too many messages wait for the server ({purpose:?}): one is left out"
                ));
                self.end_aside();
            }
        }
    }

    /// The first message, and then whatever waits of its kind.
    fn send_detached(self: &Arc<Self>, purpose: Purpose, first: Detached) {
        let mut next = Some(first);
        while let Some(Detached { message, conversation }) = next {
            let sent = catch_unwind(AssertUnwindSafe(|| {
                let sent = match &conversation {
                    Some(conversation) => {
                        let deadline = conversation.upstream().deadline(&message);
                        conversation
                            .exchange(&message, deadline, &Cancel::default(), &mut |_| Ok(()))
                    }
                    None => self.send(&message),
                };
                if let Err(error) = sent {
                    self.report(&error);
                }
            }));
            if sent.is_err() {
                self.log.error("a bug in sigv4-proxy ended a message's way");
            }
            self.end_aside();
            next = self.detached().next(purpose);
        }
    }

    fn end_aside(&self) {
        let mut lane = self.lane();
        lane.end_aside();
        self.tell_if_idle(&lane);
    }

    // ---- requests of the server

    /// A request of the server goes to the client, unless too many wait there already. `other`: as in `Route`.
    fn pass_on(
        self: &Arc<Self>,
        other: Option<usize>,
        request: ServerRequest,
        origin: Origin,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let ServerRequest { mut id, is_ping, mut bytes } = request;
        if !is_wanted() {
            return Ok(());
        }
        let mut requests = self.server_requests();
        if !requests.has_room() {
            drop(requests);
            self.log.debug(format_args!(
                "a request of the server is refused: {} wait already",
                server_requests::MAX_WAITING
            ));
            let conversation = self.profiles.conversation(other);
            if let Ok(refusal) = Message::parse(message::too_many_requests_line(&id).into_bytes()) {
                self.detach(Purpose::Refusal, refusal, Some(Arc::clone(conversation)));
            }
            return Ok(());
        }
        if other.is_some() {
            bytes = self.profiles.as_asked(other, bytes);
            let its_id = Message::parse(bytes.clone()).ok().and_then(|m| m.ids().first().cloned());
            id = its_id.unwrap_or(id);
        }
        let is_new = requests.add(id, is_ping, origin);
        drop(requests);
        if !is_new {
            self.log.debug("a request of the server that waits already is left out");
            return Ok(());
        }
        self.write(bytes, is_wanted)
    }

    /// The server cancels a request of its own.
    fn is_cancelled(&self, other: Option<usize>, id: &Id) {
        // Those of other profiles are known under other ids; they wait until their streams end.
        if other.is_none() {
            self.server_requests().remove(id);
        }
    }

    /// The call no longer counts as in flight; what waited for it may start, here if this was its last line.
    fn settle(self: &Arc<Self>, call: &Arc<Call>, after: After) {
        let mut lane = self.lane();
        lane.settle(call, after);
        self.tell_if_idle(&lane);
        let has_more = lane.wants_somebody();
        let has_too_many_streams = lane.too_many_streams() > 0;
        drop(lane);
        if has_too_many_streams {
            let now = Instant::now();
            let to_close = self.lane().calls_to_close(now);
            self.close_calls(to_close, now);
        }
        if has_more {
            self.pump();
        }
    }

    // ---- later

    fn later(self: &Arc<Self>, due: Instant, what: Due) {
        if !self.timer.add(due, what) {
            return;
        }
        let run = |proxy: Arc<Proxy>| {
            while let Some(due) = proxy.timer.next() {
                let done = catch_unwind(AssertUnwindSafe(|| proxy.is_due(due, Instant::now())));
                if done.is_err() {
                    proxy.log.error("a bug in sigv4-proxy ended what was due");
                }
            }
            None
        };
        self.workers.run(Job::of(Arc::clone(self), run, |proxy| {
            // Without a thread that waits: too early rather than never.
            let then = Instant::now() + STREAM_END_DELAY;
            for due in proxy.timer.take_all() {
                match due {
                    // The next message tries again to have it looked at.
                    Due::Overdue => proxy.lane().nobody_looks(),
                    due => proxy.is_due(due, then),
                }
            }
        }));
    }

    fn is_due(self: &Arc<Self>, due: Due, now: Instant) {
        match due {
            Due::Cancellation(message) => self.detach(Purpose::Cancellation, message, None),
            Due::Close(call) => self.close_call(&call),
            Due::Sweep => {
                let to_close = self.lane().sweep(now);
                self.close_calls(to_close, now);
            }
            Due::Overdue => self.answer_overdue(now),
        }
    }

    fn close_calls(self: &Arc<Self>, (calls, again): (Vec<Arc<Call>>, bool), now: Instant) {
        for call in &calls {
            self.close_call(call);
        }
        if again {
            self.later(now + STREAM_END_DELAY, Due::Sweep);
        }
    }

    /// Ends what the call may still do, reading or writing.
    fn close_call(&self, call: &Call) {
        call.cancel.cancel();
        self.output.reconsider();
    }

    // ---- taking back

    /// `notifications/cancelled`: the call's answer is not written any more, and the server is told. True:
    /// something may start now.
    fn take_back(self: &Arc<Self>, id: &Id, message: Message) -> bool {
        let mut lane = self.lane();
        if lane.take_waiting(id) {
            // Neither has left yet, so the server need not know of either.
            self.tell_if_idle(&lane);
            return lane.wants_somebody();
        }
        let call = lane.running(id);
        drop(lane);
        let Some(call) = call.filter(|call| !call.is_initialize) else {
            // It was answered a moment ago, or never was. Only a server with a session can know more of it.
            if self.profiles.first().has_session() {
                self.detach(Purpose::Cancellation, message, None);
            }
            return false;
        };
        let nothing_is_left = call.take_back(id);
        // A line of it that waits for stdout is not written any more.
        self.output.reconsider();
        if nothing_is_left {
            self.settle(&call, After::OpenStream);
            if call.is_sessionless {
                // The closed connection is the message; there is none to forward.
                self.close_call(&call);
                return false;
            }
        }
        let now = Instant::now();
        let due = call.started + CANCEL_DELAY;
        if due > now {
            self.later(due, Due::Cancellation(message));
        } else {
            self.detach(Purpose::Cancellation, message, None);
        }
        if !nothing_is_left {
            return false;
        }
        // Many servers never end the stream of a cancelled call: left open, it would stay for ever.
        self.later(due.max(now) + CANCEL_GRACE, Due::Close(call));
        false
    }

    // ---- the standing stream

    fn listen(self: &Arc<Self>) {
        // A new session: nothing of the old one waits for the client any more.
        self.server_requests().end(Origin::Session);
        if self.get_stream == GetStream::Off {
            return;
        }
        let cancel = Cancel::new();
        let old = self
            .listen_cancel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(Arc::clone(&cancel));
        if let Some(old) = old {
            old.cancel();
            self.output.reconsider();
        }
        let proxy = Arc::clone(self);
        self.workers.run(Job::new(move || {
            let listened = catch_unwind(AssertUnwindSafe(|| {
                let is_wanted = || !cancel.is_cancelled();
                proxy.profiles.first().listen(&cancel, &mut |delivery| match delivery {
                    Relayed::Line(line) => proxy.write(line.bytes, is_wanted),
                    Relayed::Request(request) => {
                        proxy.pass_on(None, request, Origin::Session, is_wanted)
                    }
                    Relayed::CancelledRequest(id) => {
                        proxy.server_requests().remove(&id);
                        Ok(())
                    }
                    Relayed::NewSession => Ok(()),
                });
            }));
            if listened.is_err() {
                proxy.log.error("a bug in sigv4-proxy ended the GET stream");
            }
            None
        }));
    }

    // ---- a session that is owed

    /// With `--lazy` a client may never ask again after a failure: once the session can be begun, it is told.
    fn begin_later(self: &Arc<Self>) {
        if !self.profiles.first().owes_initialize() {
            return;
        }
        let cancel = Cancel::new();
        {
            let mut trying = self.begin_cancel.lock().unwrap_or_else(PoisonError::into_inner);
            if trying.is_some() {
                return;
            }
            *trying = Some(Arc::clone(&cancel));
        }
        let run = move |proxy: Arc<Proxy>| {
            if catch_unwind(AssertUnwindSafe(|| proxy.keep_beginning(&cancel))).is_err() {
                proxy.log.error("a bug in sigv4-proxy ended the attempts to begin a session");
            }
            proxy.begins_no_longer();
            None
        };
        self.workers.run(Job::of(Arc::clone(self), run, |proxy| proxy.begins_no_longer()));
    }

    fn keep_beginning(self: &Arc<Self>, cancel: &Cancel) {
        let mut wait = FIRST_BEGIN;
        while !cancel.sleep(wait) {
            match self.profiles.first().begin(cancel) {
                Ok(()) => return,
                Err(error) => self.log.debug(format_args!("not yet: {error}")),
            }
            wait = (wait * 2).min(LONGEST_BEGIN);
        }
    }

    fn begins_no_longer(&self) {
        *self.begin_cancel.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    // ---- out

    /// What belongs to no call of the client. `other`: the conversation's place among those of other profiles.
    fn deliver_aside(
        self: &Arc<Self>,
        other: Option<usize>,
        delivery: Relayed,
    ) -> Result<(), Error> {
        match delivery {
            Relayed::Line(line) => self.write(self.profiles.as_asked(other, line.bytes), || true),
            Relayed::Request(request) => self.pass_on(other, request, Origin::Session, || true),
            Relayed::CancelledRequest(id) => {
                self.is_cancelled(other, &id);
                Ok(())
            }
            Relayed::NewSession => {
                // The standing stream is that of the client's own session.
                if other.is_none() {
                    self.listen();
                }
                Ok(())
            }
        }
    }

    /// `is_answered`: with this line the whole call is.
    fn deliver(
        self: &Arc<Self>,
        call: &Arc<Call>,
        line: Line,
        is_answered: bool,
    ) -> Result<(), Error> {
        let Line { bytes, answers, is_last, stays_open } = line;
        let is_wanted = || match answers[..] {
            [] => call.is_wanted(),
            _ => !answers.iter().all(|place| call.is_taken_back(*place)),
        };
        self.write(bytes, is_wanted)?;
        if is_answered {
            let after = match (is_last && is_wanted(), stays_open) {
                (true, _) => After::NextMessage,
                (false, true) => After::OpenStream,
                (false, false) => After::Nothing,
            };
            self.settle(call, after);
        }
        Ok(())
    }

    /// Writes the line when stdout takes it, if it is still wanted then.
    fn write(&self, line: Vec<u8>, is_wanted: impl Fn() -> bool) -> Result<(), Error> {
        self.is_written(self.output.write(line, is_wanted))
    }

    /// `written`: how many queued lines were.
    fn is_written(&self, written: io::Result<usize>) -> Result<(), Error> {
        match written {
            Ok(queued) => {
                (0..queued).for_each(|_| self.end_aside());
                Ok(())
            }
            Err(error) => {
                let _ = self.end.send(End::OutputClosed);
                Err(Error::new(Kind::Cancelled, format!("stdout: {error}")))
            }
        }
    }

    /// Has a line of our own written. Never waits.
    fn say(&self, line: String) {
        self.lane().begin_aside();
        if !self.output.queue(line.into_bytes()) {
            self.log.error_once("an error line is left out: the client does not read stdout");
            self.end_aside();
        }
    }

    /// Writes our own lines where nothing else is written.
    fn writing(self: &Arc<Self>) -> Job {
        let proxy = Arc::clone(self);
        Job::new(move || {
            while proxy.is_written(proxy.output.write_queued()).is_ok() {}
            None
        })
    }

    /// Tells people, once for each cause until something succeeds again.
    fn report(&self, error: &Error) {
        match error.kind() {
            Kind::Cancelled | Kind::PolicyDenied => self.log.debug(error),
            Kind::InvalidRequest => self.log.warn(error),
            Kind::Unreachable | Kind::TimedOut => {
                self.log.error_once(format_args!("proxy server error: {error}"));
            }
            _ => self.log.error_once(error),
        }
    }

    // ---- the end

    /// Waits until every request that was read is answered, `patience` at most.
    fn drain(&self, patience: Duration, ends: &Receiver<End>) -> End {
        self.draining.store(true, Ordering::SeqCst);
        self.tell_if_idle(&self.lane());
        let deadline = Instant::now() + patience;
        loop {
            match ends.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(End::InputClosed) => {}
                Ok(end) => return end,
                Err(_) => return End::InputClosed,
            }
        }
    }

    /// Cancels all that is under way and ends the sessions. What hangs is left behind at `CLOSING_LIMIT`: this thread
    /// waits for messages only.
    fn close(self: &Arc<Self>, why: End, ends: &Receiver<End>) {
        let started = Instant::now();
        self.draining.store(true, Ordering::SeqCst);
        let cancel = move |proxy: Arc<Proxy>| proxy.cancel_all(why);
        let run = move |proxy| {
            cancel(proxy);
            None
        };
        self.workers.run(Job::of(Arc::clone(self), run, cancel));
        if why != End::OutputClosed {
            let deadline = started + SHUTDOWN_FLUSH_TIMEOUT;
            while let Ok(end) =
                ends.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                if end == End::Idle {
                    break;
                }
            }
        }
        self.end_sessions(started + CLOSING_LIMIT);
    }

    fn cancel_all(&self, why: End) {
        let mut lane = self.lane();
        let (waiting, calls) = lane.close();
        lane.begin_aside();
        drop(lane);
        for conversation in self.profiles.all() {
            conversation.close();
        }
        for standing in [&self.listen_cancel, &self.begin_cancel] {
            let standing = standing.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(standing) = standing {
                standing.cancel();
            }
        }
        for call in calls {
            call.cancel.cancel();
        }
        // The cancelled calls answer for themselves.
        if why != End::OutputClosed {
            self.refuse(waiting.iter().flat_map(Message::ids));
        }
        let mut lane = self.lane();
        lane.end_aside();
        self.tell_if_idle(&lane);
    }

    /// Ends the sessions of all profiles side by side.
    fn end_sessions(&self, deadline: Instant) {
        let (ending, ended) = channel::<()>();
        for conversation in self.profiles.all().filter(|c| c.has_session_id()) {
            let (conversation, ending) = (Arc::clone(conversation), ending.clone());
            self.workers.run(Job::new(move || {
                conversation.end_session(deadline);
                drop(ending);
                None
            }));
        }
        drop(ending);
        // Nothing is ever sent; the last of them ends the wait.
        let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    fn refuse<'a>(&self, waiting: impl Iterator<Item = &'a Id>) {
        let error = Error::new(Kind::Cancelled, "sigv4-proxy ended before the request was sent");
        for id in waiting {
            self.say(message::error_line(id, &error, self.log.redactor()));
        }
    }

    fn tell_if_idle(&self, lane: &Queue) {
        if self.draining.load(Ordering::SeqCst) && lane.is_idle() {
            let _ = self.end.send(End::Idle);
        }
    }

    fn lane(&self) -> MutexGuard<'_, Queue> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn detached(&self) -> MutexGuard<'_, DetachedQueue<Detached>> {
        self.detached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server_requests(&self) -> MutexGuard<'_, ServerRequests> {
        self.server_requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
