//! `RecoverableErrors`: the JSON-RPC errors that are held back from the client, since another attempt may succeed.

use crate::mcp::error_codes::{HEADER_MISMATCH, SESSION_LOST, SESSION_NOT_FOUND, THROTTLED};
use crate::mcp::server_message::ErrorBody;
use crate::streamable_http::lost_session::says_session_is_lost;

/// AgentCore's lost session, expired token and throttling.
const CODES: [i64; 3] = [SESSION_LOST, SESSION_NOT_FOUND, THROTTLED];

/// Which errors of a successful response are held back. None by default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecoverableErrors {
    /// Those of `CODES`.
    pub(crate) by_code: bool,
    /// The refusal of `Mcp-Param-*` headers.
    pub(crate) of_param_headers: bool,
    /// Errors with any code that report a lost session.
    pub(crate) of_lost_session: bool,
}

/// An error that was held back.
#[derive(Debug)]
pub(crate) struct HeldError {
    pub(crate) code: i64,
    /// The messages as they came, one for each request.
    pub(crate) lines: Vec<String>,
}

impl RecoverableErrors {
    /// Whether the error of this code is one of them. `line` is the message.
    pub(crate) fn contain(self, code: i64, line: &str) -> bool {
        let is_of_lost_session = || {
            ErrorBody::parse(line)
                .is_some_and(|error| says_session_is_lost(200, Some(code), &error.message))
        };
        (self.by_code && CODES.contains(&code))
            || (self.of_param_headers && code == HEADER_MISMATCH)
            || (self.of_lost_session && is_of_lost_session())
    }
}
