//! `Pool`: the connections to one server that are kept for later requests, and one that is opened before a request needs it.
//!
//! On a long link a new connection costs two round trips, and the first request a third. So one is opened while credentials are
//! looked up, and for some minutes after a request one is open: when it is closed or has grown old, another replaces it.

use crate::http::connection_watch::{ConnectionWatch, Waker};
use crate::http::idle::{Idle, UnreadBody};
use crate::http::idle_set::{End, IdleSet};
use crate::http::proxy::tunnel::TunnelError;
use crate::http::request::Request;
use crate::http::wire::connection::{Connection, Destination};
use crate::log::Log;
use crate::sync::cancel::Cancel;
use crate::sync::monitor::{Monitor, WaitError};
use crate::sync::spawn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use ureq::Timeout;

/// Time after a request in which a connection is kept open for the next.
const READY_PERIOD: Duration = Duration::from_secs(5 * 60);

/// Time after which a connection is replaced that has grown old. The server sees one at a time.
const RENEW_DELAY: Duration = Duration::from_secs(1);

/// Time after which a connection is replaced that the server closed, by the number of earlier ones in a row that were closed soon although no
/// request was sent on them. A server that closes more of them does not want them.
const REOPEN_DELAYS: [Duration; 3] =
    [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(30)];

/// Time in which a connection usually opens. One that takes longer may have met a network that was not up yet, or a host that hangs:
/// a request opens another then.
const USUAL_OPENING_TIME: Duration = Duration::from_secs(3);

/// Time for which a refusal of the proxy is the error of the next request.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(10);

/// Minimum time between two sweeps. A busy connection is used again within it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    destination: Arc<Destination>,
    /// `None` if every connection is for one request.
    shared: Option<Arc<Shared>>,
}

struct Shared {
    destination: Arc<Destination>,
    state: Arc<Monitor<State>>,
    log: Log,
}

#[derive(Default)]
struct State {
    idle: IdleSet,
    opening: Opening,
    sweeper: Sweeper,
    /// When a connection was last needed, or expected to be needed.
    needed_at: Option<Instant>,
    /// Number of connections in a row that were closed soon although no request was sent on them.
    short_lived: usize,
}

/// The connection that is opened before a request needs it.
#[derive(Default)]
enum Opening {
    #[default]
    None,
    /// Since when.
    InProgress(Instant),
    /// A request waits for it.
    Awaited(Instant),
    /// For the request that waits.
    Done(Result<Box<Connection>, ureq::Error>),
    /// The proxy wants other credentials. Asking it again may lock the user's account.
    Refused(ureq::Error, Instant),
}

/// The thread that closes expired connections. It runs while connections are idle.
#[derive(Default)]
enum Sweeper {
    #[default]
    Absent,
    /// It looks at the connections within `SWEEP_INTERVAL`.
    Resting,
    /// It waits until one of the connections that it has seen is closed by the server or has been kept for too long.
    Watching(#[expect(dead_code, reason = "dropping it wakes the thread")] Waker),
}

/// A connection for a request.
pub(crate) struct Acquired {
    pub(crate) connection: Box<Connection>,
    /// Since when it was idle; `None` if it is new.
    pub(crate) idle_since: Option<Instant>,
}

impl Pool {
    /// A pool that keeps nothing: each connection is for one request.
    pub(crate) fn for_single_requests(destination: Destination) -> Pool {
        Pool { destination: Arc::new(destination), shared: None }
    }

    /// Keeps connections from now on. `log` receives why one could not be opened early.
    pub(crate) fn keep(&mut self, log: Log) {
        let (destination, state) = (Arc::clone(&self.destination), Monitor::new(State::default()));
        self.shared = Some(Arc::new(Shared { destination, state, log }));
    }

