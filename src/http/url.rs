//! `Endpoint`: the server's URL, brought once into the one form that is both sent and signed.
//!
//! Typed URLs leave room for readings on which signers disagree: raw characters, stray `%`, dot segments,
//! `+`. In the wire form made here they agree, and the HTTP client finds nothing left to normalise.

use crate::error::{Error, Kind};
use crate::http::punycode;
use crate::percent;
use crate::signing::Secret;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use ureq::http::Uri;

/// What messages call the server's URL.
const TARGET: &str = "target URL";

/// A URL in wire form: scheme and host in lower case, no user info, no fragment, no default port, a path
/// without dot segments, and nothing in it that an HTTP client would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    secure: bool,
    host: String,
    port: Option<u16>,
    path: String,
    query: String,
    user_info: bool,
    /// Host and port that requests name and are signed for, if this URL only leads there.
    signed: Option<(String, Option<u16>)>,
}

impl Endpoint {
    /// ```
    /// use sigv4_proxy::http::url::Endpoint;
    /// let endpoint = Endpoint::parse("HTTPS://Api.Example.com:443/a b/../c?x=1+2#top").unwrap();
    /// assert_eq!(endpoint.to_string(), "https://api.example.com/c?x=1%2B2");
    /// ```
    pub fn parse(typed: &str) -> Result<Endpoint, Error> {
        Endpoint::parse_as(TARGET, typed)
    }

    /// Reads a URL that messages call `name`.
    pub(crate) fn parse_as(name: &str, typed: &str) -> Result<Endpoint, Error> {
        let wrong = |what: String| malformed(what, name);
        let typed = typed.trim();
        let (scheme, rest) = typed
            .split_once("://")
            .ok_or_else(|| wrong("has no scheme (write https://…)".to_owned()))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            other => return Err(wrong(format!("must use http or https scheme, got: {other}"))),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let authority_end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
        let (authority, resource) = rest.split_at(authority_end);
        let (path, query) = resource.split_once('?').unwrap_or((resource, ""));

        let (user_info, host_and_port) = match authority.rsplit_once('@') {
            Some((_, host_and_port)) => (true, host_and_port),
            None => (false, authority),
        };
        let (host, port) = self::host_and_port(name, host_and_port)?;
        let default_port = if secure { 443 } else { 80 };
        Ok(Endpoint {
            secure,
            host,
            port: port.filter(|port| *port != default_port),
            path: without_dot_segments(&wire_path(path)),
            query: wire_query(name, query)?,
            user_info,
            signed: None,
        })
    }

    /// The same URL for requests that name another host and are signed for it.
    #[must_use]
    pub(crate) fn signed_for(self, host: String, port: Option<u16>) -> Endpoint {
        let is_other = (&host, port) != (&self.host, self.port);
        Endpoint { signed: is_other.then_some((host, port)), ..self }
    }

    /// The same URL with another path, in wire form.
    #[must_use]
    pub(crate) fn with_path(self, path: String) -> Endpoint {
        Endpoint { path, ..self }
    }

    /// Resolves a reference (RFC 3986 §5) that the server sends. Fails if it leaves this scheme, host and port.
    pub fn join(&self, reference: &str) -> Result<Endpoint, Error> {
        let reference = reference.trim();
        let scheme = if self.secure { "https" } else { "http" };
        let origin = format!("{scheme}://{}", self.authority());
        let name = reference.split(['/', '?', '#']).next().unwrap_or_default();
        let typed = if name.contains(':') {
            reference.to_owned()
        } else if reference.starts_with("//") {
            format!("{scheme}:{reference}")
        } else if reference.starts_with('/') {
            format!("{origin}{reference}")
        } else if reference.starts_with('?') {
            format!("{origin}{}{reference}", self.path)
        } else {
            let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{origin}{folder}/{reference}")
        };
        let joined = Endpoint::parse(&typed)?;
        let same = joined.secure == self.secure
            && joined.host == self.host
            && joined.port == self.port
            && !joined.user_info;
        let joined = Endpoint { signed: self.signed.clone(), ..joined };
        if same {
            Ok(joined)
        } else {
            Err(malformed(format!("leads to another origin than {origin}"), TARGET))
        }
    }

