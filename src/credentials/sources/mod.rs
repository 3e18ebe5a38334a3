//! The sources of credentials, one file each, and their common parts: HTTP requests, endpoints, files with tokens.

pub(crate) mod cli_cache;
mod command;
pub(crate) mod container;
pub(crate) mod dpop;
pub(crate) mod endpoints;
pub(crate) mod environment;
pub(crate) mod imds;
pub(crate) mod login;
pub(crate) mod process;
pub(crate) mod request;
pub(crate) mod sso;
pub(crate) mod sts;
pub(crate) mod token_cache;
mod token_file;
pub(crate) mod web_identity;
