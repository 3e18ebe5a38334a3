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
    let missing = program.read();
    assert_error(&missing[0], &json!("1"), &["no response"]);
    assert_eq!(missing.as_array().unwrap().len(), 1);
    program.silent_for(Duration::from_millis(100));
}

#[test]
fn a_bad_response_fails_no_other_request() {
    let (server, mut program) = started();
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"},{"jsonrpc":"2.0","id":3,"method":"ping"}]"#;
    let good = |id: u32| json!({"jsonrpc": "2.0", "id": id, "result": {}});
    for bad in [
        json!({"jsonrpc": "2.0", "id": 2}),
        json!({"jsonrpc": "2.0", "id": 2, "result": {}, "error": {"code": 1, "message": "x"}}),
        json!({"jsonrpc": "2.0", "id": 2, "result": {}, "method": "ping"}),
    ] {
        let responses = [good(1), bad, good(3)];
        let events = responses.each_ref().map(|one| format!("data: {one}\n\n")).concat();
        let array = json!(responses).to_string();
        for reply in [
            json_reply(200, &array),
            stream_reply(&format!("data: {array}\n\n")),
            stream_reply(&events),
        ] {
            server.reply_next("response", reply);
            program.write(batch);
            let mut answers = Vec::new();
            while answers.len() < 3 {
                match program.read() {
                    Value::Array(several) => answers.extend(several),
                    one => answers.push(one),
                }
            }
            assert_eq!([&answers[0], &answers[2]], [&good(1), &good(3)]);
            assert_error(&answers[1], &json!(2), &["the server's message"]);
        }
    }
    program.silent_for(Duration::from_millis(100));
}

#[test]
fn a_large_batch_takes_moments() {
    let (server, mut program) = started();
    let batch = |member: &dyn Fn(u32) -> String| {
        format!("[{}]", (0..2000).map(member).collect::<Vec<_>>().join(","))
    };
    // The last request has its response first, and ids repeat.
    let answer =
        batch(&|n| format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, (1999 - n) / 2));
    server.reply_next("response", json_reply(200, &answer));
    program.write(&batch(&|n| format!(r#"{{"jsonrpc":"2.0","id":{},"method":"ping"}}"#, n / 2)));
    assert_eq!(program.read_line(), answer);
}

#[test]
fn a_notification_in_an_array_of_errors_is_relayed_with_them() {
    let (server, mut program) = started();
    let answer = r#"[{"jsonrpc":"2.0","method":"notifications/y"},{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"slow down"}}]"#;
    server.reply_next("response", json_reply(200, answer));
    program.write(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#);
    assert_eq!(program.read_line(), answer);
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
fn a_refused_batch_is_an_array_with_an_error_for_each_request() {
    let (server, mut program) = started();
    let own = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches here"}}"#;
    let one = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#;
    for (batch, ids) in [(BATCH, &[json!(1), json!("1")][..]), (one, &[json!(1)])] {
        for (reply, code) in [
            (Reply::aws_error(403, "AccessDeniedException", "no"), -32603),
            (json_reply(400, own), -32600),
            (json_reply(200, own), -32600),
            (json_reply(200, "oops"), -32603),
        ] {
            let shown = format!("{batch} {reply:?}");
            server.reply_next("response", reply);
            let answers = program.ask(batch);
            let answers = answers.as_array().unwrap_or_else(|| panic!("{shown}: {answers}"));
            let of =
                |member: &str| answers.iter().map(|one| one[member].clone()).collect::<Vec<_>>();
            assert_eq!(of("id"), ids, "{shown}");
            assert!(of("error").iter().all(|error| error["code"] == code), "{shown}: {answers:?}");
        }
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
fn a_batch_with_invalid_members_is_not_sent_and_each_of_them_gets_an_error() {
    let (server, mut program) = started();
    for (batch, ids) in [
        ("[1]", json!([null])),
        (r#"[1, {"id":2}, [], {"id":3,"method":null}]"#, json!([null, 2, null, 3])),
        (
            r#"[{"method":"notifications/x"}, 7, {"id":"a","method":"ping"}, {"id":1,"result":{}}]"#,
            json!(["a", null]),
        ),
    ] {
        let answers = program.ask(batch);
        let answers = answers.as_array().unwrap_or_else(|| panic!("{batch}: {answers}"));
        assert!(answers.iter().all(|one| one["error"]["code"] == -32600), "{batch}: {answers:?}");
        let its: Vec<&Value> = answers.iter().map(|one| &one["id"]).collect();
        assert_eq!(json!(its), ids, "{batch}");
    }
    let many = format!("[{}]", vec!["1"; 10_000].join(","));
    assert_eq!(program.ask(&many).as_array().map(Vec::len), Some(100));
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
    let answers = program.read();
    for (answer, id) in answers.as_array().unwrap().iter().zip(1..=2) {
        assert_error(answer, &json!(id), &["timed out"]);
    }
    // Without a call in it, its own limit is that of requests.
    server.reply_next("response", Reply::Late(Duration::from_millis(300)));
    program.write(r#"[{"jsonrpc":"2.0","id":3,"method":"ping"}]"#);
    let answer = program.read().to_string();
    assert!(!answer.contains("timed out"), "{answer}");
}
