//! `--lazy`: the session starts with the first request that needs it.

use crate::credentials::chain::Home;
use crate::harness::messages::{
    LIST_TOOLS, assert_error, call, count, labels, text_of, tool_names,
};
use crate::harness::program::{KEY_ID, Launch, SECRET};
use crate::support::{Reply, Server, ServerOptions};
use serde_json::json;
use std::time::{Duration, Instant};

fn server() -> Server {
    Server::start(ServerOptions { sessions: true, ..ServerOptions::default() })
}

#[test]
fn a_lazy_session_begins_with_the_first_request_that_needs_it() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--lazy").start();
    let hello = program.shake_hands();
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(hello["result"]["capabilities"]["tools"]["listChanged"], true);
    program.silent_for(Duration::from_millis(200));
    assert_eq!(server.requests().len(), 0, "nothing is sent yet");

    program.write(LIST_TOOLS);
    let mut notified = Vec::new();
    let list = loop {
        let line = program.read();
        if line["id"] == "list" {
            break line;
        }
        notified.push(line["method"].as_str().unwrap().to_owned());
    };
    assert_eq!(tool_names(&list).len(), 7);
    let changed = ["tools", "prompts", "resources"];
    assert_eq!(notified, changed.map(|list| format!("notifications/{list}/list_changed")));
    let requests = server.requests();
    assert_eq!(labels(&requests), ["initialize", "notifications/initialized", "tools/list"]);
    let initialize = requests[0].json();
    assert_eq!(initialize["params"]["clientInfo"]["name"], "test", "what the client said is sent");
    assert_eq!(requests[2].header("mcp-session-id"), Some("session-1"));
    assert_eq!(text_of(&program.ask(&call("1", "echo", &json!({"text": "x"})))), "x");
    assert_eq!(count(&server, "initialize"), 1);
}

#[test]
fn a_lazy_session_waits_for_server_and_credentials() {
    let server = server();
    let home = Home::new("policies-lazy");
    let mut program = Launch::bare(&[&server.url("/mcp"), "--region=us-east-1", "--lazy"])
        .arg("--service-name=execute-api")
        .env("HOME", home.0.to_str().unwrap())
        .start();
    program.shake_hands();
    assert_error(&program.ask(LIST_TOOLS), &json!("list"), &["no AWS credentials found"]);
    home.write(
        ".aws/credentials",
        format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"),
    );
    // The client need not ask again to learn that there is something now.
    let started = Instant::now();
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    assert!(started.elapsed() < Duration::from_secs(15));
    for _ in 0..2 {
        program.read();
    }
    assert_eq!(tool_names(&program.ask(LIST_TOOLS)).len(), 7);

    // A cold start is waited for.
    let service = "bedrock-agentcore";
    let cold = Server::start(ServerOptions { service: service.into(), ..ServerOptions::default() });
    let starting =
        || Reply::aws_error(424, "RuntimeClientError", "Runtime initialization time exceeded.");
    cold.reply_next("initialize", starting());
    let mut program = Launch::to(&cold.url("/mcp"))
        .arg(&format!("--service-name={service}"))
        .env("MCP_WARM", "1")
        .start();
    program.shake_hands();
    program.write(&call("1", "echo", &json!({"text": "warm"})));
    let answer = loop {
        let line = program.read();
        if line["id"] == 1 {
            break line;
        }
    };
    assert_eq!(text_of(&answer), "warm");
    assert_eq!(count(&cold, "initialize"), 2);
}
