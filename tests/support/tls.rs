//! A server that speaks TLS, with certificates made for it.

#![allow(clippy::unwrap_used, reason = "a test's own server reports by panicking")]

use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A private certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: PathBuf,
}

impl Authority {
    /// Its certificate is written into `folder`.
    pub fn new(name: &str, folder: &Path) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = folder.join(format!("{name}.pem"));
        std::fs::write(&pem, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.der().clone(), key: key.serialize_der() }
    }
}

pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: Vec<u8>,
}

impl Identity {
    pub fn server_config(&self) -> ServerConfig {
        self.server_config_for(rustls::ALL_VERSIONS)
    }

    /// For these versions of TLS only. The key need not be that of the certificate.
    pub fn server_config_for(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = provider.key_provider.load_private_key(key).unwrap();
        let identity = CertifiedKey::new(vec![self.certificate.clone()], key);
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
    }
}

pub fn localhost() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned(), "mcp.example".to_owned()]).unwrap()
}

/// Longer requests are refused before they are read.
const LARGEST: usize = 8 << 20;

/// Responds to `initialize` and pings over TLS; counts the requests after the handshake.
pub struct TlsServer {
    pub port: u16,
    requests: Arc<AtomicUsize>,
    hosts: Arc<Mutex<Vec<[String; 2]>>>,
}

impl TlsServer {
    pub fn start(identity: &Identity) -> TlsServer {
        TlsServer::with_config(identity.server_config())
    }

    pub fn with_config(config: ServerConfig) -> TlsServer {
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let hosts = Arc::<Mutex<Vec<_>>>::default();
        let named = Arc::clone(&hosts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, counted) = (Arc::clone(&config), Arc::clone(&counted));
                let named = Arc::clone(&named);
                std::thread::spawn(move || {
                    // Data sent before the close must not be delayed.
                    stream.set_nodelay(true).unwrap();
                    let connection = ServerConnection::new(config).unwrap();
                    let _ = serve(StreamOwned::new(connection, stream), &counted, &named);
                });
            }
        });
        TlsServer { port, requests, hosts }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.port)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The server name in the handshake and the `Host` header of each request.
    pub fn hosts(&self) -> Vec<[String; 2]> {
        self.hosts.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    requests: &AtomicUsize,
    hosts: &Mutex<Vec<[String; 2]>>,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&piece[..count]);
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        if length > LARGEST {
            let head = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\n";
            stream.write_all(format!("{head}too large").as_bytes())?;
            stream.flush()?;
            // Reads nothing more, and hangs up only on the largest.
            if length < 2 * LARGEST {
                std::thread::park_timeout(Duration::from_secs(20));
            }
            return Ok(());
        }
        if received.len() < end + 4 + length {
            continue;
        }
        let body = String::from_utf8_lossy(&received[end + 4..]).into_owned();
        if let Ok(message) = serde_json::from_str::<Value>(&body) {
            received.clear();
            requests.fetch_add(1, Ordering::SeqCst);
            let host = head.lines().find_map(|line| line.strip_prefix("host: "));
            let names = [stream.conn.server_name(), host];
            hosts.lock().unwrap().push(names.map(|name| name.unwrap_or_default().to_owned()));
            let result = match message["method"].as_str() {
                Some("initialize") => json!({
                    "protocolVersion": "2025-11-25",
                    "serverInfo": { "name": "over TLS", "version": "1" },
                    "capabilities": {},
                }),
                _ => json!({}),
            };
            let body = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
            let body = body.to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
            stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())?;
            stream.flush()?;
        }
    }
}

/// A proxy that connects everything to one port of this machine, and records the requests.
pub fn connect_proxy(port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let heads = Arc::clone(&heads);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                heads.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let _ = std::io::copy(&mut client, &mut &server);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    (own, asked)
}
