//! `Services`: AWS's credential services as the selected profile configures them, for signing in.

use crate::credentials::sources::endpoints::Endpoints;
use crate::credentials::sources::request::Network;
use crate::environment::Environment;

/// Endpoints of the credential services and access to them.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) environment: Environment,
    pub(crate) network: Network,
    pub(crate) endpoints: Endpoints,
    /// The region of requests to STS and sign-in. IAM Identity Center has its own (`sso_region`).
    pub(crate) region: Option<String>,
}
