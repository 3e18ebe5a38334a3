//! `Probe`: connects to a server step by step, so that a person sees which step fails.
//!
//! Requests take the same steps inside ureq.

use crate::error::Error;
use crate::http::certificate::Certificate;
use crate::http::client::HttpClient;
use crate::http::errors::io_error;
use crate::http::peer::Peer;
use crate::http::proxy::tunnel::{TunnelError, connect_request, connect_response};
use crate::http::proxy::{ProxyServer, Route};
use crate::http::url::{Endpoint, without_brackets};
use crate::http::wire::connect_error::ConnectError;
use crate::http::wire::dial::dial;
use crate::http::wire::resolver::{LookupError, look_up};
use crate::http::wire::tls::other;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use time::OffsetDateTime;

/// Time limit of a step if the user sets none.
const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(20);

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
        Probe {
            peer: &http.peer,
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
            is_https: endpoint.is_https(),
        }
    }

    /// The proxy in between, without its password, or the reason why there is none.
    pub(crate) fn route(&self) -> Result<String, Error> {
        self.peer.route.check()?;
        Ok(match &self.peer.route {
            Route::Direct => "none: requests go directly to the server".to_owned(),
            Route::Ignored(variable) => {
                format!("none: {variable} is ignored, as in curl; use http_proxy")
            }
            Route::Local => "none: the server is on this machine or link".to_owned(),
            Route::Bypassed(variable) => {
                format!("none: {variable} includes this host, so requests go directly to it")
            }
            Route::Invalid(variable, _) => format!("{variable} has no usable proxy"),
            Route::Through { proxy, variable } => {
                let user = match (proxy.has_user(), proxy.has_password()) {
                    (false, _) => "",
                    (true, false) => ", with a user name",
                    (true, true) => ", with user name and password",
                };
                let protocol = if proxy.is_https() { "HTTPS" } else { "HTTP" };
                format!("{protocol} proxy {proxy}{user} ({variable})")
            }
        })
    }

    pub(crate) fn is_through_proxy(&self) -> bool {
        self.peer.route.proxy().is_some()
    }

    /// The host and port that are connected to: the server's or the proxy's.
    pub(crate) fn next_hop(&self) -> (&str, u16) {
        match self.peer.route.proxy() {
            Some(proxy) => (without_brackets(proxy.host()), proxy.port()),
            None => (without_brackets(&self.host), self.port),
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

    /// Performs the TLS handshake, through the proxy if there is one. `None` if there is no TLS, or none that can be examined.
    pub(crate) fn handshake(&self, mut stream: TcpStream) -> Result<Option<Handshake>, Error> {
        let limited = stream
            .set_read_timeout(Some(self.limit()))
            .and_then(|()| stream.set_write_timeout(Some(self.limit())));
        limited.map_err(|error| io_error(&error))?;
        if let Some(proxy) = self.peer.route.proxy() {
            // TLS within TLS would show nothing that a request does not.
            if proxy.is_https() {
                return Ok(None);
            }
            self.open_tunnel(proxy, &mut stream).map_err(|error| self.peer.tunnel_error(&error))?;
        }
        if !self.is_https {
            return Ok(None);
        }
        let to_error = |error: ureq::Error| self.peer.request_error(&error);
        let name = ServerName::try_from(self.peer.tls.name_of(&self.host).to_owned())
            .map_err(|e| to_error(other(e)))?;
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

    fn open_tunnel(&self, proxy: &ProxyServer, stream: &mut TcpStream) -> Result<(), TunnelError> {
        let request = connect_request(proxy, &format!("{}:{}", self.host, self.port));
        stream.write_all(request.expose().as_bytes()).map_err(TunnelError::Broken)?;
        let mut response = Vec::new();
        loop {
            // Byte by byte: what follows the head belongs to the tunnel.
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(TunnelError::Broken)?;
            response.push(byte[0]);
            if let Some(response) = connect_response(&response) {
                return response.map(drop);
            }
        }
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
