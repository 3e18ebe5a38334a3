//! `ServiceCorrection`: the service that a server names when it refuses another.

use std::sync::{Arc, OnceLock};

/// The one correction of the service that a host may make, shared by all profiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceCorrection(Arc<OnceLock<String>>);

impl ServiceCorrection {
    /// Whether this is the service that the host named first.
    pub(crate) fn allows(&self, service: &str) -> bool {
        self.0.get_or_init(|| service.to_owned()) == service
    }
}
