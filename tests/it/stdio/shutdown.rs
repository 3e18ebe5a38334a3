//! The end of the process: the end of stdin, signals, a stdout that is full or closed.

use crate::harness::messages::{assert_error, call};
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Mode, Recorded, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::Duration;

fn server() -> Server {
    Server::start(ServerOptions::default())
}

fn server_with(mode: Mode, sessions: bool) -> Server {
    Server::start(ServerOptions { mode, sessions, ..ServerOptions::default() })
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
    let server = Server::start(ServerOptions::with_sessions_and_stream());
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
        let ended = program.wait();
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
