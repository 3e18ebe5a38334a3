//! `UnsignedRequest`: a request before it is signed, and the URL that it goes to.

use crate::http::url::Endpoint;
use crate::signing::{CanonicalTarget, Header, Payload, UriEncoding};
use std::time::Instant;

/// A URL of the server, as it is sent and as it is signed.
#[derive(Debug)]
pub(crate) struct RequestTarget {
    pub(crate) url: String,
    /// For which cookies are chosen.
    pub(crate) path: String,
    encoded_once: CanonicalTarget,
    encoded_twice: CanonicalTarget,
}

impl RequestTarget {
    pub(crate) fn new(endpoint: &Endpoint) -> RequestTarget {
        let (host, path, query) = (endpoint.host_header(), endpoint.path(), endpoint.query());
        let canonical = |encoding| CanonicalTarget::new(&host, path, query, encoding);
        RequestTarget {
            url: endpoint.to_string(),
            path: path.to_owned(),
            encoded_once: canonical(UriEncoding::Single),
            encoded_twice: canonical(UriEncoding::Double),
        }
    }

    pub(crate) fn canonical(&self, encoding: UriEncoding) -> &CanonicalTarget {
        match encoding {
            UriEncoding::Single => &self.encoded_once,
            UriEncoding::Double => &self.encoded_twice,
        }
    }
}

/// A request before it is signed.
#[derive(Debug)]
pub(crate) struct UnsignedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a RequestTarget,
    pub(crate) headers: &'a [Header<'a>],
    pub(crate) body: &'a [u8],
    /// The body as it enters the signature, by the rules of the service when it was computed; `None` without a body.
    pub(crate) payload: Option<&'a Payload>,
    /// When the response must have been read.
    pub(crate) deadline: Option<Instant>,
    /// The response is a standing stream, without an idle timeout.
    pub(crate) is_stream: bool,
    /// Sending it twice does no harm.
    pub(crate) is_idempotent: bool,
}

impl<'a> UnsignedRequest<'a> {
    /// An idempotent request without a body.
    pub(crate) fn new(
        method: &'a str,
        target: &'a RequestTarget,
        headers: &'a [Header<'a>],
        deadline: Option<Instant>,
    ) -> UnsignedRequest<'a> {
        UnsignedRequest {
            method,
            target,
            headers,
            body: b"",
            payload: None,
            deadline,
            is_stream: false,
            is_idempotent: true,
        }
    }
}
