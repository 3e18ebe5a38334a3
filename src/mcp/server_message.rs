//! `ServerMessage`: one message of the server, matched with the requests that wait.
//!
//! It is parsed only to route it, and relayed unchanged if it is valid JSON-RPC. Invalid messages are corrected: servers omit
//! `jsonrpc`, write `null` for absent members, and errors that are not objects; strict clients reject all of that.

use crate::error::{Error, Kind};
use crate::json::edit;
use crate::json::members::{Members, MembersError};
use crate::json::object::{Object, OnlyObject};
use crate::mcp::error_object;
use crate::mcp::id::Id;
use crate::mcp::message::{self, cancelled_request};
use serde::Deserialize;

#[derive(Debug, PartialEq, Eq)]
pub struct ServerMessage {
    pub kind: ServerMessageKind,
    /// The message as valid JSON-RPC with the client's spelling of the id, if it came differently.
    pub corrected: Option<String>,
}

/// The kind of a server message. `index` is the position of its id among the requests.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerMessageKind {
    Result {
        index: usize,
    },
    Error {
        index: usize,
        code: i64,
    },
    /// It has the id of this request, but is not a response.
    BadResponse {
        index: usize,
        why: String,
    },
    /// A response to another request.
    OtherResponse {
        is_error: bool,
    },
    /// A request of the server, which waits for the client's response.
    Request {
        id: Id,
        is_ping: bool,
    },
    /// A request of the server whose id is neither a string nor a number, so that it cannot have a response.
    InvalidRequest,
    Notification {
        /// The request of the server that it cancels.
        cancels: Option<Id>,
    },
    /// Something else, such as a heartbeat.
    NotAMessage {
        why: String,
        /// It is the beginning of JSON.
        is_cut_short: bool,
    },
}

impl ServerMessage {
    /// Parses a message that came in response to the requests `ids`. An error without a usable id belongs to the only
    /// request.
    pub fn parse(text: &[u8], ids: &[Id]) -> ServerMessage {
        ServerMessage::parse_after(&[], text, ids)
    }

    /// Parses a message when the requests that are `answered` have their responses. Of requests with one id the first
    /// that still waits is meant.
    pub(crate) fn parse_after(answered: &[bool], text: &[u8], ids: &[Id]) -> ServerMessage {
        let members = match Members::parse(text) {
            Ok(members) => members,
            Err(error) => return ServerMessage::not_a_message(error),
        };
        let is_present = |value: Option<&[u8]>| value.is_some_and(|value| value != b"null");
        let (has_result, has_error) = (is_present(members.result), is_present(members.error));
        if members.method.is_some() && !has_result && !has_error {
            return ServerMessage::of_server(text, &members);
        }
        let index = members.id.and_then(|json| index_of(json, ids, answered));
        let contradiction = match (&members.method, has_result, has_error) {
            // Parsers differ in which of the two they take it for, and a call in it was not judged.
            (Some(_), ..) => Some("is both a request and a response"),
            (None, true, true) => Some("has both a result and an error"),
            (None, false, false) if members.result.is_none() => {
                Some("has no method, result or error")
            }
            _ => None,
        };
        if let Some(what) = contradiction {
            let why = format!("the server's message {what}");
            let kind = match index {
                Some(index) => ServerMessageKind::BadResponse { index, why },
                None => ServerMessageKind::NotAMessage { why, is_cut_short: false },
            };
            return ServerMessage { kind, corrected: None };
        }
        match members.error.filter(|_| has_error) {
            Some(error) => error_response(text, &members, error, index, ids),
            None => result_response(text, &members, index, ids),
        }
    }

