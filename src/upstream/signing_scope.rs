//! `SigningScope`: the service and region to sign for, and the corrections that a server may make.
//!
//! A server corrects each at most once: to the values of its host name, or, if the service was inferred, to any service. So it
//! cannot choose the scope freely.

use crate::aws::hostname::{self, Inferred};
use crate::signing::{Algorithm, PayloadSigning, Signer, UriEncoding};
use crate::sync::{self, lock};
use crate::upstream::service_correction::ServiceCorrection;
use crate::upstream::settings::Settings;
use std::sync::{Arc, Mutex, RwLock};

/// A service, a region, the signer for both, and the service's rules for signatures.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) signer: Signer,
    pub(crate) service: String,
    pub(crate) region: String,
    pub(crate) uri_encoding: UriEncoding,
    pub(crate) payload_signing: PayloadSigning,
}

impl Scope {
    fn new(
        algorithm: Algorithm,
        service: &str,
        region: &str,
        unsigned_payload: Option<bool>,
    ) -> Arc<Scope> {
        let payload_signing = match (unsigned_payload, PayloadSigning::for_service(service)) {
            (Some(true), _) => PayloadSigning::Unsigned,
            (Some(false), PayloadSigning::Unsigned) => PayloadSigning::HashedInHeader,
            (_, of_service) => of_service,
        };
        Arc::new(Scope {
            signer: Signer::new(algorithm, region, service),
            service: service.to_owned(),
            region: region.to_owned(),
            uri_encoding: UriEncoding::for_service(service),
            payload_signing,
        })
    }
}

/// The scope in use, and its possible corrections.
#[derive(Debug)]
pub(crate) struct SigningScope {
    algorithm: Algorithm,
    unsigned_payload: Option<bool>,
    current: RwLock<Arc<Scope>>,
    /// Service and region that the host name contains, if it is an AWS host.
    of_host: Inferred,
    /// The service was inferred from the host name and may be wrong: the server may name any.
    any_service: bool,
    service_correction: ServiceCorrection,
    is_region_corrected: Mutex<bool>,
}

impl SigningScope {
    pub(crate) fn new(settings: &Settings) -> SigningScope {
        let Settings { algorithm, service, region, unsigned_payload, .. } = settings;
        SigningScope {
            algorithm: *algorithm,
            unsigned_payload: *unsigned_payload,
            current: RwLock::new(Scope::new(*algorithm, service, region, *unsigned_payload)),
            of_host: hostname::of_host(settings.endpoint.service_host()),
            any_service: settings.service_is_inferred,
            service_correction: settings.service_correction.clone(),
            is_region_corrected: Mutex::default(),
        }
    }

    pub(crate) fn current(&self) -> Arc<Scope> {
        Arc::clone(&sync::read(&self.current))
    }

    /// Signs for `service` from now on. False if the user chose the service, or if the host named another one before.
    pub(crate) fn correct_service(&self, service: &str) -> bool {
        let scope = self.current();
        // Another call may have corrected it meanwhile.
        if scope.service == service {
            return true;
        }
        let is_of_host = self.of_host.service.as_deref() == Some(service);
        let is_allowed =
            (is_of_host || self.any_service) && self.service_correction.allows(service);
        if is_allowed {
            self.set(service, &scope.region);
        }
        is_allowed
    }

    /// Signs for the region in the URL from now on. False if it contains none, or the one that was refused.
    pub(crate) fn correct_region(&self) -> bool {
        let mut is_corrected = lock(&self.is_region_corrected);
        let scope = self.current();
        let Some(region) = &self.of_host.region else { return false };
        if *region == scope.region {
            // True after a correction: another call was signed before it.
            return *is_corrected;
        }
        if *is_corrected {
            return false;
        }
        self.set(&scope.service, region);
        *is_corrected = true;
        true
    }

    fn set(&self, service: &str, region: &str) {
        let scope = Scope::new(self.algorithm, service, region, self.unsigned_payload);
        *sync::write(&self.current) = scope;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::url::Endpoint;
    use crate::upstream::settings::Unsigned;

    fn settings(service_correction: &ServiceCorrection) -> Settings {
        let url = "https://abc.execute-api.us-east-1.amazonaws.com/mcp";
        Settings {
            endpoint: Endpoint::parse(url).expect("a URL"),
            algorithm: Algorithm::V4,
            service: "execute-api".into(),
            service_is_inferred: true,
            service_correction: service_correction.clone(),
            region: "us-west-2".into(),
            unsigned_payload: None,
            unsigned: Unsigned::Never,
            headers: Vec::new(),
        }
    }

    #[test]
    fn an_inferred_service_is_corrected_once_for_all_profiles() {
        let of_host = ServiceCorrection::default();
        let [first, second] = [(); 2].map(|()| SigningScope::new(&settings(&of_host)));
        assert!(first.correct_service("lambda"));
        assert!(!first.correct_service("sts") && !second.correct_service("sts"));
        assert_eq!(second.current().service, "execute-api");
        assert!(second.correct_service("lambda"));
        assert_eq!((&*first.current().service, &*second.current().service), ("lambda", "lambda"));
        assert!(!first.correct_service("execute-api"), "it was refused");
    }

    #[test]
    fn a_service_that_the_user_chose_is_corrected_to_that_of_the_host_only() {
        let chosen = Settings {
            service: "lambda".into(),
            service_is_inferred: false,
            ..settings(&ServiceCorrection::default())
        };
        let scope = SigningScope::new(&chosen);
        assert!(!scope.correct_service("sts"));
        assert!(scope.correct_service("execute-api") && scope.correct_service("execute-api"));
    }

    #[test]
    fn the_region_is_corrected_once_and_to_that_of_the_host() {
        let scope = SigningScope::new(&settings(&ServiceCorrection::default()));
        assert!(scope.correct_region() && scope.correct_region());
        assert_eq!(scope.current().region, "us-east-1");
    }

    #[test]
    fn the_rules_for_signatures_are_those_of_the_service_that_is_signed_for() {
        use PayloadSigning::{Hashed, HashedInHeader, Unsigned};
        for (unsigned_payload, of_three) in [
            (None, [Hashed, Unsigned, HashedInHeader]),
            (Some(true), [Unsigned; 3]),
            (Some(false), [Hashed, HashedInHeader, HashedInHeader]),
        ] {
            let rules = |service: &str| {
                let settings =
                    Settings { unsigned_payload, ..settings(&ServiceCorrection::default()) };
                let scope = SigningScope::new(&settings);
                assert!(scope.correct_service(service));
                (scope.current().uri_encoding, scope.current().payload_signing)
            };
            let [execute_api, lattice, s3] = of_three;
            assert_eq!(rules("execute-api"), (UriEncoding::Double, execute_api));
            assert_eq!(rules("vpc-lattice-svcs"), (UriEncoding::Double, lattice));
            assert_eq!(rules("s3"), (UriEncoding::Single, s3));
        }
    }
}