    /// A kept connection, the one that is being opened, or a new one for the request to open.
    ///
    /// # Errors
    /// The connection that was being opened cannot be opened, or the request cannot wait for it any longer.
    pub(crate) fn acquire(
        &self,
        request: &Request<'_>,
        cancel: &Cancel,
    ) -> Result<Acquired, ureq::Error> {
        if let Some(shared) = &self.shared {
            let mut state = shared.state.lock();
            if !request.is_stream {
                (state.needed_at, state.short_lived) = (Some(Instant::now()), 0);
            }
            if let Some(idle) = state.idle.take(request) {
                let Idle { connection, since, .. } = idle;
                return Ok(Acquired { connection, idle_since: Some(since) });
            }
            match mem::take(&mut state.opening) {
                // A stream would keep it from the calls.
                Opening::InProgress(since)
                    if !request.is_stream && since.elapsed() < USUAL_OPENING_TIME =>
                {
                    state.opening = Opening::Awaited(since);
                    drop(state);
                    let connection = shared.opened(request.deadline, cancel)?;
                    return Ok(Acquired { connection, idle_since: None });
                }
                Opening::Refused(error, at) if at.elapsed() < REFUSAL_LIFETIME => {
                    return Err(error);
                }
                Opening::Refused(..) => {}
                other => state.opening = other,
            }
        }
        let connection = Connection::new(&self.destination);
        Ok(Acquired { connection, idle_since: None })
    }

    /// Opens a connection for a request that is expected soon, unless there is one.
    pub(crate) fn open(&self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock();
        (state.needed_at, state.short_lived) = (Some(Instant::now()), 0);
        drop(state);
        shared.open(Duration::ZERO);
    }

    /// Keeps a connection. Its unread body is read as it arrives, if it arrives soon.
    pub(crate) fn release(&self, connection: Box<Connection>, unread: Option<UnreadBody>) {
        let Some(shared) = &self.shared else { return };
        shared.keep(connection, unread);
    }

    /// A kept connection was dead, which was noticed only after a request was sent on it.
    pub(crate) fn record_dead_connection(&self) {
        let Some(shared) = &self.shared else { return };
        shared.state.lock().idle.record_dead();
    }

    /// The server had closed a kept connection after these requests, which was noticed before another was sent.
    pub(crate) fn record_closed_connection(&self, requests: u32, idle_since: Instant) {
        let Some(shared) = &self.shared else { return };
        shared.state.lock().idle.record_closed(requests, idle_since);
    }

    /// Drops all cached addresses.
    pub(crate) fn forget_addresses(&self) {
        self.destination.resolver.forget();
    }
}

impl Shared {
    fn keep(self: &Arc<Self>, connection: Box<Connection>, unread: Option<UnreadBody>) {
        let is_stream = connection.call_limits().is_stream();
        let Some(idle) = Idle::new(connection, unread) else { return };
        let mut state = self.state.lock();
        if idle.requests > 0 && !is_stream {
            state.needed_at = Some(idle.since);
        }
        let not_kept = state.idle.add(idle);
        // Replacing `Watching` wakes the sweeper, which does not watch this connection yet.
        let sweeper = mem::replace(&mut state.sweeper, Sweeper::Resting);
        drop(state);
        drop(not_kept);
        if matches!(sweeper, Sweeper::Absent) {
            let pool = Arc::downgrade(self);
            if spawn("idle", move || sweep(&pool)).is_err() {
                // Without a sweeper no connection would ever be closed.
                drop(self.state.lock().end_sweeping());
            }
        }
    }

    /// Opens a connection on a thread of its own after this time, if there is none then.
    fn open(self: &Arc<Self>, delay: Duration) {
        if !delay.is_zero() || self.begin_opening() {
            let pool = Arc::clone(self);
            let open = move || {
                if delay.is_zero() || (!Cancel::default().sleep(delay) && pool.begin_opening()) {
                    pool.finish_opening();
                }
            };
            if spawn("connect", open).is_err() && delay.is_zero() {
                self.end_opening(Err(ureq::Error::ConnectionFailed));
            }
        }
    }

