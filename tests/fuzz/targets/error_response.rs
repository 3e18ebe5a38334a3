//! Any error response becomes one line without control characters, of bounded length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4_proxy::aws::error_body::AwsErrorBody;
use sigv4_proxy::aws::error_response::ErrorResponse;
use sigv4_proxy::aws::hint::SignedWith;
use sigv4_proxy::aws::signature_diff::SigningSteps;
use sigv4_proxy::mcp::server_message::ErrorBody;

fuzz_target!(|input: (u16, Option<&str>, Option<&str>, Option<&str>, &[u8])| {
    let (status, error_type, lambda_error, location, body) = input;
    let error_body = AwsErrorBody::parse(error_type, body);
    let response = ErrorResponse {
        status,
        request_id: Some("r"),
        challenge: error_type,
        lambda_error,
        location,
        body: &error_body,
    };
    let steps = SigningSteps {
        canonical_request: "POST\n/\n\nhost:a\n\nhost\nhash".to_owned(),
        string_to_sign: "AWS4-HMAC-SHA256\n20300101T000000Z\nscope\nhash".to_owned(),
    };
    let identity = "key AKIA****MPLE from test";
    let (host, path) = ("a.lambda-web.global.on.aws", "/");
    let signed = SignedWith {
        service: "lambda",
        region: "r",
        host,
        path,
        identity,
        steps: Some(&steps),
        private_issuer: location,
        intercepted: location,
    };
    let error = response.to_error(&signed);
    assert!(error.to_string().chars().count() < 2000 + location.map_or(0, str::len));
    if location.is_none() {
        assert!(!error.message().contains(char::is_control), "{:?}", error.message());
    }
    let _ = ErrorBody::parse(&String::from_utf8_lossy(body));
});
