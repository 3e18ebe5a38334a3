//! `ProxySettings`: the proxies that the environment names, and which of them a request uses.

use crate::environment::Environment;
use crate::error::Error;
use crate::http::proxy::no_proxy::NoProxy;
use crate::http::proxy::route::Route;
use crate::http::proxy::server::{InvalidProxy, ProxyServer, flaw_of_url};
use crate::http::url::Endpoint;
use std::sync::Arc;

/// The variables for https URLs. The first that is set counts. On Windows names have no case.
const FOR_HTTPS: &[&str] = if cfg!(windows) {
    &["HTTPS_PROXY", "ALL_PROXY"]
} else {
    &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
};

/// The variables for http URLs. As in curl, not `HTTP_PROXY`, which a CGI server sets from the client's `Proxy` header.
/// Windows does not distinguish the two.
const FOR_HTTP: &[&str] = if cfg!(windows) {
    &["HTTP_PROXY", "ALL_PROXY"]
} else {
    &["http_proxy", "all_proxy", "ALL_PROXY"]
};

const UPPER_CASE: &str = "HTTP_PROXY";

const EXEMPTIONS: &[&str] = if cfg!(windows) { &["NO_PROXY"] } else { &["no_proxy", "NO_PROXY"] };

/// The proxies of all requests of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxySettings {
    https: Option<NamedProxy>,
    http: Option<NamedProxy>,
    no_proxy: Option<(&'static str, NoProxy)>,
    /// `HTTP_PROXY` is set.
    has_upper_case: bool,
}

#[derive(Clone, Debug)]
struct NamedProxy {
    variable: &'static str,
    server: Result<Arc<ProxyServer>, InvalidProxy>,
}

impl ProxySettings {
    pub(crate) fn new(environment: &Environment) -> ProxySettings {
        let named = |variables: &[&'static str]| {
            let (variable, url) = environment.first(variables)?;
            Some(NamedProxy { variable, server: ProxyServer::parse(variable, url).map(Arc::new) })
        };
        let no_proxy = environment.first(EXEMPTIONS);
        ProxySettings {
            https: named(FOR_HTTPS),
            http: named(FOR_HTTP),
            no_proxy: no_proxy.map(|(variable, entries)| (variable, NoProxy::parse(entries))),
            has_upper_case: environment.get(UPPER_CASE).is_some(),
        }
    }

    /// Warnings about values that were probably meant otherwise, phrased without them. Without a proxy, exemptions do not matter.
    pub(crate) fn warnings(environment: &Environment) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (variable, url) in urls(environment) {
            // Both spellings are often set.
            if !seen.contains(&url) {
                seen.push(url);
                warnings.extend(flaw_of_url(url).map(|flaw| format!("{variable} {flaw}")));
            }
        }
        if let (Some((variable, entries)), false) = (environment.first(EXEMPTIONS), seen.is_empty())
        {
            warnings.extend(NoProxy::warnings(variable, entries));
        }
        warnings
    }

    /// The way of requests to this server.
    pub(crate) fn route(&self, endpoint: &Endpoint) -> Route {
        if endpoint.is_local() {
            return if self.named(endpoint.is_https()).is_some() {
                Route::Local
            } else {
                Route::Direct
            };
        }
        let Some(named) = self.named(endpoint.is_https()) else {
            let is_ignored = self.has_upper_case && !endpoint.is_https();
            return if is_ignored { Route::Ignored(UPPER_CASE) } else { Route::Direct };
        };
        if let Some((variable, no_proxy)) = &self.no_proxy
            && no_proxy.covers(endpoint.host(), endpoint.port())
        {
            return Route::Bypassed(variable);
        }
        match &named.server {
            Ok(proxy) => Route::Through { proxy: Arc::clone(proxy), variable: named.variable },
            Err(invalid) => Route::Invalid(named.variable, invalid.clone()),
        }
    }

    /// An error for each variable that cannot be read and counts for this server or for AWS, which is always https. A kind of
    /// proxy that is not supported is an error only if this server is reached through it.
    pub(crate) fn problems(&self, endpoint: &Endpoint) -> Vec<Error> {
        let is_used = |named: &NamedProxy| matches!(self.route(endpoint), Route::Invalid(variable, _) if variable == named.variable);
        let mut problems: Vec<(&str, Error)> = Vec::new();
        for named in [self.named(endpoint.is_https()), self.https.as_ref()].into_iter().flatten() {
            if let Err(invalid) = &named.server
                && (matches!(invalid, InvalidProxy::Unreadable(_)) || is_used(named))
                && problems.iter().all(|(variable, _)| *variable != named.variable)
            {
                problems
                    .push((named.variable, invalid.error().clone().context("configuration error")));
            }
        }
        problems.into_iter().map(|(_, error)| error).collect()
    }

    fn named(&self, is_https: bool) -> Option<&NamedProxy> {
        if is_https { self.https.as_ref() } else { self.http.as_ref() }
    }
}

/// All variables for proxies that are set, and their values.
fn urls(environment: &Environment) -> impl Iterator<Item = (&'static str, &str)> {
    let variables = FOR_HTTPS.iter().copied().chain(["http_proxy", UPPER_CASE]);
    variables.filter_map(|variable| Some((variable, environment.get(variable)?)))
}

