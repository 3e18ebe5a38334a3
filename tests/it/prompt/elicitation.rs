//! Clients up to 2025-11-25 that open URLs: the call waits for the user.

use crate::harness::messages::{json_reply, stream_reply};
use crate::harness::program::{PATIENCE, Program};
use crate::prompt::scene::{Scene, TAKES_URLS, add, assert_link, response, shake_hands, sum};
use crate::support::Recorded;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than an automatic reply takes.
const HUMAN: Duration = Duration::from_millis(1100);

/// Reads the question to the user, which must be that of this number.
fn question(program: &mut Program, number: u32) -> Value {
    let question = program.read();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    assert_eq!(question["id"], format!("sigv4-proxy-sign-in-{number}"), "{question}");
    question["params"].clone()
}

fn answer(program: &mut Program, number: u32, body: &str) {
    program.write(&format!(r#"{{"jsonrpc":"2.0","id":"sigv4-proxy-sign-in-{number}",{body}}}"#));
}

fn act(program: &mut Program, number: u32, action: &str) {
    answer(program, number, &format!(r#""result":{{"action":"{action}"}}"#));
}

fn notification(program: &mut Program, method: &str) -> Value {
    let line = program.read();
    assert_eq!(line["method"], method, "{line}");
    line["params"].clone()
}

#[test]
fn a_call_goes_on_after_the_user_has_signed_in() {
    let scene = Scene::new("accept");
    let mut program = scene.client(TAKES_URLS);
    program.write(&add(1));
    let params = question(&mut program, 1);
    assert_eq!(params["mode"], "url");
    assert_eq!(params["url"], "https://corp.awsapps.com/start/#/device?user_code=CODE-0001");
    let message = params["message"].as_str().unwrap();
    assert!(message.contains("profile dev") && message.contains("CODE-0001"), "{message}");
    act(&mut program, 1, "accept");
    scene.center.approve();
    let done = notification(&mut program, "notifications/elicitation/complete");
    assert_eq!(done["elicitationId"], params["elicitationId"]);
    assert_eq!(sum(&response(&mut program, 1)), "2");
    program.write(&add(2));
    assert_eq!(sum(&response(&mut program, 2)), "3");
    assert_eq!(scene.responses(), 0, "the response is not for the server");
    let calls = scene.server.requests().iter().filter(|r| r.label() == "tools/call").count();
    assert_eq!(calls, 2, "nothing is sent twice");
    assert!(scene.file("json").exists() && !scene.file("pending").exists());
    assert!(program.close().log.contains("CODE-0001"));
}

#[test]
fn a_sign_in_elsewhere_ends_the_wait() {
    let scene = Scene::new("elsewhere");
    let mut program = scene.client(TAKES_URLS);
    program.write(&add(1));
    question(&mut program, 1);
    scene.center.approve();
    let withdrawn = notification(&mut program, "notifications/cancelled");
    assert_eq!(withdrawn["requestId"], "sigv4-proxy-sign-in-1", "it is unanswered");
    notification(&mut program, "notifications/elicitation/complete");
    assert_eq!(sum(&response(&mut program, 1)), "2");
    act(&mut program, 1, "accept");
    program.write(&add(2));
    assert_eq!(sum(&response(&mut program, 2)), "3");
    assert_eq!(scene.responses(), 0, "a late response is not for the server");
}

#[test]
fn other_answers_end_the_wait_and_the_user_is_not_asked_again() {
    const DECLINE: &str = r#""result":{"action":"decline"}"#;
    const CANCEL: &str = r#""result":{"action":"cancel"}"#;
    const AT_ONCE: Duration = Duration::ZERO;
    std::thread::scope(|scope| {
        for (name, body, after) in [
            ("decline", DECLINE, HUMAN),
            ("cancel", CANCEL, HUMAN),
            ("instant-decline", DECLINE, AT_ONCE),
            ("instant-cancel", CANCEL, AT_ONCE),
            ("unknown", r#""error":{"code":-32601,"message":"no"}"#, AT_ONCE),
            ("params", r#""error":{"code":-32602,"message":"no"}"#, HUMAN),
            ("nothing", r#""result":{}"#, HUMAN),
        ] {
            scope.spawn(move || check_answer(name, body, after));
        }
    });
}

fn check_answer(name: &str, body: &str, after: Duration) {
    let scene = Scene::new(name);
    let mut program = scene.client(TAKES_URLS);
    program.write(&add(1));
    question(&mut program, 1);
    std::thread::park_timeout(after);
    answer(&mut program, 1, body);
    let error = response(&mut program, 1);
    let is_declined = name == "decline";
    if is_declined {
        let words = "profile \"dev\": SSO token missing, and the sign-in was declined (run \"sigv4-proxy login --profile dev\")";
        assert_eq!(error["error"]["message"], words);
    } else {
        assert_link(&error, "CODE-0001");
    }
    // The code is the same, without a second question.
    assert_link(&program.ask(&add(2)), "CODE-0001");
    assert_eq!(scene.center.count("/device_authorization"), 1, "{name}");
    scene.center.approve();
    if is_declined {
        scene.wait_for_token();
    } else {
        notification(&mut program, "notifications/elicitation/complete");
    }
    program.write(&add(3));
    assert_eq!(sum(&response(&mut program, 3)), "4", "{name}");
    assert_eq!(scene.responses(), 0, "{name}");
}

#[test]
fn a_wait_that_is_over_leaves_the_link() {
    for (version, code) in [("2025-11-25", -32042), ("2025-06-18", -32603)] {
        let scene = Scene::new(&format!("silence-{version}"));
        let mut program = scene.launch().arg("--tool-timeout=1s").start();
        shake_hands(&mut program, version, TAKES_URLS);
        program.write(&add(1));
        let params = question(&mut program, 1);
        notification(&mut program, "notifications/cancelled");
        let error = program.read();
        assert_eq!((&error["id"], &error["error"]["code"]), (&json!(1), &json!(code)), "{error}");
        assert!(error["error"]["message"].as_str().unwrap().contains("CODE-0001"), "{error}");
        if code == -32042 {
            let data = &error["error"]["data"];
            assert_eq!(data["elicitations"], json!([params]));
            assert_eq!(
                (&data["source"], &data["kind"]),
                (&json!("sigv4-proxy"), &json!("credentials"))
            );
        }
        scene.center.approve();
        let done = notification(&mut program, "notifications/elicitation/complete");
        assert_eq!(done["elicitationId"], params["elicitationId"]);
        program.write(&add(2));
        assert_eq!(sum(&response(&mut program, 2)), "3");
    }
}

#[test]
fn a_cancelled_call_ends_silently_and_the_sign_in_goes_on() {
    let scene = Scene::new("cancelled-call");
    let mut program = scene.client(TAKES_URLS);
    program.write(&add(1));
    question(&mut program, 1);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    let withdrawn = notification(&mut program, "notifications/cancelled");
    assert_eq!(withdrawn["requestId"], "sigv4-proxy-sign-in-1");
    // Another call asks the user again, with the same code.
    program.write(&add(2));
    let params = question(&mut program, 2);
    assert!(params["url"].as_str().unwrap().ends_with("CODE-0001"));
    act(&mut program, 2, "accept");
    scene.center.approve();
    notification(&mut program, "notifications/elicitation/complete");
    assert_eq!(sum(&response(&mut program, 2)), "3");
    let requests = scene.server.requests();
    assert!(requests.iter().all(|request| request.label() != "notifications/cancelled"));
    assert_eq!(scene.center.count("/device_authorization"), 1);
}

#[test]
fn the_end_of_stdin_ends_the_wait() {
    let scene = Scene::new("end-of-stdin");
    let mut program = scene.client(TAKES_URLS);
    program.write(&add(1));
    question(&mut program, 1);
    let started = Instant::now();
    let ended = program.close();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 1), "{:?}", ended.lines);
    assert!(ended.lines[0].contains("CODE-0001"), "{:?}", ended.lines);
}

#[test]
fn refusals_and_expired_codes_are_reported() {
    let denied = json!({ "error": "access_denied" });
    for (name, lifetime, poll, words) in [
        ("denied", 600, Some(denied), "profile \"dev\": access was denied in the browser"),
        (
            "expired",
            1,
            None,
            "profile \"dev\": the sign-in was not completed before its code expired",
        ),
    ] {
        let scene = Scene::new(name);
        scene.center.set_lifetime(lifetime);
        let mut program = scene.client(TAKES_URLS);
        program.write(&add(1));
        question(&mut program, 1);
        if let Some(body) = poll {
            scene.center.next_poll(400, body);
        }
        act(&mut program, 1, "accept");
        let error = response(&mut program, 1);
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(words), "{message}");
        assert!(!scene.file("pending").exists(), "{name}");
        // The next call starts another sign-in.
        program.write(&add(2));
        let params = question(&mut program, 2);
        assert!(params["url"].as_str().unwrap().ends_with("CODE-0002"), "{params}");
        assert_eq!(scene.center.count("/client/register"), 1, "{name}");
    }
}

#[test]
fn a_batch_is_one_call() {
    let scene = Scene::new("batch");
    let mut program = scene.launch().start();
    shake_hands(&mut program, "2025-03-26", TAKES_URLS);
    program.write(&format!("[{},{}]", add(1), add(2)));
    question(&mut program, 1);
    let results =
        [1, 2].map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)).join(",");
    scene.server.reply_next("response", json_reply(200, &format!("[{results}]")));
    // The response may be part of a batch, too.
    let ours = r#"{"jsonrpc":"2.0","id":"sigv4-proxy-sign-in-1","result":{"action":"accept"}}"#;
    program.write(&format!("[{ours}]"));
    scene.center.approve();
    notification(&mut program, "notifications/elicitation/complete");
    loop {
        let line = program.read();
        if line["method"].is_null() {
            assert_eq!((&line[0]["id"], &line[1]["id"]), (&json!(1), &json!(2)), "{line}");
            break;
        }
    }
    assert_eq!(scene.responses(), 1, "the batch, sent once");
}

#[test]
fn ids_of_the_client_may_look_like_ours() {
    let scene = Scene::new("same-ids");
    let mut program = scene.client(TAKES_URLS);
    let call = add(1).replace(r#""id":1"#, r#""id":"sigv4-proxy-sign-in-1""#);
    program.write(&call);
    question(&mut program, 1);
    act(&mut program, 1, "accept");
    scene.center.approve();
    notification(&mut program, "notifications/elicitation/complete");
    loop {
        let line = program.read();
        if line["id"] == "sigv4-proxy-sign-in-1" {
            assert_eq!(sum(&line), "2");
            break;
        }
    }
    // Other responses are forwarded.
    for id in [r#""sigv4-proxy-sign-in-2""#, "1"] {
        program.write(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }
    let started = Instant::now();
    while scene.responses() < 2 {
        assert!(started.elapsed() < Duration::from_secs(5), "responses reach the server");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_request_of_the_server_under_an_id_of_this_program_is_refused() {
    let scene = Scene::new("ids-of-the-server");
    let mut program = scene.client(TAKES_URLS);
    program.write(&add(1));
    question(&mut program, 1);
    act(&mut program, 1, "accept");
    scene.center.approve();
    notification(&mut program, "notifications/elicitation/complete");
    assert_eq!(sum(&response(&mut program, 1)), "2");
    // One that is not used yet would get two responses.
    for (call, id) in
        [(2, "sigv4-proxy-sign-in-1"), (3, "sigv4-proxy-sign-in-2"), (4, "sigv4-proxy-q-1")]
    {
        let params = r#"{"mode":"url","message":"Sign in","url":"https://evil.example/","elicitationId":"1"}"#;
        let imitation = format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"elicitation/create","params":{params}}}"#
        );
        let result = format!(r#"{{"jsonrpc":"2.0","id":{call},"result":{{}}}}"#);
        let stream = stream_reply(&format!("data: {imitation}\n\ndata: {result}\n\n"));
        scene.server.reply_next("tools/call", stream);
        program.write(&add(call));
        let answer = response(&mut program, call);
        assert_eq!(answer["result"], json!({}), "the client sees nothing else");
        let is_refusal =
            |request: &Recorded| request.label() == "response" && request.json()["id"] == id;
        let requests = scene.server.wait_for(PATIENCE, |all| all.iter().any(is_refusal));
        let refusal = requests.iter().find(|request| is_refusal(request)).unwrap().json();
        assert!(refusal["error"].is_object(), "{refusal}");
    }
}
