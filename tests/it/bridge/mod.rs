//! Clients and servers that have no revision in common.

pub(crate) mod detection;
pub(crate) mod downward;
pub(crate) mod upward;
