//! `HttpSse`: the transport of 2024-11-05. Messages go out by POST; everything comes back on one GET stream.
//!
//! The thread that sent `initialize` reads that stream to its end, which is the session's.

use super::failed::{Failed, Sent};
use super::{Conversation, Errand, is_idempotent};
use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::event_stream::{Event, EventStream};
use crate::http::{Answer, Cancel, read_error};
use crate::members::Members;
use crate::message::Id;
use crate::relay::{Deliver, is_event_stream};
use crate::session::Session;
use crate::upstream::{Outgoing, Place};
use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The server must say within this time where to send messages.
const ENDPOINT_LIMIT: Duration = Duration::from_secs(30);

/// How often a call that waits looks whether it was cancelled. Nothing else could wake it.
const GLANCE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct HttpSse {
    place: Place,
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    /// Ids that somebody waits for.
    expected: Vec<Id>,
    answers: VecDeque<(Id, String)>,
    is_over: bool,
}

impl HttpSse {
    fn new(place: Place) -> HttpSse {
        HttpSse { place, inbox: Mutex::default(), changed: Condvar::new() }
    }

    /// An answer came; it is kept if somebody waits for it.
    fn put(&self, text: String) {
        let members = Members::of(text.as_bytes()).ok();
        let id = members.and_then(|members| members.id.and_then(Id::from_json));
        let mut inbox = self.inbox();
        if let Some(id) = id
            && inbox.expected.contains(&id)
        {
            inbox.answers.push_back((id, text));
            drop(inbox);
            self.changed.notify_all();
        }
    }

    /// The next answer to one of these.
    fn take(
        &self,
        ids: &[Id],
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<String, Error> {
        let mut inbox = self.inbox();
        loop {
            if let Some(at) = inbox.answers.iter().position(|(id, _)| ids.contains(id))
                && let Some((_, text)) = inbox.answers.remove(at)
            {
                return Ok(text);
            }
            if cancel.is_cancelled() {
                return Err(Error::new(Kind::Cancelled, "the call was cancelled"));
            }
            if inbox.is_over {
                return Err(Error::new(
                    Kind::Unreachable,
                    "the event stream of the server ended, and the session with it",
                )
                .hint("restart the server in the MCP client"));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Error::new(Kind::TimedOut, "the time limit of the request passed")
                    .hint("raise --timeout, or --tool-timeout for tools/call"));
            }
            (inbox, _) =
                self.changed.wait_timeout(inbox, GLANCE).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids that are waited for, until this goes.
struct Expected<'a>(&'a HttpSse, &'a [Id]);

impl<'a> Expected<'a> {
    fn new(http_sse: &'a HttpSse, ids: &'a [Id]) -> Expected<'a> {
        http_sse.inbox().expected.extend_from_slice(ids);
        Expected(http_sse, ids)
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        let mut inbox = self.0.inbox();
        inbox.expected.retain(|id| !self.1.contains(id));
        inbox.answers.retain(|(id, _)| !self.1.contains(id));
    }
}

/// The session ends with its stream, however that ends.
struct UntilOver<'a>(&'a Conversation, Arc<HttpSse>);

impl Drop for UntilOver<'_> {
    fn drop(&mut self) {
        self.1.inbox().is_over = true;
        self.1.changed.notify_all();
        self.0.log.debug("the event stream of the server ended");
    }
}

