//! `ErrorObject`: the `error` of a JSON-RPC response, corrected if it is not an object with an integer code and a string
//! message.

use crate::error::quoted;
use crate::json::object::Object;
use crate::mcp::error_codes::INTERNAL_ERROR;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorObject {
    pub(crate) code: i64,
    pub(crate) message: String,
    /// The valid error, if the server's was invalid. Everything in the server's error is kept.
    pub(crate) corrected: Option<String>,
}

/// Reads the value of `error`, which is any JSON but `null`.
pub(crate) fn parse(error: &str) -> ErrorObject {
    let object = Object::parse(error);
    let member = |name| object.as_ref().and_then(|object| object.get_non_null(name));
    // A string may hold half a surrogate pair, which is JSON and no text.
    let text = |json: &RawValue| {
        let raw = json.get();
        let text = || serde_json::from_str(raw).unwrap_or_else(|_| quoted(raw));
        raw.starts_with('"').then(text)
    };
    let (raw_code, raw_message) = (member("code"), member("message"));
    let code = raw_code.and_then(|code| integer(code.get()));
    let message = raw_message.and_then(text);
    if let (Some((code, true)), Some(message)) = (code, &message) {
        return ErrorObject { code, message: message.clone(), corrected: None };
    }
    let message = message
        .or_else(|| serde_json::from_str(error).ok())
        .unwrap_or_else(|| quoted(raw_message.map_or(error, RawValue::get)));
    let is_code_lost = raw_code.is_some() && code.is_none();
    let (code, _) = code.unwrap_or((INTERNAL_ERROR, false));
    let mut members =
        vec![format!(r#""code":{code}"#), format!(r#""message":{}"#, Value::from(&*message))];
    let others = object.iter().flat_map(Object::members);
    members.extend(
        others
            .filter(|(name, _)| !matches!(*name, "code" | "message"))
            .map(|(name, value)| format!("{}:{}", Value::from(name), value.get())),
    );
    if is_code_lost && member("data").is_none() {
        members.retain(|member| member != r#""data":null"#);
        members.push(format!(r#""data":{error}"#));
    }
    ErrorObject { code, message, corrected: Some(format!("{{{}}}", members.join(","))) }
}

/// The value of a code that is an integer, and whether it is written as one.
fn integer(code: &str) -> Option<(i64, bool)> {
    if let Ok(code) = code.parse() {
        return Some((code, true));
    }
    let text: String = serde_json::from_str(code).unwrap_or_else(|_| code.to_owned());
    let code: f64 = text.trim().parse().ok()?;
    let is_integer = code.fract() == 0.0 && code.abs() < 1e9;
    // Exact, since it is small.
    is_integer.then(|| format!("{code:.0}").parse().ok()).flatten().map(|code| (code, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_errors_stay_as_they_are() {
        for error in [
            r#"{"code":-32000,"message":"a\nb","data":null}"#,
            r#"{ "message" : "", "code" : 0, "more":[1.0] }"#,
            r#"{"code":-32000,"message":"half a pair: \ud83d"}"#,
        ] {
            assert_eq!(parse(error).corrected, None, "{error}");
        }
    }

    #[test]
    fn other_errors_become_objects_with_code_and_message() {
        for (error, code, corrected) in [
            (r#""boom""#, -32603, r#"{"code":-32603,"message":"boom"}"#),
            (r#"["boom",1]"#, -32603, r#"{"code":-32603,"message":"[\"boom\",1]"}"#),
            ("7", -32603, r#"{"code":-32603,"message":"7"}"#),
            ("false", -32603, r#"{"code":-32603,"message":"false"}"#),
            ("{}", -32603, r#"{"code":-32603,"message":"{}"}"#),
            (r#"{"message":"boom"}"#, -32603, r#"{"code":-32603,"message":"boom"}"#),
            (r#"{"code":null,"message":"boom"}"#, -32603, r#"{"code":-32603,"message":"boom"}"#),
            (r#"{"code":-5}"#, -5, r#"{"code":-5,"message":"{\"code\":-5}"}"#),
            (
                r#"{"code":-5,"message":null,"data":[1.0]}"#,
                -5,
                r#"{"code":-5,"message":"{\"code\":-5,\"message\":null,\"data\":[1.0]}","data":[1.0]}"#,
            ),
            (r#"{"code":-5,"message":{"a": 1}}"#, -5, r#"{"code":-5,"message":"{\"a\": 1}"}"#),
            (r#"{"code":"500","message":"boom"}"#, 500, r#"{"code":500,"message":"boom"}"#),
            (r#"{"code":-1e3,"message":"boom"}"#, -1000, r#"{"code":-1000,"message":"boom"}"#),
            (r#"{"message":"boom","code":2.0}"#, 2, r#"{"code":2,"message":"boom"}"#),
            (
                r#"{"code":1.5,"message":"boom"}"#,
                -32603,
                r#"{"code":-32603,"message":"boom","data":{"code":1.5,"message":"boom"}}"#,
            ),
            (
                r#"{"code":"E_BUSY","message":"boom","data":null}"#,
                -32603,
                r#"{"code":-32603,"message":"boom","data":{"code":"E_BUSY","message":"boom","data":null}}"#,
            ),
            (
                r#"{"code":99999999999999999999,"message":"boom","data":7}"#,
                -32603,
                r#"{"code":-32603,"message":"boom","data":7}"#,
            ),
        ] {
            let parsed = parse(error);
            assert_eq!(
                (parsed.code, parsed.corrected.as_deref()),
                (code, Some(corrected)),
                "{error}"
            );
        }
    }
}
