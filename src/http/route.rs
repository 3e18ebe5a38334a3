//! `Route`: straight to the server, or through the proxy that the environment names; and what is said when whoever
//! is connected to cannot be reached.

use super::scarce::Scarce;
use crate::endpoint::Endpoint;
use crate::environment::Environment;
use crate::error::{Error, Kind, words_of};
use std::io;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::{Proxy, ProxyBuilder, ProxyProtocol};

/// In ureq's order; the first that holds the URL of a usable proxy counts.
const VARIABLES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// Which way requests go.
#[derive(Clone)]
pub(super) enum Route {
    Direct,
    /// There is a proxy, but not for this host.
    Spared,
    Through(Proxy),
}

impl Route {
    pub(super) fn new(config: &Config, endpoint: &Endpoint) -> Route {
        let uri = endpoint.to_string().parse::<Uri>().unwrap_or_default();
        match config.proxy() {
            None => Route::Direct,
            Some(proxy) if proxy.is_no_proxy(&uri) => Route::Spared,
            Some(proxy) => Route::Through(proxy.clone()),
        }
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        match self {
            Route::Direct | Route::Spared => None,
            Route::Through(proxy) => Some(proxy),
        }
    }

    /// The variable that names the proxy; the usual one where none does.
    pub(super) fn variable(&self) -> &'static str {
        let Some(proxy) = self.proxy() else { return "HTTPS_PROXY" };
        let environment = Environment::of_process();
        let place = |proxy: &Proxy| (proxy.protocol(), proxy.host().to_owned(), proxy.port());
        let names_it = |name: &&str| {
            let named = environment.get(name).and_then(|value| Proxy::new(value).ok());
            named.is_some_and(|named| place(&named) == place(proxy))
        };
        VARIABLES.into_iter().find(names_it).unwrap_or("HTTPS_PROXY")
    }

    /// Why the proxy cannot be used at all.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.proxy() {
            Some(proxy) if is_socks(proxy) => {
                let (variable, protocol) = (self.variable(), proxy.protocol().to_string());
                let protocol = protocol.to_lowercase();
                let what = format!("{variable}: {protocol} is not supported");
                Err(Error::new(Kind::Usage, what).hint("name an http:// proxy").unsent())
            }
            _ => Ok(()),
        }
    }

    /// Who is connected to, as messages name it; `server` is how they name the server.
    fn hop(&self, server: &str) -> String {
        match self.proxy() {
            Some(proxy) => format!("{}:{} (the proxy)", proxy.host(), proxy.port()),
            None => server.to_owned(),
        }
    }

    /// The server, and what is in between.
    pub(super) fn way(&self, server: &str) -> String {
        match self.proxy() {
            Some(proxy) => {
                format!("{server} through the proxy {}:{}", proxy.host(), proxy.port())
            }
            None => server.to_owned(),
        }
    }

    pub(super) fn not_found(&self, server: &str) -> Error {
        let what = format!("lookup {}: no such host", self.hop(server));
        self.unreachable(what, "check the URL, DNS, and HTTPS_PROXY")
    }

    pub(super) fn no_answer(&self, server: &str) -> Error {
        let what = format!("lookup {}: no answer", self.hop(server));
        Error::new(Kind::TimedOut, what).hint("check DNS and network")
    }

    /// What connecting ended with; `None` where there was no address to try.
    pub(super) fn not_connected(&self, server: &str, why: Option<&io::Error>) -> Error {
        let hop = self.hop(server);
        if let Some(Scarce { what, fix }) = why.and_then(Scarce::of) {
            let what = format!("connect to {hop}: {what}");
            return Error::new(Kind::Unreachable, what).hint(fix).unsent();
        }
        match why {
            Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.unreachable(
                format!("connect to {hop}: connection refused"),
                "is the server running and the port right?",
            ),
            Some(error) => self.unreachable(
                format!("connect to {hop}: {}", words_of(error)),
                "check network, firewall and HTTPS_PROXY",
            ),
            None => self.unreachable(
                format!("connect to {hop}: none of its addresses can be reached"),
                "check network, firewall and HTTPS_PROXY",
            ),
        }
    }

    pub(super) fn not_tunnelled(&self, server: &str, why: &str) -> Error {
        // ureq writes the status twice.
        let status = why.strip_prefix("proxy server responded ").and_then(|s| s.split('/').next());
        let why = status.map_or_else(|| why.to_owned(), |status| format!("HTTP {status}"));
        let (way, variable) = (self.way(server), self.variable());
        Error::new(Kind::Unreachable, format!("CONNECT {way}: {why}"))
            .hint(format!("check {variable}, its user and password, and NO_PROXY"))
            .unsent()
    }

    /// What would mend a server does not mend a proxy.
    fn unreachable(&self, what: String, mends_server: &str) -> Error {
        let hint = match self.proxy() {
            Some(_) => format!("check {}", self.variable()),
            None => mends_server.to_owned(),
        };
        Error::new(Kind::Unreachable, what).hint(hint).unsent()
    }
}

/// What ureq would take from the environment, with two differences. Where that is a proxy of SOCKS and another variable
/// names one of HTTP, as programs that set all of them do, it is that one. And `NO_PROXY` may have blanks behind its commas.
pub(super) fn proxy_of_environment() -> Option<Proxy> {
    let first = Proxy::try_from_env()?;
    let environment = Environment::of_process();
    let named = VARIABLES.into_iter().filter_map(|name| Proxy::new(environment.get(name)?).ok());
    let Some(usable) = named.into_iter().find(|proxy| !is_socks(proxy)) else { return Some(first) };
    let mut built = Proxy::builder(usable.protocol()).host(usable.host()).port(usable.port());
    if let Some(user) = usable.username() {
        built = built.username(user);
    }
    if let Some(password) = usable.password() {
        built = built.password(password);
    }
    let spared = environment.first(&["NO_PROXY", "no_proxy"]).map_or("", |(_, hosts)| hosts);
    let spared = spared.split(',').map(str::trim).filter(|host| !host.is_empty());
    spared.fold(built, ProxyBuilder::no_proxy).build().ok()
}

/// ureq is built without them, and would go straight to the server.
pub(super) fn is_socks(proxy: &Proxy) -> bool {
    !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
}
