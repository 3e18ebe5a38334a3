//! `ConnectError`: why there is no connection; `Exhausted`: the resource that this machine has run out of.

use std::fmt;
use std::io;

/// No connection was made, so nothing of a request was sent; unlike an error of a connection that broke.
#[derive(Debug)]
pub(crate) struct ConnectError(pub(crate) io::Error);

/// A resource that has run out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) what: &'static str,
    pub(crate) fix: &'static str,
}

impl Exhausted {
    /// The resource that this error of the system is about, if it is about one.
    #[cfg(unix)]
    pub(crate) fn of(error: &io::Error) -> Option<Exhausted> {
        use rustix::io::Errno;
        let (what, fix) = match Errno::from_io_error(error)? {
            Errno::MFILE => (
                "out of file descriptors: this process has reached its limit",
                "raise the limit (ulimit -n) or lower --max-in-flight",
            ),
            Errno::NFILE => (
                "out of file descriptors: the system has reached its limit",
                "close other programs, or raise the system's limit",
            ),
            Errno::NOMEM | Errno::NOBUFS => ("out of memory for another connection", "free memory"),
            Errno::ADDRNOTAVAIL => (
                "no local port is free for another connection",
                "close other connections, or lower --max-in-flight",
            ),
            Errno::AGAIN => (
                "out of threads: this user or container has reached its limit",
                "raise the limit (ulimit -u, the pids limit of the container) or lower --max-in-flight",
            ),
            _ => return None,
        };
        Some(Exhausted { what, fix })
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_: &io::Error) -> Option<Exhausted> {
        None
    }
}

impl From<ConnectError> for ureq::Error {
    fn from(error: ConnectError) -> ureq::Error {
        ureq::Error::Other(Box::new(error))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl std::error::Error for ConnectError {}
