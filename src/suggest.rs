//! Suggestions for mistakes: the known name nearest to an unknown one, values that were not expanded or unquoted, and names in
//! suggested commands.

/// The name most similar to `word`, if one is similar enough. Of several, one that begins as `word` does: the first character
/// is rarely mistyped.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let begins_otherwise = |name: &str| name.chars().next() != word.chars().next();
    let near = names.into_iter().map(|name| (distance(word, name), begins_otherwise(name), name));
    near.filter(|(distance, _, name)| is_near(*distance, word, name)).min().map(|(.., name)| name)
}

/// Whether the distance is small for the length of the name, or `word` is a prefix. A single character is similar to nothing.
fn is_near(distance: usize, word: &str, name: &str) -> bool {
    let is_typo = distance <= 1 + name.len() / 4 && distance < name.len();
    is_typo || (word.len() > 2 && name.starts_with(word))
}

/// The number of characters to insert, remove or replace, and of neighbours to swap (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let (mut row_before, mut row) = (Vec::new(), (0..=to.len()).collect::<Vec<usize>>());
    let mut before = None;
    for character in from.chars() {
        let mut next = vec![row[0] + 1];
        for (j, other) in to.iter().enumerate() {
            let replaced = row[j] + usize::from(character != *other);
            let fewest = replaced.min(next[j] + 1).min(row[j + 1] + 1);
            let is_swapped = j > 0 && before == Some(*other) && character == to[j - 1];
            next.push(if is_swapped { fewest.min(row_before[j - 1] + 1) } else { fewest });
        }
        row_before = std::mem::replace(&mut row, next);
        before = Some(character);
    }
    row[to.len()]
}

/// The flaw of a value that should have been expanded or unquoted before, phrased to follow the name of its setting.
pub(crate) fn flaw(value: &str) -> Option<&'static str> {
    if is_placeholder(value) {
        return Some("contains a placeholder such as ${…} that was not replaced");
    }
    (value.starts_with(QUOTES) && value.chars().count() > 1)
        .then_some("begins with a quote, which becomes part of the value")
}

/// The flaw of an option's value. `"C:\new\team"` in JSON is a path with a line break and a tab, and looks right in messages,
/// which escape them. In `cmd.exe`, a backslash at the end of a value keeps the quote after it.
pub(crate) fn flaw_of_option(value: &str) -> Option<&'static str> {
    let is_escaped = value.contains(['\n', '\t', '\r', '\u{8}', '\u{c}']);
    let is_url = value.starts_with("http://") || value.starts_with("https://");
    match flaw(value) {
        None if is_escaped => {
            Some("contains a line break or a tab; in JSON, write each backslash twice")
        }
        None if is_url && value.contains(['"', '\\']) => {
            Some("contains a quote or a backslash, which does not belong in a URL")
        }
        found => found,
    }
}

/// The flaw of a key id, a secret key or a token, none of which contains a quote.
pub(crate) fn flaw_of_key(value: &str) -> Option<&'static str> {
    let holds_quote = || value.contains(QUOTES);
    flaw(value)
        .or_else(|| holds_quote().then_some("contains a quote, which becomes part of the value"))
}

/// Quotes of shells, and those that editors and web pages make of them.
pub(crate) const QUOTES: [char; 7] =
    ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];

/// Whether a value holds a variable in the syntax of shells, editors, pipelines or templates, or an example's placeholder.
fn is_placeholder(value: &str) -> bool {
    let holds = |start: &str, end: &str| {
        value.split_once(start).is_some_and(|(_, rest)| rest.contains(end))
    };
    let enclosed = |start: &str, end: &str| value.strip_prefix(start)?.strip_suffix(end);
    let begins_name = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = |text: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:.".contains(&byte);
        text.bytes().all(is_plain) && text.starts_with(begins_name)
    };
    value.contains("${")
        || holds("{{", "}}")
        || holds("$(", ")")
        || holds("#{", "}")
        || value.strip_prefix('%').and_then(|rest| rest.split_once('%')).is_some_and(
            |(name, rest)| is_name(name) && (rest.is_empty() || rest.starts_with(['\\', '/'])),
        )
        || value.strip_prefix('$').is_some_and(|name| name.starts_with(begins_name))
        || enclosed("{", "}").is_some_and(is_name)
        || enclosed("<", ">").is_some()
        || (value.contains("://") && (holds("<", ">") || holds("/{", "}")))
        || enclosed("[[", "]]").is_some()
        || enclosed("%(", ")s").is_some()
        || value.starts_with("op://")
        || value.get(..5).is_some_and(|start| {
            start.eq_ignore_ascii_case("your_") || start.eq_ignore_ascii_case("your-")
        })
}

