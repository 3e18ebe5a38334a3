//! The listener starts again, and so does the server; clients continue.

use crate::harness::listening::Listening;
use crate::harness::program::Launch;
use crate::support::{Mode, Server, ServerOptions};
use serde_json::json;
#[cfg(unix)]
use std::time::{Duration, Instant};

fn server() -> Server {
    Server::start(ServerOptions {
        mode: Mode::Sse,
        sessions: true,
        get_stream: true,
        ..ServerOptions::default()
    })
}

#[cfg(unix)]
#[test]
fn a_session_outlives_the_listener() {
    let server = server();
    let launch = || Launch::to(&server.url("/mcp"));
    let listening = Listening::open(launch());
    let address = listening.address().to_owned();
    let mut client = listening.client();
    client.initialize();
    assert_eq!(client.call(1, "add", &json!({"a": 2, "b": 3})), "5");
    assert_eq!(listening.end().code, Some(0));
    let again = Listening::open_at(launch(), &address);
    assert_eq!(client.call(2, "add", &json!({"a": 2, "b": 4})), "6");
    let mut stream = client.standing_stream();
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert!(stream.event().unwrap().unwrap().contains("list_changed"));
    drop(again);
}

/// The listener begins a new session at the server; the client keeps the id that it has.
#[test]
fn a_client_outlives_its_session_at_the_server() {
    let server = server();
    let listening = Listening::start(Launch::to(&server.url("/mcp")));
    let mut clients: Vec<_> = (0..5)
        .map(|_| {
            let mut client = listening.client();
            client.initialize();
            client
        })
        .collect();
    for round in 0..3 {
        server.end_sessions();
        for (number, client) in clients.iter_mut().enumerate() {
            let sum = client.call(round, "add", &json!({"a": number, "b": 100}));
            assert_eq!(sum, (number + 100).to_string());
        }
    }
}

#[cfg(unix)]
/// The time until the address can be listened on.
fn bind_soon(address: &str) -> Duration {
    let started = Instant::now();
    while let Err(error) = std::net::TcpListener::bind(address) {
        assert!(started.elapsed() < Duration::from_secs(10), "{error}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    started.elapsed()
}

#[cfg(unix)]
#[test]
fn a_signal_lets_running_calls_finish() {
    let server = server();
    let listening = Listening::start(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    client.initialize();
    let mut stream = client.standing_stream();
    let mut running = client.twin();
    let calls = std::thread::spawn(move || running.call(1, "slow", &json!({"ms": 1500})));
    server.wait_for(Duration::from_secs(10), |requests| {
        requests.iter().any(|request| request.label() == "tools/call")
    });
    let started = Instant::now();
    let address = listening.address().to_owned();
    let successor = std::thread::spawn(move || bind_soon(&address));
    let ended = listening.end();
    assert!(successor.join().unwrap() < Duration::from_millis(1200), "the address is free at once");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(calls.join().unwrap(), "done");
    assert_eq!(stream.event().unwrap(), None, "an event stream ends in order");
}
