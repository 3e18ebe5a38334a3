//! `ServerMessage`: what one message of the server is to the requests that wait.
//!
//! It is parsed only to route it, and to correct what AWS front ends get wrong in their errors.

use crate::error::{Error, Kind};
use crate::json::edit;
use crate::json::members::{Members, MembersError};
use crate::json::object::OnlyObject;
use crate::mcp::id::Id;
use crate::mcp::message::cancelled_request;
use serde::Deserialize;
use std::borrow::Cow;

/// One message from the server, as far as the relay must know it. `index` is that of the id among those asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// A result, and the line that it should have been if it has another spelling of the id.
    Result { index: usize, corrected: Option<String> },
    /// An error, and the line that it should have been if it is broken.
    Error { index: usize, code: Option<i64>, corrected: Option<String> },
    /// An answer to some other request.
    OtherResponse,
    /// A request of the server, which waits for the client's response.
    Request { id: Id, is_ping: bool },
    /// A request of the server whose id is neither a string nor a number, so that nobody can respond to it.
    NoRequest,
    /// A notification of the server, and the request of its own that it cancels.
    Notification { cancels: Option<Id> },
}

impl ServerMessage {
    /// Reads a message that came on the stream or in the body of the answer to the requests `ids`.
    ///
    /// An error without a usable id is taken for that of the only request, and `"result":null` beside an error is
    /// dropped: AWS's front ends send both, and strict clients refuse them.
    pub fn parse(text: &[u8], ids: &[Id]) -> Result<ServerMessage, Error> {
        ServerMessage::parse_after(&[], text, ids)
    }

    /// The same where the ids at the places `answered` have had their answers. Of requests with one id the first that
    /// still waits is meant.
    pub(crate) fn parse_after(
        answered: &[usize],
        text: &[u8],
        ids: &[Id],
    ) -> Result<ServerMessage, Error> {
        let members = Members::parse(text).map_err(|error| {
            let (what, error) = match error {
                MembersError::NotUtf8 => {
                    return Error::new(Kind::InvalidResponse, "the server's answer is not UTF-8");
                }
                MembersError::Json(error) if error.is_data() => ("no JSON-RPC message", error),
                MembersError::Json(error) => ("no JSON", error),
            };
            Error::new(Kind::InvalidResponse, format!("the server's answer is {what}: {error}"))
        })?;
        if let Some(method) = members.method {
            // Clients differ in which of the two they take it for, and what one takes for an answer was not judged as one.
            if [members.result, members.error].iter().flatten().any(|value| *value != b"null") {
                let what = "the server's message is both a request and an answer";
                return Err(Error::new(Kind::InvalidResponse, what));
            }
            return Ok(match members.id.filter(|id| *id != "null") {
                Some(id) => match Id::from_json(id) {
                    Some(id) => ServerMessage::Request { id, is_ping: method == "ping" },
                    None => ServerMessage::NoRequest,
                },
                None if method == "notifications/cancelled" => ServerMessage::Notification {
                    cancels: members.params.and_then(cancelled_request),
                },
                None => ServerMessage::Notification { cancels: None },
            });
        }
        let ours = members.id.and_then(|json| index_of(json, ids, answered));
        let is_spelt_so = |index: usize| members.id.is_some_and(|json| ids[index].is_spelt(json));
        match (members.result, members.error) {
            (None, None) => Err(Error::new(
                Kind::InvalidResponse,
                "the server's answer has neither a result nor an error",
            )),
            (Some(result), Some(_)) if result != b"null" => Err(Error::new(
                Kind::InvalidResponse,
                "the server's answer has both a result and an error",
            )),
            (result, Some(error)) => {
                let index = match (ours, ids) {
                    (Some(index), _) => index,
                    (None, [_]) if has_no_say(members.id) => 0,
                    _ => return Ok(ServerMessage::OtherResponse),
                };
                let is_broken = !is_spelt_so(index) || result.is_some();
                let corrected = is_broken.then(|| error_with_id(&ids[index], error));
                Ok(ServerMessage::Error { index, code: error_code(error), corrected })
            }
            (Some(_), None) => Ok(match ours {
                Some(index) if is_spelt_so(index) => {
                    ServerMessage::Result { index, corrected: None }
                }
                Some(index) => {
                    let text = str::from_utf8(text).unwrap_or_default();
                    let its_id = members.id.unwrap_or_default();
                    let corrected = edit::replace(text, its_id, ids[index].as_json());
                    ServerMessage::Result { index, corrected: Some(corrected) }
                }
                None => ServerMessage::OtherResponse,
            }),
        }
    }
}

