//! TCP, and the time limits of the call that has the connection now.
//!
//! Takes ureq's place for two reasons: for limits that differ from call to call, ureq copies its whole configuration each
//! time; and it asks whether a kept connection is still open in three system calls instead of one.

use super::buffers::GrowingBuffers;
use super::locked;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use ureq::Timeout;
use ureq::unversioned::transport::time::{Duration as Limit, Instant as Moment};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, ShutdownHandle, Transport,
};

/// What the call that has the connection now is bound to. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms(Arc<Mutex<Bounds>>);

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    deadline: Option<Instant>,
    is_stream: bool,
}

impl Terms {
    /// `is_stream`: silence is normal.
    pub(super) fn set(&self, deadline: Option<Instant>, is_stream: bool) {
        *locked(&self.0) = Bounds { deadline, is_stream };
    }

    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        locked(&self.0).deadline = deadline;
    }

    /// What is left of `timeout` under these terms, if anything.
    pub(super) fn limit(&self, mut timeout: NextTimeout) -> Result<NextTimeout, ureq::Error> {
        let Bounds { deadline, is_stream } = *locked(&self.0);
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
}

/// What is left of the time for connecting.
pub(super) fn time_left(details: &ConnectionDetails<'_>) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (Limit::Exact(limit), Moment::Exact(began), Moment::Exact(now)) =
        (timeout.after, details.now, (details.current_time)())
    {
        timeout.after = Limit::Exact(limit.saturating_sub(now.duration_since(began)));
    }
    timeout
}

/// Connects to the first address that lets us.
#[derive(Debug)]
pub(super) struct TcpConnector {
    pub(super) terms: Terms,
}

impl TcpConnector {
    fn dial(&self, details: &ConnectionDetails<'_>) -> Result<TcpStream, ureq::Error> {
        let mut last = ureq::Error::ConnectionFailed;
        for (tried, address) in details.addrs.iter().enumerate() {
            let timeout = self.terms.limit(time_left(details))?;
            let connected = match timeout.not_zero() {
                // Each address gets its share, so that a silent one does not take the time of all.
                Some(left) => {
                    let share = u32::try_from(details.addrs.len() - tried).unwrap_or(1);
                    TcpStream::connect_timeout(address, *left / share)
                }
                None => TcpStream::connect(address),
            };
            last = match connected {
                Ok(stream) => return Ok(stream),
                Err(error) if is_late(&error) => ureq::Error::Timeout(Timeout::Connect),
                Err(error) => error.into(),
            };
        }
        self.terms.limit(time_left(details))?;
        Err(last)
    }
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(tunnel) = chained {
            return Ok(Some(Either::A(tunnel)));
        }
        let stream = self.dial(details)?;
        stream.set_nodelay(details.config.no_delay())?;
        let socket = Arc::new(Socket(stream));
        let weak: Weak<Socket> = Arc::downgrade(&socket);
        (details.register_shutdown)(weak)?;
        Ok(Some(Either::B(TcpTransport {
            socket,
            buffers: GrowingBuffers::default(),
            terms: self.terms.clone(),
            read_timeout: None,
            write_timeout: None,
        })))
    }
}

#[derive(Debug)]
struct Socket(TcpStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        // An error means that it is shut down already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection without encryption, or what is under it.
#[derive(Debug)]
pub(super) struct TcpTransport {
    socket: Arc<Socket>,
    buffers: GrowingBuffers,
    terms: Terms,
    /// As the socket has them, so that they are set only when they change.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.buffers.reset();
        let timeout = self.terms.limit(timeout)?.for_write();
        let mut stream = &self.socket.0;
        set(&mut self.write_timeout, timeout, |limit| stream.set_write_timeout(limit))?;
        let written = stream.write_all(&self.buffers.output()[..amount]);
        written.map_err(|error| in_time(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let mut first_signal: Option<Instant> = None;
        loop {
            let mut timeout = self.terms.limit(timeout)?.for_read();
            if let (Some(at), Limit::Exact(limit)) = (first_signal, timeout.after) {
                let left = limit.saturating_sub(at.elapsed());
                if left.is_zero() {
                    return Err(ureq::Error::Timeout(timeout.reason));
                }
                timeout.after = Limit::Exact(left);
            }
            let mut stream = &self.socket.0;
            set(&mut self.read_timeout, timeout, |limit| stream.set_read_timeout(limit))?;
            match stream.read(self.buffers.input_append_buf()) {
                Ok(count) => {
                    self.buffers.input_appended(count);
                    return Ok(count > 0);
                }
                // Linux does not take up again what has a time limit; the limit goes on from here.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    first_signal = first_signal.or_else(|| Some(Instant::now()));
                }
                Err(error) => return Err(in_time(error, timeout)),
            }
        }
    }

    /// Nothing to read, and no end: whatever came would be taken for the next answer.
    fn is_open(&mut self) -> bool {
        is_silent(&self.socket.0)
    }
}

fn set(
    current: &mut Option<Duration>,
    timeout: NextTimeout,
    set: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    let limit = timeout.not_zero().map(|limit| *limit);
    if limit == *current {
        return Ok(());
    }
    match set(limit) {
        Ok(()) => *current = limit,
        // macOS refuses once the other end is closed; what came before that can still be read.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

fn in_time(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    if is_late(&error) { ureq::Error::Timeout(timeout.reason) } else { error.into() }
}

#[cfg(unix)]
fn is_silent(stream: &TcpStream) -> bool {
    use rustix::io::Errno;
    use rustix::net::{RecvFlags, recv};
    let peeked = recv(stream, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    peeked.err() == Some(Errno::AGAIN)
}

#[cfg(not(unix))]
fn is_silent(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let is_silent = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    is_silent && stream.set_nonblocking(false).is_ok()
}
