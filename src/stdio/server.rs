//! Lines of the client in, responses out: `run`, `accept`, `drain`, `close`.
//!
//! The reading thread never waits for the network or for stdout, so a cancellation always gets through.

use crate::conversation::Conversation;
use crate::error::{Error, Kind, out_of_threads};
use crate::log::Log;
use crate::mcp::error_response;
use crate::mcp::message::{Message, MessageKind};
use crate::scheduler::{CallKind, InFlight, Purpose, Scheduler, Task};
use crate::signing::BodyHash;
use crate::stdio::call::{self, Call};
use crate::stdio::context::Context;
use crate::stdio::deferred_initialize::DeferredInitialize;
use crate::stdio::discover::{self, Discovers};
use crate::stdio::input::{ClientInput, Input, buffered, read_line};
use crate::stdio::output::Output;
use crate::stdio::oversized::Oversized;
use crate::stdio::shutdown::{SHUTDOWN_FLUSH_TIMEOUT, SHUTDOWN_TIMEOUT, ShutdownReason};
use crate::stdio::standing_stream::StandingStream;
use crate::streamable_http::relayed::Relayed;
use crate::sync::{Receiver, Sender, channel};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The user's settings of the client's side.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Maximum size of a line of the client.
    pub max_message_bytes: usize,
    /// Maximum number of requests without a response, subscriptions not counted.
    pub max_in_flight: usize,
    /// Maximum time for calls to finish after stdin has ended.
    pub drain_timeout: Duration,
    /// Whether the GET stream is opened.
    pub opens_get_stream: bool,
    /// Nothing is done before a request needs it; credentials are not looked up at the start.
    pub is_lazy: bool,
}

/// Relays until the input ends, the output breaks, or a signal arrives through `shutdown`.
///
/// Threads that are blocked on the input or the output keep running; the process is expected to end.
///
/// # Errors
/// `Unreachable`: the system has no threads left.
pub fn run(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    conversation: Arc<Conversation>,
    settings: Settings,
    log: Log,
    (shutdown, reasons): (Sender<ShutdownReason>, &Receiver<ShutdownReason>),
) -> Result<ShutdownReason, Error> {
    let server = Server::new(output, conversation, settings, log, shutdown);
    server.deliver_between_calls();
    server.context.conversation.begin_session_after_sign_in();
    if !settings.is_lazy {
        server.look_up_credentials();
    }
    if !server.write_queued_lines() || !server.context.scheduler.read(buffered(input)) {
        return Err(out_of_threads());
    }

    let mut reason = reasons.recv().unwrap_or(ShutdownReason::InputClosed);
    if reason == ShutdownReason::InputClosed {
        reason = server.drain(reasons);
    }
    server.context.log.debug(format_args!("ending: {}", reason.words()));
    server.close(reason, reasons);
    Ok(reason)
}

struct Server {
    settings: Settings,
    /// Signatures cover the bodies of messages.
    signs_bodies: bool,
    context: Arc<Context>,
    standing_stream: StandingStream,
    deferred_initialize: DeferredInitialize,
    discovers: Discovers,
    shutdown: Sender<ShutdownReason>,
}

