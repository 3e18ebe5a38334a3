//! Relaying through the real binary: signatures, order, exactly one response each, a clean end.

use crate::harness::messages::{
    assert_all_verified, assert_error, call, json_reply, modern, stream_reply, text_of,
};
use crate::harness::program::{Ended, KEY_ID, Launch, PATIENCE, SECRET};
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

#[test]
fn a_wrong_secret_is_refused_in_the_words_of_aws() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp"))
        .env("AWS_SECRET_ACCESS_KEY", "wrong/K7MDENG/bPxRfiCYEXAMPLEKEY")
        .start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":"a","method":"initialize"}"#);
    assert_error(
        &answer,
        &json!("a"),
        &[
            "InvalidSignatureException",
            "The request signature we calculated does not match",
            "AKIA****MPLE",
            "request id",
        ],
    );
    let data = &answer["error"]["data"];
    assert_eq!(
        (&data["httpStatus"], &data["awsErrorType"]),
        (&json!(403), &json!("InvalidSignatureException"))
    );
    assert!(data["awsRequestId"].is_string() && data["hint"].is_string(), "{data}");
    let ended = program.close();
    assert!(ended.log.contains("ERROR: AWS refused the request with HTTP 403"), "{}", ended.log);
    assert!(!format!("{answer}{}", ended.log).contains("wrong/K7MDENG"), "the secret is shown");
}

#[test]
fn a_json_rpc_error_body_passes_under_the_id_of_the_request() {
    let server = server();
    server.reply_next("ping", json_reply(404, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no","data":{"n":1.0}}}"#));
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
    let expected =
        r#"{"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"no","data":{"n":1.0}}}"#;
    assert_eq!(program.read_line(), expected);
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
fn broken_errors_of_aws_are_corrected() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    for (body, code) in [
        (r#"{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600,"message":"no"}}"#, 200),
        (r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-32600,"message":"no"}}"#, 200),
        (
            r#"{"jsonrpc":"2.0","id":"other","result":null,"error":{"code":-32600,"message":"no"}}"#,
            405,
        ),
    ] {
        server.reply_next("ping", json_reply(code, body));
        program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        assert_eq!(
            program.read_line(),
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"no"}}"#
        );
    }
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
fn messages_after_a_cancelled_call_are_sent() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-in-flight=1").start();
    program.write(&call("1", "slow", &json!({"ms": 3000})));
    program.write(&call("2", "add", &json!({"a": 1, "b": 1})));
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    let has_left =
        |all: &[Recorded]| all.iter().any(|r| r.label() == "notifications/roots/list_changed");
    let all = server.wait_for(Duration::from_secs(2), has_left);
    assert!(has_left(&all), "it waits for call 1");
    assert_eq!(program.read()["id"], 1);
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

#[test]
fn messages_that_are_too_large_get_one_clear_error() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-message-bytes=10000").start();
    let answer = program.ask(&call("1", "big", &json!({"bytes": 20_000})));
    assert_error(&answer, &json!(1), &["larger than 10000 bytes", "--max-message-bytes"]);
    let answer = program.ask(&call("2", "echo", &json!({"text": "x".repeat(20_000)})));
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32600), &json!(2)), "{answer}");
    assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#)["id"], 3);
}

#[test]
fn end_of_input_lets_calls_finish() {
    let server = server_with(Mode::Json, true);
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    for id in 1..=5 {
        program.write(&call(&id.to_string(), "slow", &json!({"ms": 300})));
    }
    // The last line has no end.
    program.write_raw(br#"{"jsonrpc":"2.0","id":6,"method":"ping"}"#);
    let ended = program.close();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 6), "{ended:?}");
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    assert!(server.requests().iter().any(|r| r.label() == "DELETE"), "the session is left open");
}

