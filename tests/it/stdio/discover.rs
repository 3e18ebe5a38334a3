//! Clients that start with `server/discover`, and continue with `initialize` after a while.

use crate::harness::messages::{assert_error, json_reply, labels, modern};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const PAUSE: Duration = Duration::from_millis(400);

fn discover() -> String {
    modern(1, "server/discover", "")
}

/// Writes `server/discover` and, once the server has it, `initialize`.
fn given_up(reply: Reply, bridge: &str) -> (Server, Program) {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg(bridge).arg("--no-sse");
    let mut program = launch.start();
    server.reply_next("server/discover", reply);
    program.write(&discover());
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    program.write(INITIALIZE);
    (server, program)
}

#[test]
fn nothing_is_written_for_a_discover_after_initialize() {
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"]}}"#;
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    let question = r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let events = format!("{head}data: {notification}\n\ndata: {question}\n\ndata: {result}\n\n");
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let late = [
        Reply::Late(PAUSE),
        Reply::RawPieces(vec![(PAUSE, events.into_bytes())]),
        Reply::RawPieces(vec![(PAUSE, refused.into())]),
        Reply::RawPieces(vec![(PAUSE, Vec::new())]),
    ];
    let bridges = ["--bridge=off", "--bridge=auto", "--bridge=always"];
    let cases = bridges.iter().flat_map(|bridge| late.iter().map(move |late| (bridge, late)));
    let mut started: Vec<_> =
        cases.map(|(bridge, late)| (bridge, late, given_up(late.clone(), bridge))).collect();
    for (bridge, late, (_, program)) in &mut started {
        let answer = program.read();
        assert!(
            answer["result"].is_object() && answer["id"] == "init",
            "{bridge} {late:?} {answer}"
        );
    }
    // By then the responses of all have come.
    started[0].2.1.silent_for(PAUSE + Duration::from_millis(200));
    for (bridge, late, (server, program)) in started {
        // No session is started for it, either.
        let labels = labels(&server.requests());
        assert!(!labels[2..].contains(&"initialize".to_owned()), "{bridge} {late:?} {labels:?}");
        let ended = program.close();
        let reported = ended.log.lines().count();
        assert!(ended.lines.is_empty() && reported == 3, "{bridge} {late:?} {ended:?}");
    }
}

#[test]
fn a_discover_that_was_given_up_keeps_the_end_waiting_for_nothing() {
    let (server, mut program) = given_up(Reply::Hang, "--bridge=auto");
    assert_eq!(program.read()["id"], "init");
    let ended = program.close();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0));
    assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
    assert_eq!(labels(&server.requests()), ["server/discover", "initialize"]);
}

#[test]
fn a_discover_with_a_response_is_not_abandoned() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write(&discover());
    program.write(&discover().replace(r#""id":1"#, r#""id":2"#));
    let mut ids = [program.read()["id"].as_u64(), program.read()["id"].as_u64()];
    ids.sort_unstable();
    assert_eq!(ids, [Some(1), Some(2)]);
    program.shake_hands();
}

#[test]
fn lazy_responds_to_discover_without_credentials_or_a_server() {
    let unreachable = "http://127.0.0.1:9/mcp";
    let arguments = [unreachable, "--region=us-east-1", "--service-name=execute-api", "--lazy"];
    let mut program = Launch::bare(&arguments).start();
    let asked = Instant::now();
    let answer = program.ask(&discover());
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": 1, "error":
            {"code": -32601, "message": "Method not found", "data": {"source": "sigv4-proxy"}}})
    );
    let initialized = program.ask(INITIALIZE);
    assert_eq!(initialized["result"]["serverInfo"]["name"], "sigv4-proxy");
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    // Some clients ask for a revision that has no `initialize`.
    for (requested, version) in [("2026-07-28", "2025-11-25"), ("2025-06-18", "2025-06-18")] {
        let initialized = program.ask(&INITIALIZE.replace("2025-11-25", requested));
        assert_eq!(initialized["result"]["protocolVersion"], version);
    }

    // A client that speaks 2026-07-28 only.
    let mut program = Launch::bare(&arguments).arg("--bridge=always").start();
    let result = program.ask(&discover())["result"].take();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!((&result["resultType"], &result["ttlMs"]), (&json!("complete"), &json!(0)));
    assert_eq!(result["capabilities"]["tools"], json!({"listChanged": true}));
    let server_info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(server_info["name"], "sigv4-proxy");
}

#[test]
fn lazy_asks_a_server_that_is_known_to_be_modern() {
    let result = |id: u32| {
        let result = json!({"resultType": "complete", "supportedVersions": ["2026-07-28"]});
        json_reply(200, &json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
    };
    for bridge in ["--bridge=auto", "--bridge=always"] {
        let server = Server::start(ServerOptions::default());
        let mut program = Launch::to(&server.url("/mcp")).arg("--lazy").arg(bridge).start();
        let early = program.ask(&discover());
        assert_eq!(early["error"].is_null(), bridge == "--bridge=always", "{early}");
        assert_eq!(server.requests().len(), 0, "no byte goes to the server");
        server.reply_next("ping", result(2));
        program.ask(&modern(2, "ping", ""));
        program.silent_for(Duration::from_millis(50));
        server.reply_next("server/discover", result(1));
        let asked = program.ask(&discover());
        assert!(asked["result"]["capabilities"].is_null(), "{bridge} {asked}");
        assert_eq!(labels(&server.requests()), ["ping", "server/discover"]);
    }
    // Without a bridge every message passes.
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--lazy").arg("--bridge=off").start();
    server.reply_next("server/discover", json_reply(403, "{}"));
    assert_error(&program.ask(&discover()), &Value::from(1), &["HTTP 403"]);
}

#[test]
fn the_log_says_once_what_helps_against_a_slow_discover() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--drain-timeout=0").start();
    for id in 1..=2 {
        server.reply_next("server/discover", Reply::Hang);
        program.write(&discover().replace(r#""id":1"#, &format!(r#""id":{id}"#)));
    }
    program.silent_for(Duration::from_millis(5300));
    let log = program.close().log;
    assert_eq!(log.matches("--lazy responds immediately").count(), 1, "{log}");
}
