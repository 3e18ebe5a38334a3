//! A file of profiles is read, or refused in words that do not quote it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4_proxy::credentials::config::ini::{Dialect, parse};

fuzz_target!(|bytes: &[u8]| {
    for dialect in [Dialect::Config, Dialect::Credentials] {
        if let Ok(sections) = parse(bytes, dialect) {
            for section in sections.profiles.values() {
                let _ = (section.get("region"), section.nested("s3", "region"));
            }
        }
    }
});
