//! Clients of 2026-07-28 before servers that speak older revisions alone.

pub(crate) mod peer;
pub(crate) mod questions;
pub(crate) mod sessions;
pub(crate) mod subscriptions;
pub(crate) mod translation;
