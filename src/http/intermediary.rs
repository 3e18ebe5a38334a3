//! `Intermediary`: what may respond in place of a server, as far as the connection shows it.

use std::fmt;

/// What is between here and a server and can read or make responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intermediary {
    /// The network opens TLS: this authority, which is not public, issued the server's certificate.
    TlsInspection { issuer: String },
    /// An HTTP proxy that sees requests in the clear, and the variable that names it.
    Proxy { proxy: String, variable: &'static str },
    /// Anything in the network: requests are not encrypted.
    Network,
}

/// How to fix it, as an imperative.
impl fmt::Display for Intermediary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Intermediary::TlsInspection { issuer } => write!(
                out,
                "have *.amazonaws.com, *.api.aws and *.on.aws exempted from TLS inspection: the certificate of the server was issued by {issuer}, so the network opens TLS and may change or block requests"
            ),
            Intermediary::Proxy { proxy, variable } => write!(
                out,
                "have the proxy {proxy} ({variable}) allow this host: it may have responded in place of the server"
            ),
            Intermediary::Network => out.write_str(
                "open the URL in a browser: the network may have responded in place of the server, for example with its sign-in page",
            ),
        }
    }
}
