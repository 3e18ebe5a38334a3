//! `Probe`: connects to a server step by step, so that a person sees which step fails.
//!
//! Requests take the same steps inside ureq.

use crate::error::Error;
use crate::http::certificate::Certificate;
use crate::http::client::HttpClient;
use crate::http::errors::io_error;
use crate::http::peer::Peer;
use crate::http::proxy_route::Route;
use crate::http::url::Endpoint;
use crate::http::wire::connect_error::ConnectError;
use crate::http::wire::dial::dial;
use crate::http::wire::resolver::{LookupError, look_up};
use crate::http::wire::tls::other;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use time::OffsetDateTime;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

/// Time limit of a step if the user sets none.
const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum size of a proxy's response to CONNECT.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The steps of connecting to one server.
pub(crate) struct Probe<'a> {
    peer: &'a Peer,
    host: String,
    port: u16,
    is_https: bool,
}

/// The result of a TLS handshake.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// `TLSv1_3`.
    pub(crate) version: String,
    pub(crate) cipher_suite: String,
    /// The issuer of each certificate, the server's own first.
    pub(crate) issuers: Vec<String>,
    /// The end of the server's certificate.
    pub(crate) expires: Option<OffsetDateTime>,
    /// Whether Mozilla's roots alone trust the certificate.
    pub(crate) is_public: bool,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(http: &'a HttpClient, endpoint: &Endpoint) -> Probe<'a> {
        let uri = endpoint.to_string().parse::<Uri>().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if endpoint.is_https() { 443 } else { 80 });
        Probe {
            peer: &http.peer,
            host: endpoint.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            is_https: endpoint.is_https(),
        }
    }

    /// The proxy in between, without its password, or the reason why there is none.
    pub(crate) fn route(&self) -> Result<String, Error> {
        self.peer.route.check()?;
        Ok(match &self.peer.route {
            Route::Direct => "none: requests go straight to the server".to_owned(),
            Route::Bypassed => "NO_PROXY names this host: requests go straight to it".to_owned(),
            Route::Unreadable(variable) => format!("{variable} is not the URL of a proxy"),
            Route::Through { proxy, .. } => {
                let user = match (proxy.username(), proxy.password()) {
                    (None, _) => "",
                    (Some(_), None) => ", with a user name",
                    (Some(_), Some(_)) => ", with user name and password",
                };
                format!("{} proxy {}:{}{user}", proxy.protocol(), proxy.host(), proxy.port())
            }
        })
    }

    pub(crate) fn is_through_proxy(&self) -> bool {
        self.peer.route.proxy().is_some()
    }

    /// The host and port that are connected to: the server's or the proxy's.
    pub(crate) fn next_hop(&self) -> (&str, u16) {
        match self.peer.route.proxy() {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (&self.host, self.port),
        }
    }

    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = self.next_hop();
        let found = look_up(host.to_owned(), port, Some(&self.limit()));
        found.map_err(|error| match error {
            LookupError::TimedOut => self.peer.lookup_timeout(),
            LookupError::NoSuchHost => self.peer.host_not_found(),
            LookupError::Failed(ConnectError(error)) => self.peer.connect_error(Some(&error)),
        })
    }

    /// Connects as requests do. Returns which of the addresses accepted.
    pub(crate) fn connect(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<(TcpStream, SocketAddr), Error> {
        dial(addresses, Some(self.limit()), || false)
            .map_err(|error| self.peer.connect_error(Some(&error)))
    }

    /// Shakes hands, through the proxy if there is one. `None` if there is no TLS, or none that can be examined.
    pub(crate) fn handshake(&self, mut stream: TcpStream) -> Result<Option<Handshake>, Error> {
        let limited = stream
            .set_read_timeout(Some(self.limit()))
            .and_then(|()| stream.set_write_timeout(Some(self.limit())));
        limited.map_err(|error| io_error(&error))?;
        if let Some(proxy) = self.peer.route.proxy() {
            // Only ureq can connect to a proxy that is itself reached by TLS.
            if proxy.protocol() != ProxyProtocol::Http {
                return Ok(None);
            }
            if self.is_https {
                self.tunnel(proxy, &mut stream)?;
            }
        }
        if !self.is_https {
            return Ok(None);
        }
        let to_error = |error: ureq::Error| self.peer.request_error(&error);
        let name = ServerName::try_from(self.host.clone()).map_err(|e| to_error(other(e)))?;
        let config = self.peer.tls.config().map_err(to_error)?;
        let mut connection =
            ClientConnection::new(config, name.clone()).map_err(|e| to_error(other(e)))?;
        connection.complete_io(&mut stream).map_err(|e| to_error(other(e)))?;
        let chain = connection.peer_certificates().unwrap_or_default();
        let read: Vec<Certificate> = chain.iter().map(|der| Certificate::read(der)).collect();
        let suite = connection.negotiated_cipher_suite();
        Ok(Some(Handshake {
            version: connection.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
            cipher_suite: suite.map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
            expires: read.first().and_then(|certificate| certificate.expires),
            issuers: read.into_iter().filter_map(|certificate| certificate.issuer).collect(),
            is_public: crate::http::wire::tls::is_public(chain, &name),
        }))
    }

    /// CONNECT (RFC 9110 §9.3.6).
    fn tunnel(&self, proxy: &Proxy, stream: &mut TcpStream) -> Result<(), Error> {
        let (host, port) = (&self.host, self.port);
        let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(user) = proxy.username() {
            let pair = format!("{user}:{}", proxy.password().unwrap_or_default());
            head.push_str("Proxy-Authorization: Basic ");
            head.push_str(&STANDARD.encode(pair));
            head.push_str("\r\n");
        }
        let refused = |why: &str| self.peer.tunnel_error(why);
        let mut answer = Vec::new();
        let exchange = stream.write_all((head + "\r\n").as_bytes()).and_then(|()| {
            let mut byte = [0];
            while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_HEAD_BYTES {
                stream.read_exact(&mut byte)?;
                answer.push(byte[0]);
            }
            Ok(())
        });
        exchange.map_err(|error| refused(&error.to_string()))?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split_whitespace().nth(1).unwrap_or_default();
        if status.starts_with('2') { Ok(()) } else { Err(refused(&format!("HTTP {status}"))) }
    }

    fn limit(&self) -> Duration {
        self.peer.connect_timeout.unwrap_or(DEFAULT_STEP_TIMEOUT)
    }
}

impl std::fmt::Debug for Probe<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Probe({}:{})", self.host, self.port)
    }
}
