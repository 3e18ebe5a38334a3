//! `Socket`: operations on a TCP connection that do not wait, and the wait for room or input.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use ureq::unversioned::transport::ShutdownHandle;

/// A connected socket, shared by the connection and the threads that shut it down or watch it while it is idle.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// Number of bytes handed to the system.
    sent: AtomicU64,
    /// Number of requests, the current one included.
    requests: AtomicU32,
    /// The value of `sent` when the current request began; `MAX` if something else was sent since.
    request_start: AtomicU64,
    /// Something was received since the current request began.
    has_input: AtomicBool,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Socket {
        Socket {
            stream,
            sent: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            request_start: AtomicU64::new(0),
            has_input: AtomicBool::new(false),
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What is sent from now on belongs to another request.
    pub(crate) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.request_start.store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        self.has_input.store(false, Ordering::Relaxed);
    }

    /// Something was received.
    pub(crate) fn record_input(&self) {
        self.has_input.store(true, Ordering::Relaxed);
    }

    /// Whether something was received since the current request began.
    pub(crate) fn has_input(&self) -> bool {
        self.has_input.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The bytes of the current request, by their positions in all that was sent. Empty if they cannot be distinguished from
    /// what was sent after input, which may be TLS's response to it.
    pub(crate) fn sent(&self) -> Range<u64> {
        self.request_start.load(Ordering::Relaxed)..self.sent.load(Ordering::Relaxed)
    }

    /// Has the system probe an idle connection, so that a peer that vanished is noticed while a stream is silent, and
    /// middleboxes keep the connection.
    pub(crate) fn keep_alive(&self) {
        // Some sandboxes cannot; the connection works without.
        let _ = system::keep_alive(&self.stream);
    }

    /// Sends what there is room for; fails with `WouldBlock` where there is none.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = system::send(&self.stream, bytes)?;
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
        if self.has_input() {
            self.request_start.store(u64::MAX, Ordering::Relaxed);
        }
        Ok(count)
    }

    /// Reads what has arrived; fails with `WouldBlock` where nothing has.
    pub(crate) fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        system::receive(&self.stream, into)
    }

    /// Like `receive`, but leaves the bytes to be read.
    pub(crate) fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        system::peek(&self.stream, into)
    }

    /// Waits until there is room, the connection breaks, or, if `listens`, something arrives; at most for `limit`.
    pub(crate) fn wait(&self, listens: bool, limit: Option<Duration>) -> io::Result<Ready> {
        system::wait(&self.stream, listens, limit)
    }

    /// Whether the connection is open and there is nothing to read, which would be taken for the next response.
    pub(crate) fn is_silent(&self) -> bool {
        system::peek(&self.stream, &mut [0]).is_err_and(|error| is_timeout(&error))
    }

    #[cfg(unix)]
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.stream)
    }
}

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        // An error means that it is shut down already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Whether a time limit passed, or an operation that does not wait had nothing to do.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// What a connection is ready for.
pub(crate) struct Ready {
    pub(crate) room: bool,
    pub(crate) input: bool,
}

#[cfg(unix)]
mod system {
    use crate::http::wire::socket::Ready;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::net::{RecvFlags, SendFlags, recv, send as send_to, sockopt};
    use std::io;
    use std::net::TcpStream;
    use std::time::Duration;

    /// Time of silence before the first probe, time between probes, and how many may stay unanswered.
    const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
    const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
    const KEEPALIVE_PROBES: u32 = 4;

    pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
        sockopt::set_socket_keepalive(stream, true)?;
        #[cfg(not(target_os = "openbsd"))]
        {
            sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
            sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
            sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
        }
        Ok(())
    }

    pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Ok(send_to(stream, bytes, SendFlags::DONTWAIT)?)
    }

    pub(crate) fn receive(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        Ok(recv(stream, into, RecvFlags::DONTWAIT)?.0)
    }

    pub(crate) fn peek(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        Ok(recv(stream, into, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0)
    }

    pub(crate) fn wait(
        stream: &TcpStream,
        listens: bool,
        limit: Option<Duration>,
    ) -> io::Result<Ready> {
        let events = if listens { PollFlags::OUT | PollFlags::IN } else { PollFlags::OUT };
        let mut polled = [PollFd::new(stream, events)];
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match poll(&mut polled, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let came = polled[0].revents();
        Ok(Ready {
            room: came.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP),
            input: came.contains(PollFlags::IN),
        })
    }
}

#[cfg(not(unix))]
mod system {
    use crate::http::wire::socket::Ready;
    use std::io::{self, Read as _, Write as _};
    use std::net::TcpStream;
    use std::thread;
    use std::time::Duration;

    /// std cannot wait for two events at once, so both are tried in turn.
    const POLL_INTERVAL: Duration = Duration::from_millis(5);

    /// The standard library cannot.
    pub(crate) fn keep_alive(_: &TcpStream) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        at_once(stream, |mut stream| stream.write(bytes))
    }

    pub(crate) fn receive(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        at_once(stream, |mut stream| stream.read(into))
    }

    pub(crate) fn peek(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        at_once(stream, |stream| stream.peek(into))
    }

    pub(crate) fn wait(_: &TcpStream, _: bool, limit: Option<Duration>) -> io::Result<Ready> {
        thread::sleep(limit.map_or(POLL_INTERVAL, |limit| limit.min(POLL_INTERVAL)));
        Ok(Ready { room: true, input: true })
    }

    fn at_once<T>(
        stream: &TcpStream,
        does: impl FnOnce(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        stream.set_nonblocking(true)?;
        let done = does(stream);
        stream.set_nonblocking(false)?;
        done
    }
}
