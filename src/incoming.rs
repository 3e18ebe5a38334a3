//! `Incoming`: what one message of the server is to the request that waits for it.
//!
//! Parses only to route, and mends what AWS's front ends get wrong in their errors.

use crate::error::{Error, Kind};
use crate::members::{Members, NoMembers};
use crate::message::Id;
use serde::Deserialize;
use std::borrow::Cow;

/// One message from the server, as far as the relay must know it. `place` is that of the id among those asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    Result {
        place: usize,
    },
    /// An error, and the line that it should have been if it is broken.
    Error {
        place: usize,
        code: Option<i64>,
        mended: Option<String>,
    },
    /// An answer to some other request.
    Stray,
    /// A request or notification of the server.
    Other,
}

impl Incoming {
    /// Reads a message that came on the stream or in the body of the answer to the requests `ids`.
    ///
    /// An error without a usable id is taken for that of the only request, and `"result":null` beside an error is
    /// dropped: AWS's front ends send both, and strict clients refuse them.
    pub fn parse(text: &[u8], ids: &[Id]) -> Result<Incoming, Error> {
        let members = Members::of(text).map_err(|error| {
            let (what, error) = match error {
                NoMembers::NotUtf8 => {
                    return Error::new(Kind::BadAnswer, "the server's answer is not UTF-8");
                }
                NoMembers::Json(error) if error.is_data() => ("no JSON-RPC message", error),
                NoMembers::Json(error) => ("no JSON", error),
            };
            Error::new(Kind::BadAnswer, format!("the server's answer is {what}: {error}"))
        })?;
        if members.method.is_some() {
            return Ok(Incoming::Other);
        }
        let ours = members.id.and_then(|json| ids.iter().position(|id| id.is(json)));
        match (members.result, members.error) {
            (None, None) => Err(Error::new(
                Kind::BadAnswer,
                "the server's answer has neither a result nor an error",
            )),
            (Some(result), Some(_)) if result != b"null" => Err(Error::new(
                Kind::BadAnswer,
                "the server's answer has both a result and an error",
            )),
            (result, Some(error)) => {
                let is_broken = ours.is_none() || result.is_some();
                let place = match (ours, ids) {
                    (Some(place), _) => place,
                    (None, [_]) if has_no_say(members.id) => 0,
                    _ => return Ok(Incoming::Stray),
                };
                let mended = is_broken.then(|| with_id(&ids[place], error));
                Ok(Incoming::Error { place, code: error_code(error), mended })
            }
            (Some(_), None) => Ok(match ours {
                Some(place) => Incoming::Result { place },
                None => Incoming::Stray,
            }),
        }
    }
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

        let members = Members::of(text.as_bytes()).ok()?;
        let error = members.error.filter(|_| members.method.is_none())?;
        let Shape { code, message } = serde_json::from_slice(error).ok()?;
        Some(ErrorBody { code, message, error })
    }

    /// The same error as the answer to this request.
    pub fn under(&self, id: &Id) -> String {
        with_id(id, self.error)
    }
}

/// The `code` of an error object, if it is a number.
fn error_code(error: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    serde_json::from_slice::<Code>(error).ok().map(|error| error.code)
}

/// No id, `null` and `""` name no request.
fn has_no_say(id: Option<&str>) -> bool {
    id.is_none_or(|id| matches!(id, "null" | "\"\""))
}

fn with_id(id: &Id, error: &[u8]) -> String {
    let error = String::from_utf8_lossy(error);
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json())
}

/// What the answer to `initialize` says that the session speaks.
pub(crate) fn protocol_version(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        result: InitializeResult,
    }
    #[derive(Deserialize)]
    struct InitializeResult {
        #[serde(rename = "protocolVersion")]
        protocol_version: String,
    }
    serde_json::from_slice::<Answer>(answer).ok().map(|answer| answer.result.protocol_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Id {
        Id::from_json(json).expect("an id")
    }

    #[test]
    fn messages_of_the_server() {
        let failed = |code, mended: Option<&str>| Incoming::Error {
            place: 0,
            code: Some(code),
            mended: mended.map(str::to_owned),
        };
        for (text, expected) in [
            (r#"{"id":1,"result":{}}"#, Incoming::Result { place: 0 }),
            (r#"{"id":1,"error":{"code":1,"message":"x"}}"#, failed(1, None)),
            (r#"{"id":"1","result":{}}"#, Incoming::Stray),
            (r#"{"id":2,"error":{}}"#, Incoming::Stray),
            (r#"{"id":2,"method":"ping"}"#, Incoming::Other),
            (r#"{"method":"notifications/progress"}"#, Incoming::Other),
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
                Incoming::parse(text.as_bytes(), &[id("1")]).expect(text),
                expected,
                "{text}"
            );
        }
        for text in
            ["", "{", "{}", "[]", "1", r#"{"id":1}"#, r#"{"id":1,"result":{},"error":{}}"#, "{}{}"]
        {
            let error = Incoming::parse(text.as_bytes(), &[id("1")]).expect_err(text);
            assert_eq!(error.kind(), Kind::BadAnswer, "{text}");
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
        assert_eq!((read.code, read.under(&id("\"a\"")).as_str()), (-32001, line));
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
            (r#"{"id":"1","result":{}}"#, Incoming::Result { place: 1 }),
            (
                r#"{"id":1,"error":{"code":-5,"message":""}}"#,
                Incoming::Error { place: 0, code: Some(-5), mended: None },
            ),
            (r#"{"id":null,"error":{"code":-5}}"#, Incoming::Stray),
        ] {
            assert_eq!(Incoming::parse(text.as_bytes(), &ids).expect(text), expected, "{text}");
        }
    }
}
