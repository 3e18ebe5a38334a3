//! `Input`: reads a client's bytes with time limits.

use crate::buffer::{add_zeros, make_room};
use crate::listener::stream::Stream;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sizes of one read, in bytes.
const CHUNK: usize = 8 * 1024;
const BODY_CHUNK: usize = 64 * 1024;

/// Bounds of the input that is discarded after a refusal, so that the client sees the response and not a broken connection.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Input {
    stream: Arc<Stream>,
    buffer: Vec<u8>,
    /// Bytes before this index were consumed.
    start: usize,
    /// The read timeout that is set on the socket.
    limit: Duration,
}

/// Why nothing more can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The client has closed the connection, or it is broken.
    Closed,
    TimedOut,
}

impl Input {
    pub(crate) fn new(stream: Arc<Stream>) -> Input {
        Input { stream, buffer: Vec::new(), start: 0, limit: Duration::ZERO }
    }

    /// What was read and not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// Frees the buffer if it is empty: connections may wait for hours.
    pub(crate) fn release(&mut self) {
        if self.unread().is_empty() {
            self.buffer = Vec::new();
            self.start = 0;
        }
    }

    /// Reads at least a byte more.
    pub(crate) fn fill(&mut self, limit: Duration) -> Result<(), ReadError> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.set_limit(limit)?;
        read_some(&self.stream, &mut self.buffer, CHUNK)
    }

    /// Moves `count` bytes to the end of `body`. Each part of them has to arrive within `limit`, and all before `deadline`.
    pub(crate) fn read_into(
        &mut self,
        body: &mut Vec<u8>,
        count: usize,
        limit: Duration,
        deadline: Instant,
    ) -> Result<(), ReadError> {
        let buffered = count.min(self.unread().len());
        body.extend_from_slice(&self.unread()[..buffered]);
        self.consume(buffered);
        let mut left = count - buffered;
        while left > 0 {
            let before = body.len();
            let part = left.min(BODY_CHUNK);
            make_room(body, part);
            self.set_limit(limit)?;
            read_some(&self.stream, body, part)?;
            left -= body.len() - before;
            if left > 0 && Instant::now() > deadline {
                return Err(ReadError::TimedOut);
            }
        }
        Ok(())
    }

    /// Stops sending, and reads until the client has closed the connection, too, or has had its time.
    pub(crate) fn linger(&mut self) {
        self.stream.shutdown(Shutdown::Write);
        let (deadline, mut bytes) = (Instant::now() + LINGER_TIME, 0);
        while bytes < LINGER_BYTES {
            self.buffer.clear();
            self.start = 0;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.fill(left).is_err() {
                return;
            }
            bytes += self.buffer.len();
        }
    }

    fn set_limit(&mut self, limit: Duration) -> Result<(), ReadError> {
        // Zero would be no limit.
        let limit = limit.max(Duration::from_millis(1));
        if self.limit != limit {
            self.stream.set_read_timeout(limit).map_err(|_| ReadError::Closed)?;
            self.limit = limit;
        }
        Ok(())
    }
}

/// Reads 1 to `most` bytes to the end of `buffer`.
fn read_some(stream: &Stream, buffer: &mut Vec<u8>, most: usize) -> Result<(), ReadError> {
    let before = buffer.len();
    add_zeros(buffer, most);
    let read = loop {
        match stream.read(&mut buffer[before..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    buffer.truncate(before + *read.as_ref().unwrap_or(&0));
    match read {
        Ok(0) => Err(ReadError::Closed),
        Ok(_) => Ok(()),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            Err(ReadError::TimedOut)
        }
        Err(_) => Err(ReadError::Closed),
    }
}
