//! `LegacySession`: the one session with an older server in which all requests of a client of 2026-07-28 run, and the
//! server's messages in it.

use crate::bridge::level::Level;
use crate::bridge::losses::Losses;
use crate::bridge::upward::calls::{Abandoned, Calls, Placed};
use crate::bridge::upward::legacy_server::LegacyServer;
use crate::bridge::upward::notification::Notification;
use crate::bridge::upward::question::{Question, not_supported};
use crate::bridge::upward::request::ModernRequest;
use crate::bridge::upward::subscriptions::Subscriptions;
use crate::error::{Error, Kind};
use crate::json::object::Object;
use crate::log::Log;
use crate::mcp::message::Message;
use crate::mcp::server_message::{ErrorBody, server_error};
use crate::streamable_http::Exchanger;
use crate::streamable_http::relayed::{Line, Relayed, ServerRequest};
use crate::sync::cancel::Cancel;
use crate::sync::monitor::Monitor;
use crate::sync::{lock, spawn};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

/// Minimum time between a request and its cancellation, so that the cancellation does not overtake it.
const CANCEL_DELAY: Duration = Duration::from_millis(100);

/// Time that a cancelled call gets to end in order.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// Time to cancel waiting calls when the process ends.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

/// Maximum number of calls that are cancelled at once; further ones are only closed.
const MAX_GIVEN_UP: usize = 64;

/// Maximum number of calls whose stream is still read after the response.
const MAX_LINGERING: usize = 16;

/// Time that the first call of a session waits for the standing stream: earlier questions of the server may be lost.
const STREAM_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct LegacySession {
    pub(crate) exchanger: Arc<Exchanger>,
    pub(crate) calls: Arc<Monitor<Calls>>,
    pub(crate) subscriptions: Arc<Monitor<Subscriptions>>,
    level: Arc<Monitor<ServerLevel>>,
    /// Whether the standing stream of the session is open, or was refused.
    is_stream_open: Arc<Monitor<bool>>,
    /// A standing stream is opened for each session.
    has_stream: bool,
    is_begun: AtomicBool,
    /// The capabilities of the client that it began with, as JSON.
    capabilities: OnceLock<String>,
    has_other_capabilities: AtomicBool,
    /// Number of calls that are being cancelled.
    given_up: Arc<Monitor<usize>>,
    /// A thread watches for overdue calls.
    is_watched: AtomicBool,
    /// Ends the exchanges of calls that have their response, the oldest first.
    lingering: Mutex<VecDeque<Weak<Cancel>>>,
    pub(crate) losses: Losses,
    pub(crate) closing: Arc<Cancel>,
    pub(crate) log: Log,
}

/// The level from which on the server sends log messages.
#[derive(Debug, Default)]
struct ServerLevel {
    last: Option<Level>,
    is_changing: bool,
}

