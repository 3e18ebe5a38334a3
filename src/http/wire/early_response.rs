//! A response that comes while the request is still being sent: a refusal makes the rest of the request needless
//! (RFC 9112 §9.5); any other does not.

use std::fmt;
use std::io;

/// Maximum number of bytes by which a response is judged.
pub(crate) const MAX_PEEK_BYTES: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlyResponse {
    /// Nothing has arrived.
    Nothing,
    /// The connection has ended.
    End,
    /// Its status is 300 or more.
    Refusal,
    /// The beginning of a response whose status has not arrived.
    Incomplete,
    /// A 2xx, or not HTTP at all: the request is sent to its end.
    Other,
    /// TLS records, which only the TLS layer can read.
    Encrypted,
}

impl EarlyResponse {
    /// Judges by the first bytes that have arrived. No bytes mean that the connection has ended.
    pub(crate) fn of(mut bytes: &[u8]) -> EarlyResponse {
        match bytes.first() {
            None => return EarlyResponse::End,
            Some(kind) if TLS_RECORD_TYPES.contains(kind) => return EarlyResponse::Encrypted,
            Some(_) => {}
        }
        loop {
            let start = &bytes[..bytes.len().min(VERSION.len())];
            if !VERSION.starts_with(start) {
                return EarlyResponse::Other;
            }
            // `HTTP/1.1 413`
            let Some(status) = bytes.get(VERSION.len() + 2..VERSION.len() + 5) else {
                return EarlyResponse::Incomplete;
            };
            match status[0] {
                b'1' => {}
                b'3'..=b'5' => return EarlyResponse::Refusal,
                _ => return EarlyResponse::Other,
            }
            // The final response follows an interim one.
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return EarlyResponse::Incomplete;
            };
            bytes = &bytes[end + 4..];
        }
    }
}

const VERSION: &[u8] = b"HTTP/1.";

/// Change of cipher, alert, handshake, data (RFC 8446 §5.1).
const TLS_RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;

/// A connection cannot take more now, and something has arrived on it that only the TLS layer can read.
#[derive(Debug)]
pub(crate) struct InterruptedWrite {
    /// Number of bytes that were sent.
    pub(crate) sent: usize,
    /// Nothing more can be sent.
    pub(crate) is_broken: bool,
}

impl InterruptedWrite {
    pub(crate) fn of(error: &io::Error) -> Option<&InterruptedWrite> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<InterruptedWrite> for ureq::Error {
    fn from(came: InterruptedWrite) -> ureq::Error {
        let kind =
            if came.is_broken { io::ErrorKind::BrokenPipe } else { io::ErrorKind::WouldBlock };
        io::Error::new(kind, came).into()
    }
}

impl fmt::Display for InterruptedWrite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the server sent data that is not HTTP before the request")
    }
}

impl std::error::Error for InterruptedWrite {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_distinguished_from_other_responses() {
        for (bytes, expected) in [
            ("HTTP/1.1 413 Too Large\r\n", EarlyResponse::Refusal),
            ("HTTP/1.0 307", EarlyResponse::Refusal),
            ("HTTP/1.1 500", EarlyResponse::Refusal),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413", EarlyResponse::Refusal),
            ("HTTP/1.1 200 OK\r\n", EarlyResponse::Other),
            ("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 202 Accepted", EarlyResponse::Other),
            ("SSH-2.0-x", EarlyResponse::Other),
            ("HTTP/2 413", EarlyResponse::Other),
            ("HTTP/1.1 41", EarlyResponse::Incomplete),
            ("HT", EarlyResponse::Incomplete),
            ("", EarlyResponse::End),
            ("HTTP/1.1 100 Continue\r\n", EarlyResponse::Incomplete),
            ("HTTP/1.1 100 Continue\r\n\r\n", EarlyResponse::Incomplete),
            ("\u{17}\u{3}\u{3}", EarlyResponse::Encrypted),
        ] {
            assert_eq!(EarlyResponse::of(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
