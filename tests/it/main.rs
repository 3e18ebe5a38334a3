//! Everything that is tested from outside: the library through its interface, the program as a process.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/vectors.rs"]
mod vectors;

mod aws;
mod bridge;
mod cli;
mod credentials;
mod docs;
mod doctor;
mod harness;
mod http;
mod listener;
mod mcp;
mod process;
mod prompt;
mod redact;
mod scheduler;
mod sign_in;
mod signing;
mod source_tree;
mod stdio;
mod streamable_http;
mod test_server;
mod upstream;
