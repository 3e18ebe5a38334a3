//! Changes to one part of a JSON text; every other byte stays as it was.

use crate::json::object::Object;
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

/// A JSON object without the members whose names are `cut`; `None` if it has none of them, or is not an object.
pub(crate) fn without_members(object: &str, cut: impl Fn(&str) -> bool) -> Option<String> {
    let members = Object::parse(object)?;
    if !members.members().any(|(name, _)| cut(name)) {
        return None;
    }
    let open = object.find('{')? + 1;
    let mut rest = object[..open].to_owned();
    let mut end = open;
    for (name, value) in members.members() {
        // From the comma before the name to the end of the value.
        let member = &object[end..range_of(value.get(), object).end];
        end += member.len();
        if cut(name) {
            continue;
        }
        let without_comma = member.trim_start().strip_prefix(',').filter(|_| rest.len() == open);
        rest.push_str(without_comma.unwrap_or(member));
    }
    rest.push_str(&object[end..]);
    Some(rest)
}

/// A JSON object with this value of a member, in its old place if there is one. `value` is JSON.
pub(crate) fn with_member(object: &str, name: &str, value: &str) -> String {
    match Object::parse(object).and_then(|members| members.get(name)) {
        Some(old) => replace(object, old.get(), value),
        None => insert_member(object, name, value),
    }
}

/// A JSON object without the member of this name.
pub(crate) fn without_member(object: &str, name: &str) -> String {
    without_members(object, |known| known == name).unwrap_or_else(|| object.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_changes() {
        let whole = r#"{"a": 1e400, "b":[ ] }"#;
        assert_eq!(replace(whole, &whole[13..16], "\"c\""), r#"{"a": 1e400, "c":[ ] }"#);
        assert_eq!(insert_member(whole, "x", "2"), r#"{"x":2,"a": 1e400, "b":[ ] }"#);
        assert_eq!(with_member(whole, "b", "2"), r#"{"a": 1e400, "b":2 }"#);
        assert_eq!(with_member(whole, "x", "2"), insert_member(whole, "x", "2"));
        assert_eq!(without_member(whole, "a"), r#"{ "b":[ ] }"#);
        assert_eq!(without_member(whole, "x"), whole);
        assert_eq!(insert_member("{ }", "x", "2"), r#"{"x":2 }"#);
        assert_eq!(insert_member("{}", "x\"", "2"), r#"{"x\"":2}"#);
    }

    #[test]
    fn members_are_cut_and_the_others_keep_their_bytes() {
        let whole = r#" { "a" : 1e400 , "b":[ ], "\u0063" :{"a":2},"a":3 } "#;
        for (cut, expected) in [
            (&["a"][..], Some(r#" { "b":[ ], "\u0063" :{"a":2} } "#)),
            (&["b"], Some(r#" { "a" : 1e400, "\u0063" :{"a":2},"a":3 } "#)),
            (&["c", "a"], Some(r#" { "b":[ ] } "#)),
            (&["a", "b", "c"], Some(" { } ")),
            (&["d"], None),
        ] {
            let without = without_members(whole, |name| cut.contains(&name));
            assert_eq!(without.as_deref(), expected, "{cut:?}");
        }
        assert_eq!(without_members("[]", |_| true), None);
    }
}
