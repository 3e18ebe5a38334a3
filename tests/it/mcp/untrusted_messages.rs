//! Messages made to bypass the user's restrictions, and unusual spellings of ids and sessions.

use crate::harness::messages::{call, json_reply, labels, modern, stream_reply, text_of};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::Duration;

const INVALID_REQUEST: i64 = -32600;

fn begun(server: &Server, arguments: &[&str]) -> Program {
    let launch = Launch::to(&server.url("/mcp")).arg("--no-sse");
    let mut program = arguments.iter().fold(launch, |launch, a| launch.arg(a)).start();
    program.shake_hands();
    program.ask(r#"{"jsonrpc":"2.0","id":"over","method":"ping"}"#);
    program
}

fn server() -> Server {
    Server::start(ServerOptions { sessions: true, ..ServerOptions::default() })
}

fn bodies(server: &Server, mark: &str) -> Vec<String> {
    let requests = server.requests();
    let bodies = requests.iter().map(|r| String::from_utf8_lossy(&r.request.body).into_owned());
    bodies.filter(|body| body.contains(mark)).collect()
}

fn echo(program: &mut Program) {
    let answer = program.ask(&call("\"echo\"", "echo", &json!({"text": "x"})));
    assert_eq!(text_of(&answer), "x");
}

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

#[test]
fn a_filter_applies_to_calls_without_an_id() {
    for flag in ["--deny-tool=add", "--allow-tool=echo"] {
        let server = server();
        let mut program = begun(&server, &[flag]);
        let add = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"add"}}"#;
        program.write(add);
        program.write(&format!("[{add},{add}]"));
        program.write(&format!(r#"[{{"jsonrpc":"2.0","id":9,"result":{{}}}},{add}]"#));
        program.write(&add.replace("\"method\"", "\"id\":1,\"result\":{},\"method\""));
        assert_eq!(program.read()["error"]["data"]["kind"], "denied");
        echo(&mut program);
        assert_eq!(bodies(&server, "add"), [""; 0], "{flag}");
    }
}

#[test]
fn ambiguous_messages_are_refused_with_a_filter() {
    let lines = [
        r#"{"id":1,"method":"tools/call","params":{"name":"echo","Name":"add"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo","n\u0061me":"add"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo"},"paramſ":{"name":"add"}}"#,
        r#"{"id":1,"method":"ping","METHOD":"tools/call","params":{"name":"add"}}"#,
        r#"{"id":1,"method":"tools/call","params":["add"]}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":["add"]}}"#,
    ];
    let server = server();
    let mut program = begun(&server, &["--deny-tool=add"]);
    for line in lines {
        let answer = program.ask(line);
        assert_eq!((&answer["id"], code(&answer)), (&json!(1), INVALID_REQUEST), "{line}");
    }
    let own = r#"{"jsonrpc":"2.0","id":2,"method":"tools\/call","params":{"n\u0061me":"raw","arguments":{"name":1,"Name":2}}}"#;
    assert_eq!(text_of(&program.ask(own)), own, "a tool's own arguments are its own");
    assert_eq!(bodies(&server, "add"), [""; 0]);

    // Without restrictions the message is not inspected.
    let mut program = begun(&server, &[]);
    let odd = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"raw","Name":"echo","arguments":{}}}"#;
    assert_eq!(text_of(&program.ask(odd)), odd);
}

const ADD: &str = r#"{"name":"add","inputSchema":{},"annotations":{"readOnlyHint":true}}"#;
const ADD_WRITES: &str = r#"{"name":"add","inputSchema":{}}"#;

/// A page with these tools, for any request id.
fn list(tools: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"list","result":{{"tools":[{tools}]}}}}"#)
}

fn learn(server: &Server, program: &mut Program, tools: &str) -> Value {
    server.reply_next("tools/list", json_reply(200, &list(tools)));
    program.ask(r#"{"jsonrpc":"2.0","id":"list","method":"tools/list"}"#)
}

#[test]
fn the_stricter_word_on_a_tool_counts_and_an_unclear_one_is_none() {
    for tools in [
        format!("{ADD},{ADD_WRITES}"),
        format!("{ADD_WRITES},{ADD}"),
        r#"{"name":"add","annotations":[true]}"#.to_owned(),
        r#"{"name":"add","annotations":{"readOnlyHint":true,"ReadOnlyHint":false}}"#.to_owned(),
        format!(r#"{ADD},{{"Name":"add","annotations":{{"readOnlyHint":false}}}}"#),
    ] {
        let server = server();
        let mut program = begun(&server, &["--read-only"]);
        learn(&server, &mut program, &tools);
        let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 2})));
        assert_eq!(answer["error"]["data"]["kind"], "denied", "{tools}");
    }
}

#[test]
fn hints_of_tools_end_with_the_session() {
    let server = server();
    let mut program = begun(&server, &["--read-only"]);
    learn(&server, &mut program, &ADD.replace("add", "slow"));
    server.end_sessions();
    // The call finds the session lost, and is checked against the new session's list before it is sent again.
    let answer = program.ask(&call("1", "slow", &json!({"ms": 0})));
    assert_eq!(answer["error"]["data"]["kind"], "denied", "{answer}");
    let label =
        |label: &str| labels(&server.requests()).iter().filter(|known| *known == label).count();
    assert_eq!((label("tools/call"), label("initialize")), (1, 2));

    learn(&server, &mut program, &ADD.replace("add", "slow"));
    program.shake_hands();
    let answer = program.ask(&call("2", "slow", &json!({"ms": 0})));
    assert_eq!(answer["error"]["data"]["kind"], "denied", "{answer}");
    assert_eq!(label("tools/call"), 1);
}

