//! `ErrorResponse`: an HTTP response that is not a success, and the error that the user gets to see.

use crate::aws::error_body::{AwsErrorBody, type_name};
use crate::aws::hint::{SignedWith, hint};
use crate::aws::signature_diff::{Comparison, SigningSteps};
use crate::error::{AwsError, Error, Kind, quoted};
use std::fmt::Write;

/// A response that is not a success.
#[derive(Clone, Copy, Debug)]
pub struct ErrorResponse<'a> {
    pub status: u16,
    /// `x-amzn-RequestId`, or another header of that purpose.
    pub request_id: Option<&'a str>,
    /// `lambda-web-error-type`, which distinguishes Lambda's own errors from those of a web function.
    pub lambda_error: Option<&'a str>,
    /// `Location`.
    pub location: Option<&'a str>,
    /// `WWW-Authenticate`.
    pub challenge: Option<&'a str>,
    pub body: &'a AwsErrorBody,
}

impl ErrorResponse<'_> {
    /// Whether the server accepts bearer tokens and no AWS signatures.
    pub fn requires_oauth(&self) -> bool {
        let challenge = self.challenge.unwrap_or_default().to_ascii_lowercase();
        self.status == 401 && challenge.starts_with("bearer") && !challenge.contains("aws4-")
    }

    /// The error: its author, its text, and how to fix it where that is known.
    pub fn to_error(&self, signed: &SignedWith<'_>) -> Error {
        let ErrorResponse { status, body, .. } = *self;
        // It is shown and decides nothing: the function itself may send any.
        let lambda_error = self.lambda_error.and_then(type_name);
        let error_type = body.error_type.as_deref().or(lambda_error);
        let or_intercepted = |hint: &str| match signed.intercepted {
            Some(fix) => format!("{hint}; or {fix}"),
            None => hint.to_owned(),
        };
        // 304 responds to conditional requests, which are never sent.
        if (300..400).contains(&status) && status != 304 {
            let target = self.location.map_or_else(|| "an unspecified location".to_owned(), quoted);
            return Error::new(
                Kind::HttpStatus(status),
                format!("the server redirects to {target} ({status}); redirects are not followed with a signature"),
            )
            .hint(or_intercepted("set --target-url to the final URL"));
        }
        let request_id = self.request_id.or(body.request_id.as_deref());
        let is_aws = error_type.is_some() || request_id.is_some();
        let who = match status {
            _ if is_aws => "AWS",
            407 | 511 => "the network",
            _ => "the server",
        };
        let mut message = format!("{who} refused the request with HTTP {status}");
        if let Some(error_type) = error_type {
            message.push(' ');
            message.push_str(error_type);
        }
        if let Some(text) = body.message.as_ref().or(body.detail.as_ref()) {
            message.push_str(": ");
            message.push_str(&quoted(before_canonical_request(text)));
        }
        let steps_of_aws = body.message.as_deref().and_then(SigningSteps::of_aws);
        let comparison = signed.steps.zip(steps_of_aws).map(|(ours, aws)| ours.compare(&aws));
        if let Some(Comparison::Differ(difference)) = &comparison {
            message.push_str("; ");
            message.push_str(difference);
        }
        if matches!(status, 401 | 403) {
            let _ = write!(message, " [{}]", signed.identity);
        }
        if let Some(request_id) = request_id {
            let _ = write!(message, " [request id {}]", quoted(request_id));
        }
        let hint = match comparison {
            _ if self.requires_oauth() => Some(
                "connect to this server without sigv4-proxy: it requires OAuth (WWW-Authenticate: Bearer), not AWS signatures"
                    .to_owned(),
            ),
            Some(Comparison::Differ(_)) => Some(signed.inspected().unwrap_or_else(|| {
                "find what changes the request between here and AWS: a proxy, a gateway or the mapping of a custom domain"
                    .to_owned()
            })),
            Some(Comparison::Same) => Some(
                "configure the access key ID and the secret access key again: AWS received exactly what was signed, so they do not belong together"
                    .to_owned(),
            ),
            None => hint(status, body, lambda_error, signed)
                .map(|hint| match status {
                    500..=510 | 512.. => with_log(hint, request_id),
                    _ => hint,
                })
                .map(|hint| or_intercepted(&hint))
                .or_else(|| signed.intercepted.map(str::to_owned)),
        };
        let aws = AwsError {
            error_type: error_type.map(str::to_owned),
            request_id: request_id.map(str::to_owned),
        };
        let error = Error::new(Kind::HttpStatus(status), message).aws(aws);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The hint of a failed server, with where its log says more.
fn with_log(hint: String, request_id: Option<&str>) -> String {
    match request_id {
        Some(id) => format!("{hint}; search the server's log for request id {}", quoted(id)),
        None if hint.contains("log") => hint,
        None => format!("{hint}; see the server's log"),
    }
}

/// API Gateway appends the request as it saw it, which does not help the reader of the message.
fn before_canonical_request(text: &str) -> &str {
    text.split("The Canonical String for this request").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::hint::SIGNED;

    fn error_of(status: u16, error_type: Option<&str>, body: &str) -> Error {
        let body = AwsErrorBody::parse(error_type, body.as_bytes());
        let location = Some("https://evil/");
        let lambda_error = Some("Runtime.RequestTimeout").filter(|_| status == 504);
        let challenge = Some("Bearer realm=\"x\"").filter(|_| status == 401);
        let request_id = Some("r-1");
        ErrorResponse { status, request_id, lambda_error, location, challenge, body: &body }
            .to_error(&SIGNED)
    }

    #[test]
    fn a_server_that_requires_oauth_is_recognised_by_its_challenge() {
        let error = error_of(401, None, r#"{"error":"invalid_token"}"#);
        assert!(error.hint_text().unwrap().contains("requires OAuth"), "{error}");
        for (challenge, expected) in [
            (Some("Bearer"), true),
            (Some("bearer realm=\"a, b\", scope=\"x\""), true),
            (Some("Basic realm=\"x\""), false),
            (Some("AWS4-HMAC-SHA256, Bearer"), false),
            (None, false),
        ] {
            let body = AwsErrorBody::parse(None, b"");
            let response = ErrorResponse {
                status: 401,
                request_id: None,
                lambda_error: None,
                location: None,
                challenge,
                body: &body,
            };
            assert_eq!(response.requires_oauth(), expected, "{challenge:?}");
        }
    }

    #[test]
    fn a_failed_server_is_looked_up_in_its_log_by_the_request_id() {
        for status in [500, 502, 503] {
            let error = error_of(status, None, "");
            let log = "search the server's log for request id r-1";
            assert!(error.hint_text().unwrap().ends_with(log), "{error}");
        }
    }

    #[test]
    fn type_message_key_and_request_id_are_named() {
        let error =
            error_of(403, Some("AccessDeniedException"), r#"{"Message":"User: x\n is not"}"#);
        assert_eq!(
            error.message(),
            "AWS refused the request with HTTP 403 AccessDeniedException: User: x is not \
             [key AKIA****MPLE from environment] [request id r-1]"
        );
        let aws = error.aws_error().unwrap();
        assert_eq!(aws.error_type.as_deref(), Some("AccessDeniedException"));
        assert_eq!(error.kind(), Kind::HttpStatus(403));
    }

    #[test]
    fn the_error_of_a_web_function_is_named_unless_aws_names_another() {
        let error = error_of(504, None, "");
        let words = "AWS refused the request with HTTP 504 Runtime.RequestTimeout [request id r-1]";
        assert_eq!(error.message(), words);
        let error_type = error.aws_error().unwrap().error_type.as_deref();
        assert_eq!(error_type, Some("Runtime.RequestTimeout"));
        assert!(error.hint_text().unwrap().contains("timeoutSeconds"), "{error}");
        assert!(error_of(504, Some("Other"), "").message().contains("HTTP 504 Other ["));
    }

    #[test]
    fn a_redirect_is_an_error_that_names_its_target() {
        let error = error_of(307, None, "");
        assert!(error.message().contains("https://evil/"), "{error}");
        assert!(!error_of(304, None, "").message().contains("redirect"));
    }

    #[test]
    fn the_canonical_request_that_aws_echoes_is_not_repeated() {
        let body = r#"{"message":"no match\n\nThe Canonical String for this request should have been\n'POST\nx-amz-security-token:SECRET'"}"#;
        let error = error_of(403, None, body);
        assert!(
            error.message().contains("no match") && !error.to_string().contains("SECRET"),
            "{error}"
        );
    }

    #[test]
    fn the_words_of_other_servers_are_shown() {
        for body in [
            r#"{"detail":"Not found"}"#,
            r#"{"error":"Not found"}"#,
            r#"{"error":{"status":5,"message":"Not found"}}"#,
            r#"{"message":"Not found","detail":"x","error":"y"}"#,
        ] {
            let error = error_of(404, None, body);
            assert_eq!(
                error.message(),
                "AWS refused the request with HTTP 404: Not found [request id r-1]",
                "{body}"
            );
        }
    }

    #[test]
    fn html_is_not_quoted_and_plain_text_is() {
        assert!(!error_of(502, None, "<html><body>Bad</body></html>").message().contains("html"));
        assert!(
            error_of(500, None, "it\n broke\u{1b}[0m").message().contains(": it broke\u{1b}[0m")
        );
        assert!(error_of(500, None, &"x".repeat(5000)).message().len() < 700);
    }
}
