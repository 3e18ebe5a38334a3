//! Everything that is tested from outside: the library through its interface, the program as a process.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/vectors.rs"]
mod vectors;

mod bounds;
mod clock;
mod connections;
mod credential_cases;
mod credential_program;
mod credentials;
mod dependencies;
mod docs;
mod doctor;
mod drop_in;
#[cfg(unix)]
mod environment;
mod errors;
mod logs;
mod mcp_2024_11_05;
mod mcp_2026_07_28;
mod mcp_batches;
mod mcp_sessions;
mod mcp_streams;
mod messages;
mod pages;
mod policies;
mod program;
mod relay;
mod retries;
mod secrets;
mod server_answers;
mod server_checks;
mod shells;
mod signing;
mod signing_oracle;
mod tidy;
mod tls;
mod troubleshooting;
mod untrusted_messages;
mod waits;
