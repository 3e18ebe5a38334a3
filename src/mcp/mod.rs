//! What MCP messages are, and what a server said of itself. Pure.

pub mod client_info;
pub mod glob;
pub mod id;
pub mod message;
pub mod profile_argument;
pub mod request_meta;
pub mod request_metadata;
pub mod server_message;
pub mod session;
pub mod tool_catalog;
pub mod tool_policy;
