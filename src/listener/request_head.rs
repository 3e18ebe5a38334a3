//! `RequestHead`: the first line and the headers of a request (RFC 9112), read strictly. What two programs could read differently is
//! refused: with another proxy in front, it could hide a second request (request smuggling).

use crate::error::Kind;
use crate::listener::refusal::{Refusal, malformed, refused};
use crate::listener::request::Headers;

/// Bounds of a head: its size in bytes, and the number of its headers.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// Headers that may occur only once, in addition to those that begin with `Mcp-`.
const SINGLE: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "authorization",
    "origin",
    "expect",
    "last-event-id",
    "access-control-request-headers",
];

#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) verb: Verb,
    /// Without the query.
    pub(crate) path: String,
    /// The host that is addressed, with its port; in HTTP/1.0 it may be missing.
    pub(crate) authority: Option<String>,
    pub(crate) is_http_1_0: bool,
    pub(crate) headers: Headers,
    pub(crate) body: BodyLength,
    /// The client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
    pub(crate) keeps_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Post,
    Get,
    Delete,
    Head,
    Options,
    Other,
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Bytes(u64),
    Chunked,
}

/// Reads a head. `None`: it is not complete. Otherwise also its length in bytes. Up to `scanned`, which is advanced, earlier calls
/// have seen the bytes.
pub(crate) fn read(
    bytes: &[u8],
    scanned: &mut usize,
) -> Result<Option<(RequestHead, usize)>, Refusal> {
    refuse_other_protocol(bytes)?;
    let end = end_of_head(bytes, scanned)?;
    if end.unwrap_or(bytes.len()) > MAX_HEAD_BYTES {
        return Err(too_large());
    }
    let Some(end) = end else { return Ok(None) };
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parser = httparse::Request::new(&mut fields);
    match parser.parse(&bytes[..end]) {
        Ok(httparse::Status::Complete(length)) if length == end => {}
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(httparse::Error::Version) if names_version(&bytes[..end]) => {
            let fix = "send HTTP/1.1";
            return Err(refused("not HTTP/1.1", 505, Kind::InvalidRequest, fix));
        }
        Ok(_) | Err(_) => return Err(malformed("the request is not HTTP/1.1")),
    }
    let mut headers = Headers::default();
    for field in &*parser.headers {
        let value = str::from_utf8(field.value);
        headers.add(field.name, value.map_err(|_| malformed("a header is not UTF-8"))?);
    }
    let is_http_1_0 = parser.version == Some(0);
    let target = parser.path.unwrap_or_default();
    let verb = match parser.method.unwrap_or_default() {
        "POST" => Verb::Post,
        "GET" => Verb::Get,
        "DELETE" => Verb::Delete,
        "HEAD" => Verb::Head,
        "OPTIONS" => Verb::Options,
        _ => Verb::Other,
    };
    refuse_repeated(&headers)?;
    let (path, authority) = addressed(target, &headers, is_http_1_0)?;
    let head = RequestHead {
        verb,
        path,
        authority,
        is_http_1_0,
        body: body_length(&headers, is_http_1_0)?,
        expects_continue: expects_continue(&headers, is_http_1_0)?,
        keeps_alive: keeps_alive(&headers, is_http_1_0),
        headers,
    };
    Ok(Some((head, end)))
}

/// Whether the first line is one of HTTP, if not of a version that is known.
fn names_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    words.next().is_some_and(|word| word.starts_with(b"HTTP/")) && words.next().is_none()
}

/// Refuses what cannot be the beginning of a request, whose end might never come.
fn refuse_other_protocol(bytes: &[u8]) -> Result<(), Refusal> {
    match bytes {
        // A record of a TLS handshake.
        [0x16, ..] => {
            let fix = "connect with http://, or put a program that terminates TLS in front";
            Err(refused("the client speaks TLS", 400, Kind::InvalidRequest, fix))
        }
        [] => Ok(()),
        [first, ..] if first.is_ascii_graphic() => Ok(()),
        _ => Err(malformed("the request is not HTTP/1.1")),
    }
}

