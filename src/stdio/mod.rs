//! The client's side: lines from stdin, lines to stdout.

pub mod input;
pub mod output;
pub mod oversized;
pub mod server;
pub mod server_requests;
