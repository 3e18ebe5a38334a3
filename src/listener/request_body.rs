//! The body of a request: of a known length, or in chunks (RFC 9112 §7.1), read strictly and within bounds.

use crate::error::Kind;
use crate::http::is_header_name;
use crate::listener::body_budget::BodyShare;
use crate::listener::input::{Input, ReadError};
use crate::listener::refusal::{Refusal, malformed, refused};
use crate::listener::request_head::BodyLength;
use std::time::{Duration, Instant};

/// Maximum size of a line that begins a chunk, and of all lines that follow the last one, in bytes.
const MAX_CHUNK_LINE: usize = 1024;
const MAX_TRAILERS: usize = 16 * 1024;

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) max_bytes: usize,
    /// Time limits of one read, and of the whole body.
    pub(crate) pause: Duration,
    pub(crate) time: Duration,
}

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The client is gone.
    Closed,
    Refused(Refusal),
}

impl From<Refusal> for BodyError {
    fn from(refusal: Refusal) -> BodyError {
        BodyError::Refused(refusal)
    }
}

impl From<ReadError> for BodyError {
    fn from(error: ReadError) -> BodyError {
        match error {
            ReadError::Closed => BodyError::Closed,
            ReadError::TimedOut => {
                let fix = "send it faster";
                refused("the body did not arrive in time", 408, Kind::TimedOut, fix).into()
            }
        }
    }
}

/// Refuses a body that is known to be too large, before any of it is read.
pub(crate) fn check_length(length: BodyLength, max_bytes: usize) -> Result<(), Refusal> {
    match length {
        BodyLength::Bytes(bytes) if bytes > max_bytes as u64 => Err(too_large(max_bytes)),
        BodyLength::Bytes(_) | BodyLength::Chunked => Ok(()),
    }
}

/// Takes the memory for a body of known length.
pub(crate) fn reserve(length: BodyLength, share: &mut BodyShare<'_>) -> Result<(), Refusal> {
    match length {
        BodyLength::Bytes(bytes) => share.take(usize::try_from(bytes).unwrap_or(usize::MAX)),
        BodyLength::Chunked => Ok(()),
    }
}

/// Reads a body that `check_length` accepts and for which `reserve` has found room.
pub(crate) fn read(
    input: &mut Input,
    length: BodyLength,
    limits: BodyLimits,
    share: &mut BodyShare<'_>,
) -> Result<Vec<u8>, BodyError> {
    let deadline = Instant::now() + limits.time;
    let mut body = Vec::new();
    match length {
        BodyLength::Bytes(bytes) => {
            let bytes = usize::try_from(bytes).map_err(|_| too_large(limits.max_bytes))?;
            input.read_into(&mut body, bytes, limits.pause, deadline)?;
        }
        BodyLength::Chunked => read_chunks(input, &mut body, (limits, deadline), share)?,
    }
    Ok(body)
}

fn read_chunks(
    input: &mut Input,
    body: &mut Vec<u8>,
    (limits, deadline): (BodyLimits, Instant),
    share: &mut BodyShare<'_>,
) -> Result<(), BodyError> {
    loop {
        let line = read_line(input, MAX_CHUNK_LINE, limits, deadline)?;
        let size = chunk_size(&line).ok_or_else(|| malformed("a chunk has no valid size"))?;
        if size == 0 {
            return skip_trailers(input, limits, deadline);
        }
        let room = limits.max_bytes - body.len();
        let size = usize::try_from(size).ok().filter(|size| *size <= room);
        let size = size.ok_or_else(|| too_large(limits.max_bytes))?;
        share.take(size)?;
        input.read_into(body, size, limits.pause, deadline)?;
        if !read_line(input, 0, limits, deadline)?.is_empty() {
            return Err(malformed("a chunk is longer than its size").into());
        }
    }
}

/// Reads the lines after the last chunk, which mean nothing here.
fn skip_trailers(
    input: &mut Input,
    limits: BodyLimits,
    deadline: Instant,
) -> Result<(), BodyError> {
    let mut left = MAX_TRAILERS;
    loop {
        let line = read_line(input, left, limits, deadline)?;
        if line.is_empty() {
            return Ok(());
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if name.len() == line.len() || !str::from_utf8(name).is_ok_and(is_header_name) {
            return Err(malformed("a trailer is not a header").into());
        }
        left -= line.len();
    }
}

/// Reads a line of at most `max_bytes`, without its end.
fn read_line(
    input: &mut Input,
    max_bytes: usize,
    limits: BodyLimits,
    deadline: Instant,
) -> Result<Vec<u8>, BodyError> {
    loop {
        let unread = input.unread();
        let end = memchr::memchr(b'\n', unread);
        let line = &unread[..end.unwrap_or(unread.len())];
        if line.len() > max_bytes + 1 {
            return Err(malformed("a line between chunks is too long").into());
        }
        if let Some(end) = end {
            let line =
                line.strip_suffix(b"\r").filter(|line| !line.iter().copied().any(is_control));
            let line = line.ok_or_else(|| malformed("a line between chunks is broken"))?.to_vec();
            input.consume(end + 1);
            return Ok(line);
        }
        if Instant::now() > deadline {
            return Err(ReadError::TimedOut.into());
        }
        input.fill(limits.pause)?;
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// The size at the beginning of a line. Extensions after it are ignored.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let digits = &line[..end];
    if !(1..=16).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

fn too_large(max_bytes: usize) -> Refusal {
    let what = format!("the body is longer than {max_bytes} bytes");
    refused(&what, 413, Kind::TooLarge, "raise --max-message-bytes")
}
