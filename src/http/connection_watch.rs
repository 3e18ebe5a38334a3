//! `ConnectionWatch`: waits until one of several idle connections is closed, a time has passed, or its `Waker` is dropped.

#[cfg(unix)]
pub(crate) use with_poll::{ConnectionWatch, Waker};
#[cfg(not(unix))]
pub(crate) use without_poll::{ConnectionWatch, Waker};

#[cfg(unix)]
mod with_poll {
    use crate::http::wire::socket::Socket;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Duration;

    pub(crate) struct ConnectionWatch {
        sockets: Vec<Arc<Socket>>,
        waker: UnixStream,
        limit: Duration,
    }

    /// Ends the wait when it is dropped.
    pub(crate) struct Waker(#[expect(dead_code, reason = "its end is the signal")] UnixStream);

    impl ConnectionWatch {
        /// Fails if the process is out of file descriptors.
        pub(crate) fn new(
            sockets: Vec<Arc<Socket>>,
            limit: Duration,
        ) -> io::Result<(ConnectionWatch, Waker)> {
            let (ours, theirs) = UnixStream::pair()?;
            Ok((ConnectionWatch { sockets, waker: ours, limit }, Waker(theirs)))
        }

        /// Waits. An error of the system ends it, too.
        pub(crate) fn wait(self) {
            let sockets = self.sockets.iter().map(|socket| socket.as_fd());
            let mut polled: Vec<PollFd<'_>> =
                sockets.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            polled.push(PollFd::new(&self.waker, PollFlags::IN));
            let limit = Timespec::try_from(self.limit).ok();
            let _ = poll(&mut polled, limit.as_ref());
        }
    }
}

#[cfg(not(unix))]
mod without_poll {
    use crate::http::wire::socket::Socket;
    use std::io;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    /// std cannot wait for several connections, so the caller looks at them this often.
    const POLL_INTERVAL: Duration = Duration::from_secs(5);

    pub(crate) struct ConnectionWatch {
        waker: Receiver<()>,
        limit: Duration,
    }

    /// Ends the wait when it is dropped.
    pub(crate) struct Waker(#[expect(dead_code, reason = "its end is the signal")] Sender<()>);

    impl ConnectionWatch {
        pub(crate) fn new(
            _: Vec<Arc<Socket>>,
            limit: Duration,
        ) -> io::Result<(ConnectionWatch, Waker)> {
            let (theirs, ours) = channel();
            Ok((ConnectionWatch { waker: ours, limit }, Waker(theirs)))
        }

        pub(crate) fn wait(self) {
            let _ = self.waker.recv_timeout(self.limit.min(POLL_INTERVAL));
        }
    }
}
