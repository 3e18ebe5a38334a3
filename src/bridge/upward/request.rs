//! `ModernRequest`: a request of a client of 2026-07-28, and its translation for an older server.

use crate::bridge::envelope::{
    CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION, TASKS,
};
use crate::bridge::facts::MODERN_VERSION;
use crate::bridge::level::Level;
use crate::bridge::upward::question::Declared;
use crate::json::edit::{self, Edits};
use crate::json::members::Members;
use crate::json::object::Object;
use crate::mcp::error_codes::{INVALID_PARAMS, UNSUPPORTED_VERSION};
use crate::mcp::error_response::protocol_error;
use crate::mcp::id::Id;
use crate::mcp::message::{Message, MessageKind};
use serde_json::json;
use serde_json::value::RawValue;

/// The version that an older server is offered.
const OFFERED_VERSION: &str = "2025-11-25";

/// Members of `_meta` with the data of the client in a request of 2026-07-28.
const RESERVED: [&str; 4] = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL];

/// The members of a retry that only the bridge reads.
const RETRY_MEMBERS: [&str; 2] = ["inputResponses", "requestState"];

pub(crate) struct ModernRequest<'a> {
    pub(crate) id: &'a Id,
    pub(crate) method: &'a str,
    text: &'a str,
    params: Option<&'a str>,
    members: Option<Object<'a>>,
    meta: Option<Object<'a>>,
}

impl<'a> ModernRequest<'a> {
    /// Returns `None` for a message that is not a request.
    pub(crate) fn read(message: &'a Message) -> Option<ModernRequest<'a>> {
        let MessageKind::Request { id, method, .. } = message.kind() else { return None };
        let text = str::from_utf8(message.body()).ok()?;
        let params = Members::parse(message.body()).ok()?.params;
        let params = params.and_then(|params| str::from_utf8(params).ok());
        let members = params.and_then(Object::parse);
        let meta = members.as_ref().and_then(|members| members.get("_meta"));
        let meta = meta.and_then(|meta| Object::parse(meta.get()));
        Some(ModernRequest { id, method, text, params, members, meta })
    }

    /// Whether the client can be asked something in place of the response.
    pub(crate) fn may_be_asked(&self) -> bool {
        matches!(self.method, "tools/call" | "prompts/get" | "resources/read")
    }

    pub(crate) fn param(&self, name: &str) -> Option<&'a RawValue> {
        self.members.as_ref()?.get_non_null(name)
    }

    /// The target of the request: the name of a tool or prompt, the URI of a resource.
    pub(crate) fn target(&self) -> Option<String> {
        let name = if self.method == "resources/read" { "uri" } else { "name" };
        self.members.as_ref()?.text(name)
    }

    /// The client's data under this name.
    fn reserved(&self, name: &str) -> Option<&'a RawValue> {
        self.meta.as_ref()?.get_non_null(name)
    }

    /// The response to a request that no server of 2026-07-28 runs: of another revision, or without capabilities.
    pub(crate) fn refusal(&self) -> Option<String> {
        let id = self.id.as_json();
        let requested = self.meta.as_ref()?.text(PROTOCOL_VERSION)?;
        if requested != MODERN_VERSION {
            let message = format!("the server does not support MCP {requested}");
            let data = json!({"source": "sigv4-proxy", "supported": [MODERN_VERSION], "requested": requested});
            let error = json!({"code": UNSUPPORTED_VERSION, "message": message, "data": data});
            return Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
        }
        let is_complete = self.reserved(CLIENT_CAPABILITIES).is_some();
        let why =
            "invalid params: _meta does not contain io.modelcontextprotocol/clientCapabilities";
        (!is_complete).then(|| protocol_error(id, INVALID_PARAMS, why))
    }

    /// The client's capabilities, as JSON.
    pub(crate) fn capabilities(&self) -> &'a str {
        self.reserved(CLIENT_CAPABILITIES).map_or("{}", RawValue::get)
    }

    pub(crate) fn declared(&self) -> Declared {
        Declared::read(self.capabilities())
    }

    /// The level from which on the client wants log messages.
    pub(crate) fn level(&self) -> Option<Level> {
        self.reserved(LOG_LEVEL).and_then(Level::from_json)
    }

    /// As the client wrote it.
    pub(crate) fn progress_token(&self) -> Option<&'a str> {
        self.meta.as_ref()?.get_non_null("progressToken").map(RawValue::get)
    }

    /// The `initialize` with which this client would start a session.
    pub(crate) fn initialize(&self) -> Option<Message> {
        let own = json!({"name": "sigv4-proxy", "version": env!("CARGO_PKG_VERSION")}).to_string();
        let client_info = self.reserved(CLIENT_INFO).map_or(&*own, RawValue::get);
        let capabilities = legacy_capabilities(self.capabilities());
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{OFFERED_VERSION}","capabilities":{capabilities},"clientInfo":{client_info}}}}}"#
        );
        Message::parse(line.into_bytes()).ok()
    }

    /// The request in the form of an older server, with an id of the bridge, which is its progress token, too: tokens of
    /// clients are not unique in the session that they share. Everything else keeps its bytes.
    pub(crate) fn translated(&self, id: i64) -> Option<Message> {
        let mut text = self.text.to_owned();
        if let Some(params) = self.params {
            let changed = with_older_meta(params, id);
            let params_now = changed.as_deref().unwrap_or(params);
            let stripped = edit::without_members(params_now, |name| RETRY_MEMBERS.contains(&name));
            let params_now = stripped.as_deref().unwrap_or(params_now);
            text = edit::replace(self.text, params, params_now);
        }
        let old = Members::parse(text.as_bytes()).ok()?.id?;
        let line = edit::replace(&text, old, &id.to_string());
        Message::parse(line.into_bytes()).ok()
    }
}

