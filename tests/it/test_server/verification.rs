//! The test server accepts signatures of AWS's signer, and rejects altered requests.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::{v4, v4a};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::support::canonical::{canonical_request, sha256_hex, string_to_sign};
use crate::support::http::Request;
use crate::support::verify::{Expected, verify};
use crate::support::{Algorithm, Key};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: OffsetDateTime = datetime!(2026-07-01 12:00:00 UTC);
const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[test]
fn signatures_of_aws_pass() {
    for algorithm in [Algorithm::V4, Algorithm::V4a] {
        assert_eq!(check(&signed(algorithm), NOW), Ok(()));
    }
}

#[test]
fn altered_requests_are_refused() {
    let body = |request: &mut Request| request.body[2] ^= 1;
    let path = |request: &mut Request| request.target.replace_range(1..2, "n");
    let query = |request: &mut Request| request.target.push('1');
    let header = |request: &mut Request| header_mut(request, "content-type").push('x');
    let signature = |request: &mut Request| {
        let authorization = header_mut(request, "authorization");
        let last = authorization.pop();
        authorization.push(if last == Some('0') { '1' } else { '0' });
    };
    let alterations: [&dyn Fn(&mut Request); 5] = [&body, &path, &query, &header, &signature];
    for algorithm in [Algorithm::V4, Algorithm::V4a] {
        for alter in alterations {
            let mut request = signed(algorithm);
            alter(&mut request);
            assert_eq!(check(&request, NOW), Err("InvalidSignatureException"), "{request:?}");
        }
    }
}

#[test]
fn each_fault_has_the_code_aws_gives_it() {
    let with = |alter: &dyn Fn(&mut Request)| {
        let mut request = signed(Algorithm::V4);
        alter(&mut request);
        check(&request, NOW)
    };
    let authorization = |from: &'static str, to: &'static str| {
        with(&move |request| {
            let text = header_mut(request, "authorization");
            *text = text.replace(from, to);
        })
    };
    let without = with(&|request| request.headers.retain(|(name, _)| name != "authorization"));
    assert_eq!(without, Err("MissingAuthenticationTokenException"));
    assert_eq!(authorization(";host", ""), Err("IncompleteSignatureException"));
    assert_eq!(authorization(";x-amz-date", ""), Err("IncompleteSignatureException"));
    assert_eq!(authorization("Signature=", "Sig="), Err("IncompleteSignatureException"));
    assert_eq!(authorization("accept;", "accept;also;"), Err("IncompleteSignatureException"));
    assert_eq!(authorization("AKIA", "ASIA"), Err("UnrecognizedClientException"));
    assert_eq!(authorization("us-east-1", "us-east-2"), Err("InvalidSignatureException"));
    assert_eq!(authorization("execute-api", "execute-apis"), Err("InvalidSignatureException"));
    assert_eq!(authorization("20260701", "20260702"), Err("InvalidSignatureException"));
    let unsigned = with(&|request| request.headers.push(("X-Amz-Extra".into(), "1".into())));
    assert_eq!(unsigned, Err("AccessDeniedException"));
    let late = check(&signed(Algorithm::V4), NOW + Duration::from_secs(301));
    assert_eq!(late, Err("InvalidSignatureException"));
}

/// AWS's signer must compute the same signature from this program's canonical forms.
#[test]
fn canonical_forms_are_those_of_aws() {
    let targets = [
        "/",
        "/mcp/",
        "/a//b/./c/../d/.",
        "/..",
        "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fx/invocations?qualifier=DEFAULT",
        "/a:b,c@d!$&'()*+;=~?b=2&a=%7e&a=1&a%20b=c%2Fd&empty&=x",
        "/%E2%82%AC?x=a=b&x=%2B&z%7C=1&z=1",
    ];
    for algorithm in [Algorithm::V4, Algorithm::V4a] {
        for target in targets {
            let mut request = unsigned_request();
            request.target = target.to_owned();
            request.headers.push(("X-Twice".into(), "  two   blanks ".into()));
            request.headers.push(("x-twice".into(), "b".into()));
            let theirs = Signing { algorithm, ..Signing::default() }.sign(&mut request);
            let authorization = request.header("authorization").unwrap();
            let (_, names) = authorization.split_once("SignedHeaders=").unwrap();
            let names = names.split(',').next().unwrap();
            let names: Vec<String> = names.split(';').map(str::to_owned).collect();
            let payload = sha256_hex(&request.body);
            let canonical = canonical_request(&request, &names, &payload);
            let (scope, ours): (_, fn(&str) -> String) = match algorithm {
                Algorithm::V4 => ("20260701/us-east-1/execute-api/aws4_request", |text| {
                    let key =
                        v4::generate_signing_key(SECRET, NOW.into(), "us-east-1", "execute-api");
                    v4::calculate_signature(key, text.as_bytes())
                }),
                Algorithm::V4a => ("20260701/execute-api/aws4_request", |text| {
                    let key = v4a::generate_signing_key(ID, SECRET);
                    v4a::calculate_signature(key, text.as_bytes())
                }),
            };
            let text = string_to_sign(algorithm.name(), "20260701T120000Z", scope, &canonical);
            assert_eq!(ours(&text), theirs, "{canonical}");
        }
    }
}