    /// A placeholder for a URL that could not be read. Leads nowhere.
    pub(crate) fn unknown() -> Endpoint {
        Endpoint {
            secure: true,
            host: "unknown.invalid".to_owned(),
            port: None,
            path: "/".to_owned(),
            query: String::new(),
            user_info: false,
            signed: None,
        }
    }

    pub fn is_https(&self) -> bool {
        self.secure
    }

    /// The host alone: lower case, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// The host that requests are signed for, from which the service is inferred: that of the URL, unless the URL only leads there.
    pub fn service_host(&self) -> &str {
        self.signed.as_ref().map_or(&self.host, |(host, _)| host)
    }

    /// Host and port of the URL.
    pub fn authority(&self) -> String {
        joined(&self.host, self.port)
    }

    /// The value of the `Host` header.
    pub(crate) fn host_header(&self) -> String {
        self.signed_authority().unwrap_or_else(|| self.authority())
    }

    /// Host and port that requests name and are signed for, if they are not those of the URL.
    pub fn signed_authority(&self) -> Option<String> {
        self.signed.as_ref().map(|(host, port)| joined(host, *port))
    }

    /// Begins with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Without the `?`; empty when there is none.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The values of the query whose names say that they are secrets, such as `api_key` or `token`. A short word, as in
    /// `key=production`, is a secret only together with its name, since alone it is ordinary text.
    pub(crate) fn secrets_in_query(&self) -> impl Iterator<Item = Secret> {
        const MAX_WORD_BYTES: usize = 15;
        const WORDS: [&str; 8] =
            ["auth", "code", "credential", "key", "pass", "secret", "sig", "token"];
        self.query.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = name.to_ascii_lowercase();
            if !WORDS.iter().any(|word| name.contains(word)) {
                return None;
            }
            let is_word = value.len() <= MAX_WORD_BYTES
                && value.bytes().all(|byte| byte.is_ascii_lowercase());
            let secret = if is_word { pair } else { value };
            Some(Secret::new(String::from_utf8_lossy(&percent::decode(secret))))
        })
    }

    /// Whether a user name or password was typed. It is never sent.
    pub fn had_user_info(&self) -> bool {
        self.user_info
    }

    /// Whether a proxy cannot lead there: this machine, or link-local like the AWS metadata addresses.
    pub fn is_local(&self) -> bool {
        let bare = without_brackets(&self.host);
        self.is_loopback()
            || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_link_local())
            || bare.parse::<Ipv6Addr>().is_ok_and(|address| {
                address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0xec2]
            })
    }

    /// Whether the host is this machine by its spelling; names are not resolved.
    pub fn is_loopback(&self) -> bool {
        let bare = without_brackets(&self.host);
        self.host == "localhost"
            || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
    }
}

/// The URL as it is sent.
impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(out, "{scheme}://{}{}", self.authority(), self.path)?;
        if self.query.is_empty() { Ok(()) } else { write!(out, "?{}", self.query) }
    }
}

fn joined(host: &str, port: Option<u16>) -> String {
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A host without the brackets of an IPv6 address.
pub(crate) fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The port of a URL, named or by default.
pub(crate) fn port(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    uri.port_u16().unwrap_or(default)
}

/// Splits `HOST[:PORT]`, and brings the host into wire form. Errors name the URL `name`.
pub(crate) fn host_and_port(name: &str, authority: &str) -> Result<(String, Option<u16>), Error> {
    let host_end = if authority.starts_with('[') {
        let bracket = authority.find(']');
        bracket.ok_or_else(|| malformed("has an IPv6 address without its closing bracket", name))?
            + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(0) | Err(_) => return Err(malformed("has an invalid port", name)),
            Ok(port) => Some(port),
        },
        _ => return Err(malformed("has a port that is not a number", name)),
    };
    Ok((wire_host(name, host)?, port))
}

