//! `Connection`: a connection to the server, opened by its first request.

use crate::http::proxy::ProxyServer;
use crate::http::request::Request;
use crate::http::wire::buffers::OutputSize;
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
use ureq::http::Response;
use ureq::http::header::{HeaderMap, HeaderName, HeaderValue};
use ureq::unversioned::transport::Connector as _;
use ureq::{Agent, AsSendBody, Body};

/// One connection and its ureq agent.
pub(crate) struct Connection {
    /// Not shared: shutting it down interrupts the call on this connection only.
    agent: Arc<Agent>,
    call_limits: CallLimits,
    output_size: OutputSize,
}

impl Connection {
    pub(crate) fn new(
        config: &Config,
        tls: &TlsConnector,
        resolver: &CachingResolver,
        proxy: Option<&Arc<ProxyServer>>,
    ) -> Connection {
        let call_limits = CallLimits::default();
        let output_size = OutputSize::default();
        let tls = tls.for_connection(&call_limits, &output_size);
        let tcp =
            TcpConnector { call_limits: call_limits.clone(), output_size: output_size.clone() };
        let connector =
            ().chain(tcp)
                .chain(TunnelConnector { proxy: proxy.cloned(), tls: tls.clone() })
                .chain(tls)
                .chain(CoalescingConnector { call_limits: call_limits.clone() });
        let resolver = resolver.for_connection(&call_limits);
        Connection {
            agent: Arc::new(Agent::with_parts(config.clone(), connector, resolver)),
            call_limits,
            output_size,
        }
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

    /// Sends the request, whose head has up to `head_bytes` bytes, and reads the head of the response.
    pub(crate) fn send(
        &self,
        request: &Request<'_>,
        head_bytes: usize,
    ) -> Result<Response<Body>, ureq::Error> {
        self.output_size.set(head_bytes, request.body.len());
        self.call_limits.set(request.deadline, request.is_stream);
        if request.method == "POST" {
            self.send_body(request, request.body)
        } else {
            self.send_body(request, ())
        }
    }

    fn send_body(
        &self,
        request: &Request<'_>,
        body: impl AsSendBody,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut message = ureq::http::Request::new(body);
        *message.method_mut() = request.method.parse().map_err(invalid)?;
        *message.uri_mut() = request.url.parse().map_err(invalid)?;
        *message.headers_mut() = headers(request)?;
        self.agent.run(message)
    }
}

fn headers(request: &Request<'_>) -> Result<HeaderMap, ureq::Error> {
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).map_err(invalid)?);
    }
    Ok(headers)
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
