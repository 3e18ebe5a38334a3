//! More clients than is polite, and clients that do not behave.

use crate::harness::listening::Listening;
use crate::harness::messages::assert_all_verified;
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Mode, Server, ServerOptions};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

fn server(mode: Mode) -> Server {
    Server::start(ServerOptions {
        mode,
        sessions: true,
        get_stream: true,
        ..ServerOptions::default()
    })
}

/// Waits until `is_so`, which a moment ago may not have been.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// Resident memory in megabytes.
#[cfg(target_os = "linux")]
fn resident(listening: &Listening) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", listening.pid()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn two_hundred_and_fifty_six_calls_at_once_from_fifty_clients() {
    let server = server(Mode::Sse);
    let listening = Listening::start(Launch::to(&server.url("/mcp")));
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut client = listening.client();
            client.initialize();
            client
        })
        .collect();
    thread::scope(|scope| {
        for number in 0..256 {
            let mut client = clients[number % clients.len()].twin();
            scope.spawn(move || {
                // All are under way before the first one ends.
                client.call(7, "slow", &json!({"ms": 500}));
                assert_eq!(
                    client.call(8, "add", &json!({"a": number, "b": 1000})),
                    (number + 1000).to_string()
                );
            });
        }
    });
    assert_all_verified(&server.requests());
}

#[cfg_attr(windows, ignore = "clients that disconnect are not noticed")]
#[test]
fn clients_that_vanish_take_their_calls_with_them() {
    let server = server(Mode::Sse);
    let listening = Listening::open(Launch::to(&server.url("/mcp")).arg("--max-in-flight=40"));
    let mut client = listening.client();
    client.initialize();
    let idle = server.connections();
    let call = |tool: &str| {
        json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": {"ms": 60_000, "to": 10_000, "delay_ms": 10}, "_meta": {"progressToken": 1}},
        })
    };
    for round in 0..2 {
        let mut vanishing: Vec<_> = (0..40).map(|_| client.twin()).collect();
        for (number, client) in vanishing.iter_mut().enumerate() {
            let tool = if number % 2 == 0 { "slow" } else { "count" };
            client.send("POST", &[], call(tool).to_string().as_bytes()).unwrap();
        }
        let before = 40 * round;
        server.wait_for(PATIENCE, |requests| {
            requests.iter().filter(|request| request.label() == "tools/call").count() >= before + 40
        });
        drop(vanishing);
        eventually("their calls go on", || server.connections() <= idle + 2);
    }
    assert_eq!(client.call(2, "add", &json!({"a": 2, "b": 3})), "5");
}

#[test]
fn clients_that_do_not_read_delay_no_other() {
    let server = server(Mode::Json);
    // There are more of them than calls that may be in flight.
    let listening = Listening::open(Launch::to(&server.url("/mcp")).arg("--max-in-flight=16"));
    let mut client = listening.client();
    client.initialize();
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "big", "arguments": {"bytes": 8_000_000}},
    });
    let mut deaf: Vec<_> = (0..20).map(|_| client.twin()).collect();
    for client in &mut deaf {
        client.send("POST", &[], body.to_string().as_bytes()).unwrap();
    }
    // Until their responses are there, a busy machine delays everyone.
    for client in &mut deaf {
        assert_eq!(client.head().unwrap().status, 200);
    }
    let started = Instant::now();
    for id in 0..20 {
        assert_eq!(client.call(id, "add", &json!({"a": id, "b": 1})), (id + 1).to_string());
    }
    // Far less than the time after which such a client is given up.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    #[cfg(target_os = "linux")]
    assert!(resident(&listening) < 600, "{} MB", resident(&listening));
    drop(deaf);
    #[cfg(target_os = "linux")]
    eventually("their responses are kept", || resident(&listening) < 150);
}

/// More than are remembered, which is a few thousand, take a minute; so the state of each is what is looked at.
#[test]
fn a_thousand_sessions_that_their_clients_leave_behind() {
    let server = server(Mode::Json);
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut first = listening.client();
    first.initialize();
    let mut client = listening.client();
    for _ in 0..1000 {
        let headers = client.headers.clone();
        client.initialize();
        client.headers = headers;
    }
    assert_eq!(first.call(1, "add", &json!({"a": 2, "b": 3})), "5");
    let sessions: Vec<_> = server
        .requests()
        .iter()
        .filter_map(|request| Some(request.header("mcp-session-id")?.to_owned()))
        .collect();
    assert_eq!(sessions.last().unwrap(), &sessions[0], "it is the session of the first client");
    #[cfg(target_os = "linux")]
    assert!(resident(&listening) < 60, "{} MB", resident(&listening));
}

/// A session that the server does not know is the server's to refuse, and so is a request without one.
#[test]
fn unknown_and_missing_sessions_are_refused_as_the_server_does() {
    let server = server(Mode::Json);
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let unknown = listening.client().with("Mcp-Session-Id", "unknown").post(ping);
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["message"]),
        (404, &json!("Session not found"))
    );
    let without = listening.client().post(ping);
    assert_eq!(without.status, 400, "{without:?}");
    for id in ["", "a b", "ü", &"x".repeat(5000), "../x", "a,b"] {
        let answer = listening.client().with("Mcp-Session-Id", id).post(ping);
        assert!((400..500).contains(&answer.status), "{id}: {answer:?}");
    }
    // Nobody's session was harmed.
    let mut client = listening.client();
    client.initialize();
    assert_eq!(client.call(1, "add", &json!({"a": 2, "b": 3})), "5");
}

/// Nor do the files that a user may have open, of which each stream takes two.
#[cfg(target_os = "linux")]
#[test]
fn idle_event_streams_keep_no_call_out() {
    let server = server(Mode::Json);
    let launch = Launch::to(&server.url("/mcp")).after("ulimit -S -n 256");
    let listening = Listening::open(launch);
    let mut client = listening.client();
    client.initialize();
    let before = resident(&listening);
    let streams: Vec<_> = (0..400).map(|_| client.standing_stream()).collect();
    assert_eq!(client.call(1, "add", &json!({"a": 2, "b": 3})), "5");
    assert!(resident(&listening) - before < 40, "{} MB", resident(&listening));
    drop(streams);
    eventually("streams of clients that left go on", || server.connections() < 20);
}
