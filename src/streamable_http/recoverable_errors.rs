//! `RecoverableErrors`: the JSON-RPC errors that are held back from the client, since another attempt may succeed.

use crate::mcp::server_message::ErrorBody;
use crate::streamable_http::lost_session::says_session_is_lost;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::server_state::ServerSession;

/// AgentCore's lost session, expired token and throttling.
const CODES: [i64; 3] = [-30001, -32001, -32004];

/// For a call with `Mcp-Param-*` headers, also the refusal of those.
const CODES_WITH_PARAM_HEADERS: [i64; 4] = [-30001, -32001, -32004, -32020];

/// Which errors of a successful response are held back. None by default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecoverableErrors {
    codes: &'static [i64],
    /// Errors with other codes that say that the session is lost.
    of_lost_session: bool,
}

/// An error that was held back.
#[derive(Debug)]
pub(crate) struct HeldError {
    pub(crate) code: i64,
    /// The messages as they came, one for each request.
    pub(crate) lines: Vec<String>,
}

impl RecoverableErrors {
    /// The recoverable errors of the response to this message of a session.
    pub(crate) fn of(message: &PreparedMessage<'_>, session: &ServerSession) -> RecoverableErrors {
        let codes: &[i64] = match message.message.ids() {
            [_] if message.has_param_headers() => &CODES_WITH_PARAM_HEADERS,
            [_] => &CODES,
            _ => &[],
        };
        RecoverableErrors {
            codes,
            of_lost_session: message.needs_session() && session.can_be_lost(),
        }
    }

    /// Whether the error of this code is one of them. `line` is the message.
    pub(crate) fn contain(&self, code: i64, line: &str) -> bool {
        let is_of_lost_session = || {
            ErrorBody::parse(line)
                .is_some_and(|error| says_session_is_lost(200, Some(code), &error.message))
        };
        self.codes.contains(&code) || (self.of_lost_session && is_of_lost_session())
    }
}
