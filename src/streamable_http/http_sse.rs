//! `HttpSse`: a session over the transport of 2024-11-05. Messages go out by POST; every response comes back
//! on one GET stream, which one thread reads for all calls.

use crate::error::{Error, Kind};
use crate::json::members::Members;
use crate::mcp::id::Id;
use crate::sync::cancel::Cancel;
use crate::sync::monitor::{Monitor, WaitError};
use crate::upstream::request::RequestTarget;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct HttpSse {
    /// Where the server wants messages.
    pub(crate) target: RequestTarget,
    inbox: Arc<Monitor<Inbox>>,
    /// Ends the stream, and with it the session.
    stream: Arc<Cancel>,
}

#[derive(Default)]
struct Inbox {
    /// The ids of requests that wait for their responses. Two requests may have one id.
    expected: Vec<Id>,
    /// At most as many responses to an id as requests wait for it.
    responses: VecDeque<(Id, String)>,
    has_ended: bool,
}

impl Inbox {
    /// The expected id that a response with `id` belongs to. Some servers make a string of a number.
    fn expected_as(&self, id: Id) -> Option<Id> {
        if self.expected.contains(&id) {
            return Some(id);
        }
        let mut numbers = self.expected.iter().filter(|known| known.is_number_in(id.as_json()));
        numbers.next().filter(|_| numbers.next().is_none()).cloned()
    }
}

impl HttpSse {
    pub(crate) fn new(target: RequestTarget, stream: Arc<Cancel>) -> HttpSse {
        HttpSse { target, inbox: Monitor::new(Inbox::default()), stream }
    }

    /// Marks the stream as ended, and the session with it: no response is waited for any longer.
    pub(crate) fn end(&self) {
        self.inbox.update(|inbox| inbox.has_ended = true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.inbox.lock().has_ended
    }

    /// Closes the stream, which ends the session.
    pub(crate) fn close(&self) {
        self.stream.cancel();
    }

    /// Stores a response for the request that waits for it, if one does. An error without an id is for the only one.
    pub(crate) fn put(&self, text: String) {
        let Ok(members) = Members::parse(text.as_bytes()) else { return };
        let id = members.id.filter(|id| *id != "\"\"").and_then(Id::from_json);
        let is_error = members.error.is_some();
        self.inbox.update(|inbox| {
            let id = match (id, &inbox.expected[..]) {
                (Some(id), _) => inbox.expected_as(id),
                (None, [only]) if is_error => Some(only.clone()),
                (None, _) => None,
            };
            let Some(id) = id else { return };
            let count =
                |ids: &mut dyn Iterator<Item = &Id>| ids.filter(|known| **known == id).count();
            let kept = count(&mut inbox.responses.iter().map(|(id, _)| id));
            if kept < count(&mut inbox.expected.iter()) {
                inbox.responses.push_back((id, text));
            }
        });
    }

    /// Whether a response to one of these requests has come.
    pub(crate) fn has_response(&self, ids: &[Id]) -> bool {
        self.inbox.lock().responses.iter().any(|(id, _)| ids.contains(id))
    }

    /// Waits for the next response to one of these requests.
    ///
    /// # Errors
    /// `Unreachable`: the stream ended before. The server may have received the request.
    pub(crate) fn take(
        &self,
        ids: &[Id],
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<String, Error> {
        let taken = self.inbox.wait(deadline, cancel, |inbox| {
            let at = inbox.responses.iter().position(|(id, _)| ids.contains(id));
            match at.and_then(|at| inbox.responses.remove(at)) {
                Some((_, text)) => Some(Some(text)),
                None => inbox.has_ended.then_some(None),
            }
        });
        taken.map_err(WaitError::into_error)?.ok_or_else(|| {
            let what = "the server's event stream ended before the response";
            Error::new(Kind::Unreachable, what).hint("the request may have reached the server")
        })
    }
}

/// Requests that are expected to be responded to until this is dropped.
pub(crate) struct Expected<'a>(&'a HttpSse, &'a [Id]);

impl<'a> Expected<'a> {
    pub(crate) fn new(http_sse: &'a HttpSse, ids: &'a [Id]) -> Expected<'a> {
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
                inbox.responses.retain(|(known, _)| known != id);
            }
        }
    }
}
