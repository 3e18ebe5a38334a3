//! The parts of `sigv4-proxy`. No promise of a stable interface is made for them yet.

pub mod environment;
pub mod error;
pub mod signing;
