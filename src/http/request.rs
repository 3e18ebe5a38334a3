//! `Request`: what goes on the wire, as the other rooms give it.

use crate::signing::Header;
use std::time::Instant;

/// What the HTTP client adds to the head of a request: the host, the length and the like.
const ADDED_BYTES: usize = 512;

/// A request as it goes on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// In wire form.
    pub url: &'a str,
    pub headers: &'a [Header<'a>],
    /// Sent with POST; other methods have none.
    pub body: &'a [u8],
    /// When the whole exchange, the reading of the answer included, must be over.
    pub deadline: Option<Instant>,
    /// A standing stream, on which silence is normal.
    pub is_stream: bool,
    /// Sending it twice does no harm, so it may risk a connection that the server is about to close.
    pub is_idempotent: bool,
}

/// The most that the head of the request takes on the wire.
pub(crate) fn head_bytes(request: &Request<'_>) -> usize {
    let headers = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
    ADDED_BYTES + request.url.len() + headers.sum::<usize>()
}