/// Where the head ends. All its lines must end in a carriage return and a line feed.
fn end_of_head(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, Refusal> {
    for at in memchr::memchr_iter(b'\n', &bytes[*scanned..]) {
        let at = *scanned + at;
        let line = &bytes[..at];
        if !line.ends_with(b"\r") {
            return Err(malformed("a line of the head ends without a carriage return"));
        }
        if line.ends_with(b"\r\n\r") {
            *scanned = at + 1;
            return Ok(Some(at + 1));
        }
    }
    *scanned = bytes.len();
    Ok(None)
}

fn too_large() -> Refusal {
    let fix = "send at most 64 KiB and 128 headers";
    refused("the request headers are too large", 431, Kind::TooLarge, fix)
}

fn refuse_repeated(headers: &Headers) -> Result<(), Refusal> {
    let is_single = |name: &str| {
        let is_mcp = name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("mcp-"));
        is_mcp || SINGLE.iter().any(|single| name.eq_ignore_ascii_case(single))
    };
    for (name, _) in headers.iter().filter(|(name, _)| is_single(name)) {
        if headers.all(name).count() > 1 {
            return Err(malformed(&format!("the header {name} is given twice")));
        }
    }
    Ok(())
}

/// The path and the authority of a target: `/path`, or `http://host/path` (RFC 9112 §3.2).
fn addressed(
    target: &str,
    headers: &Headers,
    is_http_1_0: bool,
) -> Result<(String, Option<String>), Refusal> {
    let host = headers.get("host");
    if host.is_none() && !is_http_1_0 {
        return Err(malformed("the header Host is missing"));
    }
    if target.contains('#') || !target.is_ascii() {
        return Err(malformed("the target of the request is not a path"));
    }
    let without_query = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
    // A path that `OPTIONS *` and CONNECT do not have is not found.
    if target.starts_with('/') || target == "*" {
        return Ok((without_query(target), host.map(str::to_owned)));
    }
    let absolute = target.split_once("://");
    let absolute = absolute.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http"));
    let Some((_, rest)) = absolute else {
        return Err(malformed("the target of the request is not a path"));
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
        return Err(malformed("target and Host name different hosts"));
    }
    let path = without_query(path);
    Ok((if path.is_empty() { "/".to_owned() } else { path }, Some(authority.to_owned())))
}

/// How long the body is (RFC 9112 §6.3). What names two lengths, or none that can be relied on, is refused.
fn body_length(headers: &Headers, is_http_1_0: bool) -> Result<BodyLength, Refusal> {
    let length = headers.get("content-length");
    match (headers.get("transfer-encoding"), length) {
        (Some(_), Some(_)) => {
            Err(malformed("the body has both Content-Length and Transfer-Encoding"))
        }
        (Some(_), None) if is_http_1_0 => Err(malformed("HTTP/1.0 has no Transfer-Encoding")),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(BodyLength::Chunked),
        (Some(_), None) => Err(malformed("Transfer-Encoding is not chunked")),
        (None, Some(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = text.parse().map(BodyLength::Bytes);
            length.map_err(|_| malformed("Content-Length is not a number"))
        }
        (None, Some(_)) => Err(malformed("Content-Length is not a number")),
        (None, None) => Ok(BodyLength::Bytes(0)),
    }
}

fn expects_continue(headers: &Headers, is_http_1_0: bool) -> Result<bool, Refusal> {
    match headers.get("expect") {
        Some(_) if is_http_1_0 => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("100-continue") => Ok(true),
        Some(_) => {
            let fix = "expect 100-continue or nothing";
            Err(refused("unsupported Expect header", 417, Kind::InvalidRequest, fix))
        }
        None => Ok(false),
    }
}

/// Whether the connection may be used again (RFC 9112 §9.3).
fn keeps_alive(headers: &Headers, is_http_1_0: bool) -> bool {
    let has = |wanted: &str| {
        let mut options = headers.all("connection").flat_map(|value| value.split(','));
        options.any(|option| option.trim().eq_ignore_ascii_case(wanted))
    };
    !has("close") && (!is_http_1_0 || has("keep-alive"))
}
