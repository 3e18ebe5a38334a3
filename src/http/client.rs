//! `HttpClient`: sends requests to one server.

use crate::error::Error;
use crate::http::intermediary::Intermediary;
use crate::http::lease::Lease;
use crate::http::peer::Peer;
use crate::http::pool::{Acquired, Pool};
use crate::http::proxy::{ProxySettings, Route};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::url::Endpoint;
use crate::http::wire::connection::Destination;
use crate::http::wire::dial;
use crate::http::wire::resolver::CachingResolver;
use crate::http::wire::tls::TlsConnector;
use crate::http::wire::trusted_roots::CaBundle;
use crate::http::wire::unreceived::Unreceived;
use crate::log::Log;
use crate::sync::cancel::{Cancel, cancelled};
use std::fmt;
use std::time::{Duration, Instant};
use ureq::Body;
use ureq::config::Config;
use ureq::http::{HeaderValue, StatusCode};

/// Maximum size of the head of a response.
const MAX_RESPONSE_HEAD_BYTES: usize = 64 * 1024;

/// Time limits of every request; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// DNS, TCP and TLS.
    pub(crate) connect: Option<Duration>,
    /// Silence while waiting for or reading a response.
    pub(crate) read: Option<Duration>,
    /// Sending.
    pub(crate) write: Option<Duration>,
}

/// Time for which ureq keeps a connection: longer than the pool, which decides.
const MAX_IDLE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum time for which a response to nothing and a request can cross. A later response is one to the request.
const MAX_CROSSING_TIME: Duration = Duration::from_secs(2);

/// Sends requests to one server, each on a connection of its own.
pub(crate) struct HttpClient {
    pub(crate) peer: Peer,
    is_https: bool,
    /// The server is on this machine or link.
    is_local: bool,
    pool: Pool,
}

impl HttpClient {
    /// A client that keeps no connection after its response. Trusts the certificates of `ca_bundle` in addition to Mozilla's.
    pub(crate) fn new(
        endpoint: &Endpoint,
        limits: Limits,
        ca_bundle: &CaBundle,
        proxies: &ProxySettings,
    ) -> HttpClient {
        let route = proxies.route(endpoint);
        let proxy_url = route.proxy().and_then(|proxy| proxy.url().parse().ok());
        let config = Config::builder()
            .user_agent(concat!("sigv4-proxy/", env!("CARGO_PKG_VERSION")))
            .accept("")
            // A signature is for one host and path, and its token would leak to another.
            .max_redirects(0)
            // AWS explains itself in the bodies of its errors.
            .http_status_as_error(false)
            .https_only(endpoint.is_https())
            .no_delay(true)
            .max_response_header_size(MAX_RESPONSE_HEAD_BYTES)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(MAX_IDLE_AGE)
            .timeout_connect(limits.connect)
            .timeout_per_read(limits.read)
            .timeout_per_write(limits.write)
            // Otherwise ureq would look into the environment itself.
            .proxy(None)
            .build();
        let peer = Peer {
            host: endpoint.authority(),
            route,
            connect_timeout: limits.connect,
            tls: TlsConnector::new(endpoint, ca_bundle),
        };
        let scheme = if endpoint.is_https() { "https" } else { "http" };
        let destination = Destination {
            url: format!("{scheme}://{}/", endpoint.authority()).parse().unwrap_or_default(),
            config,
            resolver: CachingResolver::new(proxy_url),
            proxy: peer.route.proxy().cloned(),
            tls: peer.tls.clone(),
        };
        let (is_https, is_local) = (endpoint.is_https(), endpoint.is_local());
        HttpClient { peer, is_https, is_local, pool: Pool::for_single_requests(destination) }
    }

    /// Keeps connections for later requests. `log` receives why one could not be opened early.
    #[must_use]
    pub(crate) fn keeping_connections(mut self, log: Log) -> HttpClient {
        self.pool.keep(log);
        self
    }

    /// Opens a connection for a request that is expected soon. Does not wait; the request reports what fails.
    pub(crate) fn open_connection(&self) {
        if self.peer.route.check().is_ok() {
            self.pool.open();
        }
    }

    /// What may have responded in place of the server. `None`: a public authority vouches for it, or it is on this machine.
    pub(crate) fn intermediary(&self) -> Option<Intermediary> {
        if self.is_https {
            let issuer = self.peer.tls.private_issuer()?;
            return Some(Intermediary::TlsInspection { issuer });
        }
        match &self.peer.route {
            Route::Through { proxy, variable } => {
                Some(Intermediary::Proxy { proxy: proxy.to_string(), variable })
            }
            _ => (!self.is_local).then_some(Intermediary::Network),
        }
    }

    /// Sends the request and reads the head of the response. `cancel` interrupts this and the reading of the body.
    pub(crate) fn send<'a>(
        &'a self,
        request: &Request<'_>,
        cancel: &'a Cancel,
    ) -> Result<Response<'a>, Error> {
        self.peer.route.check()?;
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let head_bytes = request.head_bytes()?;
        let acquired = match self.pool.acquire(request, cancel) {
            Ok(acquired) => acquired,
            Err(_) if cancel.is_cancelled() => return Err(cancelled()),
            Err(error) => return Err(self.peer.request_error(&error)),
        };
        let Acquired { connection, idle_since } = acquired;
        let began = idle_since.map(|_| Instant::now());
        let shutdown_on_cancel = cancel.on_cancel(connection.waker());
        let response = connection.send(request, head_bytes);
        let address = connection.call_limits().address();
        if let (Some(requests), Some(since)) = (connection.call_limits().closed_after(), idle_since)
        {
            self.pool.record_closed_connection(requests, since);
        }
        let mut lease = Lease::new(&self.pool, connection, cancel, shutdown_on_cancel);
        match response {
            Ok(response)
                if is_idle_timeout(&response)
                    && began.is_some_and(|began| began.elapsed() < MAX_CROSSING_TIME) =>
            {
                lease.close_at_end();
                Err(self.peer.request_error(&Unreceived.into()))
            }
            Ok(response) => Ok(Response::new(response, lease)),
            Err(_) if cancel.is_cancelled() => Err(cancelled()),
            Err(error) => {
                // Whatever failed: the next attempt may find the host at another address.
                self.pool.forget_addresses();
                match (idle_since, address) {
                    (None, Some(address)) => dial::forget(&address),
                    (Some(_), _) if matches!(error, ureq::Error::Io(_)) => {
                        self.pool.record_dead_connection();
                    }
                    _ => {}
                }
                Err(self.peer.request_error(&error))
            }
        }
    }
}

/// Whether the server closes a connection because no request came for too long (RFC 9110 §15.5.9). On a kept connection it
/// may cross with a request, which it then does not respond to.
fn is_idle_timeout(response: &ureq::http::Response<Body>) -> bool {
    let is_close = |value: &HeaderValue| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    response.status() == StatusCode::REQUEST_TIMEOUT
        && response.headers().get_all("connection").iter().any(is_close)
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HttpClient({})", self.peer.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_cancelled_call_begins_nothing() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(cancel.sleep(Duration::from_secs(60)));
        let endpoint = Endpoint::parse("http://127.0.0.1:9/").expect("a URL");
        let limits = Limits { connect: None, read: None, write: None };
        let http =
            HttpClient::new(&endpoint, limits, &CaBundle::default(), &ProxySettings::default());
        let request = Request::new("GET", "http://127.0.0.1:9/", &[]);
        let error = http.send(&request, &cancel).expect_err("nothing is sent");
        assert_eq!(error.kind(), Kind::Cancelled);
    }
}