/// Params without the reserved members of `_meta`, and without `_meta` if nothing else is in it. A progress token becomes
/// this one. `None`: nothing changes.
fn with_older_meta(params: &str, token: i64) -> Option<String> {
    let meta = Object::parse(params)?.get("_meta")?.get();
    let members = Object::parse(meta)?;
    if members.members().all(|(name, _)| RESERVED.contains(&name)) {
        return edit::without_members(params, |name| name == "_meta");
    }
    let mut edits = Edits::new(meta);
    edits.change_members(meta, |name| RESERVED.contains(&name), "");
    if let Some(old) = members.get_non_null("progressToken") {
        edits.replace(old.get(), token.to_string());
    }
    Some(edit::replace(params, meta, &edits.finish()))
}

/// The capabilities of a client in an `initialize`: without tasks, and without notices that its roots have changed.
fn legacy_capabilities(capabilities: &str) -> String {
    let mut text = edit::without_member(capabilities, "tasks");
    for (member, cut) in [("roots", "listChanged"), ("extensions", TASKS)] {
        text = without_inner(&text, member, cut).unwrap_or(text);
    }
    text
}

/// `object` with its object `member` without the member `cut`. `None`: nothing changes.
pub(crate) fn without_inner(object: &str, member: &str, cut: &str) -> Option<String> {
    let inner = Object::parse(object)?.get(member)?.get();
    let rest = edit::without_members(inner, |name| name == cut)?;
    Some(edit::replace(object, inner, &rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;

    fn message(line: &str) -> Message {
        Message::parse(line.as_bytes().to_vec()).expect("a message")
    }

    #[test]
    fn an_older_server_gets_the_request_without_what_is_reserved() {
        for (modern, legacy) in [
            (
                format!(
                    r#"{{"jsonrpc":"2.0","id":"a\u0062","method":"tools/list","params":{{"_meta":{{{VERSION}}}}}}}"#
                ),
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{}}"#,
            ),
            (
                format!(
                    r#"{{ "id" : 3, "params":{{"name":"\u00e9", "arguments":{{"_meta":{{{VERSION}}},"n":1e400}}, "_meta":{{"progressToken": 1.0,{VERSION},"io.modelcontextprotocol/logLevel":"info", "traceparent":"x"}},"requestState":"s","inputResponses":{{}}}},"method":"tools/call","jsonrpc":"2.0"}}"#
                ),
                r#"{ "id" : 7, "params":{"name":"\u00e9", "arguments":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"n":1e400}, "_meta":{"progressToken": 7, "traceparent":"x"}},"method":"tools/call","jsonrpc":"2.0"}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"x/y"}"#.to_owned(),
                r#"{"jsonrpc":"2.0","id":7,"method":"x/y"}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"_meta":{},"a":1}}"#.to_owned(),
                r#"{"jsonrpc":"2.0","id":7,"method":"x/y","params":{"a":1}}"#,
            ),
        ] {
            let modern = message(&modern);
            let translated = ModernRequest::read(&modern).and_then(|request| request.translated(7));
            let translated = translated.expect("a request");
            assert_eq!(str::from_utf8(translated.body()), Ok(legacy));
            assert!(translated.request_meta().is_none());
        }
    }

    #[test]
    fn the_session_is_begun_with_what_the_request_says_of_its_client() {
        let begun = |meta: &str| {
            let line = format!(r#"{{"id":1,"method":"x","params":{{"_meta":{{{meta}}}}}}}"#);
            let message = message(&line);
            let initialize = ModernRequest::read(&message).and_then(|request| request.initialize());
            String::from_utf8(initialize.expect("a request").body().to_vec()).expect("text")
        };
        let full = begun(
            r#""io.modelcontextprotocol/clientInfo":{"name":"c\u0061","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"roots":{"listChanged":true},"sampling":{ },"elicitation":{"form":{},"url":{}},"tasks":{},"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{"n":1.0}}}"#,
        );
        assert_eq!(
            full,
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{},"sampling":{ },"elicitation":{"form":{},"url":{}},"extensions":{"x/y":{"n":1.0}}},"clientInfo":{"name":"c\u0061","version":"1"}}}"#
        );
        let bare = begun("");
        assert!(bare.contains(r#""capabilities":{},"clientInfo":{"name":"sigv4-proxy""#), "{bare}");
    }
}
