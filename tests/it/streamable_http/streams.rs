//! Event streams before 2026-07-28, and calls that are cancelled.

use crate::harness::messages::{
    assert_all_verified, assert_error, call, json_reply, labels, stream_reply, text_of,
};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Mode, Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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
    server.reply_next("GET", stream_reply(&format!("id: g-1\nretry: 600\ndata: {CHANGED}\n\n")));
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
    assert!(wait >= Duration::from_millis(600) && wait < Duration::from_millis(1300), "{wait:?}");
    for get in [first, second] {
        assert_eq!(get.header("accept"), Some("text/event-stream"));
        assert_eq!(get.header("mcp-session-id"), Some("session-1"));
        assert_eq!(get.header("mcp-protocol-version"), Some("2025-11-25"));
    }
}

#[test]
fn an_event_in_which_the_get_stream_ended_does_not_count() {
    let half = format!("id: g-2\ndata: {}", &CHANGED[..20]);
    for cut in ["id: g-2\n", "id: g-", "id", &half] {
        let (server, launch) = with_get_stream();
        let whole = format!("id: g-1\nretry: 1\ndata: {CHANGED}\n\n");
        server.reply_next("GET", stream_reply(&format!("{whole}{cut}")));
        let mut program = launch.start();
        program.shake_hands();
        assert_eq!(program.read()["method"], "notifications/tools/list_changed");
        let requests = server.wait_for(PATIENCE, |requests| gets(requests).len() == 2);
        assert_eq!(gets(&requests)[1].header("last-event-id"), Some("g-1"), "{cut}");
    }
}

fn status(code: u16, headers: &[(&str, &str)]) -> Reply {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Reply::Status { code, headers, body: vec![] }
}

/// Programs whose servers respond in these ways to the first requests for a GET stream.
fn listeners(replies: Vec<Vec<Reply>>) -> Vec<(Server, Program)> {
    let listen = |replies: Vec<Reply>| {
        let (server, launch) = with_get_stream();
        for reply in replies {
            server.reply_next("GET", reply);
        }
        let mut program = launch.start();
        program.shake_hands();
        (server, program)
    };
    replies.into_iter().map(listen).collect()
}

