//! `Response`: status and headers, and a body that is read as it arrives.

use crate::buffer::make_room;
use crate::error::{Error, Kind};
use crate::http::body::{BodyKind, ResponseBody};
use crate::http::content_coding::UnrequestedCoding;
use crate::http::date::parse_date;
use crate::http::errors::read_error;
use crate::http::idle::UnreadBody;
use crate::http::lease::Lease;
use std::fmt;
use std::io::{self, Read};
use std::time::Instant;
use time::OffsetDateTime;
use ureq::Body;
use ureq::http::StatusCode;
use ureq::http::header::HeaderMap;

/// The buffer of a body that announces more than this grows as the body arrives.
const MAX_RESERVED_BYTES: usize = 256 * 1024 * 1024;

/// Size of one read of a body.
const READ_BYTES: usize = 32 * 1024;

const EVENT_STREAM: &str = "text/event-stream";

/// A response whose body is read from it as it arrives.
pub(crate) struct Response<'a> {
    status: StatusCode,
    headers: HeaderMap,
    length: Option<u64>,
    // Before the lease: the connection must be back in the agent's pool when the agent is lent again.
    body: ResponseBody,
    lease: Lease<'a>,
}

impl<'a> Response<'a> {
    pub(crate) fn new(response: ureq::http::Response<Body>, mut lease: Lease<'a>) -> Response<'a> {
        let (parts, body) = response.into_parts();
        if has_impossible_body(parts.status, &parts.headers) {
            lease.close_at_end();
        }
        let length = body.content_length();
        let coding = UnrequestedCoding::of(&parts.headers).filter(|_| length != Some(0));
        Response {
            status: parts.status,
            headers: parts.headers,
            length,
            body: ResponseBody::new(body.into_reader(), coding),
            lease,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The first header of this name, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its `Date`, unless it comes from a cache.
    pub(crate) fn own_date(&self) -> Option<OffsetDateTime> {
        self.header("date").filter(|_| self.header("age").is_none()).and_then(parse_date)
    }

    /// All headers of this name that are text.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).iter();
        values.filter_map(|value| str::from_utf8(value.as_bytes()).ok())
    }

    /// Names, in lower case, and values of all headers that are text.
    pub(crate) fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |value| str::from_utf8(value).ok();
        let headers = self.headers.iter();
        headers.filter_map(move |(name, value)| Some((name.as_str(), text(value.as_bytes())?)))
    }

    /// Sets when the reading of the body must be over, from the next read on.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        self.lease.set_deadline(deadline);
    }

    /// Makes the reading of the body end by then, if it has no earlier deadline.
    pub(crate) fn shorten_deadline(&self, deadline: Option<Instant>) {
        self.lease.shorten_deadline(deadline);
    }

    /// Ends a response of which only the status counts. The body is not waited for, and the connection is kept only if the
    /// body has already arrived or arrives soon.
    pub(crate) fn finish(self) {
        let Response { headers, length, body, mut lease, .. } = self;
        let media_type = media_type(&headers);
        let may_end = length.is_some() || headers.contains_key("transfer-encoding");
        if media_type.eq_ignore_ascii_case(EVENT_STREAM) || !may_end {
            drop(body);
        } else {
            lease.end(Some(UnreadBody::new(body.into_reader())));
        }
    }

    /// `Content-Type` without parameters; empty without one. Some servers send two, of which the first counts.
    pub(crate) fn media_type(&self) -> &str {
        media_type(&self.headers)
    }

    /// Whether the body is declared as an event stream.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.media_type().eq_ignore_ascii_case(EVENT_STREAM)
    }

    /// Whether a body that begins so is a page for people.
    pub(crate) fn is_page(&self, body: &[u8]) -> bool {
        let body = body.trim_ascii_start();
        let begins = |text: &str| {
            body.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
        };
        self.media_type().eq_ignore_ascii_case("text/html")
            || begins("<!doctype html")
            || begins("<html")
    }

    /// Whether the body is an event stream, declared or not. Waits for its first bytes if it is not declared.
    pub(crate) fn opens_event_stream(&mut self) -> bool {
        self.is_event_stream() || self.body_kind().is_ok_and(|kind| kind == BodyKind::EventStream)
    }

    /// Fails if the body is encoded, as every read of it does.
    pub(crate) fn check_coding(&self) -> Result<(), Error> {
        self.body.check_coding().map_err(read_error)
    }

    /// What the body is, whatever `Content-Type` says. Call it before reading the body; it waits for the first bytes.
    pub(crate) fn body_kind(&mut self) -> Result<BodyKind, Error> {
        match self.body.kind().map_err(read_error)? {
            BodyKind::Other if self.is_event_stream() => Ok(BodyKind::EventStream),
            BodyKind::Other if is_json(self.media_type()) => Ok(BodyKind::Json),
            kind => Ok(kind),
        }
    }

    /// Reads the whole body. Fails if it is larger than `max_bytes`, or encoded.
    pub(crate) fn read_whole(&mut self, max_bytes: usize) -> Result<Vec<u8>, Error> {
        let too_large = || {
            Error::new(
                Kind::TooLarge,
                format!("the server's response is larger than {max_bytes} bytes"),
            )
            .hint("raise --max-message-bytes")
        };
        let announced = usize::try_from(self.length.unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > max_bytes {
            return Err(too_large());
        }
        // One byte more than announced, so that the end is seen without growing, and for a newline. Pages that the server
        // only announced are never touched.
        let expected = announced.min(MAX_RESERVED_BYTES) + 1;
        let mut body = Vec::new();
        make_room(&mut body, expected);
        loop {
            if body.len() == body.capacity() {
                let so_far = body.len();
                make_room(&mut body, so_far.max(READ_BYTES));
            }
            let room = (body.capacity() - body.len()).min(max_bytes.saturating_add(1) - body.len());
            let mut piece = (&mut self.body).take(room as u64);
            let count = piece.read_to_end(&mut body).map_err(read_error)?;
            if body.len() > max_bytes {
                return Err(too_large());
            }
            if count < room {
                return Ok(body);
            }
        }
    }

    /// Reads the beginning of the body, `max_bytes` at most. Errors end it.
    pub(crate) fn read_beginning(&mut self, max_bytes: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        // What was read before an error stays in `body`.
        let _ = (&mut self.body).take(limit).read_to_end(&mut body);
        body
    }
}

impl Read for Response<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.body.read(into)
    }
}

impl fmt::Debug for Response<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Response({})", self.status.as_u16())
    }
}

/// Whether the response announces a body that its status rules out. What follows on the connection may be that body, and
/// would be read as the next response.
fn has_impossible_body(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::NO_CONTENT
        && (headers.contains_key("transfer-encoding")
            || headers.contains_key("content-type")
            || headers.get("content-length").is_some_and(|length| length != "0"))
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get("content-type").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split([';', ',']).next().unwrap_or_default().trim()
}

/// `application/json` and the like.
fn is_json(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    media_type.ends_with("/json") || media_type.ends_with("+json")
}