fn wire_host(name: &str, typed: &str) -> Result<String, Error> {
    if typed.is_empty() {
        return Err(malformed("has no host", name));
    }
    if let Some(address) = typed.strip_prefix('[') {
        let address: Ipv6Addr = address.trim_end_matches(']').parse().map_err(|_| {
            malformed("has something in brackets that is not an IPv6 address", name)
        })?;
        return Ok(format!("[{address}]"));
    }
    let host = punycode::ascii_host(typed)
        .ok_or_else(|| malformed("has a host label that is too long", name))?;
    // Something like 127.1 or 0x7f.1 reaches different machines through different resolvers.
    let numeric = host.rsplit('.').next().is_some_and(|last| {
        !last.is_empty() && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x"))
    });
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(malformed("has a host that looks like an IPv4 address but is not one", name));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if host.bytes().all(legal) {
        Ok(host)
    } else {
        Err(malformed("has an invalid character in its host", name))
    }
}

/// Percent-encodes the characters that a path must not have. Escapes stay byte for byte.
fn wire_path(typed: &str) -> String {
    let bytes = typed.as_bytes();
    let mut path = String::with_capacity(bytes.len() + 1);
    if !typed.starts_with('/') && !typed.is_empty() {
        path.push('/');
    }
    for (at, &byte) in bytes.iter().enumerate() {
        let stays = match byte {
            b'%' => percent::escaped_byte(&bytes[at..]).is_some(),
            // RFC 3986 §3.3: unreserved, sub-delims, `:`, `@` and the separator.
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte),
        };
        if stays {
            path.push(char::from(byte));
        } else {
            path.push_str(&percent::encode(&[byte], b""));
        }
    }
    path
}

/// Removes dot segments (RFC 3986 §5.2.4). Empty segments stay, since they matter to some servers.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// Decodes and encodes each pair: the one spelling on which all signers agree.
fn wire_query(url: &str, typed: &str) -> Result<String, Error> {
    let mut query = String::with_capacity(typed.len());
    for pair in typed.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let name = percent::decode(name);
        if is_presigned(&name) {
            let name = String::from_utf8_lossy(&name).into_owned();
            return Err(malformed(
                format!(
                    "is presigned: its query has {name} (use the plain URL; every request is signed when it is sent)"
                ),
                url,
            ));
        }
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&percent::encode(&name, b""));
        if let Some(value) = value {
            query.push('=');
            query.push_str(&percent::encode(&percent::decode(value), b""));
        }
    }
    Ok(query)
}

fn is_presigned(name: &[u8]) -> bool {
    [
        "algorithm",
        "credential",
        "date",
        "expires",
        "region-set",
        "security-token",
        "signature",
        "signedheaders",
    ]
    .iter()
    .any(|end| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix(b"x-amz-").is_some_and(|rest| rest == end.as_bytes())
    })
}

