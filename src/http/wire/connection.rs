//! `Connection`: a connection to the server, opened by its first request or before it.

use crate::http::proxy::ProxyServer;
use crate::http::request::Request;
use crate::http::wire::buffers::OutputSize;
use crate::http::wire::call_limits::{CallLimits, Purpose};
use crate::http::wire::coalesce::CoalescingConnector;
use crate::http::wire::request_head::HeadBuilder;
use crate::http::wire::resolver::{CachingResolver, NoLookup};
use crate::http::wire::socket::Socket;
use crate::http::wire::tcp::TcpConnector;
use crate::http::wire::tls::TlsConnector;
use crate::http::wire::tunnel::TunnelConnector;
use crate::sync::cancel::Waker;
use crate::sync::lock;
use std::fmt;
use std::sync::{Arc, Mutex};
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::transport::Connector as _;
use ureq::{Agent, AsSendBody, Body};

/// The server, and the settings that all connections to it share.
pub(crate) struct Destination {
    /// A URL of the server.
    pub(crate) url: Uri,
    pub(crate) config: Config,
    pub(crate) resolver: CachingResolver,
    pub(crate) proxy: Option<Arc<ProxyServer>>,
    pub(crate) tls: TlsConnector,
}

/// One connection and its ureq agent.
pub(crate) struct Connection {
    /// Not shared: shutting it down interrupts the call on this connection only.
    agent: Agent,
    waker: Waker,
    call_limits: CallLimits,
    output_size: OutputSize,
    destination: Arc<Destination>,
    head_builder: Mutex<HeadBuilder>,
}

impl Connection {
    /// Creates a connection. Its first call opens it. In a box, since it passes through many hands.
    pub(crate) fn new(destination: &Arc<Destination>) -> Box<Connection> {
        let Destination { config, resolver, proxy, tls, .. } = &**destination;
        let call_limits = CallLimits::default();
        let output_size = OutputSize::default();
        let tls = tls.for_connection(&call_limits, &output_size);
        let tcp = TcpConnector {
            resolver: resolver.clone(),
            call_limits: call_limits.clone(),
            output_size: output_size.clone(),
        };
        let connector =
            ().chain(tcp)
                .chain(TunnelConnector { proxy: proxy.clone(), tls: tls.clone() })
                .chain(tls)
                .chain(CoalescingConnector { call_limits: call_limits.clone() });
        let agent = Agent::with_parts(config.clone(), connector, NoLookup);
        let to_shut_down = agent.clone();
        Box::new(Connection {
            agent,
            waker: Arc::new(move || to_shut_down.clone().shutdown()),
            call_limits,
            output_size,
            destination: Arc::clone(destination),
            head_builder: Mutex::default(),
        })
    }

    /// The socket, while the connection can serve another request.
    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        self.call_limits.socket()
    }

    /// What interrupts the call on this connection.
    pub(crate) fn waker(&self) -> Waker {
        Arc::clone(&self.waker)
    }

    pub(crate) fn call_limits(&self) -> &CallLimits {
        &self.call_limits
    }

    /// Opens the connection for a later request; nothing is sent.
    pub(crate) fn open(&self) -> Result<(), ureq::Error> {
        self.call(Purpose::Open)
    }

    /// Whether the connection is open and nothing of a response has arrived. Does not wait.
    pub(crate) fn is_open(&self) -> bool {
        // Nothing to read is the rule. What there is, TLS may have to read.
        self.socket().is_some_and(|socket| socket.is_silent() || self.call(Purpose::Check).is_ok())
    }

    /// A call that sends nothing.
    fn call(&self, purpose: Purpose) -> Result<(), ureq::Error> {
        self.call_limits.set_purpose(purpose);
        let mut message = ureq::http::Request::new(());
        message.uri_mut().clone_from(&self.destination.url);
        self.agent.run(message).map(drop)
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
            self.send_body(request, Some(request.body.len()), request.body)
        } else {
            self.send_body(request, None, ())
        }
    }

    fn send_body(
        &self,
        request: &Request<'_>,
        length: Option<usize>,
        body: impl AsSendBody,
    ) -> Result<Response<Body>, ureq::Error> {
        let head = lock(&self.head_builder).head(request, length)?;
        self.agent.run(ureq::http::Request::from_parts(head, body))
    }
}

/// Omits header values, which may be secret.
impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Connection")
    }
}
