//! `Route`: directly to the server, or through the proxy that the environment names.

use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::url::Endpoint;
use ureq::http::Uri;
use ureq::{Proxy, ProxyBuilder, ProxyProtocol};

/// In ureq's order; the first that holds the URL of a usable proxy counts.
const VARIABLES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// The passwords of proxies, as they stand in the environment.
pub(crate) fn proxy_passwords(environment: &Environment) -> impl Iterator<Item = &str> {
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
