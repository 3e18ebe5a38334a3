//! `Route`: straight to the server, or through the proxy that the environment names; and what is said when whoever
//! is connected to cannot be reached.

use crate::environment::Environment;
use crate::error::{Error, Kind, io_message};
use crate::http::url::Endpoint;
use crate::http::wire::connect_error::Exhausted;
use std::io;
use ureq::http::Uri;
use ureq::{Proxy, ProxyBuilder, ProxyProtocol};

/// In ureq's order; the first that holds the URL of a usable proxy counts.
const VARIABLES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// The passwords of proxies, as they stand in the environment.
pub fn proxy_passwords(environment: &Environment) -> impl Iterator<Item = &str> {
    let urls = VARIABLES.into_iter().filter_map(|name| environment.get(name));
    urls.filter_map(|url| {
        let (user_info, _) = url.rsplit_once('@')?;
        let (_, user_info) = user_info.split_once("://").unwrap_or(("", user_info));
        Some(user_info.split_once(':')?.1)
    })
}

/// Which way requests go.
#[derive(Clone)]
pub(crate) enum Route {
    Direct,
    /// There is a proxy, but not for this host.
    Bypassed,
    Through {
        proxy: Proxy,
        /// The variable that names it.
        variable: &'static str,
    },
    /// What this variable holds is not the URL of a proxy.
    Unreadable(&'static str),
}

impl Route {
    /// As ureq would go, with three differences. Of a proxy of SOCKS and one of HTTP, which programs name side by side,
    /// it is that of HTTP. `NO_PROXY` may have blanks behind its commas. And what cannot be read is an error, not the way
    /// without a proxy.
    pub(crate) fn new(endpoint: &Endpoint, environment: &Environment) -> Route {
        let named = VARIABLES.into_iter().filter_map(|name| {
            let url = environment.get(name).filter(|_| !endpoint.is_local())?;
            Some((name, Proxy::new(url).ok()))
        });
        // The first of those that are worth most.
        let worth = |proxy: &Option<Proxy>| match proxy {
            Some(proxy) if !is_socks(proxy) => 0,
            Some(_) => 1,
            None => 2,
        };
        let Some((variable, proxy)) = named.min_by_key(|(_, proxy)| worth(proxy)) else {
            return Route::Direct;
        };
        let hosts = environment.first(&["NO_PROXY", "no_proxy"]).map_or("", |(_, hosts)| hosts);
        let uri = endpoint.to_string().parse::<Uri>().unwrap_or_default();
        // Only a proxy can tell for which hosts it is not.
        let some_proxy = proxy.clone().or_else(|| Proxy::new("http://localhost").ok());
        match (proxy, some_proxy.and_then(|some_proxy| sparing(&some_proxy, hosts))) {
            (_, Some(sparing)) if sparing.is_no_proxy(&uri) => Route::Bypassed,
            (Some(_), Some(proxy)) => Route::Through { proxy, variable },
            _ => Route::Unreadable(variable),
        }
    }

    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match self {
            Route::Through { proxy, .. } => Some(proxy),
            Route::Direct | Route::Bypassed | Route::Unreadable(_) => None,
        }
    }

    /// The variable that names the proxy; the usual one where none does.
    pub(crate) fn variable(&self) -> &'static str {
        match self {
            Route::Through { variable, .. } | Route::Unreadable(variable) => variable,
            Route::Direct | Route::Bypassed => "HTTPS_PROXY",
        }
    }

    /// Why the proxy cannot be used at all.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| {
            Err(Error::new(Kind::Usage, what).hint("name an http:// proxy").unsent())
        };
        match self {
            Route::Through { proxy, variable } if is_socks(proxy) => {
                let protocol = proxy.protocol().to_string().to_lowercase();
                wrong(format!("{variable}: {protocol} is not supported"))
            }
            Route::Unreadable(variable) => wrong(format!("{variable} is not the URL of a proxy")),
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
    pub(crate) fn way(&self, server: &str) -> String {
        match self.proxy() {
            Some(proxy) => {
                format!("{server} through the proxy {}:{}", proxy.host(), proxy.port())
            }
            None => server.to_owned(),
        }
    }

    pub(crate) fn not_found(&self, server: &str) -> Error {
        let what = format!("lookup {}: no such host", self.hop(server));
        self.unreachable(what, "check the URL, DNS, and HTTPS_PROXY")
    }

    pub(crate) fn no_answer(&self, server: &str) -> Error {
        let what = format!("lookup {}: no answer", self.hop(server));
        Error::new(Kind::TimedOut, what).hint("check DNS and network")
    }

    /// What connecting ended with; `None` where there was no address to try.
    pub(crate) fn not_connected(&self, server: &str, why: Option<&io::Error>) -> Error {
        let hop = self.hop(server);
        if let Some(Exhausted { what, fix }) = why.and_then(Exhausted::of) {
            let what = format!("connect to {hop}: {what}");
            return Error::new(Kind::Unreachable, what).hint(fix).unsent();
        }
        match why {
            Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.unreachable(
                format!("connect to {hop}: connection refused"),
                "is the server running and the port right?",
            ),
            Some(error) => self.unreachable(
                format!("connect to {hop}: {}", io_message(error)),
                "check network, firewall and HTTPS_PROXY",
            ),
            None => self.unreachable(
                format!("connect to {hop}: none of its addresses can be reached"),
                "check network, firewall and HTTPS_PROXY",
            ),
        }
    }

    pub(crate) fn not_tunnelled(&self, server: &str, why: &str) -> Error {
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

/// The same proxy, but not for the hosts of `NO_PROXY`.
fn sparing(proxy: &Proxy, hosts: &str) -> Option<Proxy> {
    let mut built = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(user) = proxy.username() {
        built = built.username(user);
    }
    if let Some(password) = proxy.password() {
        built = built.password(password);
    }
    let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
    hosts.fold(built, ProxyBuilder::no_proxy).build().ok()
}

/// ureq is built without them, and would go straight to the server.
pub(crate) fn is_socks(proxy: &Proxy) -> bool {
    !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
}
