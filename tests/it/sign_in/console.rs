//! `aws login`: signing in to the console.

use base64::Engine as _;
#[cfg(target_os = "linux")]
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::sign_in::{Rig, browse, mode, parameter};

const ARN: &str = "arn:aws:iam::111122223333:user/ann";

fn config() -> String {
    format!(
        "[profile console]\nlogin_session = {ARN}\nregion = eu-west-1\n\
         [profile empty]\nregion = eu-west-1\n[profile process]\ncredential_process = x\n"
    )
}

fn file() -> String {
    format!(".aws/login/cache/{}.json", hex::encode(Sha256::digest(ARN)))
}

fn id_token(sub: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.canary-id-token", part(&json!({ "alg": "none" })), part(&json!({ "sub": sub })))
}

fn token(status: u16, answer: &Value) -> Value {
    json!({
        "ask": "POST /v1/token",
        "headers": { "content-type": "application/json" },
        "headers_without": ["authorization"],
        "dpop_any": true,
        "json": { "grantType": "authorization_code", "code": "canary-authorization-code" },
        "status": status,
        "answer": answer,
    })
}

fn granted(sub: &str) -> Value {
    token(
        200,
        &json!({
            "accessToken": { "accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": "canary-secret-key",
                             "sessionToken": "canary-session-token" },
            "tokenType": "aws_sigv4", "expiresIn": 900, "refreshToken": "canary-refresh-token",
            "idToken": id_token(sub),
        }),
    )
}

/// Signs in as a browser on this machine would; returns the exit code, the text and the body of the token request.
fn sign_in(rig: &Rig, profile: &str, query: &str) -> (Option<i32>, String, String) {
    let mut running = rig.start(&["login", "--no-browser", "--profile", profile]);
    let link = running.line("http://127.0.0.1");
    assert!(
        link.starts_with(&format!("{}/v1/authorize?response_type=code&", rig.aws.url)),
        "{link}"
    );
    assert_eq!(parameter(&link, "client_id"), "arn:aws:signin:::devtools/same-device");
    assert_eq!(parameter(&link, "code_challenge_method"), "SHA-256");
    assert_eq!(parameter(&link, "scope"), "openid");
    assert_eq!(parameter(&link, "code_challenge").len(), 43);
    let callback = parameter(&link, "redirect_uri");
    running.line("Waiting until ");
    let state = parameter(&link, "state");
    assert!(browse(&format!("{callback}?code=other&state=wrong")).starts_with("HTTP/1.1 404"));
    assert!(browse(&format!("{callback}?{query}&state={state}")).starts_with("HTTP/1.1 200"));
    let (code, text) = running.end();
    (code, text, callback)
}

#[test]
fn with_a_browser_on_this_machine() {
    let rig = Rig::new("console", &config(), vec![granted(ARN)]);
    let (code, text, callback) = sign_in(&rig, "console", "code=canary-authorization-code");
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    let whose = " UTC: key ASIA****MPLE from aws login (profile console), account 111122223333\n";
    assert!(text.contains("signed in until ") && text.ends_with(whose), "{text}");

    let mut found = rig.json(&file());
    let pem = found["dpopKey"].take();
    let pem = pem.as_str().unwrap();
    assert!(
        pem.starts_with("-----BEGIN EC PRIVATE KEY-----\n")
            && pem.lines().all(|line| line.len() <= 64)
    );
    let expires = found["accessToken"]["expiresAt"].take();
    assert!(expires.as_str().is_some_and(|time| time.len() == 20 && time.ends_with('Z')));
    let expected = json!({
        "accessToken": { "accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": "canary-secret-key",
                         "sessionToken": "canary-session-token", "accountId": "111122223333", "expiresAt": null },
        "tokenType": "aws_sigv4", "refreshToken": "canary-refresh-token", "idToken": id_token(ARN),
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": null,
    });
    assert_eq!((found, mode(&rig, &file())), (expected, "600".to_owned()));

    let [body] = &rig.aws.bodies("POST /v1/token")[..] else { panic!("one request") };
    assert_eq!(
        (&body["redirectUri"], &body["clientId"]),
        (&json!(callback), &json!("arn:aws:signin:::devtools/same-device"))
    );
    assert_eq!(body["codeVerifier"].as_str().map(str::len), Some(64));
    assert_eq!(body.as_object().unwrap().len(), 5, "{body}");
}

