//! `Request`: a request to send, and the check of its headers.

use crate::error::{Error, Kind};
use crate::signing::Header;
use std::time::Instant;
use ureq::http::header::{HeaderName, HeaderValue};

/// What the HTTP client adds to the head of a request, in bytes: the host, the length and the like.
const ADDED_BYTES: usize = 512;

/// Maximum size of the head of a request; most servers take less.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// A request as it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// In wire form.
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [Header<'a>],
    /// Sent with POST; other methods have none.
    pub(crate) body: &'a [u8],
    /// When the response must have been read.
    pub(crate) deadline: Option<Instant>,
    /// The response is a standing stream, on which silence is normal.
    pub(crate) is_stream: bool,
    /// Sending it twice does no harm, so a connection that the server may be about to close will do.
    pub(crate) is_idempotent: bool,
}

impl<'a> Request<'a> {
    /// An idempotent request without a body and without a deadline.
    pub(crate) fn new(method: &'a str, url: &'a str, headers: &'a [Header<'a>]) -> Request<'a> {
        Request {
            method,
            url,
            headers,
            body: b"",
            deadline: None,
            is_stream: false,
            is_idempotent: true,
        }
    }

    /// Maximum size of the head on the wire. Fails if it is too large to be sent.
    pub(crate) fn head_bytes(&self) -> Result<usize, Error> {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
        let bytes = ADDED_BYTES + self.url.len() + headers.sum::<usize>();
        if bytes <= MAX_HEAD_BYTES {
            return Ok(bytes);
        }
        let kib = MAX_HEAD_BYTES / 1024;
        Err(Error::new(Kind::TooLarge, format!("the request headers are larger than {kib} KiB"))
            .hint("shorten the URL or the values of --header")
            .unsent())
    }
}

/// Whether a header may have this name (RFC 9110 §5.1).
pub(crate) fn is_header_name(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Checks that a header can be sent: a token for a name, and a value without control characters.
pub fn check_header(name: &str, value: &str) -> Result<(), Error> {
    if !is_header_name(name) {
        return Err(Error::new(Kind::Usage, format!("header name {name:?} is not a token")));
    }
    // The value may be a secret, so it is not shown.
    if HeaderValue::from_bytes(value.as_bytes()).is_err() {
        return Err(Error::new(
            Kind::Usage,
            format!("the value of header {name} has a control character"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_and_text_make_headers() {
        assert!(check_header("X-Team", "a b, c=d é").is_ok());
        for (name, value) in
            [("a b", "c"), ("", "c"), ("a", "b\r\nc: d"), ("a", "b\u{b}"), ("a:", "b")]
        {
            assert!(check_header(name, value).is_err(), "{name:?}: {value:?}");
        }
    }
}
