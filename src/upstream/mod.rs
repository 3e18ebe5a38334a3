//! One signed HTTP request to the MCP server.

pub mod signed_client;
