//! `Message`: what one JSON-RPC line is. And the error lines we write ourselves.
//!
//! Parses only to route: the bytes of a message are relayed as they came, never re-serialised.

use crate::error::{Error, Kind};
use crate::json::edit;
use crate::json::members::{Members, MembersError};
use crate::json::object::{Object, OnlyObject};
use crate::mcp::id::Id;
use crate::mcp::request_meta::RequestMeta;
use crate::redact::Redactor;
use crate::signing::BodyHash;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

/// JSON-RPC 2.0 error codes that this program gives.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
/// Codes from -32000 to -32099 belong to the protocol and to servers, so our own failures are "internal".
const INTERNAL_ERROR: i32 = -32603;

/// Methods of most messages, which need no memory of their own.
const COMMON: [&str; 4] = ["tools/call", "tools/list", "resources/read", "prompts/get"];

/// One line from the client.
#[derive(Debug)]
pub struct Message {
    line: Vec<u8>,
    sort: MessageKind,
    /// Of the line, if it is known.
    hash: Option<Box<BodyHash>>,
}

/// What the line is.
#[derive(Debug, PartialEq, Eq)]
pub enum MessageKind {
    Request {
        id: Id,
        method: Cow<'static, str>,
        /// What a request of 2026-07-28 or later says of itself; older ones say nothing.
        envelope: Option<Box<RequestMeta>>,
    },
    Notification {
        method: Cow<'static, str>,
        /// The request that `notifications/cancelled` takes back.
        cancels: Option<Id>,
    },
    /// The client's answer to a request of the server.
    Response,
    /// Several messages in one array (2025-03-26), sent as they are.
    Batch {
        /// Of the requests among them.
        ids: Vec<Id>,
        has_notification: bool,
    },
}

impl Message {
    /// Reads one line, its end removed. The error is the line to answer with.
    ///
    /// ```
    /// use sigv4_proxy::mcp::message::{Message, MessageKind};
    /// let message = Message::parse(br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#.to_vec()).unwrap();
    /// assert!(matches!(message.sort(), MessageKind::Request { method, .. } if method == "ping"));
    /// assert!(Message::parse(b"{oops".to_vec()).unwrap_err().contains("-32700"));
    /// ```
    pub fn parse(line: Vec<u8>) -> Result<Message, String> {
        let sort = classify(&line)?;
        Ok(Message { line, sort, hash: None })
    }

    /// The same with what is known of the line's hash.
    pub(crate) fn with_hash(self, hash: Option<Box<BodyHash>>) -> Message {
        Message { hash, ..self }
    }

    pub fn sort(&self) -> &MessageKind {
        &self.sort
    }

    /// The bytes to send.
    pub fn body(&self) -> &[u8] {
        &self.line
    }

    /// Their hash, if it is known.
    pub(crate) fn hash(&self) -> Option<&BodyHash> {
        self.hash.as_deref()
    }

    /// The ids that must be answered: one for a request, any number for a batch, else none.
    pub fn ids(&self) -> &[Id] {
        match &self.sort {
            MessageKind::Request { id, .. } => std::slice::from_ref(id),
            MessageKind::Batch { ids, .. } => ids,
            MessageKind::Notification { .. } | MessageKind::Response => &[],
        }
    }

    /// The ids of the server's requests that this responds to.
    pub(crate) fn responds_to(&self) -> Vec<Id> {
        let of_one = |message: &[u8]| {
            let members =
                Members::parse(message).ok().filter(|members| members.method.is_none())?;
            members.id.and_then(Id::from_json)
        };
        match &self.sort {
            MessageKind::Response => of_one(&self.line).into_iter().collect(),
            MessageKind::Batch { .. } => {
                let messages = split_batch(&self.line).unwrap_or_default();
                messages.iter().filter_map(|message| of_one(message.as_bytes())).collect()
            }
            MessageKind::Request { .. } | MessageKind::Notification { .. } => Vec::new(),
        }
    }

    /// Whether this is the request that begins a session.
    pub fn is_initialize(&self) -> bool {
        matches!(&self.sort, MessageKind::Request { method, .. } if method == "initialize")
    }

