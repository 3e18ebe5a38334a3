//! `CachingResolver`: name resolution, not repeated for every request.
//!
//! ureq resolves the host before it looks for a pooled connection, on a new thread if there is a time limit, and panics if
//! there are no threads. This resolver caches addresses for a short time and drops them when a request fails.

use crate::http::url::{port, without_brackets};
use crate::http::wire::call_limits::CallLimits;
use crate::http::wire::connect_error::{ConnectError, Exhausted};
use crate::sync::lock;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Time that addresses are cached.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// Maximum number of addresses of a host; ureq has no room for more.
const MAX_ADDRESSES: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct CachingResolver {
    shared: Arc<Shared>,
    call_limits: CallLimits,
}

#[derive(Debug, Default)]
struct Shared {
    /// The URL of the proxy that is connected to instead of the server.
    proxy: Option<Uri>,
    last: Mutex<Option<Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    uri_authority: String,
    addresses: ResolvedSocketAddrs,
    at: Instant,
}

impl CachingResolver {
    /// A resolver for the server, or for this proxy in its place.
    pub(crate) fn new(proxy: Option<Uri>) -> CachingResolver {
        let shared = Arc::new(Shared { proxy, ..Shared::default() });
        CachingResolver { shared, ..CachingResolver::default() }
    }

    /// A resolver with the same shared cache, for a connection with these limits.
    pub(crate) fn for_connection(&self, call_limits: &CallLimits) -> CachingResolver {
        let shared = Arc::clone(&self.shared);
        CachingResolver { shared, call_limits: call_limits.clone() }
    }

    /// Drops all cached addresses.
    pub(crate) fn forget(&self) {
        *lock(&self.shared.last) = None;
    }

    fn cached(&self, authority: &str) -> Option<ResolvedSocketAddrs> {
        let is_good =
            |cached: &Cached| cached.uri_authority == authority && cached.at.elapsed() < CACHE_TTL;
        let last = lock(&self.shared.last);
        last.as_ref().filter(|cached| is_good(cached)).map(|cached| cached.addresses.clone())
    }

    fn look_up(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let timeout = self.call_limits.limit(timeout)?;
        let host = uri.host().unwrap_or_default().to_owned();
        let found = look_up(host, port(uri), timeout.not_zero().as_deref());
        let found = found.map_err(|error| match error {
            LookupError::TimedOut => ureq::Error::Timeout(timeout.reason),
            LookupError::NoSuchHost => ureq::Error::HostNotFound,
            LookupError::Failed(error) => error.into(),
        })?;
        let mut resolved = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(MAX_ADDRESSES) {
            resolved.push(address);
        }
        // `localhost` is exempt from the https rule, so it must resolve to a loopback address.
        if uri.host() == Some("localhost") {
            let local: Vec<SocketAddr> =
                resolved.iter().copied().filter(|address| address.ip().is_loopback()).collect();
            resolved = self.empty();
            for address in local {
                resolved.push(address);
            }
            if resolved.is_empty() {
                return Err(ureq::Error::HostNotFound);
            }
        }
        Ok(resolved)
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = self.shared.proxy.as_ref().unwrap_or(uri);
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if let Some(addresses) = self.cached(authority) {
            return Ok(addresses);
        }
        let addresses = match literal(uri) {
            Some(address) => {
                let mut addresses = self.empty();
                addresses.push(address);
                addresses
            }
            None => self.look_up(uri, config, timeout)?,
        };
        let (uri_authority, at) = (authority.to_owned(), Instant::now());
        let cached = Cached { uri_authority, addresses: addresses.clone(), at };
        *lock(&self.shared.last) = Some(cached);
        Ok(addresses)
    }
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
            let (sender, receiver) = sync_channel(1);
            let thread = thread::Builder::new().name("lookup".to_owned());
            thread
                .spawn(move || sender.send(look_up()))
                .map_err(|e| LookupError::Failed(ConnectError(e)))?;
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
    fn connections_share_cached_addresses_until_they_are_forgotten() {
        let all = CachingResolver::default();
        let [one, other] = [(); 2].map(|()| all.for_connection(&CallLimits::default()));
        let uri: Uri = "http://127.0.0.1:9/".parse().expect("a URL");
        let resolve = |resolver: &CachingResolver| {
            resolver.resolve(&uri, &Config::default(), NextTimeout::default()).expect("an address")
        };
        let knows = |resolver: &CachingResolver| resolver.cached("127.0.0.1:9").is_some();
        resolve(&one);
        assert!(knows(&one) && knows(&other) && other.cached("127.0.0.1:8").is_none());
        all.forget();
        assert!(!knows(&one) && !knows(&other));
        resolve(&other);
        assert!(knows(&one) && knows(&other));
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
