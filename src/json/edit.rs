//! Changes to one part of a JSON text; every other byte stays as it was.

use std::ops::Range;

/// The range of `part` in `whole`, of which it is a slice.
pub(crate) fn range_of(part: &str, whole: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// `whole` with `replacement` instead of `part`, which is a slice of it.
pub(crate) fn replace(whole: &str, part: &str, replacement: &str) -> String {
    let Range { start, end } = range_of(part, whole);
    [&whole[..start], replacement, &whole[end..]].concat()
}

/// A JSON object with another member, which comes first. `name` is text, `value` is JSON.
pub(crate) fn insert_member(object: &str, name: &str, value: &str) -> String {
    let name = serde_json::Value::from(name);
    let rest = object.trim_start().strip_prefix('{').unwrap_or(object);
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{{{name}:{value}{comma}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_changes() {
        let whole = r#"{"a": 1e400, "b":[ ] }"#;
        assert_eq!(replace(whole, &whole[13..16], "\"c\""), r#"{"a": 1e400, "c":[ ] }"#);
        assert_eq!(insert_member(whole, "x", "2"), r#"{"x":2,"a": 1e400, "b":[ ] }"#);
        assert_eq!(insert_member("{ }", "x", "2"), r#"{"x":2 }"#);
        assert_eq!(insert_member("{}", "x\"", "2"), r#"{"x\"":2}"#);
    }
}
