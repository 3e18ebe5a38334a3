//! CONNECT (RFC 9110 §9.3.6): the request for a tunnel, and the proxy's response.

use crate::http::proxy::server::ProxyServer;
use crate::signing::Secret;
use std::fmt;
use std::io;

/// Maximum size of a proxy's response to CONNECT.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Why a proxy opened no tunnel.
#[derive(Debug)]
pub(crate) enum TunnelError {
    /// It refused.
    Refused {
        status: u16,
        /// The authentication schemes that it offers.
        schemes: Vec<String>,
    },
    /// Its response is not HTTP.
    NotHttp,
    /// The connection to it broke.
    Broken(io::Error),
    /// The TLS handshake with the proxy itself failed.
    Tls(Box<dyn std::error::Error + Send + Sync>),
}

/// The request for a tunnel to `authority`, host and port. It may hold a password.
pub(crate) fn connect_request(proxy: &ProxyServer, authority: &str) -> Secret {
    let mut head = format!(
        "CONNECT {authority} HTTP/1.1\r\n\
         Host: {authority}\r\n\
         User-Agent: sigv4-proxy/{}\r\n\
         Proxy-Connection: Keep-Alive\r\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(authorization) = proxy.authorization() {
        head.push_str("Proxy-Authorization: ");
        head.push_str(authorization.expose());
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    Secret::new(head)
}

/// Reads the response, and the interim responses before it. `None` until its head is complete; then the size of all heads,
/// or why there is no tunnel.
pub(crate) fn connect_response(input: &[u8]) -> Option<Result<usize, TunnelError>> {
    let mut rest = input;
    loop {
        let Some(size) = head_size(rest) else {
            let may_be_http = b"HTTP/1.".starts_with(&rest[..rest.len().min(7)]);
            let is_good = may_be_http && input.len() < MAX_HEAD_BYTES;
            return (!is_good).then_some(Err(TunnelError::NotHttp));
        };
        let (head, after) = rest.split_at(size);
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status_line = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status_line.and_then(|line| line.get(2..5)?.parse().ok());
        return Some(match status {
            Some(100..=199) => {
                rest = after;
                continue;
            }
            Some(200..=299) => Ok(input.len() - after.len()),
            Some(status) => Err(TunnelError::Refused { status, schemes: schemes(lines) }),
            None => Err(TunnelError::NotHttp),
        });
    }
}

/// The size of a head with its empty line. Lines may end in LF alone (RFC 9112 §2.2).
fn head_size(input: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', input).map(|at| at + 1).find_map(|next| match &input[next..] {
        [b'\n', ..] => Some(next + 1),
        [b'\r', b'\n', ..] => Some(next + 2),
        _ => None,
    })
}

/// The schemes of all `Proxy-Authenticate` headers: the first word of each challenge (RFC 9110 §11.6.1).
fn schemes<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut schemes: Vec<String> = Vec::new();
    for header in headers {
        let Some((name, challenges)) = header.split_once(':') else { continue };
        if !name.trim().eq_ignore_ascii_case("proxy-authenticate") {
            continue;
        }
        for challenge in challenges.split(',') {
            let scheme = challenge.split_whitespace().next().unwrap_or_default();
            let is_token = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let is_new = !schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme));
            if is_token && is_new && (1..=32).contains(&scheme.len()) && schemes.len() < 8 {
                schemes.push(scheme.to_owned());
            }
        }
    }
    schemes
}

impl From<TunnelError> for ureq::Error {
    fn from(error: TunnelError) -> ureq::Error {
        ureq::Error::Other(Box::new(error))
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunnelError::Refused { status, .. } => write!(out, "HTTP {status}"),
            TunnelError::NotHttp => out.write_str("the response is not HTTP"),
            TunnelError::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                out.write_str("the connection closed without a response")
            }
            TunnelError::Broken(error) => error.fmt(out),
            TunnelError::Tls(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for TunnelError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_in_every_cut() {
        let whole = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
        for cut in 0..whole.len() {
            assert!(connect_response(&whole[..cut]).is_none(), "{cut}");
        }
        assert!(matches!(connect_response(whole), Some(Ok(size)) if size == whole.len()));
        for whole in [
            &whole[..],
            b"HTTP/1.0 200 OK\n\n",
            b"HTTP/1.1 200 OK\nVia: x\r\n\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            let followed = [whole, &b"\x16\x03"[..]].concat();
            let found = connect_response(&followed);
            assert!(matches!(found, Some(Ok(size)) if size == whole.len()), "{found:?}");
        }
        assert!(connect_response(b"HTTP/1.1 100 Continue\r\n\r\n").is_none());
        let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        assert!(matches!(connect_response(&endless), Some(Err(TunnelError::NotHttp))));
        for garbage in
            [&b"SSH-2.0-x"[..], b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", b"\x15\x03"]
        {
            let error = connect_response(garbage).expect("garbage is judged at once");
            assert!(matches!(error, Err(TunnelError::NotHttp)), "{garbage:?}");
        }
    }

    #[test]
    fn schemes_that_a_proxy_offers() {
        for (headers, expected) in [
            ("Proxy-Authenticate: Negotiate", &["Negotiate"][..]),
            ("proxy-authenticate: NTLM, Basic realm=\"a b\"", &["NTLM", "Basic"]),
            ("Proxy-Authenticate: Digest realm=\"x\", nonce=\"abc=\", qop=\"auth\"", &["Digest"]),
            ("Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM", &["Negotiate", "NTLM"]),
            ("Proxy-Authenticate: NTLM TlRMTVNTUAAC==", &["NTLM"]),
            ("WWW-Authenticate: Basic", &[]),
        ] {
            let head = format!("HTTP/1.1 407 Auth\r\n{headers}\r\n\r\n");
            let Some(Err(TunnelError::Refused { status: 407, schemes })) =
                connect_response(head.as_bytes())
            else {
                panic!("{headers}")
            };
            assert_eq!(schemes, expected, "{headers}");
        }
    }
}
