//! `CallLimits`: the limits of the call that uses a connection now, and the state of that connection.

use crate::http::wire::socket::Socket;
use crate::sync::lock;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;
use ureq::Timeout;
use ureq::unversioned::transport::NextTimeout;
use ureq::unversioned::transport::time::Duration as Limit;

/// The limits of one connection's current call. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallLimits(Arc<Mutex<State>>);

/// What a call on a connection is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Sending a request.
    #[default]
    Request,
    /// Opening the connection for a later request.
    Open,
    /// Seeing whether the connection is still open.
    Check,
}

#[derive(Debug, Default)]
struct State {
    purpose: Purpose,
    deadline: Option<Instant>,
    is_stream: bool,
    is_nonblocking: bool,
    socket: Weak<Socket>,
    address: Option<SocketAddr>,
    closed_after: Option<u32>,
    is_invalid: bool,
}

impl CallLimits {
    /// Begins a request. On a stream silence is normal, so there is no time limit for reading.
    pub(crate) fn set(&self, deadline: Option<Instant>, is_stream: bool) {
        self.begin(Purpose::Request, deadline, is_stream);
    }

    /// Begins a call that sends nothing.
    pub(crate) fn set_purpose(&self, purpose: Purpose) {
        self.begin(purpose, None, false);
    }

    fn begin(&self, purpose: Purpose, deadline: Option<Instant>, is_stream: bool) {
        let mut state = lock(&self.0);
        (state.purpose, state.deadline, state.is_stream) = (purpose, deadline, is_stream);
        (state.is_nonblocking, state.closed_after) = (false, None);
    }

    pub(crate) fn purpose(&self) -> Purpose {
        lock(&self.0).purpose
    }

    /// Whether the call reads a standing stream.
    pub(crate) fn is_stream(&self) -> bool {
        lock(&self.0).is_stream
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        lock(&self.0).deadline = deadline;
    }

    /// Sets an earlier deadline. A later one, or none, changes nothing.
    pub(crate) fn shorten_deadline(&self, deadline: Option<Instant>) {
        let current = &mut lock(&self.0).deadline;
        *current = [*current, deadline].into_iter().flatten().min();
    }

    /// Until the next call, a read takes what has arrived, and fails with `WouldBlock` if nothing has.
    pub(crate) fn set_nonblocking(&self) {
        self.set(None, false);
        lock(&self.0).is_nonblocking = true;
    }

    /// Reads in `read` take what has arrived, and fail with `WouldBlock` if nothing has.
    pub(crate) fn without_waiting<R>(&self, read: impl FnOnce() -> R) -> R {
        let before = std::mem::replace(&mut lock(&self.0).is_nonblocking, true);
        let result = read();
        lock(&self.0).is_nonblocking = before;
        result
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        lock(&self.0).is_nonblocking
    }

    /// The part of `timeout` that is left before the deadline. Fails if none is.
    pub(crate) fn limit(&self, mut timeout: NextTimeout) -> Result<NextTimeout, ureq::Error> {
        let State { deadline, is_stream, .. } = *lock(&self.0);
        if is_stream {
            timeout.per_read = None;
        }
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left < *timeout.after {
                (timeout.after, timeout.reason) = (Limit::Exact(left), Timeout::Global);
            }
        }
        if timeout.after.is_zero() {
            Err(ureq::Error::Timeout(timeout.reason))
        } else {
            Ok(timeout)
        }
    }

    /// Records the socket and the address of a new connection.
    pub(crate) fn connected(&self, socket: &Arc<Socket>, address: SocketAddr) {
        let mut state = lock(&self.0);
        (state.socket, state.address, state.is_invalid) =
            (Arc::downgrade(socket), Some(address), false);
    }

    /// Records that a request begins on the connection, if that is what the call is for.
    pub(crate) fn begin_request(&self) {
        let state = lock(&self.0);
        if state.purpose == Purpose::Request
            && let Some(socket) = state.socket.upgrade()
        {
            socket.begin_request();
        }
    }

    /// The kept connection was found closed before anything of this call was sent on it. The call gets a new one.
    pub(crate) fn record_closed(&self) {
        let mut state = lock(&self.0);
        state.closed_after = state.socket.upgrade().map(|socket| socket.requests());
    }

    /// The number of requests on the kept connection that was found closed at the beginning of this call.
    pub(crate) fn closed_after(&self) -> Option<u32> {
        lock(&self.0).closed_after
    }

    /// The address of the last connection that was made.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        lock(&self.0).address
    }

    /// Records that a request was not sent to its end, so no other can follow it on this connection.
    pub(crate) fn invalidate(&self) {
        lock(&self.0).is_invalid = true;
    }

    /// The socket, while the connection can serve another request.
    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        let state = lock(&self.0);
        state.socket.upgrade().filter(|_| !state.is_invalid)
    }
}
