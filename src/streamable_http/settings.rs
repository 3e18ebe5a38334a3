//! `Settings`: the user's settings of exchanges with the server.

use crate::aws::runtime_session::RuntimeSession;
use crate::mcp::tool_policy::ToolPolicy;
use std::time::Duration;

/// Limits and policy of all exchanges. `None` as a time limit is no limit.
#[derive(Debug)]
pub struct Settings {
    pub policy: ToolPolicy,
    /// The response to `initialize` is made locally; the session begins with the first request that needs it.
    pub is_lazy: bool,
    /// All pages of a list are fetched and returned as one.
    pub merges_lists: bool,
    /// The User-Agent names the client.
    pub names_client: bool,
    /// The session of AgentCore for requests of 2026-07-28.
    pub runtime_session: RuntimeSession,
    pub timeout: Option<Duration>,
    /// Additional limit of a `tools/call`.
    pub tool_timeout: Option<Duration>,
    /// Maximum number of retries of a request.
    pub retries: u32,
    pub max_message_bytes: usize,
}
