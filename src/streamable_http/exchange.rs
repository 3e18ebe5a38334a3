//! `Exchanger::exchange`: one message out, whatever that takes; its messages back, in order, as they arrive.
//!
//! Knows what the server told before: its session, its tools, the transport it speaks. What to do about a failure is
//! decided in `retry`; it is done here.

use crate::cli::Options;
use crate::clock;
use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::http::{parse_date, parse_retry_after, parse_retry_after_millis};
use crate::log::Log;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::request_meta::RequestMeta;
use crate::mcp::server_message::ErrorBody;
use crate::mcp::session::Session;
use crate::mcp::tool_catalog::{Page, ToolCatalog};
use crate::mcp::tool_policy::ToolPolicy;
use crate::signing::Payload;
use crate::streamable_http::failure::{Failed, Sent, give_up};
use crate::streamable_http::http_sse::HttpSse;
use crate::streamable_http::reinitialize::Handshake;
use crate::streamable_http::relay::{Progress, Relay, Relayed, Sink};
use crate::streamable_http::retry::{self, Delivery, Failure, Next, Quota, RetryState};
use crate::streamable_http::tool_listing::client_meta;
use crate::sync::cancel::Cancel;
use crate::sync::single_flight::SingleFlight;
use crate::upstream::signed_client::{
    SignedClient, SignedRequest, SignedResponse, request_id, session_headers,
};
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Errors with these codes may be mended: AWS's dead session, expired token, throttling.
const MAY_BE_MENDED: [i64; 3] = [-30001, -32001, -32004];
/// And on a call with mirrored arguments this one.
const MAY_BE_MENDED_IN_A_CALL: [i64; 4] = [-30001, -32001, -32004, -32020];

/// What refuses a notification holds up what follows it no longer than this.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// The server, and what it told.
#[derive(Debug)]
pub struct Exchanger {
    pub(crate) upstream: SignedClient,
    retries: u32,
    pub(crate) is_lazy: bool,
    pub(crate) max_message_bytes: usize,
    pub(crate) quota: Quota,
    pub(crate) tools: ToolCatalog,
    /// Those of the tools for our own use.
    pub(crate) listings: SingleFlight,
    /// What began the session.
    handshake: Mutex<Handshake>,
    pub(crate) handshakes: SingleFlight,
    outlet: Outlet,
    /// Cancels what no call owns.
    pub(crate) closing: Arc<Cancel>,
    /// The transport of 2024-11-05, if the server speaks no other.
    http_sse: RwLock<Option<Arc<HttpSse>>>,
    pub(crate) log: Log,
}

/// Where that goes which belongs to no call: what the server sends during a handshake, and that a session was begun.
#[derive(Default)]
struct Outlet(OnceLock<Box<DeliverAside>>);

type DeliverAside = dyn Fn(Relayed) -> Result<(), Error> + Send + Sync;

/// A message on its way, through however many attempts.
pub(crate) struct PreparedMessage<'a> {
    pub(crate) message: &'a Message,
    /// The same as the client wrote it, without metadata.
    pub(crate) as_written: &'a Message,
    /// The tool that it calls, if there is a tool filter.
    pub(crate) tool: Option<String>,
    pub(crate) payload: Payload,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: &'a Cancel,
    trail: RefCell<AttemptLog>,
}

/// What became of an errand so far, for the log.
#[derive(Debug, Default)]
struct AttemptLog {
    attempts: u32,
    /// Of the last attempt: its status, and how long the head of its answer took.
    head: Option<(u16, Duration)>,
    /// Of the last answer that had one.
    request_id: Option<String>,
}

impl Exchanger {
    pub fn new(
        options: &Options,
        policy: ToolPolicy,
        upstream: SignedClient,
        log: Log,
    ) -> Exchanger {
        Exchanger {
            upstream,
            retries: options.retries,
            is_lazy: options.lazy,
            max_message_bytes: options.max_message_bytes,
            quota: Quota::default(),
            tools: ToolCatalog::new(policy),
            listings: SingleFlight::new("tools/list"),
            handshake: Mutex::default(),
            handshakes: SingleFlight::new("handshake"),
            outlet: Outlet::default(),
            closing: Cancel::new(),
            http_sse: RwLock::default(),
            log,
        }
    }

    pub fn upstream(&self) -> &SignedClient {
        &self.upstream
    }

    /// Whether a server before 2026-07-28 has answered `initialize`.
    pub fn has_session(&self) -> bool {
        self.upstream.session().version().is_some()
    }

