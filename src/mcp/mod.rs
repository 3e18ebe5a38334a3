//! MCP messages, and what a server declared about itself. Pure: no file here reads or writes anything.
//!
//! A message is parsed only to route it. Whatever has to change in one is changed in that place; the rest keeps its bytes.

pub(crate) mod client_info;
pub(crate) mod error_codes;
pub(crate) mod error_object;
pub(crate) mod error_response;
pub(crate) mod glob;
pub(crate) mod headers;
pub mod id;
pub(crate) mod list_pages;
pub mod message;
pub(crate) mod param_headers;
pub(crate) mod profile_argument;
pub mod request_meta;
pub mod server_message;
pub(crate) mod session;
pub mod tool_catalog;
pub(crate) mod tool_list;
pub mod tool_policy;
pub(crate) mod user_metadata;
