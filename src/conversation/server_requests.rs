//! `ServerRequests`: requests of servers that the client has. The number of those that wait for its response is bounded.

use crate::mcp::id::Id;
use std::collections::VecDeque;

/// Maximum number of requests that wait.
pub(crate) const MAX_WAITING: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct ServerRequests {
    waiting: Vec<Waiting>,
    /// Those whose stream has ended, oldest first: the client may still respond.
    ended: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: Id,
    is_ping: bool,
    origin: Origin,
    session: SessionKey,
}

/// A session of a profile, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) profile: usize,
    pub(crate) number: u64,
}

/// The stream on which a request arrived. When it ends, the server no longer waits for the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The stream of the call with this serial number.
    Call(u64),
    /// A stream of the session of this profile.
    Session { profile: usize },
    /// The GET stream with this serial number, which the client opened.
    Stream {
        serial: u64,
        /// It goes on after the last event that the client has: the server sends again what was lost.
        is_resumed: bool,
    },
}

impl ServerRequests {
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Whether the client has the request with this id of this session already, which arrives on this stream.
    pub(crate) fn is_repeated(&self, id: &Id, origin: Origin, session: SessionKey) -> bool {
        let is_resumed = matches!(origin, Origin::Stream { is_resumed: true, .. });
        let is_it = |waiting: &&Waiting| waiting.id == *id && waiting.session == session;
        let mut of_id = self.waiting.iter().filter(is_it);
        of_id.any(|waiting| !is_resumed || waiting.origin == origin)
    }

    /// Adds a request that is passed to the client, of which none with this id waits.
    pub(crate) fn add(&mut self, id: Id, is_ping: bool, origin: Origin, session: SessionKey) {
        self.ended.retain(|ended| ended.id != id);
        self.waiting.push(Waiting { id, is_ping, origin, session });
    }

    /// Removes a request that was responded to or cancelled. Returns whether it was a `ping`; `None` if it did not wait.
    pub(crate) fn remove(&mut self, id: &Id) -> Option<bool> {
        self.ended.retain(|ended| ended.id != *id);
        let at = self.waiting.iter().position(|waiting| waiting.id == *id)?;
        Some(self.waiting.swap_remove(at).is_ping)
    }

    /// Ends the requests of a call's stream that has ended.
    pub(crate) fn end(&mut self, origin: Origin) {
        self.ended.extend(self.waiting.extract_if(.., |waiting| waiting.origin == origin));
        let excess = self.ended.len().saturating_sub(MAX_WAITING);
        self.ended.drain(..excess);
    }

    /// Removes the request of this id if it is from another session than this one of the same profile. Returns whether it was.
    pub(crate) fn remove_lost(&mut self, id: &Id, session: SessionKey) -> bool {
        let is_lost = self.all().any(|one| one.id == *id && one.session != session);
        if is_lost {
            self.remove(id);
        }
        is_lost
    }

    /// Removes the requests of the profile's sessions before this one, and returns their ids.
    pub(crate) fn take_lost(&mut self, session: SessionKey) -> Vec<Id> {
        let is_lost = |one: &&Waiting| {
            one.session.profile == session.profile && one.session.number != session.number
        };
        let lost: Vec<Id> = self.all().filter(is_lost).map(|one| one.id.clone()).collect();
        for id in &lost {
            self.remove(id);
        }
        lost
    }

    /// Removes the requests of the streams of all sessions.
    pub(crate) fn end_sessions(&mut self) {
        self.waiting.retain(|waiting| matches!(waiting.origin, Origin::Call(_)));
        self.ended.clear();
    }

    fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().chain(&self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Origin = Origin::Session { profile: 1 };
    const KEY: SessionKey = SessionKey { profile: 1, number: 1 };

    fn id(number: usize) -> Id {
        Id::from_json(&number.to_string()).expect("an id")
    }

    #[test]
    fn a_response_and_the_end_of_a_stream_make_room() {
        let mut requests = ServerRequests::default();
        for number in 0..MAX_WAITING {
            assert!(requests.has_room());
            let origin = if number % 2 == 0 { Origin::Call(7) } else { SESSION };
            assert!(!requests.is_repeated(&id(number), origin, KEY));
            requests.add(id(number), number == 3, origin, KEY);
        }
        assert!(!requests.has_room());
        assert_eq!(requests.remove(&id(3)), Some(true));
        assert!(requests.has_room() && requests.remove(&id(3)).is_none());
        assert!(requests.is_repeated(&id(5), SESSION, KEY));
        requests.end(Origin::Call(7));
        assert_eq!(requests.waiting.len(), MAX_WAITING / 2 - 1);
        requests.end_sessions();
        assert!(requests.waiting.is_empty());
    }

    #[test]
    fn what_is_sent_again_on_a_stream_that_the_client_resumed_is_new_to_it() {
        let mut requests = ServerRequests::default();
        let stream = |serial, is_resumed| Origin::Stream { serial, is_resumed };
        requests.add(id(1), false, Origin::Call(7), KEY);
        for (origin, is_repeated) in [
            (Origin::Call(7), true),
            (Origin::Call(8), true),
            (SESSION, true),
            (stream(9, false), true),
            (stream(9, true), false),
        ] {
            assert_eq!(requests.is_repeated(&id(1), origin, KEY), is_repeated, "{origin:?}");
        }
        requests.remove(&id(1));
        requests.add(id(1), false, stream(9, true), KEY);
        assert!(requests.is_repeated(&id(1), stream(9, true), KEY), "twice on one stream");
        assert!(!requests.is_repeated(&id(1), stream(10, true), KEY));
    }

    #[test]
    fn a_session_takes_its_requests_with_it() {
        let next = SessionKey { number: 2, ..KEY };
        let mut requests = ServerRequests::default();
        requests.add(id(1), false, SESSION, KEY);
        requests.add(id(2), false, Origin::Call(7), KEY);
        requests.add(id(3), false, Origin::Call(8), KEY);
        requests.add(id(4), false, SESSION, next);
        requests.add(id(5), false, SESSION, SessionKey { profile: 0, ..KEY });
        requests.end(Origin::Call(7));
        requests.end(Origin::Call(8));
        requests.remove(&id(3));
        assert!(
            !requests.is_repeated(&id(1), SESSION, next) && !requests.remove_lost(&id(4), next)
        );
        assert_eq!(requests.take_lost(next), [id(1), id(2)]);
        assert!(requests.is_repeated(&id(4), SESSION, next) && requests.take_lost(next).is_empty());
        assert!(requests.remove_lost(&id(4), KEY) && requests.remove(&id(4)).is_none());
        for number in 0..MAX_WAITING {
            requests.add(id(number), false, Origin::Call(9), KEY);
            requests.end(Origin::Call(9));
        }
        requests.add(id(1000), false, Origin::Call(9), KEY);
        requests.end(Origin::Call(9));
        assert_eq!(requests.ended.len(), MAX_WAITING);
    }
}
