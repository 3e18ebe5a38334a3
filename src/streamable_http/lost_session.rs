//! Recognises error responses that report a lost session, of which servers have many forms.
//!
//! Tools have sessions of their own, in browsers, shells and databases, and the text of an error may be theirs. So words
//! count only about a session that nothing else qualifies: `Session not found` and `no valid session ID` do, `the browser
//! session has expired` does not.

use crate::mcp::error_codes::{INVALID_PARAMS, METHOD_NOT_FOUND, SESSION_LOST, SESSION_NOT_FOUND};
use serde_json::Value;

/// Maximum size of a text that is read as JSON; of a longer one only the beginning counts.
const MAX_TEXT_BYTES: usize = 4096;

/// Words that leave open whose session it is.
const NEUTRAL: [&str; 24] = [
    "a",
    "an",
    "the",
    "this",
    "that",
    "your",
    "mcp",
    "http",
    "sse",
    "streamable",
    "transport",
    "client",
    "server",
    "header",
    "valid",
    "active",
    "current",
    "existing",
    "given",
    "provided",
    "requested",
    "required",
    "such",
    "or",
];

/// Words before a session that say that it is lost, over neutral ones: `invalid or expired session`.
const LOST_BEFORE: [&str; 17] = [
    "no",
    "not",
    "without",
    "invalid",
    "unknown",
    "unrecognized",
    "unrecognised",
    "nonexistent",
    "existent",
    "expired",
    "terminated",
    "revoked",
    "deleted",
    "closed",
    "inactive",
    "stale",
    "missing",
];

/// Verbs that say so after a negation: `could not find session 7`.
const FIND: [&str; 5] = ["find", "locate", "get", "load", "resolve"];

/// Words after which a session begins a clause: `failed because the session expired`.
const CONJUNCTIONS: [&str; 9] =
    ["because", "since", "as", "but", "and", "that", "when", "if", "error"];

/// Words after `session` that make something else of it, such as a cookie or the argument of a tool.
const OTHER_NOUNS: [&str; 34] = [
    "token",
    "tokens",
    "cookie",
    "policy",
    "argument",
    "arguments",
    "parameter",
    "parameters",
    "param",
    "field",
    "property",
    "variable",
    "name",
    "tag",
    "type",
    "tool",
    "file",
    "path",
    "log",
    "data",
    "state",
    "store",
    "storage",
    "database",
    "history",
    "title",
    "mode",
    "owner",
    "user",
    "role",
    "duration",
    "timeout",
    "limit",
    "count",
];

/// Words between a session and what is said of it.
const AUXILIARY: [&str; 26] = [
    "id",
    "identifier",
    "header",
    "key",
    "is",
    "was",
    "has",
    "have",
    "been",
    "does",
    "did",
    "do",
    "doesn",
    "isn",
    "t",
    "not",
    "no",
    "could",
    "can",
    "cannot",
    "be",
    "either",
    "already",
    "may",
    "and",
    "or",
];

/// What is said of a session that is lost.
const LOST_AFTER: [&str; 33] = [
    "unknown",
    "invalid",
    "expired",
    "terminated",
    "missing",
    "required",
    "closed",
    "ended",
    "gone",
    "lost",
    "deleted",
    "removed",
    "inactive",
    "unrecognized",
    "unrecognised",
    "revoked",
    "destroyed",
    "dead",
    "disconnected",
    "unavailable",
    "stale",
    "not found",
    "no longer",
    "not exist",
    "t exist",
    "not valid",
    "not active",
    "not recognized",
    "not initialized",
    "not provided",
    "not present",
    "be found",
    "timed out",
];

/// Whether an error response to a request of a session says that the session has expired: 404 or 410, unless the error is
/// "unknown method"; AWS's own code; or the words.
pub(crate) fn says_session_is_lost(status: u16, code: Option<i64>, text: &str) -> bool {
    match (status, code) {
        (_, Some(SESSION_LOST)) => true,
        (404 | 410, code) => code != Some(METHOD_NOT_FOUND),
        (_, Some(METHOD_NOT_FOUND | INVALID_PARAMS)) => false,
        (400 | 401 | 422 | 500, _) | (200, Some(_)) => speaks_of_lost_session(text),
        _ => false,
    }
}

