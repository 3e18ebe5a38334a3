//! Restrictions and additions of the user: tool filters and metadata.

use crate::harness::messages::{
    LIST_TOOLS, assert_all_verified, assert_error, call, count, json_reply, labels, modern,
    text_of, tool_names,
};
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::Duration;

fn server() -> Server {
    Server::start(ServerOptions { sessions: true, ..ServerOptions::default() })
}

#[test]
fn globs_hold_for_lists_and_calls_alike() {
    let server = server();
    let launch = Launch::to(&server.url("/mcp"))
        .arg("--allow-tool=e*")
        .arg("--allow-tool=add")
        .arg("--ignore-tool=?dd");
    let mut program = launch.begin();
    assert_eq!(tool_names(&program.ask(LIST_TOOLS)), ["echo"]);
    let answer = program.ask(&call("1", "echo", &json!({"text": "x"})));
    assert_eq!(text_of(&answer), "x");
    for (tool, words) in [("add", "--deny-tool ?dd"), ("slow", "blocked by --allow-tool e* add")] {
        let answer = program.ask(&call("2", tool, &json!({})));
        assert_error(&answer, &json!(2), &[tool, words]);
        assert_eq!(answer["error"]["data"]["kind"], "denied");
    }
    // A name that is there twice is read differently by different parsers.
    let answer = program.ask(
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","name":"add"}}"#,
    );
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    let words = answer["error"]["message"].as_str().unwrap();
    assert!(words.contains("params is ambiguous"), "{words}");
    assert_eq!(count(&server, "tools/call"), 1, "denied calls never leave");
    let ended = program.close();
    assert!(!ended.log.contains("ERROR"), "{}", ended.log);
}

#[test]
fn a_batch_cannot_get_around_it() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--deny-tool=add").begin();
    let batch = format!("[{},{}]", call("1", "add", &json!({})), call("2", "echo", &json!({})));
    let answers = program.ask(&batch);
    for (answer, id) in answers.as_array().unwrap().iter().zip(1..=2) {
        assert_error(answer, &json!(id), &["batches cannot be used with"]);
    }
    assert_eq!(count(&server, "tools/call"), 0);
    assert!(labels(&server.requests()).len() <= 3, "{:?}", labels(&server.requests()));
}

/// Nothing is guessed of a tool that is not known.
#[test]
fn read_only_asks_the_server_what_a_tool_does() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").begin();
    // The client has not listed the tools yet.
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 2})))), "3");
    let answer = program.ask(&call("2", "slow", &json!({})));
    assert_error(&answer, &json!(2), &["slow", "does not mark it as read-only"]);
    assert_eq!(count(&server, "tools/list"), 1, "the list is kept");
    let answer = program.ask(&call("3", "no-such-tool", &json!({})));
    assert_error(&answer, &json!(3), &["no-such-tool"]);
    assert_eq!(tool_names(&program.ask(LIST_TOOLS)), ["add", "echo", "raw"]);
    assert_eq!(count(&server, "tools/call"), 1);
    assert_all_verified(&server.requests());
}

#[test]
fn read_only_reads_every_page_and_both_eras() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").begin();
    let page = |tools: &str, more: &str| {
        json_reply(
            200,
            &format!(r#"{{"jsonrpc":"2.0","id":"list","result":{{"tools":[{tools}]{more}}}}}"#),
        )
    };
    // Each page that the client requests is changed separately; the cursor stays.
    let one = r#"{"name":"a","annotations":{"readOnlyHint":true},"inputSchema":{}}"#;
    let two = r#"{"name":"b","inputSchema":{}}"#;
    server.reply_next("tools/list", page(&format!("{two}, {one}"), r#","nextCursor":"p2""#));
    program.write(LIST_TOOLS);
    let line = program.read_line();
    assert!(line.contains(&format!(r#"{{"tools":[{one}],"nextCursor":"p2"}}"#)), "{line}");

    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").start();
    let arguments = |tool: &str| format!(r#""name":"{tool}","arguments":{{"region":"r"}},"#);
    // `region` is on the second page of a server of 2026-07-28, and has no hint.
    let answer = program.ask(&modern(1, "tools/call", &arguments("region")));
    assert_error(&answer, &json!(1), &["region", "--read-only"]);
    let answer =
        program.ask(&modern(2, "tools/call", r#""name":"echo","arguments":{"text":"y"},"#));
    assert_eq!(text_of(&answer), "y");
    assert_eq!(tool_names(&program.ask(&modern(3, "tools/list", ""))), ["add", "echo", "raw"]);
}

#[test]
fn a_list_that_was_asked_for_in_the_session_before_teaches_nothing() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").begin();
    let list = r#"{"jsonrpc":"2.0","id":"list","result":{"tools":[{"name":"slow","annotations":{"readOnlyHint":true}}]}}"#;
    let late = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{list}",
        list.len()
    );
    let pause = Duration::from_millis(700);
    server.reply_next("tools/list", Reply::RawPieces(vec![(pause, late.into_bytes())]));
    program.write(LIST_TOOLS);
    server
        .wait_for(PATIENCE, |requests| labels(requests).iter().any(|label| label == "tools/list"));
    program.shake_hands();
    assert_eq!(tool_names(&program.read()), ["slow"]);
    let answer = program.ask(&call("2", "slow", &json!({})));
    assert_error(&answer, &json!(2), &["slow", "does not mark it as read-only"]);
    assert_eq!(count(&server, "tools/call"), 0);
}

#[test]
fn a_page_alone_allows_nothing() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").begin();
    let page = r#"{"jsonrpc":"2.0","id":"list","result":{"tools":[{"name":"slow","annotations":{"readOnlyHint":true}}],"nextCursor":"2"}}"#;
    server.reply_next("tools/list", json_reply(200, page));
    assert_eq!(tool_names(&program.ask(LIST_TOOLS)), ["slow"]);
    let answer = program.ask(&call("2", "slow", &json!({})));
    assert_error(&answer, &json!(2), &["slow", "does not mark it as read-only"]);
    assert_eq!(count(&server, "tools/call"), 0);
}

/// A list that cannot be had is an error and no verdict.
#[test]
fn a_throttled_list_is_no_empty_list() {
    let server = server();
    let launch = Launch::to(&server.url("/mcp")).arg("--read-only").arg("--retries=0");
    let mut program = launch.begin();
    let throttled = || Reply::aws_error(429, "ThrottlingException", "Rate exceeded");
    server.reply_next("tools/list", throttled());
    let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 2})));
    assert_error(
        &answer,
        &json!(1),
        &["cannot be listed, which --read-only requires", "Rate exceeded"],
    );
    server.reply_next("tools/list", throttled());
    assert_error(&program.ask(LIST_TOOLS), &json!("list"), &["Rate exceeded"]);
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"Too many requests"}}"#;
    server.reply_next("tools/list", json_reply(200, error));
    let answer = program.ask(&call("2", "add", &json!({"a": 1, "b": 2})));
    assert!(answer["error"].is_object(), "{answer}");
    assert_eq!(text_of(&program.ask(&call("3", "add", &json!({"a": 1, "b": 2})))), "3");
}