#[test]
fn the_last_messages_of_the_client_are_still_sent() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    program.write(r#"{"jsonrpc":"2.0","id":"ask-9","result":{}}"#);
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
    assert_eq!(program.close().code, Some(0));
    let labels: Vec<String> = server.requests().iter().map(Recorded::label).collect();
    assert!(labels.contains(&"response".to_owned()), "{labels:?}");
    assert!(labels.contains(&"notifications/roots/list_changed".to_owned()), "{labels:?}");
}

#[test]
fn more_messages_than_may_wait_get_errors() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp"))
        .arg("--max-in-flight=1")
        .arg("--max-message-bytes=1000")
        .start();
    program.write(&call("0", "slow", &json!({"ms": 300})));
    // Two of these fill the queue.
    for id in 1..=4 {
        program.write(&call(&id.to_string(), "echo", &json!({"text": "x".repeat(700)})));
    }
    let answers: Vec<Value> = (0..5).map(|_| program.read()).collect();
    let (refused, answered): (Vec<_>, Vec<_>) =
        answers.iter().partition(|a| a["error"].is_object());
    assert_eq!((refused.len(), answered.len()), (2, 3), "{refused:?}");
    for answer in refused {
        assert_error(answer, &answer["id"], &["already queued", "--max-in-flight"]);
    }
}

#[test]
fn end_of_input_does_not_wait_for_ever() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--drain-timeout=200ms").start();
    program.shake_hands();
    program.write(&call("1", "slow", &json!({"ms": 10_000})));
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "tools/call"));
    let ended = program.close();
    assert_eq!(ended.code, Some(0));
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    let answer: Value = serde_json::from_str(&ended.lines[0]).unwrap();
    assert_error(&answer, &json!(1), &["exited before the response arrived"]);
}

#[test]
fn idle_end_is_at_once() {
    let server = Server::start(ServerOptions {
        sessions: true,
        get_stream: true,
        ..ServerOptions::default()
    });
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "GET"));
    let ended = program.close();
    assert!(ended.code == Some(0) && ended.took < Duration::from_secs(1), "{ended:?}");
    assert_eq!(Launch::to(&server.url("/mcp")).run("").code, Some(0));
}

#[cfg(unix)]
#[test]
fn signals_end_it_in_order() {
    // A background job of a shell ignores SIGINT and SIGQUIT, one of `nohup` SIGHUP; so does the program then.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    for (signal, number) in [("-TERM", 15), ("-INT", 2), ("-HUP", 1), ("-QUIT", 3)] {
        if ignored >> (number - 1) & 1 == 1 {
            continue;
        }
        let server = server_with(Mode::Json, true);
        let mut program = Launch::to(&server.url("/mcp")).start();
        program.shake_hands();
        program.write(&call("1", "slow", &json!({"ms": 10_000})));
        server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "tools/call"));
        program.signal(signal);
        let ended: Ended = program.wait();
        assert!(
            ended.code == Some(0) && ended.took < Duration::from_secs(1),
            "{signal}: {ended:?}"
        );
        assert!(
            server.requests().iter().any(|r| r.label() == "DELETE"),
            "the session is left open"
        );
    }
}

/// Stdout is not read, and more is written to it than its pipe holds.
#[cfg(unix)]
#[test]
fn a_full_stdout_does_not_keep_it_alive() {
    for signal in [Some("-TERM"), None] {
        let server = server();
        let mut program =
            Launch::to(&server.url("/mcp")).arg("--drain-timeout=100ms").start_unread();
        program.write(&call("1", "big", &json!({"bytes": 4_000_000})));
        program.write(&call("2", "slow", &json!({"ms": 10_000})));
        server.wait_for(PATIENCE, |all| all.len() == 2);
        let ended = match signal {
            Some(signal) => {
                program.signal(signal);
                program.wait()
            }
            None => program.close(),
        };
        assert!(
            ended.code == Some(0) && ended.took < Duration::from_secs(2),
            "{signal:?}: {ended:?}"
        );
    }
}

