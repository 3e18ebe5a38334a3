//! The server's side: one message out, whatever that takes, and its messages back.
//!
//! `exchange` prepares a message once and loops: `attempt`, then `retry` decides, then `remedies` act.

pub mod exchange;
pub mod failure;
pub mod get_stream;
pub mod http_sse;
pub mod profile_router;
pub mod reinitialize;
pub mod relay;
pub mod resume;
pub mod retry;
pub mod tool_listing;
