//! The header of a section: `[profile NAME]` → its kind and name. Names are quoted as in a shell, since `aws configure`
//! writes them so: `[profile 'my team']`.

use std::borrow::Cow;

/// The two files name their sections differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `[default]`, `[profile NAME]`, `[sso-session NAME]`, `[services NAME]`.
    Config,
    /// `[NAME]`: every section is a profile, and quotes are part of its name.
    Credentials,
}

/// The kind of a section that would be a profile in the other file.
pub(crate) const MISNAMED: &str = "misnamed";

/// Reads a line that begins with `[`: the kind of the section and its name, which is empty if the section has none.
///
/// # Errors
/// The header is never closed.
pub(crate) fn parse(
    line: &str,
    dialect: Dialect,
) -> Result<(&'static str, Cow<'_, str>), &'static str> {
    let rest = &line[1..];
    let end = match dialect {
        // If a quote is never closed, quotes are part of the name.
        Dialect::Config => closing_bracket(rest, true).or_else(|| closing_bracket(rest, false)),
        Dialect::Credentials => closing_bracket(rest, false),
    };
    let inside = rest[..end.ok_or("a section header lacks its closing ]")?].trim();
    let (word, name) = inside.split_once(WHITESPACE).unwrap_or((inside, ""));
    let name = unquoted(name);
    Ok(match (dialect, word) {
        (Dialect::Config, "default") if name.is_empty() => ("bare", "default".into()),
        (Dialect::Config, "profile") => ("profile", name),
        (Dialect::Config, "services") => ("services", name),
        (Dialect::Config, "sso-session") => ("sso-session", name),
        (Dialect::Credentials, "profile") if !name.is_empty() => (MISNAMED, name),
        (Dialect::Config, _) => (MISNAMED, unquoted(inside)),
        (Dialect::Credentials, _) => ("profile", inside.into()),
    })
}

const WHITESPACE: [char; 2] = [' ', '\t'];

/// The position of the closing bracket: the first `]` that white space or a comment follows, otherwise the last one, since
/// names may contain `]`. Text after it is ignored.
fn closing_bracket(rest: &str, heeds_quotes: bool) -> Option<usize> {
    let (mut quote, mut is_escaped, mut last) = (None, false, None);
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') if heeds_quotes => is_escaped = true,
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') if heeds_quotes => quote = Some(c),
            (None, ']') => {
                let after = &rest[at + 1..];
                if after.is_empty() || after.starts_with([' ', '\t', '#', ';']) {
                    return Some(at);
                }
                last = Some(at);
            }
            _ => {}
        }
    }
    last
}

/// The name as a shell would read it; the unchanged text if a shell would read several words or report an error.
fn unquoted(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let is_plain = !text.contains(['\'', '"', '\\']);
    let word = if is_plain { None } else { single_word(text) };
    word.map_or(text.into(), Cow::Owned)
}

/// The text without its POSIX quoting; `None` if it is not exactly one word.
fn single_word(text: &str) -> Option<String> {
    let (mut word, mut quote) = (String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, ' ' | '\t') => return None,
            (None, '\\') => word.push(chars.next()?),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (Some('"'), '\\') => match chars.next()? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            _ => word.push(c),
        }
    }
    quote.is_none().then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(line: &str, dialect: Dialect) -> String {
        match parse(line, dialect) {
            Ok((word, name)) => format!("{word} {name}"),
            Err(what) => what.to_owned(),
        }
    }

    #[test]
    fn names_are_quoted_as_in_a_shell() {
        for (line, expected) in [
            ("[profile plain]", "profile plain"),
            ("[ profile \t x ]", "profile x"),
            ("[profile 'my team']", "profile my team"),
            ("[profile \"my team\"]", "profile my team"),
            (r"[profile my\ team]", "profile my team"),
            (r#"[profile 'Bob'"'"'s team']"#, "profile Bob's team"),
            (r#"[profile "say \"hi\" \\ \n"]"#, r#"profile say "hi" \ \n"#),
            (r"[profile 'a\b'c]", r"profile a\bc"),
            (r"[profile CORP\\ann]", r"profile CORP\ann"),
            ("[profile 'two  spaces']", "profile two  spaces"),
            ("[profile 'a] b']", "profile a] b"),
            (r"[profile a\]\ b]", "profile a] b"),
            ("[profile a]b]", "profile a]b"),
            ("[profile 'default']", "profile default"),
            ("[sso-session 'my team']", "sso-session my team"),
            ("[services \"a b\"]", "services a b"),
        ] {
            assert_eq!(opened(line, Dialect::Config), expected, "{line}");
        }
    }

    #[test]
    fn text_after_the_bracket_is_ignored() {
        for (line, expected) in [
            ("[profile work] the one for work", "profile work"),
            ("[profile work]   # mine", "profile work"),
            ("[profile work];mine", "profile work"),
            ("[profile work]x", "profile work"),
            ("[profile work] # see [the page]", "profile work"),
            ("[profile 'work'] # Bob's", "profile work"),
            ("[profile team#1]", "profile team#1"),
            ("[default] # mine", "bare default"),
        ] {
            assert_eq!(opened(line, Dialect::Config), expected, "{line}");
        }
        for (line, expected) in [
            ("[work] words", "profile work"),
            ("[it's] # Bob's [old] ones", "profile it's"),
            ("[team;1]", "profile team;1"),
        ] {
            assert_eq!(opened(line, Dialect::Credentials), expected, "{line}");
        }
    }

    #[test]
    fn odd_headers_are_read_as_they_stand() {
        let open = "a section header lacks its closing ]";
        for (line, config, credentials) in [
            ("[profile 'open]", "profile 'open", "misnamed 'open"),
            ("[profile \"x]", "profile \"x", "misnamed \"x"),
            ("[profile Bob's team]", "profile Bob's team", "misnamed Bob's team"),
            (r"[profile a\]", r"profile a\", r"misnamed a\"),
            ("[profile a b c]", "profile a b c", "misnamed a b c"),
            ("[profile]", "profile ", "profile profile"),
            ("[profile '']", "profile ", "profile profile ''"),
            ("[services]", "services ", "profile services"),
            ("[]", "misnamed ", "profile "),
            ("[ ]", "misnamed ", "profile "),
            ("[dev]", "misnamed dev", "profile dev"),
            ("['my team']", "misnamed my team", "profile 'my team'"),
            ("[default x]", "misnamed default x", "profile default x"),
            ("[profile 'x'", open, open),
            ("[", open, open),
        ] {
            assert_eq!(opened(line, Dialect::Config), config, "{line}");
            assert_eq!(opened(line, Dialect::Credentials), credentials, "{line}");
        }
    }
}