    /// Whether a connection is to be opened now; the caller does.
    fn begin_opening(&self) -> bool {
        let mut state = self.state.lock();
        let may_open = match &state.opening {
            Opening::None => true,
            Opening::Refused(_, at) => at.elapsed() >= REFUSAL_LIFETIME,
            Opening::InProgress(_) | Opening::Awaited(_) | Opening::Done(_) => false,
        };
        let is_needed = may_open && state.idle.is_empty();
        if is_needed {
            state.opening = Opening::InProgress(Instant::now());
        }
        is_needed
    }

    fn finish_opening(self: &Arc<Self>) {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let connection = Connection::new(&self.destination);
            connection.open().map(|()| connection)
        }));
        let opened = opened.unwrap_or(Err(ureq::Error::ConnectionFailed));
        if let Err(error) = &opened {
            self.destination.resolver.forget();
            self.log.debug(format_args!("no connection could be opened early: {error}"));
        }
        self.end_opening(opened);
    }

    /// Hands the connection, or why there is none, to the request that waits for it. Without one, the connection is kept.
    fn end_opening(self: &Arc<Self>, opened: Result<Box<Connection>, ureq::Error>) {
        let unclaimed = self.state.update(|state| {
            if matches!(state.opening, Opening::Awaited(_)) {
                state.opening = Opening::Done(opened);
                return None;
            }
            match opened {
                Err(error) if is_wrong_password(&error) => {
                    state.opening = Opening::Refused(error, Instant::now());
                    None
                }
                opened => {
                    state.opening = Opening::None;
                    opened.ok()
                }
            }
        });
        if let Some(connection) = unclaimed {
            self.keep(connection, None);
        }
    }

    /// Waits for the connection that is being opened for the calling request.
    fn opened(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Box<Connection>, ureq::Error> {
        let opened =
            self.state.wait(deadline, cancel, |state| match mem::take(&mut state.opening) {
                Opening::Done(opened) => Some(opened),
                not_done => {
                    state.opening = not_done;
                    None
                }
            });
        opened.unwrap_or_else(|ended: WaitError| {
            let mut state = self.state.lock();
            match mem::take(&mut state.opening) {
                Opening::Done(opened) => {
                    drop(state);
                    self.end_opening(opened);
                }
                Opening::Awaited(since) => state.opening = Opening::InProgress(since),
                other => state.opening = other,
            }
            Err(match ended {
                WaitError::TimedOut => ureq::Error::Timeout(Timeout::Global),
                // The caller handles it.
                WaitError::Cancelled => ureq::Error::ConnectionFailed,
            })
        })
    }
}

impl State {
    /// When the last connection is closed, too.
    fn ready_until(&self) -> Instant {
        self.needed_at.unwrap_or_else(Instant::now) + READY_PERIOD
    }

    /// Time after which another connection replaces the last one, which has ended; `None` if none does.
    fn replacement_delay(&self, end: Option<End>) -> Option<Duration> {
        match end {
            _ if Instant::now() >= self.ready_until() => None,
            Some(End::Closed) => REOPEN_DELAYS.get(self.short_lived).copied(),
            Some(End::Old) => Some(RENEW_DELAY),
            None => None,
        }
    }

    /// Removes all connections, to be closed, and the sweeper.
    fn end_sweeping(&mut self) -> Vec<Idle> {
        self.sweeper = Sweeper::Absent;
        self.idle.clear()
    }
}

/// Whether the proxy refuses the user or the password, or wants some.
fn is_wrong_password(error: &ureq::Error) -> bool {
    let ureq::Error::Other(error) = error else { return false };
    matches!(error.downcast_ref(), Some(TunnelError::Refused { status: 407, .. }))
}

