//! The many ways in which servers say that a session is dead.

/// Whether an error response to a request with a session id says that the session is dead: 404 or 410, unless the error is
/// "unknown method"; AWS's own code; or words that the session is lost. Where the request may have got as far as a tool,
/// the words must begin with the session: tools have sessions of their own.
pub(crate) fn says_session_is_dead(status: u16, code: Option<i64>, text: &str) -> bool {
    // What a tool says of its arguments is not about this session.
    let may_name_session = code.is_none_or(|code| matches!(code, -32001..=-32000 | -32600));
    let text = text.to_lowercase();
    match (status, code) {
        (_, Some(-30001)) => true,
        (404 | 410, code) => code != Some(-32601),
        (400 | 401 | 422, _) => may_name_session && says_session_is_lost(&text),
        (500, _) | (200, Some(_)) => {
            const SUBJECTS: [&str; 10] = [
                "session",
                "mcp session",
                "mcp-session-id",
                "the session",
                "invalid session",
                "unknown session",
                "expired session",
                "missing session",
                "no session",
                "no valid session",
            ];
            let said = text.trim_start();
            let said = said.strip_prefix("bad request: ").unwrap_or(said);
            may_name_session
                && SUBJECTS.iter().any(|subject| said.starts_with(subject))
                && says_session_is_lost(said)
        }
        _ => false,
    }
}

fn says_session_is_lost(text: &str) -> bool {
    const LOST: [&str; 9] = [
        "not found",
        "unknown",
        "invalid",
        "no valid",
        "expired",
        "terminated",
        "missing",
        "no session",
        "required",
    ];
    (text.contains("session") && LOST.iter().any(|words| text.contains(words)))
        || text.contains("server not initialized")
}
