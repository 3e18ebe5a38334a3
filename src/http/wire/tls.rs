//! `TlsConnector` and `TlsTransport`: TLS with rustls.
//!
//! Replaces ureq's own, which trusts either Mozilla's roots or a list of certificates, not both. The configuration is built at
//! the first connection; all connections share it and its session tickets.

use crate::http::certificate::Certificate;
use crate::http::url::{Endpoint, without_brackets};
use crate::http::wire::buffers::{GrowingBuffers, OutputSize};
use crate::http::wire::call_limits::CallLimits;
use crate::http::wire::early_response::{EarlyResponse, InterruptedWrite};
use crate::http::wire::tcp::time_left;
use crate::http::wire::trusted_roots::{CaBundle, trusted_roots};
use crate::http::wire::unreceived::Unreceived;
use crate::sync::lock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SigningKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use std::fmt;
use std::io::{self, Read as _, Write};
use std::sync::{Arc, Mutex, OnceLock};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter,
};

/// Wraps connections to https URLs in TLS. Clones share the configuration.
#[derive(Clone, Debug)]
pub(crate) struct TlsConnector {
    shared: Arc<Shared>,
    call_limits: CallLimits,
    output_size: OutputSize,
}

#[derive(Debug)]
struct Shared {
    ca_bundle: CaBundle,
    config: OnceLock<Arc<ClientConfig>>,
    other_name: Option<OtherName>,
    last_refused: Arc<Mutex<Option<String>>>,
    last_accepted: Arc<Mutex<Option<Accepted>>>,
}

/// A chain of certificates, and the name that it proves.
#[derive(Debug)]
struct Accepted {
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

/// A server that is requested by another name (SNI) than that of its URL. Its certificate may be valid for either.
#[derive(Clone, Debug)]
struct OtherName {
    asked: String,
    of_url: String,
}

impl TlsConnector {
    /// For connections to this endpoint and to proxies in between.
    pub(crate) fn new(endpoint: &Endpoint, ca_bundle: &CaBundle) -> TlsConnector {
        let asked = without_brackets(endpoint.service_host()).to_owned();
        let of_url = without_brackets(endpoint.host()).to_owned();
        let shared = Shared {
            ca_bundle: ca_bundle.clone(),
            config: OnceLock::new(),
            other_name: (asked != of_url).then_some(OtherName { asked, of_url }),
            last_refused: Arc::default(),
            last_accepted: Arc::default(),
        };
        let call_limits = CallLimits::default();
        TlsConnector { shared: Arc::new(shared), call_limits, output_size: OutputSize::default() }
    }

    /// A connector with the same configuration, for a connection with these limits and this size of its output buffer.
    pub(crate) fn for_connection(
        &self,
        call_limits: &CallLimits,
        output_size: &OutputSize,
    ) -> TlsConnector {
        TlsConnector {
            shared: Arc::clone(&self.shared),
            call_limits: call_limits.clone(),
            output_size: output_size.clone(),
        }
    }

    /// Whether the user named certificate authorities.
    pub(crate) fn has_ca_bundle(&self) -> bool {
        !self.shared.ca_bundle.is_empty()
    }

    /// The issuer of the last certificate that was refused.
    pub(crate) fn last_refused_issuer(&self) -> Option<String> {
        lock(&self.shared.last_refused).clone()
    }

    /// The issuer of the last certificate that was accepted, unless Mozilla's roots alone would accept it.
    pub(crate) fn private_issuer(&self) -> Option<String> {
        let accepted = lock(&self.shared.last_accepted);
        let Accepted { chain, name } = accepted.as_ref()?;
        if is_public(chain, name) { None } else { Certificate::read(chain.first()?).issuer }
    }

