//! TLS by rustls, and whom it trusts: Mozilla's roots, the system's bundle where there is one, the user's own.
//!
//! Takes ureq's place for one reason: ureq trusts either Mozilla's roots or a list of certificates, not both. One
//! configuration is built, at the first connection, and shared with its session tickets by all.

use super::locked;
use crate::error::{Error, Kind};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

/// Where systems keep the authorities that their administrators trust; the first that is there counts.
const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// Certificate authorities that the user trusts beside all others. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CaBundle(Arc<[CertificateDer<'static>]>);

impl CaBundle {
    /// Reads a PEM file. `named_by` is the flag or variable that names it.
    pub fn read(path: &Path, named_by: &str) -> Result<CaBundle, Error> {
        let wrong = |why: String| {
            Error::new(Kind::Usage, format!("{named_by}: CA bundle {}: {why}", path.display()))
        };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("holds no certificate".to_owned()));
        }
        Ok(CaBundle(certificates.into()))
    }
}

/// Wraps connections to https URLs. Clones share the configuration.
#[derive(Clone, Debug)]
pub(super) struct TlsConnector(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ca_bundle: CaBundle,
    config: OnceLock<Arc<ClientConfig>>,
    last_refused: Arc<Mutex<Option<String>>>,
}

impl TlsConnector {
    pub(super) fn new(ca_bundle: &CaBundle) -> TlsConnector {
        TlsConnector(Arc::new(Shared {
            ca_bundle: ca_bundle.clone(),
            config: OnceLock::new(),
            last_refused: Arc::default(),
        }))
    }

    /// Who issued the certificate that was refused last.
    pub(super) fn last_refused_issuer(&self) -> Option<String> {
        locked(&self.0.last_refused).clone()
    }

    fn config(&self) -> Result<Arc<ClientConfig>, ureq::Error> {
        if let Some(config) = self.0.config.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        // What of them cannot be read is of no use to anybody, and no reason to stop.
        roots.add_parsable_certificates(system_bundle());
        roots.add_parsable_certificates(self.0.ca_bundle.0.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(other)?;
        let verifier = TellingVerifier { verifier, last_refused: Arc::clone(&self.0.last_refused) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Arc::clone(self.0.config.get_or_init(|| Arc::new(config))))
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

fn system_bundle() -> Vec<CertificateDer<'static>> {
    let pem = SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    CertificateDer::pem_slice_iter(&pem).flatten().collect()
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(other)?;
        let mut connection = ClientConnection::new(self.config()?, name).map_err(other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        // What connecting took is not there for the handshake.
        let mut timeout = details.timeout;
        if let (Duration::Exact(limit), Instant::Exact(began), Instant::Exact(now)) =
            (timeout.after, details.now, (details.current_time)())
        {
            timeout.after = Duration::Exact(limit.saturating_sub(now.duration_since(began)));
        }
        socket.set_timeout(timeout);
        connection.complete_io(&mut socket).map_err(|error| match ureq::Error::from(error) {
            // Told apart from what breaks later: nothing has been sent yet.
            ureq::Error::Io(error) => other(error),
            error => error,
        })?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        let stream = StreamOwned { conn: connection, sock: socket };
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// An encrypted connection.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TlsTransport")
    }
}

/// rustls decides; this only remembers whose certificate it refused, since its error does not say.
#[derive(Debug)]
struct TellingVerifier {
    verifier: Arc<WebPkiServerVerifier>,
    last_refused: Arc<Mutex<Option<String>>>,
}

impl ServerCertVerifier for TellingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        if verified.is_err() {
            *locked(&self.last_refused) = issuer(end_entity);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The common name, or else the organisation, of a certificate's issuer (RFC 5280 §4.1).
fn issuer(certificate: &[u8]) -> Option<String> {
    const SEQUENCE: u8 = 0x30;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // The version is optional; then serial number and algorithm stand before the issuer.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.2;
    }
    rest = element(rest)?.2;
    rest = element(rest)?.2;
    let (tag, issuer, _) = element(rest)?;
    let attribute = |kind: u8| {
        let object_id = [0x06, 0x03, 0x55, 0x04, kind];
        let at = issuer.windows(object_id.len()).position(|window| window == object_id)?;
        let (_, text, _) = element(issuer.get(at + object_id.len()..)?)?;
        let text = String::from_utf8_lossy(text);
        Some(text.chars().filter(|c| !c.is_control()).take(100).collect::<String>())
    };
    let (common_name, organisation) = (0x03, 0x0a);
    (tag == SEQUENCE).then(|| attribute(common_name).or_else(|| attribute(organisation)))?
}

/// One DER element: tag, content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_of_a_certificate_or_nothing() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params =
            rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Corporate Proxy CA");
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(issuer(certificate.der()).as_deref(), Some("Corporate Proxy CA"));
        for cut in 0..certificate.der().len() {
            let _ = issuer(&certificate.der()[..cut]);
        }
        assert_eq!(issuer(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
