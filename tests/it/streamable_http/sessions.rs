//! Sessions before 2026-07-28: their ids, and another session in place of one that was lost, which no call notices.

use crate::harness::messages::{
    assert_all_verified, assert_error, call, json_reply, labels, stream_reply, text_of,
};
use crate::harness::program::{KEY_ID, Launch, PATIENCE, Program, SECRET};
use crate::support::{Recorded, Reply, Server, ServerOptions, Verdict};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

fn with_sessions() -> (Server, Program) {
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    // The handshake is complete when a later request has its response.
    program.ask(r#"{"jsonrpc":"2.0","id":"over","method":"ping"}"#);
    (server, program)
}

fn session_of(request: &Recorded) -> Option<&str> {
    request.header("mcp-session-id")
}

/// The response to the `initialize` of `shake_hands`, with this session id.
fn initialized(session: &str) -> Reply {
    let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
    answered("init", &result, session)
}

fn answered(id: &str, result: &serde_json::Value, session: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("mcp-session-id", session)];
    Reply::Status {
        code: 200,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string().into_bytes(),
    }
}

/// An event stream, with this session id.
fn stream(session: &str, text: &str) -> Reply {
    let headers = [("content-type", "text/event-stream"), ("mcp-session-id", session)];
    Reply::Status {
        code: 200,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: text.as_bytes().to_vec(),
    }
}

/// Waits until the standing stream was opened so often, and only the last one is open.
fn wait_for_streams(server: &Server, number: usize) -> Vec<Recorded> {
    let is_stream = |request: &&Recorded| request.label() == "GET";
    let requests = server.wait_for(PATIENCE, |all| all.iter().filter(is_stream).count() == number);
    let begun = std::time::Instant::now();
    for old in requests.iter().filter(is_stream).take(number - 1) {
        while server.is_open(old.connection) {
            assert!(begun.elapsed() < PATIENCE, "the old stream stays open");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    requests
}

#[test]
fn session_ids_have_8_kib_of_visible_ascii() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    let initialize = r#"{"jsonrpc":"2.0","id":"init","method":"initialize","params":{}}"#;
    let too_long = "x".repeat(8193);
    for (id, why) in [(&*too_long, "8193 bytes"), ("a b", "visible ASCII"), ("é", "visible ASCII")]
    {
        server.reply_next("initialize", initialized(id));
        assert_error(&program.ask(initialize), &json!("init"), &["session id", why]);
    }
    let longest = "x".repeat(8192);
    server.reply_next("initialize", initialized(&longest));
    program.shake_hands();
    program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(session_of(server.requests().last().unwrap()), Some(longest.as_str()));
}

#[test]
fn another_session_id_in_a_successful_response_counts_from_then_on() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    let with_id = |session: &str| Reply::Status {
        code: 202,
        headers: vec![("mcp-session-id".into(), session.into())],
        body: vec![],
    };
    server.reply_next("initialize", initialized("s-1"));
    server.reply_next("notifications/initialized", with_id("s-2"));
    program.shake_hands();
    let mut ping = |expected: &str, next: &str| {
        server.reply_next("ping", answered("p", &json!({}), next));
        program.ask(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
        assert_eq!(session_of(server.requests().last().unwrap()), Some(expected));
    };
    ping("s-2", "s-3");
    // An id that cannot be sent, and none, change nothing.
    ping("s-3", &"x".repeat(8193));
    ping("s-3", "");
    ping("s-3", "s-3");
}

#[test]
fn a_stream_goes_on_under_the_latest_session_id_and_may_name_another() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    server.reply_next("initialize", initialized("s-1"));
    program.shake_hands();
    server.reply_next("tools/call", stream("s-1", "id: 0\nretry: 1\n\n"));
    server.reply_next("GET", stream("", "id: 1\n\n"));
    let result = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    server.reply_next("GET", stream("s-3", result));
    program.write(&call("1", "add", &json!({})));
    let gets = |requests: &[Recorded]| -> Vec<Option<String>> {
        let gets = requests.iter().filter(|request| request.label() == "GET");
        gets.map(|get| session_of(get).map(str::to_owned)).collect()
    };
    server.wait_for(PATIENCE, |requests| gets(requests).len() == 1);
    server.reply_next("ping", answered("p", &json!({}), "s-2"));
    let ping = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
    program.ask(ping);
    assert_eq!(program.read()["id"], 1);
    let polled = gets(&server.requests());
    assert_eq!(polled, [Some("s-1".to_owned()), Some("s-2".to_owned())]);
    program.ask(ping);
    assert_eq!(session_of(server.requests().last().unwrap()), Some("s-3"));
}

