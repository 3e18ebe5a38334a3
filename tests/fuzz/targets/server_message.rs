//! What a server says stays JSON: mended errors, shortened lists of tools.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use sigv4_proxy::incoming::Incoming;
use sigv4_proxy::message::{Message, one_line};
use sigv4_proxy::tools::Tools;

fuzz_target!(|text: &str| {
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let request = Message::parse(request.to_vec()).expect("a request");
    if let Ok(Incoming::Error { mended: Some(line), .. }) = Incoming::parse(text, request.ids()) {
        serde_json::from_str::<&RawValue>(&line).expect("a mended error is JSON");
    }
    let tools = Tools::default();
    if let Some(shortened) = tools.learn(text).shortened {
        serde_json::from_str::<&RawValue>(&shortened).expect("a shorter list is JSON");
    }
    for (_, value) in tools.headers(text.as_bytes()) {
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{value:?}");
    }
    assert!(!one_line(text.as_bytes().to_vec()).iter().any(|byte| matches!(byte, b'\n' | b'\r')));
});
