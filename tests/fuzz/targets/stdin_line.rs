//! A line of the client is a message that is sent unchanged, or gets one line of JSON as its response.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4_proxy::mcp::message::Message;

fuzz_target!(|line: &[u8]| {
    match Message::parse(line.to_vec()) {
        Ok(message) => {
            assert_eq!(message.body(), line);
            let text = str::from_utf8(line).expect("what is relayed is UTF-8");
            serde_json::from_str::<&serde_json::value::RawValue>(text).expect("what is relayed is JSON");
            for id in message.ids() {
                serde_json::from_str::<&serde_json::value::RawValue>(id.as_json()).expect("an id is JSON");
            }
            let headers = message.request_meta().into_iter().flat_map(|meta| meta.headers());
            for (_, value) in headers {
                assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{value:?}");
            }
        }
        Err(answer) => {
            assert!(!answer.contains(['\n', '\r']));
            serde_json::from_str::<&serde_json::value::RawValue>(&answer).expect("an answer is JSON");
        }
    }
});