    /// Hands `deliver` from now on what belongs to no call.
    pub(crate) fn on_delivery(
        &self,
        deliver: impl Fn(Relayed) -> Result<(), Error> + Send + Sync + 'static,
    ) {
        let _ = self.outlet.0.set(Box::new(deliver));
    }

    pub(crate) fn deliver_aside(&self, delivery: Relayed) -> Result<(), Error> {
        self.outlet.0.get().map_or(Ok(()), |deliver| deliver(delivery))
    }

    /// Whether there is a session to end.
    pub(crate) fn has_session_id(&self) -> bool {
        self.upstream.session().id().is_some()
    }

    /// Sends the message and hands out what comes back until `deadline`. For requests `Ok` means that their answers were
    /// among it.
    pub fn exchange(
        self: &Arc<Self>,
        message: &Message,
        deadline: Option<Instant>,
        cancel: &Cancel,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let tool = self.tools.policy().judge(message)?;
        let changed = self.tools.policy().metadata().added_to(message)?;
        let as_written = message;
        let message = changed.as_ref().unwrap_or(message);
        if message.is_initialize() || message.request_meta().is_some() {
            self.upstream.learn_client(message.body());
        }
        if self.is_lazy {
            if message.is_initialize() {
                return self.answer_initialize_here(as_written, deliver);
            }
            if message.method() == Some("notifications/initialized") {
                let mut handshake = self.handshake();
                if handshake.is_owed {
                    handshake.initialized = Some(message.body().into());
                    return Ok(());
                }
            }
        }
        let errand = self.errand(message, deadline, cancel);
        let errand = PreparedMessage { as_written, tool, ..errand };
        let started = self.log.is_debug().then(Instant::now);
        let result = self.run(&errand, deliver);
        if let Some(started) = started {
            self.log.debug(errand.told(started.elapsed(), result.as_ref().err()));
        }
        result
    }

    /// Like `exchange`, but only once: nothing is mended.
    pub(crate) fn try_once(
        self: &Arc<Self>,
        message: &Message,
        cancel: &Cancel,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let changed = self.tools.policy().metadata().added_to(message)?;
        let message = changed.as_ref().unwrap_or(message);
        let errand = self.errand(message, self.upstream.deadline(message), cancel);
        self.attempt(&errand, deliver)
            .or_else(|failed| give_up(failed, self.log.redactor(), deliver))
    }

