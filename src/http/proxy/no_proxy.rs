//! `NoProxy`: the hosts that `NO_PROXY` exempts from proxies.

use crate::http::punycode;
use std::net::IpAddr;

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
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        NoProxy(entries.filter_map(Entry::parse).collect())
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
            let domain = punycode::ascii_host(domain.trim_matches('.'))?;
            if domain.is_empty() {
                return None;
            }
            Hosts::Domain(domain)
        };
        Some(Entry { hosts, port })
    }
}

/// Host and port of an entry: `host`, `host:80`, `::1`, `[::1]`, `[::1]:80`, `fd00::/8`.
fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((address.to_owned(), Some(port.parse().ok()?))),
            // `[fd00::]/8`
            None => Some((format!("{address}{rest}"), None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => {
            Some((host.to_owned(), Some(port.parse().ok()?)))
        }
        _ => Some((text.to_owned(), None)),
    }
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
            ("example.com:x", "mcp.example.com", 443, false),
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
}
