//! The certificate authorities that are trusted: Mozilla's, those of the system, and those that the user names.

use crate::environment::file;
use crate::error::{Error, Kind, io_message};
use crate::http::wire::connect_error::ConnectError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Maximum size of a bundle, in bytes. All public authorities together take less than one MiB.
const MAX_BUNDLE_BYTES: u64 = 16 * 1024 * 1024;

/// Certificate authorities that the user trusts in addition to all others. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CaBundle(Arc<[CertificateDer<'static>]>);

impl CaBundle {
    /// Reads a PEM file. `named_by` is the flag or variable that names it.
    pub fn read(path: &Path, named_by: &str) -> Result<CaBundle, Error> {
        let tried = file::absolute(path);
        let wrong = |why: String| {
            let hint = if path.is_absolute() {
                "use a PEM file, with a line -----BEGIN CERTIFICATE-----"
            } else {
                "use the absolute path of a PEM file: a relative one begins in the folder where the client starts sigv4-proxy"
            };
            Error::new(Kind::Usage, format!("{named_by}: CA bundle {}: {why}", tried.display()))
                .hint(hint)
        };
        let pem = file::read(path, MAX_BUNDLE_BYTES).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                wrong(io_message(&error)).hint(file::how_to_permit(&tried))
            }
            _ => wrong(io_message(&error)),
        })?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates
            .map_err(|_| wrong("a certificate in it is cut off or damaged".to_owned()))?;
        if certificates.is_empty() {
            return Err(wrong("contains no certificate".to_owned()));
        }
        Ok(CaBundle(certificates.into()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The authorities of all bundles.
impl FromIterator<CaBundle> for CaBundle {
    fn from_iter<I: IntoIterator<Item = CaBundle>>(bundles: I) -> CaBundle {
        CaBundle(bundles.into_iter().flat_map(|bundle| bundle.0.to_vec()).collect())
    }
}

/// All that are trusted. Certificates that cannot be parsed are skipped.
pub(crate) fn trusted_roots(user: &CaBundle) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(system_roots()?);
    roots.add_parsable_certificates(user.0.iter().cloned());
    Ok(roots)
}

/// The first bundle that exists. Fails only if this machine lacks a resource for it now: the trusted roots are decided once.
#[cfg(not(any(windows, target_os = "macos")))]
fn system_roots() -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    use crate::http::wire::connect_error::Exhausted;

    const BUNDLES: [&str; 6] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
        "/usr/local/share/certs/ca-root-nss.crt",
    ];
    for path in BUNDLES {
        match file::read(Path::new(path), MAX_BUNDLE_BYTES) {
            Ok(pem) => return Ok(CertificateDer::pem_slice_iter(&pem).flatten().collect()),
            Err(error) if Exhausted::of(&error).is_some() => return Err(ConnectError(error)),
            Err(_) => {}
        }
    }
    Ok(Vec::new())
}

/// Windows' stores, or the keychains of macOS.
#[cfg(any(windows, target_os = "macos"))]
#[expect(clippy::unnecessary_wraps, reason = "on other systems it can fail")]
fn system_roots() -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    Ok(rustls_native_certs::load_native_certs().certs)
}
