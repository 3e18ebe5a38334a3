//! Batches of 2025-03-26, in both directions.

use crate::harness::messages::{assert_error, json_reply, labels, stream_reply};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::Duration;

fn started() -> (Server, Program) {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    server.wait_for(PATIENCE, |requests| requests.len() == 2);
    (server, program)
}

const BATCH: &str = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}, {"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":"1","method":"ping"}]"#;

fn batch_of(requests: &[Recorded]) -> Option<&Recorded> {
    requests.iter().find(|request| request.request.body.starts_with(b"["))
}

#[test]
fn a_batch_is_one_post_and_its_response_one_line() {
    let (server, mut program) = started();
    let answer =
        r#"[{"jsonrpc":"2.0","id":"1","result":{"n":1.00}}, {"jsonrpc":"2.0","id":1,"result":{}}]"#;
    server.reply_next("response", json_reply(200, answer));
    program.write(BATCH);
    assert_eq!(program.read_line(), answer);
    let requests = server.requests();
    assert_eq!(String::from_utf8_lossy(&batch_of(&requests).unwrap().request.body), BATCH);
    assert_eq!(requests.len(), 3);
}

#[test]
fn missing_responses_become_errors_and_none_comes_twice() {
    let (server, mut program) = started();
    let stray = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
    let one = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    server.reply_next("response", json_reply(200, &format!("[{stray},{one},{one}]")));
    program.write(BATCH);
    assert_eq!(program.read_line(), format!("[{one}]"));
    assert_error(&program.read(), &json!("1"), &["no response"]);
    program.silent_for(Duration::from_millis(100));
}

#[test]
fn the_response_to_a_batch_may_be_an_event_stream() {
    let (server, mut program) = started();
    server.reply_next(
        "response",
        stream_reply(
            "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/y\"}\n\ndata: [{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}]\n\n",
        ),
    );
    program.write(BATCH);
    assert_eq!(program.read()["id"], 1);
    assert_eq!(program.read()["method"], "notifications/y");
    assert_eq!(program.read()[0]["id"], "1");
    program.silent_for(Duration::from_millis(100));
}

#[test]
fn a_refused_batch_is_one_error_for_each_request() {
    let (server, mut program) = started();
    let ids = |program: &mut Program| {
        let mut ids = [program.read(), program.read()].map(|answer| answer["id"].to_string());
        ids.sort();
        ids
    };
    server.reply_next("response", Reply::aws_error(403, "AccessDeniedException", "no"));
    program.write(BATCH);
    assert_eq!(ids(&mut program), ["\"1\"", "1"]);
    let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches here"}}"#;
    server.reply_next("response", json_reply(400, body));
    program.write(BATCH);
    let answers = [program.read(), program.read()];
    for answer in &answers {
        assert_eq!(answer["error"]["code"], -32600);
    }
    program.silent_for(Duration::from_millis(100));
}

#[test]
fn initialize_in_a_batch_is_refused_here() {
    let (server, mut program) = started();
    let answer = program.ask(
        r#"[{"jsonrpc":"2.0","id":1,"method":"initialize"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#,
    );
    let codes: Vec<&Value> =
        answer.as_array().unwrap().iter().map(|error| &error["error"]["code"]).collect();
    assert_eq!(codes, [&json!(-32600), &json!(-32600)]);
    assert_eq!(program.ask("[]")["error"]["code"], -32600);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_batch_of_responses_does_not_wait_and_gets_no_response() {
    let (server, mut program) = started();
    server.reply_next("notifications/slow", Reply::Hang);
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/slow"}"#);
    server.wait_for(PATIENCE, |requests| requests.len() == 3);
    program.write(
        r#"[{"jsonrpc":"2.0","id":"a","result":{}},{"jsonrpc":"2.0","id":"b","result":{}}]"#,
    );
    let requests = server.wait_for(PATIENCE, |requests| requests.len() == 4);
    assert!(batch_of(&requests).is_some(), "{:?}", labels(&requests));
    program.silent_for(Duration::from_millis(50));
}

#[test]
fn one_request_of_a_batch_is_cancelled() {
    let (server, mut program) = started();
    let late = r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#;
    let body = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{late}",
        late.len()
    );
    server.reply_next(
        "response",
        Reply::RawPieces(vec![(Duration::from_millis(400), body.into_bytes())]),
    );
    program.write(BATCH);
    server.wait_for(PATIENCE, |requests| requests.len() == 3);
    program.write(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"1"}}"#,
    );
    assert_eq!(program.read_line(), late);
    // The other request was cancelled: it has no response, not even an error.
    program.silent_for(Duration::from_millis(200));
    assert!(labels(&server.requests()).contains(&"notifications/cancelled".to_owned()));
}

#[test]
fn a_batch_with_a_call_has_the_time_limit_of_calls() {
    let server = Server::start(ServerOptions::default());
    let mut program =
        Launch::to(&server.url("/mcp")).arg("--no-sse").arg("--tool-timeout=200ms").start();
    program.shake_hands();
    server.reply_next("response", Reply::Hang);
    program.write(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add"}}]"#);
    for _ in 0..2 {
        let answer = program.read();
        assert_error(&answer, &answer["id"], &["timed out"]);
    }
    // Without a call in it, its own limit is that of requests.
    server.reply_next("response", Reply::Late(Duration::from_millis(300)));
    program.write(r#"[{"jsonrpc":"2.0","id":3,"method":"ping"}]"#);
    let answer = program.read().to_string();
    assert!(!answer.contains("timed out"), "{answer}");
}
