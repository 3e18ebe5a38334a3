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
}

impl ServerRequests {
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.waiting.iter().any(|waiting| waiting.id == *id)
    }

    /// Adds a request that is passed to the client, which `contains` none with this id.
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
            assert!(!requests.contains(&id(number)));
            requests.add(id(number), number == 3, origin);
        }
        assert!(!requests.has_room());
        assert_eq!(requests.remove(&id(3)), Some(true));
        assert!(requests.has_room() && requests.remove(&id(3)).is_none());
        assert!(requests.contains(&id(5)));
        requests.end(Origin::Call(7));
        assert_eq!(requests.waiting.len(), MAX_WAITING / 2 - 1);
        requests.end(Origin::Session { profile: 0 });
        assert_eq!(requests.waiting.len(), MAX_WAITING / 2 - 1, "another profile's");
        requests.end_sessions();
        assert!(requests.waiting.is_empty());
    }
}