#[test]
fn a_client_that_closed_stdout_is_gone() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    program.close_stdout();
    // The first line wakes the reader of the pipe, which then closes it; the next ones break.
    for id in 1..=50 {
        program.write(&call(&id.to_string(), "slow", &json!({"ms": id})));
    }
    let ended = program.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.log.contains("panic"), "{}", ended.log);
}

#[test]
fn missing_credentials_and_a_missing_server_do_not_end_it() {
    let server = server();
    let url = server.url("/mcp");
    let mut program =
        Launch::bare(&["--target-url", &url, "--region=us-east-1", "--service-name=execute-api"])
            .start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#);
    assert_error(
        &answer,
        &json!(1),
        &[
            "failed to load AWS credentials: ",
            "(ensure AWS credentials are configured via environment variables, ~/.aws/credentials, or IAM role)",
        ],
    );
    assert_eq!(server.requests().len(), 0, "nothing is sent unsigned");
    drop(program);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut program = Launch::to(&format!("http://{closed}/mcp")).start();
    for id in 1..=2 {
        let answer =
            program.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize"}}"#));
        assert_error(&answer, &json!(id), &["connection refused"]);
    }
    let ended = program.close();
    let told = format!("ERROR: proxy server error: connect to {closed}: connection refused");
    assert_eq!(ended.log.matches(&told).count(), 1, "{}", ended.log);

    let mut program = Launch::to("https://no-such-host.invalid/mcp").start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#);
    assert_error(&answer, &json!(1), &["no-such-host.invalid: no such host"]);
}

#[test]
fn missing_credentials_are_reported_even_without_input() {
    let ended = Launch::bare(&["https://abc.execute-api.us-east-1.amazonaws.com/mcp"]).run("");
    assert_eq!(ended.code, Some(0));
    assert!(ended.log.contains("ERROR: failed to load AWS credentials: "), "{}", ended.log);
    assert!(ended.log.contains("Proxy is ready to accept MCP protocol messages"), "{}", ended.log);
}

#[test]
fn the_servers_own_messages_come_over_the_get_stream() {
    let server = Server::start(ServerOptions {
        sessions: true,
        get_stream: true,
        ..ServerOptions::default()
    });
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    drop(program);
    assert_all_verified(&server.requests());

    let quiet = Server::start(ServerOptions {
        sessions: true,
        get_stream: true,
        ..ServerOptions::default()
    });
    let mut program = Launch::to(&quiet.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)["id"], 1);
    assert!(quiet.requests().iter().all(|r| r.label() != "GET"));
}

#[test]
fn time_limits() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--timeout=300ms").start();
    server.reply_next("ping", Reply::Hang);
    let started = Instant::now();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_error(&answer, &json!(1), &["timed out", "--timeout"]);
    assert!(started.elapsed() < Duration::from_millis(1300), "{:?}", started.elapsed());
    drop(program);

    let mut program = Launch::to(&server.url("/mcp")).arg("--tool-timeout").arg("0.2").start();
    let answer = program.ask(&call("2", "slow", &json!({"ms": 5000})));
    assert_error(&answer, &json!(2), &["timed out", "--tool-timeout"]);
    drop(program);

    // `--read-timeout` is an idle timeout: a stream that continues is not cut.
    let server = server_with(Mode::Sse, false);
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-timeout=250ms").start();
    program.write(&call("3", "count", &json!({"to": 5, "delay_ms": 120})));
    for _ in 0..5 {
        assert_eq!(program.read()["method"], "notifications/progress");
    }
    assert_eq!(program.read()["id"], 3);
    let answer = program.ask(&call("4", "slow", &json!({"ms": 5000})));
    assert_error(&answer, &json!(4), &["sent nothing", "--read-timeout"]);
}

