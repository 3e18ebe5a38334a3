//! Hints: how to fix the causes of error responses.

use crate::aws::error_body::AwsErrorBody;
use crate::aws::error_cause::Cause;
use crate::aws::region::region_hint;
use crate::aws::service_facts::ServiceFacts;
use crate::aws::signature_diff::SigningSteps;
use crate::http::Intermediary;

/// The signature's inputs of the refused request.
#[derive(Clone, Copy, Debug)]
pub struct SignedWith<'a> {
    pub service: &'a str,
    pub region: &'a str,
    /// Where it was sent.
    pub host: &'a str,
    pub path: &'a str,
    /// `key AKIA****MPLE from profile dev`, or `not signed`.
    pub identity: &'a str,
    /// The signing steps, if they are still known.
    pub steps: Option<&'a SigningSteps>,
    /// The issuer of the server's certificate, if it is not a public authority.
    pub private_issuer: Option<&'a str>,
    /// How to fix it if the response was probably not sent by the server.
    pub intercepted: Option<&'a str>,
}

/// What the requests of tests are signed with.
#[cfg(test)]
pub(crate) const SIGNED: SignedWith<'static> = SignedWith {
    service: "execute-api",
    region: "us-east-1",
    host: "abc.execute-api.us-east-1.amazonaws.com",
    path: "/mcp",
    identity: "key AKIA****MPLE from environment",
    steps: None,
    private_issuer: None,
    intercepted: None,
};

impl SignedWith<'_> {
    /// The hint for a request that AWS did not receive as it was signed, if the network probably opens TLS.
    pub(crate) fn inspected(&self) -> Option<String> {
        let issuer = self.private_issuer?.to_owned();
        Some(Intermediary::TlsInspection { issuer }.to_string())
    }

    /// Adds that hint to the one for an error that AWS or the network may have sent.
    fn or_inspected(&self, hint: String) -> String {
        match self.inspected() {
            Some(inspected) => format!("{hint}; or {inspected}"),
            None => hint,
        }
    }

    /// The names of the signed headers.
    fn headers(&self) -> Option<&str> {
        self.steps?.canonical_request.lines().rev().nth(1)
    }
}