fn waits(server: &Server, count: usize) -> Vec<Duration> {
    let requests = server.wait_for(PATIENCE, |requests| gets(requests).len() > count);
    let at: Vec<_> = gets(&requests).iter().map(|get| get.at).collect();
    at.windows(2).take(count).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_server_without_get_stream_is_asked_once_and_the_client_does_not_notice() {
    let mut refusals: Vec<Reply> =
        [204, 400, 401, 403, 404, 405, 410, 501].map(|code| status(code, &[])).into();
    refusals.push(status(302, &[("Location", "/elsewhere")]));
    refusals.push(json_reply(200, "{}"));
    let mut listeners = listeners(refusals.into_iter().map(|refusal| vec![refusal]).collect());
    for (server, program) in &mut listeners {
        server.wait_for(PATIENCE, |requests| gets(requests).len() == 1);
        let sum = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
        assert_eq!(text_of(&sum), "2", "a refused GET says nothing of the session");
    }
    listeners[0].1.silent_for(Duration::from_millis(1200));
    for (server, program) in listeners {
        let requests = server.requests();
        assert_eq!((gets(&requests).len(), labels(&requests).len()), (1, 3));
        let ended = program.close();
        assert!(!ended.log.contains("ERROR") && !ended.log.contains("WARN"), "{}", ended.log);
    }
}

#[test]
fn a_get_stream_that_is_refused_for_now_is_requested_later() {
    let mut refusals: Vec<Vec<Reply>> =
        [408, 409, 425, 429, 500, 502, 503, 504, 599].map(|code| vec![status(code, &[])]).into();
    // Of the signature, not of the stream.
    for (code, error_type) in [
        (403, "ExpiredTokenException"),
        (403, "InvalidSignatureException"),
        (400, "ThrottlingException"),
    ] {
        refusals.push(vec![status(code, &[("x-amzn-errortype", error_type)])]);
    }
    refusals.push(vec![Reply::Close]);
    let asks_to_wait = refusals.len();
    refusals.push(vec![status(503, &[("Retry-After", "2")])]);
    for (at, (server, mut program)) in listeners(refusals).into_iter().enumerate() {
        let wait = waits(&server, 1)[0];
        let expected = Duration::from_secs(if at == asks_to_wait { 2 } else { 1 });
        assert!(wait + Duration::from_millis(50) >= expected, "{at}: {wait:?}");
        server.push(CHANGED);
        assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    }
}

#[test]
fn a_get_stream_that_ends_at_once_is_not_opened_again_at_once() {
    let message = format!("data: {CHANGED}\n\n");
    let cases = [
        ("retry: 0\n\n: comment\n\n", [500, 500]),
        (&*format!("retry: 1\n{message}"), [500, 500]),
        ("retry: 1\nid: 1\n\n", [500, 500]),
        ("retry: 1\n\n", [500, 1000]),
        (": comment\n\n", [1000, 1000]),
        (&*message, [1000, 1000]),
        ("", [1000, 2000]),
    ];
    let replies = cases.map(|(stream, _)| vec![stream_reply(stream); 2]);
    for ((server, _program), (stream, expected)) in listeners(replies.into()).iter().zip(cases) {
        for (wait, expected) in waits(server, 2).into_iter().zip(expected) {
            let expected = Duration::from_millis(expected);
            let tolerance = Duration::from_millis(50)..Duration::from_millis(450);
            let over = (wait + tolerance.start).checked_sub(expected);
            assert!(over.is_some_and(|over| over < tolerance.end), "{stream:?}: {wait:?}");
        }
    }
}

#[test]
fn a_get_stream_is_read_with_any_success_status() {
    let stream = format!(
        "HTTP/1.1 202 Accepted\r\nContent-Type: text/event-stream\r\n\r\ndata: {CHANGED}\n\n"
    );
    let (_server, mut program) =
        listeners(vec![vec![Reply::Raw(stream.into_bytes())]]).pop().unwrap();
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
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

fn progress(number: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":{number}}}}}"#
    )
}

const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

fn started_for_polling(arguments: &[&str]) -> (Server, Program) {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--no-sse");
    let mut program =
        arguments.iter().fold(launch, |launch, argument| launch.arg(argument)).start();
    program.shake_hands();
    (server, program)
}

fn resumed_after(server: &Server) -> Vec<String> {
    let id = |get: &&Recorded| get.header("last-event-id").unwrap_or_default().to_owned();
    gets(&server.requests()).iter().map(id).collect()
}

#[test]
fn a_polled_call_goes_on_as_long_as_each_stream_brings_an_event_id() {
    let (server, mut program) = started_for_polling(&[]);
    server.reply_next("tools/call", stream_reply("id: 0\nretry: 1\ndata:\n\n"));
    let streams = [
        "id: 1\ndata:\n\n".to_owned(),
        "id: 2\n\n".to_owned(),
        "retry: 2\n\n: comment\n\nid: 3\ndata\n\n".to_owned(),
        format!("id: 4\ndata: {}\n\n", progress(4)),
        "id: poll 5\n\n".to_owned(),
        format!("id: 6\n\nid: 7\ndata: {}\n\n", progress(7)),
        format!("id: 8\ndata: {RESULT}\n\n"),
    ];
    for stream in &streams {
        server.reply_next("GET", stream_reply(stream));
    }
    program.write(&call("1", "add", &json!({})));
    assert_eq!(program.read()["params"]["progress"], 4);
    assert_eq!(program.read()["params"]["progress"], 7);
    assert_eq!(program.read_line(), RESULT);
    assert_eq!(resumed_after(&server), ["0", "1", "2", "3", "4", "poll 5", "7"]);
    for wait in waits(&server, streams.len() - 1) {
        assert!(wait >= Duration::from_millis(450) && wait < Duration::from_secs(1), "{wait:?}");
    }
    assert_eq!(labels(&server.requests()).iter().filter(|l| *l == "tools/call").count(), 1);
}

#[test]
fn an_event_that_was_cut_short_is_requested_again() {
    let (server, mut program) = started_for_polling(&[]);
    let first = format!("retry: 1\nid: a\ndata: {}\n\n", progress(1));
    let cut = format!("{first}id: b\ndata: {}", &RESULT[..20]);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let whole = format!("id: b\ndata: {RESULT}\n\n");
    for fault in [
        stream_reply(&cut),
        Reply::Raw(format!("{head}Content-Length: 999\r\n\r\n{cut}").into_bytes()),
        Reply::Raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n999\r\n{cut}").into_bytes()),
    ] {
        server.reply_next("tools/call", fault);
        server.reply_next("GET", stream_reply(&whole));
        program.write(&call("1", "add", &json!({})));
        assert_eq!(program.read()["params"]["progress"], 1);
        assert_eq!(program.read_line(), RESULT);
    }
    assert_eq!(resumed_after(&server), ["a", "a", "a"]);
}

/// Only its blank line is missing.
#[test]
fn a_last_event_that_is_a_whole_message_is_not_requested_again() {
    let (server, mut program) = started_for_polling(&[]);
    let last = format!("retry: 1\nid: a\ndata: {}\n", progress(1));
    server.reply_next("tools/call", stream_reply(&last));
    server.reply_next("GET", stream_reply(&format!("id: b\ndata: {RESULT}\n\n")));
    program.write(&call("1", "add", &json!({})));
    assert_eq!(program.read()["params"]["progress"], 1);
    assert_eq!(program.read_line(), RESULT);
    assert_eq!(resumed_after(&server), ["a"]);
}

#[test]
fn a_stream_that_cannot_be_resumed_now_is_resumed_later() {
    let (server, mut program) = started_for_polling(&[]);
    server.reply_next("tools/call", stream_reply("id: 0\nretry: 1\n\n"));
    server.reply_next("GET", status(429, &[("Retry-After", "1")]));
    server.reply_next("GET", status(403, &[("x-amzn-errortype", "ExpiredToken")]));
    server.reply_next("GET", stream_reply(&format!("data: {RESULT}\n\n")));
    program.write(&call("1", "add", &json!({})));
    assert_eq!(program.read_line(), RESULT);
    assert_eq!(resumed_after(&server), ["0", "0", "0"]);
    assert!(waits(&server, 2).iter().all(|wait| *wait >= Duration::from_millis(950)));
    // Refused for good, or with something else, the call ends.
    for (refusal, why) in [
        (status(404, &[]), "; the server refused an event stream with HTTP 404"),
        (status(501, &[]), "HTTP 501"),
        (json_reply(200, RESULT), "application/json instead of an event stream"),
    ] {
        server.reply_next("tools/call", stream_reply("id: 0\nretry: 1\n\n"));
        server.reply_next("GET", refusal);
        let answer = program.ask(&call("1", "add", &json!({})));
        assert_error(&answer, &json!(1), &["ended before the response", why]);
    }
}

#[test]
fn a_wait_that_is_longer_than_the_time_left_is_not_started() {
    let (server, mut program) = started_for_polling(&["--timeout=2s"]);
    server.reply_next("tools/call", stream_reply("id: 0\nretry: 5000\n\n"));
    let begun = Instant::now();
    let answer = program.ask(&call("1", "add", &json!({})));
    assert_error(&answer, &json!(1), &["timed out", "resumed"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn initialize_is_never_cancelled() {
    let server = Server::start(ServerOptions::default());
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}"#;
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{result}",
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

/// Cancellations at every moment around a response: one line or none for each call, and never one after the next
/// call's response.
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
    let sent = labels(&server.requests());
    assert_eq!(sent.iter().filter(|label| *label == "notifications/cancelled").count(), 10);
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
    server.wait_for(Duration::from_millis(250), answered);
    assert_eq!(program.read()["result"], json!({"content": []}));
}

#[test]
fn a_stream_that_ends_without_the_response_is_one_error() {
    let server = Server::start(ServerOptions::default());
    let mut program: Program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("tools/call", stream_reply(": nothing\n\n"));
    let answer = program.ask(&call("1", "add", &json!({})));
    assert_error(&answer, &json!(1), &["ended before the response"]);
    assert_eq!(labels(&server.requests()).iter().filter(|l| *l == "tools/call").count(), 1);
}

#[test]
fn events_that_arrive_together_wait_for_nothing_that_follows() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let progress = |number: usize| {
        format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\
             \"params\":{{\"progressToken\":1,\"progress\":{number}}}}}\n\n"
        )
    };
    let ask = "data: {\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"ping\"}\n\n";
    let burst: String = (0..1000).map(progress).collect();
    // After the burst, in the same segment: a message that is not relayed, half an event, a request. Nothing follows.
    let last =
        [": heartbeat\n\n", "event: ping\ndata: {}\n\n", "data: {}\n\n", "data: {\"json", ask];
    for (id, last) in (5..).zip(last) {
        let pieces = vec![
            (Duration::ZERO, [head, &burst, last].concat().into_bytes()),
            (2 * PATIENCE, Vec::new()),
        ];
        server.reply_next("tools/call", Reply::RawPieces(pieces));
        program.write(&call(&id.to_string(), "add", &json!({})));
        for number in 0..1000 {
            assert_eq!(program.read()["params"]["progress"], number, "after {last:?}");
        }
        if last == ask {
            assert_eq!(program.read()["id"], "s-1");
        }
    }
}

#[test]
fn an_interrupted_stream_is_taken_up_where_it_ended() {
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
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

#[test]
fn the_servers_own_messages_come_over_the_get_stream() {
    let server = Server::start(ServerOptions::with_sessions_and_stream());
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    drop(program);
    assert_all_verified(&server.requests());

    let quiet = Server::start(ServerOptions::with_sessions_and_stream());
    let mut program = Launch::to(&quiet.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)["id"], 1);
    assert!(quiet.requests().iter().all(|r| r.label() != "GET"));
}
