//! A URL has one wire form, and a reference on it does not lead away.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4_proxy::http::url::Endpoint;
use sigv4_proxy::aws::hostname;

fuzz_target!(|input: (&str, &str)| {
    let (typed, reference) = input;
    let Ok(endpoint) = Endpoint::parse(typed) else { return };
    let wire = endpoint.to_string();
    assert!(wire.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{wire:?}");
    assert_eq!(Endpoint::parse(&wire).expect("its own form").to_string(), wire);
    let _ = hostname::of_host(endpoint.host());
    if let Ok(joined) = endpoint.join(reference) {
        assert_eq!(joined.authority(), endpoint.authority());
        assert_eq!(joined.is_https(), endpoint.is_https());
    }
});
