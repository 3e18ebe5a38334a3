//! stdin line → call → stdout line: threads, taking calls back, the end.
//!
//! The reader never waits for the network: it hands each message to the lane, which keeps the order that
//! matters. The client's answers to the server and its cancellations never wait.

use crate::clock::processor_time;
use crate::crowd::{TICK, Tick, is_busy};
use crate::error::{Error, Kind};
use crate::http::Cancel;
use crate::input::{Input, read_line};
use crate::lane::{Call, Lane, Start};
use crate::large::put_away;
use crate::log::Log;
use crate::message::{self, Id, Message, Sort};
use crate::options::{GetStream, Options};
use crate::profiles::Profiles;
use crate::relay::{Delivery, Line};
use crate::signing::BodyHash;
use crate::standby::Standby;
use crate::workers::{Job, Workers};
use std::io::{BufReader, Read, Write};
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
const LAST_WORDS: Duration = Duration::from_millis(300);

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
/// Threads that are blocked on the input are left behind; the process is expected to end.
pub fn run(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    profiles: Profiles,
    options: &Options,
    log: Log,
    (end, ends): (Sender<End>, &Receiver<End>),
) -> End {
    let proxy = Arc::new(Proxy {
        signs_bodies: profiles.first().upstream().signs_bodies(),
        profiles,
        log,
        max_message_bytes: options.max_message_bytes,
        get_stream: options.sse,
        output: Mutex::new(Box::new(output)),
        lane: Mutex::new(Lane::new(options.max_in_flight, options.max_message_bytes)),
        workers: Workers::default(),
        standby: Standby::new(),
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
    proxy.workers.run(proxy.reading(BufReader::with_capacity(INPUT_BUFFER_BYTES, input)));

    let mut why = ends.recv().unwrap_or(End::InputClosed);
    if why == End::InputClosed {
        why = proxy.drain(options.drain_timeout, ends);
    }
    proxy.log.debug(format_args!("ending: {why:?}"));
    proxy.close(why, ends);
    why
}

type ClientInput = BufReader<Box<dyn Read + Send>>;

struct Proxy {
    profiles: Profiles,
    log: Log,
    max_message_bytes: usize,
    /// Signatures cover the bodies of messages.
    signs_bodies: bool,
    get_stream: GetStream,
    /// Held while a whole line is written, and across nothing else.
    output: Mutex<Box<dyn Write + Send>>,
    lane: Mutex<Lane>,
    workers: Workers,
    standby: Standby<ClientInput>,
    /// The standing GET stream of the session.
    listen_cancel: Mutex<Option<Arc<Cancel>>>,
    /// The attempts to begin a session that is owed (`--lazy`).
    begin_cancel: Mutex<Option<Arc<Cancel>>>,
    end: Sender<End>,
    /// The input is at its end: `Idle` is told.
    draining: AtomicBool,
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
        let proxy = Arc::clone(self);
        self.workers.run(Job::new(move || {
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
            let mut lane = proxy.lane();
            lane.end_aside();
            proxy.tell_if_idle(&lane);
            None
        }));
    }

    // ---- in

    /// Reads lines. A request that comes alone is sent by the thread that read it.
    fn reading(self: &Arc<Self>, mut input: ClientInput) -> Job {
        let proxy = Arc::clone(self);
        Job::new(move || {
            loop {
                let read = read_line(&mut input, proxy.max_message_bytes, proxy.signs_bodies);
                let may_start = match read {
                    Ok(Input::Line { bytes, hash }) => proxy.accept(bytes, hash),
                    Ok(Input::TooLong { id }) => {
                        let answer = message::too_long_line(id.as_deref(), proxy.max_message_bytes);
                        let _ = proxy.write(answer.into_bytes());
                        false
                    }
                    Ok(Input::End) => break,
                    Err(error) => {
                        proxy.log.error(format_args!("stdin cannot be read: {error}"));
                        break;
                    }
                };
                if !may_start {
                    continue;
                }
                let lone = if input.buffer().is_empty() { proxy.lone_start() } else { None };
                let Some(start) = lone else {
                    proxy.pump();
                    continue;
                };
                if proxy.standby.leave(input) {
                    let watcher = Arc::clone(&proxy);
                    let watching = Job::new(move || {
                        watcher.standby.watch().map(|input| watcher.reading(input))
                    });
                    if proxy.workers.hand_over(watching).is_some() {
                        // Out of threads: what the client writes is read once the call is over.
                        proxy.standby.is_unwatched();
                    }
                }
                proxy.go_on_from(start);
                match proxy.standby.take_back() {
                    Some(again) => input = again,
                    None => return None,
                }
            }
            let _ = proxy.end.send(End::InputClosed);
            None
        })
    }

    /// True: something may start now.
    fn accept(self: &Arc<Self>, line: Vec<u8>, hash: Option<Box<BodyHash>>) -> bool {
        let message = match Message::parse(line) {
            Ok(message) => message.with_hash(hash),
            Err(answer) => {
                let _ = self.write(answer.into_bytes());
                return false;
            }
        };
        match message.sort() {
            Sort::Response => self.send_aside(message),
            Sort::Batch { ids, has_notification: false } if ids.is_empty() => {
                self.send_aside(message);
            }
            Sort::Notification { cancels: Some(id), .. } => {
                let id = id.clone();
                return self.take_back(&id, message);
            }
            Sort::Request { .. } | Sort::Notification { .. } | Sort::Batch { .. } => {
                return self.enter(message);
            }
        }
        false
    }

    // ---- the lane

    /// True: something may start now.
    fn enter(&self, message: Message) -> bool {
        let mut lane = self.lane();
        let room = lane.room_for(&message);
        let Err(error) = room else {
            lane.enter(message);
            return lane.wants_somebody();
        };
        drop(lane);
        self.report(&error);
        for id in message.ids() {
            let _ = self.write(message::error_line(id, &error, self.log.redactor()).into_bytes());
        }
        false
    }

    /// Starts what may start now.
    fn pump(self: &Arc<Self>) {
        while let Some(start) = self.next_start() {
            self.workers.run(self.job(start));
        }
    }

    /// A request that may start while nothing else is under way.
    fn lone_start(&self) -> Option<Start> {
        let mut lane = self.lane();
        let is_lone = lane.is_calm() && lane.wants_a_thread() && self.standby.is_worth_it();
        if is_lone { lane.start_next() } else { None }
    }

    /// What may start now, but for what a finishing thread is about to take.
    fn next_start(self: &Arc<Self>) -> Option<Start> {
        let mut lane = self.lane();
        if lane.wants_a_watcher() {
            drop(lane);
            self.workers.hand_over(self.watching_the_clock())?;
            // There is no thread for it.
            lane = self.lane();
            lane.is_unwatched();
        }
        if lane.wants_a_thread() { lane.start_next() } else { None }
    }

    /// Starts what is put off for too long.
    fn watching_the_clock(self: &Arc<Self>) -> Job {
        let proxy = Arc::clone(self);
        Job::new(move || {
            let clock = Cancel::default();
            let processors = thread::available_parallelism().map_or(1, usize::from);
            let mut before = (processor_time(), Instant::now());
            loop {
                clock.sleep(TICK);
                let now = (processor_time(), Instant::now());
                let used = now.0.saturating_sub(before.0);
                let is_busy = is_busy(used, now.1.duration_since(before.1), processors);
                before = now;
                let tick = proxy.lane().tick(is_busy);
                match tick {
                    Tick::Wait => {}
                    Tick::Start => proxy.pump(),
                    Tick::End => return None,
                }
            }
        })
    }

    fn job(self: &Arc<Self>, start: Start) -> Job {
        let proxy = Arc::clone(self);
        Job::new(move || {
            proxy.go_on_from(start);
            None
        })
    }

    /// A message's way, and after it whatever waits next.
    fn go_on_from(self: &Arc<Self>, start: Start) {
        let mut next = Some(start);
        while let Some(start) = next {
            let call = match start {
                Start::Call(call, message) => {
                    self.call(&call, &message);
                    Some(call)
                }
                Start::Notification(message) => {
                    self.notify(&message);
                    None
                }
            };
            let mut lane = self.lane();
            match call {
                Some(call) => lane.end_call(&call),
                None => lane.end_notification(),
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
        let exchange = catch_unwind(AssertUnwindSafe(|| {
            let route = self.profiles.route(message)?;
            let message = route.changed.as_ref().unwrap_or(message);
            route.conversation.exchange(message, &call.cancel, &mut |delivery| match delivery {
                Delivery::Line(mut line) => {
                    any_line = true;
                    answered.extend(&line.answers);
                    if line.answers.is_empty() {
                        line.bytes = self.profiles.as_asked(route.other, line.bytes);
                    }
                    let is_answered = answered.len() == call.ids.len();
                    self.deliver(call, line, is_answered)
                }
                Delivery::NewSession => Ok(()),
            })
        }));
        self.profiles.end(&call.ids);
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
            let line = Line { bytes: line.into_bytes(), answers: vec![place], is_last: true };
            let _ = self.deliver(call, line, true);
        }
    }

    /// A notification's whole way. It never has an answer, not even when it fails.
    fn notify(self: &Arc<Self>, message: &Message) {
        let sent = catch_unwind(AssertUnwindSafe(|| self.send(message)));
        match sent {
            Ok(Ok(()))
                if message.method() == Some("notifications/initialized")
                    && !self.profiles.first().owes_handshake() =>
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
        route.conversation.exchange(message, &Cancel::default(), &mut |delivery| {
            self.deliver_aside(route.other, delivery)
        })
    }

    /// What waits for nothing and holds up nothing.
    fn send_aside(self: &Arc<Self>, message: Message) {
        self.lane().begin_aside();
        let proxy = Arc::clone(self);
        self.workers.run(Job::new(move || {
            let sent = catch_unwind(AssertUnwindSafe(|| proxy.send(&message)));
            if let Ok(Err(error)) = sent {
                proxy.report(&error);
            }
            let mut lane = proxy.lane();
            lane.end_aside();
            proxy.tell_if_idle(&lane);
            None
        }));
    }

    /// The call no longer counts as in flight; what waited for it may start, here if this was its last line.
    fn settle(self: &Arc<Self>, call: &Call, is_last: bool) {
        let mut lane = self.lane();
        lane.settle(call, is_last);
        self.tell_if_idle(&lane);
        let has_more = lane.wants_somebody();
        drop(lane);
        if has_more {
            self.pump();
        }
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
                self.send_aside(message);
            }
            return false;
        };
        let nothing_is_left = {
            let _output = self.output();
            call.take_back(id)
        };
        if !nothing_is_left {
            self.send_aside(message);
            return false;
        }
        self.settle(&call, false);
        if call.is_sessionless {
            // The closed connection is the message; there is none to forward.
            call.cancel.cancel();
            return false;
        }
        let proxy = Arc::clone(self);
        self.workers.run(Job::new(move || {
            let young = CANCEL_DELAY.saturating_sub(call.started.elapsed());
            if !young.is_zero() {
                call.cancel.sleep(young);
            }
            proxy.send_aside(message);
            call.cancel.sleep(CANCEL_GRACE);
            // Many servers never end the stream of a cancelled call: left open, it would stay for ever.
            call.cancel.cancel();
            None
        }));
        false
    }

    // ---- the standing stream

    fn listen(self: &Arc<Self>) {
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
        }
        let proxy = Arc::clone(self);
        self.workers.run(Job::new(move || {
            let listened = catch_unwind(AssertUnwindSafe(|| {
                proxy.profiles.first().listen(&cancel, &mut |delivery| match delivery {
                    Delivery::Line(line) => proxy.write(line.bytes),
                    Delivery::NewSession => Ok(()),
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
        if !self.profiles.first().owes_handshake() {
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
        let proxy = Arc::clone(self);
        self.workers.run(Job::new(move || {
            let mut wait = FIRST_BEGIN;
            while !cancel.sleep(wait) {
                match proxy.profiles.first().begin(&cancel) {
                    Ok(()) => break,
                    Err(error) => proxy.log.debug(format_args!("not yet: {error}")),
                }
                wait = (wait * 2).min(LONGEST_BEGIN);
            }
            *proxy.begin_cancel.lock().unwrap_or_else(PoisonError::into_inner) = None;
            None
        }));
    }

    // ---- out

    /// What belongs to no call of the client. `other`: the conversation's place among those of other profiles.
    fn deliver_aside(
        self: &Arc<Self>,
        other: Option<usize>,
        delivery: Delivery,
    ) -> Result<(), Error> {
        match delivery {
            Delivery::Line(line) => self.write(self.profiles.as_asked(other, line.bytes)),
            Delivery::NewSession => {
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
        let mut output = self.output();
        // Decided under the lock: once the reader has marked the call, nothing of it is written.
        let is_taken_back = if line.answers.is_empty() {
            (0..call.ids.len()).all(|place| call.is_taken_back(place))
        } else {
            line.answers.iter().all(|place| call.is_taken_back(*place))
        };
        if !is_taken_back {
            self.write_to(&mut **output, line.bytes)?;
        }
        drop(output);
        if is_answered {
            self.settle(call, line.is_last && !is_taken_back);
        }
        Ok(())
    }

    fn write(&self, line: Vec<u8>) -> Result<(), Error> {
        self.write_to(&mut **self.output(), line)
    }

    fn write_to(&self, output: &mut dyn Write, mut line: Vec<u8>) -> Result<(), Error> {
        // One write a line, and no copy of a large one for the sake of a byte.
        line.reserve_exact(1);
        line.push(b'\n');
        let written = output.write_all(&line).and_then(|()| output.flush());
        put_away(line);
        written.map_err(|error| {
            let _ = self.end.send(End::OutputClosed);
            Error::new(Kind::Cancelled, format!("stdout: {error}"))
        })
    }

    /// Tells people, once for each cause until something succeeds again.
    fn report(&self, error: &Error) {
        match error.kind() {
            Kind::Cancelled | Kind::Denied => self.log.debug(error),
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
        let proxy = Arc::clone(self);
        self.workers.run(Job::new(move || {
            proxy.cancel_all(why);
            None
        }));
        if why != End::OutputClosed {
            let deadline = started + LAST_WORDS;
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
            let _ = self.write(message::error_line(id, &error, self.log.redactor()).into_bytes());
        }
    }

    fn tell_if_idle(&self, lane: &Lane) {
        if self.draining.load(Ordering::SeqCst) && lane.is_idle() {
            let _ = self.end.send(End::Idle);
        }
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
