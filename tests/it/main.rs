//! The integration tests, one binary.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod server_answers;
mod server_checks;
#[path = "../support/mod.rs"]
mod support;
