//! Names in commands and section headers that hints suggest: the name of a profile is any text.

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
