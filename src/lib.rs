//! The parts of `sigv4-proxy`. No promise of a stable interface is made for them yet.

pub mod endpoint;
pub mod environment;
pub mod error;
pub mod event_stream;
pub mod http;
mod punycode;
pub mod signing;
