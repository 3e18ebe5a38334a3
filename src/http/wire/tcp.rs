//! `TcpConnector` and `TcpTransport`: TCP connections under the limits of the call that uses them.
//!
//! Replaces ureq's own for three reasons: ureq copies its whole configuration for limits that differ between calls; it needs
//! three system calls instead of one to see whether a pooled connection is open; and it does not read while it sends, so it
//! misses the response of a server that refuses a large request early.

use crate::http::wire::buffers::{GrowingBuffers, OutputSize};
use crate::http::wire::call_limits::{CallLimits, Purpose};
use crate::http::wire::connect_error::ConnectError;
use crate::http::wire::dial::dial;
use crate::http::wire::early_response::{EarlyResponse, InterruptedWrite, MAX_PEEK_BYTES};
use crate::http::wire::resolver::CachingResolver;
use crate::http::wire::socket::{Socket, is_timeout};
use crate::http::wire::unreceived::Unreceived;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use ureq::unversioned::transport::time::{Duration as Limit, Instant as Moment};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, ShutdownHandle, Transport,
};

/// Interval for checking input that arrived while a request is sent and was too short to judge.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time left for connecting.
pub(crate) fn time_left(details: &ConnectionDetails<'_>) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (Limit::Exact(limit), Moment::Exact(began), Moment::Exact(now)) =
        (timeout.after, details.now, (details.current_time)())
    {
        timeout.after = Limit::Exact(limit.saturating_sub(now.duration_since(began)));
    }
    timeout
}

/// Resolves the host and opens a TCP connection.
#[derive(Debug)]
pub(crate) struct TcpConnector {
    pub(crate) resolver: CachingResolver,
    pub(crate) call_limits: CallLimits,
    pub(crate) output_size: OutputSize,
}

impl TcpConnector {
    fn dial(
        &self,
        details: &ConnectionDetails<'_>,
    ) -> Result<(TcpStream, SocketAddr), ureq::Error> {
        let timeout = self.call_limits.limit(time_left(details))?;
        let addresses = self.resolver.resolve(details.uri, timeout)?;
        let timeout = self.call_limits.limit(time_left(details))?;
        let limit = timeout.not_zero().map(|limit| *limit);
        let dialing = Arc::new(Dialing::default());
        let weak: Weak<Dialing> = Arc::downgrade(&dialing);
        (details.register_shutdown)(weak)?;
        let is_cancelled = || dialing.0.load(Ordering::Relaxed);
        dial(&addresses, limit, is_cancelled).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
            _ => ConnectError(error).into(),
        })
    }
}

/// Cancels the attempts to connect.
#[derive(Default)]
struct Dialing(AtomicBool);

impl ShutdownHandle for Dialing {
    fn shutdown(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = TcpTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<In>,
    ) -> Result<Option<TcpTransport>, ureq::Error> {
        if self.call_limits.purpose() == Purpose::Check {
            return Err(ConnectError(io::ErrorKind::NotConnected.into()).into());
        }
        let (stream, address) = self.dial(details)?;
        stream.set_nodelay(details.config.no_delay()).map_err(ConnectError)?;
        let socket = Arc::new(Socket::new(stream));
        socket.keep_alive();
        let weak: Weak<Socket> = Arc::downgrade(&socket);
        (details.register_shutdown)(weak)?;
        self.call_limits.connected(&socket, address);
        Ok(Some(TcpTransport {
            socket,
            buffers: GrowingBuffers::new(self.output_size.clone()),
            call_limits: self.call_limits.clone(),
            read_timeout: None,
            is_refused: false,
            has_reported_input: false,
        }))
    }
}

/// A TCP connection, alone or under TLS.
#[derive(Debug)]
pub(crate) struct TcpTransport {
    socket: Arc<Socket>,
    buffers: GrowingBuffers,
    call_limits: CallLimits,
    /// The socket's current read timeout; it is set only when it changes.
    read_timeout: Option<Duration>,
    /// The server has responded; the rest of the request is not sent.
    is_refused: bool,
    /// TLS was notified of input that it has not read yet.
    has_reported_input: bool,
}

/// The outcome of waiting for room in the socket's send buffer.
enum Wait {
    /// There is room, the connection broke, or the input is too short to judge.
    Proceed,
    /// The server refused the request; the rest need not be sent.
    Refused,
    /// TLS input, which the layer above must read.
    Encrypted,
}