#[test]
fn an_initialize_that_is_polled_may_be_given_another_session_id() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    server.reply_next("initialize", stream("s-1", "id: 0\nretry: 1\n\n"));
    let result = r#"{"jsonrpc":"2.0","id":"init","result":{"protocolVersion":"2025-11-25"}}"#;
    server.reply_next("GET", stream("s-2", &format!("data: {result}\n\n")));
    program.shake_hands();
    let requests = server.wait_for(PATIENCE, |requests| requests.len() == 3);
    let sessions: Vec<_> = requests.iter().map(session_of).collect();
    assert_eq!(sessions, [None, Some("s-1"), Some("s-2")]);
}

/// A call that was sent with the old id may get its response after the new one is known.
#[test]
fn the_old_session_id_does_not_come_back() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    server.reply_next("initialize", initialized("s-1"));
    program.shake_hands();
    for (after, code) in [(300, "200 OK"), (0, "404 Not Found")] {
        let head = format!(
            "HTTP/1.1 {code}\r\nMcp-Session-Id: s-1\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        );
        let body = r#"{"jsonrpc":"2.0","id":"slow","result":{}}"#;
        let pieces = [(300 - after, ""), (after, &format!("{head}{body}"))];
        let pieces = pieces.map(|(ms, text)| (Duration::from_millis(ms), text.as_bytes().to_vec()));
        server.reply_next("tools/call", Reply::RawPieces(pieces.into()));
        let slow = r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":1}}}"#;
        let sent = server.requests().len();
        program.write(slow);
        // Under the old id, and not after the ping; the handshake may still be under way.
        server.wait_for(PATIENCE, |requests| {
            labels(&requests[sent..]).iter().any(|l| l == "tools/call")
        });
        server.reply_next("ping", answered("p", &json!({}), "s-2"));
        assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#)["id"], "p");
        assert!(program.read()["result"].is_object(), "{code}");
        program.ask(r#"{"jsonrpc":"2.0","id":"q","method":"ping"}"#);
        let requests = server.requests();
        assert_eq!(session_of(requests.last().unwrap()), Some("s-2"), "{code}");
        // A session that continues with another id was not lost.
        assert_eq!(labels(&requests).iter().filter(|label| *label == "initialize").count(), 1);
        server.reply_next("ping", answered("r", &json!({}), "s-1"));
        program.ask(r#"{"jsonrpc":"2.0","id":"r","method":"ping"}"#);
    }
}

#[test]
fn a_lost_session_is_initialized_again_and_the_call_repeated() {
    let (server, mut program) = with_sessions();
    server.end_sessions();
    let sum = program.ask(&call("3", "add", &json!({"a": 2, "b": 40})));
    assert_eq!((text_of(&sum), &sum["id"]), ("42", &json!(3)));
    program.silent_for(Duration::from_millis(100));

    let requests = server.requests();
    assert_eq!(
        labels(&requests[3..]),
        ["tools/call", "initialize", "notifications/initialized", "tools/call"]
    );
    let (dead, again) = (&requests[3], &requests[6]);
    assert_eq!(session_of(dead), Some("session-1"));
    assert_eq!(session_of(again), Some("session-2"));
    assert_eq!(dead.request.body, again.request.body);
    let initialize = &requests[4];
    assert_eq!((session_of(initialize), initialize.header("mcp-protocol-version")), (None, None));
    // An id of its own, and everything else as the client once sent it.
    let (first, second) = (requests[0].json(), initialize.json());
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["params"], second["params"]);
    assert_all_verified(&requests);

    // The new session is ended.
    assert_eq!(program.close().code, Some(0));
    let requests = server.requests();
    let last = requests.last().unwrap();
    assert_eq!((last.label(), session_of(last)), ("DELETE".into(), Some("session-2")));
}

#[test]
fn ten_calls_on_a_lost_session_initialize_one_new_one() {
    let (server, mut program) = with_sessions();
    server.end_sessions();
    for id in 10..20 {
        program.write(&call(&id.to_string(), "add", &json!({"a": id, "b": 0})));
    }
    let mut answered = BTreeSet::new();
    for _ in 10..20 {
        let answer = program.read();
        assert_eq!(text_of(&answer), answer["id"].to_string());
        assert!(answered.insert(answer["id"].as_u64().unwrap()));
    }
    program.silent_for(Duration::from_millis(100));
    assert_eq!(answered, (10..20).collect());
    let requests = server.requests();
    let count = |label: &str| labels(&requests).iter().filter(|l| *l == label).count();
    assert_eq!((count("initialize"), count("notifications/initialized")), (2, 2));
    assert!(count("tools/call") <= 20);
    // Nothing but the handshake goes out between the two messages of the handshake.
    let begun = requests.iter().rposition(|r| r.label() == "notifications/initialized").unwrap();
    for (at, request) in requests.iter().enumerate() {
        if session_of(request) == Some("session-2") {
            assert!(at >= begun, "{} overtook the handshake", request.label());
        }
    }
}

#[test]
fn other_ways_to_say_that_a_session_is_lost() {
    let error = |code: i64, text: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": text}}).to_string()
    };
    let lost = "SessionId was not found or has expired";
    for reply in [
        json_reply(200, &error(-30001, lost)),
        json_reply(404, &error(-30001, lost)),
        stream_reply(&format!("data: {}\n\n", error(-30001, lost))),
        json_reply(400, &error(-32000, "Bad Request: No valid session ID provided")),
        json_reply(400, &error(-32000, "Bad Request: Server not initialized")),
        json_reply(401, r#"{"error":"unknown session"}"#),
        json_reply(500, r#"{"error":"invalid session id"}"#),
        json_reply(422, r#"{"errors":[{"detail":"Session terminated"}]}"#),
        Reply::Status { code: 410, headers: vec![], body: vec![] },
        json_reply(200, &error(-32000, "Session expired")),
        stream_reply(&format!("data: {}\n\n", error(-32600, "Invalid session"))),
        Reply::Status { code: 404, headers: vec![], body: "Session not found".into() },
        Reply::Status { code: 404, headers: vec![], body: vec![] },
    ] {
        let (server, mut program) = with_sessions();
        server.reply_next("tools/call", reply.clone());
        let sum = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
        assert_eq!(text_of(&sum), "2", "{reply:?}");
        program.silent_for(Duration::from_millis(30));
        assert_eq!(labels(&server.requests()).iter().filter(|l| *l == "initialize").count(), 2);
    }
}

#[test]
fn a_session_that_is_lost_twice_is_an_error() {
    let (server, mut program) = with_sessions();
    let gone =
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
    for _ in 0..2 {
        server.reply_next("tools/call", json_reply(404, gone));
    }
    let answer = program.ask(&call("3", "add", &json!({"a": 1, "b": 1})));
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(3), &json!(-32001)));
    assert_eq!(labels(&server.requests()).iter().filter(|l| *l == "tools/call").count(), 2);
    // And the next call finds the session that was initialized.
    let sum = program.ask(&call("4", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
}

#[test]
fn a_session_that_cannot_be_initialized_again_is_one_error_for_each_call() {
    let (server, mut program) = with_sessions();
    server.end_sessions();
    server.reply_next("initialize", Reply::aws_error(403, "AccessDeniedException", "no more"));
    server.reply_next("initialize", Reply::aws_error(403, "AccessDeniedException", "no more"));
    let answer = program.ask(&call("3", "add", &json!({"a": 1, "b": 1})));
    assert_error(&answer, &json!(3), &["a new one could not be initialized", "no more"]);
    let answer = program.ask(&call("4", "add", &json!({"a": 1, "b": 1})));
    assert_error(&answer, &json!(4), &["a new one could not be initialized"]);
    // The server has recovered.
    let sum = program.ask(&call("5", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
}

#[test]
fn errors_that_do_not_mean_a_lost_session() {
    let (server, mut program) = with_sessions();
    let unknown =
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
    let wrong =
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"argument session is wrong"}}"#;
    let of_tool =
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the shell session expired"}}"#;
    for (reply, code) in [
        (json_reply(404, unknown), -32601),
        (json_reply(400, wrong), -32602),
        (json_reply(200, of_tool), -32000),
    ] {
        server.reply_next("tools/call", reply);
        let answer = program.ask(&call("1", "add", &json!({})));
        assert_eq!(answer["error"]["code"], code);
    }
    server
        .reply_next("tools/call", Reply::aws_error(403, "AccessDeniedException", "session policy"));
    assert_error(&program.ask(&call("1", "add", &json!({}))), &json!(1), &["session policy"]);
    // The error replies had no session id; the one that is known stays.
    let sum = program.ask(&call("2", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
    let requests = server.requests();
    assert_eq!(labels(&requests).iter().filter(|l| *l == "initialize").count(), 1);
    assert!(requests[3..].iter().all(|r| session_of(r) == Some("session-1")));
}

#[test]
fn without_a_session_id_a_404_is_a_404() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("tools/call", Reply::Status { code: 404, headers: vec![], body: vec![] });
    assert_error(&program.ask(&call("1", "add", &json!({}))), &json!(1), &["404"]);
    assert_eq!(labels(&server.requests()).iter().filter(|l| *l == "initialize").count(), 1);
}

#[test]
fn a_notification_initializes_a_lost_session_again_too() {
    let (server, mut program) = with_sessions();
    server.end_sessions();
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
    let requests = server.wait_for(PATIENCE, |requests| requests.len() == 7);
    assert_eq!(
        labels(&requests[3..]),
        [
            "notifications/roots/list_changed",
            "initialize",
            "notifications/initialized",
            "notifications/roots/list_changed"
        ]
    );
    assert_eq!(session_of(&requests[6]), Some("session-2"));
    program.silent_for(Duration::from_millis(50));
}

#[test]
fn the_get_stream_is_that_of_the_new_session() {
    let server = Server::start(ServerOptions::with_sessions_and_stream());
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    wait_for_streams(&server, 1);
    server.end_sessions();
    let sum = program.ask(&call("3", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
    let requests = wait_for_streams(&server, 2);
    let get = requests.iter().rfind(|r| r.label() == "GET").unwrap();
    assert_eq!((session_of(get), get.header("last-event-id")), (Some("session-2"), None));
    assert_eq!(get.verdict, Verdict::Verified);
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
}

#[test]
fn a_ping_in_the_stream_of_initialize_gets_its_response_before_the_end() {
    let server = Server::start(ServerOptions::default());
    let result = json!({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}});
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nMcp-Session-Id: s-1\r\nConnection: close\r\n\r\n";
    let ping = "data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n\n";
    server.reply_next(
        "initialize",
        Reply::RawPieces(vec![
            (Duration::ZERO, [head, ping].concat().into_bytes()),
            (Duration::from_millis(400), format!("data: {result}\n\n").into_bytes()),
        ]),
    );
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#);
    assert_eq!(program.read()["method"], "ping");
    program.write(r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
    let requests = server.wait_for(Duration::from_millis(300), |requests| requests.len() == 2);
    assert_eq!((requests.len(), session_of(&requests[1])), (2, Some("s-1")));
    assert_eq!(program.read(), result);
}

#[test]
fn another_account_initializes_a_session_of_its_own() {
    let home = crate::credentials::chain::Home::new("t1g");
    let write = |account: &str, id: &str| {
        home.write(
            ".aws/credentials",
            format!(
                "[default]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\naws_account_id = {account}\n"
            ),
        );
    };
    write("111122223333", KEY_ID);
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let other = "AKIAI44QH8DHBEXAMPLE";
    server.set_keys(vec![
        crate::support::Key::new(KEY_ID, SECRET),
        crate::support::Key::new(other, SECRET),
    ]);
    let url = server.url("/mcp");
    let mut program =
        Launch::bare(&[&url, "--region=us-east-1", "--service=execute-api", "--no-sse"])
            .env("HOME", home.0.to_str().unwrap())
            .start();
    program.shake_hands();
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 1})))), "2");
    // Another length, too: the files of these tests all have one time.
    write("444455556666\n", other);
    assert_eq!(text_of(&program.ask(&call("2", "add", &json!({"a": 1, "b": 2})))), "3");
    let requests = server.requests();
    assert_eq!(
        labels(&requests[2..]),
        ["tools/call", "initialize", "notifications/initialized", "tools/call"]
    );
    let last = requests.last().unwrap();
    assert_eq!(session_of(last), Some("session-2"));
    assert!(last.header("authorization").unwrap().contains(other));
}

