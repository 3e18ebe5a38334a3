//! Messages on stdout are single lines for every reader.

use crate::harness::messages::{json_reply, stream_reply};
use crate::harness::program::Launch;
use crate::support::{Reply, Server, ServerOptions};
use serde_json::Value;

/// Line ends for some readers, which JSON strings may hold as they are.
const ENDS: &str = "a\u{2028}b\u{2029}c\u{85}d";

#[test]
fn unicode_line_ends_are_written_as_escapes() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    let event = |message: &str| format!("data: {message}\n\n");
    let result = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{ENDS}"}}}}"#);
    let long = "é".repeat(500_000);
    let bodies = [
        json_reply(200, &result),
        json_reply(200, &format!("[{result}]")),
        json_reply(200, &result.replace(ENDS, &[&long, ENDS, &long, ENDS].concat())),
        json_reply(
            400,
            &result.replace("result", "error").replace(r#""text""#, r#""code":-1,"message""#),
        ),
        Reply::Status { code: 400, headers: vec![], body: ENDS.into() },
        stream_reply(&event(&result)),
        stream_reply(
            &[
                event(
                    &result.replace(r#""id":1,"#, "").replace("result", "method\":\"x\",\"params"),
                ),
                event(&result),
            ]
            .concat(),
        ),
        stream_reply(
            &[
                event(&result.replace("1,\"result", "5,\"method\":\"ping\",\"params")),
                event(&result),
            ]
            .concat(),
        ),
    ];
    for reply in bodies {
        server.reply_next("tools/call", reply);
        program.write(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#);
        loop {
            let line = program.read_line();
            assert!(!line.contains(['\u{2028}', '\u{2029}', '\u{85}']), "{line}");
            let message: Value = serde_json::from_str(&line).unwrap();
            assert!(
                message.to_string().contains('\u{2028}')
                    || message["error"]["data"]["kind"] == "refused",
                "{line}"
            );
            if message["id"] == 1 {
                break;
            }
        }
    }
}
