//! `CachingResolver`: name resolution, not repeated for every connection.
//!
//! ureq resolves the host before it looks for a pooled connection, which needs no address, on a new thread if there is a time
//! limit, and panics if there are no threads. So ureq gets `NoLookup`, and `TcpConnector` resolves the host when it connects.

use crate::http::url::{port, without_brackets};
use crate::http::wire::connect_error::{ConnectError, Exhausted};
use crate::sync::channel;
use crate::sync::{lock, spawn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Time that addresses are cached.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// Maximum number of addresses of a host that are tried.
const MAX_ADDRESSES: usize = 16;

/// Gives ureq no addresses: `TcpConnector` resolves the host itself.
#[derive(Debug)]
pub(crate) struct NoLookup;

impl Resolver for NoLookup {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Addresses of the server, or of the proxy that is connected to instead. Clones share the cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct CachingResolver(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The URL of the proxy that is connected to instead of the server.
    proxy: Option<Uri>,
    last: Mutex<Option<Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    uri_authority: String,
    addresses: Arc<[SocketAddr]>,
    at: Instant,
}

impl CachingResolver {
    /// A resolver for the server, or for this proxy instead.
    pub(crate) fn new(proxy: Option<Uri>) -> CachingResolver {
        CachingResolver(Arc::new(Shared { proxy, last: Mutex::default() }))
    }

    /// Drops all cached addresses.
    pub(crate) fn forget(&self) {
        *lock(&self.0.last) = None;
    }

    /// The addresses to connect to for this URL: at least one.
    pub(crate) fn resolve(
        &self,
        uri: &Uri,
        timeout: NextTimeout,
    ) -> Result<Arc<[SocketAddr]>, ureq::Error> {
        let uri = self.0.proxy.as_ref().unwrap_or(uri);
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if let Some(addresses) = self.cached(authority) {
            return Ok(addresses);
        }
        let addresses = match literal(uri) {
            Some(address) => [address].into(),
            None => addresses_of(uri, timeout)?,
        };
        let (uri_authority, at) = (authority.to_owned(), Instant::now());
        let cached = Cached { uri_authority, addresses: Arc::clone(&addresses), at };
        *lock(&self.0.last) = Some(cached);
        Ok(addresses)
    }

    fn cached(&self, authority: &str) -> Option<Arc<[SocketAddr]>> {
        let is_good =
            |cached: &Cached| cached.uri_authority == authority && cached.at.elapsed() < CACHE_TTL;
        let last = lock(&self.0.last);
        last.as_ref().filter(|cached| is_good(cached)).map(|cached| Arc::clone(&cached.addresses))
    }
}

fn addresses_of(uri: &Uri, timeout: NextTimeout) -> Result<Arc<[SocketAddr]>, ureq::Error> {
    let host = uri.host().unwrap_or_default().to_owned();
    let found = look_up(host, port(uri), timeout.not_zero().as_deref());
    let found = found.map_err(|error| match error {
        LookupError::TimedOut => ureq::Error::Timeout(timeout.reason),
        LookupError::NoSuchHost => ureq::Error::HostNotFound,
        LookupError::Failed(error) => error.into(),
    })?;
    let addresses = trusted(uri, found);
    if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
}

/// The addresses to connect to. `localhost` is exempt from the https rule, so it must resolve to a loopback address.
fn trusted(uri: &Uri, found: Vec<SocketAddr>) -> Arc<[SocketAddr]> {
    let is_localhost = uri.host() == Some("localhost");
    let may_be = |address: &SocketAddr| !is_localhost || address.ip().is_loopback();
    found.into_iter().take(MAX_ADDRESSES).filter(may_be).collect()
}

/// Why a lookup returned no addresses.
pub(crate) enum LookupError {
    TimedOut,
    NoSuchHost,
    /// The system lacked a resource for the lookup.
    Failed(ConnectError),
}

/// Looks up the addresses of a host with the system's resolver, for `limit` at most.
pub(crate) fn look_up(
    host: String,
    port: u16,
    limit: Option<&Duration>,
) -> Result<Vec<SocketAddr>, LookupError> {
    let look_up = move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
    let found = match limit {
        None => look_up(),
        // The system's resolver has no time limit.
        Some(limit) => {
            let (sender, receiver) = channel();
            spawn("lookup", move || drop(sender.send(look_up())))
                .map_err(|error| LookupError::Failed(ConnectError(io::Error::other(error))))?;
            receiver.recv_timeout(*limit).map_err(|_| LookupError::TimedOut)?
        }
    };
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(LookupError::NoSuchHost),
        Err(error) => {
            // The system's resolver does not report that it lacked a descriptor.
            let cause = if Exhausted::of(&error).is_some() {
                Some(error)
            } else {
                UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
                    .err()
                    .filter(|e| Exhausted::of(e).is_some())
            };
            Err(cause
                .map_or(LookupError::NoSuchHost, |cause| LookupError::Failed(ConnectError(cause))))
        }
    }
}

/// The address in a URL that has an address as its host.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let address: IpAddr = without_brackets(uri.host()?).parse().ok()?;
    Some(SocketAddr::new(address, port(uri)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_leads_to_this_machine_only() {
        let uri = |text: &str| text.parse::<Uri>().expect("a URL");
        let found = ["192.0.2.1:80", "127.0.0.1:80", "[2001:db8::1]:80", "[::1]:80"];
        let found = || found.map(|address| address.parse().expect("an address")).to_vec();
        let kept: Vec<SocketAddr> = vec![found()[1], found()[3]];
        assert_eq!(*trusted(&uri("http://localhost/"), found()), kept);
        assert_eq!(*trusted(&uri("https://example.com/"), found()), found());
        assert!(trusted(&uri("http://localhost/"), found()[..1].to_vec()).is_empty());
    }

    #[test]
    fn clones_share_cached_addresses_until_they_are_forgotten() {
        let one = CachingResolver::default();
        let other = one.clone();
        let uri: Uri = "http://127.0.0.1:9/".parse().expect("a URL");
        let knows = |resolver: &CachingResolver| resolver.cached("127.0.0.1:9").is_some();
        one.resolve(&uri, NextTimeout::default()).expect("an address");
        assert!(knows(&one) && knows(&other) && other.cached("127.0.0.1:8").is_none());
        one.forget();
        assert!(!knows(&one) && !knows(&other));
    }

    #[test]
    fn literals_need_no_lookup() {
        for (url, address) in [
            ("http://127.0.0.1/", Some("127.0.0.1:80")),
            ("https://127.0.0.1/x", Some("127.0.0.1:443")),
            ("https://[::1]:8443/", Some("[::1]:8443")),
            ("https://example.com/", None),
        ] {
            let uri: Uri = url.parse().expect("a URL");
            assert_eq!(literal(&uri).map(|a| a.to_string()).as_deref(), address, "{url}");
        }
    }
}
