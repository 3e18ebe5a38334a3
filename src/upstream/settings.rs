//! `Settings`: the user's settings for signing and sending.

use crate::http::url::Endpoint;
use crate::signing::{Algorithm, Secret};
use crate::upstream::service_correction::ServiceCorrection;

/// Target, scope and headers of every request.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub endpoint: Endpoint,
    pub algorithm: Algorithm,
    pub service: String,
    /// The service was inferred from the host name: the server may correct it.
    pub service_is_inferred: bool,
    /// Shared by all profiles.
    pub service_correction: ServiceCorrection,
    /// With SigV4a the region set: `us-east-1,eu-west-1` or `*`.
    pub region: String,
    /// Whether signatures leave out the bodies; `None`: as the service expects.
    pub unsigned_payload: Option<bool>,
    pub unsigned: Unsigned,
    /// Names and values of the user's own headers.
    pub headers: Vec<(String, Secret)>,
}

/// When requests are sent unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsigned {
    Never,
    /// No credentials were found.
    WithoutCredentials,
    /// No credentials were found, or those that were cannot be used.
    WithoutUsableCredentials,
}