#[test]
fn a_batch_that_finds_the_session_lost_is_repeated_whole() {
    let error = |id: &str| {
        let error = json!({"code": -32001, "message": "Session not found"});
        json!({"jsonrpc": "2.0", "id": serde_json::from_str::<serde_json::Value>(id).unwrap(), "error": error})
    };
    let batch =
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#;
    let results = r#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}}]"#;
    for (lost, times, expected) in [
        (json_reply(404, ""), 1, results.to_owned()),
        (json_reply(200, &error("null").to_string()), 1, results.to_owned()),
        (json_reply(200, &json!([error("2"), error("1")]).to_string()), 1, results.to_owned()),
        (
            stream_reply(&format!("data: {}\n\n", json!([error("1"), error("2")]))),
            1,
            results.to_owned(),
        ),
        // Lost twice, it is the client's to know, for each request.
        (
            json_reply(200, &json!([error("2"), error("1")]).to_string()),
            2,
            json!([error("1"), error("2")]).to_string(),
        ),
        // Of this one the other request may have run.
        (
            json_reply(
                200,
                &json!([error("2"), {"jsonrpc": "2.0", "id": 1, "result": {}}]).to_string(),
            ),
            0,
            String::new(),
        ),
    ] {
        let (server, mut program) = with_sessions();
        for _ in 0..times.max(1) {
            server.reply_next("response", lost.clone());
        }
        server.reply_next("response", json_reply(200, results));
        program.write(batch);
        let line = program.read_line();
        let initialized = labels(&server.requests()).iter().filter(|l| *l == "initialize").count();
        assert_eq!(initialized, 1 + times.min(1), "{lost:?}");
        let same = |a: &str, b: &str| {
            serde_json::from_str::<serde_json::Value>(a).unwrap()
                == serde_json::from_str::<serde_json::Value>(b).unwrap()
        };
        assert!(expected.is_empty() || same(&line, &expected), "{lost:?}: {line}");
    }
}

