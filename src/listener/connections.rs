//! `Connections`: all open connections and their states. Bounds their number, notices clients that disconnect during a request,
//! and closes everything when the process ends.

use crate::listener::stream::Stream;
use crate::sync::cancel::Cancel;
use crate::sync::{lock, wait_timeout_while};
use std::collections::HashMap;
use std::fmt;
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Maximum numbers of connections without and with a standing stream.
pub(crate) const MAX_CONNECTIONS: usize = 256;
pub(crate) const MAX_STANDING_STREAMS: usize = 4096;

/// Time that a new connection gets for its first request before it may have to make room for another one.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

pub(crate) struct Connections {
    state: Mutex<State>,
    /// A request or a connection has ended.
    ended: Condvar,
    wake_watch: Box<dyn Fn() + Send + Sync>,
}

/// A request whose client is watched.
#[cfg_attr(not(unix), expect(dead_code, reason = "only the watch of Unix reads all of it"))]
pub(crate) struct Watched {
    number: u64,
    pub(crate) stream: Arc<Stream>,
    pub(crate) cancel: Arc<Cancel>,
    /// The client has sent more than this request.
    pub(crate) has_input: bool,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, Connection>,
    next_number: u64,
    is_closing: bool,
    /// The number of changes to running requests.
    changes: u64,
    /// The watch waits until it is woken.
    watch_sleeps: bool,
}

struct Connection {
    stream: Arc<Stream>,
    request: Option<Running>,
    /// The start of the wait for a request; `None` from its head to its response.
    idle_since: Option<Instant>,
    /// Whether it has carried a request and its response.
    has_served: bool,
    /// Closed to make room for another one.
    is_given_up: bool,
}

/// A request in progress.
struct Running {
    cancel: Arc<Cancel>,
    /// A stream of events that stays open, in principle forever.
    is_standing: bool,
    /// The client has sent more, which is read after the response.
    has_input: bool,
}

/// One open connection. Dropping it closes it.
pub(crate) struct OpenConnection {
    connections: Arc<Connections>,
    number: u64,
    stream: Arc<Stream>,
}

impl Connections {
    /// `wake_watch` is called when a request begins while the watch sleeps.
    pub(crate) fn new(wake_watch: impl Fn() + Send + Sync + 'static) -> Arc<Connections> {
        Arc::new(Connections {
            state: Mutex::default(),
            ended: Condvar::new(),
            wake_watch: Box::new(wake_watch),
        })
    }

    /// Takes a connection in. If there are too many, the one that has waited longest for a request makes room. `None`: none
    /// waits for one, or the process is ending.
    pub(crate) fn admit(
        self: &Arc<Connections>,
        stream: &Arc<Stream>,
    ) -> Option<Arc<OpenConnection>> {
        let mut state = lock(&self.state);
        if state.is_closing {
            return None;
        }
        let others = state.open.values().filter(|open| !open.is_standing() && !open.is_given_up);
        if others.count() >= MAX_CONNECTIONS {
            let waiting = state.open.values_mut();
            let waiting = waiting.filter(|open| open.may_make_room() && !open.is_given_up);
            let longest = waiting.min_by_key(|open| open.idle_since)?;
            longest.is_given_up = true;
            longest.stream.shutdown(Shutdown::Both);
        }
        let number = state.next_number;
        state.next_number += 1;
        let connection = Connection {
            stream: Arc::clone(stream),
            request: None,
            idle_since: Some(Instant::now()),
            has_served: false,
            is_given_up: false,
        };
        state.open.insert(number, connection);
        drop(state);
        Some(Arc::new(OpenConnection {
            connections: Arc::clone(self),
            number,
            stream: Arc::clone(stream),
        }))
    }

    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.state).is_closing
    }

    /// Closes idle connections and standing streams. Requests in progress continue.
    pub(crate) fn begin_closing(&self) {
        let mut state = lock(&self.state);
        state.is_closing = true;
        let mut standing = Vec::new();
        for connection in state.open.values() {
            match &connection.request {
                None => connection.stream.shutdown(Shutdown::Read),
                Some(running) if running.is_standing => standing.push(Arc::clone(&running.cancel)),
                Some(_) => {}
            }
        }
        drop(state);
        for cancel in standing {
            cancel.cancel();
        }
    }

    /// Waits until no request is in progress. False: some still are at the deadline.
    pub(crate) fn wait_until_answered(&self, deadline: Instant) -> bool {
        self.wait(deadline, |state| state.open.values().all(|open| open.request.is_none()))
    }

    /// Waits until all connections are closed.
    pub(crate) fn wait_until_closed(&self, deadline: Instant) {
        self.wait(deadline, |state| state.open.is_empty());
    }

    fn wait(&self, deadline: Instant, is_over: fn(&State) -> bool) -> bool {
        let limit = deadline.saturating_duration_since(Instant::now());
        let state = lock(&self.state);
        is_over(&wait_timeout_while(&self.ended, state, limit, |state| !is_over(state)))
    }

    /// Cancels all requests.
    pub(crate) fn cancel_all(&self) {
        let state = lock(&self.state);
        let running = state.open.values().filter_map(|open| open.request.as_ref());
        let cancels: Vec<Arc<Cancel>> =
            running.map(|running| Arc::clone(&running.cancel)).collect();
        drop(state);
        for cancel in cancels {
            cancel.cancel();
        }
    }

    /// The requests whose clients are to be watched, and the number of changes so far. `sleeps`: the watch now waits until it is woken.
    #[cfg_attr(not(unix), allow(dead_code, reason = "only the watch calls it, which needs poll"))]
    pub(crate) fn watched(&self, sleeps: bool) -> (Vec<Watched>, u64) {
        let mut state = lock(&self.state);
        state.watch_sleeps = sleeps;
        let watched = state.open.iter().filter_map(|(number, open)| {
            let running = open.request.as_ref().filter(|open| !open.cancel.is_cancelled())?;
            let (stream, cancel) = (Arc::clone(&open.stream), Arc::clone(&running.cancel));
            Some(Watched { number: *number, stream, cancel, has_input: running.has_input })
        });
        (watched.collect(), state.changes)
    }

    /// The client has sent more than this request.
    #[cfg_attr(not(unix), allow(dead_code, reason = "only the watch calls it, which needs poll"))]
    pub(crate) fn note_input(&self, watched: &Watched) {
        let mut state = lock(&self.state);
        let open = state.open.get_mut(&watched.number);
        let running = open.and_then(|open| open.request.as_mut());
        if let Some(running) =
            running.filter(|running| Arc::ptr_eq(&running.cancel, &watched.cancel))
        {
            running.has_input = true;
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Connections")
    }
}

