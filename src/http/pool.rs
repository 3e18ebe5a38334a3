//! `Pool`: connections that are kept for the next request: which of them may be used, and for how long they are kept.

use crate::http::connection_watch::{ConnectionWatch, Waker};
use crate::http::wire::connection::Connection;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};
use ureq::BodyReader;

/// After a kept connection turned out to be closed, others are not trusted for this time.
const DISTRUST_PERIOD: Duration = Duration::from_secs(60);

/// A server that closes a connection this soon after a response does so for the number of requests, not for its idle time.
const PROMPT_CLOSE: Duration = Duration::from_secs(1);

/// Maximum number of idle connections that are kept.
const MAX_IDLE: usize = 16;

/// Maximum time for which a connection is kept; AWS load balancers close theirs after 60 s.
pub(crate) const MAX_IDLE_AGE: Duration = Duration::from_secs(50);

/// Minimum time between two sweeps. A busy connection is used again within it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of connections that wait for the end of a response that is not needed.
const MAX_UNFINISHED: usize = 4;

/// Maximum time that each waits for it.
const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum size of it.
const MAX_UNREAD_BYTES: usize = 4096;

/// Stack of the sweeper, which only sleeps and closes connections.
const STACK_BYTES: usize = 128 * 1024;

pub(crate) struct Pool {
    state: Arc<Mutex<State>>,
    /// False if every connection is for one request.
    keeps: bool,
}

#[derive(Default)]
struct State {
    /// Connections that are not in use, the most recently used last.
    idle: Vec<Idle>,
    /// Number of them with an unread body.
    unfinished: usize,
    /// When a kept connection last turned out to be dead after a request was sent on it.
    dead_since: Option<Instant>,
    request_limit: Option<RequestLimit>,
    sweeper: Sweeper,
}

/// The number of requests after which the server closes a connection, without announcing it.
struct RequestLimit {
    requests: u32,
    /// When it last did.
    seen: Instant,
}

struct Idle {
    since: Instant,
    /// Number of requests that were sent on the connection.
    requests: u32,
    connection: Connection,
    /// Of the last response. In a box, since there is rarely one.
    unread: Option<Box<UnreadBody>>,
}

/// The body of a response whose status said everything.
pub(crate) struct UnreadBody {
    body: BodyReader<'static>,
    left: usize,
}

/// Whether an unread body has ended.
enum Finished {
    Yes,
    NotYet,
    /// It broke off or is too large.
    Never,
}

/// The thread that closes what is kept for too long. There is one while connections are idle.
#[derive(Default)]
enum Sweeper {
    #[default]
    Absent,
    /// It looks at the connections within `SWEEP_INTERVAL`.
    Resting,
    /// It waits until one of the connections that it has seen is closed by the server or has been kept for too long.
    Watching(#[expect(dead_code, reason = "dropping it wakes the thread")] Waker),
}

impl Pool {
    pub(crate) fn new(keeps: bool) -> Pool {
        Pool { state: Arc::default(), keeps }
    }

    /// A kept connection, and since when it was idle. For a request that must not be lost: none while kept connections are not
    /// trusted, and none that the server is likely to close.
    pub(crate) fn acquire(&self, is_idempotent: bool) -> Option<(Connection, Instant)> {
        if !self.keeps {
            return None;
        }
        let mut state = lock(&self.state);
        let state = &mut *state;
        if state.unfinished > 0 {
            state.idle.retain_mut(|idle| !matches!(idle.finish(), Finished::Never));
            state.count_unfinished();
        }
        if !is_idempotent && state.dead_since.is_some_and(|at| at.elapsed() < DISTRUST_PERIOD) {
            // Each request drops one, so that all are replaced.
            state.idle.pop();
            state.count_unfinished();
            return None;
        }
        let limit = if is_idempotent { u32::MAX } else { state.request_limit() };
        let is_usable = |idle: &Idle| idle.unread.is_none() && idle.requests < limit;
        let at = state.idle.iter().rposition(is_usable)?;
        let Idle { connection, since, .. } = state.idle.remove(at);
        Some((connection, since))
    }

    /// Keeps a connection. Its unread body is read as it arrives, if it arrives soon.
    pub(crate) fn release(&self, connection: Connection, unread: Option<UnreadBody>) {
        let Some(socket) = connection.socket().filter(|_| self.keeps) else { return };
        let (requests, unread) = (socket.requests(), unread.map(Box::new));
        drop(socket);
        let mut idle = Idle { since: Instant::now(), requests, connection, unread };
        if matches!(idle.finish(), Finished::Never) || idle.connection.socket().is_none() {
            return;
        }
        let mut state = lock(&self.state);
        let limit = state.request_limit();
        if idle.requests >= limit && state.idle.iter().any(|other| other.requests >= limit) {
            // One that the server is likely to close is enough to see whether it does.
            drop(state);
            return;
        }
        let mut given_up = None;
        if idle.unread.is_some() {
            given_up = state.oldest_unfinished();
            state.unfinished += 1;
        }
        state.idle.push(idle);
        // Replacing `Watching` wakes the sweeper, which does not watch this connection yet.
        let sweeper = std::mem::replace(&mut state.sweeper, Sweeper::Resting);
        drop(state);
        drop(given_up);
        if matches!(sweeper, Sweeper::Absent) && self.start_sweeper().is_err() {
            // Without a sweeper no connection would ever be closed.
            drop(lock(&self.state).end_sweeping());
        }
    }

