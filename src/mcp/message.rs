//! `Message`: one JSON-RPC line of the client.
//!
//! It is parsed only to route it: its bytes are relayed as they came, never serialised again.

use crate::error::Error;
use crate::json::edit::Edits;
use crate::json::members::{Members, MembersError};
use crate::json::object::{Object, OnlyObject};
use crate::mcp::error_codes::{INVALID_REQUEST, PARSE_ERROR};
use crate::mcp::error_response::{array, error_line, protocol_error};
use crate::mcp::id::Id;
use crate::mcp::request_meta::RequestMeta;
use crate::redact::Redactor;
use crate::signing::BodyHash;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// All members of JSON-RPC messages.
pub(crate) const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// Methods of most messages, which are not copied.
const COMMON_METHODS: [&str; 4] = ["tools/call", "tools/list", "resources/read", "prompts/get"];

/// Maximum number of errors for members of a batch that are not messages: they could be much larger than the batch.
const MAX_INVALID_MEMBERS: usize = 100;

/// Maximum number of requests in a batch: the time to match its responses grows with the square of the number.
const MAX_BATCH_REQUESTS: usize = 10_000;

/// One line from the client.
#[derive(Debug)]
pub struct Message {
    line: Vec<u8>,
    kind: MessageKind,
    /// The hash of the line, if it is known.
    hash: Option<Box<BodyHash>>,
    headers: Option<ClientHeaders>,
}

/// Names, in lower case, and values of the headers of MCP with which a client sent a message over HTTP.
pub(crate) type ClientHeaders = Arc<[(String, String)]>;

/// The kind of a line, with the members that routing needs.
#[derive(Debug, PartialEq, Eq)]
pub enum MessageKind {
    Request {
        id: Id,
        method: Cow<'static, str>,
        /// Only requests of 2026-07-28 or later have it.
        meta: Option<Box<RequestMeta>>,
    },
    Notification {
        method: Cow<'static, str>,
        /// The request that `notifications/cancelled` cancels.
        cancels: Option<Id>,
    },
    /// A response to a request of the server.
    Response,
    /// Several messages in one array (2025-03-26), sent as one.
    Batch {
        /// The ids of its requests.
        ids: Vec<Id>,
        has_notification: bool,
    },
}

impl Message {
    /// Parses one line without its end.
    ///
    /// # Errors
    /// The line to respond with.
    ///
    /// ```
    /// use sigv4_proxy::mcp::message::{Message, MessageKind};
    /// let message = Message::parse(br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#.to_vec()).unwrap();
    /// assert!(matches!(message.kind(), MessageKind::Request { method, .. } if method == "ping"));
    /// assert!(Message::parse(b"{oops".to_vec()).unwrap_err().contains("-32700"));
    /// ```
    pub fn parse(line: Vec<u8>) -> Result<Message, String> {
        let kind = classify(&line)?;
        Ok(Message { line, kind, hash: None, headers: None })
    }

    /// This message with the hash of its line.
    pub(crate) fn with_hash(self, hash: Option<Box<BodyHash>>) -> Message {
        Message { hash, ..self }
    }

    /// This message with the headers that its client sent with it.
    pub(crate) fn with_headers(self, headers: ClientHeaders) -> Message {
        Message { headers: Some(headers), ..self }
    }

    /// This message with a part of it changed.
    ///
    /// # Errors
    /// As those of `parse`.
    pub(crate) fn changed_to(&self, line: String) -> Result<Message, String> {
        let changed = Message::parse(line.into_bytes())?;
        Ok(Message { headers: self.headers.clone(), ..changed })
    }

    /// The headers that its client sent with it; `None` if the client speaks another transport, or did not send this.
    pub(crate) fn headers(&self) -> Option<&[(String, String)]> {
        self.headers.as_deref()
    }

    pub fn kind(&self) -> &MessageKind {
        &self.kind
    }

    /// The bytes to send.
    pub fn body(&self) -> &[u8] {
        &self.line
    }

    /// The hash of the bytes to send, if it is known.
    pub(crate) fn hash(&self) -> Option<&BodyHash> {
        self.hash.as_deref()
    }

    /// The ids that need a response: one of a request, any number of a batch.
    pub fn ids(&self) -> &[Id] {
        match &self.kind {
            MessageKind::Request { id, .. } => std::slice::from_ref(id),
            MessageKind::Batch { ids, .. } => ids,
            MessageKind::Notification { .. } | MessageKind::Response => &[],
        }
    }

    /// Whether its responses belong into an array, as it came in one itself.
    pub(crate) fn is_batch(&self) -> bool {
        matches!(self.kind, MessageKind::Batch { .. })
    }

