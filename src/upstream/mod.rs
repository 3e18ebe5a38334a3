//! One HTTP request to the MCP server: signed, sent, and its error response read.
//!
//! Nothing here depends on MCP: sessions, time limits and retries belong to `streamable_http`. Each request is signed when
//! it is sent, with one reading of the clock. Corrections from error responses (clock, service, region) are kept here, each
//! within bounds that the server cannot move.

pub(crate) mod request;
pub(crate) mod response;
mod service_correction;
mod settings;
pub(crate) mod signed_client;
mod signing_scope;

pub(crate) use service_correction::ServiceCorrection;
pub(crate) use settings::{Settings, Unsigned};
pub(crate) use signed_client::SignedClient;
