//! `NoProxy`: the hosts that `NO_PROXY` exempts from proxies.

use crate::error::quoted;
use crate::http::url::host_and_port;
use crate::suggest::{QUOTES, flaw};
use std::net::{IpAddr, Ipv4Addr};
use std::num::ParseIntError;

/// Maximum number of entries that warnings name.
const MAX_WARNINGS: usize = 5;

/// All hosts without a dot, in the settings of Windows. It looks like a placeholder.
const OF_WINDOWS: &str = "<local>";

/// The entries of `NO_PROXY`. Entries that cannot be read exempt nothing, as in curl.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    hosts: Hosts,
    /// `None`: every port.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Hosts {
    All,
    /// A name and its subdomains.
    Domain(String),
    /// Addresses that share their first bits with this one.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Reads entries separated by commas or white space.
    pub(crate) fn parse(text: &str) -> NoProxy {
        NoProxy(entries(text).filter_map(Entry::parse).collect())
    }

    /// Warnings about entries that cannot be read, each with the form that works.
    pub(crate) fn warnings(variable: &str, text: &str) -> Vec<String> {
        let unread = || entries(text).filter(|entry| Entry::parse(entry).is_none());
        let mut warnings: Vec<String> = unread()
            .take(MAX_WARNINGS)
            .map(|entry| {
                // What precedes an `@` may be a password.
                let shown = quoted(entry.rsplit('@').next().unwrap_or(entry));
                match (corrected(entry), flaw(entry).filter(|_| entry != OF_WINDOWS)) {
                    (Some(form), _) => {
                        format!("{variable}: {shown} matches no host; write {form}")
                    }
                    (None, Some(flaw)) => format!("{variable} {flaw}"),
                    (None, None) => format!(
                        "{variable}: {shown} matches no host; write HOST, .DOMAIN, HOST:PORT, ADDRESS or ADDRESS/BITS, separated by commas"
                    ),
                }
            })
            .collect();
        if let more @ 1.. = unread().count().saturating_sub(MAX_WARNINGS) {
            warnings.push(format!("{variable}: {more} more entries match no host"));
        }
        warnings
    }

    /// Whether requests to this host and port bypass the proxy. Names are not resolved.
    pub(crate) fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
        let address = host.parse::<IpAddr>().ok();
        self.0.iter().any(|entry| {
            entry.port.is_none_or(|only| only == port)
                && match (&entry.hosts, address) {
                    (Hosts::All, _) => true,
                    (Hosts::Domain(domain), None) => is_in_domain(host, domain),
                    (Hosts::Network(network, bits), Some(address)) => {
                        is_in_network(address, *network, *bits)
                    }
                    _ => false,
                }
        })
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Entry> {
        let (host, port) = split_port(text)?;
        let hosts = if host == "*" {
            Hosts::All
        } else if let Some((address, bits)) = host.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(address))?;
            Hosts::Network(address, bits)
        } else if let Ok(address) = host.parse::<IpAddr>() {
            Hosts::Network(address, width(address))
        } else {
            let domain = host.strip_prefix('*').unwrap_or(&host);
            Hosts::Domain(host_and_port("", domain.trim_matches('.')).ok()?.0)
        };
        Some(Entry { hosts, port })
    }
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty())
}

/// What an entry that cannot be read was probably meant to be: hosts of URLs, what other separators separate, and networks
/// by their first numbers or by a mask.
fn corrected(entry: &str) -> Option<String> {
    let parts = entry.split([';', '|']).filter(|part| !part.is_empty());
    let parts: Option<Vec<String>> = parts
        .map(|part| {
            let part = part.trim_matches(QUOTES);
            let rest = part.split_once("://").map_or(part, |(_, rest)| rest);
            let rest = rest.rsplit('@').next().unwrap_or(rest);
            if let Some(network) = with_bits(rest) {
                return Some(network);
            }
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..end].trim_end_matches(":*");
            Entry::parse(host).map(|_| host.to_owned()).or_else(|| by_first_numbers(host))
        })
        .collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join(","))
}

