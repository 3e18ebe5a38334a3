//! Compressed responses: none is requested, and the error for one names its coding.

use crate::harness::messages::{assert_error, call};
use crate::harness::program::Launch;
use crate::support::{Reply, Server, ServerOptions};
use serde_json::json;

fn encoded(code: u16, coding: &str, media_type: &str, body: &[u8]) -> Reply {
    let headers = [("content-encoding", coding), ("content-type", media_type)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Reply::Status { code, headers: headers.to_vec(), body: body.to_vec() }
}

#[test]
fn a_coding_that_was_not_requested_is_named_for_any_body() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    let garbage = b"\x1f\x8b\x08\x00{\"jsonrpc\"";
    for (code, coding, media_type) in [
        (200, "gzip", "application/json"),
        (200, "br", "text/event-stream"),
        (200, "zstd", "text/plain"),
        (403, "deflate", "application/json"),
        (500, "gzip", "text/html"),
    ] {
        server.reply_next("tools/call", encoded(code, coding, media_type, garbage));
        let answer = program.ask(&call("1", "add", &json!({})));
        let words = format!("the response is encoded with {coding}, which was not requested");
        assert_error(&answer, &json!(1), &[&words]);
        if code != 200 {
            assert_error(&answer, &json!(1), &[&format!("HTTP {code}")]);
        }
    }
    // The body of a notification's response is ignored, and an empty body is not compressed.
    server.reply_next(
        "notifications/roots/list_changed",
        encoded(202, "gzip", "application/json", b""),
    );
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
    let plain = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}).to_string();
    for coding in ["identity", "UTF-8"] {
        let reply = encoded(200, coding, "application/json", plain.as_bytes());
        server.reply_next("tools/call", reply);
        assert!(program.ask(&call("1", "add", &json!({})))["result"].is_object(), "{coding}");
    }
    for recorded in server.requests() {
        assert_eq!(recorded.request.header("accept-encoding"), Some("identity"));
        let authorization = recorded.request.header("authorization").unwrap();
        assert!(!authorization.contains("accept-encoding"), "{authorization}");
    }
}