/// Which request an answer with this id is for: one that waits rather than one that was answered, one that spells its
/// id like this rather than one that has it by value. Some servers make a string of a number.
fn index_of(json: &str, ids: &[Id], answered: &[usize]) -> Option<usize> {
    let waiting = || ids.iter().enumerate().filter(|(index, _)| !answered.contains(index));
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

/// A JSON-RPC error body that came with an HTTP error status.
#[derive(Debug)]
pub struct ErrorBody<'a> {
    pub code: i64,
    pub message: Cow<'a, str>,
    error: &'a [u8],
}

impl<'a> ErrorBody<'a> {
    /// `None` when the body is no such thing.
    pub fn parse(text: &'a str) -> Option<ErrorBody<'a>> {
        #[derive(Deserialize)]
        struct Shape<'a> {
            code: i64,
            #[serde(borrow)]
            message: Cow<'a, str>,
        }

        let members = Members::parse(text.as_bytes()).ok()?;
        let error = members.error.filter(|_| members.method.is_none())?;
        let OnlyObject(Shape { code, message }) = serde_json::from_slice(error).ok()?;
        Some(ErrorBody { code, message, error })
    }

    /// The same error as the answer to this request.
    pub fn with_id(&self, id: &Id) -> String {
        error_with_id(id, self.error)
    }
}

/// The `code` of an error object, if it is a number.
fn error_code(error: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    serde_json::from_slice::<OnlyObject<Code>>(error).ok().map(|OnlyObject(error)| error.code)
}

/// No id, `null` and `""` name no request.
fn has_no_say(id: Option<&str>) -> bool {
    id.is_none_or(|id| matches!(id, "null" | "\"\""))
}

fn error_with_id(id: &Id, error: &[u8]) -> String {
    let error = String::from_utf8_lossy(error);
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json())
}