/// `10.0.0.0/255.0.0.0` and `10/8` as `10.0.0.0/8`; other networks as they are.
fn with_bits(text: &str) -> Option<String> {
    let (address, mask) = text.split_once('/')?;
    let Ok(mask) = mask.parse::<Ipv4Addr>() else {
        // macOS omits zeros.
        let zeros = ".0".repeat(3_usize.saturating_sub(address.matches('.').count()));
        let whole = [text.to_owned(), format!("{address}{zeros}/{mask}")];
        return whole.into_iter().find(|text| Entry::parse(text).is_some());
    };
    address.parse::<Ipv4Addr>().ok()?;
    let bits = mask.to_bits().leading_ones();
    (mask.to_bits().count_ones() == bits).then(|| format!("{address}/{bits}"))
}

/// `10.1.*` and `10.1.` as `10.1.0.0/16`.
fn by_first_numbers(text: &str) -> Option<String> {
    let numbers = text.trim_end_matches(['.', '*']);
    let mut octets: Vec<u8> = Vec::new();
    for number in numbers.split('.') {
        octets.push(number.parse().ok()?);
    }
    let is_network = numbers.len() < text.len() && octets.len() < 4;
    let bits = octets.len() * 8;
    octets.resize(4, 0);
    let address: [u8; 4] = octets.try_into().ok()?;
    is_network.then(|| format!("{}/{bits}", Ipv4Addr::from(address)))
}

/// Host and port of an entry: `host`, `host:80`, `::1`, `[::1]`, `[::1]:80`, `fd00::/8`.
fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((address.to_owned(), read_port(port).ok()?)),
            // `[fd00::]/8`
            None => Some((format!("{address}{rest}"), None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host.to_owned(), read_port(port).ok()?)),
        _ => Some((text.to_owned(), None)),
    }
}

/// As in Go, no port after the colon is every port.
fn read_port(text: &str) -> Result<Option<u16>, ParseIntError> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

fn is_in_domain(host: &str, domain: &str) -> bool {
    let Some(start) = host.len().checked_sub(domain.len()) else { return false };
    let ends_so = host.as_bytes()[start..].eq_ignore_ascii_case(domain.as_bytes());
    ends_so && (start == 0 || host.as_bytes()[start - 1] == b'.')
}

