//! Signing in: by a browser or a prompt, to get credentials.
//!
//! The requests and files are those of the AWS CLI and the SDKs, so that sign-ins are shared in both directions. Every link
//! is checked before it is shown, and time is an argument.

pub(crate) mod browser;
pub(crate) mod callback;
pub(crate) mod console;
pub(crate) mod device_code;
pub(crate) mod link;
pub mod login;
pub mod logout;
mod mfa;
pub(crate) mod oidc;
mod pkce;
pub(crate) mod polling;
pub(crate) mod registration;
mod secure_random;
pub(crate) mod sso_browser;
pub(crate) mod sso_token;
mod start_url;
