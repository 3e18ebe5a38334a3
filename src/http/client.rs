//! `HttpClient` and `Cancel`: connections, TLS roots, time limits, interrupting. The only file that names ureq.
//!
//! Knows nothing of MCP or of signatures: it sends exactly the headers and bytes it is given.

use crate::buffer::{make_room, used_buffer};
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::pool::{MAX_IDLE_AGE, Pool, UnreadBody};
use crate::http::proxy_route::Route;
use crate::http::request::{Request, head_bytes};
use crate::http::url::Endpoint;
use crate::http::wire::connect_error::ConnectError;
use crate::http::wire::connection::Connection;
use crate::http::wire::resolver::CachingResolver;
use crate::http::wire::tls::CaBundle;
use crate::http::wire::tls::TlsConnector;
use crate::sync::cancel::Cancel;
use crate::sync::cancel::OnCancel;
use crate::sync::cancel::cancelled;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::StatusCode;
use ureq::http::header::{HeaderMap, HeaderName, HeaderValue};
use ureq::{Agent, BodyReader, Timeout};

/// The head of a request may not be larger; most servers take less.
const MAX_REQUEST_HEAD_BYTES: usize = 128 * 1024;

/// The head of an answer may not be larger.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A body that announces more than this grows as it comes.
const MAX_RESERVED_BYTES: usize = 256 * 1024 * 1024;

/// So much of a body is read at once.
const READ_BYTES: usize = 32 * 1024;

/// Time limits of every request; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// DNS, TCP and TLS.
    pub connect: Option<Duration>,
    /// Silence while waiting for or reading an answer.
    pub read: Option<Duration>,
    /// Sending.
    pub write: Option<Duration>,
}

/// Sends requests to one server, each call on a connection of its own, kept for the next.
pub struct HttpClient {
    config: Config,
    pub(crate) limits: Limits,
    /// With its port, as messages name it.
    pub(crate) host: String,
    pub(crate) route: Route,
    resolver: CachingResolver,
    pub(crate) tls: TlsConnector,
    pool: Pool,
}

impl HttpClient {
    /// The certificates of `ca_bundle` are trusted beside Mozilla's; `environment` may name a proxy.
    pub fn new(
        endpoint: &Endpoint,
        limits: Limits,
        ca_bundle: &CaBundle,
        environment: &Environment,
    ) -> HttpClient {
        let route = Route::new(endpoint, environment);
        let mut config = Config::builder()
            .user_agent(concat!("sigv4-proxy/", env!("CARGO_PKG_VERSION")))
            .accept("")
            .accept_encoding("")
            // A signature is for one host and path, and its token would leak to another.
            .max_redirects(0)
            // AWS explains itself in the bodies of its errors.
            .http_status_as_error(false)
            .https_only(endpoint.is_https())
            .no_delay(true)
            .max_response_header_size(MAX_HEAD_BYTES)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(MAX_IDLE_AGE)
            .timeout_resolve(limits.connect)
            .timeout_connect(limits.connect)
            .timeout_per_read(limits.read)
            .timeout_per_write(limits.write);
        // ureq would look into the environment itself.
        config = config.proxy(route.proxy().cloned());
        let config = config.build();
        HttpClient {
            limits,
            host: endpoint.authority(),
            route,
            config,
            resolver: CachingResolver::default(),
            tls: TlsConnector::new(ca_bundle),
            pool: Pool::new(true),
        }
    }

    /// Keeps no connection once its request is answered.
    #[must_use]
    pub fn for_one_request(mut self) -> HttpClient {
        self.pool = Pool::new(false);
        self
    }