fn is_in_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let first_bits = |address: IpAddr| match address {
        IpAddr::V4(address) => {
            u128::from(address.to_bits()).checked_shr(u32::from(32 - bits)).unwrap_or(0)
        }
        IpAddr::V6(address) => address.to_bits().checked_shr(u32::from(128 - bits)).unwrap_or(0),
    };
    let address = if network.is_ipv4() { address.to_canonical() } else { address };
    address.is_ipv4() == network.is_ipv4() && first_bits(address) == first_bits(network)
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_the_hosts_that_they_cover() {
        for (entries, host, port, covered) in [
            ("mcp.example.com", "mcp.example.com", 443, true),
            ("example.com", "mcp.example.com", 443, true),
            ("example.com", "example.com", 443, true),
            (".example.com", "mcp.example.com", 443, true),
            (".example.com", "example.com", 443, true),
            ("*.example.com", "mcp.example.com", 443, true),
            ("Example.COM.", "mcp.example.com", 443, true),
            ("example.com", "mcp.example.com.", 443, true),
            ("bücher.example", "xn--bcher-kva.example", 443, true),
            ("other.org,example.com", "mcp.example.com", 443, true),
            ("other.org example.com", "mcp.example.com", 443, true),
            (" other.org ,\t.example.com ,", "mcp.example.com", 443, true),
            ("*", "mcp.example.com", 443, true),
            ("other.org, *", "10.0.0.1", 443, true),
            ("example.com:8443", "mcp.example.com", 8443, true),
            ("example.com:443", "mcp.example.com", 8443, false),
            ("example.com:", "mcp.example.com", 8443, true),
            ("example.com:x", "mcp.example.com", 443, false),
            ("https://mcp.example.com", "mcp.example.com", 443, false),
            ("other.org;example.com", "mcp.example.com", 443, false),
            ("ample.com", "mcp.example.com", 443, false),
            ("mcp.example.com", "example.com", 443, false),
            ("mcp.example.com.other.org", "mcp.example.com", 443, false),
            ("", "mcp.example.com", 443, false),
            (".", "mcp.example.com", 443, false),
            ("10.77.0.5", "10.77.0.5", 80, true),
            ("10.77.0.5:80", "10.77.0.5", 80, true),
            ("10.77.0.5:81", "10.77.0.5", 80, false),
            ("10.77.0.50", "10.77.0.5", 80, false),
            ("0.5", "10.77.0.5", 80, false),
            ("10.77.0.5", "mcp.example.com", 80, false),
            ("10.0.0.0/8", "10.77.0.5", 80, true),
            ("10.77.0.9/24", "10.77.0.5", 80, true),
            ("192.168.0.0/16,10.77.0.0/24", "10.77.0.5", 80, true),
            ("10.78.0.0/16", "10.77.0.5", 80, false),
            ("0.0.0.0/0", "10.77.0.5", 80, true),
            ("0.0.0.0/0", "[fd00::1]", 80, false),
            ("10.77.0.5/33", "10.77.0.5", 80, false),
            ("10.77.0.5/x", "10.77.0.5", 80, false),
            ("10.0.0.0/8", "[::ffff:10.77.0.5]", 80, true),
            ("fd00::1", "[fd00::1]", 80, true),
            ("[fd00:0::1]", "[fd00::1]", 80, true),
            ("[fd00::1]:80", "[fd00::1]", 80, true),
            ("[fd00::1]:81", "[fd00::1]", 80, false),
            ("fd00::2", "[fd00::1]", 80, false),
            ("fd00::/8", "[fd00::1]", 80, true),
            ("[fd00::]/8", "[fd00::1]", 80, true),
            ("::/0", "[fd00::1]", 80, true),
            ("fe80::/10", "[fd00::1]", 80, false),
        ] {
            let found = NoProxy::parse(entries).covers(host, port);
            assert_eq!(found, covered, "NO_PROXY={entries:?} and {host}:{port}");
        }
    }

    #[test]
    fn an_entry_that_cannot_match_is_named_with_the_form_that_works() {
        for (entry, form) in [
            ("https://mcp.example.com", "mcp.example.com"),
            ("https://mcp.example.com:8443/mcp", "mcp.example.com:8443"),
            ("HTTP://.example.com/", ".example.com"),
            ("http://[fd00::1]:80/", "[fd00::1]:80"),
            ("https://10.0.0.0/8", "10.0.0.0/8"),
            ("//mcp.example.com", ""),
            ("mcp.example.com/mcp", "mcp.example.com"),
            ("mcp.example.com:*", "mcp.example.com"),
            ("a.example;https://b.example/;", "a.example,b.example"),
            ("a.example|*.b.example", "a.example,*.b.example"),
            ("\"a.example", "a.example"),
            ("b.example'", "b.example"),
            ("10.*", "10.0.0.0/8"),
            ("192.168.*.*", "192.168.0.0/16"),
            ("10.1.", "10.1.0.0/16"),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
            ("169.254/16", "169.254.0.0/16"),
            ("10.0.0.0/255.0.255.0", "10.0.0.0"),
            ("10.0.0.0/33", "10.0.0.0"),
            ("10.0.0.256", ""),
            ("10", ""),
            ("/", ""),
            (".", ""),
            ("mcp-*.example.com", ""),
            ("<local>", ""),
            ("a.example:80-90", ""),
            ("[fd00::1", ""),
            ("fe80::1%eth0", ""),
        ] {
            let warnings = NoProxy::warnings("no_proxy", &format!("good.example,{entry} ::1"));
            let form = if form.is_empty() { "HOST, .DOMAIN, HOST:PORT, " } else { form };
            let expected = format!("no_proxy: {entry} matches no host; write {form}");
            assert!(warnings.len() == 1 && warnings[0].starts_with(&expected), "{warnings:?}");
            assert!(form.contains("HOST") || warnings[0] == expected, "{warnings:?}");
        }
        let warnings = NoProxy::warnings("no_proxy", "${no_proxy},https://ann:hush@a.example");
        assert_eq!(
            warnings,
            [
                "no_proxy contains a placeholder such as ${…} that was not replaced",
                "no_proxy: a.example matches no host; write a.example"
            ]
        );
        let many = NoProxy::warnings("no_proxy", &"https://a.example,".repeat(8));
        assert_eq!((many.len(), &*many[5]), (6, "no_proxy: 3 more entries match no host"));
    }
}