    /// The error as the response to each of its requests: in an array if it is a batch, even of one request.
    pub(crate) fn error_responses(&self, error: &Error, redactor: &Redactor) -> String {
        let mut lines = self.ids().iter().map(|id| error_line(id, error, redactor));
        if self.is_batch() { array(lines) } else { lines.next().unwrap_or_default() }
    }

    /// The ids of the server's requests that this responds to.
    pub(crate) fn responds_to(&self) -> Vec<Id> {
        let of_one = |message: &[u8]| {
            let members =
                Members::parse(message).ok().filter(|members| members.method.is_none())?;
            members.id.and_then(Id::from_json)
        };
        match &self.kind {
            MessageKind::Response => of_one(&self.line).into_iter().collect(),
            MessageKind::Batch { .. } => {
                let messages = split_batch(&self.line).unwrap_or_default();
                messages.iter().filter_map(|message| of_one(message.as_bytes())).collect()
            }
            MessageKind::Request { .. } | MessageKind::Notification { .. } => Vec::new(),
        }
    }

    /// Whether this request begins a session.
    pub fn is_initialize(&self) -> bool {
        matches!(&self.kind, MessageKind::Request { method, .. } if method == "initialize")
    }

    /// Whether this is `server/discover`, the first request of clients of 2026-07-28.
    pub(crate) fn is_discover(&self) -> bool {
        matches!(&self.kind, MessageKind::Request { method, .. } if method == "server/discover")
    }

    /// The `_meta` of a request of 2026-07-28 or later.
    pub fn request_meta(&self) -> Option<&RequestMeta> {
        match &self.kind {
            MessageKind::Request { meta, .. } => meta.as_deref(),
            _ => None,
        }
    }

    /// What a request of 2026-07-28 says of its client, as JSON, without its progress token, which belongs to the request.
    pub(crate) fn client_meta(&self) -> Option<String> {
        self.request_meta()?;
        let request = Object::parse(str::from_utf8(&self.line).ok()?)?;
        let meta = Object::parse(Object::parse(request.get("params")?.get())?.get("_meta")?.get())?;
        let meta: Vec<String> = ["protocolVersion", "clientInfo", "clientCapabilities"]
            .iter()
            .filter_map(|name| {
                let name = format!("io.modelcontextprotocol/{name}");
                Some(format!("\"{name}\":{}", meta.get(name.as_str())?.get()))
            })
            .collect();
        Some(format!("{{{}}}", meta.join(",")))
    }

    /// The state with which a request of 2026-07-28 continues an earlier one.
    pub(crate) fn request_state(&self) -> Option<String> {
        self.request_meta()?;
        memmem::find(&self.line, b"requestState")?;
        let request = Object::parse(str::from_utf8(&self.line).ok()?)?;
        Object::parse(request.get("params")?.get())?.text("requestState")
    }

    /// Whether the response is a stream that stays open (2026-07-28).
    pub fn is_subscription(&self) -> bool {
        self.method() == Some("subscriptions/listen") && self.request_meta().is_some()
    }

    /// This request as one of this program: with another id, which is text, and without its progress token, which the client
    /// may use for another request.
    pub(crate) fn with_own_id(&self, id: &str) -> Option<Message> {
        let text = str::from_utf8(&self.line).ok()?;
        let request = Object::parse(text)?;
        let mut edits = Edits::new(text);
        edits.replace(request.get("id")?.get(), Value::from(id).to_string());
        let params = request.get("params").and_then(|params| Object::parse(params.get()));
        if let Some(meta) = params.and_then(|params| params.get("_meta")) {
            edits.change_members(meta.get(), |name| name == "progressToken", "");
        }
        Message::parse(edits.finish().into_bytes()).ok()
    }

    /// This batch without its requests of this id; `None` if nothing is left, or if it has no such request.
    pub(crate) fn without_request(&self, id: &Id) -> Option<Message> {
        let messages = split_batch(&self.line).filter(|_| self.ids().contains(id))?;
        let rest: Vec<&str> = messages
            .into_iter()
            .filter(|message| {
                let one = classify_one(message.as_bytes());
                !matches!(one, Ok(MessageKind::Request { id: its_id, .. }) if its_id == *id)
            })
            .collect();
        Message::parse(format!("[{}]", rest.join(",")).into_bytes()).ok()
    }

