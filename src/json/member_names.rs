//! Names of members that every JSON parser reads alike. Pure.
//!
//! Of two members of one name some parsers take the first and some the last; Go's `encoding/json` matches names without
//! regard to case, by Unicode's simple case folding, so that `"Name"` and `"paramſ"` are read as `name` and `params`.
//! What one parser checks, another would run: where it matters, such objects are not read at all.

use crate::json::edit::Members;
use std::borrow::Cow;
use std::collections::HashSet;

/// Reads an object. The error says why it can be read in more than one way: it is not an object, two of its names are
/// equal after case folding, or one is equal to an `expected` name only after it.
pub(crate) fn unambiguous<'a>(text: &'a str, expected: &[&str]) -> Result<Members<'a>, String> {
    let Some(members) = Members::of(text) else { return Err("it is not a JSON object".into()) };
    let mut seen = HashSet::with_capacity(members.0.len());
    for (name, _) in &members.0 {
        if let Some(meant) = expected.iter().find(|expected| is_like(name, expected)) {
            return Err(format!("some JSON parsers read its member {name:?} as {meant:?}"));
        }
        if !seen.insert(folded(name)) {
            return Err(format!("it has two members that some JSON parsers read as {name:?}"));
        }
    }
    Ok(members)
}

/// Whether `name` is `other` for parsers that fold case, and is not `other`.
pub(crate) fn is_like(name: &str, other: &str) -> bool {
    name != other && is_folded_to(name, other)
}

/// Whether both names are one for parsers that fold case.
pub(crate) fn is_folded_to(name: &str, other: &str) -> bool {
    name.chars().map(fold).eq(other.chars().map(fold))
}

fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.chars().map(fold).collect())
    }
}

/// One character for all that Unicode's simple case folding takes for the same.
fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    // Alone among the letters, ı has an upper-case letter (I) that does not fold to it.
    if c == 'ı' {
        return c;
    }
    let upper = only(c.to_uppercase()).unwrap_or(c);
    only(upper.to_lowercase()).unwrap_or(upper)
}

fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_fold_to_one_another() {
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
            assert_eq!(is_folded_to(one, other), expected, "{one} {other}");
            assert_eq!(folded(one) == folded(other), expected, "{one} {other}");
        }
        let to_ascii: String = ('\u{80}'..=char::MAX).filter(|c| fold(*c).is_ascii()).collect();
        assert_eq!(to_ascii, "\u{17f}\u{212a}");
    }

    #[test]
    fn objects_that_are_read_alike() {
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