    /// The name that is sent to the server (SNI). `host`: that of its URL.
    pub(crate) fn name_of<'a>(&'a self, host: &'a str) -> &'a str {
        let host = without_brackets(host);
        let other_name = self.shared.other_name.as_ref().filter(|name| name.of_url == host);
        other_name.map_or(host, |name| &name.asked)
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, ureq::Error> {
        if let Some(config) = self.shared.config.get() {
            return Ok(Arc::clone(config));
        }
        let provider = cryptography();
        let names = self.shared.other_name.as_ref().map(|name| {
            let parsed = |name: &str| ServerName::try_from(name.to_owned()).map_err(other);
            Ok::<_, ureq::Error>([parsed(&name.asked)?, parsed(&name.of_url)?])
        });
        let verifier = Verifier {
            trust: Trust {
                roots: trusted_roots(&self.shared.ca_bundle)?,
                algorithms: provider.signature_verification_algorithms,
            },
            names: names.transpose()?,
            last_refused: Arc::clone(&self.shared.last_refused),
            last_accepted: Arc::clone(&self.shared.last_accepted),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Arc::clone(self.shared.config.get_or_init(|| Arc::new(config))))
    }

    /// Makes a connection encrypted, to a server or a proxy of this name.
    pub(crate) fn handshake<In: Transport>(
        &self,
        name: &str,
        transport: In,
        details: &ConnectionDetails<'_>,
    ) -> Result<TlsTransport, ureq::Error> {
        let name = ServerName::try_from(without_brackets(name).to_owned()).map_err(other)?;
        let mut connection = ClientConnection::new(self.config()?, name).map_err(other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        // The handshake gets the time that TCP has left.
        socket.set_timeout(time_left(details));
        connection.complete_io(&mut socket).map_err(|error| match ureq::Error::from(error) {
            // Distinct from later failures: nothing of the request has been sent.
            ureq::Error::Io(error) => other(error),
            error => error,
        })?;
        Ok(TlsTransport {
            buffers: GrowingBuffers::new(self.output_size.clone()),
            stream: StreamOwned { conn: connection, sock: socket },
            call_limits: self.call_limits.clone(),
            has_input: true,
            is_refused: false,
        })
    }
}

/// Whether Mozilla's roots alone would trust this chain for this host.
pub(crate) fn is_public(chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
    let [certificate, intermediates @ ..] = chain else { return false };
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let algorithms = cryptography().signature_verification_algorithms;
    Trust { roots, algorithms }.verify(certificate, intermediates, name, UnixTime::now()).is_ok()
}

/// The authorities that are trusted, and the algorithms that their signatures may have.
#[derive(Debug)]
struct Trust {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// Verifies the certificate of a host: the two steps of rustls's `WebPkiServerVerifier`, whose lists of revoked certificates
    /// would be 22 kB of the binary, and empty.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        verify_server_name(&parsed, name)
    }
}

/// That of `ring`, without what signs for certificates of clients: there are none, and it would be a part of the binary.
fn cryptography() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { key_provider: &NoClientKeys, ..ring::default_provider() })
}

#[derive(Debug)]
struct NoClientKeys;

impl KeyProvider for NoClientKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("keys of clients are not supported".to_owned()))
    }
}

pub(crate) fn other(error: impl std::error::Error + Send + Sync + 'static) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
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
        let name = self.name_of(details.uri.host().unwrap_or_default());
        Ok(Some(Either::B(self.handshake(name, transport, details)?)))
    }
}

/// An encrypted connection.
pub(crate) struct TlsTransport {
    buffers: GrowingBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
    call_limits: CallLimits,
    /// Something of a response was received since the last request began.
    has_input: bool,
    /// The server has responded; the rest of the request is not sent, not even the part that is already encrypted.
    is_refused: bool,
}

impl TlsTransport {
    /// Sends encrypted data. If input arrives while there is no room, judges it.
    fn flush(&mut self) -> Result<(), ureq::Error> {
        while self.stream.conn.wants_write() && !self.is_refused {
            let mut listening = Listening { socket: &mut self.stream.sock, came: None };
            let written = self.stream.conn.write_tls(&mut listening);
            match (listening.came, written) {
                (Some(is_broken), written) => self.read_early(is_broken, written.err())?,
                (None, written) => drop(written?),
            }
        }
        Ok(())
    }

