//! Messages of servers that are not valid JSON-RPC, or not messages at all.

use crate::harness::messages::{assert_error, json_reply, stream_reply};
use crate::harness::program::{Launch, Program};
use crate::support::{Reply, Server, ServerOptions};
use serde_json::json;
use std::time::Duration;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{ }}"#;

fn start() -> (Server, Program) {
    let server = Server::start(ServerOptions::default());
    let program = Launch::to(&server.url("/mcp")).start();
    (server, program)
}

fn events(data: &[&str]) -> String {
    data.iter().flat_map(|data| ["data: ", *data, "\n\n"]).collect()
}

#[test]
fn non_messages_are_skipped_on_a_stream() {
    let (server, mut program) = start();
    let junk = [
        "ping",
        "{}",
        "[DONE]",
        "null",
        "1",
        "\"text\"",
        "true",
        "[]",
        "[{},1]",
        "{oops",
        "\u{fffd}",
        r#"{"type":"heartbeat"}"#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"id":7}"#,
        r#"{"method":7}"#,
        r#"{"id":7,"result":{},"error":{"code":1,"message":"m"}}"#,
    ];
    for junk in junk {
        server.reply_next("tools/call", stream_reply(&events(&[junk, RESULT, junk])));
        program.write(CALL);
        assert_eq!(program.read_line(), RESULT, "{junk}");
        let named = format!("event: message\ndata: {junk}\n\n");
        server.reply_next("tools/call", stream_reply(&named));
        program.write(CALL);
        assert_error(
            &program.read(),
            &json!(1),
            &["no response to this request", "ended before the response"],
        );
    }
}

#[test]
fn the_text_of_an_error_event_is_the_error_of_the_request() {
    let (server, mut program) = start();
    let own = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-5,"message":"the vault is sealed"}}"#;
    for data in [
        "the vault\ndata: is sealed",
        r#"{"message":"the vault is sealed","status":5}"#,
        r#""the vault is sealed""#,
        r#"{"error":"the vault is sealed"}"#,
        r#"{"error":{"message":"the vault is sealed"}}"#,
        r#"{"error":"unavailable","error_description":"the vault is sealed"}"#,
        r#"{"detail":[{"loc":[],"msg":"the vault is sealed"}]}"#,
    ] {
        let stream = format!("id: 1\nevent: error\ndata: {data}\n\n: bye\n\n");
        server.reply_next("tools/call", stream_reply(&stream));
        program.write(CALL);
        assert_error(
            &program.read(),
            &json!(1),
            &["the server reported an error", "the vault is sealed"],
        );
    }
    for id in ["1", "null", "\"other\""] {
        let data = own.replace("\"id\":1", &format!("\"id\":{id}"));
        server.reply_next("tools/call", stream_reply(&format!("event: error\ndata: {data}\n\n")));
        program.write(CALL);
        assert_eq!(program.read_line(), own);
    }
    // A response that follows counts.
    let stream = format!("event: error\ndata: the vault is sealed\n\n{}", events(&[RESULT]));
    server.reply_next("tools/call", stream_reply(&stream));
    program.write(CALL);
    assert_eq!(program.read_line(), RESULT);
}

#[test]
fn after_an_error_event_a_response_is_not_waited_for_much_longer() {
    let (server, mut program) = start();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let report = format!("{head}event: error\ndata: the vault is sealed\n\n").into_bytes();
    let alive = (Duration::from_millis(500), b": alive\n\n".to_vec());
    let pieces = [vec![(Duration::ZERO, report)], vec![alive; 14]].concat();
    server.reply_next("tools/call", Reply::RawPieces(pieces));
    program.write(CALL);
    assert_error(&program.read(), &json!(1), &["the vault is sealed"]);
}