    /// Sends the request and reads the head of the answer. `cancel` interrupts this and the reading of the body.
    pub fn send<'a>(
        &'a self,
        request: &Request<'_>,
        cancel: &'a Cancel,
    ) -> Result<Response<'a>, Error> {
        // ureq would pass over a proxy that it cannot use, and go straight to the server.
        self.route.check()?;
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let head_bytes = head_bytes(request);
        if head_bytes > MAX_REQUEST_HEAD_BYTES {
            return Err(too_large_head());
        }
        let pooled = self.pool.acquire(request.is_idempotent);
        let pooled = pooled.filter(|connection| connection.has_room_for(head_bytes));
        let is_kept = pooled.is_some();
        let mut connection = pooled.unwrap_or_else(|| {
            Connection::new(&self.config, &self.tls, &self.resolver, head_bytes)
        });
        let agent = Arc::clone(connection.agent());
        let until_cancelled = cancel.on_cancel(move || Agent::clone(&agent).shutdown());
        let answer = connection.send(request);
        let until_cancelled = Some(until_cancelled);
        let mut lease = Lease {
            http: self,
            cancel,
            until_cancelled,
            connection: Some(connection),
            is_reusable: true,
        };
        match answer {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                lease.is_reusable = !has_impossible_body(parts.status, &parts.headers);
                Ok(Response {
                    status: parts.status.as_u16(),
                    headers: parts.headers,
                    length: body.content_length(),
                    body: body.into_reader(),
                    lease,
                })
            }
            Err(_) if cancel.is_cancelled() => Err(cancelled()),
            Err(error) => {
                // Whatever it was: the next attempt may find the host elsewhere.
                self.resolver.forget();
                if is_kept && matches!(error, ureq::Error::Io(_)) {
                    self.pool.record_dead_connection();
                }
                Err(self.to_error(&error))
            }
        }
    }

    /// What went wrong before there was an answer.
    pub(crate) fn to_error(&self, error: &ureq::Error) -> Error {
        let (host, route) = (&self.host, &self.route);
        match error {
            ureq::Error::HostNotFound => route.not_found(host),
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                let limit = self.limits.connect.unwrap_or_default().as_secs_f64();
                let way = route.way(host);
                let what = format!(
                    "connecting to {way} took longer than {limit} s (DNS, TCP or TLS handshake timeout)"
                );
                let variable = route.variable();
                Error::new(Kind::TimedOut, what)
                    .hint(format!("check firewall and {variable}, or raise --connect-timeout"))
            }
            ureq::Error::Other(error) if error.is::<ConnectError>() => {
                let why = error.downcast_ref().map(|ConnectError(error)| error);
                route.not_connected(host, why)
            }
            ureq::Error::ConnectionFailed => route.not_connected(host, None),
            ureq::Error::ConnectProxyFailed(why) => route.not_tunnelled(host, why),
            ureq::Error::Other(error) => match error.downcast_ref::<io::Error>() {
                // rustls tells its own errors as invalid data; with others the handshake broke off.
                Some(error) if error.kind() != io::ErrorKind::InvalidData => broken(error)
                    .context(format!("TLS handshake with {}", route.way(host)))
                    .hint("is this the port of an https server? check HTTPS_PROXY, too")
                    .unsent(),
                _ => self.tls_error(error),
            },
            ureq::Error::Io(error) => {
                broken(error).context(format!("connection to {}", route.way(host)))
            }
            other => during_exchange(other).context(format!("request to {}", route.way(host))),
        }
    }

    fn tls_error(&self, error: &dyn fmt::Display) -> Error {
        let text = error.to_string();
        let is_certificate = text.contains("certificate");
        let issuer = self.tls.last_refused_issuer().filter(|_| is_certificate);
        let by = issuer.map(|issuer| format!(" (issued by {issuer})")).unwrap_or_default();
        let hint = if text.contains("UnknownIssuer") {
            "if the network inspects TLS, name its CA certificate with --ca-bundle FILE"
        } else if text.contains("not valid for") {
            "compare the host of the URL with the names in the certificate"
        } else if text.contains("expired") || text.contains("not valid yet") {
            "check the clock of this machine; if it is right, have the server's certificate renewed"
        } else if is_certificate {
            "have the server's certificate looked at"
        } else {
            "is this the port of an https server? check HTTPS_PROXY, too"
        };
        Error::new(Kind::InvalidResponse, format!("TLS with {}: {text}{by}", self.host)).hint(hint)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Http({})", self.host)
    }
}

/// An answer whose body is read from it as it arrives.
pub struct Response<'a> {
    status: u16,
    headers: HeaderMap,
    length: Option<u64>,
    // Before the lease: the connection must be back in the agent's pool when the agent is lent again.
    body: BodyReader<'static>,
    lease: Lease<'a>,
}

impl Response<'_> {
    pub fn status(&self) -> u16 {
        self.status
    }

    /// When the reading of the body must be over; counts from the next read on.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        if let Some(connection) = &self.lease.connection {
            connection.call_limits().set_deadline(deadline);
        }
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Has done with it once its status says everything: the body is not waited for, and the connection kept only if the
    /// body is there already or comes soon.
    pub fn finish(self) {
        let Response { headers, length, body, mut lease, .. } = self;
        let media_type = headers.get("content-type").map(HeaderValue::as_bytes).unwrap_or_default();
        let may_end = length.is_some() || headers.contains_key("transfer-encoding");
        if media_type.starts_with(b"text/event-stream") || !may_end {
            drop(body);
        } else {
            lease.end(Some(UnreadBody::new(body)));
        }
    }

    /// The whole body, if it has no more than `max_bytes`.
    pub fn read_whole(&mut self, max_bytes: usize) -> Result<Vec<u8>, Error> {
        let too_large = || {
            Error::new(
                Kind::TooLarge,
                format!("the server's answer is larger than {max_bytes} bytes"),
            )
            .hint("raise --max-message-bytes")
        };
        let announced = usize::try_from(self.length.unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > max_bytes {
            return Err(too_large());
        }
        // A byte more than announced: there the end is seen, and there is room for a newline. Pages that the server
        // only announced are never touched.
        let expected = announced.min(MAX_RESERVED_BYTES) + 1;
        let mut body = used_buffer(expected);
        if body.is_empty() {
            make_room(&mut body, expected);
        }
        let mut length = 0;
        loop {
            if length == body.len() {
                if length == body.capacity() {
                    make_room(&mut body, length.max(READ_BYTES));
                }
                // What is zeroed for a moment is small enough to stay in the processor's cache.
                body.resize(length + READ_BYTES.min(body.capacity() - length), 0);
            }
            let end = body.len().min(length + READ_BYTES);
            let count = read_some(&mut self.body, &mut body[length..end]).map_err(read_error)?;
            length += count;
            if count == 0 {
                body.truncate(length);
                return Ok(body);
            }
            if length > max_bytes {
                return Err(too_large());
            }
        }
    }

    /// The beginning of the body, `max_bytes` at most; errors end it.
    pub fn read_beginning(&mut self, max_bytes: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        // What was read before an error stays in `body`, and is all that can be told.
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
        write!(out, "Response({})", self.status)
    }
}

