//! Messages to the program, and checks of its output.

use crate::support::{Recorded, Reply, Server, Verdict};
use serde_json::Value;

pub(crate) fn call(id: &str, tool: &str, arguments: &Value) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":{id}}}}}}}"#
    )
}

pub(crate) fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}"))
}

/// Our own error for this id.
pub(crate) fn assert_error(answer: &Value, id: &Value, words: &[&str]) {
    let shown: String = answer.to_string().chars().take(500).collect();
    assert_eq!(&answer["id"], id, "{shown}");
    assert_eq!(answer["error"]["code"], -32603, "{shown}");
    assert_eq!(answer["error"]["data"]["source"], "sigv4-proxy", "{shown}");
    let message = answer["error"]["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

pub(crate) fn assert_all_verified(requests: &[Recorded]) {
    for request in requests {
        assert_eq!(request.verdict, Verdict::Verified, "{}", request.label());
    }
}

pub(crate) fn json_reply(code: u16, body: &str) -> Reply {
    Reply::Status {
        code,
        headers: vec![("Content-Type".into(), "application/json".into())],
        body: body.into(),
    }
}

/// A request of MCP 2026-07-28, which names its version.
pub(crate) fn modern(id: u32, method: &str, params: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{meta}}}}}"#)
}

/// An event stream of these bytes; then the connection is closed.
pub(crate) fn stream_reply(body: &str) -> Reply {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    Reply::Raw([head, body].concat().into_bytes())
}

/// A request for the list of tools.
pub(crate) const LIST_TOOLS: &str = r#"{"jsonrpc":"2.0","id":"list","method":"tools/list"}"#;

/// The names in a list of tools.
pub(crate) fn tool_names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("{list}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

/// The labels of the requests, but for the standing stream's.
pub(crate) fn labels(requests: &[Recorded]) -> Vec<String> {
    requests.iter().map(Recorded::label).filter(|label| label != "GET").collect()
}

/// How many requests with this label the server has received.
pub(crate) fn count(server: &Server, label: &str) -> usize {
    server.requests().iter().filter(|request| request.label() == label).count()
}

/// The system's error for this file, which does not exist.
pub(crate) fn not_found(path: &str) -> String {
    let error = std::fs::read(path).expect_err("it does not exist").to_string();
    error.split(" (os error").next().unwrap_or_default().to_owned()
}
