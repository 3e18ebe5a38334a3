//! Names of files in the AWS CLI's caches: the SHA-1 of JSON as Python writes it, with sorted names and in ASCII. Pure.

use std::fmt::Write as _;

use serde_json::Value;
use sha1::{Digest, Sha1};

/// Spaces after separators: Python's `json.dumps` without and with `separators=(",", ":")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Spaced,
    Compact,
}

/// The name of a file, without its extension.
pub(crate) fn cache_key(arguments: &Value, style: Style) -> String {
    let mut text = String::new();
    write_value(&mut text, arguments, style);
    hex::encode(Sha1::digest(text))
}

fn write_value(out: &mut String, value: &Value, style: Style) {
    let (comma, colon) = match style {
        Style::Spaced => (", ", ": "),
        Style::Compact => (",", ":"),
    };
    match value {
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { comma });
                write_value(out, item, style);
            }
            out.push(']');
        }
        // Sorted by code point, which is the order of UTF-8.
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { comma });
                write_string(out, name);
                out.push_str(colon);
                write_value(out, value, style);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_as_the_aws_cli_makes_them() {
        const ROLE: &str = "arn:aws:iam::111122223333:role/Dev";
        const SERIAL: &str = "arn:aws:iam::444455556666:mfa/ann";
        for (arguments, style, key) in [
            (
                json!({ "SerialNumber": SERIAL, "RoleArn": ROLE }),
                Style::Spaced,
                "b58ec78b788a89bfc117b1d7c3588eab24be468f",
            ),
            (
                json!({ "DurationSeconds": 7200, "ExternalId": "ext-1", "RoleArn": ROLE,
                        "RoleSessionName": "ann", "SerialNumber": SERIAL }),
                Style::Spaced,
                "256953c0b12a2fe14bdb0d554a41c38da14ed5fc",
            ),
            (
                json!({ "accountId": "111122223333", "roleName": "Dev", "sessionName": "corp" }),
                Style::Compact,
                "20985b56d713cfd135648cadc68a6115ca80d9a5",
            ),
            (
                json!({ "accountId": "111122223333", "roleName": "Dev",
                        "startUrl": "https://example.awsapps.com/start" }),
                Style::Compact,
                "8d7c2c9d82dcde0814f440efe52db6531dc17184",
            ),
            (json!({ "RoleArn": ROLE }), Style::Spaced, "2e4e5ba8d705dd3fb0679e7eb5f0b624fb18a363"),
            (
                json!({ "ExternalId": "a\"b/ü", "RoleArn": "arn:aws:iam::111122223333:role/Größe" }),
                Style::Spaced,
                "0596b9791f65072e10798fe783c25c7c785b1733",
            ),
            (
                json!({ "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Operation": "GetSessionToken",
                        "SerialNumber": SERIAL }),
                Style::Spaced,
                "b8d16ffe7c4f16d7f0b9ffcd625d613a827c0e48",
            ),
            (
                json!({ "tool": "botocore", "startUrl": "https://example.awsapps.com/start",
                        "region": "eu-west-1", "scopes": ["sso:account:access"], "session_name": "corp" }),
                Style::Spaced,
                "9f4ce7c372b014c25eef5e3b0969a696ec4a1dc4",
            ),
        ] {
            assert_eq!(cache_key(&arguments, style), key, "{arguments}");
        }
        let mut text = String::new();
        write_value(&mut text, &json!({ "b": ["\u{7f}\n😀", null, 1], "a": {} }), Style::Compact);
        assert_eq!(text, r#"{"a":{},"b":["\u007f\n\ud83d\ude00",null,1]}"#);
    }

    #[test]
    fn names_that_botocore_gives_to_random_arguments() {
        let rows = include_str!("../../test-vectors/cache-keys/botocore.jsonl");
        let mut count = 0;
        for row in rows.lines() {
            let row: Value = serde_json::from_str(row).unwrap();
            for (style, name) in [(Style::Spaced, "spaced"), (Style::Compact, "compact")] {
                if let Some(arguments) = row.get(name) {
                    assert_eq!(row["key"], cache_key(arguments, style), "{row}");
                    count += 1;
                }
            }
        }
        assert_eq!(count, 500);
    }
}
