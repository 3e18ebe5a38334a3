//! Upward: a modern client before a legacy server.

mod upward;

pub(crate) use upward::Upward;
