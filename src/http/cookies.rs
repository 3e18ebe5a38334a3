//! `CookieJar`: the cookies of one server (RFC 6265), kept in memory.
//!
//! Load balancers bind a session to one of several servers by a cookie. A jar belongs to one identity at one scheme, host and
//! port, and only requests there carry its cookies. Values may be secret, so they are never printed.

use crate::http::date::parse_cookie_date;
use crate::http::url::{Endpoint, without_brackets};
use crate::signing::Secret;
use crate::sync::lock;
use std::fmt;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Maximum number of cookies; the oldest are dropped.
const MAX_COOKIES: usize = 32;

/// Maximum size of all cookies, as a header.
const MAX_BYTES: usize = 8 * 1024;

/// The cookies, the last one that was set at the end.
#[derive(Default)]
pub(crate) struct CookieJar(Mutex<Vec<Cookie>>);

struct Cookie {
    name: String,
    value: Secret,
    path: String,
    /// `None`: until the process ends.
    expires: Option<Instant>,
}

impl CookieJar {
    /// The value of the header `Cookie` for this path, if there are cookies for it.
    pub(crate) fn header(&self, path: &str) -> Option<Secret> {
        let mut cookies = lock(&self.0);
        if cookies.is_empty() {
            return None;
        }
        let now = Instant::now();
        cookies.retain(|cookie| cookie.expires.is_none_or(|expires| expires > now));
        let mut sent: Vec<&Cookie> =
            cookies.iter().filter(|cookie| is_path_in(path, &cookie.path)).collect();
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut header = String::with_capacity(sent.iter().map(|cookie| cookie.bytes()).sum());
        for cookie in sent {
            let separator = if header.is_empty() { "" } else { "; " };
            header.extend([separator, &cookie.name, "=", cookie.value.expose()]);
        }
        (!header.is_empty()).then(|| Secret::new(header))
    }

    /// Takes the header `Set-Cookie` of a response from this path of the server, whose time is `now`. Cookies for other hosts
    /// are ignored. Calls `replaced` with the value that is no longer sent and with the one that is.
    pub(crate) fn set(
        &self,
        set_cookie: &str,
        server: &Endpoint,
        path: &str,
        now: OffsetDateTime,
        replaced: impl FnOnce(Option<Secret>, &Secret),
    ) {
        let Some((cookie, lifetime)) = Cookie::parse(set_cookie, server, path, now) else { return };
        let mut cookies = lock(&self.0);
        let same = |other: &Cookie| other.name == cookie.name && other.path == cookie.path;
        let old = cookies.iter().position(same).map(|at| cookies.remove(at).value);
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) || cookie.bytes() > MAX_BYTES {
            return;
        }
        replaced(old, &cookie.value);
        cookies.push(cookie);
        let mut bytes: usize = cookies.iter().map(Cookie::bytes).sum();
        let mut dropped = cookies.len().saturating_sub(MAX_COOKIES);
        bytes -= cookies[..dropped].iter().map(Cookie::bytes).sum::<usize>();
        while bytes > MAX_BYTES {
            bytes -= cookies[dropped].bytes();
            dropped += 1;
        }
        cookies.drain(..dropped);
    }
}

impl Cookie {
    /// Reads a `Set-Cookie` (RFC 6265 §5.2, §5.3), with its lifetime, which is zero if it is to be deleted. `None` if it is
    /// malformed or not for this server.
    fn parse(
        text: &str,
        server: &Endpoint,
        path: &str,
        now: OffsetDateTime,
    ) -> Option<(Cookie, Option<Duration>)> {
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || text.contains(|c: char| c.is_control() && c != '\t') {
            return None;
        }
        let (mut max_age, mut expires) = (None, None);
        let (mut is_for_server, mut is_secure) = (true, false);
        let mut path = default_path(path);
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let (key, value) = (key.trim(), value.trim());
            if key.eq_ignore_ascii_case("max-age") {
                max_age = seconds(value).or(max_age);
            } else if key.eq_ignore_ascii_case("expires") {
                let lifetime = |date| Duration::try_from(date - now).unwrap_or_default();
                expires = parse_cookie_date(value).map(lifetime).or(expires);
            } else if key.eq_ignore_ascii_case("path") && value.starts_with('/') {
                path = value;
            } else if key.eq_ignore_ascii_case("domain") {
                is_for_server = is_host_in(server.host(), value);
            } else if key.eq_ignore_ascii_case("secure") {
                is_secure = true;
            }
        }
        if !is_for_server || (is_secure && !server.is_https()) {
            return None;
        }
        let lifetime: Option<Duration> = max_age.or(expires);
        let cookie = Cookie {
            name: name.to_owned(),
            value: Secret::new(value),
            path: path.to_owned(),
            expires: lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime)),
        };
        Some((cookie, lifetime))
    }

    /// What it takes in a header, with `=` and `; `.
    fn bytes(&self) -> usize {
        self.name.len() + self.value.expose().len() + 3
    }
}

/// Reads `Max-Age`. Zero or less deletes the cookie.
fn seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = if digits.len() < text.len() { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(Duration::from_secs(seconds))
}

/// The folder of a request's path (RFC 6265 §5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(end @ 1..) => &path[..end],
        _ => "/",
    }
}

/// Whether a cookie of the path `folder` is for `path` (RFC 6265 §5.1.4).
fn is_path_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || folder.ends_with('/') || rest.starts_with('/'))
}

