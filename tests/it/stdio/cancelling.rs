//! `notifications/cancelled` of the client.

use crate::harness::messages::{call, count, modern};
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Reply, Server, ServerOptions, Verdict};
use serde_json::json;
use std::time::{Duration, Instant};

fn server() -> Server {
    Server::start(ServerOptions::default())
}

#[test]
fn a_cancellation_reaches_the_server_and_the_call_gets_no_response() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    program.write(&call("\"c\"", "slow", &json!({"ms": 400})));
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "tools/call"));
    program.write(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}"#,
    );
    let all =
        server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "notifications/cancelled"));
    assert!(
        all.iter()
            .any(|r| r.label() == "notifications/cancelled" && r.verdict == Verdict::Verified)
    );
    program.silent_for(Duration::from_millis(600));
    assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)["id"], 1);
}

#[test]
fn a_cancellation_just_before_the_end_of_stdin_reaches_the_server() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    program.write(&call("1", "slow", &json!({"ms": 400})));
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "tools/call"));
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    let started = Instant::now();
    assert_eq!(program.close().code, Some(0));
    assert!(started.elapsed() < Duration::from_secs(2), "it waits for the call");
    assert_eq!(count(&server, "notifications/cancelled"), 1);
}

#[test]
fn a_cancellation_in_a_batch_cancels_and_the_batch_is_sent_unchanged() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-in-flight=2").start();
    program.shake_hands();
    program.write(&call("1", "slow", &json!({"ms": 400})));
    program.write(&call("2", "slow", &json!({"ms": 400})));
    server.wait_for(PATIENCE, |all| all.iter().filter(|r| r.label() == "tools/call").count() == 2);
    program.write(&call("3", "add", &json!({"a": 1, "b": 1})));
    let cancel = |id: u32| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        )
    };
    let batch = format!("[{},{}]", cancel(3), cancel(1));
    program.write(&batch);
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.request.body == batch.as_bytes()));
    assert_eq!(program.read()["id"], 2);
    program.silent_for(Duration::from_millis(200));
    assert!(server.requests().iter().all(|r| r.json()["id"] != 3));
}

#[test]
fn a_call_cancelled_while_it_waits_is_never_sent() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-in-flight=1").start();
    program.write(&call("1", "slow", &json!({"ms": 300})));
    program.write(&call("2", "add", &json!({"a": 1, "b": 1})));
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    assert_eq!(program.read()["id"], 1);
    assert_eq!(program.ask(&call("3", "add", &json!({"a": 1, "b": 1})))["id"], 3);
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.json()["id"] != 2 && r.label() != "notifications/cancelled")
    );
}

#[test]
fn a_call_cancelled_before_it_is_sent_again_is_not_sent_again() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    let wait = vec![("Retry-After".to_owned(), "1".to_owned())];
    server.reply_next("tools/call", Reply::Status { code: 429, headers: wait, body: vec![] });
    program.write(&call("1", "add", &json!({"a": 1, "b": 1})));
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "tools/call"));
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    program.silent_for(Duration::from_millis(1300));
    let sent = server.requests();
    assert_eq!(sent.iter().filter(|r| r.label() == "tools/call").count(), 1);
}

#[test]
fn a_call_cancelled_while_its_session_begins_is_never_sent() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--lazy").arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("initialize", Reply::Late(Duration::from_millis(400)));
    program.write(&call("1", "add", &json!({"a": 1, "b": 1})));
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "initialize"));
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    program.write(&call("2", "add", &json!({"a": 1, "b": 1})));
    while program.read()["id"] != 2 {}
    let sent = server.requests();
    assert!(sent.iter().all(|r| r.label() != "tools/call" || r.json()["id"] == 2));
}

#[test]
fn messages_after_a_cancelled_call_are_sent() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-in-flight=1").start();
    program.write(&call("1", "slow", &json!({"ms": 3000})));
    program.write(&call("2", "add", &json!({"a": 1, "b": 1})));
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    // It does not wait for call 1.
    server.wait_for(Duration::from_secs(2), |all| {
        all.iter().any(|r| r.label() == "notifications/roots/list_changed")
    });
    assert_eq!(program.read()["id"], 1);
}

#[test]
fn a_stateless_request_is_cancelled_by_closing_its_connection() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write(&modern(1, "tools/call", r#""name":"slow","arguments":{"ms":5000},"#));
    server.wait_for(PATIENCE, |all| all.len() == 1);
    let open = server.connections();
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    let started = Instant::now();
    while server.connections() >= open {
        assert!(started.elapsed() < Duration::from_secs(2), "the connection stays open");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    program.silent_for(Duration::from_millis(200));
    assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#)["id"], 2);
    assert!(server.requests().iter().all(|r| r.label() != "notifications/cancelled"));
}