/// Whether an error response to a request with the id of a runtime session says that it is gone: as above, or by AgentCore's
/// other code. A request that was refused for that did not run.
pub(crate) fn says_runtime_session_is_gone(status: u16, code: Option<i64>, text: &str) -> bool {
    (status == 400 && code == Some(SESSION_NOT_FOUND)) || says_session_is_lost(status, code, text)
}

fn speaks_of_lost_session(text: &str) -> bool {
    let beginning = &text.as_bytes()[..text.len().min(MAX_TEXT_BYTES)];
    let text = match serde_json::from_slice::<Value>(beginning) {
        Ok(json) => strings_of(&json),
        Err(_) => String::from_utf8_lossy(beginning).into_owned(),
    };
    let words = words_of(&text);
    let is_session = |word: &String| matches!(word.as_str(), "session" | "sessionid");
    let of_state = ["server not initialized", "sse connection not established"];
    let all = words.join(" ");
    of_state.iter().any(|sentence| all.contains(sentence))
        || (0..words.len()).any(|at| is_session(&words[at]) && is_lost(&words, at))
}

/// The strings of a JSON value, each a sentence.
fn strings_of(json: &Value) -> String {
    match json {
        Value::String(text) => format!("{text}\n"),
        Value::Array(items) => items.iter().map(strings_of).collect(),
        Value::Object(members) => members.values().map(strings_of).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// Lower-case words, those of `sessionId` and `SESSION_ID` one by one. `:` ends a clause, `.` stands for the end of a
/// sentence.
fn words_of(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars().peekable();
    let mut was_lower = false;
    while let Some(c) = characters.next() {
        let is_end = characters.peek().is_none_or(|next| next.is_whitespace());
        let mark = match c {
            '\n' | '<' | '>' | '{' | '}' | '|' | ';' | '!' | '?' => Some("."),
            '.' if is_end => Some("."),
            ':' | '=' | '(' | '—' | '–' => Some(":"),
            _ => None,
        };
        let begins_word = c.is_uppercase() && was_lower;
        was_lower = c.is_lowercase();
        if (begins_word || !c.is_alphanumeric())
            && words.last().is_some_and(|word| !word.is_empty())
        {
            words.push(String::new());
        }
        if let (Some(mark), Some(last)) = (mark, words.last_mut()) {
            mark.clone_into(last);
            words.push(String::new());
        } else if let (true, Some(last)) = (c.is_alphanumeric(), words.last_mut()) {
            last.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether the words say that the session at this index is lost.
fn is_lost(words: &[String], at: usize) -> bool {
    let before = |count: usize| at.checked_sub(count).map_or(".", |index| words[index].as_str());
    let neutral = (1..=at).take_while(|count| NEUTRAL.contains(&before(*count))).count();
    let first = before(neutral + 1);
    let is_negated = ["not", "cannot", "t", "to"].contains(&before(neutral + 2));
    let is_other = words.get(at + 1).is_some_and(|word| OTHER_NOUNS.contains(&word.as_str()))
        || (words.get(at + 1).is_some_and(|word| word == "id")
            && words.get(at + 2).is_some_and(|word| OTHER_NOUNS.contains(&word.as_str())));
    if is_other {
        return false;
    }
    if LOST_BEFORE.contains(&first) || (is_negated && FIND.contains(&first)) {
        return true;
    }
    // `No transport found for sessionId`, `no transport for session`.
    let found = usize::from(before(neutral + 2) == "found");
    let is_without_transport =
        before(neutral + found + 2) == "transport" && before(neutral + found + 3) == "no";
    if first == "for" && is_without_transport {
        return true;
    }
    let begins_clause = matches!(first, "." | ":") || CONJUNCTIONS.contains(&first);
    begins_clause && is_lost_after(&words[at + 1..])
}

/// Whether the sentence goes on to say that the session is lost, with no more than an id in between.
fn is_lost_after(words: &[String]) -> bool {
    let says_lost = |at: usize| {
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let both = format!("{} {}", word(at), word(at + 1));
        LOST_AFTER.contains(&word(at)) || LOST_AFTER.contains(&both.as_str())
    };
    let (mut unknown, mut is_named) = (0, false);
    for (at, word) in words.iter().map(String::as_str).enumerate() {
        if says_lost(at) {
            return true;
        }
        // `Session 7: file not found` is about the file.
        if word == ":" && is_named {
            return says_lost(at + 1);
        }
        let is_part_of_id = word.chars().all(|c| c.is_ascii_hexdigit())
            || word.contains(|c: char| c.is_ascii_digit());
        if word != ":" && !AUXILIARY.contains(&word) {
            is_named = true;
            unknown += usize::from(!is_part_of_id);
        }
        if matches!(word, "." | "a" | "an" | "the") || unknown > 1 {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_about_a_lost_session() {
        for text in [
            "Session not found",
            "Session not found: 5d3-ab",
            "Bad Request: No valid session ID provided",
            "Bad Request: Server not initialized",
            "Bad Request: Mcp-Session-Id header is required",
            "Error: Could not find session",
            "No transport found for sessionId",
            "The session has been terminated.",
            "Unauthorized: Invalid or expired session",
            "session 550e8400-e29b-41d4-a716-446655440000 does not exist",
            "Session 'blue' is unknown here",
            "SessionId was not found or has expired",
            "SESSION_EXPIRED",
            "Missing required session id",
            "Request failed because your session has expired, please start again",
            "rpc error: code = NotFound desc = session not found",
            "no such session",
            "no transport for session 7",
            "nonexistent session",
            "header Mcp-Session-Id missing",
            "Session abc: not found",
            "Session ID: 5d3-ab is unrecognised",
            "Your session has been revoked",
            "Session not initialized",
            "This session is no longer valid",
            r#"{"error": "invalid session id"}"#,
            r#"{"errors":[{"code":7,"detail":"\u0053ession expired"}]}"#,
            "<Error><Message>Unknown session</Message></Error>",
            "event: message\ndata: {\"message\":\"Session not found\"}\n",
        ] {
            assert!(speaks_of_lost_session(text), "{text}");
        }
    }

    #[test]
    fn sentences_about_anything_else() {
        for text in [
            "",
            "name is required",
            "the disk is full",
            "argument session is wrong",
            "the browser session has expired",
            "Tool failed: the tool's shell session was not found",
            "User session expired",
            "session token expired",
            "Session duration is invalid",
            "session state is unknown",
            "Session abc: file not found",
            "session.get: tab 7 not found",
            "No transport found for this flight",
            "session cookie is missing",
            "Unknown tool: open_session",
            "unknown tool session_start",
            "tool not found in this session",
            "the session has an unknown argument",
            "Session started. The file was not found.",
            r#"{"session": "s-1", "error": "user not found"}"#,
        ] {
            assert!(!speaks_of_lost_session(text), "{text}");
        }
    }

    #[test]
    fn status_and_code_decide_first() {
        for (status, code, text, expected) in [
            (404, None, "", true),
            (410, Some(-32000), "", true),
            (404, Some(METHOD_NOT_FOUND), "Session not found", false),
            (503, Some(SESSION_LOST), "", true),
            (400, Some(INVALID_PARAMS), "Session not found", false),
            (422, None, "Session not found", true),
            (401, None, "Session not found", true),
            (500, Some(-32603), "Session not found", true),
            (200, Some(-32600), "Session not found", true),
            (200, None, "Session not found", false),
            (403, None, "Session not found", false),
            (502, None, "Session not found", false),
        ] {
            assert_eq!(says_session_is_lost(status, code, text), expected, "{status} {code:?}");
        }
    }
}
