//! Random requests, signed by us and by the `aws-sigv4` crate.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use proptest::prelude::*;
use sigv4_proxy::http::url::Endpoint;
use sigv4_proxy::signing::{
    AccessKey, Algorithm, CanonicalTarget, Header, Payload, PayloadSigning, Request, Secret,
    Signer, UriEncoding,
};
use std::time::{Duration, UNIX_EPOCH};

#[derive(Debug, Clone)]
struct Case {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    secret: String,
    token: Option<String>,
    region: String,
    service: String,
    unix: u32,
}

fn case() -> impl Strategy<Value = Case> {
    // Escapes in the query are ASCII: aws-sigv4 puts U+FFFD for bytes that are not UTF-8.
    let piece = "[a-zA-Z0-9._~!$&'()*+,;=:@ %é/-]{0,12}";
    let url = (
        piece,
        piece,
        proptest::option::of("(([a-zA-Z0-9]|%[2-7][0-9A-Fa-f]){1,4}(=([a-zA-Z0-9/+ é~-]|%[2-7][0-9A-F]|% ){0,6})?&?){0,5}"),
    )
        .prop_map(|(a, b, query)| {
            let query = query.map_or(String::new(), |q| format!("?{q}"));
            format!("https://host.example:8443/{a}/x/{b}{query}")
        });
    let headers =
        proptest::collection::vec(("x-[a-z]{1,6}", "[!-~]{0,6}( {1,3}[!-~]{1,5})?"), 0..5);
    (
        prop_oneof![Just("GET"), Just("POST"), Just("DELETE")],
        url,
        headers,
        proptest::collection::vec(any::<u8>(), 0..200),
        "[a-zA-Z0-9/+]{40}",
        proptest::option::of("[a-zA-Z0-9/+=]{1,80}"),
        "[a-z]{2}-[a-z]{4,9}-[1-9]",
        "[a-z][a-z-]{2,12}",
        any::<u32>(),
    )
        .prop_map(|(method, url, headers, body, secret, token, region, service, unix)| Case {
            method,
            url,
            headers,
            body,
            secret,
            token,
            region,
            service,
            unix,
        })
}

fn ours(case: &Case) -> (String, Endpoint) {
    let endpoint = Endpoint::parse(&case.url).expect("a URL");
    let rule = UriEncoding::Double;
    let headers: Vec<Header<'_>> =
        case.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let request = Request {
        method: case.method,
        target: &CanonicalTarget::new(
            &endpoint.authority(),
            endpoint.path(),
            endpoint.query(),
            rule,
        ),
        headers: &headers,
        payload: &Payload::of(&case.body, PayloadSigning::HashedInHeader),
    };
    let key = AccessKey {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret::new(&case.secret),
        session_token: case.token.as_deref().map(Secret::new),
    };
    let at = time::OffsetDateTime::from_unix_timestamp(case.unix.into())
        .expect("32 bits of seconds are a date");
    let signer = Signer::new(Algorithm::V4, &case.region, &case.service);
    (signer.sign(&request, &key, at).signature.clone(), endpoint)
}

fn theirs(case: &Case, endpoint: &Endpoint) -> String {
    let identity =
        Credentials::new("AKIDEXAMPLE", &case.secret, case.token.clone(), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(&case.region)
        .name(&case.service)
        .time(UNIX_EPOCH + Duration::from_secs(case.unix.into()))
        .settings(settings)
        .build()
        .expect("complete")
        .into();
    let headers = case.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let url = endpoint.to_string();
    let request = SignableRequest::new(case.method, &url, headers, SignableBody::Bytes(&case.body))
        .expect("a request");
    sign(request, &params).expect("signed").into_parts().1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_aws_sigv4_crate(case in case()) {
        let (signature, endpoint) = ours(&case);
        prop_assert_eq!(&signature, &theirs(&case, &endpoint), "{}", endpoint);
    }
}
