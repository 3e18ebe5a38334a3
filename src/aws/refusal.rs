//! An HTTP error answer in, what happened and what would mend it out. Pure.
//!
//! AWS's front ends explain a refusal in four shapes: a header (`x-amzn-ErrorType`), JSON with `message` or
//! `Message`, JSON with `__type`, and XML with `<Code>` and `<Message>`. Anyone can stand behind a URL, so none
//! of them need be there.

use crate::aws::error_cause::{Cause, classify};
use crate::aws::signature_diff::{Comparison, SigningSteps};
use crate::error::{AwsError, Error, Kind, quoted};
use serde_json::Value;
use std::fmt::Write;

/// An answer that is no success, as far as it explains itself.
#[derive(Clone, Copy, Debug)]
pub struct ErrorResponse<'a> {
    pub status: u16,
    /// `x-amzn-ErrorType`.
    pub error_type: Option<&'a str>,
    /// `x-amzn-RequestId`, or another header of that purpose.
    pub request_id: Option<&'a str>,
    /// `Location`.
    pub location: Option<&'a str>,
    /// The beginning of the body.
    pub body: &'a [u8],
}

/// What the request was signed with, for the advice.
#[derive(Clone, Copy, Debug)]
pub struct SignedWith<'a> {
    pub service: &'a str,
    pub region: &'a str,
    /// `key AKIA****MPLE from profile dev`.
    pub identity: &'a str,
    /// What was signed.
    pub steps: Option<&'a SigningSteps>,
}

