//! A legacy request as a modern one. Pure.

use crate::bridge::envelope::{
    CLIENT_CAPABILITIES, CLIENT_INFO, Envelope, LOG_LEVEL, PROTOCOL_VERSION, RELATED_TASK,
};
use crate::error::{Error, Kind};
use crate::json::edit::Edits;
use crate::json::object::Object;
use crate::mcp::message::Message;

/// Members of `_meta` that the bridge adds or removes.
const RESERVED: [&str; 5] =
    [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL, RELATED_TASK];

/// Methods whose legacy requests may ask for a task, which a receiver without tasks ignores.
const TASK_METHODS: [&str; 3] = ["tools/call", "prompts/get", "resources/read"];

/// The request with the envelope of its client. `log_level` is JSON.
///
/// # Errors
/// `InvalidRequest`: its params are not an object.
pub(crate) fn to_modern(
    request: &Message,
    envelope: &Envelope,
    log_level: Option<&str>,
) -> Result<Message, Error> {
    let mut meta = envelope.members();
    if let Some(level) = log_level {
        meta = format!(r#"{meta},"{LOG_LEVEL}":{level}"#);
    }
    let text = str::from_utf8(request.body()).unwrap_or_default();
    let mut edits = Edits::new(text);
    match Object::parse(text).and_then(|message| message.get_non_null("params")) {
        None => {
            let params = format!(r#""params":{{"_meta":{{{meta}}}}}"#);
            edits.change_members(text, |name| name == "params", &params);
        }
        Some(params) => {
            let params = params.get();
            let members = Object::parse(params).ok_or_else(no_object)?;
            let may_name_task = request.method().is_some_and(|name| TASK_METHODS.contains(&name));
            let is_task = |name: &str| may_name_task && name == "task";
            match members.get_non_null("_meta") {
                Some(own) if own.get().starts_with('{') => {
                    edits.change_members(own.get(), |name| RESERVED.contains(&name), &meta);
                    edits.change_members(params, is_task, "");
                }
                Some(_) => return Err(no_object()),
                None => {
                    let meta = format!(r#""_meta":{{{meta}}}"#);
                    edits.change_members(params, |name| name == "_meta" || is_task(name), &meta);
                }
            }
        }
    }
    let text = edits.finish();
    Message::parse(text.into_bytes()).map_err(|_| no_object())
}

fn no_object() -> Error {
    Error::new(Kind::InvalidRequest, "the params of the request, or their _meta, are not an object")
}

/// A repetition of a modern request, with another id and the answers to the server's questions. `responses`: members of
/// `inputResponses`.
pub(crate) fn next_leg(
    request: &Message,
    id: &str,
    responses: &str,
    state: Option<&str>,
) -> Option<Message> {
    let text = str::from_utf8(request.body()).ok()?;
    let message = Object::parse(text)?;
    let params = message.get("params")?.get();
    let mut added = Vec::new();
    if !responses.is_empty() {
        added.push(format!(r#""inputResponses":{{{responses}}}"#));
    }
    added.extend(state.map(|state| format!(r#""requestState":{state}"#)));
    let mut edits = Edits::new(text);
    edits.replace(message.get("id")?.get(), format!("\"{id}\""));
    let is_old = |name: &str| matches!(name, "inputResponses" | "requestState");
    edits.change_members(params, is_old, &added.join(","));
    Message::parse(edits.finish().into_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}}"#;

    fn message(text: &str) -> Message {
        Message::parse(text.as_bytes().to_vec()).expect("a message")
    }

    fn envelope() -> Envelope {
        let capabilities = r#"{"roots":{}}"#.to_owned();
        Envelope { client_info: r#"{"name":"c"}"#.into(), capabilities }
    }

    #[test]
    fn requests_say_who_their_client_is() {
        for (legacy, modern) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
                r#"{"params":{"_meta":{META}},"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            ),
            (
                r#"{"id":1,"method":"tools/list","params":null}"#,
                r#"{"params":{"_meta":{META}},"id":1,"method":"tools/list"}"#,
            ),
            (
                r#"{"id":1.0,"method":"prompts/list","params":{ "cursor" : "a\/b" }}"#,
                r#"{"id":1.0,"method":"prompts/list","params":{"_meta":{META}, "cursor" : "a\/b" }}"#,
            ),
            (
                r#"{"id":"x","method":"tools/call","params":{"name":"t","task":{"ttl":1},"_meta":{"progressToken":7,"io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/related-task":{"taskId":"1"}},"arguments":{"task":1e400}}}"#,
                r#"{"id":"x","method":"tools/call","params":{"name":"t","_meta":{META,"progressToken":7},"arguments":{"task":1e400}}}"#,
            ),
            (
                r#"{"id":1,"method":"x/y","params":{"task":1,"_meta":{}}}"#,
                r#"{"id":1,"method":"x/y","params":{"task":1,"_meta":{META}}}"#,
            ),
        ] {
            let translated = to_modern(&message(legacy), &envelope(), None).expect("it is one");
            let modern = modern.replace("META", META);
            assert_eq!(str::from_utf8(translated.body()), Ok(&*modern));
            assert!(translated.request_meta().is_some());
        }
    }

    #[test]
    fn the_log_level_is_part_of_each_request() {
        let list = message(r#"{"id":1,"method":"m"}"#);
        let translated = to_modern(&list, &envelope(), Some("\"info\"")).expect("it is one");
        let text = str::from_utf8(translated.body()).expect("UTF-8");
        assert!(text.contains(r#","io.modelcontextprotocol/logLevel":"info"}"#), "{text}");
    }

    #[test]
    fn params_that_cannot_say_it_are_refused() {
        for params in ["[]", "7", r#"{"_meta":[]}"#, r#"{"_meta":"x"}"#] {
            let list = message(&format!(r#"{{"id":1,"method":"m","params":{params}}}"#));
            let error = to_modern(&list, &envelope(), None).expect_err("it cannot");
            assert_eq!(error.kind(), Kind::InvalidRequest);
        }
    }

    #[test]
    fn a_leg_repeats_the_request_with_what_was_asked_for() {
        let first = message(&format!(
            r#"{{"id":5,"method":"m","params":{{"a": 1.50,"_meta":{{{META}}}}}}}"#
        ));
        let state = r#""s\u0020\/""#;
        let next = next_leg(&first, "sigv4-proxy-1", r#""k":{"b": 2}"#, Some(state));
        let expected = format!(
            r#"{{"id":"sigv4-proxy-1","method":"m","params":{{"inputResponses":{{"k":{{"b": 2}}}},"requestState":{state},"a": 1.50,"_meta":{{{META}}}}}}}"#
        );
        let next = next.expect("it can be repeated");
        assert_eq!(str::from_utf8(next.body()), Ok(&*expected));
        let last = next_leg(&next, "sigv4-proxy-2", "", None).expect("it can be repeated");
        let expected = format!(
            r#"{{"id":"sigv4-proxy-2","method":"m","params":{{"a": 1.50,"_meta":{{{META}}}}}}}"#
        );
        assert_eq!(str::from_utf8(last.body()), Ok(&*expected));
    }
}
