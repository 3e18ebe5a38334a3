//! `Peer`: the server and the way to it, as errors name them, and why it could not be reached.

use crate::error::{Error, Kind, io_message};
use crate::http::errors::{exchange_error, io_error};
use crate::http::proxy::Route;
use crate::http::proxy::tunnel::TunnelError;
use crate::http::wire::connect_error::{ConnectError, Exhausted};
use crate::http::wire::tls::TlsConnector;
use crate::http::wire::unreceived::Unreceived;
use std::io;
use std::time::Duration;
use ureq::Timeout;

/// Whom requests are sent to.
pub(crate) struct Peer {
    /// With its port, if that is not the default.
    pub(crate) host: String,
    pub(crate) route: Route,
    /// Time limit for DNS, TCP and TLS.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tls: TlsConnector,
}

impl Peer {
    /// The error of a request that got no response.
    pub(crate) fn request_error(&self, error: &ureq::Error) -> Error {
        match error {
            ureq::Error::HostNotFound => self.host_not_found(),
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                let limit = self.connect_timeout.unwrap_or_default().as_secs_f64();
                let what = format!(
                    "connecting to {} took longer than {limit} s (DNS, TCP or TLS handshake timeout)",
                    self.path()
                );
                let variable = self.route.variable();
                Error::new(Kind::TimedOut, what)
                    .hint(format!("check the firewall and {variable}, or raise --connect-timeout"))
            }
            ureq::Error::ConnectionFailed => self.connect_error(None),
            ureq::Error::Other(error) => self.connection_error(&**error),
            ureq::Error::Io(error) => {
                io_error(error).context(format!("connection to {}", self.path()))
            }
            other => exchange_error(other).context(format!("request to {}", self.path())),
        }
    }

    /// The error of a layer below HTTP: TCP, the proxy, or TLS.
    fn connection_error(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        if let Some(ConnectError(error)) = error.downcast_ref() {
            return self.connect_error(Some(error));
        }
        if let Some(error) = error.downcast_ref::<TunnelError>() {
            return self.tunnel_error(error);
        }
        if error.is::<Unreceived>() {
            let what = "the server closed the connection before it received the request";
            return Error::new(Kind::Unreachable, what)
                .context(format!("connection to {}", self.path()))
                .hint("check the server's log: it closes connections as soon as they are used")
                .unsent();
        }
        self.handshake_error(
            &self.path(),
            error,
            "check that the port belongs to an https server, and check HTTPS_PROXY",
        )
    }

    /// The error of a TLS handshake with `whom`. `hint` is for a peer that may not speak TLS.
    fn handshake_error(
        &self,
        whom: &str,
        error: &(dyn std::error::Error + 'static),
        hint: &str,
    ) -> Error {
        match error.downcast_ref::<io::Error>() {
            // rustls wraps its own errors as invalid data; with any other the connection broke.
            Some(error) if error.kind() != io::ErrorKind::InvalidData => {
                io_error(error).context(format!("TLS handshake with {whom}")).hint(hint).unsent()
            }
            _ => self.tls_error(whom, error, hint),
        }
    }

    pub(crate) fn host_not_found(&self) -> Error {
        let what = format!("lookup {}: no such host", self.next_hop());
        self.unreachable(what, "check the URL, DNS, HTTPS_PROXY and NO_PROXY")
    }

    pub(crate) fn lookup_timeout(&self) -> Error {
        let what = format!("lookup {}: no response", self.next_hop());
        Error::new(Kind::TimedOut, what).hint("check DNS and the network")
    }

    /// The error that connecting ended with; `None` where there was no address to try.
    pub(crate) fn connect_error(&self, why: Option<&io::Error>) -> Error {
        let hop = self.next_hop();
        if let Some(Exhausted { what, fix }) = why.and_then(Exhausted::of) {
            let what = format!("connect to {hop}: {what}");
            return Error::new(Kind::Unreachable, what).hint(fix).unsent();
        }
        match why {
            Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.unreachable(
                format!("connect to {hop}: connection refused"),
                "check that the server is running and the port is right",
            ),
            Some(error) => self.unreachable(
                format!("connect to {hop}: {}", io_message(error)),
                "check the network, the firewall and HTTPS_PROXY",
            ),
            None => self.unreachable(
                format!("connect to {hop}: none of its addresses can be reached"),
                "check the network, the firewall and HTTPS_PROXY",
            ),
        }
    }

    /// The error of a proxy that opens no tunnel.
    pub(crate) fn tunnel_error(&self, why: &TunnelError) -> Error {
        let variable = self.route.variable();
        if let TunnelError::Tls(error) = why {
            let hint =
                format!("if the proxy itself does not expect TLS, write http:// in {variable}");
            return self.handshake_error(&self.next_hop(), &**error, &hint);
        }
        let has_user = self.route.proxy().is_some_and(|proxy| proxy.has_user());
        let what = format!("CONNECT {}: {why}", self.path());
        let TunnelError::Refused { status: 407, schemes } = why else {
            let hint = match why {
                TunnelError::Refused { status: 300..=399 | 511, .. } => {
                    "sign in to the network with a browser".to_owned()
                }
                // It forbids the host, or cannot reach it.
                TunnelError::Refused { .. } => format!(
                    "check the URL and {variable}, have the proxy allow {host}, or list it in NO_PROXY if it needs no proxy",
                    host = self.host
                ),
                _ => format!("check {variable}: it may not name an HTTP proxy"),
            };
            return Error::new(Kind::Unreachable, what).hint(hint).unsent();
        };
        let is_basic = |scheme: &String| scheme.eq_ignore_ascii_case("basic");
        let (why, hint) = if !schemes.is_empty() && !schemes.iter().any(is_basic) {
            let why =
                format!("the proxy requires {}; only Basic is supported", schemes.join(" or "));
            let hint = "use a proxy that accepts Basic, or a local one that signs in for you, such as px or cntlm";
            (why, hint.to_owned())
        } else if has_user {
            let why = "the proxy rejected the user or password";
            let hint = format!("check the user and password in {variable}, percent-encoded");
            (why.to_owned(), hint)
        } else {
            let why = "the proxy requires a user and password";
            (why.to_owned(), format!("set {variable}=http://USER:PASSWORD@HOST:PORT"))
        };
        // Not unreachable: another attempt would be refused, too, and several may lock the user's account.
        Error::new(Kind::Usage, format!("{what}: {why}")).hint(hint).unsent()
    }

    fn tls_error(&self, whom: &str, error: &dyn std::error::Error, hint: &str) -> Error {
        let text = error.to_string();
        // rustls wraps what its verifier has no name for.
        let text = text.replace("Other(OtherError(", "").replace("))", "");
        let is_certificate = text.contains("certificate");
        let issuer = self.tls.last_refused_issuer().filter(|_| is_certificate);
        let by = issuer.map(|issuer| format!(" (issued by {issuer})")).unwrap_or_default();
        let hint = if text.contains("UnknownIssuer") && self.tls.has_ca_bundle() {
            "if the network inspects TLS, add its CA certificate to your CA bundle, which lacks it"
        } else if text.contains("UnknownIssuer") {
            "if the network inspects TLS, add its CA certificate with --ca-bundle FILE"
        } else if text.contains("not valid for") {
            "compare the host in the URL with the names in the certificate; if it is that of a network's sign-in page, sign in there with a browser"
        } else if text.contains("expired") || text.contains("not valid yet") {
            "check the local clock; if it is right, renew the server's certificate"
        } else if text.contains("CaUsedAsEndEntity") {
            // What `openssl req -x509` makes by default.
            "create a certificate with basicConstraints=CA:FALSE: the server presents that of a certificate authority"
        } else if is_certificate {
            "check the server's certificate"
        } else {
            hint
        };
        Error::new(Kind::InvalidResponse, format!("TLS with {whom}: {text}{by}")).hint(hint)
    }

    /// An error of the next hop: advice about the server does not help with a proxy.
    fn unreachable(&self, what: String, server_hint: &str) -> Error {
        let hint = match self.route.proxy() {
            Some(_) => format!("check {}", self.route.variable()),
            None => server_hint.to_owned(),
        };
        Error::new(Kind::Unreachable, what).hint(hint).unsent()
    }

    /// The host that is connected to: the server, or the proxy.
    fn next_hop(&self) -> String {
        match self.route.proxy() {
            Some(proxy) => format!("{proxy} (the proxy)"),
            None => self.host.clone(),
        }
    }

    /// The server, and the proxy in between.
    fn path(&self) -> String {
        match self.route.proxy() {
            Some(proxy) => format!("{} through the proxy {proxy}", self.host),
            None => self.host.clone(),
        }
    }
}
