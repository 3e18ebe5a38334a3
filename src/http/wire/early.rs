//! A response that comes while the request is still being sent: a refusal makes the rest of the request needless
//! (RFC 9112 §9.5); any other does not.

use std::fmt;
use std::io;

/// So much of a response is enough to judge it by.
pub(crate) const ENOUGH: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    Nothing,
    /// Nothing, and nothing will.
    End,
    /// Its status is 300 or more.
    Refusal,
    /// What has come is too little to tell.
    Unclear,
    /// A 2xx, or something that is no HTTP: the request is sent to its end all the same.
    Other,
    /// Whoever has the keys must look.
    Encrypted,
}

impl Early {
    /// Judges by the first bytes that have come; none are the end.
    pub(crate) fn of(mut bytes: &[u8]) -> Early {
        match bytes.first() {
            None => return Early::End,
            Some(kind) if RECORD_KINDS.contains(kind) => return Early::Encrypted,
            Some(_) => {}
        }
        loop {
            let start = &bytes[..bytes.len().min(VERSION.len())];
            if !VERSION.starts_with(start) {
                return Early::Other;
            }
            // `HTTP/1.1 413`
            let Some(status) = bytes.get(VERSION.len() + 2..VERSION.len() + 5) else {
                return Early::Unclear;
            };
            match status[0] {
                b'1' => {}
                b'3'..=b'5' => return Early::Refusal,
                _ => return Early::Other,
            }
            // Behind one that is not the last.
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Early::Unclear };
            bytes = &bytes[end + 4..];
        }
    }
}

const VERSION: &[u8] = b"HTTP/1.";

/// Of TLS: change of cipher, alert, handshake, data (RFC 8446 §5.1).
const RECORD_KINDS: std::ops::RangeInclusive<u8> = 20..=23;

/// A connection under TLS cannot take more now, and something has come on it that only TLS can read.
#[derive(Debug)]
pub(crate) struct SomethingCame {
    /// Of what should have been sent.
    pub(crate) sent: usize,
    /// Nothing more can be sent.
    pub(crate) is_broken: bool,
}

impl SomethingCame {
    pub(crate) fn of(error: &io::Error) -> Option<&SomethingCame> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<SomethingCame> for ureq::Error {
    fn from(came: SomethingCame) -> ureq::Error {
        let kind =
            if came.is_broken { io::ErrorKind::BrokenPipe } else { io::ErrorKind::WouldBlock };
        io::Error::new(kind, came).into()
    }
}

impl fmt::Display for SomethingCame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("something that is no HTTP came before the request was sent")
    }
}

impl std::error::Error for SomethingCame {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_the_rest() {
        for (bytes, expected) in [
            ("HTTP/1.1 413 Too Large\r\n", Early::Refusal),
            ("HTTP/1.0 307", Early::Refusal),
            ("HTTP/1.1 500", Early::Refusal),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413", Early::Refusal),
            ("HTTP/1.1 200 OK\r\n", Early::Other),
            ("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 202 Accepted", Early::Other),
            ("SSH-2.0-x", Early::Other),
            ("HTTP/2 413", Early::Other),
            ("HTTP/1.1 41", Early::Unclear),
            ("HT", Early::Unclear),
            ("", Early::End),
            ("HTTP/1.1 100 Continue\r\n", Early::Unclear),
            ("HTTP/1.1 100 Continue\r\n\r\n", Early::Unclear),
            ("\u{17}\u{3}\u{3}", Early::Encrypted),
        ] {
            assert_eq!(Early::of(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
