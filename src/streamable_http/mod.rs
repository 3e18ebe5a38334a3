//! The server's side: sends one message, with retries and recovery, and relays its responses.
//!
//! [`Exchanger`] prepares a message once; `retry_loop` repeats attempts: `attempt` sends it, `retry` decides about a failure,
//! `remedies` act. A layer uses itself and those below it (`tests/it/source_tree/rooms.rs`):
//!
//! | layer | files |
//! |---|---|
//! | the client's view | `exchange`, `get_stream`, `profile_router` |
//! | requests that this program makes | `tool_listing`, `merged_list` |
//! | attempts until success | `retry_loop`, `reinitialize`, `remedies` |
//! | one attempt | `attempt`, `http_sse_attempt`, `http_sse_stream`, `resume`, `reconnect`, `failed_attempt` |
//! | one response | `response_body`, `relay` |
//! | state of the message and the server | `prepared_message`, `remote_server`, `affinity`, `caller_session`, `server_state`, `http_sse` |
//! | decisions, without I/O | `retry`, `retry_quota`, `pacer`, `recoverable_errors`, `lost_session`, `diagnosis` |
//! | values | `relayed`, `settings` |
//!
//! A `tools/call` that may have run is never sent again. A request has exactly one response. No lock is held while a
//! request is on its way; what several calls need at once (a session, the list of tools) is done once, on a thread of its
//! own, and each call waits for it until its own limit.

mod affinity;
mod attempt;
mod caller_session;
mod diagnosis;
pub(crate) mod exchange;
mod failed_attempt;
mod get_stream;
mod http_sse;
mod http_sse_attempt;
mod http_sse_stream;
mod lost_session;
mod merged_list;
mod pacer;
mod prepared_message;
pub(crate) mod profile_router;
mod reconnect;
mod recoverable_errors;
mod reinitialize;
mod relay;
pub(crate) mod relayed;
mod remedies;
mod remote_server;
mod response_body;
mod resume;
mod retry;
mod retry_loop;
mod retry_quota;
mod server_state;
mod settings;
mod tool_listing;

pub(crate) use exchange::Exchanger;
pub(crate) use profile_router::ProfileRouter;
pub(crate) use server_state::RefusedInitialize;
pub(crate) use settings::Settings;
