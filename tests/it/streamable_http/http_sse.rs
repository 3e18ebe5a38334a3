//! Servers that speak only HTTP+SSE, the transport of 2024-11-05.

use crate::harness::messages::{assert_all_verified, assert_error, call, labels, text_of};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Mode, Recorded, Reply, Server, ServerOptions};
use serde_json::json;
use std::time::Duration;

fn old_server() -> Server {
    Server::start(ServerOptions {
        mode: Mode::HttpSse,
        get_stream: true,
        ..ServerOptions::default()
    })
}

fn count(requests: &[Recorded], label: &str) -> usize {
    requests.iter().filter(|request| request.label() == label).count()
}

fn started(server: &Server) -> Program {
    let mut program = Launch::to(&server.url("/sse")).start();
    program.shake_hands();
    program
}

#[test]
fn a_whole_session_runs_over_the_older_transport() {
    let server = old_server();
    let mut program = started(&server);
    for id in 1..=20 {
        program.write(&call(&id.to_string(), "add", &json!({"a": id, "b": 100})));
    }
    let mut ids: Vec<u64> = (1..=20)
        .map(|_| {
            let answer = program.read();
            let id = answer["id"].as_u64().unwrap();
            assert_eq!(text_of(&answer), (id + 100).to_string());
            id
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    // Messages outside requests arrive on the same stream.
    server.push(r#"{"jsonrpc":"2.0","id":"s","method":"ping"}"#);
    assert_eq!(program.read()["method"], "ping");
    program.write(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#);
    let requests =
        server.wait_for(PATIENCE, |requests| requests.iter().any(|r| r.label() == "response"));
    assert_all_verified(&requests);

    // The refused POST, the one stream, then everything to the URL that the stream named, without headers of later
    // revisions.
    let gets: Vec<&Recorded> = requests.iter().filter(|r| r.label() == "GET").collect();
    assert_eq!(gets.len(), 1);
    assert_eq!(labels(&requests)[..3], ["initialize", "initialize", "notifications/initialized"]);
    for request in requests.iter().filter(|r| r.label() != "GET").skip(1) {
        assert_eq!(request.request.target, "/messages?sessionId=7");
        assert_eq!(request.header("mcp-session-id"), None);
        assert_eq!(request.header("mcp-protocol-version"), None);
    }
    let ended = program.close();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0));
    assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
}

#[test]
fn an_endpoint_of_another_origin_is_not_followed() {
    let other = Server::start(ServerOptions::default());
    for endpoint in
        [other.url("/messages"), "//127.0.0.1:1/messages".into(), "https://evil.example/m".into()]
    {
        let server = old_server();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        server.reply_next(
            "GET",
            Reply::Raw(format!("{head}event: endpoint\ndata: {endpoint}\n\n").into_bytes()),
        );
        let mut program = Launch::to(&server.url("/sse")).start();
        let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
        assert_error(&answer, &json!(1), &["endpoint event is not accepted"]);
    }
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn the_first_refusal_is_reported_when_there_is_no_such_stream() {
    let server = Server::start(ServerOptions::default());
    let refusal = Reply::Status { code: 404, headers: vec![], body: "no such thing".into() };
    let stream = |body: &str| {
        Reply::Raw(
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}")
                .into_bytes(),
        )
    };
    for get in [
        Reply::Status { code: 405, headers: vec![], body: vec![] },
        Reply::Status { code: 200, headers: vec![], body: "<html>".into() },
        stream(""),
        stream("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"),
    ] {
        server.reply_next("initialize", refusal.clone());
        server.reply_next("GET", get);
        let mut program = Launch::to(&server.url("/mcp")).start();
        let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
        assert_error(&answer, &json!(1), &["404", "no such thing"]);
    }
    // A refusal in JSON-RPC comes from the newer transport: no stream is requested.
    let gets = server.requests().iter().filter(|r| r.label() == "GET").count();
    let body =
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"unsupported version"}}"#;
    server.reply_next("initialize", crate::harness::messages::json_reply(400, body));
    let mut program = Launch::to(&server.url("/mcp")).start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    assert_eq!(answer["error"]["code"], -32022);
    assert_eq!(server.requests().iter().filter(|r| r.label() == "GET").count(), gets);
}