    pub(crate) fn errand<'a>(
        &self,
        message: &'a Message,
        deadline: Option<Instant>,
        cancel: &'a Cancel,
    ) -> PreparedMessage<'a> {
        let payload = self.upstream.payload_of(message);
        PreparedMessage {
            message,
            as_written: message,
            tool: None,
            payload,
            deadline,
            cancel,
            trail: RefCell::default(),
        }
    }

    /// Attempt after attempt, as long as there is a point in it.
    pub(crate) fn run(
        self: &Arc<Self>,
        errand: &PreparedMessage<'_>,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let PreparedMessage { message, cancel, .. } = *errand;
        let mut tried = RetryState::default();
        let mut paid = 0;
        loop {
            let failed = match self.attempt(errand, deliver) {
                Ok(()) => {
                    self.quota.give_back(paid);
                    if message.method() == Some("notifications/initialized") {
                        self.handshake().initialized = Some(message.body().into());
                    }
                    return Ok(());
                }
                Err(failed) => failed,
            };
            let mends = match self.next(&failed, message, errand.deadline, &mut tried) {
                Next::GiveUp => false,
                Next::Again { after, costs } => {
                    paid = costs;
                    self.log.debug(format_args!(
                        "again in {} ms: {}",
                        after.as_millis(),
                        failed.error.message()
                    ));
                    self.quota.take(costs) && {
                        if cancel.sleep(after) {
                            return Err(Error::new(Kind::Cancelled, "the call was cancelled"));
                        }
                        true
                    }
                }
                next => self.recover(&next, &failed, errand, deliver)?,
            };
            if !mends {
                return give_up(failed, self.log.redactor(), deliver);
            }
        }
    }

    /// Cancels what no call owns: a handshake, the search for credentials. The process is about to end.
    pub fn close(&self) {
        self.closing.cancel();
        self.upstream.cancel_credentials();
    }

    /// Tells the server until `deadline` that the session is over, if there is one. Best effort.
    pub fn end_session(&self, deadline: Instant) {
        self.upstream.end_session(deadline);
    }

    pub(crate) fn next(
        &self,
        failed: &Failed,
        message: &Message,
        deadline: Option<Instant>,
        tried: &mut RetryState,
    ) -> Next {
        let Some(reached) = failed.reached else { return Next::GiveUp };
        let failure = Failure {
            reached,
            status: failed.status,
            code: failed.code,
            cause: &failed.cause,
            text: &failed.text,
            retry_after: failed.retry_after,
            signed_at: failed.sent.signed_at,
            server_time: failed.server_time,
            had_session: failed.sent.session.id().is_some(),
            has_mirrors: has_mirrors(message),
            is_agentcore: self.upstream.is_agentcore(),
        };
        let request = retry::Request {
            is_idempotent: is_idempotent(message)
                || (message.method() == Some("tools/call")
                    && matches!(message.sort(), MessageKind::Request { .. })
                    && self.tools.may_repeat(message.body())),
            left: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
            retries: self.retries,
        };
        retry::next(&failure, &request, tried)
    }

    /// Does what may help before the next attempt. False when there is nothing to be done after all.
    pub(crate) fn recover(
        self: &Arc<Self>,
        next: &Next,
        failed: &Failed,
        errand: &PreparedMessage<'_>,
        deliver: &mut Sink<'_>,
    ) -> Result<bool, Error> {
        match next {
            Next::GiveUp | Next::Again { .. } => Ok(false),
            Next::NewCredentials => {
                let Some(refused) = &failed.credentials else { return Ok(false) };
                self.log.debug(format_args!("new credentials are looked for: {}", failed.error));
                let PreparedMessage { deadline, cancel, .. } = *errand;
                self.upstream.has_other_credentials(refused, deadline, cancel)
            }
            Next::SetClock(there) => {
                let behind = self.upstream.set_clock(*there);
                let (seconds, side) = (behind.abs(), if behind < 0 { "ahead" } else { "behind" });
                self.log.warn(format_args!(
                    "the clock of this machine is {seconds} s {side} of that of AWS; requests are signed with the time of AWS (set the clock by NTP)"
                ));
                Ok(true)
            }
            Next::SignForService(service) => {
                let signed = &self.upstream.scope().service;
                let is_corrected = self.upstream.correct_service(service);
                if is_corrected && service != signed {
                    self.log.warn(format_args!(
                        "AWS wants requests signed for service {service}, not {signed}; set --service-name {service}"
                    ));
                }
                // Otherwise the error says what to set.
                Ok(is_corrected)
            }
            Next::SignForRegion => {
                let signed = &self.upstream.scope().region;
                let is_corrected = self.upstream.correct_region();
                let region = &self.upstream.scope().region;
                if region != signed {
                    self.log.warn(format_args!(
                        "AWS does not take requests signed for region {signed}; the URL says {region}: set --region {region}"
                    ));
                }
                Ok(is_corrected)
            }
            Next::NewSession => {
                self.log.debug(format_args!("the session is dead: {}", failed.error));
                let dead = &failed.sent.session;
                self.begun_session(Some(dead), errand.deadline, errand.cancel).map(|_| true)
            }
            Next::LearnMirrors => {
                self.log.debug("the server misses headers: its tools are listed again");
                let (client, limit) = (client_meta(errand.message), errand.deadline);
                if let Err(error) =
                    self.learn_tools(client.as_deref(), limit, errand.cancel, deliver)
                {
                    self.log.debug(format_args!("the tools cannot be listed: {error}"));
                }
                Ok(self.tools.headers(errand.message.body()) != failed.sent.mirrors)
            }
        }
    }

    /// Sends the message once.
    fn attempt(
        self: &Arc<Self>,
        errand: &PreparedMessage<'_>,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Box<Failed>> {
        let PreparedMessage { message, cancel, deadline, .. } = *errand;
        let started = self.log.is_debug().then(Instant::now);
        errand.trail.borrow_mut().attempts += 1;
        let is_initialize = message.is_initialize();
        // A request that speaks for itself has no session; nor has the one that begins it.
        let has_session = !is_initialize && message.request_meta().is_none();
        if has_session && let Some(http_sse) = self.http_sse_for(message) {
            self.check_hint(errand).map_err(Failed::for_good)?;
            return self.exchange_by_http_sse(&http_sse, errand, deliver);
        }
        let credentials = self.upstream.credentials(deadline, cancel).map_err(Failed::for_good)?;
        let (session, page) = loop {
            let session =
                if has_session { self.session_for(errand, &credentials)? } else { Arc::default() };
            // What is known of tools ends with the session, so each attempt is judged anew.
            self.check_hint(errand).map_err(Failed::for_good)?;
            let page = self.page(message);
            let is_judged_in = |session: &Session| {
                !has_session || self.upstream.session().number() == session.number()
            };
            if (errand.tool.is_none() && page.is_none()) || is_judged_in(&session) {
                break (session, page);
            }
        };
        let mirrors =
            if has_mirrors(message) { self.tools.headers(message.body()) } else { Vec::new() };
        let sent = Sent { signed_at: self.upstream.now(), session, mirrors };
        let mut headers = Vec::with_capacity(8);
        headers.push(("content-type", "application/json"));
        headers.push(("accept", "application/json, text/event-stream"));
        headers.extend(session_headers(&sent.session));
        headers.extend(message.request_meta().into_iter().flat_map(RequestMeta::headers));
        headers.extend(sent.mirrors.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let outgoing = SignedRequest {
            method: "POST",
            place: self.upstream.place(),
            headers: &headers,
            body: message.body(),
            payload: &errand.payload,
            deadline,
            is_stream: message.is_subscription(),
            is_idempotent: is_idempotent(message),
        };
        let answer = self.upstream.send(&outgoing, &credentials, cancel);
        drop(headers);
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(Failed::unanswered(error, sent)),
        };
        if let Some(started) = started {
            errand.note(&answer, started);
        }
        if !(200..300).contains(&answer.status()) {
            if message.ids().is_empty() {
                answer.set_deadline(Instant::now().checked_add(REFUSAL_LIMIT));
            }
            let failed = self.refused(message, &mut answer, &credentials, sent);
            drop(answer);
            if is_initialize && matches!(failed.status, 400 | 404 | 405) && failed.code.is_none() {
                return self.fall_back_to_http_sse(errand, &credentials, failed, deliver);
            }
            return Err(failed);
        }
        if has_session && sent.session.id().is_none() {
            let id = answer.header("mcp-session-id");
            if id.is_some() {
                self.upstream.session_mut(|session| session.learn_id(id));
            }
        }
        if message.ids().is_empty() {
            // What a server sends here says nothing, and nobody waits for it.
            answer.answer.finish();
            return Ok(());
        }
        let offered = is_initialize.then(|| {
            let account = credentials.account.as_deref();
            self.offer(Session::offered(answer.header("mcp-session-id"), account), None)
        });
        let on_initialized = |version| {
            if let Some(offered) = &offered {
                self.session_is_begun(errand.as_written, &offered.offer, version);
            }
        };
        let on_initialized: Option<&dyn Fn(_)> = is_initialize.then_some(&on_initialized);
        let mut relay = self.relay(message, page, on_initialized, deliver);
        let result = relay.take_answer(answer.answer);
        let result = match result {
            // Since 2026-07-28 a broken stream has lost its request.
            Err(error) if message.request_meta().is_none() => {
                // The session that the stream belongs to; its id may have come with the answer.
                let session = match &offered {
                    Some(offered) => Arc::clone(&offered.offer.session),
                    None if sent.session.id().is_some() => Arc::clone(&sent.session),
                    None => self.upstream.session(),
                };
                self.resume(error, &mut relay, &session, deadline, cancel)
            }
            other => other,
        };
        match (result, relay.kept()) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(kept)) => Err(Failed::kept(kept, credentials, sent)),
            (Err(error), _) => Err(Failed::for_good(error)),
        }
    }

    /// The session to send a message with, as soon as it can be used.
    fn session_for(
        self: &Arc<Self>,
        errand: &PreparedMessage<'_>,
        credentials: &Credentials,
    ) -> Result<Arc<Session>, Box<Failed>> {
        if matches!(errand.message.sort(), MessageKind::Response) {
            let coming = self.handshake().coming.as_ref().map(|offer| Arc::clone(&offer.session));
            return Ok(coming.unwrap_or_else(|| self.upstream.session()));
        }
        let is_pending = self.owes_initialize() || self.handshakes.is_under_way();
        let mut session = self.upstream.session();
        let PreparedMessage { deadline, cancel, .. } = *errand;
        if is_pending {
            session = self.begun_session(None, deadline, cancel).map_err(Failed::for_good)?;
        }
        if session.id().is_some() && session.is_of_another(credentials.account.as_deref()) {
            self.log.debug("the AWS account has changed: the session is begun anew");
            let begun = self.begun_session(Some(&session), deadline, cancel);
            session = begun.map_err(Failed::for_good)?;
        }
        Ok(session)
    }

    /// The page of the list of tools that this message asks for, if it does. To be taken before the message is sent.
    pub(crate) fn page(&self, message: &Message) -> Option<Page> {
        (message.method() == Some("tools/list")).then(|| self.tools.page(message))
    }

    pub(crate) fn relay<'a, 'd>(
        &'a self,
        message: &'a Message,
        page: Option<Page>,
        on_initialized: Option<&'a dyn Fn(Option<String>)>,
        deliver: &'a mut Sink<'d>,
    ) -> Relay<'a, 'd> {
        Relay {
            ids: message.ids(),
            on_initialized,
            tools: page.map(|page| (&self.tools, page)),
            forgetful: &self.tools,
            on_stray: None,
            owns_stream: true,
            held_back: match message.ids() {
                [_] if has_mirrors(message) => &MAY_BE_MENDED_IN_A_CALL,
                [_] => &MAY_BE_MENDED,
                _ => &[],
            },
            may_lose_session: matches!(message.ids(), [_])
                && message.request_meta().is_none()
                && self.has_session_id(),
            max_message_bytes: self.max_message_bytes,
            log: &self.log,
            deliver,
            progress: Progress::default(),
        }
    }

    pub(crate) fn refused(
        &self,
        message: &Message,
        answer: &mut SignedResponse<'_>,
        credentials: &Arc<Credentials>,
        sent: Sent,
    ) -> Box<Failed> {
        let refused = self.upstream.refused(answer, credentials);
        let error_body = ErrorBody::parse(&refused.body);
        let date = answer.header("date").and_then(parse_date).unwrap_or_else(clock::now);
        let retry_after = answer
            .header("x-amz-retry-after")
            .and_then(parse_retry_after_millis)
            .or_else(|| parse_retry_after(answer.header("retry-after")?, date));
        Box::new(Failed {
            reached: Some(Delivery::Server),
            status: answer.status(),
            code: error_body.as_ref().map(|body| body.code),
            cause: refused.cause,
            text: match &error_body {
                Some(body) => body.message.clone().into_owned(),
                None => refused.words,
            },
            lines: error_body.map_or_else(Vec::new, |body| {
                message.ids().iter().map(|id| body.under(id)).collect()
            }),
            error: refused.in_words,
            retry_after,
            server_time: refused.server_time,
            credentials: Some(Arc::clone(credentials)),
            sent,
        })
    }

    pub(crate) fn handshake(&self) -> MutexGuard<'_, Handshake> {
        self.handshake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn http_sse(&self) -> Option<Arc<HttpSse>> {
        self.http_sse.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn http_sse_for(&self, message: &Message) -> Option<Arc<HttpSse>> {
        match message.sort() {
            MessageKind::Response => {
                let coming = self.handshake().coming.clone();
                coming.map_or_else(|| self.http_sse(), |offer| offer.http_sse)
            }
            _ => self.http_sse(),
        }
    }

    /// What it was before.
    pub(crate) fn set_http_sse(&self, http_sse: Option<Arc<HttpSse>>) -> Option<Arc<HttpSse>> {
        let mut present = self.http_sse.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut present, http_sse)
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Outlet")
    }
}

