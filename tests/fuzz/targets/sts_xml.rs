//! A response of STS has credentials or not.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|xml: &[u8]| {
    let _ = sigv4_proxy::credentials::parse_sts_response(xml);
});