#[test]
fn a_call_that_may_have_run_when_the_stream_ended_is_an_error_and_the_next_one_works() {
    let server = old_server();
    let mut program = started(&server);
    // 202, and the response never comes.
    server.reply_next("tools/call", Reply::Status { code: 202, headers: vec![], body: vec![] });
    program.write(&call("1", "add", &json!({})));
    server.wait_for(PATIENCE, |requests| count(requests, "tools/call") == 1);
    std::thread::park_timeout(Duration::from_millis(50));
    server.drop_connections();
    let words = ["stream ended before the response", "may have reached the server"];
    assert_error(&program.read(), &json!(1), &words);
    assert_eq!(count(&server.requests(), "tools/call"), 1);
    let sum = program.ask(&call("2", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
}

#[test]
fn an_idempotent_request_whose_stream_ended_is_sent_again_in_a_new_session() {
    let server = old_server();
    let mut program = started(&server);
    server.reply_next("ping", Reply::Status { code: 202, headers: vec![], body: vec![] });
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    server.wait_for(PATIENCE, |requests| count(requests, "ping") == 1);
    std::thread::park_timeout(Duration::from_millis(50));
    server.drop_connections();
    assert_eq!(program.read()["result"], json!({}));
    assert_eq!(count(&server.requests(), "ping"), 2);
}

#[test]
fn a_stream_that_ended_while_idle_is_opened_once_before_the_next_calls() {
    let server = old_server();
    let mut program = started(&server);
    program.ask(r#"{"jsonrpc":"2.0","id":"over","method":"ping"}"#);
    server.drop_connections();
    std::thread::park_timeout(Duration::from_millis(100));
    for id in 1..=6 {
        program.write(&call(&id.to_string(), "add", &json!({"a": id, "b": 0})));
    }
    for _ in 1..=6 {
        let answer = program.read();
        assert_eq!(text_of(&answer), answer["id"].to_string());
    }
    let requests = server.requests();
    assert_eq!((count(&requests, "GET"), count(&requests, "tools/call")), (2, 6));
    // Each session starts with a refused POST and one to the URL that its stream named.
    assert_eq!(count(&requests, "initialize"), 4);
    assert_eq!(count(&requests, "notifications/initialized"), 2);
    assert_all_verified(&requests);
}

#[test]
fn a_session_that_the_server_does_not_know_is_opened_again_and_the_call_repeated() {
    let unknown = |code, body: &str| Reply::Status { code, headers: vec![], body: body.into() };
    for reply in [
        unknown(404, "Could not find session"),
        unknown(400, "No transport found for sessionId"),
        unknown(500, "SSE connection not established"),
    ] {
        let server = old_server();
        let mut program = started(&server);
        server.reply_next("tools/call", reply);
        let sum = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
        assert_eq!(text_of(&sum), "2");
        assert_eq!(count(&server.requests(), "GET"), 2);
        // The stream of the old session is closed.
        let streams = server.requests();
        let old = streams.iter().find(|request| request.label() == "GET").unwrap().connection;
        let started = std::time::Instant::now();
        while server.is_open(old) {
            assert!(started.elapsed() < PATIENCE, "the old stream stays open");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

#[test]
fn sessions_that_the_program_begins_itself_use_it_too() {
    let server = old_server();
    let mut program = Launch::to(&server.url("/sse")).arg("--lazy").start();
    program.shake_hands();
    let sum = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    // The lists are announced as changed once the server is known.
    let is_list_change = |message: &serde_json::Value| message["method"].is_string();
    let mut answer = sum;
    while is_list_change(&answer) {
        answer = program.read();
    }
    assert_eq!(text_of(&answer), "2");
    let requests = server.requests();
    assert_eq!((count(&requests, "GET"), count(&requests, "initialize")), (1, 2));
    server.push(r#"{"jsonrpc":"2.0","id":"s","method":"ping"}"#);
    let mut message = program.read();
    while message["method"] != "ping" {
        message = program.read();
    }
    program.write(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#);
    server.wait_for(PATIENCE, |requests| count(requests, "response") == 1);
    assert_eq!(count(&server.requests(), "response"), 1);
}

#[test]
fn a_cancellation_reaches_the_server_and_the_call_gets_no_response() {
    let server = old_server();
    let mut program = started(&server);
    // 202, and never a response.
    server.reply_next("tools/call", Reply::Status { code: 202, headers: vec![], body: vec![] });
    program.write(&call("1", "add", &json!({})));
    server.wait_for(PATIENCE, |requests| requests.iter().any(|r| r.label() == "tools/call"));
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    let is_notified =
        |requests: &[Recorded]| requests.iter().any(|r| r.label() == "notifications/cancelled");
    assert!(is_notified(&server.wait_for(PATIENCE, is_notified)));
    server.push(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    program.silent_for(Duration::from_millis(200));
    assert_eq!(program.close().code, Some(0));
}

#[test]
fn initialize_ends_in_time_wherever_the_server_stops() {
    let stream = |more: &str, beats: usize| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        let beat = (Duration::from_millis(50), b": beat\n\n".to_vec());
        let first = (Duration::ZERO, format!("{head}{more}").into_bytes());
        Reply::RawPieces(std::iter::once(first).chain(std::iter::repeat_n(beat, beats)).collect())
    };
    let endpoint = "event: endpoint\ndata: /messages\n\n";
    let accepted = Reply::Status { code: 202, headers: vec![], body: vec![] };
    let cases: [(&str, Reply, Option<Reply>); 6] = [
        ("GET is not answered", Reply::Hang, None),
        ("no endpoint, silent", stream("", 0), None),
        ("no endpoint, comments", stream("", 100), None),
        ("POST is not answered", stream(endpoint, 100), Some(Reply::Hang)),
        ("no answer, comments", stream(endpoint, 100), Some(accepted.clone())),
        ("no answer, proper stream", Reply::Proper, Some(accepted)),
    ];
    let check = |what: &str, get: Reply, post: Option<Reply>| {
        let server = old_server();
        server.reply_next("GET", get);
        server.reply_next("initialize", Reply::Proper);
        if let Some(post) = post {
            server.reply_next("initialize", post);
        }
        let mut program = Launch::to(&server.url("/sse")).arg("--timeout=500ms").start();
        let begun = std::time::Instant::now();
        let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
        assert!(answer["error"].is_object(), "{what}: {answer}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{what}: {:?}", begun.elapsed());
        // The next one succeeds, and its stream outlives the limit.
        server.forget_script();
        program.shake_hands();
        std::thread::park_timeout(Duration::from_millis(550));
        let sum = program.ask(&call("2", "add", &json!({"a": 1, "b": 1})));
        assert_eq!(text_of(&sum), "2", "{what}");
        assert_eq!(program.close().code, Some(0), "{what}");
    };
    std::thread::scope(|scope| {
        for (what, get, post) in cases {
            scope.spawn(move || check(what, get, post));
        }
    });
}

#[test]
fn a_failed_initialize_leaves_the_session_as_it_was_and_a_new_one_ends_it() {
    let server = old_server();
    let mut program = started(&server);
    let open = || {
        let gets = server.requests().into_iter().filter(|r| r.label() == "GET");
        gets.filter(|get| server.is_open(get.connection)).count()
    };
    let stream =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endpoint\ndata: /m\n\n";
    let pieces = [(Duration::ZERO, stream), (PATIENCE, "")];
    let pieces = pieces.map(|(wait, text)| (wait, text.as_bytes().to_vec()));
    server.reply_next("GET", Reply::RawPieces(pieces.to_vec()));
    server.reply_next("initialize", Reply::Proper);
    server.reply_next(
        "initialize",
        Reply::Status { code: 400, headers: vec![], body: "not again".into() },
    );
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    assert_error(&answer, &json!(1), &["not again"]);
    let sum = program.ask(&call("2", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
    program.shake_hands();
    let sum = program.ask(&call("3", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
    let begun = std::time::Instant::now();
    while open() > 1 {
        assert!(begun.elapsed() < PATIENCE, "{} streams", open());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn non_messages_are_skipped_and_an_error_without_an_id_is_for_the_only_request() {
    let server = old_server();
    let mut program = started(&server);
    server.reply_next("tools/call", Reply::Status { code: 202, headers: vec![], body: vec![] });
    program.write(&call("1", "add", &json!({})));
    server.wait_for(PATIENCE, |requests| count(requests, "tools/call") == 1);
    for message in ["ping", "{}", "null", "[DONE]", "7"] {
        server.push(message);
    }
    server.push(r#"{"jsonrpc":"2.0","id":null,"error":{"message":"the vault is sealed"}}"#);
    assert_eq!(
        program.read_line(),
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the vault is sealed"}}"#
    );
    assert_eq!(text_of(&program.ask(&call("2", "add", &json!({"a": 1, "b": 1})))), "2");
}
