//! `CallLimits`: what the call that has a connection now is bound to, and what became of the connection.

use crate::http::wire::socket::Socket;
use crate::sync::lock;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;
use ureq::Timeout;
use ureq::unversioned::transport::NextTimeout;
use ureq::unversioned::transport::time::Duration as Limit;

/// Of one connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallLimits(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    deadline: Option<Instant>,
    is_stream: bool,
    is_nonblocking: bool,
    socket: Weak<Socket>,
    is_invalid: bool,
}

impl CallLimits {
    /// A call begins. `is_stream`: silence is normal.
    pub(crate) fn set(&self, deadline: Option<Instant>, is_stream: bool) {
        let mut state = lock(&self.0);
        (state.deadline, state.is_stream, state.is_nonblocking) = (deadline, is_stream, false);
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        lock(&self.0).deadline = deadline;
    }

    /// Until the next call, reading takes what is there and fails with `WouldBlock` where there is nothing.
    pub(crate) fn set_nonblocking(&self) {
        self.set(None, false);
        lock(&self.0).is_nonblocking = true;
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        lock(&self.0).is_nonblocking
    }

    /// What is left of `timeout` under these call_limits, if anything.
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

    /// The connection was made.
    pub(crate) fn connected(&self, socket: &Arc<Socket>) {
        let mut state = lock(&self.0);
        (state.socket, state.is_invalid) = (Arc::downgrade(socket), false);
    }

    /// A request was not sent to its end: no other can follow it.
    pub(crate) fn invalidate(&self) {
        lock(&self.0).is_invalid = true;
    }

    /// The socket, while the connection can serve another request.
    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        let state = lock(&self.0);
        state.socket.upgrade().filter(|_| !state.is_invalid)
    }
}