#[test]
fn a_token_belongs_to_its_key() {
    let with_token = Key::new(ID, SECRET).with_token("IQoJb3JpZ2lu");
    let signing = Signing { token: Some("IQoJb3JpZ2lu"), ..Signing::default() };
    let expected = expected("execute-api");
    let check = |request: &Request, key: &Key| {
        verify(request, std::slice::from_ref(key), &expected, NOW).map_err(|refusal| refusal.code)
    };
    assert_eq!(check(&signing.request(), &with_token), Ok(()));
    let unknown = Err("UnrecognizedClientException");
    assert_eq!(check(&signing.request(), &Key::new(ID, SECRET)), unknown);
    assert_eq!(check(&Signing::default().request(), &with_token), unknown);
}

#[test]
fn only_vpc_lattice_takes_an_unsigned_payload() {
    for algorithm in [Algorithm::V4, Algorithm::V4a] {
        let check = |service, unsigned| {
            let request = Signing { algorithm, service, unsigned, ..Signing::default() }.request();
            let keys = [Key::new(ID, SECRET)];
            verify(&request, &keys, &expected(service), NOW).map_err(|refusal| refusal.code)
        };
        assert_eq!(check("vpc-lattice-svcs", true), Ok(()));
        assert_eq!(check("vpc-lattice-svcs", false), Err("InvalidSignatureException"));
        assert_eq!(check("execute-api", true), Err("InvalidSignatureException"));
    }
}

fn check(request: &Request, now: OffsetDateTime) -> Result<(), &'static str> {
    let keys = [Key::new(ID, SECRET)];
    verify(request, &keys, &expected("execute-api"), now).map_err(|refusal| refusal.code)
}

fn expected(service: &str) -> Expected {
    Expected {
        service: service.into(),
        region: "us-east-1".into(),
        algorithms: vec![Algorithm::V4, Algorithm::V4a],
    }
}

fn signed(algorithm: Algorithm) -> Request {
    Signing { algorithm, ..Signing::default() }.request()
}

fn unsigned_request() -> Request {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Request {
        method: "POST".into(),
        target: "/mcp?x=1".into(),
        headers: vec![
            header("Host", "127.0.0.1:8000"),
            header("Accept", "application/json, text/event-stream"),
            header("Content-Type", "application/json"),
        ],
        body: BODY.into(),
    }
}

/// How AWS's signer is to sign.
pub(crate) struct Signing {
    pub(crate) algorithm: Algorithm,
    pub(crate) service: &'static str,
    pub(crate) token: Option<&'static str>,
    pub(crate) unsigned: bool,
    pub(crate) time: OffsetDateTime,
}

impl Default for Signing {
    fn default() -> Signing {
        Signing {
            algorithm: Algorithm::V4,
            service: "execute-api",
            token: None,
            unsigned: false,
            time: NOW,
        }
    }
}

impl Signing {
    pub(crate) fn request(&self) -> Request {
        let mut request = unsigned_request();
        self.sign(&mut request);
        request
    }

    /// Adds the headers; gives the signature.
    fn sign(&self, request: &mut Request) -> String {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let token = self.token.map(str::to_owned);
        let identity = Credentials::new(ID, SECRET, token, None, "test").into();
        let time = SystemTime::from(self.time);
        let params: SigningParams<'_> = match self.algorithm {
            Algorithm::V4 => v4::SigningParams::builder()
                .identity(&identity)
                .region("us-east-1")
                .name(self.service)
                .time(time)
                .settings(settings)
                .build()
                .unwrap()
                .into(),
            Algorithm::V4a => v4a::SigningParams::builder()
                .identity(&identity)
                .region_set("us-*,eu-west-1")
                .name(self.service)
                .time(time)
                .settings(settings)
                .build()
                .unwrap()
                .into(),
        };
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let url = format!("http://127.0.0.1:8000{}", request.target);
        let body = if self.unsigned {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Bytes(&request.body)
        };
        let signable = SignableRequest::new(&request.method, url, headers, body).unwrap();
        let (instructions, signature) = sign(signable, &params).unwrap().into_parts();
        for (name, value) in instructions.headers() {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        signature
    }
}

fn header_mut<'a>(request: &'a mut Request, name: &str) -> &'a mut String {
    let found = request.headers.iter_mut().find(|(given, _)| given.eq_ignore_ascii_case(name));
    &mut found.unwrap().1
}
