//! `Access`: decides which clients may connect. A web page can reach listeners of the machine under a name of its own (DNS
//! rebinding), so the `Host` and the `Origin` must both be allowed, and nothing is served without the token.

use crate::error::Kind;
use crate::http::authority::host_and_port;
use crate::listener::refusal::{Refusal, malformed, refused};
use crate::listener::request::Headers;
use crate::listener::token::Token;
use std::net::{IpAddr, SocketAddr};

/// Headers that web pages may send, in addition to those that begin with `Mcp-`.
const PAGE_HEADERS: [&str; 4] = ["accept", "authorization", "content-type", "last-event-id"];

/// How to allow web pages.
const NAME_ORIGINS: &str = "name the origins of your pages with --allow-origin";

#[derive(Debug)]
pub(crate) struct Access {
    hosts: Vec<(String, Option<u16>)>,
    origins: Vec<String>,
    token: Option<Token>,
}

impl Access {
    /// `hosts` are in lower case, `origins` as browsers write them. Without a token every client may call.
    pub(crate) fn new(hosts: &[String], origins: Vec<String>, token: Option<Token>) -> Access {
        let hosts = hosts.iter().filter_map(|host| host_and_port(host));
        let hosts = hosts.map(|(host, port)| (host.to_owned(), port)).collect();
        Access { hosts, origins, token }
    }

    /// Whether the client may reach this address by the name that it used. `local` is the address that it reached; a socket in a
    /// file has none. Only browsers can be made to use a name of someone else's, and they always name one.
    ///
    /// # Errors
    /// The name is not allowed, or not a valid name.
    pub(crate) fn check_host(
        &self,
        authority: Option<&str>,
        local: Option<SocketAddr>,
    ) -> Result<(), Refusal> {
        let Some(authority) = authority else { return Ok(()) };
        let Some((host, port)) = host_and_port(authority) else {
            return Err(malformed("the header Host is not a host"));
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_local_port = local.is_none_or(|local| port.is_none_or(|port| port == local.port()));
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let is_here = host.eq_ignore_ascii_case("localhost")
            || (address.is_some() && address == local.map(|local| local.ip().to_canonical()));
        let is_named = |(name, named_port): &(String, Option<u16>)| {
            let is_port = match (*named_port, port) {
                (None, _) => true,
                // Clients omit the default port of their scheme, which is https with a TLS terminator in front.
                (Some(named), None) => matches!(named, 80 | 443),
                (Some(named), Some(port)) => named == port,
            };
            host.eq_ignore_ascii_case(name) && is_port
        };
        if (is_here && is_local_port) || self.hosts.iter().any(is_named) {
            return Ok(());
        }
        let what = format!("the host {authority} is not allowed");
        let fix = format!("connect to the listen address, or add --allow-host {authority}");
        Err(refused(&what, 403, Kind::PolicyDenied, &fix))
    }

    /// The origin of the page that sent the request, if a page did.
    ///
    /// # Errors
    /// It is not allowed.
    pub(crate) fn check_origin<'a>(
        &self,
        headers: &'a Headers,
    ) -> Result<Option<&'a str>, Refusal> {
        match headers.get("origin") {
            Some(origin) if !self.origins.iter().any(|allowed| allowed == origin) => {
                let what = format!("pages of the origin {origin} are not allowed");
                Err(refused(&what, 403, Kind::PolicyDenied, NAME_ORIGINS))
            }
            // A browser leaves it out of a GET whose response the page cannot read, such as that of an image.
            None if headers.get("sec-fetch-site").is_some_and(is_of_another_page) => {
                let what = "requests of web pages without an Origin are not allowed";
                Err(refused(what, 403, Kind::PolicyDenied, NAME_ORIGINS))
            }
            origin => Ok(origin),
        }
    }

    /// Checks the bearer token.
    ///
    /// # Errors
    /// It is missing or wrong.
    pub(crate) fn check_token(&self, headers: &Headers) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let fix = "send the header Authorization: Bearer TOKEN with the token of this listener";
        let Some(credentials) = headers.get("authorization") else {
            let refusal = refused("a bearer token is required", 401, Kind::PolicyDenied, fix);
            return Err(refusal.with_header("WWW-Authenticate", "Bearer"));
        };
        let sent = credentials.split_once(' ');
        let sent = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if sent.is_some_and(|(_, sent)| token.is(sent.trim_start_matches(' '))) {
            return Ok(());
        }
        let refusal = refused("invalid bearer token", 401, Kind::PolicyDenied, fix);
        Err(refusal.with_header("WWW-Authenticate", "Bearer error=\"invalid_token\""))
    }
}

/// Whether a page sent a request with this `Sec-Fetch-Site`, and not the user, who opened the URL.
fn is_of_another_page(site: &str) -> bool {
    matches!(site, "cross-site" | "same-site")
}

/// Headers of the response to a preflight request of an allowed page (CORS), except the origin.
pub(crate) fn preflight(headers: &Headers) -> [(&'static str, String); 4] {
    let wanted = headers.get("access-control-request-headers").unwrap_or_default();
    let is_allowed = |name: &&str| {
        let is_mcp = name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("mcp-"));
        let is_known = PAGE_HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name));
        (is_mcp || is_known) && crate::http::is_header_name(name)
    };
    let allowed: Vec<&str> = wanted.split(',').map(str::trim).filter(is_allowed).collect();
    [
        ("Access-Control-Allow-Methods", "GET, POST, DELETE".to_owned()),
        ("Access-Control-Allow-Headers", allowed.join(", ")),
        ("Access-Control-Allow-Private-Network", "true".to_owned()),
        ("Access-Control-Max-Age", "600".to_owned()),
    ]
}