/// The passwords of proxies, as they are written in the environment.
pub(crate) fn proxy_passwords(environment: &Environment) -> impl Iterator<Item = &str> {
    urls(environment).filter_map(|(_, url)| {
        let (user_info, _) = url.rsplit_once('@')?;
        let (_, user_info) = user_info.split_once("://").unwrap_or(("", user_info));
        Some(user_info.split_once(':')?.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `direct`, `local`, `bypassed by …`, or the variable and the port of the proxy.
    fn way(variables: &[(&str, &str)], url: &str) -> String {
        let settings = ProxySettings::new(&Environment::from_pairs(variables.iter().copied()));
        match settings.route(&Endpoint::parse(url).expect("a URL")) {
            Route::Direct => "direct".to_owned(),
            Route::Ignored(variable) => format!("direct, {variable} is ignored"),
            Route::Local => "local".to_owned(),
            Route::Bypassed(variable) => format!("bypassed by {variable}"),
            Route::Through { proxy, variable } => format!("{variable} {}", proxy.port()),
            Route::Invalid(variable, _) => format!("{variable} is invalid"),
        }
    }

    #[test]
    #[cfg_attr(windows, ignore = "names of variables have no case there")]
    fn variables_count_as_in_curl() {
        let (https, http) = ("https://mcp.example.com/", "http://mcp.example.com/");
        let [a, b] = ["http://h:1", "http://h:2"];
        for (variables, url, expected) in [
            (&[("https_proxy", a), ("HTTPS_PROXY", b)][..], https, "https_proxy 1"),
            (&[("HTTPS_PROXY", a), ("all_proxy", b)], https, "HTTPS_PROXY 1"),
            (&[("all_proxy", a), ("ALL_PROXY", b)], https, "all_proxy 1"),
            (&[("ALL_PROXY", a)], https, "ALL_PROXY 1"),
            (&[("http_proxy", a)], https, "direct"),
            (&[("https_proxy", " "), ("HTTPS_PROXY", a)], https, "HTTPS_PROXY 1"),
            (&[("https_proxy", "http://"), ("HTTPS_PROXY", a)], https, "https_proxy is invalid"),
            (&[("https_proxy", "socks5://h"), ("ALL_PROXY", a)], https, "https_proxy is invalid"),
            (&[("http_proxy", a), ("https_proxy", b)], http, "http_proxy 1"),
            (&[("http_proxy", a), ("all_proxy", b)], http, "http_proxy 1"),
            (&[("ALL_PROXY", a), ("https_proxy", b)], http, "ALL_PROXY 1"),
            (&[("https_proxy", a)], http, "direct"),
            (&[("all_proxy", a), ("no_proxy", "example.com")], http, "bypassed by no_proxy"),
            (&[("all_proxy", a), ("NO_PROXY", "example.com:80")], http, "bypassed by NO_PROXY"),
            (&[("all_proxy", a), ("no_proxy", "x"), ("NO_PROXY", "*")], http, "all_proxy 1"),
            (&[("all_proxy", a)], "http://127.0.0.1/", "local"),
            (&[("all_proxy", a)], "http://169.254.169.254/", "local"),
        ] {
            assert_eq!(way(variables, url), expected, "{variables:?} for {url}");
        }
    }

    #[cfg(not(windows))]
    #[test]
    fn upper_case_http_proxy_does_not_count() {
        let upper_case = [("HTTP_PROXY", "http://h:1")];
        let expected = "direct, HTTP_PROXY is ignored";
        assert_eq!(way(&upper_case, "http://mcp.example.com/"), expected);
        assert_eq!(way(&upper_case, "https://mcp.example.com/"), "direct");
        assert_eq!(way(&upper_case, "http://127.0.0.1/"), "direct");
    }

    #[test]
    #[cfg_attr(windows, ignore = "names of variables have no case there")]
    fn what_cannot_be_read_is_a_problem_if_a_request_may_need_it() {
        let bad = "http://ann:hush@h:x";
        for (variables, url, expected) in [
            (&[("https_proxy", bad)][..], "https://mcp.example.com/", &["https_proxy"][..]),
            (&[("HTTPS_PROXY", bad)], "http://mcp.example.com/", &["HTTPS_PROXY"]),
            (&[("all_proxy", bad)], "http://127.0.0.1/", &["all_proxy"]),
            (&[("http_proxy", bad), ("ALL_PROXY", bad)], "http://h/", &["http_proxy", "ALL_PROXY"]),
            (&[("http_proxy", bad)], "https://mcp.example.com/", &[]),
            (&[("https_proxy", "h:1"), ("HTTPS_PROXY", bad)], "https://mcp.example.com/", &[]),
            (&[("ALL_PROXY", "socks5://h")], "https://mcp.example.com/", &["ALL_PROXY"]),
            (&[("ALL_PROXY", "socks5://h")], "http://127.0.0.1/", &[]),
        ] {
            let settings = ProxySettings::new(&Environment::from_pairs(variables.iter().copied()));
            let problems = settings.problems(&Endpoint::parse(url).expect("a URL"));
            assert_eq!(problems.len(), expected.len(), "{variables:?} for {url}: {problems:?}");
            for (problem, variable) in problems.iter().zip(expected) {
                let text = problem.to_string();
                assert!(text.starts_with(&format!("configuration error: {variable}")), "{text}");
                assert!(!text.contains("hush"), "{text}");
            }
        }
    }
}
