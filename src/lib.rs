//! The parts of `sigv4-proxy`. No promise of a stable interface is made for them yet.

pub mod answer;
pub mod clock;
pub mod credentials;
pub mod duration;
pub mod endpoint;
pub mod envelope;
pub mod environment;
pub mod error;
pub mod event_stream;
pub mod http;
mod id_scan;
pub mod inference;
mod input;
mod lane;
mod listen;
pub mod log;
pub mod message;
pub mod options;
pub mod proxy;
mod punycode;
mod random;
pub mod relay;
pub mod session;
pub mod signing;
pub mod upstream;
mod workers;
