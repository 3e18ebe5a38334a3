//! Percent-encoding (RFC 3986 §2.1) of paths, queries and forms.
//!
//! Works on bytes, since what is percent-encoded need not be UTF-8. A signature covers the exact spelling, so everything that is
//! signed or sent goes through this one codec.

use std::fmt::Write as _;

/// Encodes every byte outside RFC 3986's unreserved set and `also`, in upper-case hex.
pub(crate) fn encode(bytes: &[u8], also: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Decodes each `%XX`. Any other `%` is kept, and `+` is a plus sign.
pub fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(byte) = escaped_byte(&bytes[at..]) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    decoded
}

/// The byte encoded by `%XX` at the start of `bytes`.
pub(crate) fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_keeps_the_unreserved_and_the_named_bytes() {
        assert_eq!(encode("aZ0-._~ /é".as_bytes(), b""), "aZ0-._~%20%2F%C3%A9");
        assert_eq!(encode(b"a/b c", b"/"), "a/b%20c");
    }

    #[test]
    fn decoding_keeps_other_percent_signs() {
        assert_eq!(decode("a%2fb%C3%A9+%zz%4"), "a/bé+%zz%4".as_bytes());
        assert_eq!(decode("%ff"), [0xff]);
    }
}
