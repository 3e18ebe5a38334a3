//! Error codes of JSON-RPC, of MCP's revisions and of Bedrock `AgentCore`.

/// JSON-RPC 2.0.
pub(crate) const PARSE_ERROR: i64 = -32700;
pub(crate) const INVALID_REQUEST: i64 = -32600;
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// Codes from -32000 to -32099 belong to the protocol and to servers, so our own failures are "internal".
pub(crate) const INTERNAL_ERROR: i64 = -32603;

/// MCP up to 2025-11-25: the resource does not exist.
pub(crate) const RESOURCE_NOT_FOUND: i64 = -32002;

/// MCP 2025-11-25: the user has to open a URL first.
pub(crate) const URL_ELICITATION_REQUIRED: i64 = -32042;

/// MCP 2026-07-28: the headers do not repeat the message, the client has not declared a capability, the server does not
/// support the revision.
pub(crate) const HEADER_MISMATCH: i64 = -32020;
pub(crate) const MISSING_CAPABILITY: i64 = -32021;
pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;

/// `AgentCore`: the session was not found or has expired.
pub(crate) const SESSION_LOST: i64 = -30001;

/// The same in many servers. `AgentCore` uses it for an expired token, too.
pub(crate) const SESSION_NOT_FOUND: i64 = -32001;

/// `AgentCore`: throttling.
pub(crate) const THROTTLED: i64 = -32004;