#[test]
fn changed_tools_are_listed_again() {
    let server = Server::start(ServerOptions::with_sessions_and_stream());
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").begin();
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 2})))), "3");
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    let harmful =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add","inputSchema":{}}]}}"#;
    server.reply_next("tools/list", json_reply(200, harmful).clone());
    program.write(&call("2", "add", &json!({"a": 1, "b": 2})));
    // The scripted response has another id than the proxy's request and does not count; the next list does.
    let answer = program.read();
    assert_eq!(answer["id"], 2);
    assert!(count(&server, "tools/list") >= 2, "{:?}", labels(&server.requests()));
}

/// Also if every response has another, as that to the list of tools.
#[test]
fn tools_are_listed_again_under_another_session_id() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").begin();
    let scripted = |session: &str, id: &str, result: Value| Reply::Status {
        code: 200,
        headers: [("content-type", "application/json"), ("mcp-session-id", session)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string().into_bytes(),
    };
    let list =
        |hint: bool| json!({"tools": [{"name": "slow", "annotations": {"readOnlyHint": hint}}]});
    server.reply_next("tools/list", scripted("s-1", "list", list(true)));
    assert_eq!(tool_names(&program.ask(LIST_TOOLS)), ["slow"]);
    server.reply_next("tools/list", scripted("s-2", "list", list(true)));
    assert_eq!(tool_names(&program.ask(LIST_TOOLS)), ["slow"]);
    server.reply_next("tools/call", scripted("s-3", "c", json!({"content": []})));
    assert_eq!(program.ask(&call("\"c\"", "slow", &json!({})))["result"]["content"], json!([]));
    // The server's own list does not mark it.
    let answer = program.ask(&call("2", "slow", &json!({})));
    assert_error(&answer, &json!(2), &["slow", "does not mark it as read-only"]);
    assert_eq!(count(&server, "tools/call"), 1);
}

#[test]
fn metadata_is_added_to_that_of_the_client() {
    let server = server();
    let launch = Launch::to(&server.url("/mcp"))
        .arg("--metadata")
        .arg("team=search")
        .arg("token=from-us")
        .env("AWS_REGION", "eu-central-1");
    let mut program = launch.begin();
    let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"raw","arguments":{"n":1.10},"_meta":{"token":"mine"}}}"#;
    let sent: Value = serde_json::from_str(text_of(&program.ask(line))).unwrap();
    let meta = json!({"team": "search", "token": "mine", "AWS_REGION": "eu-central-1"});
    assert_eq!(sent["params"]["_meta"], meta);
    program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#);
    let requests = server.requests();
    assert_all_verified(&requests);
    let of = |label: &str| requests.iter().find(|r| r.label() == label).unwrap().json();
    for label in ["initialize", "ping"] {
        assert_eq!(of(label)["params"]["_meta"]["team"], "search", "{label}");
    }
    assert!(of("notifications/initialized")["params"].is_null());
    // The region to work in is not the one that is signed for.
    let raw = requests.iter().find(|r| r.label() == "tools/call").unwrap();
    assert!(String::from_utf8_lossy(&raw.request.body).contains("1.10"));
    assert!(raw.header("authorization").unwrap().contains("/us-east-1/execute-api/"));

    // The caller may leave the region out, and without the flag nothing is touched.
    let launch =
        Launch::to(&server.url("/mcp")).arg("--metadata=AWS_REGION=").arg("--metadata=a=b");
    let mut program = launch.begin();
    let sent: Value = serde_json::from_str(text_of(&program.ask(line))).unwrap();
    assert_eq!(sent["params"]["_meta"], json!({"a": "b", "token": "mine"}));
    let mut program = Launch::to(&server.url("/mcp")).begin();
    assert_eq!(text_of(&program.ask(line)), line);
}