    /// A kept connection was dead, which was noticed only after a request was sent on it.
    pub(crate) fn record_dead_connection(&self) {
        lock(&self.state).dead_since = Some(Instant::now());
    }

    /// The server had closed a kept connection after these requests, which was noticed before another was sent.
    pub(crate) fn record_closed_connection(&self, requests: u32, idle_since: Instant) {
        if idle_since.elapsed() < PROMPT_CLOSE {
            let mut state = lock(&self.state);
            let requests = requests.min(state.request_limit());
            state.request_limit = Some(RequestLimit { requests, seen: Instant::now() });
        }
    }

    fn start_sweeper(&self) -> io::Result<()> {
        let state = Arc::downgrade(&self.state);
        let sweeper = thread::Builder::new().name("idle".to_owned()).stack_size(STACK_BYTES);
        sweeper.spawn(move || sweep(&state)).map(drop)
    }
}

impl UnreadBody {
    pub(crate) fn new(body: BodyReader<'static>) -> UnreadBody {
        UnreadBody { body, left: MAX_UNREAD_BYTES }
    }
}

impl Idle {
    /// Reads what has arrived of the unread body.
    fn finish(&mut self) -> Finished {
        let Some(unread) = &mut self.unread else { return Finished::Yes };
        self.connection.call_limits().set_nonblocking();
        let mut bytes = [0; 512];
        loop {
            match unread.body.read(&mut bytes) {
                Ok(0) => {
                    self.unread = None;
                    return Finished::Yes;
                }
                Ok(count) if count <= unread.left => unread.left -= count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Finished::NotYet;
                }
                Ok(_) | Err(_) => return Finished::Never,
            }
        }
    }

    /// Whether it can be used, or may become usable.
    fn is_good(&mut self) -> bool {
        let age = self.since.elapsed();
        match self.finish() {
            Finished::Yes => {
                age < MAX_IDLE_AGE
                    && self.connection.socket().is_some_and(|socket| socket.is_silent())
            }
            Finished::NotYet => age < UNFINISHED_TIMEOUT,
            Finished::Never => false,
        }
    }
}

impl State {
    /// The number of requests on a connection from which on the server is likely to close it.
    fn request_limit(&mut self) -> u32 {
        let Some(RequestLimit { requests, seen }) = self.request_limit else { return u32::MAX };
        // It closed connections for another reason, such as a restart, if one with as many requests stays open.
        let is_refuted = self.idle.iter_mut().any(|idle| {
            idle.requests >= requests && idle.since.elapsed() >= PROMPT_CLOSE && idle.is_good()
        });
        if is_refuted || seen.elapsed() >= DISTRUST_PERIOD {
            self.request_limit = None;
            return u32::MAX;
        }
        requests
    }

    /// Removes the oldest with an unread body if there are too many.
    fn oldest_unfinished(&mut self) -> Option<Idle> {
        if self.unfinished < MAX_UNFINISHED {
            return None;
        }
        let oldest = self.idle.iter().position(|idle| idle.unread.is_some())?;
        self.unfinished -= 1;
        Some(self.idle.remove(oldest))
    }

    fn count_unfinished(&mut self) {
        self.unfinished = self.idle.iter().filter(|idle| idle.unread.is_some()).count();
    }

    /// Removes all connections, to be closed, and the sweeper.
    fn end_sweeping(&mut self) -> Vec<Idle> {
        self.sweeper = Sweeper::Absent;
        self.unfinished = 0;
        std::mem::take(&mut self.idle)
    }

    /// Removes the connections that are not kept any longer.
    fn take_old(&mut self) -> Vec<Idle> {
        let mut surplus = self.idle.len().saturating_sub(MAX_IDLE);
        let mut old = Vec::new();
        for mut idle in std::mem::take(&mut self.idle) {
            let is_surplus = surplus > 0 && idle.since.elapsed() >= SWEEP_INTERVAL;
            surplus = surplus.saturating_sub(1);
            if !is_surplus && idle.is_good() {
                self.idle.push(idle);
            } else {
                if let Some(limit) = &mut self.request_limit
                    && idle.requests >= limit.requests
                    && idle.since.elapsed() < MAX_IDLE_AGE
                    && !is_surplus
                {
                    limit.seen = Instant::now();
                }
                old.push(idle);
            }
        }
        self.count_unfinished();
        old
    }

    /// Whether nothing is to be done until a connection closes or grows old.
    fn is_settled(&self) -> bool {
        self.idle.len() <= MAX_IDLE && self.unfinished == 0
    }
}

/// Closes old connections until none is idle or the pool is gone.
fn sweep(pool: &Weak<Mutex<State>>) {
    loop {
        Cancel::default().sleep(SWEEP_INTERVAL);
        let Some(pool) = pool.upgrade() else { return };
        let mut state = lock(&pool);
        let old = state.take_old();
        let watch = match state.idle.first() {
            None => {
                state.end_sweeping();
                return;
            }
            Some(_) if !state.is_settled() => None,
            Some(oldest) => {
                let left = MAX_IDLE_AGE.saturating_sub(oldest.since.elapsed());
                let sockets = state.idle.iter().filter_map(|idle| idle.connection.socket());
                let Ok((watch, waker)) = ConnectionWatch::new(sockets.collect(), left) else {
                    // There are no descriptors for it: the kept connections are closed, so that others get theirs.
                    state.end_sweeping();
                    return;
                };
                state.sweeper = Sweeper::Watching(waker);
                Some(watch)
            }
        };
        drop(state);
        drop(pool);
        drop(old);
        if let Some(watch) = watch {
            watch.wait();
        }
    }
}