/// The command or setting that fixes it, if one is known. `lambda_error` is the error type of a Lambda web function.
pub(crate) fn hint(
    status: u16,
    body: &AwsErrorBody,
    lambda_error: Option<&str>,
    signed: &SignedWith<'_>,
) -> Option<String> {
    let SignedWith { service, region, host, path, .. } = signed;
    let facts = match lambda_error {
        Some(_) => ServiceFacts::of_web_function(),
        None => ServiceFacts::of(service, host, path),
    };
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
        Cause::Clock { .. } => "sync the local clock with NTP: it is wrong",
        Cause::ExpiredCredentials => {
            "renew the session token, which has expired: run sigv4-proxy login or aws sso login"
        }
        Cause::UnknownCredentials => {
            "check the access key with aws sts get-caller-identity: AWS does not recognize it"
        }
        Cause::WrongSignature => {
            return Some(signed.inspected().unwrap_or_else(|| {
                let headers = signed.headers().map(|names| format!(" with the headers {names}"));
                format!(
                    "check the secret key, --service-name, --region, and that nothing in between changes the request: it was signed for service {service} in {region}{}",
                    headers.unwrap_or_default()
                )
            }));
        }
        Cause::WrongService { expected } => {
            return Some(format!(
                "set --service-name {expected}: the request was signed for service {service}"
            ));
        }
        Cause::WrongRegion => {
            return Some(format!(
                "set --region to the region of the server: the request was signed for region {region}"
            ));
        }
        Cause::RetryableConflict => "the runtime is being updated: try again in a few seconds",
        Cause::RuntimeStarting => "the runtime is still starting: try again in a few seconds",
        _ if error_type == "MissingAuthenticationTokenException" => {
            let hint = "check the path and the stage in the URL: the request was signed";
            return Some(signed.or_inspected(hint.to_owned()));
        }
        _ if text.contains("authorization method mismatch") => {
            "connect to this server without sigv4-proxy: it requires OAuth, not SigV4"
        }
        _ if error_type.starts_with("AccessDenied")
            || text.contains("not authorized to perform") =>
        {
            return Some(format!(
                "allow {} in the identity policy and the resource policy; aws sts get-caller-identity shows the identity",
                facts.action.unwrap_or("the action")
            ));
        }
        // What follows is about the URL of an MCP server.
        _ if *service == "sts" => return None,
        _ => match status {
            401 | 403 => {
                let policy = match facts.action {
                    Some(action) => format!("the policy ({action})"),
                    None => "policy".to_owned(),
                };
                return Some(format!(
                    "check {policy}, the path, --service-name and --region: the request was signed for service {service} in {region}"
                ));
            }
            402 => "check the AWS quotas: one of them is exhausted",
            404 => "check the path of the URL, or the ARN and its qualifier",
            405 | 406 => "check that the URL is an MCP endpoint",
            407 => {
                "set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT: a proxy in the network requires a user and password"
            }
            413 => facts.too_large,
            424 => "the runtime failed: see its log in CloudWatch",
            429 => facts.throttled,
            500 | 502 => facts.failed,
            503 => facts.unavailable,
            504 => facts.timeout,
            511 => "sign in to the network with a browser",
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
            (409, Some("RetryableConflictException"), "{}", "try again in a few seconds"),
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
            let hint = hint(status, &found, None, &SIGNED).unwrap_or_default();
            assert!(hint.contains(expected), "{body}: {hint}");
        }
    }

    /// By service: hints for 403 with and without a type, 413, 429, 502, 503 and 504.
    #[test]
    fn limits_and_actions_are_those_of_the_service() {
        const AGENTCORE: &str = "bedrock-agentcore.us-east-1.amazonaws.com";
        for (service, host, path, rows) in [
            (
                "lambda",
                "abc.lambda-web.global.on.aws",
                "/mcp",
                [
                    "lambda:InvokeWebFunctionEndpoint",
                    "larger than the service",
                    "rateLimit",
                    "CloudWatch",
                    "",
                    "timeoutSeconds in a new revision (default 30, maximum 900)",
                ],
            ),
            (
                "lambda",
                "abc.lambda-url.us-east-1.on.aws",
                "/mcp",
                [
                    "lambda:InvokeFunctionUrl and lambda:InvokeFunction",
                    "6 MB",
                    "",
                    "BUFFERED",
                    "",
                    "maximum 900 s",
                ],
            ),
            (
                "execute-api",
                "mcp.example.com",
                "/mcp",
                ["execute-api:Invoke", "10 MB", "", "", "30 s", "29 s by default: raise"],
            ),
            (
                "bedrock-agentcore",
                AGENTCORE,
                "/runtimes/a/invocations",
                ["bedrock-agentcore:InvokeAgentRuntime", "100 MB", "quota", "", "", "15 min"],
            ),
            (
                "bedrock-agentcore",
                "mcp.example.com",
                "/mcp",
                ["bedrock-agentcore:InvokeGateway", "", "quota", "", "", "target"],
            ),
            (
                "vpc-lattice-svcs",
                "orders.internal",
                "/",
                ["vpc-lattice-svcs:Invoke", "", "", "", "", "60 s by default"],
            ),
            (
                "elasticloadbalancing",
                "a-1.us-east-1.elb.amazonaws.com",
                "/",
                ["the action", "", "", "", "", "60 s by default"],
            ),
            (
                "aws-mcp",
                "aws-mcp.us-east-1.api.aws",
                "/mcp",
                ["aws-mcp:InvokeMcp", "", "3 requests per second", "", "", "gateway"],
            ),
            ("s3", "mcp.example.com", "/", ["the action", "", "", "", "", "gateway"]),
        ] {
            let signed = SignedWith { service, host, path, ..SIGNED };
            let hint = |status, error_type| {
                let body = AwsErrorBody::parse(error_type, b"{}");
                hint(status, &body, None, &signed).unwrap_or_default()
            };
            let [action, too_large, throttled, failed, unavailable, timeout] = rows;
            let denied = hint(403, Some("AccessDeniedException"));
            assert!(denied.starts_with(&format!("allow {action}")), "{service}: {denied}");
            if action != "the action" {
                assert!(hint(403, None).contains(action), "{service}: {}", hint(403, None));
            }
            for (status, expected) in [
                (413, too_large),
                (429, throttled),
                (500, failed),
                (502, failed),
                (503, unavailable),
                (504, timeout),
            ] {
                let hint = hint(status, None);
                assert!(hint.contains(expected), "{service} {status}: {hint}");
                assert!(!hint.is_empty(), "{service} {status}");
            }
        }
    }

    #[test]
    fn what_a_network_that_opens_tls_may_cause_names_it() {
        let steps = SigningSteps {
            canonical_request: "POST\n/\n\nhost:a\nx-amz-date:b\n\nhost;x-amz-date\nhash"
                .to_owned(),
            string_to_sign: String::new(),
        };
        let signature = br#"{"message":"The request signature we calculated does not match"}"#;
        let signature = AwsErrorBody::parse(Some("SignatureDoesNotMatch"), signature);
        let missing = br#"{"message":"Missing Authentication Token"}"#;
        let missing = AwsErrorBody::parse(Some("MissingAuthenticationTokenException"), missing);
        let denied = AwsErrorBody::parse(None, br#"{"message":"Forbidden"}"#);
        let hint = |body: &AwsErrorBody, private_issuer| {
            let signed = SignedWith { steps: Some(&steps), private_issuer, ..SIGNED };
            hint(403, body, None, &signed).unwrap()
        };
        for (body, usual, may_be_the_network) in [
            (&signature, "with the headers host;x-amz-date", true),
            (&missing, "check the path and the stage", true),
            (&denied, "check the policy", false),
        ] {
            let public = hint(body, None);
            assert!(public.contains(usual) && !public.contains("TLS inspection"), "{public}");
            let private = hint(body, Some("Corporate CA"));
            for words in ["*.amazonaws.com, *.api.aws and *.on.aws", "issued by Corporate CA"] {
                assert_eq!(private.contains(words), may_be_the_network, "{private}");
            }
        }
    }

    #[test]
    fn a_web_function_is_recognised_by_its_error_under_any_name() {
        let signed = SignedWith { service: "lambda", host: "mcp.example.com", ..SIGNED };
        let hint = hint(504, &AwsErrorBody::default(), Some("Runtime.RequestTimeout"), &signed);
        assert!(hint.unwrap().contains("timeoutSeconds"));
    }

    #[test]
    fn a_misspelt_region_is_the_likeliest_reason_of_a_refused_signature() {
        let signed = SignedWith { service: "s3", region: "us-east-1a", ..SIGNED };
        for (status, error_type, expected) in [
            (403, Some("SignatureDoesNotMatch"), true),
            (403, None, true),
            (403, Some("ExpiredToken"), false),
            (404, None, false),
        ] {
            let body = AwsErrorBody::parse(error_type, b"{}");
            let hint = hint(status, &body, None, &signed).unwrap_or_default();
            assert_eq!(hint.contains("its region us-east-1"), expected, "{hint}");
        }
    }
}
