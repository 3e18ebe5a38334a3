//! The sources of credentials, a file each, and the HTTP requests that they share.

pub mod container;
pub mod endpoints;
pub mod imds;
pub mod login;
pub mod process;
pub mod request;
pub mod sso;
pub mod sts;
pub mod token_cache;
