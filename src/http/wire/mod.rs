//! The connection itself, below HTTP: resolving, TCP, TLS, buffers.

pub mod buffers;
pub mod call_limits;
pub mod coalesce;
pub mod connect_error;
pub mod connection;
pub mod early_response;
pub mod resolver;
pub mod socket;
pub mod tcp;
pub mod tls;
