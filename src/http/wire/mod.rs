//! The connection itself, below HTTP: resolving, TCP, TLS, buffers.

pub mod buffers;
pub mod call_limits;
pub mod coalesce;
pub mod connection;
pub mod early;
pub mod resolver;
pub mod scarce;
pub mod socket;
pub mod tcp;
pub mod tls;
