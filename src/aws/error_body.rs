//! `AwsErrorBody`: the only parser of error responses, for MCP servers and for the services that provide credentials.
//!
//! AWS's services name the type of an error in the header `x-amzn-errortype`, in JSON (`__type`, `code`) or in XML (`Code`);
//! the first of these counts. The type decides whether a request is sent again, so nothing else is taken for one. A body that
//! was cut off is neither JSON nor XML and has no type; AWS's own errors are never so long.

use crate::aws::error_cause::{Cause, classify};
use crate::aws::xml::{self, text_of};
use serde_json::{Map, Value};

/// Members with text for people, in errors of AWS, JSON-RPC, OAuth, RFC 9457 and common frameworks.
const WORDS: [&str; 11] = [
    "message",
    "Message",
    "errorMessage",
    "error_description",
    "detail",
    "details",
    "msg",
    "error",
    "errors",
    "reason",
    "title",
];

/// The parsed contents of an error response.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AwsErrorBody {
    /// AWS's name for the error, without its namespace.
    pub(crate) error_type: Option<String>,
    /// `error` of an OAuth error (RFC 6749 §5.2): the type of AWS's sign-in and OIDC services, and any word of other servers.
    pub(crate) oauth_error: Option<String>,
    /// Its message; the whole body if that is plain text.
    pub(crate) message: Option<String>,
    /// Text of other servers than AWS's, if there is no message. It is only shown.
    pub(crate) detail: Option<String>,
    /// The request id in an XML body.
    pub(crate) request_id: Option<String>,
}

impl AwsErrorBody {
    /// Reads the header `x-amzn-errortype` and the body.
    pub fn parse(header: Option<&str>, body: &[u8]) -> AwsErrorBody {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let mut found = if text.starts_with('<') {
            AwsErrorBody::of_xml(text)
        } else if let Ok(members) = serde_json::from_str(text) {
            AwsErrorBody::of_json(&members)
        } else {
            let message = (!text.is_empty()).then(|| text.to_owned());
            AwsErrorBody { message, ..AwsErrorBody::default() }
        };
        let error_type = header.map(str::to_owned).or(found.error_type);
        found.error_type = error_type.as_deref().and_then(type_name).map(str::to_owned);
        found
    }

    fn of_json(members: &Map<String, Value>) -> AwsErrorBody {
        let first = |names: &[&str]| {
            let texts = names.iter().filter_map(|name| members.get(*name)?.as_str());
            texts.map(str::to_owned).find(|text| !text.is_empty())
        };
        AwsErrorBody {
            error_type: first(&["__type", "code", "Code"]),
            oauth_error: first(&["error"]),
            message: first(&["message", "Message", "errorMessage", "error_description"]),
            detail: words_in(members).map(str::to_owned),
            request_id: None,
        }
    }

    /// Nothing, if it is a page for people.
    fn of_xml(text: &str) -> AwsErrorBody {
        let Some(document) = xml::parse(text) else { return AwsErrorBody::default() };
        let text = |name| text_of(document.root(), name);
        AwsErrorBody {
            error_type: text("Code"),
            oauth_error: None,
            message: text("Message"),
            detail: None,
            request_id: text("RequestId").or_else(|| text("RequestID")),
        }
    }

    /// The cause of the error.
    pub(crate) fn cause(&self, status: u16) -> Cause {
        self.cause_by(self.error_type.as_deref(), status)
    }

    /// What sign-in or OIDC blame, which may name the type in the OAuth member only.
    pub(crate) fn oauth_cause(&self, status: u16) -> Cause {
        match self.cause(status) {
            Cause::Other => self.cause_by(self.oauth_error.as_deref(), status),
            cause => cause,
        }
    }

    fn cause_by(&self, error_type: Option<&str>, status: u16) -> Cause {
        let message = self.message.as_deref().unwrap_or_default();
        classify(status, error_type.unwrap_or_default(), message)
    }
}

/// The text of a JSON error: the first text under one of the `WORDS`, at any depth of these.
pub(crate) fn words_in<'a>(members: &'a Map<String, Value>) -> Option<&'a str> {
    let text_of = |value: &'a Value| match value {
        Value::String(text) => Some(text.as_str()).filter(|text| !text.trim().is_empty()),
        Value::Array(items) => items.iter().filter_map(Value::as_object).find_map(words_in),
        Value::Object(members) => words_in(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    };
    WORDS.iter().filter_map(|name| members.get(*name)).find_map(text_of)
}

