//! `ProxyServer`: the proxy that the value of a variable names.

use crate::error::{Error, Kind};
use crate::http::url::host_and_port;
use crate::percent;
use crate::signing::Secret;
use crate::suggest::flaw;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// An HTTP proxy.
#[derive(Clone, Debug)]
pub(crate) struct ProxyServer {
    /// The proxy itself is reached by TLS.
    is_https: bool,
    /// In lower case, IPv6 in brackets.
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<Secret>,
}

/// Why a variable does not name a usable proxy. Says nothing of its value, which may hold a password.
#[derive(Clone, Debug)]
pub(crate) enum InvalidProxy {
    Unreadable(Error),
    /// It names another kind of proxy, such as SOCKS.
    Unsupported(Error),
}

impl InvalidProxy {
    pub(crate) fn error(&self) -> &Error {
        match self {
            InvalidProxy::Unreadable(error) | InvalidProxy::Unsupported(error) => error,
        }
    }
}

impl ProxyServer {
    /// Reads the value of `variable`: `[http[s]://][USER[:PASSWORD]@]HOST[:PORT][/]`, user and password percent-encoded.
    /// The default port is 80, for https 443.
    pub(crate) fn parse(variable: &str, value: &str) -> Result<ProxyServer, InvalidProxy> {
        ProxyServer::read(variable, value).map_err(|invalid| match (invalid, flaw_of_url(value)) {
            (InvalidProxy::Unreadable(error), Some(flaw)) => {
                InvalidProxy::Unreadable(error.hint(format!("{variable} {flaw}")))
            }
            (invalid, _) => invalid,
        })
    }

    fn read(variable: &str, value: &str) -> Result<ProxyServer, InvalidProxy> {
        let (scheme, rest) = value.split_once("://").unwrap_or(("", value));
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "" if !value.starts_with("://") => false,
            "https" => true,
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                let what = format!("{variable}: {} is not supported", scheme.to_ascii_lowercase());
                let error = Error::new(Kind::Usage, what).hint("use an http:// proxy");
                return Err(InvalidProxy::Unsupported(error));
            }
            _ => return malformed(format!("{variable} has a scheme other than http and https")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user_info, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        if scheme.is_empty() && !matches!(path, "" | "/") {
            return malformed(format!("{variable} has a path, but no scheme"));
        }
        // `proxy.pac` and `wpad.dat` are what browsers are configured with.
        if [".pac", ".dat"].iter().any(|end| path.ends_with(end)) {
            return malformed(format!("{variable} has the path of a PAC file, which is not read"));
        }
        if path.contains('@') {
            return malformed(format!(
                "{variable} has a user or password that is not percent-encoded"
            ));
        }
        if address.ends_with(':') {
            return malformed(format!("{variable} has no port after the colon"));
        }
        let (host, port) =
            host_and_port(variable, address).or_else(|error| malformed(error.message()))?;
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let decoded = |text: &str| match String::from_utf8(percent::decode(text)) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(_) => malformed(format!("{variable} has a user or password that is not UTF-8")),
        };
        Ok(ProxyServer {
            is_https,
            host,
            port: port.unwrap_or(if is_https { 443 } else { 80 }),
            user: decoded(user)?,
            password: decoded(password)?.map(Secret::new),
        })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// In lower case, IPv6 in brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL without user and password.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}:{}/", if self.is_https { "https" } else { "http" }, self.host, self.port)
    }

    pub(crate) fn has_user(&self) -> bool {
        self.user.is_some() || self.password.is_some()
    }

    pub(crate) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The value of `Proxy-Authorization` (RFC 7617), if there is a user.
    pub(crate) fn authorization(&self) -> Option<Secret> {
        if !self.has_user() {
            return None;
        }
        let user = self.user.as_deref().unwrap_or_default();
        let password = self.password.as_ref().map_or("", Secret::expose);
        let pair = Secret::new(format!("{user}:{password}"));
        Some(Secret::new(format!("Basic {}", STANDARD.encode(pair.expose()))))
    }
}

fn malformed<T>(what: impl Into<String>) -> Result<T, InvalidProxy> {
    Err(InvalidProxy::Unreadable(Error::new(Kind::Usage, what).hint(
        "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, user and password percent-encoded",
    )))
}

/// The flaw of a value that should have been expanded or unquoted before, phrased to follow the name of its variable.
pub(crate) fn flaw_of_url(value: &str) -> Option<&'static str> {
    let (_, rest) = value.split_once("://").unwrap_or(("", value));
    let (user_info, address) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    // A password may begin with any character.
    let is_variable = password.strip_prefix('$').is_some_and(is_name) || password.starts_with('%');
    let password = Some(password).filter(|_| is_variable);
    // `CORP\$USER`
    let user = user.replace("%5C", "\\").replace("%5c", "\\");
    let of_user = || user.split('\\').chain(password).find_map(flaw);
    flaw(value).or_else(of_user).or_else(|| address.split(['.', ':', '/']).find_map(flaw))
}