/// Whether the answer speaks of a body that its status rules out. What follows on the connection may be that body, and
/// would be read as the next answer.
fn has_impossible_body(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::NO_CONTENT
        && (headers.contains_key("transfer-encoding")
            || headers.contains_key("content-type")
            || headers.get("content-length").is_some_and(|length| length != "0"))
}

/// A connection on loan; it goes back when the call is over, unless the call was cancelled.
struct Lease<'a> {
    http: &'a HttpClient,
    cancel: &'a Cancel,
    until_cancelled: Option<OnCancel<'a>>,
    connection: Option<Connection>,
    is_reusable: bool,
}

impl Lease<'_> {
    fn end(&mut self, rest: Option<UnreadBody>) {
        // First, so that it is not shut down for the next call.
        self.until_cancelled = None;
        if let Some(connection) = self.connection.take()
            && self.is_reusable
            && !self.cancel.is_cancelled()
        {
            self.http.pool.release(connection, rest);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// Whether a header may have this name (RFC 9110 §5.1).
pub(crate) fn is_header_name(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Whether a header may be sent at all: a token for a name, and a value without control characters.
pub fn check_header(name: &str, value: &str) -> Result<(), Error> {
    if !is_header_name(name) {
        return Err(Error::new(Kind::Usage, format!("header name {name:?} is not a token")));
    }
    // The value may be a secret, so it is not shown.
    if HeaderValue::from_str(value).is_err() && HeaderValue::from_bytes(value.as_bytes()).is_err() {
        return Err(Error::new(
            Kind::Usage,
            format!("the value of header {name} has a control character"),
        ));
    }
    Ok(())
}

fn too_large_head() -> Error {
    let kib = MAX_REQUEST_HEAD_BYTES / 1024;
    Error::new(Kind::TooLarge, format!("the head of the request is larger than {kib} KiB"))
        .hint("shorten the URL or the values of --header")
        .unsent()
}

fn read_some(reader: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A failure while an answer's body was read.
pub(crate) fn read_error(error: io::Error) -> Error {
    during_exchange(&ureq::Error::from(error))
}

fn during_exchange(error: &ureq::Error) -> Error {
    match error {
        ureq::Error::Timeout(Timeout::Global) => {
            Error::new(Kind::TimedOut, "the time limit of the request passed")
                .hint("raise --timeout, or --tool-timeout for tools/call")
        }
        ureq::Error::Timeout(Timeout::PerRead) => {
            Error::new(Kind::TimedOut, "the server was silent for too long")
                .hint("raise --read-timeout")
        }
        ureq::Error::Timeout(Timeout::PerWrite) => {
            Error::new(Kind::TimedOut, "the server did not take the request in time")
                .hint("raise --write-timeout")
        }
        ureq::Error::LargeResponseHeader(..) => Error::new(
            Kind::InvalidResponse,
            format!("the head of the server's answer is larger than {MAX_HEAD_BYTES} bytes"),
        ),
        ureq::Error::Io(error) => broken(error),
        ureq::Error::Protocol(error) => Error::new(
            Kind::InvalidResponse,
            format!("the server's answer is not proper HTTP: {error}"),
        ),
        other => Error::new(Kind::Unreachable, other.to_string()),
    }
}

pub(crate) fn broken(error: &io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the connection ended before the answer was whole".to_owned()
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "the connection was reset".to_owned(),
        io::ErrorKind::InvalidData => format!("TLS: {error}"),
        _ => error.to_string(),
    };
    Error::new(Kind::Unreachable, what).hint("the request may have reached the server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_call_begins_nothing() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(cancel.sleep(Duration::from_secs(60)));
        let endpoint = Endpoint::parse("http://127.0.0.1:9/").expect("a URL");
        let limits = Limits { connect: None, read: None, write: None };
        let http =
            HttpClient::new(&endpoint, limits, &CaBundle::default(), &Environment::default());
        let request = Request {
            method: "GET",
            url: "http://127.0.0.1:9/",
            headers: &[],
            body: b"",
            deadline: None,
            is_stream: false,
            is_idempotent: true,
        };
        let error = http.send(&request, &cancel).expect_err("nothing is sent");
        assert_eq!(error.kind(), Kind::Cancelled);
    }

    #[test]
    fn headers() {
        assert!(check_header("X-Team", "a b, c=d é").is_ok());
        for (name, value) in
            [("a b", "c"), ("", "c"), ("a", "b\r\nc: d"), ("a", "b\u{b}"), ("a:", "b")]
        {
            assert!(check_header(name, value).is_err(), "{name:?}: {value:?}");
        }
    }
}
