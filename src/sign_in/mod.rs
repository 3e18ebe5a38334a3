//! Signing in: what a user does in a browser or at a prompt so that there are credentials.
//!
//! The requests and files are those of the AWS CLI and the SDKs, so that a sign-in here counts there and the other way
//! round. Every link is checked before it is shown, and time is an argument.

pub(crate) mod device_code;
pub(crate) mod link;
pub(crate) mod oidc;
pub(crate) mod polling;
pub(crate) mod registration;
pub(crate) mod secure_random;
pub(crate) mod sso_token;
pub(crate) mod start_url;
