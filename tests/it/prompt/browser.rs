//! `--login browser`: a link that ends on this machine.

use crate::harness::program::{Program, SECRET};
use crate::prompt::scene::{Scene, TAKES_URLS, add, response, shake_hands, sum};
use crate::support::aws::Aws;
use crate::support::identity_center::{KEY_ID, REFRESH_TOKEN, SESSION_TOKEN};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sigv4_proxy::clock;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

fn started(scene: &Scene) -> Program {
    let mut program = scene.launch().arg("--login=browser").start();
    shake_hands(&mut program, "2025-11-25", TAKES_URLS);
    program
}

fn parameter(link: &str, name: &str) -> String {
    let (_, query) = link.split_once('?').unwrap();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    let bytes = sigv4_proxy::percent::decode(value.unwrap_or_else(|| panic!("{name} in {link}")));
    String::from_utf8(bytes).unwrap()
}

/// Follows the redirect of the link, as the browser does after the user has approved.
fn follow(link: &str) -> String {
    let uri = parameter(link, "redirect_uri");
    let (authority, path) = uri.strip_prefix("http://").unwrap().split_once('/').unwrap();
    assert!(authority.starts_with("127.0.0.1:"), "{authority}");
    let mut stream = TcpStream::connect(authority).unwrap();
    let state = parameter(link, "state");
    write!(
        stream,
        "GET /{path}?code=canary-code&state={state} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    )
    .unwrap();
    let mut page = String::new();
    let _ = stream.read_to_string(&mut page);
    page
}

fn link_of(question: &Value) -> String {
    assert_eq!(question["method"], "elicitation/create", "{question}");
    question["params"]["url"].as_str().unwrap().to_owned()
}

#[test]
fn a_call_goes_on_after_the_browser_has_come_back() {
    let scene = Scene::new("browser");
    let mut program = started(&scene);
    program.write(&add(1));
    let link = link_of(&program.read());
    assert!(
        link.starts_with(&format!("{}/authorize?response_type=code", scene.center.url)),
        "{link}"
    );
    // Another process shows the same link.
    let mut other = started(&scene);
    other.write(&add(1));
    assert_eq!(link_of(&other.read()), link);
    program.write(r#"{"jsonrpc":"2.0","id":"sigv4-proxy-sign-in-1","result":{"action":"accept"}}"#);
    assert!(follow(&link).starts_with("HTTP/1.1 200"));
    for program in [&mut program, &mut other] {
        while program.read()["method"] != "notifications/elicitation/complete" {}
        assert_eq!(sum(&response(program, 1)), "2");
    }
    let grants = scene.center.bodies("/token");
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0]["grantType"], "authorization_code");
    assert_eq!(scene.center.count("/device_authorization"), 0, "no device code");
    assert!(!scene.file("pending").exists());
}

#[test]
fn a_sign_in_elsewhere_closes_the_port() {
    let scene = Scene::new("browser-elsewhere");
    let mut program = started(&scene);
    program.write(&add(1));
    let link = link_of(&program.read());
    fs::write(scene.file("json"), scene.center.token_file()).unwrap();
    while program.read()["method"] != "notifications/elicitation/complete" {}
    assert_eq!(sum(&response(&mut program, 1)), "2");
    let uri = parameter(&link, "redirect_uri");
    let authority = uri.strip_prefix("http://").unwrap().split_once('/').unwrap().0.to_owned();
    let started = std::time::Instant::now();
    while TcpStream::connect(&authority).is_ok() {
        assert!(started.elapsed() < crate::harness::program::PATIENCE, "the port stays open");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_console_session_is_started_too_and_must_be_that_of_the_profile() {
    for (sub, words) in [
        ("arn:aws:iam::111122223333:user/ann", None),
        (
            "arn:aws:iam::111122223333:user/bob",
            Some("the browser signed in as arn:aws:iam::111122223333:user/bob"),
        ),
    ] {
        let scene = Scene::new(&format!("console-{}", words.is_some()));
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let id_token =
            format!("{}.{}.x", part(json!({ "alg": "none" })), part(json!({ "sub": sub })));
        let keys = json!({
            "accessKeyId": KEY_ID, "secretAccessKey": SECRET, "sessionToken": SESSION_TOKEN,
        });
        let granted = json!({
            "ask": "POST /v1/token", "dpop_any": true, "json": { "code": "canary-code" },
            "answer": { "accessToken": keys, "tokenType": "aws_sigv4", "expiresIn": 900,
                        "refreshToken": REFRESH_TOKEN, "idToken": id_token },
        });
        let aws = Aws::start(vec![granted], clock::now());
        let launch = scene.launch_with(&["--profile=console", "--login=browser"]);
        let mut program = launch.env("AWS_ENDPOINT_URL_SIGNIN", &aws.url).start();
        shake_hands(&mut program, "2025-11-25", TAKES_URLS);
        program.write(&add(1));
        let link = link_of(&program.read());
        assert!(link.starts_with(&format!("{}/v1/authorize?", aws.url)), "{link}");
        program.write(
            r#"{"jsonrpc":"2.0","id":"sigv4-proxy-sign-in-1","result":{"action":"accept"}}"#,
        );
        assert!(follow(&link).starts_with("HTTP/1.1 200"));
        if let Some(words) = words {
            let error = response(&mut program, 1);
            assert!(error["error"]["message"].as_str().unwrap().contains(words), "{error}");
        } else {
            while program.read()["method"] != "notifications/elicitation/complete" {}
            assert_eq!(sum(&response(&mut program, 1)), "2");
        }
        assert_eq!(aws.unexpected(), [""; 0]);
    }
}
