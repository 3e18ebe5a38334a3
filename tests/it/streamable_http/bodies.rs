//! Bodies of successful responses are read by their content, not by their `Content-Type`.

use crate::harness::messages::{assert_error, labels};
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Mode, Reply, Server, ServerOptions};
use serde_json::json;
use std::time::Duration;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{ }}"#;

/// After it the connection is closed, which it says: a call that is sent at that moment would fail.
fn reply(content_type: Option<&str>, body: &str) -> Reply {
    let content_type = content_type.map(|name| format!("Content-Type: {name}\r\n"));
    let head = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n",
        content_type.unwrap_or_default(),
        body.len()
    );
    Reply::Raw([&head, body].concat().into_bytes())
}

const TYPES: [Option<&str>; 12] = [
    Some("application/json"),
    Some("Application/JSON; charset=utf-8"),
    Some("application/json, application/json"),
    Some("application/json;charset=utf-8,text/plain"),
    Some("application/vnd.mcp+json"),
    Some("text/json"),
    Some("text/event-stream"),
    Some("text/event-stream, text/event-stream"),
    Some("text/plain; charset=utf-8"),
    Some("application/octet-stream"),
    Some("text/html"),
    None,
];

#[test]
fn json_and_event_streams_are_recognised_under_every_type() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    let event = format!("data: {RESULT}\n\n");
    for content_type in TYPES {
        for body in [
            RESULT.to_owned(),
            format!("\u{feff}\n  {RESULT}\n"),
            format!("[{RESULT}]"),
            event.clone(),
            format!("\u{feff}\r\n{event}"),
            format!(": hello\n\n{event}"),
            format!("event: message\n{event}"),
            format!("id: 1\nretry: 10\n{event}"),
        ] {
            server.reply_next("ping", reply(content_type, &body));
            program.write(PING);
            assert_eq!(program.read_line().trim(), RESULT, "{content_type:?} {body}");
        }
    }
}

#[test]
fn a_stream_under_another_type_is_relayed_as_it_comes() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    let note = r#"{"jsonrpc":"2.0","method":"n"}"#;
    for content_type in ["Content-Type: application/json\r\n", "Content-Type: text/plain\r\n", ""] {
        let head = format!("HTTP/1.1 200 OK\r\n{content_type}Connection: close\r\n\r\nda");
        server.reply_next(
            "ping",
            Reply::RawPieces(vec![
                (Duration::ZERO, head.into_bytes()),
                (Duration::from_millis(20), format!("ta: {note}\n\n").into_bytes()),
                (Duration::from_secs(1), format!("data: {RESULT}\n\n").into_bytes()),
            ]),
        );
        let started = std::time::Instant::now();
        program.write(PING);
        assert_eq!(program.read_line(), note);
        assert!(started.elapsed() < Duration::from_millis(900), "{content_type}");
        assert_eq!(program.read_line(), RESULT);
    }
}

#[test]
fn pages_and_other_bodies_are_errors_that_say_so() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    for (content_type, body, words) in [
        (Some("text/html"), "<!DOCTYPE html>\n<p>Sign in", "HTML or XML page (text/html)"),
        (Some("text/plain"), "\n<html>", "HTML or XML page (text/plain)"),
        (Some("application/json"), "<html>", "HTML or XML page (application/json)"),
        (Some("text/event-stream"), "<html>", "HTML or XML page (text/event-stream)"),
        (None, "<?xml version=\"1.0\"?>", "HTML or XML page (no Content-Type)"),
        (Some("text/plain"), "Hello", "neither JSON nor an event stream (text/plain)"),
        (Some("text/plain"), "dat", "neither JSON nor an event stream (text/plain)"),
        (Some("application/json"), "\"Hello\"", "not JSON-RPC"),
        (
            Some("application/json"),
            r#"{"errorMessage":"Task timed out after 3.00 seconds","errorType":"Sandbox.Timedout"}"#,
            "no method, result or error: Task timed out after 3.00 seconds (check that the URL",
        ),
        (Some("application/json"), "[{\"message\":\"no such stage\"}]", "no such stage"),
        (Some("text/plain"), " \n", "an empty body"),
        (None, "", "an empty body"),
    ] {
        let asked = server.requests().len();
        server.reply_next("tools/call", reply(content_type, body));
        program.write(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#);
        assert_error(&program.read(), &json!(1), &[words]);
        assert_eq!(server.requests().len(), asked + 1, "{body}");
    }
}

#[test]
fn a_standing_stream_needs_no_type() {
    let options = ServerOptions { mode: Mode::Sse, ..ServerOptions::default() };
    let server = Server::start(options);
    let note = r#"{"jsonrpc":"2.0","method":"n"}"#;
    server.reply_next("GET", reply(Some("application/octet-stream"), &format!("data: {note}\n\n")));
    let mut program = Launch::to(&server.url("/mcp")).arg("--sse").start();
    program.shake_hands();
    server.wait_for(PATIENCE, |requests| requests.iter().any(|r| r.label() == "GET"));
    assert_eq!(program.read_line(), note);
    assert!(!labels(&server.requests()).is_empty());
}
