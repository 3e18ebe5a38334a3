//! TLS by rustls, and whom it trusts: Mozilla's roots, the system's bundle where there is one, the user's own.
//!
//! Takes ureq's place for one reason: ureq trusts either Mozilla's roots or a list of certificates, not both. One
//! configuration is built, at the first connection, and shared with its session tickets by all.

use super::buffers::GrowingBuffers;
use super::certificate::Certificate;
use super::locked;
use super::tcp::time_left;
use crate::error::{Error, Kind, words_of};
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
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter,
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
                .hint("name a readable PEM file")
        };
        let pem = std::fs::read(path).map_err(|error| wrong(words_of(&error)))?;
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

    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, ureq::Error> {
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

/// Whether Mozilla's roots alone would trust this chain for this host.
pub(super) fn is_public(chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let (Ok(verifier), [end_entity, intermediates @ ..]) = (verifier, chain) else { return false };
    verifier.verify_server_cert(end_entity, intermediates, name, &[], UnixTime::now()).is_ok()
}

pub(super) fn other(error: impl std::error::Error + Send + Sync + 'static) -> ureq::Error {
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
        socket.set_timeout(time_left(details));
        connection.complete_io(&mut socket).map_err(|error| match ureq::Error::from(error) {
            // Told apart from what breaks later: nothing has been sent yet.
            ureq::Error::Io(error) => other(error),
            error => error,
        })?;
        let stream = StreamOwned { conn: connection, sock: socket };
        Ok(Some(Either::B(TlsTransport { buffers: GrowingBuffers::default(), stream })))
    }
}

/// An encrypted connection.
pub(super) struct TlsTransport {
    buffers: GrowingBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.buffers.reset();
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
            *locked(&self.last_refused) = Certificate::read(end_entity).issuer;
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
