//! The bridge translates a client's line and a server's message to JSON. The input: both, with a line break between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use sigv4_proxy::bridge::translations;
use sigv4_proxy::mcp::message::Message;
use sigv4_proxy::mcp::server_message::{ServerMessage, ServerMessageKind};

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(client) = Message::parse(input[..end].to_vec()) else { return };
    let server = &input[end + 1..];
    let ServerMessage { kind, corrected } = ServerMessage::parse(server, client.ids());
    if matches!(
        kind,
        ServerMessageKind::NotAMessage { .. }
            | ServerMessageKind::BadResponse { .. }
            | ServerMessageKind::InvalidRequest
    ) {
        return;
    }
    let server = corrected.unwrap_or_else(|| String::from_utf8(server.to_vec()).expect("what is relayed is UTF-8"));
    for json in translations(&client, &server) {
        serde_json::from_str::<&RawValue>(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    }
});