    /// What a request of 2026-07-28 or later says of itself.
    pub fn request_meta(&self) -> Option<&RequestMeta> {
        match &self.sort {
            MessageKind::Request { envelope, .. } => envelope.as_deref(),
            _ => None,
        }
    }

    /// Whether its answer is a stream that stays open (2026-07-28).
    pub fn is_subscription(&self) -> bool {
        self.method() == Some("subscriptions/listen") && self.request_meta().is_some()
    }

    /// The same request under another id, to be sent by us.
    pub(crate) fn under(&self, id: &str) -> Option<Message> {
        let text = str::from_utf8(&self.line).ok()?;
        let old = Members::parse(text.as_bytes()).ok()?.id?;
        let line = edit::replace(text, old, &Value::from(id).to_string());
        Message::parse(line.into_bytes()).ok()
    }

    /// A batch without its requests of this id; `None` if nothing is left of it, or if there is no such request.
    pub(crate) fn without(&self, id: &Id) -> Option<Message> {
        let messages = split_batch(&self.line).filter(|_| self.ids().contains(id))?;
        let left: Vec<&str> = messages
            .into_iter()
            .filter(|message| {
                let one = classify_one(message.as_bytes());
                !matches!(one, Ok(MessageKind::Request { id: its_id, .. }) if its_id == *id)
            })
            .collect();
        Message::parse(format!("[{}]", left.join(",")).into_bytes()).ok()
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match &self.sort {
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

/// A batch is sent whole or not at all: one that must not be sent is answered for each of its requests.
fn classify_batch(messages: &[&str]) -> Result<MessageKind, String> {
    let mut ids = Vec::new();
    let mut has_notification = false;
    let mut wrong = messages.is_empty().then_some("invalid request: the batch is empty");
    for message in messages {
        match classify_one(message.as_bytes()) {
            Ok(MessageKind::Request { id, method, .. }) => {
                if method == "initialize" {
                    wrong = Some("invalid request: initialize is never part of a batch");
                }
                ids.push(id);
            }
            Ok(MessageKind::Notification { .. }) => has_notification = true,
            Ok(MessageKind::Response) => {}
            Ok(MessageKind::Batch { .. }) | Err(_) => {
                wrong =
                    Some("invalid request: not every member of the batch is a JSON-RPC message");
            }
        }
    }
    let Some(why) = wrong else { return Ok(MessageKind::Batch { ids, has_notification }) };
    if ids.is_empty() {
        return Err(raw_error_line("null", INVALID_REQUEST, why));
    }
    let errors: Vec<String> =
        ids.iter().map(|id| raw_error_line(id.as_json(), INVALID_REQUEST, why)).collect();
    Err(format!("[{}]", errors.join(",")))
}

fn classify_one(line: &[u8]) -> Result<MessageKind, String> {
    let members = match Members::parse(line) {
        Ok(members) => members,
        Err(MembersError::NotUtf8) => {
            let why = "parse error: the line is not UTF-8";
            return Err(raw_error_line("null", PARSE_ERROR, why));
        }
        Err(MembersError::Json(error)) if error.is_data() => {
            let why = "invalid request: the line is not a JSON-RPC message";
            let id = only_id(line);
            let id = id.as_ref().map_or("null", Id::as_json);
            return Err(raw_error_line(id, INVALID_REQUEST, why));
        }
        Err(MembersError::Json(error)) => {
            return Err(raw_error_line("null", PARSE_ERROR, &format!("parse error: {error}")));
        }
    };
    let id = members.id.and_then(Id::from_json);
    match (members.method, members.id, id) {
        (Some(method), Some(_), Some(id)) => {
            let envelope = members.params.and_then(|params| RequestMeta::of(&method, params));
            Ok(MessageKind::Request { id, method: kept(method), envelope: envelope.map(Box::new) })
        }
        (Some(method), None, _) => {
            let cancels = match (method.as_ref(), members.params) {
                ("notifications/cancelled", Some(params)) => cancelled_request(params),
                _ => None,
            };
            Ok(MessageKind::Notification { method: kept(method), cancels })
        }
        (Some(_), Some(_), None) => Err(raw_error_line(
            "null",
            INVALID_REQUEST,
            "invalid request: the id must be a string or a number",
        )),
        (None, Some(_), _) if members.result.is_some() || members.error.is_some() => {
            Ok(MessageKind::Response)
        }
        (None, _, id) => Err(raw_error_line(
            id.as_ref().map_or("null", Id::as_json),
            INVALID_REQUEST,
            "invalid request: there is neither a method nor a result or error",
        )),
    }
}

/// The id of what is not a message otherwise, if it has one and no more.
fn only_id(line: &[u8]) -> Option<Id> {
    let members = Object::parse(str::from_utf8(line).ok()?)?;
    let mut ids = members.members().filter(|(name, _)| *name == "id").map(|(_, value)| value.get());
    let id = ids.next().filter(|_| ids.next().is_none())?;
    Id::from_json(id)
}

fn kept(method: Cow<'_, str>) -> Cow<'static, str> {
    match COMMON.iter().find(|common| **common == method) {
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

/// The answer to a request that failed here: what happened, and what would mend it.
pub fn error_line(id: &Id, error: &Error, redactor: &Redactor) -> String {
    let mut data = json!({ "source": "sigv4-proxy", "kind": error.kind().name() });
    if let Kind::HttpStatus(status) = error.kind() {
        data["httpStatus"] = status.into();
    }
    if let Some(aws) = error.aws_error() {
        if let Some(error_type) = &aws.error_type {
            data["awsErrorType"] = redactor.safe(error_type).into();
        }
        if let Some(request_id) = &aws.request_id {
            data["awsRequestId"] = redactor.safe(request_id).into();
        }
    }
    if let Some(hint) = error.hint_text() {
        data["hint"] = redactor.safe(hint).into();
    }
    let code = match error.kind() {
        Kind::InvalidRequest => INVALID_REQUEST,
        _ => INTERNAL_ERROR,
    };
    let message = redactor.safe(&error.to_string());
    let error = json!({ "code": code, "message": message, "data": data });
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json())
}

/// A server's own error without the secrets that it repeats; nearly always the same bytes. The id is the client's.
pub(crate) fn safe_error(line: String, redactor: &Redactor) -> String {
    let Some(safe) = redactor.safe_json(&line) else { return line };
    let id = |line| Members::parse(str::as_bytes(line)).ok().and_then(|members| members.id);
    match (id(&line), id(&safe)) {
        (Some(id), Some(changed)) if id != changed => edit::replace(&safe, changed, id),
        _ => safe,
    }
}

/// What a server is answered whose requests the client does not respond to.
pub(crate) fn too_many_requests_line(id: &Id) -> String {
    let why = "too many requests are waiting for the client already";
    raw_error_line(id.as_json(), INTERNAL_ERROR, why)
}

/// What tells a client that a subscription has ended, which only a broken stream does without a result.
pub fn cancelled_line(id: &Id, error: &Error, redactor: &Redactor) -> String {
    let reason = Value::from(redactor.safe(&error.to_string()));
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":{reason}}}}}"#,
        id.as_json()
    )
}

/// The answer to a line that is longer than allowed. `id` is what stood for its id, if that was found.
pub fn too_long_line(id: Option<&str>, max_bytes: usize) -> String {
    let why = format!(
        "invalid request: the message is longer than {max_bytes} bytes (raise --max-message-bytes)"
    );
    let id = id.and_then(|json| Id::from_json(serde_json::from_str::<&RawValue>(json).ok()?.get()));
    raw_error_line(id.as_ref().map_or("null", Id::as_json), INVALID_REQUEST, &why)
}

/// Splits what may be a batch (an array of messages, 2025-03-26) into messages.
pub(crate) fn split_batch(document: &[u8]) -> Option<Vec<&str>> {
    if !document.trim_ascii_start().starts_with(b"[") {
        return None;
    }
    let text = str::from_utf8(document).ok()?;
    let batch: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(batch.into_iter().map(RawValue::get).collect())
}

fn raw_error_line(id: &str, code: i32, message: &str) -> String {
    let error = json!({ "code": code, "message": message, "data": { "source": "sigv4-proxy" } });
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Id {
        Id::from_json(json).expect("an id")
    }

    fn sort(line: &str) -> MessageKind {
        Message::parse(line.as_bytes().to_vec()).unwrap_or_else(|e| panic!("{line}: {e}")).sort
    }

    #[test]
    fn lines_of_the_client() {
        let request = |id_json: &str, method: &str| MessageKind::Request {
            id: id(id_json),
            method: method.to_owned().into(),
            envelope: None,
        };
        assert_eq!(sort(r#"{"id":1,"method":"a"}"#), request("1", "a"));
        assert_eq!(
            sort(r#" {"method":"a\u002fb","params":[[[]]],"id":"1\/2"} "#),
            request(r#""1/2""#, "a/b")
        );
        assert_eq!(
            sort(r#"{"id":12345678901234567890123,"method":"a"}"#),
            request("12345678901234567890123", "a")
        );
        assert_eq!(sort(r#"{"id":0,"result":{}}"#), MessageKind::Response);
        assert_eq!(sort(r#"{"id":0,"error":{},"jsonrpc":"2.0"}"#), MessageKind::Response);
        assert_eq!(
            sort(r#"{"method":"notifications/cancelled","params":{"reason":"x","requestId":"7"}}"#),
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
        assert_eq!(sort(&deep), request("1", "a"));
    }

    #[test]
    fn lines_that_are_no_message() {
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
            let text = String::from_utf8_lossy(line);
            assert_eq!(
                (&answer["error"]["code"], answer["id"].to_string()),
                (&json!(code), its_id.into()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_request_under_another_id() {
        let line = r#"{"params":{"id":"x"}, "id" : 7 ,"method":"initialize","n":1.00}"#;
        let again = Message::parse(line.into()).expect("a message").under("a\"b").expect("again");
        assert_eq!(
            String::from_utf8_lossy(again.body()),
            r#"{"params":{"id":"x"}, "id" : "a\"b" ,"method":"initialize","n":1.00}"#
        );
        assert_eq!(again.ids()[0].as_json(), r#""a\"b""#);
    }

    #[test]
    fn batches() {
        let batch = |ids: &[&str], has_notification| MessageKind::Batch {
            ids: ids.iter().map(|json| id(json)).collect(),
            has_notification,
        };
        assert_eq!(
            sort(r#" [{"id":1,"method":"a"}, {"method":"n"},{"id":"1","method":"b"}]"#),
            batch(&["1", "\"1\""], true)
        );
        assert_eq!(sort(r#"[{"id":1,"result":{}},{"id":2,"result":{}}]"#), batch(&[], false));
        let answer = Message::parse(
            br#"[{"id":1,"method":"initialize"},{"id":2,"method":"ping"}]"#.to_vec(),
        )
        .expect_err("initialize stands alone");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((&answer[0]["id"], &answer[1]["id"]), (&json!(1), &json!(2)));
        assert_eq!(answer[1]["error"]["code"], INVALID_REQUEST);
    }

    #[test]
    fn a_batch_without_one_of_its_requests() {
        let batch = r#"[{"id":1,"method":"a"}, {"method":"n"},{"id":"1", "method":"b"},{"id":1.0,"method":"c"}]"#;
        let batch = Message::parse(batch.into()).expect("a batch");
        let left = batch.without(&id("1")).expect("more than that");
        assert_eq!(left.body(), br#"[{"method":"n"},{"id":"1", "method":"b"}]"#);
        assert_eq!(left.without(&id("\"1\"")).expect("more").body(), br#"[{"method":"n"}]"#);
        assert!(left.without(&id("1")).is_none());
        let one = Message::parse(br#"[{"id":1,"method":"a"}]"#.to_vec()).expect("a batch");
        assert!(one.without(&id("1")).is_none());
    }
}