impl TcpTransport {
    /// Waits until more can be sent or input arrives.
    fn wait_for_room(&mut self, timeout: NextTimeout) -> Result<Wait, ureq::Error> {
        let timeout = self.call_limits.limit(timeout)?.for_write();
        let began = Instant::now();
        let limit = timeout.not_zero().map(|limit| *limit);
        let mut listens = !self.has_reported_input;
        loop {
            let left = limit.map(|limit| limit.saturating_sub(began.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
            // Unread input would end each wait at once.
            let wait = if listens {
                left
            } else {
                Some(left.map_or(POLL_INTERVAL, |l| l.min(POLL_INTERVAL)))
            };
            let ready = self.socket.wait(listens, wait)?;
            if ready.input || !ready.room {
                match self.early() {
                    EarlyResponse::Refusal | EarlyResponse::End => return Ok(Wait::Refused),
                    EarlyResponse::Encrypted if !self.has_reported_input => {
                        return Ok(Wait::Encrypted);
                    }
                    EarlyResponse::Nothing => {}
                    EarlyResponse::Incomplete | EarlyResponse::Other | EarlyResponse::Encrypted => {
                        listens = false;
                    }
                }
            }
            if ready.room {
                return Ok(Wait::Proceed);
            }
        }
    }

    /// Judges the input that has arrived.
    fn early(&self) -> EarlyResponse {
        let mut bytes = [0; MAX_PEEK_BYTES];
        match self.socket.peek(&mut bytes) {
            Ok(count) => EarlyResponse::of(&bytes[..count]),
            Err(_) => EarlyResponse::Nothing,
        }
    }

    /// Stops sending: the server has refused the request.
    fn refuse(&mut self) {
        self.is_refused = true;
        self.call_limits.invalidate();
    }
}

impl Drop for TcpTransport {
    /// The idle sweep may still hold the socket; the peer must not wait for it.
    fn drop(&mut self) {
        self.socket.shutdown();
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.buffers.reset();
        self.call_limits.limit(timeout)?;
        let mut sent = 0;
        while sent < amount && !self.is_refused {
            let error = match self.socket.send(&self.buffers.output()[sent..amount]) {
                Ok(count) => {
                    sent += count;
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => match self.wait_for_room(timeout)? {
                    Wait::Proceed => {}
                    Wait::Refused => self.refuse(),
                    Wait::Encrypted => {
                        self.has_reported_input = true;
                        return Err(InterruptedWrite { sent, is_broken: false }.into());
                    }
                },
                // A server that refuses and closes has often responded before the connection broke.
                _ => match self.early() {
                    EarlyResponse::Refusal | EarlyResponse::Incomplete | EarlyResponse::Other => {
                        self.refuse();
                    }
                    EarlyResponse::Encrypted => {
                        return Err(InterruptedWrite { sent, is_broken: true }.into());
                    }
                    EarlyResponse::End | EarlyResponse::Nothing => return Err(error.into()),
                },
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.has_reported_input = false;
        if self.call_limits.is_nonblocking() {
            let count = self.socket.receive(self.buffers.input_append_buf())?;
            self.buffers.input_appended(count);
            return Ok(count > 0);
        }
        let mut first_signal: Option<Instant> = None;
        loop {
            let mut timeout = self.call_limits.limit(timeout)?.for_read();
            if let (Some(at), Limit::Exact(limit)) = (first_signal, timeout.after) {
                let left = limit.saturating_sub(at.elapsed());
                if left.is_zero() {
                    return Err(ureq::Error::Timeout(timeout.reason));
                }
                timeout.after = Limit::Exact(left);
            }
            let mut stream = self.socket.stream();
            set(&mut self.read_timeout, timeout, |limit| stream.set_read_timeout(limit))?;
            match stream.read(self.buffers.input_append_buf()) {
                Ok(0) if !self.socket.has_input() => {
                    let limit = timeout.not_zero().map(|limit| *limit);
                    return Unreceived::prove(&self.socket, limit)
                        .map_or(Ok(false), |proof| Err(proof.into()));
                }
                Ok(count) => {
                    self.socket.record_input();
                    self.buffers.input_appended(count);
                    return Ok(count > 0);
                }
                // Linux does not restart a read with a timeout after a signal; the remaining time counts from here.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    first_signal = first_signal.or_else(|| Some(Instant::now()));
                }
                Err(error) => return Err(timeout_or_io(error, timeout)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        !self.is_refused && self.socket.is_silent()
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
        // macOS refuses once the peer has closed; input that arrived before can still be read.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn timeout_or_io(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    if is_timeout(&error) { ureq::Error::Timeout(timeout.reason) } else { error.into() }
}
