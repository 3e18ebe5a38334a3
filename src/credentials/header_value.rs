//! Text that can be sent as the value of a header.

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
}