/// A server may count from zero in each session, so the response to a lost question could approve another.
#[test]
fn questions_of_a_lost_session_are_withdrawn_and_keep_their_ids() {
    let server = Server::start(ServerOptions::with_sessions_and_stream());
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    wait_for_streams(&server, 1);
    let question = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#);
    server.push(&question(0));
    assert_eq!(program.read()["id"], 0);
    // The stream of this call breaks.
    server.reply_next("tools/call", stream_reply(&format!("data: {}\n\n", question(1))));
    assert_eq!(program.ask(&call("2", "add", &json!({"a": 1, "b": 1})))["id"], 1);
    assert_error(&program.read(), &json!(2), &[]);

    server.end_sessions();
    program.write(&call("3", "add", &json!({"a": 1, "b": 1})));
    for id in [0, 1] {
        let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
        assert_eq!(program.read(), cancelled);
    }
    assert_eq!(program.read()["id"], 3);
    wait_for_streams(&server, 2);
    server.push(&question(0));
    let asked = program.read();
    assert!(asked["method"] == "roots/list" && asked["id"] != 0, "{asked}");
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#);
    assert_eq!(program.read()["params"]["requestId"], asked["id"]);

    for (id, root) in [(&json!(0), "lost"), (&json!(1), "lost"), (&asked["id"], "new")] {
        let result = json!({"roots": [{"uri": root}]});
        program.write(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string());
    }
    server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "response"));
    server.push(&question(1));
    assert_eq!(program.read()["id"], 1, "the client has no other question of this id");
    let responses = server.requests().into_iter().filter(|r| r.label() == "response");
    let responses: Vec<_> = responses.map(|response| response.json()).collect();
    let new = json!({"jsonrpc": "2.0", "id": 0, "result": {"roots": [{"uri": "new"}]}});
    assert_eq!(responses, [new]);
}

/// The request that they name was lost with the session, and the new one may have another of that id.
#[test]
fn responses_and_cancellations_do_not_follow_into_another_session() {
    let (server, mut program) = with_sessions();
    for message in [
        r#"{"jsonrpc":"2.0","id":"ask-1","result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}"#,
    ] {
        server.end_sessions();
        let sent = server.requests().len();
        program.write(message);
        server.wait_for(PATIENCE, |requests| requests.len() > sent);
        let sum = program.ask(&call("3", "add", &json!({"a": 1, "b": 1})));
        assert_eq!(text_of(&sum), "2");
        program.silent_for(Duration::from_millis(50));
        let requests = server.requests();
        let calls = ["tools/call", "initialize", "notifications/initialized", "tools/call"];
        assert_eq!(labels(&requests[sent + 1..]), calls, "{message}");
    }
}

/// Half a surrogate pair is valid in JSON, and nothing that a parser of text could repeat.
#[test]
fn an_error_that_is_no_text_passes_as_it_is() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    for status in [200, 400] {
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000, "message":"a \ud83d"}}"#;
        server.reply_next("tools/call", json_reply(status, error));
        program.write(&call("1", "add", &json!({})));
        assert_eq!(program.read_line(), error, "{status}");
    }
}
