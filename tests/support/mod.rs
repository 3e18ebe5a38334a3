//! A small MCP server on loopback that verifies the signature of every request, for the tests and for `make demo`.
//!
//! It shares no code with the crate: signatures are recomputed with AWS's own signer for Rust.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "one module for several programs, each of which uses its part"
)]

mod authorization;
pub mod aws;
pub mod canonical;
pub mod http;
pub mod http_client;
pub mod identity_center;
mod mcp;
mod server;
pub mod tls;
mod tools;
pub mod verify;

pub use authorization::Algorithm;
pub use http_client::HttpClient;
pub use mcp::Mode;
pub use server::{Recorded, Reply, Server, ServerOptions, Verdict};
pub use verify::Key;