impl Connection {
    /// Whether it waits for a request that its client is not just about to send.
    fn may_make_room(&self) -> bool {
        let is_due = |since: Instant| self.has_served || since.elapsed() >= FIRST_REQUEST_GRACE;
        self.idle_since.is_some_and(is_due)
    }

    fn is_standing(&self) -> bool {
        self.request.as_ref().is_some_and(|running| running.is_standing)
    }
}

impl OpenConnection {
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.connections.is_closing()
    }

    /// A request that may be sent here is being received.
    pub(crate) fn receive(&self) {
        if let Some(connection) = lock(&self.connections.state).open.get_mut(&self.number) {
            connection.idle_since = None;
        }
    }

    /// Registers a request in progress. `cancel` fires when the client disconnects or the process ends. False: the process is
    /// ending, or the connection has had to make room, and its client would not see the response.
    pub(crate) fn begin(&self, cancel: &Arc<Cancel>) -> bool {
        let mut state = lock(&self.connections.state);
        if state.is_closing {
            return false;
        }
        let running = Running { cancel: Arc::clone(cancel), is_standing: false, has_input: false };
        let connection = state.open.get_mut(&self.number).filter(|open| !open.is_given_up);
        let Some(connection) = connection else { return false };
        connection.request = Some(running);
        state.changes += 1;
        let wakes = std::mem::take(&mut state.watch_sleeps);
        drop(state);
        if wakes {
            (self.connections.wake_watch)();
        }
        true
    }

    /// The response is a stream that stays open. It does not count as a connection, and is the first to end with the process.
    /// False: there are too many.
    pub(crate) fn set_standing(&self) -> bool {
        let mut state = lock(&self.connections.state);
        let standing = state.open.values().filter(|open| open.is_standing()).count();
        let is_closing = state.is_closing;
        let connection = state.open.get_mut(&self.number);
        let Some(running) = connection.and_then(|connection| connection.request.as_mut()) else {
            return false;
        };
        running.is_standing |= standing < MAX_STANDING_STREAMS && !is_closing;
        running.is_standing
    }

    /// The next request is waited for.
    pub(crate) fn rest(&self) {
        if let Some(connection) = lock(&self.connections.state).open.get_mut(&self.number) {
            (connection.idle_since, connection.has_served) = (Some(Instant::now()), true);
        }
    }

    /// Ends the request in progress.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.connections.state);
        if let Some(connection) = state.open.get_mut(&self.number) {
            connection.request = None;
        }
        state.changes += 1;
        if state.is_closing {
            self.connections.ended.notify_all();
        }
    }

    /// Closes the connection in both directions.
    pub(crate) fn close(&self) {
        self.stream.shutdown(Shutdown::Both);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.close();
        let mut state = lock(&self.connections.state);
        state.open.remove(&self.number);
        state.changes += 1;
        if state.is_closing {
            self.connections.ended.notify_all();
        }
    }
}

impl fmt::Debug for OpenConnection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "OpenConnection({})", self.number)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_request_on_a_connection_that_made_room_is_not_begun() {
        let (stream, _client) = UnixStream::pair().expect("a pair of sockets");
        let stream = Arc::new(Stream::Unix(stream));
        let connections = Connections::new(|| ());
        let admit = || connections.admit(&stream).expect("there is room");
        let all: Vec<_> = (0..MAX_CONNECTIONS).map(|_| admit()).collect();
        all[0].rest();
        assert!(connections.admit(&stream).is_some(), "the first makes room");
        assert!(!all[0].begin(&Cancel::new()));
        assert!(all[1].begin(&Cancel::new()));
    }
}