    /// The requests that the notifications of a batch cancel.
    pub(crate) fn cancelled_by_batch(&self) -> Vec<Id> {
        let MessageKind::Batch { has_notification: true, .. } = self.kind else {
            return Vec::new();
        };
        let messages = split_batch(&self.line).unwrap_or_default();
        let cancelled =
            messages.iter().filter_map(|message| match classify_one(message.as_bytes()) {
                Ok(MessageKind::Notification { cancels, .. }) => cancels,
                _ => None,
            });
        cancelled.collect()
    }

    /// Whether it is a `tools/call`, or a batch with one.
    pub(crate) fn calls_tool(&self) -> bool {
        self.any_method(|method| method == "tools/call")
    }

    /// Whether it is a request of such a method, or a batch with one.
    pub(crate) fn any_method(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let calls = |kind: &MessageKind| matches!(kind, MessageKind::Request { method, .. } if is_it(method));
        match &self.kind {
            MessageKind::Batch { .. } => {
                let messages = split_batch(&self.line).unwrap_or_default();
                messages
                    .iter()
                    .any(|message| classify_one(message.as_bytes()).is_ok_and(|kind| calls(&kind)))
            }
            kind => calls(kind),
        }
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match &self.kind {
            MessageKind::Request { method, .. } | MessageKind::Notification { method, .. } => {
                Some(method)
            }
            MessageKind::Response | MessageKind::Batch { .. } => None,
        }
    }
}

fn classify(line: &[u8]) -> Result<MessageKind, String> {
    match split_batch(line) {
        Some(messages) => classify_batch(&messages),
        None => classify_one(line),
    }
}

/// A batch is sent whole or not at all: one that must not be sent gets an error for each of its requests, and for what is not
/// a message.
fn classify_batch(messages: &[&str]) -> Result<MessageKind, String> {
    if messages.is_empty() {
        return Err(protocol_error("null", INVALID_REQUEST, "invalid request: the batch is empty"));
    }
    let (mut ids, mut invalid) = (Vec::new(), Vec::new());
    let mut has_notification = false;
    let mut problem = None;
    for message in messages {
        match classify_one(message.as_bytes()) {
            Ok(MessageKind::Request { id, method, .. }) => {
                if method == "initialize" {
                    problem = Some("invalid request: initialize cannot be part of a batch");
                }
                ids.push(id);
                if ids.len() > MAX_BATCH_REQUESTS {
                    problem = Some("invalid request: the batch has more than 10000 requests");
                }
            }
            Ok(MessageKind::Notification { .. }) => has_notification = true,
            Ok(MessageKind::Response | MessageKind::Batch { .. }) => {}
            Err(error) => {
                problem =
                    Some("invalid request: not every member of the batch is a JSON-RPC message");
                if invalid.len() < MAX_INVALID_MEMBERS {
                    invalid.push(error);
                }
            }
        }
    }
    let Some(why) = problem else { return Ok(MessageKind::Batch { ids, has_notification }) };
    let unsent = ids.iter().map(|id| protocol_error(id.as_json(), INVALID_REQUEST, why));
    Err(array(unsent.chain(invalid)))
}

fn classify_one(line: &[u8]) -> Result<MessageKind, String> {
    let members = match Members::parse(line) {
        Ok(members) => members,
        Err(MembersError::NotUtf8) => {
            let why = "parse error: the message is not UTF-8";
            return Err(protocol_error("null", PARSE_ERROR, why));
        }
        Err(MembersError::Json(error)) if error.is_data() => {
            let why = "invalid request: this is not a JSON-RPC message";
            let id = only_id(line);
            let id = id.as_ref().map_or("null", Id::as_json);
            return Err(protocol_error(id, INVALID_REQUEST, why));
        }
        Err(MembersError::Json(error)) => {
            return Err(protocol_error("null", PARSE_ERROR, &format!("parse error: {error}")));
        }
    };
    let id = members.id.and_then(Id::from_json);
    match (members.method, members.id, id) {
        (Some(method), Some(_), Some(id)) => {
            let meta = members.params.and_then(|params| RequestMeta::of(&method, params));
            Ok(MessageKind::Request { id, method: owned(method), meta: meta.map(Box::new) })
        }
        (Some(method), None, _) => Ok(notification(method, members.params)),
        // Some clients write `null` for whatever is absent.
        (Some(method), Some("null"), _) if method.starts_with("notifications/") => {
            Ok(notification(method, members.params))
        }
        (Some(_), Some(_), None) => Err(protocol_error(
            "null",
            INVALID_REQUEST,
            "invalid request: the id must be a string or a number",
        )),
        (None, Some(_), _) if members.result.is_some() || members.error.is_some() => {
            Ok(MessageKind::Response)
        }
        (None, _, id) => Err(protocol_error(
            id.as_ref().map_or("null", Id::as_json),
            INVALID_REQUEST,
            "invalid request: the message has no method, result or error",
        )),
    }
}

