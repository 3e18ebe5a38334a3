//! `IdScan`: the id of a message that is too large to keep, for its error response.

/// Maximum length of an id; a longer one is ignored.
const MAX_ID_BYTES: usize = 1024;

/// Reads a JSON object piece by piece and keeps only the value of its top-level `"id"`.
#[derive(Debug, Default)]
pub(crate) struct IdScan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The current or last string at depth 1.
    text: Vec<u8>,
    /// The value of `"id"` follows.
    at_id: bool,
    value: Vec<u8>,
}

impl IdScan {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.take(byte);
        }
    }

    /// The id in its raw JSON spelling, if there was one.
    pub(crate) fn id(self) -> Option<String> {
        let value = String::from_utf8(self.value).ok()?;
        let value = value.trim();
        (!value.is_empty() && value.len() <= MAX_ID_BYTES).then(|| value.to_owned())
    }

    fn take(&mut self, byte: u8) {
        let at_top = self.depth == 1;
        if self.at_id
            && at_top
            && (self.in_string || !matches!(byte, b',' | b'}'))
            && self.value.len() <= MAX_ID_BYTES
        {
            self.value.push(byte);
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ if at_top && self.text.len() <= 2 => self.text.push(byte),
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.text.clear();
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if at_top && self.text == b"id" && self.value.is_empty() => self.at_id = true,
            b',' if at_top => self.at_id = false,
            _ => {}
        }
        if self.depth == 0 {
            self.at_id = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_own_id_is_found_wherever_it_stands() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#, Some("7")),
            (
                r#"{"params":{"id":1,"a":["id",{"id":2}]},"x":"\"id\":3","id" : "a\",}b" , "z":1}"#,
                Some(r#""a\",}b""#),
            ),
            (r#"{"method":"id","id":-1}"#, Some("-1")),
            (r#"{"method":"x","params":{"id":1}}"#, None),
            (r#"{"x":"id","y":2}"#, None),
            ("not json", None),
            ("", None),
        ] {
            for piece in [1, 3, text.len().max(1)] {
                let mut scan = IdScan::default();
                text.as_bytes().chunks(piece).for_each(|chunk| scan.feed(chunk));
                assert_eq!(scan.id().as_deref(), id, "{text}");
            }
        }
    }
}