#[test]
fn messages_that_are_not_valid_are_corrected() {
    let (server, mut program) = start();
    for (message, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"error":null,"result":{ }}"#, RESULT),
        (r#"{"jsonrpc":"1.0","id":1,"method":null,"params":null,"result":{ }}"#, RESULT),
        (r#"{"id":1,"result":{ }}"#, RESULT),
        (
            r#"{"id":1,"result":null,"error":{"code":-5,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-5,"message":"m"}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":"boom"}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"boom"}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"m","params":null}"#,
            r#"{"jsonrpc":"2.0","method":"m"}"#,
        ),
    ] {
        let valid = r#"{"jsonrpc":"2.0","id":1,"result":{"at":"the end"}}"#;
        for reply in [
            json_reply(200, &format!("[{message},{valid}]")),
            stream_reply(&events(&[message, valid])),
            stream_reply(&events(&[&format!("[{message}]"), valid])),
        ] {
            server.reply_next("tools/call", reply);
            program.write(CALL);
            assert_eq!(program.read_line(), expected);
            if !expected.contains("\"id\":1") {
                assert_eq!(program.read_line(), valid);
            }
        }
    }
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#;
    let responses =
        r#"[{"id":1,"result":{ }},7,{"jsonrpc":"2.0","id":2,"error":{"code":"-5","message":"m"}}]"#;
    server.reply_next("response", json_reply(200, responses));
    program.write(batch);
    let expected =
        format!(r#"[{RESULT},{{"jsonrpc":"2.0","id":2,"error":{{"code":-5,"message":"m"}}}}]"#);
    assert_eq!(program.read_line(), expected);
}

#[test]
fn an_error_alone_in_its_response_belongs_to_the_request() {
    let (server, mut program) = start();
    let error = |id: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32050,"message":"m"}}}}"#)
    };
    let note = r#"{"jsonrpc":"2.0","method":"n"}"#;
    let replies = |id: &str| -> Vec<Reply> {
        vec![
            json_reply(200, &error(id)),
            json_reply(200, &format!("[{}]", error(id))),
            stream_reply(&events(&[&error(id)])),
            stream_reply(&events(&["ping", note, &error(id), "[DONE]"])),
        ]
    };
    for id in ["0", "4711", "\"other\"", "null", "\"\""] {
        for reply in replies(id) {
            server.reply_next("tools/call", reply);
            program.write(CALL);
            let mut line = program.read_line();
            if line == note {
                line = program.read_line();
            }
            assert_eq!(line, error("1"), "{id}");
        }
    }
    // It is not, if another response follows.
    server.reply_next("tools/call", stream_reply(&events(&[&error("0"), RESULT])));
    program.write(CALL);
    assert_eq!(program.read_line(), RESULT);
    server.reply_next("tools/call", stream_reply(&events(&[&error("0"), &error("2")])));
    program.write(CALL);
    assert_error(&program.read(), &json!(1), &["ended before the response"]);
    // The requests of a batch share it.
    server.reply_next("response", json_reply(200, &error("null")));
    program.write(r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#);
    assert_eq!(program.read_line(), format!("[{},{}]", error("1"), error("2")));
}

#[test]
fn an_error_response_that_is_an_event_stream_has_the_words_of_its_event() {
    let (server, mut program) = start();
    let refusal = |kind: &str, stream: &str, is_whole: bool| {
        let length = if is_whole { stream.len() } else { stream.len() + 1 };
        let head = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        Reply::Raw([&head, stream].concat().into_bytes())
    };
    let sealed = |message: &str| {
        message.contains(": the vault is sealed (") || message.ends_with(": the vault is sealed")
    };
    for kind in
        ["text/event-stream", "Text/Event-Stream; charset=utf-8", "application/json", "text/plain"]
    {
        for stream in [
            "event: error\ndata: the vault\ndata: is sealed\n\n",
            "data: {\"message\":\"the vault is sealed\"}\n\n",
            "data: 1\n\ndata: {\"title\":\"the vault is sealed\",\"status\":400}\n\n",
            ": hi\n\ndata: ping\n\ndata: {}\n\nid: 1\ndata: {\"message\":\"the vault is sealed\"}\n\ndata: [DONE]\n\n",
        ] {
            server.reply_next("tools/call", refusal(kind, stream, true));
            program.write(CALL);
            let error = program.read();
            assert!(sealed(error["error"]["message"].as_str().unwrap()), "{kind} {stream} {error}");
        }
        let own = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-5,"message":"the vault is sealed"}}"#;
        // The stream need not end.
        let is_whole = !kind.eq_ignore_ascii_case("text/event-stream");
        server.reply_next(
            "tools/call",
            refusal(kind, &events(&[&own.replace('1', "null")]), is_whole),
        );
        program.write(CALL);
        assert_eq!(program.read_line(), own, "{kind}");
    }
    // Text that only begins like a stream stays text.
    server.reply_next("tools/call", refusal("text/plain", "id: unknown", true));
    program.write(CALL);
    assert_error(&program.read(), &json!(1), &["HTTP 400: id: unknown"]);
}
