//! The verifying server itself: what AWS's signer signs passes, what was altered since does not.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
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
use crate::support::{Algorithm, Key, Mode, Reply, Server, ServerOptions, Verdict};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: OffsetDateTime = datetime!(2026-07-01 12:00:00 UTC);
const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[test]
fn what_aws_signs_passes() {
    for algorithm in [Algorithm::V4, Algorithm::V4a] {
        assert_eq!(check(&signed(algorithm), NOW), Ok(()));
    }
}

#[test]
fn what_was_altered_is_refused() {
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

/// The canonical forms are ours; AWS's signer must come to the same signature from them.
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
            let theirs = aws_signature(&mut request, algorithm);
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
fn it_serves_what_is_signed_and_says_why_it_refuses() {
    let server = Server::start(ServerOptions { mode: Mode::Sse, ..ServerOptions::default() });
    server.reply_next("ping", Reply::aws_error(429, "ThrottlingException", "Rate exceeded"));
    let mut client = TcpStream::connect(server.url("").trim_start_matches("http://")).unwrap();
    let stale = signed(Algorithm::V4);
    let throttled = signed_at(Algorithm::V4a, now());
    for (request, status) in [(&stale, "403"), (&throttled, "429"), (&throttled, "200")] {
        assert_eq!(exchange(&mut client, request), status);
    }
    let verdicts: Vec<Verdict> = server.requests().iter().map(|r| r.verdict).collect();
    let refused = Verdict::Refused("InvalidSignatureException");
    assert_eq!(verdicts, [refused, Verdict::Verified, Verdict::Verified]);
    assert_eq!(server.requests()[2].label(), "ping");
    assert_eq!(server.requests()[2].request.body, BODY.as_bytes());
}

fn check(request: &Request, now: OffsetDateTime) -> Result<(), &'static str> {
    let keys = [Key::new(ID, SECRET)];
    let expected = Expected {
        service: "execute-api".into(),
        region: "us-east-1".into(),
        algorithms: vec![Algorithm::V4, Algorithm::V4a],
    };
    verify(request, &keys, &expected, now).map_err(|refusal| refusal.code)
}

fn signed(algorithm: Algorithm) -> Request {
    signed_at(algorithm, NOW)
}

fn signed_at(algorithm: Algorithm, time: OffsetDateTime) -> Request {
    let mut request = unsigned_request();
    sign_with_aws(&mut request, algorithm, time);
    request
}

fn aws_signature(request: &mut Request, algorithm: Algorithm) -> String {
    sign_with_aws(request, algorithm, NOW)
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

fn sign_with_aws(request: &mut Request, algorithm: Algorithm, time: OffsetDateTime) -> String {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = Credentials::new(ID, SECRET, None, None, "test").into();
    let time = SystemTime::from(time);
    let params: SigningParams<'_> = match algorithm {
        Algorithm::V4 => v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("execute-api")
            .time(time)
            .settings(settings)
            .build()
            .unwrap()
            .into(),
        Algorithm::V4a => v4a::SigningParams::builder()
            .identity(&identity)
            .region_set("us-*,eu-west-1")
            .name("execute-api")
            .time(time)
            .settings(settings)
            .build()
            .unwrap()
            .into(),
    };
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let url = format!("http://127.0.0.1:8000{}", request.target);
    let body = SignableBody::Bytes(&request.body);
    let signable = SignableRequest::new(&request.method, url, headers, body).unwrap();
    let (instructions, signature) = sign(signable, &params).unwrap().into_parts();
    for (name, value) in instructions.headers() {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    signature
}

fn header_mut<'a>(request: &'a mut Request, name: &str) -> &'a mut String {
    let found = request.headers.iter_mut().find(|(given, _)| given.eq_ignore_ascii_case(name));
    &mut found.unwrap().1
}

/// Sends the request on the connection and reads its answer to the end; gives the status.
fn exchange(client: &mut TcpStream, request: &Request) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "content-length: {}\r\n\r\n", request.body.len());
    client.write_all(text.as_bytes()).unwrap();
    client.write_all(&request.body).unwrap();
    let mut answer = Vec::new();
    // Both forms of an answer end in a brace or in the last chunk, and nothing follows until the next request.
    while !(answer.ends_with(b"}") || answer.ends_with(b"\r\n0\r\n\r\n")) {
        let mut piece = [0; 4096];
        let read = client.read(&mut piece).unwrap();
        assert_ne!(read, 0, "the server closed the connection");
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(answer).unwrap()[9..12].to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the server compares with the true time")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
