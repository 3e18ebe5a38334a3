//! `ServerRequests`: requests of servers that wait for the client's response. Their number is bounded.

use crate::mcp::id::Id;

/// Maximum number of requests that wait.
pub(crate) const MAX_WAITING: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct ServerRequests {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: Id,
    is_ping: bool,
    origin: Origin,
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

    /// Whether the client has the request with this id already, which arrives on this stream.
    pub(crate) fn is_repeated(&self, id: &Id, origin: Origin) -> bool {
        let is_resumed = matches!(origin, Origin::Stream { is_resumed: true, .. });
        let mut of_id = self.waiting.iter().filter(|waiting| waiting.id == *id);
        of_id.any(|waiting| !is_resumed || waiting.origin == origin)
    }

    /// Adds a request that is passed to the client, of which none with this id waits.
    pub(crate) fn add(&mut self, id: Id, is_ping: bool, origin: Origin) {
        self.waiting.push(Waiting { id, is_ping, origin });
    }

    /// Removes a request that was responded to or cancelled. Returns whether it was a `ping`; `None` if it did not wait.
    pub(crate) fn remove(&mut self, id: &Id) -> Option<bool> {
        let at = self.waiting.iter().position(|waiting| waiting.id == *id)?;
        Some(self.waiting.swap_remove(at).is_ping)
    }

    /// Removes the requests of a stream that has ended.
    pub(crate) fn end(&mut self, origin: Origin) {
        self.waiting.retain(|waiting| waiting.origin != origin);
    }

    /// Removes the requests of the streams of all sessions.
    pub(crate) fn end_sessions(&mut self) {
        self.waiting.retain(|waiting| matches!(waiting.origin, Origin::Call(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Origin = Origin::Session { profile: 1 };

    fn id(number: usize) -> Id {
        Id::from_json(&number.to_string()).expect("an id")
    }

    #[test]
    fn a_response_and_the_end_of_a_stream_make_room() {
        let mut requests = ServerRequests::default();
        for number in 0..MAX_WAITING {
            assert!(requests.has_room());
            let origin = if number % 2 == 0 { Origin::Call(7) } else { SESSION };
            assert!(!requests.is_repeated(&id(number), origin));
            requests.add(id(number), number == 3, origin);
        }
        assert!(!requests.has_room());
        assert_eq!(requests.remove(&id(3)), Some(true));
        assert!(requests.has_room() && requests.remove(&id(3)).is_none());
        assert!(requests.is_repeated(&id(5), SESSION));
        requests.end(Origin::Call(7));
        assert_eq!(requests.waiting.len(), MAX_WAITING / 2 - 1);
        requests.end(Origin::Session { profile: 0 });
        assert_eq!(requests.waiting.len(), MAX_WAITING / 2 - 1, "another profile's");
        requests.end_sessions();
        assert!(requests.waiting.is_empty());
    }

    #[test]
    fn what_is_sent_again_on_a_stream_that_the_client_resumed_is_new_to_it() {
        let mut requests = ServerRequests::default();
        let stream = |serial, is_resumed| Origin::Stream { serial, is_resumed };
        requests.add(id(1), false, Origin::Call(7));
        for (origin, is_repeated) in [
            (Origin::Call(7), true),
            (Origin::Call(8), true),
            (SESSION, true),
            (stream(9, false), true),
            (stream(9, true), false),
        ] {
            assert_eq!(requests.is_repeated(&id(1), origin), is_repeated, "{origin:?}");
        }
        requests.remove(&id(1));
        requests.add(id(1), false, stream(9, true));
        assert!(requests.is_repeated(&id(1), stream(9, true)), "twice on one stream");
        assert!(!requests.is_repeated(&id(1), stream(10, true)));
    }
}
