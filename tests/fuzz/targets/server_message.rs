//! Corrected errors and shortened lists of tools are JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use sigv4_proxy::json::line::one_line;
use sigv4_proxy::mcp::server_message::{ServerMessage, ServerMessageKind};
use sigv4_proxy::mcp::message::Message;
use sigv4_proxy::mcp::tool_catalog::ToolCatalog;

fuzz_target!(|message: &[u8]| {
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let request = Message::parse(request.to_vec()).expect("a request");
    let ServerMessage { kind, corrected } = ServerMessage::parse(message, request.ids());
    if !matches!(kind, ServerMessageKind::NotAMessage { .. }) {
        let text = str::from_utf8(message).expect("what is relayed is UTF-8");
        serde_json::from_str::<&RawValue>(text).expect("what is relayed is JSON");
        if let Some(line) = corrected {
            serde_json::from_str::<&RawValue>(&line).expect("a corrected message is JSON");
            let again = ServerMessage::parse(line.as_bytes(), request.ids());
            assert_eq!(again.corrected, None, "{line}");
        }
    }
    let tools = ToolCatalog::default();
    let page = tools.page(&request);
    if let Some(changed) = tools.learn(&String::from_utf8_lossy(message), &page).expect("it is not judged").changed {
        serde_json::from_str::<&RawValue>(&changed).expect("a shorter list is JSON");
    }
    for (_, value) in tools.headers(message) {
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{value:?}");
    }
    assert!(!one_line(message.to_vec()).iter().any(|byte| matches!(byte, b'\n' | b'\r')));
});
