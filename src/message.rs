//! `Message`: what one JSON-RPC line is. And the error lines we write ourselves.
//!
//! Parses only to route: the bytes of a message are relayed as they came, never re-serialised.

use crate::envelope::Envelope;
use crate::error::{Error, Kind};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

/// JSON-RPC 2.0 error codes that this program gives.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
/// Codes from -32000 to -32099 belong to the protocol and to servers, so our own failures are "internal".
const INTERNAL_ERROR: i32 = -32603;

/// A request's id, by type and value: `1` and `"1"` are two ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// Canonical JSON, so that `"a/b"` and `"a\/b"` are one id.
    json: String,
}

impl Id {
    /// `None` for what JSON-RPC does not allow as the id of a request.
    fn from_raw(raw: &RawValue) -> Option<Id> {
        match raw.get().as_bytes().first()? {
            b'"' => {
                let text: String = serde_json::from_str(raw.get()).ok()?;
                Some(Id { json: Value::from(text).to_string() })
            }
            // As written: a number of 20 digits must not go through a float.
            b'-' | b'0'..=b'9' => Some(Id { json: raw.get().to_owned() }),
            _ => None,
        }
    }

    /// The id as it stands in a message.
    pub fn as_json(&self) -> &str {
        &self.json
    }
}

/// One line from the client.
#[derive(Debug)]
pub struct Message {
    line: Vec<u8>,
    sort: Sort,
}

/// What the line is.
#[derive(Debug, PartialEq, Eq)]
pub enum Sort {
    Request {
        id: Id,
        method: String,
        /// What a request of 2026-07-28 or later says of itself; older ones say nothing.
        envelope: Option<Box<Envelope>>,
    },
    Notification {
        method: String,
        /// The request that `notifications/cancelled` takes back.
        cancels: Option<Id>,
    },
    /// The client's answer to a request of the server.
    Response,
}

impl Message {
    /// Reads one line, its end removed. The error is the line to answer with.
    ///
    /// ```
    /// use sigv4_proxy::message::{Message, Sort};
    /// let message = Message::parse(br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#.to_vec()).unwrap();
    /// assert!(matches!(message.sort(), Sort::Request { method, .. } if method == "ping"));
    /// assert!(Message::parse(b"{oops".to_vec()).unwrap_err().contains("-32700"));
    /// ```
    pub fn parse(line: Vec<u8>) -> Result<Message, String> {
        let sort = {
            let text = std::str::from_utf8(&line).map_err(|_| {
                raw_error_line("null", PARSE_ERROR, "parse error: the line is not UTF-8")
            })?;
            classify(text)?
        };
        Ok(Message { line, sort })
    }

    pub fn sort(&self) -> &Sort {
        &self.sort
    }

    /// The bytes to send.
    pub fn body(&self) -> &[u8] {
        &self.line
    }

    /// The id of a request.
    pub fn id(&self) -> Option<&Id> {
        match &self.sort {
            Sort::Request { id, .. } => Some(id),
            _ => None,
        }
    }

    /// What a request of 2026-07-28 or later says of itself.
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.sort {
            Sort::Request { envelope, .. } => envelope.as_deref(),
            _ => None,
        }
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match &self.sort {
            Sort::Request { method, .. } | Sort::Notification { method, .. } => Some(method),
            Sort::Response => None,
        }
    }
}

fn classify(text: &str) -> Result<Sort, String> {
    let members: Members<'_> = match serde_json::from_str(text) {
        Ok(members) => members,
        Err(error) if error.is_data() => {
            let why = if text.trim_start().starts_with('[') {
                "invalid request: batches are not part of this protocol revision; send one message a line"
            } else {
                "invalid request: the line is not a JSON-RPC message"
            };
            return Err(raw_error_line("null", INVALID_REQUEST, why));
        }
        Err(error) => {
            return Err(raw_error_line("null", PARSE_ERROR, &format!("parse error: {error}")));
        }
    };
    let id = members.id.and_then(Id::from_raw);
    let answer_to = id.as_ref().map_or("null", Id::as_json);
    match (members.method, members.id, id.clone()) {
        (Some(method), Some(_), Some(id)) => {
            let envelope = members.params.and_then(|params| Envelope::of(&method, params.get()));
            Ok(Sort::Request { id, method: method.into_owned(), envelope: envelope.map(Box::new) })
        }
        (Some(method), None, _) => {
            let cancels = match (method.as_ref(), members.params) {
                ("notifications/cancelled", Some(params)) => cancelled_request(params),
                _ => None,
            };
            Ok(Sort::Notification { method: method.into_owned(), cancels })
        }
        (Some(_), Some(_), None) => Err(raw_error_line(
            "null",
            INVALID_REQUEST,
            "invalid request: the id must be a string or a number",
        )),
        (None, Some(_), _) if members.result.is_some() || members.error.is_some() => {
            Ok(Sort::Response)
        }
        (None, ..) => Err(raw_error_line(
            answer_to,
            INVALID_REQUEST,
            "invalid request: there is neither a method nor a result or error",
        )),
    }
}