impl PreparedMessage<'_> {
    pub(crate) fn note(&self, answered: &SignedResponse<'_>, started: Instant) {
        let mut trail = self.trail.borrow_mut();
        trail.head = Some((answered.status(), started.elapsed()));
        let request_id = request_id(answered).map(str::to_owned);
        trail.request_id = request_id.or(trail.request_id.take());
    }

    /// `tools/call 5: HTTP 200 after 12 ms, whole after 30 ms, 2 attempts, request id abc`.
    fn told(&self, took: Duration, error: Option<&Error>) -> String {
        let mut text = self.message.method().unwrap_or("response").to_owned();
        if matches!(self.message.sort(), MessageKind::Batch { .. }) {
            "batch".clone_into(&mut text);
        }
        for id in self.message.ids() {
            let _ = write!(text, " {}", id.as_json());
        }
        let trail = self.trail.borrow();
        let separator = if let Some((status, after)) = trail.head {
            let _ = write!(text, ": HTTP {status} after {} ms", after.as_millis());
            ", "
        } else {
            ": "
        };
        let _ = write!(text, "{separator}whole after {} ms", took.as_millis());
        if trail.attempts != 1 {
            let _ = write!(text, ", {} attempts", trail.attempts);
        }
        if let Some(request_id) = &trail.request_id {
            let _ = write!(text, ", request id {request_id}");
        }
        if let Some(error) = error {
            let _ = write!(text, ", {}", error.kind().name());
        }
        text
    }
}

/// Whether sending it twice does no harm.
pub(crate) fn is_idempotent(message: &Message) -> bool {
    match message.sort() {
        MessageKind::Request { method, .. } => retry::is_idempotent(method),
        MessageKind::Notification { .. } | MessageKind::Response => true,
        MessageKind::Batch { ids, .. } => ids.is_empty(),
    }
}

/// Whether arguments of it may be repeated in headers.
fn has_mirrors(message: &Message) -> bool {
    message.request_meta().is_some() && message.method() == Some("tools/call")
}