impl Server {
    fn new(
        output: impl Write + Send + 'static,
        conversation: Arc<Conversation>,
        settings: Settings,
        log: Log,
        shutdown: Sender<ShutdownReason>,
    ) -> Arc<Server> {
        Arc::new_cyclic(|server: &Weak<Server>| {
            let server = Weak::clone(server);
            let handle = move |task: Task<'_, ClientInput>| {
                if let Some(server) = server.upgrade() {
                    server.handle(task);
                }
            };
            let (max_in_flight, max_bytes) = (settings.max_in_flight, settings.max_message_bytes);
            let scheduler = Scheduler::new(max_in_flight, max_bytes, log.clone(), handle);
            let output = Output::new(output, Arc::clone(&scheduler), shutdown.clone(), log.clone());
            Server {
                settings,
                signs_bodies: conversation.profiles.first().client().signs_bodies(),
                context: Arc::new(Context { conversation, scheduler, output, log }),
                standing_stream: StandingStream::new(settings.opens_get_stream),
                deferred_initialize: DeferredInitialize::default(),
                discovers: Discovers::default(),
                shutdown,
            }
        })
    }

    /// Writes messages that no call waits for, such as those during an `initialize` that this program sends.
    fn deliver_between_calls(self: &Arc<Self>) {
        let server = Arc::downgrade(self);
        self.context.conversation.client.set_output(move |line, _| {
            if let Some(server) = server.upgrade() {
                server.context.output.queue(line);
            }
        });
        for (profile, exchanger) in
            self.context.conversation.profiles.exchangers().iter().enumerate()
        {
            let server = Arc::downgrade(self);
            exchanger.set_session_sink(move |relayed| {
                let Some(server) = server.upgrade() else { return Ok(()) };
                let context = &server.context;
                let is_new_session = matches!(relayed, Relayed::NewSession);
                context.deliver(profile, relayed, || true)?;
                if is_new_session {
                    // Requests of the old session have lost their server.
                    context.conversation.withdraw_lost_requests(profile);
                    // The standing stream belongs to the client's own session.
                    if profile == 0 {
                        server.standing_stream.open(context);
                    }
                }
                Ok(())
            });
        }
    }

    /// Looks up credentials, also if stdin is empty: the end of stdin waits for this as for a call.
    fn look_up_credentials(&self) {
        self.context.scheduler.begin_detached();
        let (context, refused) = (Arc::clone(&self.context), Arc::clone(&self.context));
        let look_up = move || {
            context.conversation.look_up_credentials();
            context.scheduler.end_detached();
        };
        self.context.scheduler.spawn(look_up, move || refused.scheduler.end_detached());
    }

    /// Starts the thread that writes queued lines while calls write none. False: no thread is available.
    fn write_queued_lines(&self) -> bool {
        let context = Arc::clone(&self.context);
        self.context.scheduler.spawn(move || context.output.write_queued_lines(), || ())
    }

    // ---- Reading

    fn read(&self, input: ClientInput) {
        let read = catch_unwind(AssertUnwindSafe(|| self.read_lines(input)));
        let is_at_end = read.unwrap_or_else(|_| {
            self.context.log.error("a bug in sigv4-proxy stopped reading from stdin");
            true
        });
        if is_at_end {
            self.context.conversation.client.close();
            let _ = self.shutdown.send(ShutdownReason::InputClosed);
        }
    }

    /// Reads lines until the input ends; then true. False: another thread reads on.
    fn read_lines(&self, mut input: ClientInput) -> bool {
        let Context { scheduler, log, .. } = &*self.context;
        let max_bytes = self.settings.max_message_bytes;
        loop {
            let may_start = match read_line(&mut input, max_bytes, self.signs_bodies) {
                Ok(Input::Line { bytes, hash }) => self.accept(bytes, hash),
                Ok(Input::TooLong(message)) => self.refuse_oversized(&message),
                Ok(Input::End) => return true,
                Err(error) => {
                    log.error(format_args!("cannot read stdin: {error}"));
                    return true;
                }
            };
            if may_start && input.buffer().is_empty() {
                match scheduler.start_lone(input) {
                    Some(returned) => input = returned,
                    None => return false,
                }
                continue;
            }
            if may_start {
                scheduler.start();
            }
            scheduler.watch_deadline();
        }
    }

    /// Cancels, detaches, submits or refuses the message of a line. Returns whether a message may start now.
    fn accept(&self, line: Vec<u8>, hash: Option<Box<BodyHash>>) -> bool {
        let context = &self.context;
        let message = match Message::parse(line) {
            Ok(message) => message.with_hash(hash),
            Err(response) => {
                context.output.queue(response);
                return false;
            }
        };
        match message.kind() {
            MessageKind::Notification { cancels: Some(id), .. } => {
                let id = id.clone();
                call::cancel(context, &id, Some(message))
            }
            MessageKind::Response | MessageKind::Batch { .. } => {
                let cancelled = message.cancelled_by_batch();
                let may_start =
                    cancelled.iter().fold(false, |any, id| call::cancel(context, id, None) | any);
                let left = context.conversation.client.take_responses(message);
                left.is_some_and(|message| self.accept_responses(message)) | may_start
            }
            MessageKind::Request { .. } | MessageKind::Notification { .. } => self.submit(message),
        }
    }

    /// A request gets an error, and so does the server whose request loses its response. Returns as `accept` does.
    fn refuse_oversized(&self, message: &Oversized) -> bool {
        let Context { output, log, .. } = &*self.context;
        let max_bytes = self.settings.max_message_bytes;
        let what = match message {
            Oversized::Request(id) => {
                output.queue(error_response::too_long_line(id.as_ref(), max_bytes));
                return false;
            }
            Oversized::Response(_) => "response",
            Oversized::Notification => "notification",
        };
        log.warn(format_args!(
            "dropping a {what} of the client: it is larger than {max_bytes} bytes (raise --max-message-bytes)"
        ));
        match message {
            Oversized::Response(Some(id)) => {
                let instead = error_response::too_long_response_line(id, max_bytes);
                self.accept(instead.into_bytes(), None)
            }
            _ => false,
        }
    }

    /// Sends the client's responses to requests of the server, and what is in a batch with them.
    fn accept_responses(&self, message: Message) -> bool {
        let is_pong = self.context.conversation.take_responses(&message);
        if matches!(message.kind(), MessageKind::Batch { ids, has_notification } if *has_notification || !ids.is_empty())
        {
            return self.submit(message);
        }
        let purpose = if is_pong { Purpose::Pong } else { Purpose::Response };
        self.context.send_detached(purpose, message);
        false
    }

    fn submit(&self, message: Message) -> bool {
        if let Some(response) = self.context.conversation.bridge.respond_at_once(&message) {
            self.context.output.queue(response);
            return false;
        }
        if message.is_initialize() {
            discover::give_up(&self.context);
        }
        let is_request = !message.ids().is_empty();
        let exchanger = self.context.conversation.profiles.first();
        let deadline = if is_request { exchanger.deadline(&message) } else { None };
        self.context.scheduler.submit(message, deadline)
    }

    // ---- On the threads of the scheduler

    fn handle(&self, task: Task<'_, ClientInput>) {
        match task {
            Task::Read(input) => self.read(input),
            Task::Call(in_flight, message) => self.call(in_flight, message),
            Task::Notify(message) => self.notify(message),
            Task::Refuse(messages, error) => {
                self.context.conversation.report(error);
                self.context.output.queue_errors(messages.iter().copied(), error);
            }
            Task::CloseStream(in_flight) => self.context.close_stream(in_flight),
        }
    }

    fn call(&self, in_flight: &Arc<InFlight>, message: &Message) {
        if in_flight.kind == CallKind::Discover && !self.settings.is_lazy {
            self.discovers.watch(&self.context, in_flight);
        }
        let succeeded = Call::new(&self.context, in_flight).run(message);
        if !succeeded || self.context.conversation.sign_ins.has_answered_initialize() {
            self.deferred_initialize.retry(&self.context);
        }
    }

    /// Relays a notification, which never has a response, not even when it fails.
    fn notify(&self, message: &Message) {
        let context = &self.context;
        let Conversation { profiles, bridge, .. } = &*context.conversation;
        let sent = catch_unwind(AssertUnwindSafe(|| context.send(message)));
        match sent {
            Ok(Ok(()))
                if message.method() == Some("notifications/initialized")
                    && !profiles.first().is_initialize_deferred()
                    && !bridge.is_downward() =>
            {
                // The client has started over: requests of earlier sessions no longer wait for it.
                context.conversation.end_requests_of_sessions();
                self.standing_stream.open(context);
            }
            Ok(Ok(())) => {}
            Ok(Err(error)) => context.conversation.report(&error),
            Err(_) => context.log.error("a bug in sigv4-proxy ended a notification"),
        }
    }

    // ---- The end

    /// Waits until every request that was read has its response, for `drain_timeout` at most.
    fn drain(&self, reasons: &Receiver<ShutdownReason>) -> ShutdownReason {
        self.notify_when_idle();
        let deadline = Instant::now() + self.settings.drain_timeout;
        loop {
            match reasons.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(ShutdownReason::InputClosed) => {}
                Ok(reason) => return reason,
                Err(_) => return ShutdownReason::InputClosed,
            }
        }
    }

    fn notify_when_idle(&self) {
        let shutdown = self.shutdown.clone();
        self.context.scheduler.notify_when_idle(move || {
            let _ = shutdown.send(ShutdownReason::Idle);
        });
    }

    /// Cancels everything in flight and ends the sessions. This thread only waits for messages, until `SHUTDOWN_TIMEOUT` at
    /// most, so nothing that hangs can delay the end.
    fn close(self: &Arc<Self>, reason: ShutdownReason, reasons: &Receiver<ShutdownReason>) {
        let started = Instant::now();
        let (server, refused) = (Arc::clone(self), Arc::clone(self));
        let cancel = move || server.cancel_all(reason);
        self.context.scheduler.spawn(cancel, move || refused.cancel_all(reason));
        if reason != ShutdownReason::OutputClosed {
            let deadline = started + SHUTDOWN_FLUSH_TIMEOUT;
            while let Ok(reason) =
                reasons.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                if reason == ShutdownReason::Idle {
                    break;
                }
            }
        }
        self.end_sessions(started + SHUTDOWN_TIMEOUT);
    }

    /// Cancels everything in flight and refuses the requests that wait. Reports `Idle` once all have their responses.
    fn cancel_all(&self, reason: ShutdownReason) {
        let Context { scheduler, conversation, output, .. } = &*self.context;
        scheduler.begin_detached();
        let (waiting, calls) = scheduler.close();
        conversation.close();
        for exchanger in conversation.profiles.exchangers() {
            exchanger.client().cancel_credentials();
        }
        self.standing_stream.close();
        self.deferred_initialize.stop();
        for call in calls {
            call.cancel.cancel();
        }
        // Calls in flight respond for themselves.
        if reason != ShutdownReason::OutputClosed {
            let what = "sigv4-proxy exited before the request was sent";
            let error = Error::new(Kind::Cancelled, what);
            output.queue_errors(&waiting, &error);
        }
        self.notify_when_idle();
        scheduler.end_detached();
    }

    /// Ends the sessions of all profiles concurrently.
    fn end_sessions(&self, deadline: Instant) {
        let (ending, ended) = channel::<()>();
        let exchangers = self.context.conversation.profiles.exchangers().iter();
        for exchanger in exchangers.filter(|exchanger| exchanger.has_session_id()) {
            let (exchanger, ending) = (Arc::clone(exchanger), ending.clone());
            let end = move || {
                exchanger.end_session(deadline);
                drop(ending);
            };
            self.context.scheduler.spawn(end, || ());
        }
        drop(ending);
        // Nothing is ever sent; the wait ends when the last sender is dropped.
        let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}
