//! Changes to a JSON text: one, by a function, or several, by `Edits`. Every other byte stays as it was.

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
    let mut edits = Edits::new(object);
    edits.change_members(object, cut, "");
    (!edits.changes.is_empty()).then(|| edits.finish())
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

/// Changes to a text. No two may overlap.
pub(crate) struct Edits<'a> {
    whole: &'a str,
    changes: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(crate) fn new(whole: &'a str) -> Edits<'a> {
        Edits { whole, changes: Vec::new() }
    }

    /// Writes `replacement` in place of `part`, which is a slice of the text.
    pub(crate) fn replace(&mut self, part: &str, replacement: impl Into<String>) {
        self.changes.push((range_of(part, self.whole), replacement.into()));
    }

    /// Writes text before and after `part`, which is a slice of the text.
    pub(crate) fn surround(&mut self, part: &str, before: impl Into<String>, after: &str) {
        let Range { start, end } = range_of(part, self.whole);
        self.changes.push((start..start, before.into()));
        self.changes.push((end..end, after.to_owned()));
    }

    /// Removes all members with these names from `object`, a slice of the text, and adds `added`: members without braces,
    /// which come first.
    pub(crate) fn change_members(
        &mut self,
        object: &'a str,
        is_removed: impl Fn(&str) -> bool,
        added: &str,
    ) {
        let Some(members) = Object::parse(object) else { return };
        let offset = range_of(object, self.whole).start;
        let inside = offset + object.find('{').map_or(object.len(), |brace| brace + 1);
        let mut end = inside;
        let (mut any_before, mut any_kept) = (false, false);
        for (name, value) in members.members() {
            // From the comma before the name to the end of the value.
            let start = end;
            end = range_of(value.get(), self.whole).end;
            if is_removed(name) {
                self.changes.push((start..end, String::new()));
            } else {
                if any_before && !any_kept {
                    let comma = start + self.whole[start..end].find(',').unwrap_or_default();
                    self.changes.push((start..comma + 1, String::new()));
                }
                any_kept = true;
            }
            any_before = true;
        }
        if !added.is_empty() {
            let comma = if any_kept { "," } else { "" };
            self.changes.push((inside..inside, format!("{added}{comma}")));
        }
    }

    /// The text with all changes.
    pub(crate) fn finish(mut self) -> String {
        // Stable: an insertion comes before what is removed at the same place.
        self.changes.sort_by_key(|(range, _)| (range.start, range.end));
        let added: usize = self.changes.iter().map(|(_, text)| text.len()).sum();
        let mut text = String::with_capacity(self.whole.len() + added);
        let mut copied = 0;
        for (range, replacement) in self.changes {
            debug_assert!(copied <= range.start, "changes overlap");
            if range.start < copied {
                continue;
            }
            text.push_str(&self.whole[copied..range.start]);
            text.push_str(&replacement);
            copied = range.end;
        }
        text.push_str(&self.whole[copied..]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    fn without(text: &str, names: &[&str], added: &str) -> String {
        let mut edits = Edits::new(text);
        edits.change_members(text, |name| names.contains(&name), added);
        edits.finish()
    }

    #[test]
    fn members_go_with_one_comma() {
        let text = r#" { "a" : 1.0 , "b\n":[ ] ,"c" :"x"} "#;
        for (names, expected) in [
            (&["a"][..], r#" { "b\n":[ ] ,"c" :"x"} "#),
            (&["b\n"], r#" { "a" : 1.0 ,"c" :"x"} "#),
            (&["c"], r#" { "a" : 1.0 , "b\n":[ ]} "#),
            (&["a", "b\n"], r#" {"c" :"x"} "#),
            (&["b\n", "c"], r#" { "a" : 1.0} "#),
            (&["a", "c"], r#" { "b\n":[ ]} "#),
            (&["a", "b\n", "c"], " {} "),
            (&["d"], text),
        ] {
            assert_eq!(without(text, names, ""), expected, "{names:?}");
        }
    }

    #[test]
    fn members_are_added_first() {
        for (text, names, expected) in [
            ("{}", &[][..], r#"{"n":1}"#),
            (r#"{ "a":2}"#, &[], r#"{"n":1, "a":2}"#),
            (r#"{"a":2}"#, &["a"], r#"{"n":1}"#),
            (r#"{"n":0,"a":2,"n":3}"#, &["n"], r#"{"n":1,"a":2}"#),
        ] {
            assert_eq!(without(text, names, r#""n":1"#), expected, "{text}");
        }
    }

    #[test]
    fn parts_at_several_depths_change() {
        let text = r#"{"id":7,"params":{"_meta":{"x":1},"y":1e400}}"#;
        let mut edits = Edits::new(text);
        let params = Object::parse(text).and_then(|all| all.get("params")).expect("it is there");
        let meta = Object::parse(params.get()).and_then(|all| all.get("_meta")).expect("so is it");
        edits.change_members(meta.get(), |name| name == "x", r#""z":0"#);
        edits.change_members(params.get(), |_| false, r#""w":[]"#);
        edits.replace(&text[6..7], "\"q\"");
        assert_eq!(edits.finish(), r#"{"id":"q","params":{"w":[],"_meta":{"z":0},"y":1e400}}"#);
    }

    proptest! {
        #[test]
        fn unchanged_parts_stay_unchanged(
            members in prop::collection::vec(("[a-e]", 0..9_u8, "[ \t]{0,2}"), 0..8),
            removed in prop::collection::vec("[a-e]", 0..4),
            added: bool,
        ) {
            let written: Vec<String> = members
                .iter()
                .map(|(name, value, space)| format!("{space}\"{name}\"{space}:{value}{space}"))
                .collect();
            let text = format!("{{{}}}", written.join(","));
            let names: Vec<&str> = removed.iter().map(String::as_str).collect();
            let changed = without(&text, &names, if added { "\"n\":9" } else { "" });
            let of = |text: &str| -> Vec<(String, String)> {
                let object = Object::parse(text).expect("an object");
                let members = object.members();
                members.map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect()
            };
            let mut expected = of(&text);
            expected.retain(|(name, _)| !names.contains(&name.as_str()));
            if added {
                expected.insert(0, ("n".into(), "9".into()));
            }
            prop_assert_eq!(of(&changed), expected);
        }
    }
}