/// The name in `InvalidSignatureException:http://internal.amazon.com/coral/…` and in `com.amazon.coral#Name`.
pub(crate) fn type_name(text: &str) -> Option<&str> {
    let name = text.split(':').next()?.rsplit('#').next()?.trim();
    let is_name = (1..=100).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type and the message.
    fn read(header: Option<&str>, body: &str) -> (Option<String>, Option<String>) {
        let body = AwsErrorBody::parse(header, body.as_bytes());
        (body.error_type, body.message)
    }

    fn owned(error_type: Option<&str>, message: Option<&str>) -> (Option<String>, Option<String>) {
        (error_type.map(str::to_owned), message.map(str::to_owned))
    }

    #[test]
    fn every_form_is_read() {
        for (header, body, error_type, message) in [
            (
                Some("InvalidSignatureException:http://internal.amazon.com/"),
                r#"{"message":"no match"}"#,
                Some("InvalidSignatureException"),
                Some("no match"),
            ),
            (
                None,
                r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"bad token"}"#,
                Some("UnrecognizedClientException"),
                Some("bad token"),
            ),
            (None, r#"{"code":"AccessDenied","Message":"no"}"#, Some("AccessDenied"), Some("no")),
            (None, r#" {"Code":"Failed","message":""}"#, Some("Failed"), None),
            (
                None,
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/\"><Error><Type>Sender</Type><Code>Throttling</Code>\
                 <Message>a &amp;\n<![CDATA[<b>]]></Message></Error><RequestId>1</RequestId></ErrorResponse>",
                Some("Throttling"),
                Some("a &\n<b>"),
            ),
            (None, "<?xml version='1.0'?><Error><Code/></Error>", None, None),
            (None, "it broke", None, Some("it broke")),
            (None, "", None, None),
            (None, "[1]", None, Some("[1]")),
        ] {
            assert_eq!(read(header, body), owned(error_type, message), "{body}");
        }
    }

    #[test]
    fn words_of_other_servers_are_found() {
        for body in [
            r#"{"detail":"no"}"#,
            r#"{"detail":[{"loc":["body","n"],"msg":"no","type":"missing"}]}"#,
            r#"{"error":{"code":5,"message":"no"}}"#,
            r#"{"error":"no"}"#,
            r#"{"errors":[7,{"title":"no","detail":""}]}"#,
            r#"{"type":"about:blank","title":"no","status":409}"#,
            r#"{"title":"Conflict","detail":"no"}"#,
            r#"{"message":{"code":1,"reason":"no"}}"#,
        ] {
            let read = AwsErrorBody::parse(None, body.as_bytes());
            assert_eq!((read.message, read.detail.as_deref()), (None, Some("no")), "{body}");
        }
        for body in ["{}", r#"{"status":500}"#, r#"{"error":{"type":"x"}}"#] {
            assert_eq!(AwsErrorBody::parse(None, body.as_bytes()).detail, None, "{body}");
        }
    }

    #[test]
    fn the_header_precedes_the_body_and_aws_s_member_precedes_others() {
        let body = r#"{"code":"B","__type":"A","error":"C"}"#;
        assert_eq!(read(Some("H"), body).0.as_deref(), Some("H"));
        assert_eq!(read(None, body).0.as_deref(), Some("A"));
        let other = r#"{"code":"B","Code":"D","error":"C"}"#;
        assert_eq!(read(None, other).0.as_deref(), Some("B"));
        assert_eq!(read(Some("H"), "<Error><Code>X</Code></Error>").0.as_deref(), Some("H"));
        let oauth = AwsErrorBody::parse(None, br#"{"error":"invalid_grant"}"#);
        assert_eq!((oauth.error_type, oauth.oauth_error.as_deref()), (None, Some("invalid_grant")));
    }

    #[test]
    fn a_sentence_is_not_a_type() {
        for text in ["not found", "", ":x", "a\nb", &"x".repeat(101)] {
            let body = serde_json::json!({ "code": text }).to_string();
            assert_eq!(read(None, &body).0, None, "{text}");
            assert_eq!(read(Some(text), "{}").0, None, "{text}");
        }
    }

    #[test]
    fn a_body_that_was_cut_off_has_no_type_of_its_own() {
        for body in [
            r#"{"__type":"ThrottlingException","message":"aaaa"#,
            "<Error><Code>Throttling</Code><Message>aaaa",
            "<!DOCTYPE html><html><Code>Throttling</Code></html>",
        ] {
            assert_eq!(read(None, body).0, None, "{body}");
            assert_eq!(read(Some("SlowDown"), body).0.as_deref(), Some("SlowDown"), "{body}");
        }
    }
}
