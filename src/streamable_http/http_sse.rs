//! `HttpSse`: the transport of 2024-11-05. Messages go out by POST; everything comes back on one GET stream.
//!
//! The thread that sent `initialize` reads that stream to its end, which is the session's. Until it is answered the stream
//! belongs to that call, with its time limit and its cancellation; from then on to the session.

use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::{Response, read_error};
use crate::json::members::Members;
use crate::mcp::id::Id;
use crate::mcp::session::Session;
use crate::streamable_http::exchange::{Exchanger, PreparedMessage, is_idempotent};
use crate::streamable_http::failure::{Failed, Sent};
use crate::streamable_http::relay::{Sink, is_event_stream};
use crate::sync::cancel::Cancel;
use crate::sync::monitor::{Monitor, WaitError};
use crate::upstream::signed_client::{SignedRequest, SignedTarget};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The server must say within this time where to send messages.
const ENDPOINT_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct HttpSse {
    place: SignedTarget,
    inbox: Arc<Monitor<Inbox>>,
    /// Ends the stream, and with it the session.
    stream: Arc<Cancel>,
}

#[derive(Default)]
struct Inbox {
    /// Ids that somebody waits for.
    expected: Vec<Id>,
    /// At most as many for an id as wait for it: two requests may have one id.
    answers: VecDeque<(Id, String)>,
    is_over: bool,
}

impl Inbox {
    /// The id that an answer is waited for under. Some servers make a string of a number.
    fn expected_as(&self, id: Id) -> Option<Id> {
        if self.expected.contains(&id) {
            return Some(id);
        }
        let mut numbers = self.expected.iter().filter(|known| known.is_number_in(id.as_json()));
        numbers.next().filter(|_| numbers.next().is_none()).cloned()
    }
}

impl HttpSse {
    fn new(place: SignedTarget, stream: Arc<Cancel>) -> HttpSse {
        HttpSse { place, inbox: Monitor::new(Inbox::default()), stream }
    }

    /// Ends the session.
    pub(crate) fn close(&self) {
        self.stream.cancel();
    }

    /// An answer came; it is kept if somebody waits for it.
    fn put(&self, text: String) {
        let members = Members::parse(text.as_bytes()).ok();
        let Some(id) = members.and_then(|members| members.id.and_then(Id::from_json)) else {
            return;
        };
        self.inbox.update(|inbox| {
            let Some(id) = inbox.expected_as(id) else { return };
            let count =
                |ids: &mut dyn Iterator<Item = &Id>| ids.filter(|known| **known == id).count();
            let kept = count(&mut inbox.answers.iter().map(|(id, _)| id));
            if kept < count(&mut inbox.expected.iter()) {
                inbox.answers.push_back((id, text));
            }
        });
    }

    /// The next answer to one of these.
    fn take(
        &self,
        ids: &[Id],
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<String, Error> {
        let taken = self.inbox.wait(deadline, cancel, |inbox| {
            let at = inbox.answers.iter().position(|(id, _)| ids.contains(id));
            match at.and_then(|at| inbox.answers.remove(at)) {
                Some((_, text)) => Some(Some(text)),
                None => inbox.is_over.then_some(None),
            }
        });
        taken.map_err(wait_ended)?.ok_or_else(|| {
            Error::new(
                Kind::Unreachable,
                "the event stream of the server ended, and the session with it",
            )
            .hint("restart the server in the MCP client")
        })
    }
}

/// Ids that are waited for, until this goes.
struct Expected<'a>(&'a HttpSse, &'a [Id]);

impl<'a> Expected<'a> {
    fn new(http_sse: &'a HttpSse, ids: &'a [Id]) -> Expected<'a> {
        http_sse.inbox.lock().expected.extend_from_slice(ids);
        Expected(http_sse, ids)
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        let mut inbox = self.0.inbox.lock();
        for id in self.1 {
            if let Some(at) = inbox.expected.iter().position(|known| known == id) {
                inbox.expected.swap_remove(at);
            }
            if !inbox.expected.contains(id) {
                inbox.answers.retain(|(known, _)| known != id);
            }
        }
    }
}

/// The session ends with its stream, however that ends.
struct UntilOver<'a> {
    conversation: &'a Exchanger,
    http_sse: Arc<HttpSse>,
    /// The server has answered `initialize` with a result.
    is_begun: Cell<bool>,
}

impl Drop for UntilOver<'_> {
    fn drop(&mut self) {
        self.http_sse.inbox.update(|inbox| inbox.is_over = true);
        if self.is_begun.get() {
            self.conversation.log.debug("the event stream of the server ended");
        }
    }
}

