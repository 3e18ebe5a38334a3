//! `Scan`: what a message that is too large to keep is, and its id, so that a request gets an error.

use crate::mcp::id::Id;
use serde_json::value::RawValue;

/// Maximum length of an id; a longer one is ignored.
const MAX_ID_BYTES: usize = 1024;

/// A message that is too large, and what is known of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Oversized {
    /// Also what cannot be told, such as a batch.
    Request(Option<Id>),
    Response(Option<Id>),
    Notification,
}

/// Reads a JSON object piece by piece and keeps only the value of its top-level `"id"`, and which members it has.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a parser is in several states at once")]
pub(crate) struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The current or last string at depth 1.
    text: Vec<u8>,
    /// The value of `text` follows.
    at_value: bool,
    /// The value of `"id"` follows.
    at_id: bool,
    id: Vec<u8>,
    has_method: bool,
    has_result_or_error: bool,
}

impl Scan {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.take(byte);
        }
    }

    /// What the message is, when all of it was read.
    pub(crate) fn message(self) -> Oversized {
        let json = self.id.trim_ascii();
        let has_id = !json.is_empty() && json != b"null";
        let id = Some(json).filter(|json| json.len() <= MAX_ID_BYTES);
        let id = id.and_then(|json| serde_json::from_slice::<&RawValue>(json).ok());
        let id = id.and_then(|json| Id::from_json(json.get()));
        match (self.has_method, self.has_result_or_error) {
            (true, _) if !has_id => Oversized::Notification,
            (false, true) => Oversized::Response(id),
            _ => Oversized::Request(id),
        }
    }

    fn take(&mut self, byte: u8) {
        let at_top = self.depth == 1;
        if self.at_value && !byte.is_ascii_whitespace() {
            self.at_value = false;
            // Only `null` begins so, which some clients write for what is absent.
            let is_present = byte != b'n';
            match &*self.text {
                b"method" => self.has_method |= is_present,
                b"result" | b"error" => self.has_result_or_error |= is_present,
                _ => {}
            }
        }
        if self.at_id
            && at_top
            && (self.in_string || !matches!(byte, b',' | b'}'))
            && self.id.len() <= MAX_ID_BYTES
        {
            self.id.push(byte);
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ if at_top && self.text.len() <= "method".len() => self.text.push(byte),
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
            b':' if at_top => {
                self.at_value = true;
                self.at_id = self.text == b"id" && self.id.is_empty();
            }
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
    fn a_message_is_known_by_its_own_members_wherever_they_stand() {
        let id = |json: &str| Some(Id::from_json(json).expect("an id"));
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#, Oversized::Request(id("7"))),
            (
                r#"{"params":{"id":1,"result":2,"a":["id",{"id":2}]},"method":"y","x":"\"id\":3","id" : "a\",}b" , "z":1}"#,
                Oversized::Request(id(r#""a\",}b""#)),
            ),
            (r#"{"method":"id","id":-1,"error" : null}"#, Oversized::Request(id("-1"))),
            (r#"{"method":"x","params":{"id":1}}"#, Oversized::Notification),
            (r#"{"id": null, "params":{"id":1},"method":"x"}"#, Oversized::Notification),
            (r#"{"id":[1],"method":"x"}"#, Oversized::Request(None)),
            (r#"{"result":{"method":"x"},"id":"5"}"#, Oversized::Response(id(r#""5""#))),
            (r#"{"id":5,"error": {"code":1},"method":null}"#, Oversized::Response(id("5"))),
            (r#"{"error":{}}"#, Oversized::Response(None)),
            (r#"{"id":5,"x":"result","methods":1}"#, Oversized::Request(id("5"))),
            (r#"[{"id":1,"result":{}}]"#, Oversized::Request(None)),
            (r#"{"x":"id","y":2}"#, Oversized::Request(None)),
            ("not json", Oversized::Request(None)),
            ("", Oversized::Request(None)),
        ] {
            for piece in [1, 3, text.len().max(1)] {
                let mut scan = Scan::default();
                text.as_bytes().chunks(piece).for_each(|chunk| scan.feed(chunk));
                assert_eq!(scan.message(), expected, "{text}");
            }
        }
    }
}