fn notification(method: Cow<'_, str>, params: Option<&[u8]>) -> MessageKind {
    let params = params.filter(|_| method == "notifications/cancelled");
    MessageKind::Notification { cancels: params.and_then(cancelled_request), method: owned(method) }
}

/// The id of an object that is not a message, if it has exactly one.
fn only_id(line: &[u8]) -> Option<Id> {
    let members = Object::parse(str::from_utf8(line).ok()?)?;
    let mut ids = members.members().filter(|(name, _)| *name == "id").map(|(_, value)| value.get());
    let id = ids.next().filter(|_| ids.next().is_none())?;
    Id::from_json(id)
}

fn owned(method: Cow<'_, str>) -> Cow<'static, str> {
    match COMMON_METHODS.iter().find(|common| **common == method) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(method.into_owned()),
    }
}

/// The request that `notifications/cancelled` with these `params` cancels.
pub(crate) fn cancelled_request(params: &[u8]) -> Option<Id> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    let OnlyObject(params): OnlyObject<Params<'_>> = serde_json::from_slice(params).ok()?;
    Id::from_json(params.request_id.get())
}

/// The messages of a batch, which is an array of them (2025-03-26); `None` for other documents.
pub(crate) fn split_batch(document: &[u8]) -> Option<Vec<&str>> {
    if !document.trim_ascii_start().starts_with(b"[") {
        return None;
    }
    let text = str::from_utf8(document).ok()?;
    let batch: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(batch.into_iter().map(RawValue::get).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(json: &str) -> Id {
        Id::from_json(json).expect("an id")
    }

    fn kind(line: &str) -> MessageKind {
        Message::parse(line.as_bytes().to_vec()).unwrap_or_else(|e| panic!("{line}: {e}")).kind
    }

    #[test]
    fn lines_of_the_client() {
        let request = |id_json: &str, method: &str| MessageKind::Request {
            id: id(id_json),
            method: method.to_owned().into(),
            meta: None,
        };
        assert_eq!(kind(r#"{"id":1,"method":"a"}"#), request("1", "a"));
        assert_eq!(
            kind(r#" {"method":"a\u002fb","params":[[[]]],"id":"1\/2"} "#),
            request(r#""1/2""#, "a/b")
        );
        assert_eq!(
            kind(r#"{"id":12345678901234567890123,"method":"a"}"#),
            request("12345678901234567890123", "a")
        );
        let initialized =
            MessageKind::Notification { method: "notifications/initialized".into(), cancels: None };
        let nulls = r#"{"id":null,"method":"notifications/initialized","params":null}"#;
        assert_eq!(kind(nulls), initialized);
        assert_eq!(kind(r#"{"id":0,"result":{}}"#), MessageKind::Response);
        assert_eq!(
            kind(r#"{"id":0,"method":null,"result":{},"error":null}"#),
            MessageKind::Response
        );
        assert_eq!(kind(r#"{"id":0,"error":{},"jsonrpc":"2.0"}"#), MessageKind::Response);
        assert_eq!(
            kind(r#"{"method":"notifications/cancelled","params":{"reason":"x","requestId":"7"}}"#),
            MessageKind::Notification {
                method: "notifications/cancelled".into(),
                cancels: Some(id("\"7\""))
            }
        );
        let deep = format!(
            r#"{{"id":1,"method":"a","params":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(kind(&deep), request("1", "a"));
    }

    #[test]
    fn lines_that_are_not_messages() {
        for (line, code, its_id) in [
            (&b"{"[..], PARSE_ERROR, "null"),
            (b"hello", PARSE_ERROR, "null"),
            (b"{\"id\":1,\"method\":\"\xff\"}", PARSE_ERROR, "null"),
            (b"{} {}", PARSE_ERROR, "null"),
            (b"7", INVALID_REQUEST, "null"),
            (b"[{}]", INVALID_REQUEST, "null"),
            (b"[]", INVALID_REQUEST, "null"),
            (b"[", PARSE_ERROR, "null"),
            (b"{\"id\":1}", INVALID_REQUEST, "1"),
            (b"{\"id\":null,\"method\":\"a\"}", INVALID_REQUEST, "null"),
            (b"{\"id\":[1],\"method\":\"a\"}", INVALID_REQUEST, "null"),
            (b"{\"id\":1,\"method\":2}", INVALID_REQUEST, "1"),
            (b"{\"id\":1,\"method\":\"a\",\"params\":1,\"params\":2}", INVALID_REQUEST, "1"),
            (b"{\"id\":1,\"id\":2,\"method\":\"a\"}", INVALID_REQUEST, "null"),
            (b"[[1,\"a\"]]", INVALID_REQUEST, "null"),
        ] {
            let answer = Message::parse(line.to_vec()).expect_err("no message");
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            let answer = answer.get(0).unwrap_or(&answer);
            let text = String::from_utf8_lossy(line);
            assert_eq!(
                (&answer["error"]["code"], answer["id"].to_string()),
                (&json!(code), its_id.into()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_request_of_the_client_sent_as_an_own_one() {
        for (params, expected) in [
            (r#"{"id":"x"}"#, r#"{"id":"x"}"#),
            (
                r#"{"_meta":{"a":1.0,"progressToken":7},"id":"x"}"#,
                r#"{"_meta":{"a":1.0},"id":"x"}"#,
            ),
            (r#"{"_meta":[7]}"#, r#"{"_meta":[7]}"#),
        ] {
            let line =
                format!(r#"{{"params":{params}, "id" : 7 ,"method":"initialize","n":1.00}}"#);
            let message = Message::parse(line.into()).expect("a message");
            let again = message.with_own_id("a\"b").expect("again");
            assert_eq!(
                String::from_utf8_lossy(again.body()),
                format!(
                    r#"{{"params":{expected}, "id" : "a\"b" ,"method":"initialize","n":1.00}}"#
                )
            );
            assert_eq!(again.ids()[0].as_json(), r#""a\"b""#);
        }
    }

    #[test]
    fn batches() {
        let batch = |ids: &[&str], has_notification| MessageKind::Batch {
            ids: ids.iter().map(|json| id(json)).collect(),
            has_notification,
        };
        assert_eq!(
            kind(r#" [{"id":1,"method":"a"}, {"method":"n"},{"id":"1","method":"b"}]"#),
            batch(&["1", "\"1\""], true)
        );
        assert_eq!(kind(r#"[{"id":1,"result":{}},{"id":2,"result":{}}]"#), batch(&[], false));
        let answer = Message::parse(
            br#"[{"id":1,"method":"initialize"},{"id":2,"method":"ping"}]"#.to_vec(),
        )
        .expect_err("initialize stands alone");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((&answer[0]["id"], &answer[1]["id"]), (&json!(1), &json!(2)));
        assert_eq!(answer[1]["error"]["code"], INVALID_REQUEST);
    }

    #[test]
    fn a_batch_has_a_maximum_of_requests() {
        let parsed = |count| {
            let batch = vec![r#"{"id":1,"method":"a"}"#; count].join(",");
            Message::parse(format!("[{batch}]").into())
        };
        assert!(parsed(MAX_BATCH_REQUESTS).is_ok());
        let answer = parsed(MAX_BATCH_REQUESTS + 1).expect_err("too many");
        let answer: Vec<Value> = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer.len(), MAX_BATCH_REQUESTS + 1);
        assert_eq!(answer[0]["error"]["code"], INVALID_REQUEST);
    }

    #[test]
    fn a_batch_without_one_of_its_requests() {
        let batch = r#"[{"id":1,"method":"a"}, {"method":"n"},{"id":"1", "method":"b"},{"id":1.0,"method":"c"}]"#;
        let batch = Message::parse(batch.into()).expect("a batch");
        let left = batch.without_request(&id("1")).expect("more than that");
        assert_eq!(left.body(), br#"[{"method":"n"},{"id":"1", "method":"b"}]"#);
        assert_eq!(
            left.without_request(&id("\"1\"")).expect("more").body(),
            br#"[{"method":"n"}]"#
        );
        assert!(left.without_request(&id("1")).is_none());
        let one = Message::parse(br#"[{"id":1,"method":"a"}]"#.to_vec()).expect("a batch");
        assert!(one.without_request(&id("1")).is_none());
    }

    #[test]
    fn what_a_batch_cancels() {
        let cancelled = |line: &str| {
            Message::parse(line.as_bytes().to_vec()).expect("a message").cancelled_by_batch()
        };
        let cancel = |id: &str| {
            format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
        };
        let batch = format!(r#"[{},{{"id":1,"method":"a"}},{}]"#, cancel("1"), cancel(r#""b""#));
        assert_eq!(cancelled(&batch), [id("1"), id("\"b\"")]);
        assert!(cancelled(r#"[{"id":1,"method":"a"},{"method":"n"}]"#).is_empty());
        assert!(cancelled(&cancel("1")).is_empty());
    }
}
