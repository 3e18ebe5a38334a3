//! Relaying through the real binary: signatures, order, exactly one response each, a clean end.

use crate::harness::messages::{assert_all_verified, assert_error, call, json_reply, text_of};
use crate::harness::program::{KEY_ID, Launch, SECRET};
use crate::support::{Algorithm, Key, Mode, Recorded, Reply, Server, ServerOptions, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn server() -> Server {
    Server::start(ServerOptions::default())
}

fn server_with(mode: Mode, sessions: bool) -> Server {
    Server::start(ServerOptions { mode, sessions, ..ServerOptions::default() })
}

fn whole_session(algorithm: Algorithm, mode: Mode) {
    let server = server_with(mode, true);
    let mut launch = Launch::to(&server.url("/mcp"));
    if algorithm == Algorithm::V4a {
        launch = launch.arg("--sig-version=v4a");
    }
    let mut program = launch.start();
    let hello = program.shake_hands();
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");

    let list = program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    assert!(
        list["result"]["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "add"),
        "{list}"
    );
    let sum = program.ask(&call("3", "add", &json!({"a": 2, "b": 40})));
    assert_eq!((text_of(&sum), &sum["id"]), ("42", &json!(3)));

    let ended = program.close();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{ended:?}");

    let requests = server.requests();
    assert_all_verified(&requests);
    let labels: Vec<String> = requests.iter().map(Recorded::label).collect();
    let expected =
        ["initialize", "notifications/initialized", "tools/list", "tools/call", "DELETE"]
            .map(str::to_owned);
    let without_get: Vec<&String> = labels.iter().filter(|label| *label != "GET").collect();
    assert_eq!(without_get, expected.iter().collect::<Vec<_>>());
    let starts =
        if algorithm == Algorithm::V4a { "AWS4-ECDSA-P256-SHA256 " } else { "AWS4-HMAC-SHA256 " };
    for request in &requests {
        assert!(request.header("authorization").unwrap().starts_with(starts));
        // The id and the negotiated version are sent with every request except `initialize`.
        let is_first = request.label() == "initialize";
        assert_eq!(request.header("mcp-session-id").is_none(), is_first, "{}", request.label());
        let version = request.header("mcp-protocol-version");
        assert_eq!(version, (!is_first).then_some("2025-11-25"), "{}", request.label());
        assert_eq!(request.header("origin"), None);
    }
}

#[test]
fn whole_session_v4_json() {
    whole_session(Algorithm::V4, Mode::Json);
}

#[test]
fn whole_session_v4_event_stream() {
    whole_session(Algorithm::V4, Mode::Sse);
}

#[test]
fn whole_session_v4a_json() {
    whole_session(Algorithm::V4a, Mode::Json);
}

#[test]
fn whole_session_v4a_event_stream() {
    whole_session(Algorithm::V4a, Mode::Sse);
}

#[test]
fn session_tokens_are_sent_and_signed() {
    let server = server();
    server.set_keys(vec![Key::new(KEY_ID, SECRET).with_token("IQoJb3JpZ2luX2VjEXAMPLE//==")]);
    let mut program = Launch::to(&server.url("/mcp"))
        .env("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2VjEXAMPLE//==")
        .start();
    program.shake_hands();
    assert!(program.close().code == Some(0));
    assert_all_verified(&server.requests());
}

#[test]
fn url_with_an_encoded_arn_and_a_query() {
    let server = Server::start(ServerOptions {
        service: "bedrock-agentcore".into(),
        ..ServerOptions::default()
    });
    let path = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fmine-abc/invocations?qualifier=DEFAULT&x=a%2Fb";
    let mut program = Launch::to(&server.url(path)).arg("--service-name=bedrock-agentcore").start();
    program.shake_hands();
    drop(program);
    let requests = server.requests();
    assert_eq!(
        (requests[0].request.target.as_str(), requests[0].verdict),
        (path, Verdict::Verified)
    );
}

#[test]
fn the_bytes_of_a_message_are_not_touched_in_either_direction() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    let line = r#" {"params":{"name":"raw","arguments":{"n":12345678901234567890.10,"é":"\u00e9\u2028","z":1,"a":1}}, "id" : "\u0061" ,"method":"tools/call","jsonrpc":"2.0", "x":[1e400]} "#;
    program.write(line);
    let answer = program.read_line();
    let parsed: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(text_of(&parsed), line);
    assert_eq!(parsed["id"], "a");

    let body = "{ \"jsonrpc\":\"2.0\",\r\n\t\"result\":{\"n\":12345678901234567890.10,\"s\":\"\\u00e9\\n\"},\n\"id\":7 }\n";
    server.reply_next("ping", json_reply(200, body));
    program.write(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
    assert_eq!(program.read_line(), body.replace(['\r', '\n'], " "));
}

#[test]
fn progress_arrives_as_it_happens_and_before_the_result() {
    let server = server_with(Mode::Sse, false);
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    program.write(&call("5", "count", &json!({"to": 4, "delay_ms": 150})));
    let mut arrivals = Vec::new();
    for n in 1..=4 {
        let message = program.read();
        assert_eq!(message["method"], "notifications/progress", "{message}");
        assert_eq!(
            (&message["params"]["progress"], &message["params"]["progressToken"]),
            (&json!(n), &json!(5))
        );
        arrivals.push(Instant::now());
    }
    assert_eq!(program.read()["id"], 5);
    let spread = arrivals[3] - arrivals[0];
    assert!(spread >= Duration::from_millis(300), "they came together, within {spread:?}");
}

#[test]
fn a_server_request_gets_its_response_while_its_call_is_open() {
    let server = server_with(Mode::Sse, true);
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    let question = program.ask(&call("6", "ask", &json!({})));
    assert_eq!(question["method"], "elicitation/create");
    // A request of the client may have the same id at the same time.
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Ada"}}});
    let result = program.ask(&answer.to_string());
    assert!(text_of(&result).contains("Ada") && result["id"] == 6, "{result}");
}

#[test]
fn calls_run_side_by_side() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    let started = Instant::now();
    for id in 0..64 {
        program.write(&call(&id.to_string(), "slow", &json!({"ms": 200})));
    }
    let ids: BTreeSet<i64> = (0..64).map(|_| program.read()["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (0..64).collect());
    assert!(
        started.elapsed() < Duration::from_millis(900),
        "64 calls of 200 ms took {:?}",
        started.elapsed()
    );
    assert_all_verified(&server.requests());
}

/// A few calls start at once, and the next one does not wait for them.
#[test]
fn a_quick_call_is_not_held_up_by_slow_ones() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    for id in 0..8 {
        program.write(&call(&id.to_string(), "slow", &json!({"ms": 3000})));
    }
    let started = Instant::now();
    let answer = program.ask(&call("8", "slow", &json!({"ms": 0})));
    assert_eq!(answer["id"], 8);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn more_calls_than_allowed_wait_in_order_and_all_get_responses() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-in-flight=2").start();
    program.shake_hands();
    for id in 0..9 {
        program.write(&call(&id.to_string(), "slow", &json!({"ms": 40})));
    }
    let ids: BTreeSet<i64> = (0..9).map(|_| program.read()["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (0..9).collect());
    let sent: Vec<i64> = server.requests().iter().filter_map(|r| r.json()["id"].as_i64()).collect();
    let mut sorted = sent.clone();
    sorted.sort_unstable();
    assert!(sent.iter().zip(&sorted).all(|(a, b)| (a - b).abs() <= 1), "{sent:?}");
}

#[test]
fn nothing_overtakes_the_handshake() {
    let server = server_with(Mode::Json, true);
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write_raw(
        concat!(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#, "\n",
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "\n",
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#, "\n",
            r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#, "\n",
            r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#, "\n",
        )
        .as_bytes(),
    );
    let ended = program.close();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 3), "{ended:?}");
    let labels: Vec<String> =
        server.requests().iter().map(Recorded::label).filter(|l| l != "GET").collect();
    assert_eq!(labels[..2], ["initialize", "notifications/initialized"]);
    let place = |label: &str| {
        labels.iter().position(|l| l == label).unwrap_or_else(|| panic!("{label} in {labels:?}"))
    };
    assert!(place("notifications/roots/list_changed") < place("ping"), "{labels:?}");
    assert_all_verified(&server.requests());
}

/// Each request gets one response, whatever the server sends, and the next call works.
#[test]
fn garbage_from_the_server_costs_one_error_each() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--retries=0").start();
    program.shake_hands();
    let head = |kind: &str, body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let json = |body: &str| Reply::Raw(head("application/json", body).into_bytes());
    let events = |body: &str| Reply::Raw(head("text/event-stream", body).into_bytes());
    let cases: Vec<(Reply, &str)> = vec![
        (Reply::Close, "connection"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec()), "connection"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"id\"".to_vec()), "connection closed"),
        (Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), "HTTP"),
        (Reply::Raw(head("text/html", "<html>hello</html>").into_bytes()), "text/html"),
        (json(""), "empty body"),
        (json("{"), "not JSON"),
        (json("[1]"), "not JSON-RPC"),
        (json(r#"{"jsonrpc":"2.0","id":7777,"result":{}}"#), "is not the response to this request"),
        (json(r#"{"jsonrpc":"2.0","id":"2","result":{}}"#), "is not the response to this request"),
        (json("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}"), "not JSON"),
        (json(r#"{"jsonrpc":"2.0","id":1}"#), "no method, result or error"),
        (events(""), "ended before the response"),
        (events("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"), "ended before the response"),
        (events("data: {oops\n\n"), "not JSON"),
        (Reply::Status { code: 202, headers: vec![], body: vec![] }, "202"),
        (Reply::Status { code: 500, headers: vec![], body: "it broke".into() }, "it broke"),
        (Reply::Redirect("https://evil.example/mcp".into()), "https://evil.example/mcp"),
    ];
    for (at, (reply, words)) in cases.into_iter().enumerate() {
        server.reply_next("tools/list", reply);
        program.write(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
        let mut answer = program.read();
        if answer["method"] == "x" {
            answer = program.read();
        }
        assert_error(&answer, &json!(1), &[words]);
        let sum = program.ask(&call(&(100 + at).to_string(), "add", &json!({"a": 1, "b": 1})));
        assert_eq!(text_of(&sum), "2", "after case {at}");
    }
    assert_eq!(program.close().code, Some(0));
}

#[test]
fn event_streams_in_every_dialect_and_byte_by_byte() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    let body = "\u{feff}: hi\r\rid: 1\ndata:\n\nevent: message\rdata:{\"jsonrpc\":\"2.0\",\"method\":\"é🦀\"}\r\n\r\nevent: other\ndata: junk\n\ndata: {\"jsonrpc\":\"2.0\",\ndata:  \"id\":1,\ndata: \"result\":{}}";
    let mut pieces = vec![(
        Duration::ZERO,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n".to_vec(),
    )];
    pieces.extend(body.bytes().map(|byte| (Duration::from_micros(200), vec![byte])));
    server.reply_next("ping", Reply::RawPieces(pieces));
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!(program.read_line(), r#"{"jsonrpc":"2.0","method":"é🦀"}"#);
    assert_eq!(program.read_line(), r#"{"jsonrpc":"2.0",  "id":1, "result":{}}"#);
}

#[test]
fn messages_after_the_response_are_relayed_and_a_second_response_is_not() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    let event = |data: &str| format!("data: {data}\n\n");
    let first = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let later = r#"{"jsonrpc":"2.0","method":"notifications/later"}"#;
    let body =
        [event(first), event(r#"{"jsonrpc":"2.0","id":1,"result":{"again":1}}"#), event(later)]
            .concat();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    server.reply_next("ping", Reply::Raw([head, body].concat().into_bytes()));
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!((program.read_line(), program.read_line()), (first.to_owned(), later.to_owned()));
    assert_eq!(program.close().lines, Vec::<String>::new());
}

#[test]
fn garbage_on_stdin_gets_errors_and_is_survived() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write_raw(b"hello\n\xff\xfe\n[]\n7\n\n  \r\n{\"id\":{},\"method\":\"x\"}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n");
    let codes: Vec<i64> =
        (0..5).map(|_| program.read()["error"]["code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [-32700, -32700, -32600, -32600, -32600]);
    assert_eq!(program.read(), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
}

#[test]
fn a_refused_notification_gets_no_response() {
    let server = server();
    server.reply_next("notifications/x", Reply::aws_error(403, "AccessDeniedException", "no"));
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)["id"], 1);
}

#[test]
fn large_messages_in_both_directions() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    let size = 4 * 1024 * 1024;
    let answer = program.ask(&call("1", "big", &json!({"bytes": size})));
    assert_eq!(text_of(&answer).len(), size);
    let text = "x".repeat(size);
    // Text before and after it is neither sent nor signed.
    for (id, before, behind) in [("2", "", ""), ("3", "", "\r"), ("4", "\u{feff}", "")] {
        let request = call(id, "echo", &json!({"text": text}));
        let answer = program.ask(&format!("{before}{request}{behind}"));
        assert_eq!(text_of(&answer).len(), size);
    }
    assert_all_verified(&server.requests());
}

/// One after another on a connection that is kept: its buffers, and the memory of the last message, serve the next.
#[test]
fn responses_of_all_sizes_arrive_unchanged() {
    for mode in [Mode::Json, Mode::Sse] {
        let server = server_with(mode, true);
        let mut program = Launch::to(&server.url("/mcp")).start();
        program.shake_hands();
        let sizes = [3_000_000, 10, 70_000, 900_000, 900_000, 9_000, 2_000_000, 2_500_000, 40_000];
        for (id, size) in (1..).zip(sizes) {
            let unit = format!("<{id} \"ü\" \\ 日本>\n");
            let text = unit.repeat(size / unit.len() + 1);
            let answer = program.ask(&call(&id.to_string(), "echo", &json!({"text": text})));
            assert!(text_of(&answer) == text, "{mode:?}: answer {id} of {size} bytes is another");
        }
        assert_all_verified(&server.requests());
    }
}
