//! The response to `server/discover` without the server (`--lazy`), for which some clients wait 10 seconds and no longer.

use crate::bridge::facts::MODERN_VERSION;
use crate::error::Error;
use crate::mcp::error_codes::METHOD_NOT_FOUND;
use crate::mcp::error_response::protocol_error;
use crate::mcp::message::Message;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use serde_json::json;

/// Responds that the server is modern, if messages are translated for one that is not; otherwise that it has no such method,
/// after which every client that also speaks the legacy era continues with `initialize`.
pub(crate) fn respond(
    discover: &Message,
    is_translated: bool,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let id = discover.ids()[0].as_json();
    let line = if is_translated {
        let name = json!({ "name": "sigv4-proxy", "version": env!("CARGO_PKG_VERSION") });
        let result = json!({
            "resultType": "complete",
            "supportedVersions": [MODERN_VERSION],
            "capabilities": {
                "prompts": { "listChanged": true },
                "resources": { "listChanged": true },
                "tools": { "listChanged": true },
            },
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": name },
        });
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
    } else {
        protocol_error(id, METHOD_NOT_FOUND, "Method not found")
    };
    sink(Relayed::Line(Line::response(line.into_bytes(), 0, true)))
}
