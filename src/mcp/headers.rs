//! The values of `Mcp-*` headers that repeat parts of a message (2026-07-28).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Plain where a header can carry the value; otherwise base64 between markers, and so is a value that looks like that.
pub(crate) fn encoded(value: String) -> String {
    let is_plain = !value.is_empty()
        && value.bytes().all(|b| matches!(b, 0x20..=0x7e))
        && value.trim() == value
        && !(value.starts_with("=?base64?") && value.ends_with("?="));
    if is_plain { value } else { format!("=?base64?{}?=", STANDARD.encode(value)) }
}

/// Whether a header with this text has the value.
pub(crate) fn has_value(header: &str, value: &str) -> bool {
    let in_markers = header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    in_markers.map_or(header == value, |text| {
        STANDARD.decode(text).is_ok_and(|decoded| decoded == value.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_one_value() {
        for (header, value, expected) in [
            ("x", "x", true),
            ("x", "X", false),
            ("=?base64?eA==?=", "x", true),
            ("=?base64?eA==?=", "=?base64?eA==?=", false),
            ("=?base64?PT9iYXNlNjQ/ZUE9PT89?=", "=?base64?eA==?=", true),
            ("=?base64?eA?=", "x", false),
            ("=?base64?=", "", false),
        ] {
            assert_eq!(has_value(header, value), expected, "{header} {value}");
        }
    }

    #[test]
    fn values_that_no_header_can_carry_are_encoded() {
        for (value, header) in [
            ("plain-name", "plain-name"),
            ("größe", "=?base64?Z3LDtsOfZQ==?="),
            (" x", "=?base64?IHg=?="),
            ("a\r\nb: c", "=?base64?YQ0KYjogYw==?="),
            ("", "=?base64??="),
            ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ] {
            assert_eq!(encoded(value.to_owned()), header, "{value:?}");
        }
    }
}
