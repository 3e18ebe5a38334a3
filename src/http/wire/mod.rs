//! The connection itself, below HTTP: resolving, TCP, TLS, buffers.

pub(crate) mod buffers;
pub(crate) mod call_limits;
pub(crate) mod coalesce;
pub(crate) mod connect_error;
pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod early_response;
pub(crate) mod request_head;
pub(crate) mod resolver;
pub(crate) mod socket;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod trusted_roots;
pub(crate) mod tunnel;
pub(crate) mod unreceived;