fn cancelled_request(params: &RawValue) -> Option<Id> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    let params: Params<'_> = serde_json::from_str(params.get()).ok()?;
    Id::from_raw(params.request_id)
}

/// The members of a message that routing needs.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A member that is there, also when it is `null`.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// One message from the server, as far as the relay must know it.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to the request; `protocol_version` is what an initialize result says.
    Answer { protocol_version: Option<String> },
    /// An error that belongs to the request but does not say so properly: the line that it should have been.
    Mended(String),
    /// An answer to some other request.
    Stray,
    /// A request or notification of the server.
    Other,
}

impl Incoming {
    /// Reads a message that came on the stream or in the body of the answer to the request `id`.
    ///
    /// An error without a usable id is taken for this request's, and `"result":null` beside an error is
    /// dropped: AWS's front ends send both, and strict clients refuse them.
    pub fn parse(text: &str, id: Option<&Id>) -> Result<Incoming, Error> {
        let members: Members<'_> = serde_json::from_str(text).map_err(|error| {
            let what = if error.is_data() { "no JSON-RPC message" } else { "no JSON" };
            Error::new(Kind::BadAnswer, format!("the server's answer is {what}: {error}"))
        })?;
        if members.method.is_some() {
            return Ok(Incoming::Other);
        }
        let its_id = members.id.and_then(Id::from_raw);
        let is_ours = id.is_some() && its_id.as_ref() == id;
        match (members.result, members.error, id) {
            (None, None, _) => Err(Error::new(
                Kind::BadAnswer,
                "the server's answer has neither a result nor an error",
            )),
            (Some(result), Some(_), _) if result.get() != "null" => Err(Error::new(
                Kind::BadAnswer,
                "the server's answer has both a result and an error",
            )),
            (None, Some(_), _) if is_ours => Ok(Incoming::Answer { protocol_version: None }),
            (_, Some(error), Some(id)) if is_ours || has_no_say(members.id) => {
                Ok(Incoming::Mended(with_id(id, error)))
            }
            (Some(result), None, _) if is_ours => {
                Ok(Incoming::Answer { protocol_version: protocol_version(result) })
            }
            _ => Ok(Incoming::Stray),
        }
    }

    /// The error of a JSON-RPC error body that came with an HTTP error status, under the id of the request it
    /// answers. `None` when the body is no such thing.
    pub fn error_body(text: &str, id: &Id) -> Option<String> {
        #[derive(Deserialize)]
        struct Shape<'a> {
            #[serde(rename = "code")]
            _code: i64,
            #[serde(borrow, rename = "message")]
            _message: Cow<'a, str>,
        }

        let members: Members<'_> = serde_json::from_str(text).ok()?;
        let error = members.error.filter(|_| members.method.is_none())?;
        serde_json::from_str::<Shape<'_>>(error.get()).ok()?;
        Some(with_id(id, error))
    }
}

/// No id, `null` and `""` name no request.
fn has_no_say(id: Option<&RawValue>) -> bool {
    id.is_none_or(|id| matches!(id.get(), "null" | "\"\""))
}

fn with_id(id: &Id, error: &RawValue) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{}}}"#, id.as_json(), error.get())
}

fn protocol_version(result: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct InitializeResult {
        #[serde(rename = "protocolVersion")]
        protocol_version: Option<String>,
    }
    // Only an initialize result begins a session, and it is small: a large result is not read twice.
    if result.get().len() > 1024 * 1024 || !result.get().contains("\"protocolVersion\"") {
        return None;
    }
    serde_json::from_str::<InitializeResult>(result.get()).ok()?.protocol_version
}

/// Splits what may be a batch (an array of messages, 2025-03-26) into messages.
pub fn split_batch(text: &str) -> Option<Vec<&str>> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let batch: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(batch.into_iter().map(RawValue::get).collect())
}

/// Makes one line of a JSON document: a raw newline in it can only be white space between tokens.
pub fn one_line(mut document: Vec<u8>) -> Vec<u8> {
    for byte in &mut document {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    document
}

/// The answer to a request that failed here: what happened, and what would mend it.
pub fn error_line(id: &Id, error: &Error) -> String {
    let mut data = json!({ "source": "sigv4-proxy", "kind": error.kind().name() });
    if let Kind::Refused(status) = error.kind() {
        data["httpStatus"] = status.into();
    }
    if let Some(aws) = error.aws_error() {
        if let Some(error_type) = &aws.error_type {
            data["awsErrorType"] = error_type.as_str().into();
        }
        if let Some(request_id) = &aws.request_id {
            data["awsRequestId"] = request_id.as_str().into();
        }
    }
    if let Some(hint) = error.what_to_do() {
        data["hint"] = hint.into();
    }
    let error = json!({ "code": INTERNAL_ERROR, "message": error.to_string(), "data": data });
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json())
}

