pub(crate) mod batches;
pub(crate) mod profile_argument;
pub(crate) mod revision_2026_07_28;
pub(crate) mod server_messages;
pub(crate) mod tool_policy;
pub(crate) mod untrusted_messages;