    /// Reads early input, which may be a session ticket or the response. `is_broken`: nothing more can be sent, so any
    /// response counts; without one, `error` ended the request.
    fn read_early(&mut self, is_broken: bool, error: Option<io::Error>) -> Result<(), ureq::Error> {
        loop {
            match self.early() {
                EarlyResponse::Refusal => break,
                EarlyResponse::Incomplete | EarlyResponse::Other if is_broken => break,
                // The rest can wait until the request is sent.
                EarlyResponse::Other | EarlyResponse::Encrypted => return Ok(()),
                EarlyResponse::Incomplete | EarlyResponse::Nothing | EarlyResponse::End => {}
            }
            let read = self.stream.conn.read_tls(&mut self.stream.sock);
            if is_broken && !matches!(read, Ok(1..)) {
                return Err(error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()).into());
            }
            if read? == 0 {
                break;
            }
            self.decrypt()?;
            let has_more = self.stream.sock.get_mut().buffers().can_use_input();
            if !is_broken && !has_more && self.early() != EarlyResponse::Refusal {
                return Ok(());
            }
        }
        self.is_refused = true;
        self.call_limits.invalidate();
        Ok(())
    }

    fn early(&mut self) -> EarlyResponse {
        EarlyResponse::of(self.stream.conn.reader().into_first_chunk().unwrap_or_default())
    }

    fn decrypt(&mut self) -> io::Result<()> {
        let decrypted = self.stream.conn.process_new_packets();
        decrypted.map(drop).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Whether all that has arrived on the idle connection are messages of TLS itself, such as session tickets.
    fn has_only_tls_messages(&mut self) -> bool {
        loop {
            match self.stream.conn.read_tls(&mut self.stream.sock) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(1..) => {}
                Ok(0) | Err(_) => return false,
            }
            match self.stream.conn.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }

    /// Reads without sending.
    fn read_only(&mut self) -> io::Result<usize> {
        loop {
            let room = self.buffers.input_append_buf();
            match self.stream.conn.reader().read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            self.stream.conn.read_tls(&mut self.stream.sock)?;
            self.decrypt()?;
        }
    }
}

/// A writer that notices input while nothing more can be written.
struct Listening<'a> {
    socket: &'a mut TransportAdapter,
    /// Set when there is input: whether the connection is broken as well.
    came: Option<bool>,
}

impl Write for Listening<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let error = match self.socket.write(bytes) {
            Ok(count) => return Ok(count),
            Err(error) => error,
        };
        let Some(came) = InterruptedWrite::of(&error) else { return Err(error) };
        self.came = Some(came.is_broken);
        if came.sent > 0 { Ok(came.sent) } else { Err(error) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.buffers.reset();
        self.has_input = false;
        self.stream.get_mut().set_timeout(timeout);
        let mut sent = 0;
        while sent < amount && !self.is_refused {
            let rest = &self.buffers.output()[sent..amount];
            sent += self.stream.conn.writer().write(rest)?;
            self.flush()?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let count = if self.is_refused {
            self.read_only()?
        } else {
            self.stream.read(self.buffers.input_append_buf())?
        };
        // The server has announced the end; an end without that is seen below TLS.
        if count == 0
            && !self.has_input
            && let Some(socket) = self.call_limits.socket()
        {
            let limit = self.call_limits.limit(timeout)?.not_zero().map(|limit| *limit);
            return Unreceived::prove(&socket, limit).map_or(Ok(false), |proof| Err(proof.into()));
        }
        self.has_input = true;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        if self.is_refused {
            return false;
        }
        let is_silent = self.stream.get_mut().get_mut().is_open();
        let limits = self.call_limits.clone();
        is_silent || limits.without_waiting(|| self.has_only_tls_messages())
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

/// Verifies certificates of servers, and records the issuer of a refused one, which rustls's error does not name.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    /// Accepts a certificate for the second of these names, although the first was requested.
    names: Option<[ServerName<'static>; 2]>,
    last_refused: Arc<Mutex<Option<String>>>,
    last_accepted: Arc<Mutex<Option<Accepted>>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify =
            |name: &ServerName<'_>| self.trust.verify(end_entity, intermediates, name, now);
        let (name, verified) = match (&self.names, verify(name)) {
            (Some([asked, of_url]), Err(error)) if asked == name => {
                (of_url, verify(of_url).map_err(|_| error))
            }
            (_, verified) => (name, verified),
        };
        if verified.is_ok() {
            let chain = [end_entity].into_iter().chain(intermediates);
            let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
            *lock(&self.last_accepted) = Some(Accepted { chain, name: name.to_owned() });
        } else {
            *lock(&self.last_refused) = Certificate::read(end_entity).issuer;
        }
        verified.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.trust.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}