/// The answer to a line that is longer than allowed. `id` is what stood for its id, if that was found.
pub fn too_long_line(id: Option<&str>, max_bytes: usize) -> String {
    let why = format!(
        "invalid request: the message is longer than {max_bytes} bytes (raise --max-message-bytes)"
    );
    let id = id.and_then(|raw| Id::from_raw(serde_json::from_str(raw).ok()?));
    raw_error_line(id.as_ref().map_or("null", Id::as_json), INVALID_REQUEST, &why)
}

fn raw_error_line(id: &str, code: i32, message: &str) -> String {
    let error = json!({ "code": code, "message": message, "data": { "source": "sigv4-proxy" } });
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Id {
        Id { json: json.to_owned() }
    }

    fn sort(line: &str) -> Sort {
        Message::parse(line.as_bytes().to_vec()).unwrap_or_else(|e| panic!("{line}: {e}")).sort
    }

    #[test]
    fn lines_of_the_client() {
        let request = |id_json: &str, method: &str| Sort::Request {
            id: id(id_json),
            method: method.into(),
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
        assert_eq!(sort(r#"{"id":0,"result":{}}"#), Sort::Response);
        assert_eq!(sort(r#"{"id":0,"error":{},"jsonrpc":"2.0"}"#), Sort::Response);
        assert_eq!(
            sort(r#"{"method":"notifications/cancelled","params":{"reason":"x","requestId":"7"}}"#),
            Sort::Notification {
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
            (b"{\"id\":1}", INVALID_REQUEST, "1"),
            (b"{\"id\":null,\"method\":\"a\"}", INVALID_REQUEST, "null"),
            (b"{\"id\":[1],\"method\":\"a\"}", INVALID_REQUEST, "null"),
            (b"{\"id\":1,\"method\":2}", INVALID_REQUEST, "null"),
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
    fn messages_of_the_server() {
        let answer = |protocol_version| Incoming::Answer { protocol_version };
        for (text, expected) in [
            (r#"{"id":1,"result":{}}"#, answer(None)),
            (
                r#"{"id":1,"result":{"protocolVersion":"2025-06-18"}}"#,
                answer(Some("2025-06-18".into())),
            ),
            (r#"{"id":1,"error":{"code":1,"message":"x"}}"#, answer(None)),
            (r#"{"id":"1","result":{}}"#, Incoming::Stray),
            (r#"{"id":2,"error":{}}"#, Incoming::Stray),
            (r#"{"id":2,"method":"ping"}"#, Incoming::Other),
            (r#"{"method":"notifications/progress"}"#, Incoming::Other),
            (
                r#"{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600, "message":"x"}}"#,
                Incoming::Mended(
                    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600, "message":"x"}}"#.into(),
                ),
            ),
            (
                r#"{"id":1,"result":null,"error":{"code":1}}"#,
                Incoming::Mended(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#.into()),
            ),
            (
                r#"{"error":{"code":1}}"#,
                Incoming::Mended(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#.into()),
            ),
        ] {
            assert_eq!(Incoming::parse(text, Some(&id("1"))).expect(text), expected, "{text}");
        }
        for text in
            ["", "{", "{}", "[]", "1", r#"{"id":1}"#, r#"{"id":1,"result":{},"error":{}}"#, "{}{}"]
        {
            let error = Incoming::parse(text, Some(&id("1"))).expect_err(text);
            assert_eq!(error.kind(), Kind::BadAnswer, "{text}");
        }
    }

    #[test]
    fn error_bodies() {
        let body =
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
        let line =
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32001,"message":"Session not found"}}"#;
        assert_eq!(Incoming::error_body(body, &id("\"a\"")).as_deref(), Some(line));
        for body in [
            "",
            "<html>",
            r#"{"message":"Forbidden"}"#,
            r#"{"error":"nope"}"#,
            r#"{"error":{"message":"x"}}"#,
        ] {
            assert_eq!(Incoming::error_body(body, &id("1")), None, "{body}");
        }
    }

    #[test]
    fn newlines_become_spaces_and_nothing_else_changes() {
        let document = b"{\n  \"n\": 12345678901234567890.10,\r\n \"s\": \"\\n\\u00e9\"}".to_vec();
        assert_eq!(
            one_line(document),
            b"{   \"n\": 12345678901234567890.10,   \"s\": \"\\n\\u00e9\"}"
        );
    }
}
