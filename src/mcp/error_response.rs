//! Error responses of this program, and the server's own without the secrets in them.

use crate::error::{Error, Kind};
use crate::json::edit;
use crate::json::members::Members;
use crate::mcp::error_codes::{INTERNAL_ERROR, INVALID_REQUEST};
use crate::mcp::error_object;
use crate::mcp::id::Id;
use crate::redact::Redactor;
use serde_json::{Value, json};

/// The response to a request that failed: what happened, and how to fix it.
pub(crate) fn error_line(id: &Id, error: &Error, redactor: &Redactor) -> String {
    error_text(id.as_json(), error, redactor)
}

/// The response to a message that failed. `id` is JSON, and may be `null`.
pub(crate) fn error_text(id: &str, error: &Error, redactor: &Redactor) -> String {
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
    // The message names the command, too, but with advice for failures of every kind after it.
    let sign_in = error.needed_sign_in().map(|sign_in| format!("run {}", sign_in.command()));
    if let Some(hint) = sign_in.as_deref().or(error.hint_text()) {
        data["hint"] = redactor.safe(hint).into();
    }
    let code = match error.kind() {
        Kind::InvalidRequest => INVALID_REQUEST,
        _ => INTERNAL_ERROR,
    };
    let message = redactor.safe(&error.to_string());
    let error = json!({ "code": code, "message": message, "data": data });
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// The JSON array of these documents.
pub(crate) fn array(documents: impl Iterator<Item = String>) -> String {
    format!("[{}]", documents.collect::<Vec<_>>().join(","))
}

/// Maximum size of a server's own error response. The search for secrets takes up to a second for each MB.
const MAX_ERROR_BYTES: usize = 256 * 1024;

/// A server's own error response to a request of the client, whose id stays as it is. Without the secrets that it repeats: nearly
/// always the same bytes. Of one that is too large only the code and the beginning of the message are left.
pub(crate) fn without_secrets(line: String, redactor: &Redactor) -> String {
    let Some(safe) = changed_without_secrets(&line, redactor) else { return line };
    let id_of = |line| Members::parse(str::as_bytes(line)).ok().and_then(|members| members.id);
    match (id_of(&line), id_of(&safe)) {
        (Some(id), Some(changed)) if id != changed => edit::replace(&safe, changed, id),
        _ => safe,
    }
}

/// The same of one whose id is not that of a request here, but what the server wrote.
pub(crate) fn wholly_without_secrets(line: String, redactor: &Redactor) -> String {
    changed_without_secrets(&line, redactor).unwrap_or(line)
}

fn changed_without_secrets(line: &str, redactor: &Redactor) -> Option<String> {
    if line.len() <= MAX_ERROR_BYTES {
        return redactor.safe_json(line);
    }
    let error = Members::parse(line.as_bytes()).ok().and_then(|members| members.error);
    let error = error.and_then(|error| str::from_utf8(error).ok());
    let error = error_object::parse(error.unwrap_or("{}"));
    let (message, size) = (redactor.safe(&error.message), line.len());
    let what = format!("{message} (the rest of an error of {size} bytes is left out)");
    Some(protocol_error("null", error.code, &what))
}

/// The response to a request of the server, if too many of them wait for the client.
pub(crate) fn too_many_requests_line(id: &Id) -> String {
    let why = "too many requests are already waiting for the client";
    protocol_error(id.as_json(), INTERNAL_ERROR, why)
}

/// The notification that a subscription has ended without a result, because its stream broke.
pub(crate) fn cancelled_line(id: &Id, error: &Error, redactor: &Redactor) -> String {
    let reason = Value::from(redactor.safe(&error.to_string()));
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":{reason}}}}}"#,
        id.as_json()
    )
}

/// The response to a line that is longer than allowed. `id`: its id, if that was found.
pub(crate) fn too_long_line(id: Option<&Id>, max_bytes: usize) -> String {
    let why = format!(
        "invalid request: the message is larger than {max_bytes} bytes (raise --max-message-bytes)"
    );
    protocol_error(id.map_or("null", Id::as_json), INVALID_REQUEST, &why)
}

/// What a server gets in place of the client's response, if that is longer than allowed.
pub(crate) fn too_long_response_line(id: &Id, max_bytes: usize) -> String {
    let why = format!("the client's response is larger than {max_bytes} bytes");
    protocol_error(id.as_json(), INTERNAL_ERROR, &why)
}

/// The response to a message that breaks the rules of JSON-RPC. `id` is JSON.
pub(crate) fn protocol_error(id: &str, code: i64, message: &str) -> String {
    let error = json!({ "code": code, "message": message, "data": { "source": "sigv4-proxy" } });
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_cut_from_an_id_unless_it_is_that_of_a_request() {
        let redactor = Redactor::default();
        redactor.add("12345678");
        let line = || r#"{"id":"12345678","error":{"code":-1,"message":"12345678"}}"#.to_owned();
        let of_request = r#"{"id":"12345678","error":{"code":-1,"message":"…"}}"#;
        assert_eq!(without_secrets(line(), &redactor), of_request);
        let of_server = r#"{"id":"…","error":{"code":-1,"message":"…"}}"#;
        assert_eq!(wholly_without_secrets(line(), &redactor), of_server);
    }

    #[test]
    fn of_an_error_that_is_too_large_the_beginning_is_left() {
        let redactor = Redactor::default();
        redactor.add("12345678");
        let text = "x".repeat(MAX_ERROR_BYTES);
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":-5,"message":"12345678 {text}"}}}}"#
        );
        let size = line.len();
        let safe: Value = serde_json::from_str(&without_secrets(line, &redactor)).expect("JSON");
        assert_eq!((&safe["id"], &safe["error"]["code"]), (&json!(7), &json!(-5)));
        let message = safe["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("… xxx") && message.len() < 3000, "{message}");
        assert!(message.ends_with(&format!("(the rest of an error of {size} bytes is left out)")));
    }
}