    /// A request or notification of the server.
    fn of_server(text: &[u8], members: &Members<'_>) -> ServerMessage {
        let is_method = |method: &str| members.method.as_deref() == Some(method);
        let kind = match members.id.filter(|id| *id != "null") {
            Some(id) => match Id::from_json(id) {
                Some(id) => ServerMessageKind::Request { id, is_ping: is_method("ping") },
                None => ServerMessageKind::InvalidRequest,
            },
            None if is_method("notifications/cancelled") => ServerMessageKind::Notification {
                cancels: members.params.and_then(cancelled_request),
            },
            None => ServerMessageKind::Notification { cancels: None },
        };
        let corrected = (!is_valid(members)).then(|| corrected(text, &[]));
        ServerMessage { kind, corrected }
    }

    fn not_a_message(error: MembersError) -> ServerMessage {
        let mut is_cut_short = false;
        let why = match error {
            MembersError::NotUtf8 => "the server's message is not UTF-8".to_owned(),
            MembersError::Json(error) if error.is_data() => {
                format!("the server's message is not JSON-RPC: {error}")
            }
            MembersError::Json(error) => {
                is_cut_short = error.is_eof();
                format!("the server's message is not JSON: {error}")
            }
        };
        let kind = ServerMessageKind::NotAMessage { why, is_cut_short };
        ServerMessage { kind, corrected: None }
    }
}

fn error_response(
    text: &[u8],
    members: &Members<'_>,
    error: &[u8],
    index: Option<usize>,
    ids: &[Id],
) -> ServerMessage {
    let error = error_object::parse(&String::from_utf8_lossy(error));
    // An absent id, `null` and `""` do not name a request.
    let has_no_id = members.id.is_none_or(|id| matches!(id, "null" | "\"\""));
    let index = index.or((has_no_id && ids.len() == 1).then_some(0));
    let id = index.map(|index| &ids[index]);
    let is_spelled = id.is_none_or(|id| members.id.is_some_and(|json| id.is_spelt(json)));
    let corrected = (!is_valid(members) || !is_spelled || error.corrected.is_some()).then(|| {
        let mut changes = vec![("id", id.map(Id::as_json).or(members.id).unwrap_or("null"))];
        changes.extend(error.corrected.as_deref().map(|error| ("error", error)));
        corrected(text, &changes)
    });
    let kind = match index {
        Some(index) => ServerMessageKind::Error { index, code: error.code },
        None => ServerMessageKind::OtherResponse { is_error: true },
    };
    ServerMessage { kind, corrected }
}

fn result_response(
    text: &[u8],
    members: &Members<'_>,
    index: Option<usize>,
    ids: &[Id],
) -> ServerMessage {
    let Some(index) = index else {
        let kind = ServerMessageKind::OtherResponse { is_error: false };
        return ServerMessage { kind, corrected: None };
    };
    let (id, spelled) = (&ids[index], members.id.unwrap_or_default());
    let corrected = if !is_valid(members) {
        Some(corrected(text, &[("id", id.as_json())]))
    } else if !id.is_spelt(spelled) {
        Some(edit::replace(str::from_utf8(text).unwrap_or_default(), spelled, id.as_json()))
    } else {
        None
    };
    ServerMessage { kind: ServerMessageKind::Result { index }, corrected }
}