/// Closes old connections until none is idle or the pool is gone.
fn sweep(pool: &Weak<Shared>) {
    let mut was_woken = false;
    loop {
        if !was_woken {
            Cancel::default().sleep(SWEEP_INTERVAL);
        }
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.state.lock();
        let ready_until = state.ready_until();
        let removed = state.idle.take_old(ready_until);
        state.short_lived += usize::from(removed.any_short_lived);
        if state.idle.is_empty() {
            state.end_sweeping();
            let delay = state.replacement_delay(removed.end);
            drop((state, removed));
            if let Some(delay) = delay {
                pool.open(delay);
            }
            return;
        }
        let rest = state.idle.rest(ready_until);
        // Input arrived, not the end of a connection. Waits, so that a server that keeps sending does not set the pace.
        let is_hasty = mem::take(&mut was_woken) && removed.idle.is_empty();
        let mut watch = None;
        if let Some((limit, sockets)) = rest.filter(|_| !is_hasty) {
            let Ok((watching, waker)) = ConnectionWatch::new(sockets, limit) else {
                // Out of file descriptors: closes the kept connections, so that others can be opened.
                state.end_sweeping();
                return;
            };
            state.sweeper = Sweeper::Watching(waker);
            watch = Some(watching);
        }
        let shared = Arc::downgrade(&pool);
        drop((state, removed));
        drop(pool);
        if let Some(watch) = watch {
            watch.wait();
            let Some(pool) = shared.upgrade() else { return };
            was_woken = matches!(pool.state.lock().sweeper, Sweeper::Watching(_));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::url::Endpoint;
    use crate::http::wire::resolver::CachingResolver;
    use crate::http::wire::tls::TlsConnector;
    use crate::http::wire::trusted_roots::CaBundle;
    use crate::log::{Format, Level};
    use crate::redact::Redactor;
    use ureq::Agent;

    #[test]
    fn a_connection_that_takes_long_to_open_is_not_waited_for()
    -> Result<(), Box<dyn std::error::Error>> {
        let url = "http://127.0.0.1:9/";
        let mut pool = Pool::for_single_requests(Destination {
            url: url.parse().expect("a URL"),
            config: Agent::config_builder().build(),
            resolver: CachingResolver::new(None),
            proxy: None,
            tls: TlsConnector::new(&Endpoint::parse(url)?, &CaBundle::default()),
        });
        pool.keep(Log::new(Level::Silent, Format::Text, None, Redactor::default())?);
        let begin = |ago| {
            let since = Instant::now().checked_sub(ago).expect("the machine runs for longer");
            pool.shared.as_ref().expect("it keeps").state.lock().opening =
                Opening::InProgress(since);
        };
        let acquire = || {
            let deadline = Instant::now().checked_add(Duration::from_millis(10));
            let request = Request { deadline, ..Request::new("POST", url, &[]) };
            pool.acquire(&request, &Cancel::default())
        };
        begin(Duration::ZERO);
        assert!(acquire().is_err(), "it waits until its limit");
        begin(USUAL_OPENING_TIME);
        assert!(acquire().is_ok_and(|acquired| acquired.idle_since.is_none()));
        Ok(())
    }

    #[test]
    fn a_connection_is_replaced_for_some_minutes_and_not_against_the_servers_will() {
        let delay = |minutes: u64, short_lived, end| {
            let needed_at = Instant::now().checked_sub(Duration::from_secs(60 * minutes));
            State { needed_at, short_lived, ..State::default() }.replacement_delay(end)
        };
        assert_eq!(delay(1, 0, Some(End::Closed)), Some(Duration::ZERO));
        assert_eq!(delay(4, 0, Some(End::Closed)), Some(Duration::ZERO));
        assert_eq!(delay(4, 0, Some(End::Old)), Some(RENEW_DELAY));
        assert_eq!(delay(1, 0, None), None, "a request has taken it");
        assert_eq!((delay(5, 0, Some(End::Closed)), delay(5, 0, Some(End::Old))), (None, None));
        assert!(delay(1, 2, Some(End::Closed)) > delay(1, 1, Some(End::Closed)));
        assert_eq!(delay(1, REOPEN_DELAYS.len(), Some(End::Closed)), None);
    }
}
