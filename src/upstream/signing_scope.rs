//! `SigningScope`: service and region to sign for, and what a server may correct of them.
//!
//! The server corrects each once at most, and only to what its host name says or where the service was a guess, so it
//! cannot have us sign for whatever it likes.

use crate::aws::hostname::{self, Inferred};
use crate::signing::{Algorithm, Signer};
use crate::sync::lock;
use crate::upstream::settings::Settings;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What is signed for.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) signer: Signer,
    pub(crate) service: String,
    pub(crate) region: String,
}

impl Scope {
    fn new(algorithm: Algorithm, service: &str, region: &str) -> Arc<Scope> {
        Arc::new(Scope {
            signer: Signer::new(algorithm, region, service),
            service: service.to_owned(),
            region: region.to_owned(),
        })
    }
}

/// The scope in use, and its possible corrections.
#[derive(Debug)]
pub(crate) struct SigningScope {
    algorithm: Algorithm,
    current: RwLock<Arc<Scope>>,
    corrections: Mutex<Corrections>,
}

#[derive(Debug)]
struct Corrections {
    /// Service and region that the host itself names, if it is one of AWS's.
    of_host: Inferred,
    /// The service was read off the host, which can be misread: the server may name any.
    any_service: bool,
    /// Not corrected yet.
    service: bool,
    /// Not corrected yet.
    region: bool,
}

impl SigningScope {
    pub(crate) fn new(settings: &Settings) -> SigningScope {
        let Settings { algorithm, service, region, .. } = settings;
        SigningScope {
            algorithm: *algorithm,
            current: RwLock::new(Scope::new(*algorithm, service, region)),
            corrections: Mutex::new(Corrections {
                of_host: hostname::of_host(settings.endpoint.host()),
                any_service: settings.service_is_inferred,
                service: true,
                region: true,
            }),
        }
    }

    pub(crate) fn current(&self) -> Arc<Scope> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs for the service that the server names from now on. False if the user has named another one, or if the
    /// service was corrected before.
    pub(crate) fn correct_service(&self, service: &str) -> bool {
        let mut corrections = lock(&self.corrections);
        let scope = self.current();
        let is_of_host = corrections.of_host.service.as_deref() == Some(service);
        // Another call may have learned it meanwhile.
        if scope.service == service {
            return true;
        }
        if !corrections.service || !(is_of_host || corrections.any_service) {
            return false;
        }
        corrections.service = false;
        self.set(service, &scope.region);
        true
    }

    /// Signs for the region that the URL names from now on. False if it names none, or the one that was refused.
    pub(crate) fn correct_region(&self) -> bool {
        let mut corrections = lock(&self.corrections);
        let scope = self.current();
        let Some(region) = corrections.of_host.region.as_ref() else { return false };
        if *region == scope.region {
            // True after a correction: another call was signed before it.
            return !corrections.region;
        }
        if !corrections.region {
            return false;
        }
        self.set(&scope.service, region);
        corrections.region = false;
        true
    }

    fn set(&self, service: &str, region: &str) {
        let scope = Scope::new(self.algorithm, service, region);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = scope;
    }
}