/// Quotes a text, if necessary, so that a shell reads it as one word: `sh`; on Windows `cmd` and PowerShell, or PowerShell
/// alone for what `cmd` cannot quote.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain =
        |c: char| c.is_alphanumeric() || "_-./:@%+".contains(c) || cfg!(windows) && c == '\\';
    if text.chars().all(is_plain) {
        text.to_owned()
    } else if !cfg!(windows) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else if text.contains(['"', '$', '`', '%']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names() {
        for (word, expected) in [
            ("wrok", Some("work")),
            ("pord", Some("prod")),
            ("wird", Some("word")),
            ("worl", Some("word")),
            ("defualt", Some("default")),
            ("defa", Some("default")),
            ("dev2", Some("dev")),
            ("zzz", None),
            ("y", None),
            ("", None),
        ] {
            assert_eq!(
                nearest(word, ["default", "dev", "prod", "word", "work", "x"]),
                expected,
                "{word}"
            );
        }
    }

    #[test]
    fn unexpanded_placeholders() {
        for value in [
            "${AWS_ACCESS_KEY_ID}",
            "${env:AWS_ACCESS_KEY_ID}",
            "${input:secret}",
            "${SECRET:-none}",
            "AKIA${SUFFIX}",
            "${CUT_OFF",
            "[[KEY]]",
            "%(KEY)s",
            "${{ secrets.KEY }}",
            "{{ key }}",
            "{env:AWS_REGION}",
            "$AWS_ACCESS_KEY_ID",
            "$env:AWS_ACCESS_KEY_ID",
            "$HOME/.aws/config",
            "$(pass aws)",
            "#{Key}",
            "%AWS_ACCESS_KEY_ID%",
            "%USERPROFILE%\\.aws\\config",
            "<your key>",
            "https://<api-id>.execute-api.us-east-1.amazonaws.com/",
            "https://{api_id}.execute-api.us-east-1.amazonaws.com/",
            "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/{encoded_arn}/invocations",
            "YOUR_ACCESS_KEY_ID",
            "op://vault/aws/key",
        ] {
            assert!(flaw(value).is_some_and(|flaw| flaw.contains("placeholder")), "{value}");
        }
    }

    #[test]
    fn unremoved_quotes() {
        for value in ["\"AKIA\"", "'AKIA'", "`AKIA`", "\u{201c}AKIA\u{201d}", "'half"] {
            assert!(flaw(value).is_some_and(|flaw| flaw.contains("quote")), "{value}");
        }
        for value in ["\\\"AKIA\\\"", "AKIA\"", "AKIA'", "AKIA\u{201d}"] {
            assert_eq!(flaw(value), None, "{value}");
            assert!(flaw_of_key(value).is_some_and(|flaw| flaw.contains("quote")), "{value}");
        }
    }

    #[test]
    fn characters_that_a_shell_left_in_a_url() {
        for value in
            ["https://a.example/mcp\"", r"https://a.example\prod\mcp", r"https://a.example/b\"]
        {
            assert!(flaw_of_option(value).is_some_and(|flaw| flaw.contains("URL")), "{value}");
        }
        for value in ["https://a.example/it's?b=(c)", r"C:\ca.pem", r#"note="https://a.example""#] {
            assert_eq!(flaw_of_option(value), None, "{value}");
        }
    }

    #[test]
    fn ordinary_values() {
        for value in [
            "",
            "'",
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY=",
            "IQoJb3JpZ2luX2VjEO%2F%3D",
            "https://a.example/x%20y?b={c}&d=$e",
            "$",
            "100%",
            "%a%20b",
            "%20a%20",
            "us-east-1",
            "{\"a\":1}",
            "read_*",
            "it's",
        ] {
            assert_eq!(flaw(value), None, "{value}");
        }
    }

    #[test]
    fn names_in_commands_are_single_words() {
        let of_system = |unix, windows| if cfg!(windows) { windows } else { unix };
        for (name, word) in [
            ("dev-1_a.b/c@d", "dev-1_a.b/c@d"),
            ("my team", of_system("'my team'", r#""my team""#)),
            ("$(rm)", "'$(rm)'"),
            ("a'b", of_system(r"'a'\''b'", r#""a'b""#)),
            ("$a'b", of_system(r"'$a'\''b'", "'$a''b'")),
            (r"C:\a", of_system(r"'C:\a'", r"C:\a")),
        ] {
            assert_eq!(shell_word(name), word);
        }
    }
}