impl Exchanger {
    /// After a refused `initialize`: an older server gives a stream to a GET, and on it another URL for messages.
    /// If it does not, `refusal` is what happened.
    pub(crate) fn fall_back_to_http_sse(
        &self,
        errand: &PreparedMessage<'_>,
        credentials: &Arc<Credentials>,
        refusal: Box<Failed>,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Box<Failed>> {
        let PreparedMessage { message, cancel, deadline, .. } = *errand;
        let stream = Cancel::new();
        let ending = Arc::clone(&stream);
        let until_answered = cancel.on_cancel(move || ending.cancel());
        let limit = [deadline, Instant::now().checked_add(ENDPOINT_LIMIT)];
        let limit = limit.into_iter().flatten().min();
        let opened = self.upstream.get(&Session::default(), None, limit, true, &stream);
        let opened = match opened {
            Ok(answer) if answer.status() == 200 && is_event_stream(&answer) => answer,
            Err(error) if error.kind() == Kind::Cancelled => return Err(Failed::for_good(error)),
            _ => return Err(refusal),
        };
        let mut events = EventStream::new(opened, self.max_message_bytes, read_error);
        let place = match self.endpoint_of(&mut events) {
            Ok(Some(place)) => place,
            Ok(None) => return Err(refusal),
            Err(_) if stream.is_cancelled() => return Err(cancelled()),
            Err(error) => return Err(Failed::for_good(error)),
        };
        events.reader().set_deadline(deadline);
        let http_sse = Arc::new(HttpSse::new(place, Arc::clone(&stream)));
        let session = UntilOver {
            conversation: self,
            http_sse: Arc::clone(&http_sse),
            is_begun: Cell::new(false),
        };
        let account = credentials.account.as_deref();
        let offered = self.offer(Session::offered(None, account), Some(Arc::clone(&http_sse)));
        self.post_by_http_sse(&http_sse, errand, credentials)?;

        let on_initialized = |version| {
            session.is_begun.set(true);
            self.session_is_begun(errand.as_written, &offered.offer, version);
        };
        let on_stray = |text| http_sse.put(text);
        let mut relay = self.relay(message, None, Some(&on_initialized), deliver);
        relay.on_stray = Some(&on_stray);
        relay.owns_stream = false;
        relay.held_back = &[];
        relay.may_lose_session = false;
        let mut until_answered = Some(until_answered);
        loop {
            match events.next_event() {
                Ok(Some(event)) if event.is_message() => {
                    relay.take_event(event.data).map_err(Failed::for_good)?;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) if relay.is_done() => return Ok(()),
                Ok(None) | Err(_) if stream.is_cancelled() => return Err(cancelled()),
                Ok(None) => return Err(refusal),
                Err(error) => return Err(Failed::for_good(error)),
            }
            if relay.is_done() && until_answered.take().is_some() {
                if !session.is_begun.get() {
                    return Ok(());
                }
                events.reader().set_deadline(None);
            }
        }
    }

    /// Where the server wants messages; `None` where it says something else first, or nothing.
    fn endpoint_of(
        &self,
        events: &mut EventStream<Response<'_>>,
    ) -> Result<Option<SignedTarget>, Error> {
        let event = match events.next_event() {
            Ok(Some(event)) if event.name == "endpoint" => event,
            Err(error) if error.kind() == Kind::TimedOut => {
                let what = "the server's event stream did not say in time where to send messages";
                return Err(Error::new(Kind::TimedOut, what).hint(
                    "is this the URL of an MCP endpoint? raise --timeout if the server is slow",
                ));
            }
            _ => return Ok(None),
        };
        let reference = String::from_utf8_lossy(&event.data);
        let endpoint = self.upstream.endpoint().join(&reference).map_err(|error| {
            let why = error.message();
            let what = format!("the server's endpoint event is not followed: {why}");
            Error::new(Kind::InvalidResponse, what)
        })?;
        self.log.debug(format_args!("the server speaks HTTP+SSE (2024-11-05) at {endpoint}"));
        Ok(Some(self.upstream.place_at(&endpoint)))
    }

    /// A message to such a server, and its answers from the stream that another thread reads.
    pub(crate) fn exchange_by_http_sse(
        &self,
        http_sse: &HttpSse,
        errand: &PreparedMessage<'_>,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Box<Failed>> {
        let PreparedMessage { message, cancel, deadline, .. } = *errand;
        let credentials = self.upstream.credentials(deadline, cancel).map_err(Failed::for_good)?;
        let _expected = Expected::new(http_sse, message.ids());
        let page = self.page(message);
        self.post_by_http_sse(http_sse, errand, &credentials)?;
        let mut relay = self.relay(message, page, None, deliver);
        relay.owns_stream = false;
        relay.held_back = &[];
        relay.may_lose_session = false;
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
        errand: &PreparedMessage<'_>,
        credentials: &Arc<Credentials>,
    ) -> Result<(), Box<Failed>> {
        let outgoing = SignedRequest {
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

fn cancelled() -> Box<Failed> {
    Failed::for_good(wait_ended(WaitError::Cancelled))
}

fn wait_ended(error: WaitError) -> Error {
    match error {
        WaitError::Cancelled => Error::new(Kind::Cancelled, "the call was cancelled"),
        WaitError::TimedOut => Error::new(Kind::TimedOut, "the time limit of the request passed")
            .hint("raise --timeout, or --tool-timeout for tools/call"),
    }
}
