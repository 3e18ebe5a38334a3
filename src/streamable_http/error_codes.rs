//! JSON-RPC error codes that decide whether another attempt may succeed.

/// Codes of JSON-RPC: the method, or what it was called with, is wrong.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
pub(crate) const INVALID_PARAMS: i64 = -32602;

/// The code of Bedrock `AgentCore` for a session that was not found or has expired.
pub(crate) const SESSION_LOST: i64 = -30001;

/// The code of many servers for the same. `AgentCore` has it for an expired token, too.
pub(crate) const SESSION_NOT_FOUND: i64 = -32001;

/// The code of `AgentCore` for throttling.
pub(crate) const THROTTLED: i64 = -32004;

/// The code of MCP 2026-07-28 for headers that do not repeat what the message says.
pub(crate) const HEADER_MISMATCH: i64 = -32020;
