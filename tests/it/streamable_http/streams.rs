//! Event streams before 2026-07-28, and calls that are taken back (H25-6 to H25-12, LC4, LC5, JR2, JR5).

use crate::harness::messages::{assert_error, call, labels, stream_reply, text_of};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Mode, Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

fn with_get_stream() -> (Server, Launch) {
    let server = Server::start(ServerOptions {
        get_stream: true,
        sessions: true,
        ..ServerOptions::default()
    });
    let launch = Launch::to(&server.url("/mcp"));
    (server, launch)
}

fn gets(requests: &[Recorded]) -> Vec<&Recorded> {
    requests.iter().filter(|request| request.label() == "GET").collect()
}

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

fn cancel(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    )
}

#[test]
fn a_dropped_get_stream_is_opened_again_where_it_ended_and_when_the_server_says() {
    let (server, launch) = with_get_stream();
    server.reply_next("GET", stream_reply(&format!("id: g-1\nretry: 200\ndata: {CHANGED}\n\n")));
    let mut program = launch.start();
    program.shake_hands();
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    let requests = server.wait_for(PATIENCE, |requests| gets(requests).len() == 2);
    let (first, second) = (gets(&requests)[0], gets(&requests)[1]);
    assert_eq!(
        (first.header("last-event-id"), second.header("last-event-id")),
        (None, Some("g-1"))
    );
    let wait = second.at - first.at;
    assert!(wait >= Duration::from_millis(200) && wait < Duration::from_millis(900), "{wait:?}");
    for get in [first, second] {
        assert_eq!(get.header("accept"), Some("text/event-stream"));
        assert_eq!(get.header("mcp-session-id"), Some("session-1"));
        assert_eq!(get.header("mcp-protocol-version"), Some("2025-11-25"));
    }
}

#[test]
fn a_server_without_get_stream_is_asked_once_and_nobody_hears_of_it() {
    for status in [400, 404, 405, 501] {
        let (server, launch) = with_get_stream();
        server.reply_next("GET", Reply::Status { code: status, headers: vec![], body: vec![] });
        let mut program = launch.start();
        program.shake_hands();
        server.wait_for(PATIENCE, |requests| gets(requests).len() == 1);
        let sum = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
        assert_eq!(text_of(&sum), "2", "{status} to a GET says nothing of the session");
        program.silent_for(Duration::from_millis(1200));
        let requests = server.requests();
        assert_eq!((gets(&requests).len(), labels(&requests).len()), (1, 3), "{status}");
        let ended = program.close();
        assert!(!ended.log.contains("ERROR") && !ended.log.contains("WARN"), "{}", ended.log);
    }
}

#[test]
fn a_get_stream_that_fails_is_tried_again_more_and_more_slowly() {
    let (server, launch) = with_get_stream();
    for _ in 0..2 {
        server.reply_next("GET", Reply::Status { code: 503, headers: vec![], body: vec![] });
    }
    let mut program = launch.start();
    program.shake_hands();
    let requests = server.wait_for(PATIENCE, |requests| gets(requests).len() == 3);
    let at: Vec<_> = gets(&requests).iter().map(|get| get.at).collect();
    let waits = [at[1] - at[0], at[2] - at[1]];
    assert!(
        waits[0] >= Duration::from_millis(950) && waits[1] >= Duration::from_millis(1900),
        "{waits:?}"
    );
    server.push(CHANGED);
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
}

#[test]
fn the_get_stream_can_be_switched_off() {
    let (server, launch) = with_get_stream();
    let mut program = launch.arg("--no-sse").start();
    program.shake_hands();
    program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    program.silent_for(Duration::from_millis(100));
    assert_eq!(gets(&server.requests()).len(), 0);
}

#[test]
fn polling_goes_on_as_long_as_it_brings_something() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("tools/call", stream_reply("id: 0\nretry: 1\ndata:\n\n"));
    for number in 1..=30 {
        let progress = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":{number}}}}}"#
        );
        server.reply_next("GET", stream_reply(&format!("id: {number}\ndata: {progress}\n\n")));
    }
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    server.reply_next("GET", stream_reply(&format!("id: 31\ndata: {result}\n\n")));
    program.write(&call("1", "add", &json!({})));
    for number in 1..=30 {
        assert_eq!(program.read()["params"]["progress"], number);
    }
    assert_eq!(program.read_line(), result);
    let requests = server.requests();
    let ids: Vec<_> =
        gets(&requests).iter().map(|get| get.header("last-event-id").unwrap()).collect();
    assert_eq!(ids, (0..=30).map(|number| number.to_string()).collect::<Vec<_>>());
    // The call itself went out once.
    assert_eq!(labels(&requests).iter().filter(|label| *label == "tools/call").count(), 1);
}

