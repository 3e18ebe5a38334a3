//! Limits of what a server or a client can multiply: streams, requests of the server, lines for a full stdout.

use crate::harness::messages::{assert_error, call, stream_reply, text_of};
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn result(id: &str) -> String {
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"{id}\"}}]}}}}\n\n"
    )
}

/// These events, and then nothing for as long as the client stays.
fn open_stream(events: &str) -> Reply {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let pieces = vec![
        (Duration::ZERO, [head, events].concat().into_bytes()),
        (Duration::from_secs(30), Vec::new()),
    ];
    Reply::RawPieces(pieces)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn of_streams_that_stay_open_after_the_response_the_newest_are_read_on() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    for id in 1..=40 {
        let id = id.to_string();
        server.reply_next("tools/call", open_stream(&result(&id)));
        assert_eq!(text_of(&program.ask(&call(&id, "add", &json!({"a": 1, "b": 1})))), id);
    }
    // 16 streams, and connections that are kept.
    until("too many streams are open", || server.connections() <= 18);
    assert!(server.connections() >= 16, "{} are open", server.connections());
}

#[test]
fn messages_after_the_response_reach_the_client() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    let late =
        r#"data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"late"}}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let pieces = vec![
        (Duration::ZERO, [head, &result("1")].concat().into_bytes()),
        (Duration::from_millis(50), format!("{late}\n\n").into_bytes()),
    ];
    server.reply_next("tools/call", Reply::RawPieces(pieces));
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 1})))), "1");
    assert_eq!(program.read()["params"]["data"], "late");
}

#[test]
fn requests_of_the_server_that_are_too_many_are_refused_by_the_proxy() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    let asks = |from: usize, to: usize| {
        let one = |id| {
            format!("data: {{\"jsonrpc\":\"2.0\",\"id\":\"s-{id}\",\"method\":\"roots/list\"}}\n\n")
        };
        (from..to).map(one).collect::<String>()
    };
    // The server cancels one: there is room for another.
    let cancelled = r#"data: {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s-3"}}"#;
    let events = [&asks(0, 70), cancelled, "\n\n", &asks(70, 72), &result("1")].concat();
    server.reply_next("tools/call", stream_reply(&events));
    program.write(&call("1", "add", &json!({"a": 1, "b": 1})));
    let mut asked = Vec::new();
    loop {
        let message = program.read();
        match message["method"].as_str() {
            Some("roots/list") => asked.push(message["id"].clone()),
            Some(_) => {}
            None => break,
        }
    }
    let expected: Vec<Value> =
        (0..64).chain([70]).map(|id| Value::from(format!("s-{id}"))).collect();
    assert_eq!(asked, expected);
    let refused = |requests: &[crate::support::Recorded]| -> Vec<Value> {
        let bodies = requests
            .iter()
            .filter(|r| r.request.method == "POST")
            .map(crate::support::Recorded::json);
        let mut refused: Vec<Value> = bodies.filter(|body| body["error"].is_object()).collect();
        refused.sort_by_key(|body| body["id"].to_string());
        refused
    };
    let requests = server.wait_for(PATIENCE, |requests| refused(requests).len() == 7);
    let refused = refused(&requests);
    let ids: Vec<&Value> = refused.iter().map(|body| &body["id"]).collect();
    assert_eq!(ids, ["s-64", "s-65", "s-66", "s-67", "s-68", "s-69", "s-71"]);
    assert_error(&refused[0], &json!("s-64"), &["too many requests"]);
}

#[test]
fn a_full_stdout_keeps_no_cancellation_and_no_response_from_the_server() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start_unread();
    program.write(&call("1", "big", &json!({"bytes": 4_000_000})));
    program.write(&call("2", "slow", &json!({"ms": 10_000})));
    server.wait_for(PATIENCE, |all| all.len() == 2);
    program.write("not JSON, and its error is not read");
    program.write(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    server.wait_for(PATIENCE, |all| {
        all.iter().any(|request| request.label() == "notifications/cancelled")
            && all.iter().any(|request| request.json()["id"] == "s")
    });
}