/// Whether a message that has what it needs also has nothing else.
fn is_valid(members: &Members<'_>) -> bool {
    members.jsonrpc == Some(r#""2.0""#) && !members.has_null
}

/// The message as valid JSON-RPC: it names the version, and has no null members and these values in place of its own.
/// Values stay as they are written.
fn corrected(text: &[u8], values: &[(&str, &str)]) -> String {
    let text = str::from_utf8(text).unwrap_or_default();
    let Some(object) = Object::parse(text) else { return text.to_owned() };
    let is_result_null = ["method", "error"].iter().all(|name| object.get_non_null(name).is_none());
    let kept = object.members().filter(|(name, value)| {
        let is_absent = value.get() == "null" && message::MEMBERS.contains(name);
        let is_changed = *name == "jsonrpc" || values.iter().any(|(changed, _)| changed == name);
        !is_changed && (!is_absent || (*name == "result" && is_result_null))
    });
    let kept = kept.map(|(name, value)| (name, value.get()));
    let members = [("jsonrpc", r#""2.0""#)].into_iter().chain(values.iter().copied()).chain(kept);
    let members: Vec<String> =
        members.map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// The request that a response with this id belongs to: one that waits before one that has its response, one with this
/// spelling of the id before one with this value. Some servers make a string of a number.
fn index_of(json: &str, ids: &[Id], answered: &[bool]) -> Option<usize> {
    let is_waiting = |index: usize| answered.get(index) != Some(&true);
    let waiting = || ids.iter().enumerate().filter(|(index, _)| is_waiting(*index));
    let find = |is_it: &dyn Fn(&Id) -> bool| waiting().find(|(_, id)| is_it(id));
    let found = find(&|id| id.is_spelt(json)).or_else(|| find(&|id| id.is(json)));
    if let Some((index, _)) = found {
        return Some(index);
    }
    if json.starts_with('"') {
        let mut numbers = waiting().filter(|(_, id)| id.is_number_in(json));
        if let (Some((index, _)), None) = (numbers.next(), numbers.next()) {
            return Some(index);
        }
    }
    ids.iter().position(|id| id.is(json))
}

/// A JSON-RPC error in the body of an error response, or under the id of another request.
#[derive(Debug)]
pub struct ErrorBody {
    pub code: i64,
    pub message: String,
    /// Valid JSON.
    error: String,
}

impl ErrorBody {
    /// Returns `None` for bodies that are not JSON-RPC. Without `jsonrpc`, the error must have a code and a message: other
    /// protocols have a member `error`, too.
    pub fn parse(text: &str) -> Option<ErrorBody> {
        let members = Members::parse(text.as_bytes()).ok()?;
        let error = members.error.filter(|error| members.method.is_none() && *error != b"null")?;
        let error = str::from_utf8(error).ok()?;
        let parsed = error_object::parse(error);
        if members.jsonrpc.is_none() && parsed.corrected.is_some() {
            return None;
        }
        let error_object::ErrorObject { code, message, corrected } = parsed;
        Some(ErrorBody { code, message, error: corrected.unwrap_or_else(|| error.to_owned()) })
    }

    /// The error with this advice after its message.
    #[must_use]
    pub(crate) fn with_advice(self, advice: &str) -> ErrorBody {
        let message = format!("{} ({advice})", self.message);
        let json = serde_json::Value::from(&*message).to_string();
        let known = Object::parse(&self.error).and_then(|error| error.get("message"));
        let error = known.map_or_else(
            || self.error.clone(),
            |known| edit::replace(&self.error, known.get(), &json),
        );
        ErrorBody { message, error, ..self }
    }

    /// The response with this error to this request.
    pub fn with_id(&self, id: &Id) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"error":{}}}"#, id.as_json(), self.error)
    }
}

/// The error of a response as an error of this program.
pub(crate) fn server_error(code: i64, message: &str) -> Error {
    Error::new(Kind::InvalidResponse, format!("error {code} of the server: {message}"))
}

/// The protocol version in the response to `initialize`.
pub(crate) fn protocol_version(response: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Response {
        result: OnlyObject<InitializeResult>,
    }
    #[derive(Deserialize)]
    struct InitializeResult {
        #[serde(rename = "protocolVersion")]
        protocol_version: String,
    }
    let response: Response = serde_json::from_slice(response).ok()?;
    Some(response.result.0.protocol_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Id {
        Id::from_json(json).expect("an id")
    }

    fn parsed(text: &str, ids: &[Id]) -> (ServerMessageKind, Option<String>) {
        let ServerMessage { kind, corrected } = ServerMessage::parse(text.as_bytes(), ids);
        (kind, corrected)
    }

    const RESULT: ServerMessageKind = ServerMessageKind::Result { index: 0 };

    fn failed(code: i64) -> ServerMessageKind {
        ServerMessageKind::Error { index: 0, code }
    }

    #[test]
    fn valid_messages_are_not_corrected() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, RESULT),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#, failed(1)),
            (
                r#"{"jsonrpc":"2.0","id":"2","result":{}}"#,
                ServerMessageKind::OtherResponse { is_error: false },
            ),
            (
                r#"{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"x"}}"#,
                ServerMessageKind::OtherResponse { is_error: true },
            ),
            (
                r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
                ServerMessageKind::Request { id: id("2"), is_ping: true },
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a\/b","method":"roots\/list"}"#,
                ServerMessageKind::Request { id: id("\"a/b\""), is_ping: false },
            ),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, ServerMessageKind::InvalidRequest),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#,
                ServerMessageKind::Notification { cancels: None },
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications\/cancelled","params":{"requestId":2}}"#,
                ServerMessageKind::Notification { cancels: Some(id("2")) },
            ),
        ] {
            assert_eq!(parsed(text, &[id("1")]), (expected, None), "{text}");
        }
    }

    #[test]
    fn members_that_are_null_or_missing_are_corrected() {
        let refused = r#"{"code":-32600, "message":"x"}"#;
        let refused_line = &format!(r#"{{"jsonrpc":"2.0","id":1,"error":{refused}}}"#);
        for (text, expected, corrected) in [
            (r#"{"id":1,"result":{ }}"#, RESULT, r#"{"jsonrpc":"2.0","id":1,"result":{ }}"#),
            (
                r#"{"jsonrpc":"1.0","id":1,"result":[1.0],"error":null,"x":null}"#,
                RESULT,
                r#"{"jsonrpc":"2.0","id":1,"result":[1.0],"x":null}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":null,"params":null,"err\u006fr":null,"result":{}}"#,
                RESULT,
                r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":null,"error":null}"#,
                RESULT,
                r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            ),
            (
                &format!(r#"{{"jsonrpc":"2.0","id":"","result":null,"error":{refused}}}"#),
                failed(-32600),
                refused_line,
            ),
            (
                &format!(r#"{{"id":1,"result":null,"error":{refused}}}"#),
                failed(-32600),
                refused_line,
            ),
            (&format!(r#"{{"error":{refused}}}"#), failed(-32600), refused_line),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":"boom"}"#,
                failed(-32603),
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"boom"}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"m","params":{"a":null},"result":null}"#,
                ServerMessageKind::Notification { cancels: None },
                r#"{"jsonrpc":"2.0","method":"m","params":{"a":null}}"#,
            ),
            (
                r#"{"id":7,"method":"roots/list","params":null}"#,
                ServerMessageKind::Request { id: id("7"), is_ping: false },
                r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#,
            ),
        ] {
            assert_eq!(parsed(text, &[id("1")]), (expected, Some(corrected.to_owned())), "{text}");
        }
    }

    #[test]
    fn non_messages_are_recognised() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "1",
            "null",
            "ping",
            "[DONE]",
            r#"{"type":"heartbeat"}"#,
            r#"{"id":2}"#,
            r#"{"id":null,"error":null}"#,
            r#"{"id":2,"result":{},"error":{}}"#,
            r#"{"method":"x","error":{"code":1}}"#,
            r#"{"method":7,"id":1}"#,
            "{}{}",
        ] {
            let (kind, _) = parsed(text, &[id("1")]);
            assert!(matches!(kind, ServerMessageKind::NotAMessage { .. }), "{text}: {kind:?}");
        }
        for text in [
            r#"{"id":1}"#,
            r#"{"id":1,"error":null}"#,
            r#"{"id":1,"result":{},"error":{}}"#,
            r#"{"id":1,"method":"x","result":{}}"#,
        ] {
            let (kind, _) = parsed(text, &[id("2"), id("1")]);
            let is_bad = matches!(kind, ServerMessageKind::BadResponse { index: 1, .. });
            assert!(is_bad, "{text}: {kind:?}");
        }
    }

    #[test]
    fn versions() {
        let answer = r#"{"id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
        assert_eq!(protocol_version(answer.as_bytes()).as_deref(), Some("2025-06-18"));
        assert_eq!(protocol_version(br#"{"id":1,"result":{"protocolVersion":7}}"#), None);
        assert_eq!(protocol_version(br#"{"id":1,"result":{}}"#), None);
    }

    #[test]
    fn error_bodies() {
        let body =
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
        let line =
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32001,"message":"Session not found"}}"#;
        let read = ErrorBody::parse(body).expect("a JSON-RPC error");
        assert_eq!((read.code, read.with_id(&id("\"a\"")).as_str()), (-32001, line));
        let read = ErrorBody::parse(r#"{"jsonrpc":"2.0","error":"boom"}"#).expect("an error");
        let line = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"boom"}}"#;
        assert_eq!(read.with_id(&id("1")), line);
        for body in [
            "",
            "<html>",
            r#"{"message":"Forbidden"}"#,
            r#"{"error":"nope"}"#,
            r#"{"error":{"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","error":null}"#,
        ] {
            assert!(ErrorBody::parse(body).is_none(), "{body}");
        }
    }

    #[test]
    fn responses_to_a_batch_are_distinguished() {
        let ids = [id("1"), id("\"1\"")];
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":"1","result":{}}"#, ServerMessageKind::Result { index: 1 }),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-5,"message":""}}"#, failed(-5)),
            (
                r#"{"jsonrpc":"2.0","id":"x","error":{"code":-5,"message":""}}"#,
                ServerMessageKind::OtherResponse { is_error: true },
            ),
        ] {
            assert_eq!(parsed(text, &ids), (expected, None), "{text}");
        }
    }

    #[test]
    fn an_id_is_known_by_its_value() {
        let result = |index, corrected: Option<&str>| ServerMessage {
            kind: ServerMessageKind::Result { index },
            corrected: corrected.map(|rest| format!(r#"{{"jsonrpc":"2.0","id":{rest}}}"#)),
        };
        let other = || ServerMessage {
            kind: ServerMessageKind::OtherResponse { is_error: false },
            corrected: None,
        };
        let ids = |ids: &[&str]| ids.iter().map(|json| id(json)).collect::<Vec<_>>();
        for (asked, answered, text, expected) in [
            (
                &["1.0"][..],
                &[][..],
                r#"{"jsonrpc":"2.0","id":1, "result":{}}"#,
                result(0, Some(r#"1.0, "result":{}"#)),
            ),
            (&["1", "1.0"], &[], r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#, result(1, None)),
            (
                &["1", "1.0"],
                &[true, false],
                r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
                result(1, Some(r#"1.0,"result":{}"#)),
            ),
            (&["5", "5"], &[true], r#"{"jsonrpc":"2.0","id":5,"result":{}}"#, result(1, None)),
            (&["5"], &[true], r#"{"jsonrpc":"2.0","id":5,"result":{}}"#, result(0, None)),
            (
                &["7"],
                &[],
                r#"{"jsonrpc":"2.0","id":"7","result":{}}"#,
                result(0, Some(r#"7,"result":{}"#)),
            ),
            (&["7", "\"7\""], &[], r#"{"jsonrpc":"2.0","id":"7","result":{}}"#, result(1, None)),
            (
                &["7", "\"7\""],
                &[false, true],
                r#"{"jsonrpc":"2.0","id":"7","result":{}}"#,
                result(0, Some(r#"7,"result":{}"#)),
            ),
            (&["7", "7.0"], &[], r#"{"jsonrpc":"2.0","id":"7","result":{}}"#, other()),
            (&["7"], &[], r#"{"jsonrpc":"2.0","id":"seven","result":{}}"#, other()),
            (&["\"7\""], &[], r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, other()),
        ] {
            let found = ServerMessage::parse_after(answered, text.as_bytes(), &ids(asked));
            assert_eq!(found, expected, "{asked:?} {answered:?} {text}");
        }
    }
}