/// Whether a cookie of this domain is for the host (RFC 6265 §5.1.3). It is sent to this very host alone.
fn is_host_in(host: &str, domain: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    domain.is_empty()
        || without_brackets(host) == without_brackets(&domain)
        || (!is_address && host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.')))
}

/// Without names and values.
impl fmt::Debug for CookieJar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CookieJar")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn jar(url: &str, cookies: &[&str]) -> CookieJar {
        let server = Endpoint::parse(url).expect("a URL");
        let jar = CookieJar::default();
        for cookie in cookies {
            jar.set(cookie, &server, server.path(), NOW, |_, _| {});
        }
        jar
    }

    fn sent(url: &str, cookies: &[&str], path: &str) -> String {
        jar(url, cookies).header(path).map_or_else(String::new, |header| header.expose().to_owned())
    }

    #[test]
    fn cookies_and_what_is_sent_of_them() {
        let url = "https://mcp.example.com/api/mcp";
        for (cookies, expected) in [
            (
                &["AWSALB=Ab+/c9==; Expires=Tue, 01 Jan 2030 00:00:00 GMT; Path=/"][..],
                "AWSALB=Ab+/c9==",
            ),
            (
                &["a=1; Path=/", "b=2; Path=/; SameSite=None", "c=3; Path=/; HttpOnly"],
                "a=1; b=2; c=3",
            ),
            (&["a=1", "a=2"], "a=2"),
            (&["a=\"x y\" ;Path=/"], "a=\"x y\""),
            (&["a=b=c"], "a=b=c"),
            (&["a="], "a="),
            (&["a"], ""),
            (&["=a"], ""),
            (&["a=1", "a=; Max-Age=0"], ""),
            (&["a=1", "a=1; max-age=-1"], ""),
            (&["a=1", "a=; expires=Thu, 01-Jan-1970 00:00:00 GMT"], ""),
            (&["a=1", "a=; expires=Thu, 01-Jan-70 00:00:01 GMT"], ""),
            (&["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60"], "a=1"),
            (&["a=1; Max-Age=0; Expires=Tue, 01 Jan 2030 00:00:00 GMT"], ""),
            (&["a=1; Max-Age=99999999999999999999999"], "a=1"),
            (&["a=1; Max-Age=soon; Expires=later"], "a=1"),
            (&["a=1; Max-Age=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], ""),
            (&["a=1; Secure"], "a=1"),
            (&["a=1; Domain=mcp.example.com"], "a=1"),
            (&["a=1; Domain=.Example.com"], "a=1"),
            (&["a=1; Domain="], "a=1"),
            (&["a=1; Domain=ample.com"], ""),
            (&["a=1; Domain=other.org"], ""),
            (&["a=1; Domain=x.mcp.example.com"], ""),
            (&["a=1; Path=/api"], "a=1"),
            (&["a=1; Path=/api/"], "a=1"),
            (&["a=1; Path=/api/mcp"], "a=1"),
            (&["a=1; Path=/ap"], ""),
            (&["a=1; Path=/other"], ""),
            (&["a=1; Path=relative"], "a=1"),
            (&["a=1; Path=/", "a=2; Path=/api"], "a=2; a=1"),
            (&["a=1\r\nx: y"], ""),
        ] {
            assert_eq!(sent(url, cookies, "/api/mcp"), expected, "{cookies:?}");
        }
        assert_eq!(sent(url, &["a=1"], "/api/messages"), "a=1");
        assert_eq!(sent(url, &["a=1"], "/messages"), "");
        assert_eq!(sent("http://mcp.example.com/", &["a=1; Secure"], "/"), "");
        assert_eq!(sent("http://127.0.0.1:8080/", &["a=1; Secure"], "/"), "");
        assert_eq!(sent("http://127.0.0.1:8080/", &["a=1; Domain=127.0.0.1"], "/"), "a=1");
        assert_eq!(sent("http://127.0.0.1:8080/", &["a=1; Domain=0.0.1"], "/"), "");
    }

    #[test]
    fn the_oldest_of_too_many_are_dropped() {
        let many: Vec<String> = (0..50).map(|n| format!("c{n}=v; Path=/")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let header = sent("https://h/", &many, "/");
        assert_eq!(header.split("; ").count(), MAX_COOKIES);
        assert!(header.starts_with("c18=v") && header.ends_with("c49=v"), "{header}");

        let large: Vec<String> = (0..20).map(|n| format!("c{n}={}", "v".repeat(1000))).collect();
        let large: Vec<&str> = large.iter().map(String::as_str).collect();
        let header = sent("https://h/", &large, "/");
        assert!(header.len() <= MAX_BYTES && header.len() > MAX_BYTES - 1100, "{}", header.len());
        assert!(header.contains("c19="));
        let huge = format!("huge={}", "v".repeat(MAX_BYTES));
        assert_eq!(sent("https://h/", &["a=1", &huge], "/"), "a=1");
    }

    #[test]
    fn a_value_that_is_replaced_is_reported() {
        let jar = jar("https://h/", &["a=1"]);
        let server = Endpoint::parse("https://h/").expect("a URL");
        let mut reported = None;
        jar.set("a=2", &server, "/", NOW, |old, new| reported = Some((old, new.clone())));
        assert_eq!(reported, Some((Some(Secret::new("1")), Secret::new("2"))));
        assert_eq!(format!("{jar:?}"), "CookieJar");
    }
}
