//! Text that can be sent as the value of a header.

use crate::error::{Error, Kind};
use crate::suggest::flaw_of_key;

/// Checks the key id or token in the setting of this name.
///
/// # Errors
/// It cannot be sent.
pub(crate) fn check_setting(name: &str, value: &str) -> Result<(), Error> {
    if is_header_value(value) {
        return Ok(());
    }
    let what = format!("{name} contains a character that cannot be sent");
    let error = Error::new(Kind::Credentials, what);
    Err(match flaw_of_key(value) {
        Some(flaw) => error.hint(format!("{name} {flaw}")),
        None => error,
    })
}

/// Whether a text is printable ASCII: anything else is refused by servers, and a line break would begin another header.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_tabs_and_other_alphabets_are_refused() {
        assert!(is_header_value("AKIA/+=-_. x"));
        for bad in ["a\r\nb", "a\tb", "ä", "\u{7f}"] {
            assert!(!is_header_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_quotes_of_a_web_page_are_named() {
        assert!(check_setting("KEY", "\"AKIA\"").is_ok());
        let error = check_setting("KEY", "\u{201c}AKIA\u{201d}").unwrap_err().to_string();
        let expected = "KEY contains a character that cannot be sent (KEY begins with a quote, which becomes part of the value)";
        assert_eq!(error, expected);
        assert_eq!(check_setting("KEY", "a\tb").unwrap_err().hint_text(), None);
    }
}