fn malformed(what: impl fmt::Display, name: &str) -> Error {
    Error::new(Kind::Usage, format!("{name} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_leads_to_another_host() {
        let url = Endpoint::parse("https://localhost:8443/a/b?x=1").expect("a URL");
        assert_eq!(url.clone().signed_for("localhost".into(), Some(8443)), url, "the same host");
        let other = url.clone().signed_for("api.example".into(), None);
        let also = other.join("c").expect("it stays on the host").with_path("/d".into());
        for endpoint in [other, also] {
            assert_eq!(endpoint.host(), "localhost");
            assert_eq!(endpoint.authority(), "localhost:8443");
            assert_eq!(
                (endpoint.service_host(), endpoint.host_header()),
                ("api.example", "api.example".to_owned())
            );
        }
        assert_eq!((url.service_host(), url.signed_authority()), ("localhost", None));
    }

    #[test]
    fn typed_urls_and_their_wire_form() {
        for (typed, wire) in [
            ("https://api.example.com", "https://api.example.com/"),
            ("https://api.example.com?x=1", "https://api.example.com/?x=1"),
            ("https://api.example.com:/x", "https://api.example.com/x"),
            ("https://api.example.com:0443/", "https://api.example.com/"),
            ("http://h:443/", "http://h:443/"),
            ("HTTP://[::0001]:80/x#y", "http://[::1]/x"),
            ("https://user:pw@api.example.com/", "https://api.example.com/"),
            ("https://h/a/b/..//../c", "https://h/a/c"),
            ("https://h/a/.", "https://h/a/"),
            ("https://h/a/b/..", "https://h/a/"),
            ("https://h/../..", "https://h/"),
            ("https://h/a//b", "https://h/a//b"),
            ("https://h/a%2e%2E/%2e", "https://h/a%2e%2E/%2e"),
            (
                "https://h/a b\"<é>\\|[x]^`{}%zz%2%",
                "https://h/a%20b%22%3C%C3%A9%3E%5C%7C%5Bx%5D%5E%60%7B%7D%25zz%252%25",
            ),
            (
                "https://h/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fx/invocations?qualifier=DEFAULT",
                "https://h/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fx/invocations?qualifier=DEFAULT",
            ),
            ("https://h/m?a=b+c&&%61=%2f&k&e==&??", "https://h/m?a=b%2Bc&a=%2F&k&e=%3D&%3F%3F"),
            ("  https://h/ ", "https://h/"),
        ] {
            let endpoint = Endpoint::parse(typed).unwrap_or_else(|e| panic!("{typed}: {e}"));
            assert_eq!(endpoint.to_string(), wire, "{typed}");
            // A wire form is its own wire form.
            assert_eq!(Endpoint::parse(wire).map(|e| e.to_string()).as_deref().ok(), Some(wire));
        }
    }

    #[test]
    fn refused() {
        for (typed, why) in [
            ("api.example.com/mcp", "no scheme"),
            ("ftp://h/", "must use http or https scheme, got: ftp"),
            ("https:///x", "no host"),
            ("https://h:x/", "not a number"),
            ("https://h:70000/", "invalid port"),
            ("https://h:0/", "invalid port"),
            ("https://[::1/", "closing bracket"),
            ("https://[h]/", "not an IPv6"),
            ("https://a b/", "invalid character in its host"),
            ("http://127.1/", "looks like an IPv4"),
            ("http://0x7f.0.0.1.0x1/", "looks like an IPv4"),
            ("http://2130706433/", "looks like an IPv4"),
            ("https://h/?X-Amz-Signature=x", "presigned"),
            ("https://h/?x-amz-%65xpires=10", "presigned"),
        ] {
            let error = Endpoint::parse(typed).expect_err(typed).to_string();
            assert!(error.contains(why), "{typed}: {error}");
        }
    }

    #[test]
    fn references_stay_with_their_origin() {
        let base = Endpoint::parse("https://a.example:8443/x/sse?old=1").expect("a URL");
        for (reference, expected) in [
            ("/messages?sessionId=7", "https://a.example:8443/messages?sessionId=7"),
            ("messages/?s=1", "https://a.example:8443/x/messages/?s=1"),
            ("../m", "https://a.example:8443/m"),
            ("?s=1", "https://a.example:8443/x/sse?s=1"),
            ("https://A.example:8443/m", "https://a.example:8443/m"),
            ("//a.example:8443/m", "https://a.example:8443/m"),
        ] {
            let joined = base.join(reference).expect(reference);
            assert_eq!(joined.to_string(), expected, "{reference}");
        }
        for reference in [
            "https://a.example/m",
            "http://a.example:8443/m",
            "https://evil.example:8443/m",
            "//evil.example/m",
            "https://u@a.example:8443/m",
            "https://a.example:8443@evil.example/m",
            "javascript:alert(1)",
            "/\\evil.example",
        ] {
            match base.join(reference) {
                Ok(joined) => assert_eq!(joined.authority(), "a.example:8443", "{reference}"),
                Err(error) => assert!(error.to_string().contains("URL"), "{error}"),
            }
        }
    }

    #[test]
    fn loopback_is_judged_by_spelling() {
        for (url, loopback) in [
            ("http://localhost:8000/", true),
            ("http://127.0.0.1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:1/", true),
            ("http://localhost.evil/", false),
            ("http://localhost@evil/", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(Endpoint::parse(url).map(|e| e.is_loopback()).ok(), Some(loopback), "{url}");
        }
    }
}