#[test]
fn a_changed_credentials_file_counts_from_the_next_request() {
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("changed-credentials");
    let file = home.join(".aws/credentials");
    std::fs::create_dir_all(home.join(".aws")).unwrap();
    let write = |id: &str, secret: &str| {
        let text = format!(
            "# keys\n[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret} ; mine\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("AKIAFIRSTEXAMPLEKEY1", SECRET);
    let server = server();
    server.set_keys(vec![Key::new("AKIAFIRSTEXAMPLEKEY1", SECRET)]);
    let url = server.url("/mcp");
    let mut program = Launch::bare(&[&url, "--region=us-east-1", "--service-name=execute-api"])
        .env("HOME", home.to_str().unwrap())
        .start();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert!(program.ask(ping)["result"].is_object());
    write("AKIASECONDEXAMPLEKEY", "another/secret/of/the/same/length/EXAMPLE");
    server.set_keys(vec![Key::new(
        "AKIASECONDEXAMPLEKEY",
        "another/secret/of/the/same/length/EXAMPLE",
    )]);
    assert!(program.ask(ping)["result"].is_object());
    let ended = program.close();
    assert_all_verified(&server.requests());
    assert!(
        ended.log.contains("EY1 from profile default (~/.aws/credentials)")
            || ended.log.contains("EKEY from profile default (~/.aws/credentials)"),
        "{}",
        ended.log
    );
}

#[test]
fn headers_of_the_user_are_sent_and_signed() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp"))
        .arg("--header=X-Team: a=b,  c")
        .arg("--header=X-Key=${TEAM_KEY}")
        .arg("--header=Cookie: not signed")
        .env("TEAM_KEY", "hush-hush")
        .env("MCP_LOG_LEVEL", "DEBUG")
        .start();
    program.shake_hands();
    let ended = program.close();
    let request = &server.requests()[0];
    assert_eq!(
        (request.header("x-team"), request.header("x-key")),
        (Some("a=b,  c"), Some("hush-hush"))
    );
    assert_eq!(request.header("cookie"), Some("not signed"));
    let authorization = request.header("authorization").unwrap();
    assert!(
        authorization.contains(";x-key;x-team,") && !authorization.contains("cookie"),
        "{authorization}"
    );
    assert_all_verified(&server.requests());
    assert!(ended.log.contains("DEBUG: ") && !ended.log.contains("hush"), "{}", ended.log);
}

#[test]
fn vpc_lattice_gets_an_unsigned_payload_and_says_so() {
    let server = Server::start(ServerOptions {
        service: "vpc-lattice-svcs".into(),
        ..ServerOptions::default()
    });
    let mut program = Launch::to(&server.url("/mcp")).arg("--service=vpc-lattice-svcs").start();
    program.shake_hands();
    drop(program);
    let requests = server.requests();
    assert_eq!(requests[0].header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
    assert_all_verified(&requests);
}

#[test]
fn usage_errors_are_listed_together_and_nothing_starts() {
    let ended = Launch::bare(&["--sig-version", "v5", "ftp://x", "--frobnicate"]).run("");
    assert_eq!((ended.code, ended.lines.len()), (Some(2), 0));
    let ended = Launch::bare(&[]).run("");
    assert_eq!(
        ended.log,
        "sigv4-proxy connects an MCP client to MCP servers protected by AWS IAM.\n  \
         sigv4-proxy URL          sign and relay; your MCP client starts it this way\n  \
         sigv4-proxy doctor URL   check credentials, network and server\n  \
         sigv4-proxy --help       list all options\n\
         ERROR: configuration error: target URL is required (set MCP_TARGET_URL or --target-url)\n"
    );
    let ended = Launch::bare(&["--region=us-east-1"]).run("");
    assert_eq!(
        ended.log,
        "ERROR: configuration error: target URL is required (set MCP_TARGET_URL or --target-url)\n"
    );
    let ended = Launch::bare(&["--frobnicate"]).run("");
    assert_eq!(ended.log, "ERROR: configuration error: unknown flag --frobnicate (see --help)\n");
    let ended = Launch::bare(&[
        "--target-url",
        "ftp://abc.execute-api.us-east-1.amazonaws.com",
        "--region=us-east-1",
        "--service-name=execute-api",
    ])
    .run("");
    assert_eq!(
        ended.log,
        "ERROR: configuration error: target URL must use http or https scheme, got: ftp\n"
    );
    let ended =
        Launch::bare(&["https://abc.execute-api.us-east-1.amazonaws.com", "--sig-version", "v5"])
            .run("");
    assert_eq!(ended.log, "ERROR: unsupported signature version: v5 (must be 'v4' or 'v4a')\n");
}

#[test]
fn the_version_names_commit_target_and_libc() {
    let ended = Launch::bare(&["--version"]).run("");
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 1));
    let start = format!("sigv4-proxy {} (", env!("CARGO_PKG_VERSION"));
    let facts = ended.lines[0].strip_prefix(&start).and_then(|rest| rest.strip_suffix(')'));
    let facts: Vec<&str> = facts.unwrap_or_default().split(", ").collect();
    // Without git and outside an archive made by it there is no commit.
    let [commit @ .., target, libc] = &facts[..] else { panic!("{:?}", ended.lines) };
    let is_commit = |text: &&str| {
        let digits = text.strip_prefix("commit ").unwrap_or_default();
        digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    assert!(commit.len() <= 1 && commit.iter().all(is_commit), "{facts:?}");
    assert!(target.starts_with(std::env::consts::ARCH) && !libc.is_empty(), "{facts:?}");
    assert_eq!(Launch::bare(&["version"]).run("").lines, ended.lines);
}

#[test]
fn requests_that_speak_for_themselves_have_headers_of_their_own_and_no_session() {
    let server = server_with(Mode::Json, true);
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    // Two eras in one process: the session of the first does not affect the second.
    for _ in 0..2 {
        server.reply_next("tools/call", json_reply(200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
        program.write(&modern(1, "tools/call", r#""name":"größe","#));
        assert_eq!(program.read()["id"], 1);
    }
    let requests = server.requests();
    let call = requests.iter().find(|r| r.label() == "tools/call").unwrap();
    assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(call.header("mcp-method"), Some("tools/call"));
    assert_eq!(call.header("mcp-name"), Some("=?base64?Z3LDtsOfZQ==?="));
    assert_eq!(call.header("mcp-session-id"), None);
    assert!(
        call.header("authorization")
            .unwrap()
            .contains(";mcp-method;mcp-name;mcp-protocol-version;")
    );
    assert_all_verified(&requests);
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

#[test]
fn an_interrupted_stream_is_taken_up_where_it_ended() {
    let server = server_with(Mode::Json, true);
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("tools/list", stream_reply("id: a-1\nretry: 150\ndata:\n\n"));
    server.reply_next(
        "GET",
        stream_reply("id: a-2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n"),
    );
    server
        .reply_next("GET", stream_reply("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"));
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert_eq!(program.read()["method"], "notifications/x");
    assert_eq!(program.read(), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let requests = server.requests();
    let gets: Vec<&Recorded> = requests.iter().filter(|r| r.label() == "GET").collect();
    let ids: Vec<_> = gets.iter().map(|get| get.header("last-event-id")).collect();
    assert_eq!(ids, [Some("a-1"), Some("a-2")]);
    let call = requests.iter().find(|r| r.label() == "tools/list").unwrap();
    assert!(
        gets[0].at - call.at >= Duration::from_millis(150),
        "the server asked for some patience"
    );
    assert!(gets.iter().all(|get| get.header("mcp-session-id") == call.header("mcp-session-id")));
    assert_all_verified(&requests);

    // Refused, the request is sent again, since that does no harm.
    server.reply_next("tools/list", stream_reply("id: b-1\nretry: 1\ndata:\n\n"));
    server.reply_next("GET", Reply::Status { code: 404, headers: vec![], body: vec![] });
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    assert!(answer["result"]["tools"].is_array(), "{answer}");
}