#[test]
fn initialize_is_never_cancelled() {
    let server = Server::start(ServerOptions::default());
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}"#;
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{result}",
        result.len()
    );
    server.reply_next(
        "initialize",
        Reply::RawPieces(vec![(Duration::from_millis(300), reply.into_bytes())]),
    );
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    program.write(&cancel("1"));
    assert_eq!(program.read_line(), result);
}

/// Cancellations that meet answers at every moment: one line or none for each call, and never one after the next
/// call's answer.
fn races(mode: Mode) {
    let server = Server::start(ServerOptions { mode, ..ServerOptions::default() });
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..150_u64 {
        let id = round.to_string();
        program.write(&call(&id, "slow", &json!({"ms": round % 4})));
        std::thread::park_timeout(Duration::from_micros(round * 37 % 4000));
        program.write(&cancel(&id));
        program.write(&call(&format!("\"after {id}\""), "add", &json!({"a": 1, "b": 1})));
        loop {
            let answer: Value = program.read();
            *answers.entry(answer["id"].to_string()).or_default() += 1;
            if answer["id"] == format!("after {id}") {
                break;
            }
            assert_eq!(answer["id"], round, "an answer of an earlier round");
            assert!(answer["result"].is_object(), "{answer}");
        }
    }
    program.silent_for(Duration::from_millis(300));
    assert!(answers.values().all(|count| *count == 1), "{answers:?}");
    assert_eq!(program.close().code, Some(0));
}

#[test]
fn races_of_cancellations_and_answers_json() {
    races(Mode::Json);
}

#[test]
fn races_of_cancellations_and_answers_event_stream() {
    races(Mode::Sse);
}

#[test]
fn a_cancelled_call_leaks_nothing() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    for id in 0..10 {
        server.reply_next("tools/call", Reply::Hang);
        program.write(&call(&id.to_string(), "add", &json!({})));
    }
    let requests = server.wait_for(PATIENCE, |requests| labels(requests).len() == 12);
    let used: Vec<u64> = requests[2..].iter().map(|request| request.connection).collect();
    for id in 0..10 {
        program.write(&cancel(&id.to_string()));
    }
    // After the grace that a server has to end the call in order, its connection is closed.
    let begun = std::time::Instant::now();
    while used.iter().any(|connection| server.is_open(*connection)) {
        assert!(begun.elapsed() < Duration::from_secs(5), "{} are open", server.connections());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    program.silent_for(Duration::from_millis(50));
    let told = labels(&server.requests());
    assert_eq!(told.iter().filter(|label| *label == "notifications/cancelled").count(), 10);
}

#[test]
fn the_servers_id_may_be_one_of_the_clients() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let ping = "data: {\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}\n\n";
    let result = "data: {\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"content\":[]}}\n\n";
    server.reply_next(
        "tools/call",
        Reply::RawPieces(vec![
            (Duration::ZERO, [head, ping].concat().into_bytes()),
            (Duration::from_millis(300), result.into()),
        ]),
    );
    program.write(&call("5", "add", &json!({})));
    assert_eq!(program.read(), json!({"jsonrpc": "2.0", "id": 5, "method": "ping"}));
    program.write(r#"{"jsonrpc":"2.0","id":5,"result":{}}"#);
    let answered = |requests: &[Recorded]| requests.iter().any(|r| r.label() == "response");
    assert!(answered(&server.wait_for(Duration::from_millis(250), answered)));
    assert_eq!(program.read()["result"], json!({"content": []}));
}

#[test]
fn a_stream_that_ends_without_the_answer_is_one_error() {
    let server = Server::start(ServerOptions::default());
    let mut program: Program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("tools/call", stream_reply(": nothing\n\n"));
    let answer = program.ask(&call("1", "add", &json!({})));
    assert_error(&answer, &json!(1), &["ended too early"]);
    assert_eq!(labels(&server.requests()).iter().filter(|l| *l == "tools/call").count(), 1);
}