impl LegacySession {
    /// `has_stream`: the client's side opens a standing stream for it.
    pub(crate) fn new(exchanger: Arc<Exchanger>, has_stream: bool, log: Log) -> LegacySession {
        LegacySession {
            calls: Monitor::new(Calls::new(exchanger.max_message_bytes())),
            exchanger,
            subscriptions: Monitor::new(Subscriptions::default()),
            level: Monitor::new(ServerLevel::default()),
            is_stream_open: Monitor::new(false),
            has_stream,
            is_begun: AtomicBool::new(false),
            capabilities: OnceLock::new(),
            has_other_capabilities: AtomicBool::new(false),
            given_up: Monitor::new(0),
            is_watched: AtomicBool::new(false),
            lingering: Mutex::default(),
            losses: Losses::new(log.clone()),
            closing: Cancel::new(),
            log,
        }
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Acquire)
    }

    /// Starts the session with the client's data of the request, unless there is one.
    pub(crate) fn begin(
        &self,
        request: &ModernRequest<'_>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        if self.is_begun() {
            let begun_with = self.capabilities.get();
            if begun_with.is_some_and(|begun_with| begun_with != request.capabilities())
                && !self.has_other_capabilities.swap(true, Ordering::Relaxed)
            {
                self.log
                    .debug("a request declares capabilities that differ from those of the session");
            }
            return Ok(());
        }
        let initialize = request.initialize().ok_or_else(|| {
            Error::new(Kind::Internal, "a bug in sigv4-proxy ended this call")
                .hint("please report it")
        })?;
        self.exchanger.begin_session(&initialize, deadline, cancel)?;
        if !self.is_begun.swap(true, Ordering::AcqRel) {
            let _ = self.capabilities.set(request.capabilities().to_owned());
            self.log.info(format_args!(
                "translating between the client (MCP 2026-07-28) and the server (MCP {}): --bridge",
                self.server().version()
            ));
        }
        Ok(())
    }

    /// The server's data.
    pub(crate) fn server(&self) -> LegacyServer {
        let response = self.exchanger.initialize_response();
        response.map_or_else(LegacyServer::default, |response| LegacyServer::read(&response))
    }

    /// Whether the server's messages outside calls arrive.
    pub(crate) fn hears_server(&self) -> bool {
        self.has_stream || self.exchanger.has_shared_stream()
    }

    /// Waits until nothing is missed that the server sends outside calls, for a moment at most.
    pub(crate) fn await_stream(&self, cancel: &Cancel) {
        if self.has_stream && !self.exchanger.has_shared_stream() {
            let limit = Instant::now().checked_add(STREAM_TIMEOUT);
            // A server that takes longer is not waited for again.
            if self.is_stream_open.wait(limit, cancel, |is_open| is_open.then_some(())).is_err() {
                self.is_stream_open.update(|is_open| *is_open = true);
            }
        }
    }

    // ---- To the server

    /// Sends a request of the bridge. Returns the result, or the server's error.
    pub(crate) fn request(
        self: &Arc<Self>,
        method: &str,
        params: &str,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let id = self.calls.lock().next_id();
        let line =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let Ok(message) = Message::parse(line.into_bytes()) else { return Ok(()) };
        let mut refusal = None;
        self.exchanger.exchange(&message, deadline, cancel, &mut |relayed| {
            match relayed {
                Relayed::Line(line) if line.is_response() => {
                    let body = str::from_utf8(&line.bytes).ok().and_then(ErrorBody::parse);
                    refusal = body.map(|body| server_error(body.code, &body.message));
                }
                relayed => drop(self.take(None, relayed)),
            }
            Ok(())
        })?;
        refusal.map_or(Ok(()), Err)
    }

    /// Sends a response or a notification.
    pub(crate) fn send(&self, line: String, cancel: &Cancel) -> Result<(), Error> {
        let Ok(message) = Message::parse(line.into_bytes()) else { return Ok(()) };
        let deadline = self.exchanger.deadline(&message);
        self.exchanger.exchange(&message, deadline, cancel, &mut |_| Ok(()))
    }

    /// As `send`, if nothing depends on it.
    fn post(&self, line: String) {
        if let Err(error) = self.send(line, &Cancel::default()) {
            self.log.debug(format_args!("the server could not be notified: {error}"));
        }
    }

    /// Sets the server's log level to the lowest that any call requests. A call that ends before the server responds leaves
    /// that to the next one.
    pub(crate) fn set_level(self: &Arc<Self>, deadline: Option<Instant>, cancel: &Cancel) {
        if !self.server().takes_level() {
            return;
        }
        let wanted = self.level.wait(deadline, cancel, |level| {
            if level.is_changing {
                return None;
            }
            let wanted = self.calls.lock().lowest_level().filter(|it| level.last != Some(*it));
            level.is_changing = wanted.is_some();
            Some(wanted)
        });
        let Ok(Some(wanted)) = wanted else { return };
        let params = format!(r#"{{"level":"{}"}}"#, wanted.name());
        let set = self.request("logging/setLevel", &params, deadline, cancel);
        let is_settled = set.as_ref().err().is_none_or(|error| match error.kind() {
            Kind::Cancelled | Kind::TimedOut | Kind::Unreachable => false,
            _ => {
                let loss = format!("the server refused to set its log level: {error}");
                self.losses.log_once(&loss);
                true
            }
        });
        self.level.update(|level| {
            *level = ServerLevel { last: is_settled.then_some(wanted), is_changing: false };
        });
    }

    // ---- From the server

    /// Handles messages of the server, on the stream of this call or outside calls. Returns those for the client unchanged.
    pub(crate) fn take(self: &Arc<Self>, own: Option<u64>, relayed: Relayed) -> Option<Relayed> {
        match relayed {
            Relayed::Request(request) => self.take_request(own, &request),
            Relayed::Line(line) => return self.take_notification(own, line),
            Relayed::StreamOpened => self.is_stream_open.update(|is_open| *is_open = true),
            Relayed::AwaitsClient(_)
            | Relayed::NewSession
            | Relayed::NoSession
            | Relayed::Delayed
            | Relayed::Head(_)
            | Relayed::Event(..) => {}
        }
        None
    }

    fn take_request(self: &Arc<Self>, own: Option<u64>, request: &ServerRequest) {
        let text = str::from_utf8(&request.bytes).unwrap_or_default();
        let id = Object::parse(text).and_then(|members| members.get("id"));
        let id = id.map_or(request.id.as_json(), |id| id.get());
        let response = match Question::read(text) {
            _ if request.is_ping => Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)),
            None => Some(not_supported(id)),
            Some(question) => {
                match self.calls.update(|calls| calls.ask(own, question, Instant::now())) {
                    Ok(()) => {
                        self.watch_overdue();
                        None
                    }
                    Err(question) => question.refusal(),
                }
            }
        };
        if let Some(response) = response {
            self.post(response);
        }
    }

    fn take_notification(&self, own: Option<u64>, line: Line) -> Option<Relayed> {
        if let Some(cancelled) = &line.cancels {
            self.calls.update(|calls| calls.withdraw(cancelled));
            return None;
        }
        let text = str::from_utf8(&line.bytes).unwrap_or_default();
        let placed = match Notification::read(text) {
            Notification::Progress { token } => self.place(|calls| calls.progress(&token, text)),
            Notification::Log(level) => self.place(|calls| calls.log(own, level, text)),
            Notification::ListChanged(list) => {
                self.subscriptions.update(|known| known.list_changed(list, text));
                Placed::Taken
            }
            Notification::ResourceUpdated { uri } => {
                self.subscriptions.update(|known| known.resource_updated(&uri, text));
                Placed::Taken
            }
            Notification::LeftOut => Placed::Taken,
            Notification::Other => match own {
                Some(own) => self.place(|calls| calls.other(own, text)),
                None => return Some(Relayed::Line(line)),
            },
        };
        if placed == Placed::Unclaimed {
            let loss =
                "ignoring log messages and progress from the server that belong to no request";
            self.losses.log_once(loss);
        }
        None
    }

    /// Places a notification, as soon as there is room.
    fn place(&self, mut place: impl FnMut(&mut Calls) -> Placed) -> Placed {
        let placed = self.calls.wait(None, &self.closing, |calls| {
            Some(place(calls)).filter(|placed| *placed != Placed::Full)
        });
        // The leg that waits for it.
        self.calls.update(|_| ());
        placed.unwrap_or(Placed::Taken)
    }

    /// Another session is in use: everything that the old one held is gone.
    pub(crate) fn start_over(&self) {
        for call in self.calls.update(Calls::end_session) {
            call.cancel.cancel();
        }
        self.level.update(|level| level.last = None);
        self.is_stream_open.update(|is_open| *is_open = false);
    }

    // ---- Calls that end without their response

    /// Notifies the server that no response is waited for, on a thread of its own.
    pub(crate) fn give_up(self: &Arc<Self>, call: Abandoned) {
        let Abandoned { sent_as, responses, cancel } = call;
        let is_needed = sent_as.is_some() || !responses.is_empty();
        let has_room = |count: &mut usize| {
            *count < MAX_GIVEN_UP && {
                *count += 1;
                true
            }
        };
        if !is_needed || !self.given_up.update(has_room) {
            return cancel.cancel();
        }
        let (session, exchange) = (Arc::clone(self), Arc::clone(&cancel));
        let notify = move || {
            for response in responses {
                session.post(response);
            }
            if let Some(id) = sent_as {
                session.closing.sleep(CANCEL_DELAY);
                session.post(format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
                ));
                session.closing.sleep(CANCEL_GRACE);
            }
            exchange.cancel();
            session.given_up.update(|count| *count -= 1);
        };
        if spawn("give-up", notify).is_err() {
            cancel.cancel();
            self.given_up.update(|count| *count -= 1);
        }
    }

    /// Lets the exchange of a call that has its response continue for a while; the oldest of too many are ended.
    pub(crate) fn linger(&self, cancel: &Arc<Cancel>) {
        let oldest = {
            let mut lingering = lock(&self.lingering);
            lingering.push_back(Arc::downgrade(cancel));
            if lingering.len() > MAX_LINGERING { lingering.pop_front() } else { None }
        };
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
            oldest.cancel();
        }
    }

    /// Starts a thread that ends overdue calls, as long as there can be any.
    pub(crate) fn watch_overdue(self: &Arc<Self>) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let session = Arc::clone(self);
        let watch = move || {
            while !session.closing.is_cancelled() {
                let (calls, refusals) =
                    session.calls.update(|calls| calls.take_overdue(Instant::now()));
                for call in calls {
                    session.give_up(call);
                }
                if !refusals.is_empty() {
                    let loss =
                        "refusing a request from the server: no call of the client could carry it";
                    session.losses.log_once(loss);
                }
                for refusal in refusals {
                    session.post(refusal);
                }
                let due = session.calls.lock().next_due();
                if due.is_none() {
                    session.is_watched.store(false, Ordering::Release);
                    let is_new = session.calls.lock().next_due().is_some();
                    if !is_new || session.is_watched.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
                let has_changed = |calls: &mut Calls| (calls.next_due() != due).then_some(());
                let _ = session.calls.wait(due, &session.closing, has_changed);
            }
        };
        if spawn("overdue", watch).is_err() {
            self.is_watched.store(false, Ordering::Release);
        }
    }

    /// Cancels the parked calls, within `CLOSE_TIMEOUT`.
    pub(crate) fn close(self: &Arc<Self>) {
        self.closing.cancel();
        for call in self.calls.update(Calls::end_session) {
            self.give_up(call);
        }
        let limit = Instant::now().checked_add(CLOSE_TIMEOUT);
        let is_done = |count: &mut usize| (*count == 0).then_some(());
        let _ = self.given_up.wait(limit, &Cancel::default(), is_done);
    }
}
