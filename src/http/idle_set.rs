//! `IdleSet`: the idle connections: which may be reused, and until when they are kept.

use crate::http::idle::{Finished, Idle};
use crate::http::request::Request;
use crate::http::wire::socket::Socket;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After a kept connection turned out to be closed, others are not trusted for this time.
const DISTRUST_PERIOD: Duration = Duration::from_secs(60);

/// A server that closes a connection this soon after a response does so for the number of requests, not for its idle time.
const PROMPT_CLOSE: Duration = Duration::from_secs(1);

/// Maximum number of idle connections that are kept.
const MAX_IDLE: usize = 16;

/// Minimum time that those beyond this number are kept. A busy connection is used again within it.
const MIN_IDLE_AGE: Duration = Duration::from_secs(1);

/// Maximum time for which a connection is kept: longer than AWS's load balancers keep it, which close theirs after 60 s, so that
/// nothing here wakes up before.
const MAX_IDLE_AGE: Duration = Duration::from_secs(75);

/// Age from which an AWS load balancer may close a connection at the moment a request is sent on it. Linux can tell that
/// from a request that was processed.
const RISKY_AGE: Duration =
    if cfg!(target_os = "linux") { Duration::MAX } else { Duration::from_secs(50) };

/// Maximum number of connections that wait for the end of a response that is not needed.
const MAX_UNFINISHED: usize = 4;

/// A connection without a request that is closed within this time was not closed for its idle time.
const SHORT_LIFE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct IdleSet {
    /// The most recently used last.
    idle: Vec<Idle>,
    /// Number of them with an unread body.
    unfinished: usize,
    /// When a kept connection last turned out to be dead after a request was sent on it.
    dead_since: Option<Instant>,
    request_limit: Option<RequestLimit>,
}

/// The number of requests after which the server closes a connection, without announcing it.
struct RequestLimit {
    requests: u32,
    /// When it last did.
    seen: Instant,
}

/// What is not kept any longer.
#[derive(Default)]
pub(crate) struct Removed {
    /// To be dropped, and so closed, without a lock.
    pub(crate) idle: Vec<Idle>,
    /// Why; `Old` if that is true of some, `None` if there are none.
    pub(crate) end: Option<End>,
    /// The server closed one of them soon, before a request was sent on it.
    pub(crate) any_short_lived: bool,
}

/// Why a connection is not kept any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    /// It is open and was kept for long enough.
    Old,
}

impl IdleSet {
    /// A connection for this request. If the request must not be lost: none while kept connections are not trusted, and none
    /// that the server is likely to close. For a stream, which keeps it: none that is the only one.
    pub(crate) fn take(&mut self, request: &Request<'_>) -> Option<Idle> {
        let Request { is_idempotent, is_stream, .. } = *request;
        if is_stream && self.idle.len() == 1 {
            return None;
        }
        if self.unfinished > 0 {
            self.idle.retain_mut(|idle| !matches!(idle.finish(), Finished::Never));
            self.count_unfinished();
        }
        if !is_idempotent && self.dead_since.is_some_and(|at| at.elapsed() < DISTRUST_PERIOD) {
            // Each request drops one, so that all are replaced.
            self.idle.pop();
            self.count_unfinished();
            return None;
        }
        let limit = if is_idempotent { u32::MAX } else { self.request_limit() };
        let max_age = if is_idempotent { Duration::MAX } else { RISKY_AGE };
        let is_usable = |idle: &Idle| {
            !idle.is_unfinished()
                && idle.requests < limit
                && idle.since.elapsed() < max_age
                && !idle.was_suspended()
        };
        let at = self.idle.iter().rposition(is_usable)?;
        Some(self.idle.remove(at))
    }

    /// Keeps a connection. Returns one that is not kept, to be dropped without a lock.
    pub(crate) fn add(&mut self, idle: Idle) -> Option<Idle> {
        let limit = self.request_limit();
        if idle.requests >= limit && self.idle.iter().any(|other| other.requests >= limit) {
            // One that the server is likely to close is enough to see whether it does.
            return Some(idle);
        }
        let mut given_up = None;
        if idle.is_unfinished() {
            given_up = self.oldest_unfinished();
            self.unfinished += 1;
        }
        self.idle.push(idle);
        given_up
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }

    /// Removes all connections, to be closed.
    pub(crate) fn clear(&mut self) -> Vec<Idle> {
        self.unfinished = 0;
        std::mem::take(&mut self.idle)
    }

    /// A kept connection was dead, which was noticed only after a request was sent on it.
    pub(crate) fn record_dead(&mut self) {
        self.dead_since = Some(Instant::now());
    }

    /// The server had closed a kept connection after these requests, which was noticed before another was sent.
    pub(crate) fn record_closed(&mut self, requests: u32, idle_since: Instant) {
        if requests > 0 && idle_since.elapsed() < PROMPT_CLOSE {
            let requests = requests.min(self.request_limit());
            self.request_limit = Some(RequestLimit { requests, seen: Instant::now() });
        }
    }

    /// Removes the connections that are not kept any longer. None is kept after `until`.
    pub(crate) fn take_old(&mut self, until: Instant) -> Removed {
        let mut removed = Removed::default();
        let mut kept = Vec::with_capacity(self.idle.len());
        for mut idle in std::mem::take(&mut self.idle).into_iter().rev() {
            let age = idle.since.elapsed();
            let max_age = if kept.len() < MAX_IDLE { MAX_IDLE_AGE } else { MIN_IDLE_AGE };
            if !idle.is_good() {
                self.record_removed(&idle);
                removed.end = removed.end.or(Some(End::Closed));
                removed.any_short_lived |= idle.requests == 0 && age < SHORT_LIFE;
                removed.idle.push(idle);
            } else if age >= max_age || Instant::now() >= until {
                removed.end = Some(End::Old);
                removed.idle.push(idle);
            } else {
                kept.push(idle);
            }
        }
        kept.reverse();
        self.idle = kept;
        self.count_unfinished();
        removed
    }

    /// The time until a connection grows old, and the sockets of all; `None` if something is to be done soon.
    pub(crate) fn rest(&self, until: Instant) -> Option<(Duration, Vec<Arc<Socket>>)> {
        if self.idle.len() > MAX_IDLE || self.unfinished > 0 {
            return None;
        }
        let next = until.min(self.idle.first()?.since + MAX_IDLE_AGE);
        let sockets = self.idle.iter().filter_map(|idle| idle.connection.socket()).collect();
        Some((next.saturating_duration_since(Instant::now()), sockets))
    }

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

    /// That a connection with as many requests was closed confirms the limit.
    fn record_removed(&mut self, idle: &Idle) {
        if let Some(limit) = &mut self.request_limit
            && idle.requests >= limit.requests
        {
            limit.seen = Instant::now();
        }
    }

    /// Removes the oldest with an unread body if there are too many.
    fn oldest_unfinished(&mut self) -> Option<Idle> {
        if self.unfinished < MAX_UNFINISHED {
            return None;
        }
        let oldest = self.idle.iter().position(Idle::is_unfinished)?;
        self.unfinished -= 1;
        Some(self.idle.remove(oldest))
    }

    fn count_unfinished(&mut self) {
        self.unfinished = self.idle.iter().filter(|idle| idle.is_unfinished()).count();
    }
}