impl ErrorResponse<'_> {
    /// What AWS would have signed, if it says so.
    pub fn steps_of_aws(&self) -> Option<SigningSteps> {
        SigningSteps::of_aws(AwsErrorBody::of(None, self.body).message.as_deref()?)
    }

    /// What it says in words: its message, or the whole body where it has none.
    pub(crate) fn words(&self) -> String {
        let explanation = AwsErrorBody::of(self.error_type, self.body);
        explanation.message.unwrap_or_else(|| String::from_utf8_lossy(self.body).into_owned())
    }

    /// What AWS blames.
    pub(crate) fn cause(&self) -> Cause {
        AwsErrorBody::of(self.error_type, self.body).cause(self.status)
    }

    /// The refusal in words: whose words they are, and the command that mends it where one is known.
    pub fn to_error(&self, signed: &SignedWith<'_>) -> Error {
        let explanation = AwsErrorBody::of(self.error_type, self.body);
        let status = self.status;
        if (300..400).contains(&status) {
            let target = self.location.map_or_else(|| "an unnamed place".to_owned(), quoted);
            return Error::new(
                Kind::HttpStatus(status),
                format!("the server redirects to {target} ({status}); redirects are not followed with a signature"),
            )
            .hint("set --target-url to the final URL");
        }
        let who = if explanation.error_type.is_some() || self.request_id.is_some() {
            "AWS"
        } else {
            "the server"
        };
        let mut message = format!("{who} refused the request with HTTP {status}");
        if let Some(error_type) = &explanation.error_type {
            message.push(' ');
            message.push_str(error_type);
        }
        if let Some(text) = &explanation.message {
            message.push_str(": ");
            message.push_str(&quoted(before_canonical_request(text)));
        }
        let comparison = explanation.comparison(signed);
        if let Some(Comparison::Differ(difference)) = &comparison {
            message.push_str("; ");
            message.push_str(difference);
        }
        if matches!(status, 401 | 403) {
            let _ = write!(message, " [{}]", signed.identity);
        }
        if let Some(request_id) = self.request_id {
            let _ = write!(message, " [request id {}]", quoted(request_id));
        }
        let hint = match comparison {
            Some(Comparison::Differ(_)) => {
                let cause = "something on the way changes the request";
                Some(format!("{cause}: a proxy, a gateway or the mapping of a custom domain"))
            }
            Some(Comparison::Same) => {
                let cause = "AWS saw exactly what was signed";
                Some(format!(
                    "{cause}, so the secret key is not that of this key id: configure both anew"
                ))
            }
            None => explanation.hint(status, signed),
        };
        let aws = AwsError {
            error_type: explanation.error_type,
            request_id: self.request_id.map(str::to_owned),
        };
        let error = Error::new(Kind::HttpStatus(status), message).aws(aws);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The two things an error answer can say.
#[derive(Debug, Default, PartialEq, Eq)]
struct AwsErrorBody {
    error_type: Option<String>,
    message: Option<String>,
}

impl AwsErrorBody {
    fn of(header: Option<&str>, body: &[u8]) -> AwsErrorBody {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let mut explanation = if let Ok(Value::Object(members)) = serde_json::from_str(text) {
            let first = |names: &[&str]| {
                names.iter().find_map(|name| members.get(*name)?.as_str()).map(str::to_owned)
            };
            AwsErrorBody {
                error_type: first(&["__type", "code", "Code"]),
                message: first(&["message", "Message", "errorMessage", "error_description"]),
            }
        } else if text.starts_with('<') {
            AwsErrorBody { error_type: element(text, "Code"), message: element(text, "Message") }
        } else {
            AwsErrorBody { error_type: None, message: (!text.is_empty()).then(|| text.to_owned()) }
        };
        if let Some(header) = header {
            explanation.error_type = Some(header.to_owned());
        }
        // `InvalidSignatureException:http://internal.amazon.com/coral/…` and `com.amazon.coral#Name`
        explanation.error_type = explanation.error_type.and_then(|name| {
            let name = name.split(':').next()?.rsplit('#').next()?.trim();
            // It is a name or nothing: it stands in messages and decides what is tried again.
            let is_name = (1..=100).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            is_name.then(|| name.to_owned())
        });
        explanation
    }

    /// What AWS saw beside what was signed, if it says so.
    fn comparison(&self, signed: &SignedWith<'_>) -> Option<Comparison> {
        let aws = SigningSteps::of_aws(self.message.as_deref()?)?;
        Some(signed.steps?.compare(&aws))
    }

    fn cause(&self, status: u16) -> Cause {
        let error_type = self.error_type.as_deref().unwrap_or_default();
        classify(status, error_type, self.message.as_deref().unwrap_or_default())
    }

    /// The command or setting that mends it.
    fn hint(&self, status: u16, signed: &SignedWith<'_>) -> Option<String> {
        let error_type = self.error_type.as_deref().unwrap_or_default();
        let text = self.message.as_deref().unwrap_or_default();
        let lower = text.to_lowercase();
        let SignedWith { service, region, .. } = signed;
        let hint = match self.cause(status) {
            Cause::Clock { .. } => {
                Some("the clock of this machine is off: set it by NTP".to_owned())
            }
            Cause::ExpiredCredentials => Some(
                "the session token has expired: renew it, e.g. with aws sso login or aws login"
                    .to_owned(),
            ),
            Cause::UnknownCredentials => Some(
                "AWS does not know this key: compare with aws sts get-caller-identity".to_owned(),
            ),
            Cause::WrongSignature => Some(format!(
                "signed for service {service} in {region}: check the secret key, --service-name, --region, and that nothing between changes the request"
            )),
            Cause::WrongService { expected } => {
                Some(format!("signed for service {service}; set --service-name {expected}"))
            }
            Cause::WrongRegion => Some(format!(
                "signed for region {region}; set --region to the region of the server"
            )),
            Cause::RuntimeStarting => {
                Some("the runtime is still starting: try again in some seconds".to_owned())
            }
            Cause::Throttled | Cause::Unavailable | Cause::RetryableConflict | Cause::Other => None,
        };
        if hint.is_some() {
            return hint;
        }
        let hint = if error_type == "MissingAuthenticationTokenException" {
            "the request was signed, so the path, stage or method of the URL is wrong".to_owned()
        } else if lower.contains("authorization method mismatch") {
            "this server wants OAuth, not SigV4: connect to it without sigv4-proxy".to_owned()
        } else if error_type.starts_with("AccessDenied")
            || lower.contains("not authorized to perform")
        {
            "allow the action in the identity's policy and in the resource's; aws sts get-caller-identity shows the identity"
                .to_owned()
        } else {
            match status {
                401 | 403 => format!(
                    "signed for service {service} in {region}; check policy, path, --service-name and --region"
                ),
                402 => "an AWS quota is used up".to_owned(),
                404 => "check the path of the URL, or the ARN and its qualifier".to_owned(),
                405 | 406 => "is this the URL of an MCP endpoint?".to_owned(),
                413 => "the message is larger than the service takes".to_owned(),
                424 => "the runtime failed: its CloudWatch log tells more".to_owned(),
                429 | 503 => "too many requests at once: try again later".to_owned(),
                504 => "the time limit is the gateway's, not this proxy's".to_owned(),
                _ => return None,
            }
        };
        Some(hint)
    }
}

/// API Gateway appends the request as it saw it, which tells a person nothing.
fn before_canonical_request(text: &str) -> &str {
    text.split("The Canonical String for this request").next().unwrap_or_default()
}

/// The text of the first XML element of this name.
fn element(xml: &str, name: &str) -> Option<String> {
    let text = between(xml, &format!("<{name}>"), &format!("</{name}>"))?;
    Some(
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: SignedWith<'_> = SignedWith {
        service: "execute-api",
        region: "us-east-1",
        identity: "key AKIA****MPLE from environment",
        steps: None,
    };

    fn refused(status: u16, error_type: Option<&str>, body: &str) -> Error {
        ErrorResponse {
            status,
            error_type,
            request_id: Some("r-1"),
            location: None,
            body: body.as_bytes(),
        }
        .to_error(&SIGNED)
    }

    #[test]
    fn every_shape_is_read() {
        for (error_type, body, expected) in [
            (
                Some("InvalidSignatureException:http://internal.amazon.com/"),
                r#"{"message":"no match"}"#,
                ("InvalidSignatureException", "no match"),
            ),
            (
                None,
                r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"bad token"}"#,
                ("UnrecognizedClientException", "bad token"),
            ),
            (
                Some("AccessDeniedException"),
                r#"{"Message":"User: x is not authorized"}"#,
                ("AccessDeniedException", "User: x is not authorized"),
            ),
            (
                None,
                "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>a &amp; b</Message></Error></ErrorResponse>",
                ("SignatureDoesNotMatch", "a & b"),
            ),
        ] {
            let error = refused(403, error_type, body);
            let (name, text) = expected;
            assert_eq!(
                error.message(),
                format!(
                    "AWS refused the request with HTTP 403 {name}: {text} [key AKIA****MPLE from environment] [request id r-1]"
                )
            );
            assert_eq!(error.aws_error().and_then(|aws| aws.error_type.as_deref()), Some(name));
            assert_eq!(error.kind(), Kind::HttpStatus(403));
        }
    }

    #[test]
    fn advice() {
        for (status, error_type, body, advice) in [
            (
                403,
                None,
                r#"{"message":"Credential should be scoped to correct service: 'lambda'."}"#,
                "set --service-name lambda",
            ),
            (
                403,
                None,
                r#"{"message":"Credential should be scoped to a valid region."}"#,
                "set --region",
            ),
            (403, None, r#"{"message":"Signature expired: 1 is now earlier than 2"}"#, "clock"),
            (403, Some("ExpiredTokenException"), "{}", "has expired"),
            (403, Some("UnrecognizedClientException"), "{}", "aws sts get-caller-identity"),
            (403, Some("MissingAuthenticationTokenException"), "{}", "path"),
            (403, Some("AccessDeniedException"), "{}", "policy"),
            (403, None, r#"{"message":"Forbidden"}"#, "--service-name"),
            (404, None, "<html>", "path of the URL"),
            (
                424,
                Some("RuntimeClientError"),
                r#"{"message":"Runtime initialization time exceeded."}"#,
                "still starting",
            ),
            (424, Some("RuntimeClientError"), "{}", "CloudWatch"),
            (429, None, "", "too many"),
        ] {
            let hint = refused(status, error_type, body).hint_text().unwrap_or_default().to_owned();
            assert!(hint.contains(advice), "{body}: {hint}");
        }
    }

    #[test]
    fn a_redirect_is_an_error_that_names_its_target() {
        let error = ErrorResponse {
            status: 307,
            error_type: None,
            request_id: None,
            location: Some("https://evil/"),
            body: b"",
        }
        .to_error(&SIGNED);
        assert!(error.message().contains("https://evil/"), "{error}");
    }

    #[test]
    fn the_canonical_request_that_aws_echoes_is_not_repeated() {
        let body = r#"{"message":"no match\n\nThe Canonical String for this request should have been\n'POST\nx-amz-security-token:SECRET'"}"#;
        let error = refused(403, None, body);
        assert!(
            error.message().contains("no match") && !error.to_string().contains("SECRET"),
            "{error}"
        );
    }

    #[test]
    fn html_is_not_quoted_and_plain_text_is() {
        assert!(!refused(502, None, "<html><body>Bad</body></html>").message().contains("html"));
        assert!(
            refused(500, None, "it\n broke\u{1b}[0m").message().contains(": it broke\u{1b}[0m")
        );
        assert!(refused(500, None, &"x".repeat(5000)).message().len() < 700);
    }
}
