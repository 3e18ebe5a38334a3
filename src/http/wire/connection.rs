//! `Connection`: a connection to the server, opened by its first request, and the parts of a request that are kept for the
//! next one.

use crate::http::proxy::ProxyServer;
use crate::http::request::Request;
use crate::http::wire::call_limits::CallLimits;
use crate::http::wire::coalesce::CoalescingConnector;
use crate::http::wire::resolver::CachingResolver;
use crate::http::wire::socket::Socket;
use crate::http::wire::tcp::TcpConnector;
use crate::http::wire::tls::TlsConnector;
use crate::http::wire::tunnel::TunnelConnector;
use std::fmt;
use std::sync::Arc;
use ureq::config::Config;
use ureq::http::header::{HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Response, Uri};
use ureq::unversioned::transport::Connector as _;
use ureq::{Agent, AsSendBody, Body};

/// Header names that most requests have; they are not parsed and copied each time.
static NAMES: [HeaderName; 11] = [
    HeaderName::from_static("accept"),
    HeaderName::from_static("content-type"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("user-agent"),
    HeaderName::from_static("x-amz-date"),
    // The values of these differ each time or are secret, and are not kept.
    HeaderName::from_static("authorization"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-security-token"),
];

/// Header values that most requests have; they need no reference count.
const VALUES: [&str; 2] = ["application/json", "application/json, text/event-stream"];

/// Size of the output buffer, in bytes, unless the head of a request is larger.
const OUTPUT_BYTES: usize = 32 * 1024;

/// The first of these names often have the value that they had in the request before.
const REUSED_VALUES: usize = 8;

/// One connection and its ureq agent.
pub(crate) struct Connection {
    /// Not shared: shutting it down interrupts the call on this connection only.
    agent: Arc<Agent>,
    call_limits: CallLimits,
    output_bytes: usize,
    /// Boxed, because a connection is moved several times per call.
    kept: Box<Reusable>,
}

/// Parts of a request that the next one is likely to have.
#[derive(Default)]
struct Reusable {
    /// The URL as text, and parsed.
    uri: (String, Uri),
    values: [Option<HeaderValue>; REUSED_VALUES],
}

impl Connection {
    /// Creates a connection for requests whose heads have up to `head_bytes` bytes.
    pub(crate) fn new(
        config: &Config,
        tls: &TlsConnector,
        resolver: &CachingResolver,
        proxy: Option<&Arc<ProxyServer>>,
        head_bytes: usize,
    ) -> Connection {
        let call_limits = CallLimits::default();
        let output_bytes = OUTPUT_BYTES.max(head_bytes);
        let tls = tls.for_connection(&call_limits, output_bytes);
        let connector =
            ().chain(TcpConnector { call_limits: call_limits.clone(), output_bytes })
                .chain(TunnelConnector { proxy: proxy.cloned(), tls: tls.clone() })
                .chain(tls)
                .chain(CoalescingConnector);
        let resolver = resolver.for_connection(&call_limits);
        Connection {
            agent: Arc::new(Agent::with_parts(config.clone(), connector, resolver)),
            call_limits,
            output_bytes,
            kept: Box::default(),
        }
    }

    /// Whether a head of this size fits.
    pub(crate) fn has_room_for(&self, head_bytes: usize) -> bool {
        head_bytes <= self.output_bytes
    }

    /// The socket, while the connection can serve another request.
    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        self.call_limits.socket()
    }

    pub(crate) fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    pub(crate) fn call_limits(&self) -> &CallLimits {
        &self.call_limits
    }

    /// Sends the request and reads the head of the response.
    pub(crate) fn send(&mut self, request: &Request<'_>) -> Result<Response<Body>, ureq::Error> {
        self.call_limits.set(request.deadline, request.is_stream);
        if request.method == "POST" {
            self.send_body(request, request.body)
        } else {
            self.send_body(request, ())
        }
    }

    fn send_body(
        &mut self,
        request: &Request<'_>,
        body: impl AsSendBody,
    ) -> Result<Response<Body>, ureq::Error> {
        if self.kept.uri.0 != request.url {
            self.kept.uri = (request.url.to_owned(), request.url.parse().map_err(invalid)?);
        }
        let mut message = ureq::http::Request::new(body);
        *message.method_mut() = request.method.parse().map_err(invalid)?;
        *message.uri_mut() = self.kept.uri.1.clone();
        *message.headers_mut() = self.headers(request)?;
        self.agent.run(message)
    }

    fn headers(&mut self, request: &Request<'_>) -> Result<HeaderMap, ureq::Error> {
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, value) in request.headers {
            let known = NAMES.iter().position(|known| known.as_str() == *name);
            let name = match known {
                Some(known) => NAMES[known].clone(),
                None => HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?,
            };
            let kept = known.and_then(|known| self.kept.values.get_mut(known));
            headers.append(name, value_of(value, kept)?);
        }
        Ok(headers)
    }
}

/// Converts the value for ureq. `kept` is the previous value, which is reused if it is the same and replaced if not.
fn value_of(
    value: &str,
    kept: Option<&mut Option<HeaderValue>>,
) -> Result<HeaderValue, ureq::Error> {
    if let Some(Some(same)) = &kept
        && same.as_bytes() == value.as_bytes()
    {
        return Ok(same.clone());
    }
    let made = match VALUES.iter().find(|known| **known == value) {
        Some(known) => HeaderValue::from_static(known),
        None => HeaderValue::from_bytes(value.as_bytes()).map_err(invalid)?,
    };
    if let Some(kept) = kept {
        *kept = Some(made.clone());
    }
    Ok(made)
}

fn invalid(error: impl Into<ureq::http::Error>) -> ureq::Error {
    ureq::Error::Http(error.into())
}

/// Omits header values, which may be secret.
impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Connection")
    }
}
