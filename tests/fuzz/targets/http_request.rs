//! A connection of the listener reads the same requests wherever the network divides them. The input: a byte that says where, and
//! what the client sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4_proxy::listener::requests;

fuzz_target!(|input: &[u8]| {
    let Some((at, bytes)) = input.split_first() else { return };
    let whole = requests(bytes, 0);
    let divided = requests(bytes, bytes.len() * usize::from(*at) / 256);
    assert_eq!(whole, divided);
    for request in &whole {
        // Debug output spells out control characters, of which none may be left in a head.
        let head = request.split(" [").next().unwrap_or_default();
        assert!(!head.contains(['\r', '\n', '\0']), "{request}");
    }
});
