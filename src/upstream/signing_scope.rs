//! `SigningScope`: the service and region to sign for, and the corrections that a server may make.
//!
//! A server corrects each once at most: to what its host name says, or, if the service was inferred, to any service. So it
//! cannot choose what requests are signed for.

use crate::aws::hostname::{self, Inferred};
use crate::signing::{Algorithm, Signer};
use crate::sync::lock;
use crate::upstream::settings::Settings;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A service, a region, and the signer for both.
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
    /// Service and region that the host name contains, if it is an AWS host.
    of_host: Inferred,
    /// The service was inferred from the host name and may be wrong: the server may name any.
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

    /// Signs for `service` from now on. False if the user chose the service, or if it was corrected before.
    pub(crate) fn correct_service(&self, service: &str) -> bool {
        let mut corrections = lock(&self.corrections);
        let scope = self.current();
        let is_of_host = corrections.of_host.service.as_deref() == Some(service);
        // Another call may have corrected it meanwhile.
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

    /// Signs for the region in the URL from now on. False if it contains none, or the one that was refused.
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
