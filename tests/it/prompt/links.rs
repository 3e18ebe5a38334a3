//! Clients that open no URLs: the error has the link.

use crate::prompt::scene::{Scene, TAKES_URLS, add, assert_link, response, shake_hands, sum};
use std::time::{Duration, Instant};

#[test]
fn the_error_has_the_link_and_the_next_call_works() {
    for (name, capabilities) in [
        ("none", "{}"),
        ("form", r#"{"elicitation":{}}"#),
        ("flag", r#"{"elicitation":{"url":true}}"#),
    ] {
        let scene = Scene::new(&format!("link-{name}"));
        let mut program = scene.client(capabilities);
        let started = Instant::now();
        assert_link(&program.ask(&add(1)), "CODE-0001");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        assert_link(&program.ask(&add(2)), "CODE-0001");
        scene.center.approve();
        scene.wait_for_token();
        program.write(&add(3));
        assert_eq!(sum(&response(&mut program, 3)), "4");
        assert_eq!(scene.center.count("/client/register"), 1);
        assert_eq!(scene.center.count("/device_authorization"), 1);
        let log = program.close().log;
        assert_eq!(log.lines().filter(|line| line.contains("CODE-0001")).count(), 1, "{log}");
        assert_eq!(log.matches("sigv4-proxy login").count(), 1, "{log}");
    }
}

#[test]
fn each_request_of_a_batch_gets_the_link() {
    let scene = Scene::new("link-batch");
    let mut program = scene.launch().start();
    shake_hands(&mut program, "2025-03-26", "{}");
    program.write(&format!("[{},{}]", add(1), add(2)));
    for id in [1, 2] {
        assert_link(&response(&mut program, id), "CODE-0001");
    }
}

#[test]
fn a_client_that_is_not_initialized_is_not_asked() {
    let scene = Scene::new("not-initialized");
    let mut program = scene.launch().start();
    program.ask(&format!(
        r#"{{"jsonrpc":"2.0","id":"init","method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{TAKES_URLS},"clientInfo":{{"name":"test","version":"1"}}}}}}"#
    ));
    assert_link(&program.ask(&add(1)), "CODE-0001");
}

#[test]
fn only_what_a_person_waits_for_begins_a_sign_in() {
    let scene = Scene::new("methods");
    let mut program = scene.client("{}");
    let request = |id: u32, method: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"uri":"u","name":"n"}}}}"#
        )
    };
    for (id, method) in
        (10..).zip(["ping", "prompts/list", "resources/list", "completion/complete"])
    {
        let error = program.ask(&request(id, method));
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("SSO token missing") && message.contains("aws sso login"),
            "{error}"
        );
        assert_eq!(scene.center.count("/client/register"), 0, "{method}");
    }
    for (id, method) in (20..).zip(["prompts/get", "resources/read"]) {
        assert_link(&program.ask(&request(id, method)), "CODE-0001");
    }
    // All others join one that is pending.
    assert_link(&program.ask(&request(30, "prompts/list")), "CODE-0001");
    assert_eq!(scene.center.count("/device_authorization"), 1);
}

#[test]
fn the_service_is_not_asked_by_every_call_after_a_failure() {
    let slow = serde_json::json!({ "error": "slow_down" });
    let name = "/device_authorization";
    for (status, body, words) in [
        (400, slow, "limits requests"),
        (500, serde_json::json!({}), "the sign-in service is unreachable"),
        (400, serde_json::json!({ "error": "invalid_request" }), "the sign-in failed"),
    ] {
        let scene = Scene::new(&format!("refused-{words}"));
        for _ in 0..8 {
            scene.center.refuse_next(name, status, body.clone());
        }
        let mut program = scene.client("{}");
        for id in 1..4 {
            let error = program.ask(&add(id));
            let message = error["error"]["message"].as_str().unwrap();
            assert!(message.starts_with("profile \"dev\": SSO token missing, and "), "{message}");
            assert!(message.contains(words), "{message}");
        }
        assert!(scene.center.count(name) <= 4, "{}", scene.center.count(name));
    }
}

#[test]
fn a_link_elsewhere_is_not_shown() {
    let scene = Scene::new("elsewhere-link");
    let answer = serde_json::json!({
        "deviceCode": "canary-device-code-1", "userCode": "CODE-0001", "expiresIn": 600, "interval": 1,
        "verificationUri": "https://corp.awsapps.com.evil.example/",
        "verificationUriComplete": "https://corp.awsapps.com.evil.example/?user_code=CODE-0001",
    });
    scene.center.refuse_next("/device_authorization", 200, answer);
    let mut program = scene.client(TAKES_URLS);
    let error = program.ask(&add(1));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("returned a URL outside AWS: corp.awsapps.com.evil.example"),
        "{message}"
    );
    assert!(!scene.file("pending").exists());
}

#[test]
fn the_page_shows_what_the_user_sees() {
    let scene = Scene::new("page");
    let mut program = scene.client("{}");
    let error = program.ask(&add(1));
    let words: Vec<&str> = error["error"]["message"].as_str().unwrap().split(' ').collect();
    let shown: Vec<&str> = words
        .iter()
        .map(|word| {
            if word.len() == 5 && word.contains(':') && word.as_bytes()[2] == b':' {
                "12:10"
            } else {
                word
            }
        })
        .collect();
    let shown = shown.join(" ").replace("CODE-0001", "ABCD-EFGH").replace("missing", "expired");
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sign-in.md")).unwrap();
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(&shown), "{shown}");
    let list = program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    let tool = &list["result"]["tools"][0];
    for text in [&tool["title"], &tool["description"]] {
        assert!(page.contains(text.as_str().unwrap()), "{text}");
    }
}