/// What the answer to `initialize` says that the session speaks.
pub(crate) fn protocol_version(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        result: OnlyObject<InitializeResult>,
    }
    #[derive(Deserialize)]
    struct InitializeResult {
        #[serde(rename = "protocolVersion")]
        protocol_version: String,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    Some(answer.result.0.protocol_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Id {
        Id::from_json(json).expect("an id")
    }

    #[test]
    fn messages_of_the_server() {
        let failed = |code, corrected: Option<&str>| ServerMessage::Error {
            index: 0,
            code: Some(code),
            corrected: corrected.map(str::to_owned),
        };
        for (text, expected) in [
            (r#"{"id":1,"result":{}}"#, ServerMessage::Result { index: 0, corrected: None }),
            (r#"{"id":1,"error":{"code":1,"message":"x"}}"#, failed(1, None)),
            (r#"{"id":"2","result":{}}"#, ServerMessage::OtherResponse),
            (r#"{"id":2,"error":{}}"#, ServerMessage::OtherResponse),
            (r#"{"id":2,"method":"ping"}"#, ServerMessage::Request { id: id("2"), is_ping: true }),
            (
                r#"{"id":"a\/b","method":"roots\/list"}"#,
                ServerMessage::Request { id: id("\"a/b\""), is_ping: false },
            ),
            (r#"{"id":{},"method":"ping"}"#, ServerMessage::NoRequest),
            (
                r#"{"method":"notifications/progress"}"#,
                ServerMessage::Notification { cancels: None },
            ),
            (
                r#"{"id":null,"method":"notifications\/cancelled","params":{"requestId":2}}"#,
                ServerMessage::Notification { cancels: Some(id("2")) },
            ),
            (
                r#"{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600, "message":"x"}}"#,
                failed(
                    -32600,
                    Some(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600, "message":"x"}}"#),
                ),
            ),
            (
                r#"{"id":1,"result":null,"error":{"code":1}}"#,
                failed(1, Some(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#)),
            ),
            (
                r#"{"error":{"code":1}}"#,
                failed(1, Some(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#)),
            ),
        ] {
            assert_eq!(
                ServerMessage::parse(text.as_bytes(), &[id("1")]).expect(text),
                expected,
                "{text}"
            );
        }
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "1",
            r#"{"id":1}"#,
            r#"{"id":1,"result":{},"error":{}}"#,
            r#"{"id":1,"method":"x","result":{}}"#,
            r#"{"method":"x","error":{"code":1}}"#,
            "{}{}",
        ] {
            let error = ServerMessage::parse(text.as_bytes(), &[id("1")]).expect_err(text);
            assert_eq!(error.kind(), Kind::InvalidResponse, "{text}");
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
        for body in [
            "",
            "<html>",
            r#"{"message":"Forbidden"}"#,
            r#"{"error":"nope"}"#,
            r#"{"error":{"message":"x"}}"#,
        ] {
            assert!(ErrorBody::parse(body).is_none(), "{body}");
        }
    }

    #[test]
    fn answers_to_a_batch_are_told_apart() {
        let ids = [id("1"), id("\"1\"")];
        for (text, expected) in [
            (r#"{"id":"1","result":{}}"#, ServerMessage::Result { index: 1, corrected: None }),
            (
                r#"{"id":1,"error":{"code":-5,"message":""}}"#,
                ServerMessage::Error { index: 0, code: Some(-5), corrected: None },
            ),
            (r#"{"id":null,"error":{"code":-5}}"#, ServerMessage::OtherResponse),
        ] {
            assert_eq!(
                ServerMessage::parse(text.as_bytes(), &ids).expect(text),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn an_id_is_known_by_its_value() {
        let result = |index, corrected: Option<&str>| ServerMessage::Result {
            index,
            corrected: corrected.map(str::to_owned),
        };
        let ids = |ids: &[&str]| ids.iter().map(|json| id(json)).collect::<Vec<_>>();
        for (asked, answered, text, expected) in [
            (
                &["1.0"][..],
                &[][..],
                r#"{"id":1, "result":{}}"#,
                result(0, Some(r#"{"id":1.0, "result":{}}"#)),
            ),
            (&["1", "1.0"], &[], r#"{"id":1.0,"result":{}}"#, result(1, None)),
            (
                &["1", "1.0"],
                &[0],
                r#"{"id":1,"result":{}}"#,
                result(1, Some(r#"{"id":1.0,"result":{}}"#)),
            ),
            (&["5", "5"], &[0], r#"{"id":5,"result":{}}"#, result(1, None)),
            (&["5"], &[0], r#"{"id":5,"result":{}}"#, result(0, None)),
            (&["7"], &[], r#"{"id":"7","result":{}}"#, result(0, Some(r#"{"id":7,"result":{}}"#))),
            (&["7", "\"7\""], &[], r#"{"id":"7","result":{}}"#, result(1, None)),
            (
                &["7", "\"7\""],
                &[1],
                r#"{"id":"7","result":{}}"#,
                result(0, Some(r#"{"id":7,"result":{}}"#)),
            ),
            (&["7", "7.0"], &[], r#"{"id":"7","result":{}}"#, ServerMessage::OtherResponse),
            (&["7"], &[], r#"{"id":"seven","result":{}}"#, ServerMessage::OtherResponse),
            (&["\"7\""], &[], r#"{"id":7,"result":{}}"#, ServerMessage::OtherResponse),
        ] {
            let found =
                ServerMessage::parse_after(answered, text.as_bytes(), &ids(asked)).expect(text);
            assert_eq!(found, expected, "{asked:?} {answered:?} {text}");
        }
    }
}
