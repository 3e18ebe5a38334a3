//! Hints: how to fix what an error response of the server or of AWS blames.

use crate::aws::error_body::AwsErrorBody;
use crate::aws::error_cause::Cause;
use crate::aws::region::region_hint;
use crate::aws::signature_diff::SigningSteps;

/// What the refused request was signed with.
#[derive(Clone, Copy, Debug)]
pub struct SignedWith<'a> {
    pub service: &'a str,
    pub region: &'a str,
    /// `key AKIA****MPLE from profile dev`.
    pub identity: &'a str,
    /// What was signed, if that is still known.
    pub steps: Option<&'a SigningSteps>,
}

/// The command or setting that fixes it, if one is known.
pub(crate) fn hint(status: u16, body: &AwsErrorBody, signed: &SignedWith<'_>) -> Option<String> {
    let SignedWith { service, region, .. } = signed;
    let error_type = body.error_type.as_deref().unwrap_or_default();
    let text = body.message.as_deref().unwrap_or_default().to_lowercase();
    let cause = body.cause(status);
    let blames_scope = match cause {
        Cause::WrongRegion | Cause::WrongSignature => true,
        Cause::Other => matches!(status, 401 | 403),
        _ => false,
    };
    if let Some(hint) = region_hint(region).filter(|_| blames_scope) {
        return Some(hint);
    }
    let hint = match cause {
        Cause::Clock { .. } => "the local clock is wrong: sync it with NTP",
        Cause::ExpiredCredentials => {
            "the session token has expired: renew it, e.g. with aws sso login or aws login"
        }
        Cause::UnknownCredentials => {
            "AWS does not know this key: compare with aws sts get-caller-identity"
        }
        Cause::WrongSignature => {
            return Some(format!(
                "signed for service {service} in {region}: check the secret key, --service-name, --region, and that nothing between changes the request"
            ));
        }
        Cause::WrongService { expected } => {
            return Some(format!("signed for service {service}; set --service-name {expected}"));
        }
        Cause::WrongRegion => {
            return Some(format!(
                "signed for region {region}; set --region to the region of the server"
            ));
        }
        Cause::RuntimeStarting => "the runtime is still starting: try again in a few seconds",
        _ if error_type == "MissingAuthenticationTokenException" => {
            "the request was signed, so the path, stage or method of the URL is wrong"
        }
        _ if text.contains("authorization method mismatch") => {
            "this server wants OAuth, not SigV4: connect to it without sigv4-proxy"
        }
        _ if error_type.starts_with("AccessDenied")
            || text.contains("not authorized to perform") =>
        {
            "allow the action in the identity's policy and in the resource's; aws sts get-caller-identity shows the identity"
        }
        _ => match status {
            401 | 403 => {
                return Some(format!(
                    "signed for service {service} in {region}; check policy, path, --service-name and --region"
                ));
            }
            402 => "an AWS quota is exhausted",
            404 => "check the path of the URL, or the ARN and its qualifier",
            405 | 406 => "is this the URL of an MCP endpoint?",
            413 => "the message is larger than the service accepts",
            424 => "the runtime failed: see its log in CloudWatch",
            429 | 503 => "too many requests at once: try again later",
            504 => "the time limit is the gateway's, not this proxy's",
            _ => return None,
        },
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_hint() {
        let signed = SignedWith {
            service: "execute-api",
            region: "us-east-1",
            identity: "key AKIA****MPLE from environment",
            steps: None,
        };
        for (status, error_type, body, expected) in [
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
            let found = AwsErrorBody::parse(error_type, body.as_bytes());
            let hint = hint(status, &found, &signed).unwrap_or_default();
            assert!(hint.contains(expected), "{body}: {hint}");
        }
    }

    #[test]
    fn a_misspelt_region_is_the_likeliest_reason_of_a_refused_signature() {
        let signed =
            SignedWith { service: "s3", region: "us-east-1a", identity: "key", steps: None };
        for (status, error_type, expected) in [
            (403, Some("SignatureDoesNotMatch"), true),
            (403, None, true),
            (403, Some("ExpiredToken"), false),
            (404, None, false),
        ] {
            let body = AwsErrorBody::parse(error_type, b"{}");
            let hint = hint(status, &body, &signed).unwrap_or_default();
            assert_eq!(hint.contains("its region us-east-1"), expected, "{hint}");
        }
    }
}
