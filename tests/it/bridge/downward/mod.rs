//! Clients of earlier revisions before servers that speak 2026-07-28 alone.

pub(crate) mod listen;
pub(crate) mod peer;
pub(crate) mod questions;
pub(crate) mod translation;
