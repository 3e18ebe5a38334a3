//! Member names that every JSON parser reads alike.
//!
//! Of two members with the same name some parsers take the first and some the last; Go's `encoding/json` ignores case by
//! Unicode's simple case folding, so that it reads `"Name"` and `"paramſ"` as `name` and `params`. The server would then
//! run something other than what was checked here, so such objects are refused where it matters.

use crate::json::object::Object;
use std::borrow::Cow;
use std::collections::HashSet;

/// Parses an object that every parser reads alike.
///
/// # Errors
/// Says why not: it is not an object, or as `check`.
pub(crate) fn unambiguous<'a>(text: &'a str, expected: &[&str]) -> Result<Object<'a>, String> {
    let object = Object::parse(text).ok_or("it is not a JSON object")?;
    check(&object, expected)?;
    Ok(object)
}

/// Whether every parser reads the members of this object alike.
///
/// # Errors
/// Says why not: two of its names are equal after case folding, or a name is equal to one of `expected` only after case
/// folding.
pub(crate) fn check(object: &Object<'_>, expected: &[&str]) -> Result<(), String> {
    let mut seen = HashSet::with_capacity(object.members().len());
    for (name, _) in object.members() {
        if let Some(meant) = expected.iter().find(|expected| is_variant_of(name, expected)) {
            return Err(format!("some JSON parsers read its member {name:?} as {meant:?}"));
        }
        if !seen.insert(folded(name)) {
            return Err(format!("it has two members that some JSON parsers read as {name:?}"));
        }
    }
    Ok(())
}

/// Whether `name` differs from `other`, but not for parsers that fold case.
pub(crate) fn is_variant_of(name: &str, other: &str) -> bool {
    name != other && equals_folded(name, other)
}

/// Whether parsers that fold case take both names for the same.
pub(crate) fn equals_folded(name: &str, other: &str) -> bool {
    name.chars().map(fold).eq(other.chars().map(fold))
}

fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.chars().map(fold).collect())
    }
}

/// A character that is the same for all characters that Unicode's simple case folding equates.
fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    // ı is the only letter whose upper-case letter (I) does not fold back to it.
    if c == 'ı' {
        return c;
    }
    let upper = single(c.to_uppercase()).unwrap_or(c);
    single(upper.to_lowercase()).unwrap_or(upper)
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_folding() {
        for (one, other) in [
            ("name", "NAME"),
            ("params", "param\u{17f}"),
            ("tasKId", "ta\u{17f}\u{212a}id"),
            ("größe", "GRÖSSE"),
            ("größe", "GRÖẞE"),
            ("σς", "ΣΣ"),
            ("µ", "μ"),
            ("ǆ", "ǅ"),
            ("ᾳ", "ᾼ"),
            ("Ω", "Ω"),
            ("ა", "Ა"),
            ("ꭰ", "Ꭰ"),
            ("ıd", "id"),
            ("İd", "id"),
            ("id ", "id"),
        ] {
            let expected = !matches!((one, other), ("größe", "GRÖSSE") | ("ıd" | "İd" | "id ", _));
            assert_eq!(equals_folded(one, other), expected, "{one} {other}");
            assert_eq!(folded(one) == folded(other), expected, "{one} {other}");
        }
        let to_ascii: String = ('\u{80}'..=char::MAX).filter(|c| fold(*c).is_ascii()).collect();
        assert_eq!(to_ascii, "\u{17f}\u{212a}");
    }

    #[test]
    fn unambiguous_objects() {
        for (text, is_one) in [
            (r#"{"name":1,"other":2}"#, true),
            (r#"{"n\u0061me":1}"#, true),
            (r#"{"ab":{"Name":1,"name":1}}"#, true),
            (r#"{"name":1,"n\u0061me":2}"#, false),
            (r#"{"name":1,"Name":2}"#, false),
            (r#"{"nam\u0045":1}"#, false),
            (r#"{"x":1,"X":2}"#, false),
            (r#"{"ö":1,"Ö":2}"#, false),
            (r#"["name"]"#, false),
            (r#"{"\ud800":1}"#, false),
            ("null", false),
        ] {
            assert_eq!(unambiguous(text, &["name"]).is_ok(), is_one, "{text}");
        }
    }
}
