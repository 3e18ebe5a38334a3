//! Names in commands and section headers that hints suggest: the name of a profile is any text.

/// Quotes a text, if necessary, so that a shell reads it as one word.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:@%+".contains(c);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_commands_are_single_words() {
        for (name, word) in [
            ("dev-1_a.b/c@d", "dev-1_a.b/c@d"),
            ("my team", "'my team'"),
            ("$(rm)", "'$(rm)'"),
            ("a'b", r"'a'\''b'"),
        ] {
            assert_eq!(shell_word(name), word);
        }
    }
}