#[test]
fn list_changed_is_heard_however_it_is_written() {
    let server = server();
    let mut program = begun(&server, &["--read-only"]);
    learn(&server, &mut program, &ADD.replace("add", "slow"));
    let changed = r#"{"jsonrpc":"2.0","method":"notifications\/tools\/list_\u0063hanged"}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    server.reply_next("ping", stream_reply(&format!("data: {changed}\n\ndata: {answer}\n\n")));
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!(program.read_line(), changed);
    assert_eq!(program.read()["id"], 1);
    let answer = program.ask(&call("2", "slow", &json!({"ms": 0})));
    assert_eq!(answer["error"]["data"]["kind"], "denied", "{answer}");
}

#[test]
fn metadata_is_sent_or_the_request_is_refused() {
    let server = server();
    let mut program = begun(&server, &["--read-only", "--metadata", "te\"am\"=search"]);
    for params in ["[1]", r#""x""#, r#"{"_meta":[1]}"#, r#"{"_meta":{"TE\"AM\"":1}}"#] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x/y","params":{params}}}"#);
        assert_eq!(code(&program.ask(&line)), INVALID_REQUEST, "{params}");
    }
    program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":{"_meta":null}}"#);
    program.ask(&call("3", "add", &json!({"a": 1, "b": 2})));
    let sent = server.requests();
    for label in ["initialize", "ping", "tools/list", "tools/call"] {
        let of_label: Vec<&Recorded> = sent.iter().filter(|r| r.label() == label).collect();
        assert!(!of_label.is_empty(), "{label}");
        for request in of_label {
            assert_eq!(request.json()["params"]["_meta"]["te\"am\""], "search", "{label}");
        }
    }
    assert_eq!(bodies(&server, "x/y"), [""; 0]);
}

#[test]
fn ids_are_compared_by_value_and_returned_as_they_were_written() {
    let server = server();
    let mut program = begun(&server, &[]);
    for (asked, answered) in [("1.0", "1"), ("10", "1e1"), ("7", "\"7\""), ("-0", "0")] {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{answered},"result":{{}}}}"#);
        server.reply_next("ping", json_reply(200, &answer));
        program.write(&format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":"ping"}}"#));
        assert_eq!(
            program.read_line(),
            format!(r#"{{"jsonrpc":"2.0","id":{asked},"result":{{}}}}"#)
        );
    }
    let answers =
        r#"[{"jsonrpc":"2.0","id":5,"result":{"n":1}},{"jsonrpc":"2.0","id":5,"result":{"n":2}}]"#;
    server.reply_next("response", json_reply(200, answers));
    program.write(
        r#"[{"jsonrpc":"2.0","id":5,"method":"ping"},{"jsonrpc":"2.0","id":5,"method":"ping"}]"#,
    );
    assert_eq!(program.read_line(), answers);
    program.silent_for(Duration::from_millis(100));
}

#[test]
fn a_refused_initialize_leaves_the_session_as_it_was() {
    let server = server();
    let mut program = begun(&server, &["--deny-tool=add"]);
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;
    let refused = |code: u16| Reply::Status {
        code,
        headers: vec![
            ("Content-Type".into(), "application/json".into()),
            ("Mcp-Session-Id".into(), "another".into()),
        ],
        body: error.into(),
    };
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
    for reply in [refused(200), refused(400), stream_reply(&format!("data: {error}\n\n"))] {
        server.reply_next("initialize", reply);
        assert!(program.ask(initialize)["error"].is_object());
        echo(&mut program);
    }
    // Nor does one that is refused here.
    assert_eq!(
        code(&program.ask(&initialize.replace("\"params\"", "\"PARAMS\""))),
        INVALID_REQUEST
    );
    echo(&mut program);
    let calls = server.requests().into_iter().filter(|r| r.label() == "tools/call");
    for request in calls {
        assert_eq!(request.header("mcp-session-id"), Some("session-1"));
        assert_eq!(request.header("mcp-protocol-version"), Some("2025-11-25"));
    }
}

#[test]
fn a_cancelled_request_is_removed_from_a_waiting_batch() {
    let server = server();
    let mut program = begun(&server, &["--max-in-flight=1"]);
    server.reply_next("ping", Reply::Late(Duration::from_millis(300)));
    program.write(r#"{"jsonrpc":"2.0","id":"first","method":"ping"}"#);
    server.wait_for(PATIENCE, |all| all.iter().filter(|r| r.label() == "ping").count() == 2);
    let answer = r#"[{"jsonrpc":"2.0","id":2,"result":{}}]"#;
    server.reply_next("response", json_reply(200, answer));
    program
        .write(r#"[{"jsonrpc":"2.0","id":1,"method":"x"},{"jsonrpc":"2.0","id":2,"method":"y"}]"#);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    assert_eq!(program.read()["id"], "first");
    let answer = program.read();
    assert_eq!(if answer.is_array() { &answer[0]["id"] } else { &answer["id"] }, &json!(2));
    program.silent_for(Duration::from_millis(100));
    assert_eq!(bodies(&server, r#""y""#), [r#"[{"jsonrpc":"2.0","id":2,"method":"y"}]"#]);
    assert_eq!(bodies(&server, "notifications/cancelled"), [""; 0]);
}

#[test]
fn escapes_in_meta_change_nothing() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").start();
    let line = modern(1, "tools/call", r#""name":"echo","arguments":{"text":"z"},"#);
    let line = line.replace("io.modelcontextprotocol/", r"io.modelcontextprotocol\/");
    assert_eq!(text_of(&program.ask(&line)), "z");
    let last = server.requests().pop().unwrap();
    assert_eq!(last.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(last.header("mcp-name"), Some("echo"));
}
