//! Hosts as requests name them: `HOST` or `HOST:PORT` (RFC 9110 §7.2).

use std::net::Ipv6Addr;

/// Splits an authority into its host, in brackets if that is an IPv6 address, and its port. `None` if it is anything else, such as
/// one with user information, white space or non-ASCII characters.
pub(crate) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = if authority.starts_with('[') { authority.find(']')? + 1 } else { 0 };
    let at = authority[end..].find(':').map_or(authority.len(), |at| end + at);
    let (host, port) = authority.split_at(at);
    let port = match port.strip_prefix(':') {
        // An empty port is as good as none (RFC 3986 §3.2.3).
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
    };
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = in_brackets.map_or_else(
        || !host.is_empty() && host.bytes().all(fits),
        |address| address.parse::<Ipv6Addr>().is_ok(),
    );
    is_host.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_with_or_without_a_port() {
        for (authority, expected) in [
            ("localhost", ("localhost", None)),
            ("LocalHost.:80", ("LocalHost.", Some(80))),
            ("127.0.0.1:65535", ("127.0.0.1", Some(65535))),
            ("my_host-1", ("my_host-1", None)),
            ("localhost:", ("localhost", None)),
            ("[::1]", ("[::1]", None)),
            ("[::1]:", ("[::1]", None)),
            ("[::ffff:1.2.3.4]:0", ("[::ffff:1.2.3.4]", Some(0))),
        ] {
            assert_eq!(host_and_port(authority), Some(expected));
        }
        for authority in
            ["", ":", ":80", "a::", "a:b", "a:1:2", "a:65536", "a:+1", "::1", "[::1", "[::1]x"]
                .into_iter()
                .chain([
                    "[a]",
                    "[::1%eth0]",
                    "u@a",
                    "a@b:80",
                    "a b",
                    "a/b",
                    "*",
                    "a\tb",
                    "ä",
                    "a,b",
                ])
        {
            assert_eq!(host_and_port(authority), None, "{authority}");
        }
    }
}
