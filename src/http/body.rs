//! `ResponseBody`: a body that is read as it arrives, and whose kind shows in its beginning. Servers name a wrong type for
//! it, or none.

use crate::http::content_coding::UnrequestedCoding;
use std::io::{self, Read};
use std::ops::Range;
use ureq::BodyReader;

/// Number of bytes in which the kind must show.
const BEGINNING_BYTES: usize = 64;

/// Some servers send one first.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The fields of an event stream.
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

/// What a body is, by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// Nothing but whitespace.
    Empty,
    /// An object or an array.
    Json,
    EventStream,
    /// HTML or XML.
    Markup,
    Other,
}

pub(crate) struct ResponseBody {
    reader: BodyReader<'static>,
    /// What was read to learn the kind.
    beginning: [u8; BEGINNING_BYTES],
    unread: Range<usize>,
    /// Why it cannot be read at all.
    coding: Option<UnrequestedCoding>,
}

impl ResponseBody {
    pub(crate) fn new(
        reader: BodyReader<'static>,
        coding: Option<UnrequestedCoding>,
    ) -> ResponseBody {
        ResponseBody { reader, beginning: [0; BEGINNING_BYTES], unread: 0..0, coding }
    }

    /// Fails if the body is encoded, as every read does.
    pub(crate) fn check_coding(&self) -> io::Result<()> {
        self.coding.clone().map_or(Ok(()), |coding| Err(io::Error::other(coding)))
    }

    /// The kind of a body of which nothing was read. Waits for its first bytes.
    pub(crate) fn kind(&mut self) -> io::Result<BodyKind> {
        self.check_coding()?;
        loop {
            let (known, free) = self.beginning.split_at_mut(self.unread.end);
            if let Some(kind) = kind_of(known) {
                return Ok(kind);
            }
            if free.is_empty() {
                return Ok(BodyKind::Other);
            }
            match self.reader.read(free) {
                Ok(0) if known.iter().all(u8::is_ascii_whitespace) => return Ok(BodyKind::Empty),
                Ok(0) => return Ok(BodyKind::Other),
                Ok(count) => self.unread.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The body without what was read already.
    pub(crate) fn into_reader(self) -> BodyReader<'static> {
        self.reader
    }
}

impl Read for ResponseBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.check_coding()?;
            return self.reader.read(into);
        }
        let count = (&self.beginning[self.unread.clone()]).read(into)?;
        self.unread.start += count;
        Ok(count)
    }
}

/// `None`: more bytes are needed.
fn kind_of(beginning: &[u8]) -> Option<BodyKind> {
    if beginning.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(beginning) {
        return None;
    }
    let text = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning).trim_ascii_start();
    match text.first()? {
        b'{' | b'[' => Some(BodyKind::Json),
        b'<' => Some(BodyKind::Markup),
        b':' => Some(BodyKind::EventStream),
        _ => kind_by_field(text),
    }
}

fn kind_by_field(text: &[u8]) -> Option<BodyKind> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, after) = (&text[..length], text.get(length));
    match after {
        Some(b':' | b'\n' | b'\r') if FIELDS.contains(&word) => Some(BodyKind::EventStream),
        None if FIELDS.iter().any(|field| field.starts_with(word)) => None,
        _ => Some(BodyKind::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_shows_in_the_beginning() {
        for (body, expected) in [
            (r#"{"jsonrpc""#, Some(BodyKind::Json)),
            ("\u{feff} \r\n\t[{", Some(BodyKind::Json)),
            (": hello", Some(BodyKind::EventStream)),
            ("data: {", Some(BodyKind::EventStream)),
            ("\u{feff}data:{", Some(BodyKind::EventStream)),
            ("\n\nevent: message", Some(BodyKind::EventStream)),
            ("id\n", Some(BodyKind::EventStream)),
            ("retry:5", Some(BodyKind::EventStream)),
            ("<!DOCTYPE html>", Some(BodyKind::Markup)),
            (" <?xml", Some(BodyKind::Markup)),
            ("null", Some(BodyKind::Other)),
            ("dataset: x", Some(BodyKind::Other)),
            ("identity", Some(BodyKind::Other)),
            ("idea", Some(BodyKind::Other)),
            ("id =", Some(BodyKind::Other)),
            ("\u{1f}\u{8b}", Some(BodyKind::Other)),
            ("Unauthorized", Some(BodyKind::Other)),
            ("", None),
            ("  \n", None),
            ("\u{feff}", None),
            ("dat", None),
            ("id", None),
        ] {
            assert_eq!(kind_of(body.as_bytes()), expected, "{body:?}");
        }
        assert_eq!(kind_of(b"\xef\xbb"), None);
    }
}