#[test]
fn the_profile_decides_who_may_sign_in_and_the_config_file_is_never_written() {
    let other = "arn:aws:iam::999999999999:user/bob";
    let rig = Rig::new("console-other", &config(), vec![granted(other)]);
    let (code, text, _) = sign_in(&rig, "console", "code=canary-authorization-code");
    let expected = format!(
        "ERROR: signed in as {other}, but profile \"console\" is for {ARN}: sign in as that, or set login_session\n"
    );
    assert!(code == Some(1) && text.ends_with(&expected), "{text}");
    assert!(!rig.has(".aws/login"));

    rig.aws.expect(vec![granted(ARN)]);
    let (code, text, _) = sign_in(&rig, "empty", "code=canary-authorization-code");
    let expected = format!("add to ~/.aws/config:\n[profile empty]\nlogin_session = {ARN}\n");
    assert!(code == Some(0) && text.contains(&expected) && rig.has(&file()), "{text}");
    let why = "profile \"empty\" configures no credentials, so this signs in to the console; --profile selects another profile\n";
    assert!(text.starts_with(why), "{text}");
    assert_eq!(std::fs::read_to_string(rig.home.0.join(".aws/config")).unwrap(), config());

    let (code, text) = rig.run(&["login", "--remote", "--profile", "process"]);
    assert!(code == Some(1) && text.contains("uses credential_process, which --remote"), "{text}");
}

#[test]
fn errors_of_the_browser_and_of_the_service() {
    let rig = Rig::new("console-errors", &config(), vec![]);
    for (query, entries, expected) in [
        ("error=access_denied", vec![], "access was denied in the browser"),
        (
            "code=canary-authorization-code",
            vec![token(400, &json!({ "error": "AUTHCODE_EXPIRED", "message": "x" }))],
            "the authorization code has expired; try again",
        ),
        (
            "code=canary-authorization-code",
            vec![token(403, &json!({ "error": "INSUFFICIENT_PERMISSIONS", "message": "x" }))],
            "missing permission for signin:CreateOAuth2Token",
        ),
        ("code=canary-authorization-code", vec![token(200, &json!({}))], "has no accessToken"),
    ] {
        rig.aws.expect(entries);
        let (code, text, _) = sign_in(&rig, "console", query);
        let last = text.lines().last().unwrap();
        assert!(code == Some(1) && last.contains(expected), "{expected}: {text}");
        assert!(
            last.starts_with("ERROR: profile \"console\": ") && !rig.has(".aws/login"),
            "{text}"
        );
    }
}

#[test]
fn without_a_region_or_a_terminal() {
    let rig = Rig::new("console-region", &format!("[default]\nlogin_session = {ARN}\n"), vec![]);
    let (code, text) = rig.run(&["login"]);
    assert!(code == Some(1) && text.contains("no region for the sign-in service"), "{text}");
    let rig = rig.env("AWS_REGION", "eu-west-1");
    let (code, text) = rig.run(&["login", "--remote"]);
    assert!(
        code == Some(1)
            && text.contains("--remote cannot ask for the authorization code: no terminal"),
        "{text}"
    );
    assert!(!text.contains("://"), "no link is shown that leads nowhere: {text}");
}

/// The text that the page of the other machine shows.
#[cfg(target_os = "linux")]
pub(crate) fn page(link: &str, code: &str) -> String {
    STANDARD.encode(format!("state={}&code={code}", parameter(link, "state")))
}

#[cfg(target_os = "linux")]
#[test]
fn with_a_browser_on_another_machine() {
    use crate::sign_in::mfa::Terminal;
    let rig = Rig::new("console-remote", &config(), vec![granted(ARN)]);
    let mut terminal = Terminal::start(&rig, "login --remote --profile console");
    terminal.wait_for("Authorization code shown in the browser: ");
    let link = terminal.stderr().lines().nth(1).unwrap().to_owned();
    assert_eq!(parameter(&link, "client_id"), "arn:aws:signin:::devtools/cross-device");
    terminal.enter(&page(&link, "canary-authorization-code"));
    let (code, text) = terminal.end();
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    let [body] = &rig.aws.bodies("POST /v1/token")[..] else { panic!("one request") };
    let redirect = format!("{}/v1/sessions/confirmation", rig.aws.url);
    assert_eq!(body["redirectUri"], json!(redirect));
    assert_eq!(rig.json(&file())["clientId"], "arn:aws:signin:::devtools/cross-device");

    for (text, expected) in [
        ("nonsense", "not an authorization code"),
        (&page("x?state=other", "c"), "the authorization code belongs to another sign-in"),
    ] {
        let mut terminal = Terminal::start(&rig, "login --remote --profile console");
        terminal.wait_for("Authorization code shown in the browser: ");
        terminal.enter(text);
        let (code, text) = terminal.end();
        assert!(code == Some(1) && text.contains(expected), "{text}");
    }
}