/// `127.0.0.1:3128`.
impl fmt::Display for ProxyServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_proxy() {
        for (text, url, authorization) in [
            ("http://127.0.0.1:3128", "http://127.0.0.1:3128/", None),
            ("HTTP://Proxy.Corp:3128/", "http://proxy.corp:3128/", None),
            ("proxy.corp:3128", "http://proxy.corp:3128/", None),
            ("my_proxy", "http://my_proxy:80/", None),
            ("https://proxy.corp", "https://proxy.corp:443/", None),
            ("http://[::1]:3128", "http://[::1]:3128/", None),
            ("[::1]", "http://[::1]:80/", None),
            ("http://ann@h:1", "http://h:1/", Some("Basic YW5uOg==")),
            ("ann:pw@h:1", "http://h:1/", Some("Basic YW5uOnB3")),
            ("http://al%40ice:p%2Fw%3Aord@h:1", "http://h:1/", Some("Basic YWxAaWNlOnAvdzpvcmQ=")),
            ("http://a:b@c:d@h:1", "http://h:1/", Some("Basic YTpiQGM6ZA==")),
            ("http://@h:1", "http://h:1/", None),
            ("http://:pw@h:1", "http://h:1/", Some("Basic OnB3")),
        ] {
            let proxy =
                ProxyServer::parse("https_proxy", text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert_eq!(proxy.url(), url, "{text}");
            let sent = proxy.authorization();
            assert_eq!(sent.as_ref().map(Secret::expose), authorization, "{text}");
            assert!(!format!("{proxy:?}").contains("p/w"), "{proxy:?}");
        }
    }

    #[test]
    fn what_names_none() {
        for text in [
            "http://",
            "://h",
            "ftp://h",
            "http:/h",
            "http//h:1",
            "http://h:x",
            "http://h:0",
            "http://h:99999",
            "http://[::1",
            "http://[h]:1",
            "http://a b:1",
            "http://ann:hush/pw@h:1",
            "http://ann:1/hush@h:1",
            "http://ann:hush",
            "http://ann:hush@",
            "http://%ff:hush@h:1",
            "http://wpad.corp/wpad.dat",
            "http://h:1/proxy.pac",
            "\"http://h:1\"",
        ] {
            let error = ProxyServer::parse("https_proxy", text).expect_err(text);
            let InvalidProxy::Unreadable(why) = error else { panic!("{text}: {error:?}") };
            let why = why.to_string();
            assert!(why.starts_with("https_proxy has ") && !why.contains("hush"), "{text}: {why}");
        }
        for scheme in ["socks5", "socks5h", "socks4", "SOCKS"] {
            let error =
                ProxyServer::parse("https_proxy", &format!("{scheme}://h:1")).expect_err(scheme);
            let InvalidProxy::Unsupported(error) = error else { panic!("{scheme}: {error:?}") };
            let expected = format!("https_proxy: {} is not supported", scheme.to_lowercase());
            assert_eq!(error.message(), expected);
        }
    }

    #[test]
    fn values_that_were_not_expanded() {
        for value in [
            "${PROXY}",
            "$HTTPS_PROXY",
            "%HTTPS_PROXY%",
            "http://${USER}:${PASS}@proxy.corp:3128",
            "http://$USER:pw@proxy.corp:3128",
            "http://%USERNAME%:%PASSWORD%@proxy.corp:3128",
            "http://CORP%5C%USERNAME%:pw@proxy.corp:3128",
            "http://CORP\\$USER:pw@proxy.corp:3128",
            "http://ann:$PROXY_PASSWORD@proxy.corp:3128",
            "http://ann:%PROXY_PASSWORD%@proxy.corp:3128",
            "$USER:pw@proxy.corp:3128",
            "http://$PROXY_HOST:3128",
            "http://proxy.%USERDNSDOMAIN%:3128",
            "http://<user>:<password>@proxy.corp:3128",
            "http://{{proxy}}/",
            "'http://proxy.corp:3128'",
        ] {
            assert!(flaw_of_url(value).is_some(), "{value}");
        }
        for value in [
            "http://proxy.corp:3128/",
            "http://al%40ice:p%2Fw%3Aord@proxy.corp:3128",
            "http://ann:$ecret@proxy.corp:3128",
            "http://ann:pa$$WORD@proxy.corp:3128",
            "http://ann:'quoted'@proxy.corp:3128",
            "http://HOST$:%24HOME@[::1]:3128",
        ] {
            assert_eq!(flaw_of_url(value), None, "{value}");
        }
        let hint = |value: &str| {
            let invalid = ProxyServer::parse("https_proxy", value).expect_err("no host name");
            invalid.error().hint_text().unwrap_or_default().to_owned()
        };
        assert!(
            hint("http://${PROXY_HOST}:3128").starts_with("https_proxy contains a placeholder")
        );
        assert!(hint("http://:3128").starts_with("write http://HOST:PORT"));
    }
}