impl Conversation {
    /// After a refused `initialize`: an older server gives a stream to a GET, and on it another URL for messages.
    /// If it does not, `refusal` is what happened.
    pub(super) fn fall_back_to_http_sse(
        &self,
        errand: &Errand<'_>,
        credentials: &Arc<Credentials>,
        refusal: Box<Failed>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), Box<Failed>> {
        let Errand { message, cancel, deadline, .. } = *errand;
        let stream = self.upstream.get(&Session::default(), None, None, true, cancel);
        let stream = match stream {
            Ok(answer) if answer.status() == 200 && is_event_stream(&answer) => answer,
            _ => return Err(refusal),
        };
        let mut events = EventStream::new(stream, self.max_message_bytes, read_error);
        let endpoint = match first_event(&mut events, cancel) {
            Some(event) if event.name == "endpoint" => {
                let reference = String::from_utf8_lossy(&event.data).into_owned();
                self.upstream.endpoint().join(&reference).map_err(|error| {
                    Failed::for_good(Error::new(
                        Kind::BadAnswer,
                        format!("the server's endpoint event is not followed: {}", error.message()),
                    ))
                })?
            }
            _ => return Err(refusal),
        };
        self.log.debug(format_args!("the server speaks HTTP+SSE (2024-11-05) at {endpoint}"));
        let http_sse = Arc::new(HttpSse::new(self.upstream.place_at(&endpoint)));
        let _until_over = UntilOver(self, Arc::clone(&http_sse));
        let account = credentials.account.as_deref();
        self.upstream.session_mut(|session| session.begin(None, account));
        self.set_http_sse(Some(Arc::clone(&http_sse)));
        self.post_by_http_sse(&http_sse, errand, credentials)?;

        let on_version = |version| self.session_is_begun(message, version);
        let on_stray = |text| http_sse.put(text);
        let mut relay = self.relay(message, Some(&on_version), deliver);
        relay.on_stray = Some(&on_stray);
        relay.held_back = &[];
        loop {
            match events.next_event() {
                Ok(Some(event)) if event.is_message() => {
                    relay.take_event(event.data).map_err(Failed::for_good)?;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) if relay.is_done() => return Ok(()),
                Ok(None) => return Err(refusal),
                Err(error) => return Err(Failed::for_good(error)),
            }
            if !relay.is_done() && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let error = Error::new(Kind::TimedOut, "the time limit of the request passed");
                return Err(Failed::for_good(error.hint("raise --timeout")));
            }
        }
    }

    /// A message to such a server, and its answers from the stream that another thread reads.
    pub(super) fn exchange_by_http_sse(
        &self,
        http_sse: &HttpSse,
        errand: &Errand<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), Box<Failed>> {
        let Errand { message, cancel, deadline, .. } = *errand;
        let credentials = self.upstream.credentials(deadline, cancel).map_err(Failed::for_good)?;
        let _expected = Expected::new(http_sse, message.ids());
        self.post_by_http_sse(http_sse, errand, &credentials)?;
        let mut relay = self.relay(message, None, deliver);
        relay.held_back = &[];
        while !relay.is_done() {
            let answer =
                http_sse.take(message.ids(), deadline, cancel).map_err(Failed::for_good)?;
            relay.take_event(answer.into_bytes()).map_err(Failed::for_good)?;
        }
        Ok(())
    }

    /// What comes back with it means nothing, but for an error.
    fn post_by_http_sse(
        &self,
        http_sse: &HttpSse,
        errand: &Errand<'_>,
        credentials: &Arc<Credentials>,
    ) -> Result<(), Box<Failed>> {
        let outgoing = Outgoing {
            method: "POST",
            place: &http_sse.place,
            headers: &[
                ("content-type", "application/json"),
                ("accept", "application/json, text/event-stream"),
            ],
            body: errand.message.body(),
            payload: &errand.payload,
            deadline: errand.deadline,
            is_stream: false,
            is_idempotent: is_idempotent(errand.message),
        };
        let started = Instant::now();
        let signed_at = self.upstream.now();
        let sent = Sent { signed_at, session: Arc::default(), mirrors: Vec::new() };
        let mut answer = match self.upstream.send(&outgoing, credentials, errand.cancel) {
            Ok(answer) => answer,
            Err(error) => return Err(Failed::unanswered(error, sent)),
        };
        errand.note(&answer, started);
        if (200..300).contains(&answer.status()) {
            answer.answer.finish();
            return Ok(());
        }
        Err(self.refused(errand.message, &mut answer, credentials, sent))
    }
}

/// The first event, if it comes in time. If it does not, the call is over.
fn first_event(events: &mut EventStream<Answer<'_>>, cancel: &Cancel) -> Option<Event> {
    let (came, waits) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(ENDPOINT_LIMIT) == Err(RecvTimeoutError::Timeout) {
                cancel.cancel();
            }
        });
        let event = events.next_event();
        drop(came);
        event.ok().flatten()
    })
}
