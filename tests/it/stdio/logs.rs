//! Log lines on stderr and in log files.

use crate::harness::messages::call;
use crate::harness::program::Launch;
use crate::support::{Mode, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Clients take such words for a failure, and show INFO lines as errors.
#[test]
fn a_good_session_says_that_it_began_and_nothing_else() {
    let server = Server::start(ServerOptions {
        mode: Mode::Sse,
        sessions: true,
        ..ServerOptions::default()
    });
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    // A throttled call, a session that dies and no GET stream: all of that is handled.
    server.reply_next("tools/call", Reply::aws_error(429, "ThrottlingException", "slow down"));
    program.ask(&call("1", "add", &json!({"a": 1, "b": 2})));
    server.end_sessions();
    program.ask(&call("2", "add", &json!({"a": 1, "b": 2})));
    let ended = program.close();
    let lines: Vec<&str> = ended.log.lines().collect();
    let began =
        "INFO: signing for execute-api in us-east-1 with SigV4, relaying to http://127.0.0.1:";
    assert!(lines[0].starts_with(began), "{lines:?}");
    assert!(lines.contains(&"INFO: credentials: key AKIA****MPLE from environment"), "{lines:?}");
    assert!(lines.contains(&"INFO: Proxy is ready to accept MCP protocol messages"), "{lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");
    for word in ["error", "fail", "exception", "warn", "fatal"] {
        assert!(!ended.log.to_lowercase().contains(word), "{}", ended.log);
    }
}

#[test]
fn one_line_a_request_at_debug() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--log-level=debug").start();
    program.shake_hands();
    server.reply_next("tools/call", Reply::aws_error(429, "ThrottlingException", "slow down"));
    program.ask(&call("7", "add", &json!({"a": 1, "b": 2})));
    server.reply_next("ping", Reply::aws_error(403, "AccessDeniedException", "no"));
    program.ask(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
    let ended = program.close();
    let line = |start: &str| {
        let lines: Vec<&str> = ended.log.lines().filter(|line| line.starts_with(start)).collect();
        assert_eq!(lines.len(), 1, "{start}: {}", ended.log);
        lines[0].to_owned()
    };
    let call = line("DEBUG: tools/call 7: HTTP 200 after ");
    assert!(call.contains(" ms, complete after ") && call.contains(", 2 attempts, "), "{call}");
    assert!(call.contains(", request id 00000000-0000-4000-8000-"), "{call}");
    let ping = line("DEBUG: ping \"p\": HTTP 403 after ");
    assert!(ping.ends_with(", refused") && !ping.contains("attempts"), "{ping}");
    line("DEBUG: notifications/initialized: HTTP 202 after ");
    line("DEBUG: ending: stdin has ended");
}

#[test]
fn json_in_a_file() {
    let server = Server::start(ServerOptions::default());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("json_in_a_file.log");
    let _ = std::fs::remove_file(&path);
    let ended = Launch::to(&server.url("/mcp"))
        .arg("--log-format=json")
        .arg(&format!("--log-file={}", path.display()))
        .run("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
    assert_eq!(ended.log, "");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let members: Vec<&str> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["level", "message", "time"]);
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().starts_with("ping 1: HTTP")));
}

/// A client that never reads stderr.
#[test]
fn a_full_stderr_stops_nothing() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp"))
        .arg("--no-sse")
        .arg("--log-level=debug")
        .without_reading_stderr()
        .start();
    let long = "x".repeat(4000);
    for id in 0..60 {
        // The method is part of the line in the log.
        let answer = program.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{long}"}}"#));
        assert_eq!(answer["id"], id);
    }
    let ended = program.close();
    assert_eq!(ended.code, Some(0));
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
}
