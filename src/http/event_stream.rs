//! Server-sent events (WHATWG HTML §9.2.6) from any blocking reader.
//!
//! Knows nothing of JSON-RPC. Differs from the standard in one point: a last event without its blank line counts when the
//! stream ends in order, since servers forget that line and the message would be lost.

use crate::buffer::{grown, make_room_from_spare};
use crate::error::{Error, Kind};
use std::io::{self, Read};
use std::time::Duration;

/// With its colon and space.
const MAX_FIELD_NAME_BYTES: usize = "event: ".len();

/// One event. `data` has its lines joined by `\n`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub data: Vec<u8>,
}

impl Event {
    /// Whether it carries a message; events of other names are not part of MCP.
    pub fn is_message(&self) -> bool {
        self.name.is_empty() || self.name == "message"
    }
}

/// Reads events as they arrive.
#[derive(Debug)]
pub struct EventStream<R> {
    reader: R,
    /// Puts a failed read into words.
    to_error: fn(io::Error) -> Error,
    /// Maximum size of an event's data, and of a line.
    max_bytes: usize,
    chunk: Vec<u8>,
    /// The part of `chunk` that is not parsed yet.
    unread: std::ops::Range<usize>,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    at_start: bool,
    after_carriage_return: bool,
    event: Event,
    has_data: bool,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl<R: Read> EventStream<R> {
    pub fn new(reader: R, max_bytes: usize, to_error: fn(io::Error) -> Error) -> EventStream<R> {
        EventStream {
            reader,
            to_error,
            max_bytes,
            chunk: vec![0; 16 * 1024],
            unread: 0..0,
            line: Vec::new(),
            at_start: true,
            after_carriage_return: false,
            event: Event::default(),
            has_data: false,
            last_id: None,
            retry: None,
        }
    }

    /// The next event that has data, or `None` at the end of the stream. Fails when the stream breaks.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if self.unread.is_empty() && !self.fill()? {
                let line = std::mem::take(&mut self.line);
                if !line.is_empty() {
                    self.parse_owned_line(line)?;
                }
                return Ok(self.dispatch());
            }
            if let Some(event) = self.parse_chunk()? {
                return Ok(Some(event));
            }
        }
    }

    /// The reader that events are read from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The last `id` on this stream.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server asks to wait before reconnecting.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Reads the next chunk. False at the end of the stream.
    fn fill(&mut self) -> Result<bool, Error> {
        loop {
            match self.reader.read(&mut self.chunk) {
                Ok(count) => {
                    self.unread = 0..count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((self.to_error)(error)),
            }
        }
    }

    /// Parses lines of the chunk until one ends an event, or the chunk is used up.
    fn parse_chunk(&mut self) -> Result<Option<Event>, Error> {
        while !self.unread.is_empty() {
            // A CR ends a line at once; the LF that may follow it belongs to the same end.
            if std::mem::take(&mut self.after_carriage_return)
                && self.chunk[self.unread.start] == b'\n'
            {
                self.unread.start += 1;
                continue;
            }
            let rest = &self.chunk[self.unread.clone()];
            let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
                make_room_from_spare(&mut self.line, rest.len());
                self.line.extend_from_slice(rest);
                self.unread.start = self.unread.end;
                self.check_line(self.line.len())?;
                break;
            };
            let line = self.unread.start..self.unread.start + length;
            self.after_carriage_return = self.chunk[line.end] == b'\r';
            self.unread.start = line.end + 1;

            let mut whole = std::mem::take(&mut self.line);
            let ended = if whole.is_empty() {
                let chunk = std::mem::take(&mut self.chunk);
                let ended = self.parse_line(&chunk[line]);
                self.chunk = chunk;
                ended?
            } else {
                whole.extend_from_slice(&self.chunk[line]);
                self.parse_owned_line(whole)?
            };
            if ended && let Some(event) = self.dispatch() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Parses a line like `parse_line`. A large message is one long line of data, which is not copied here.
    fn parse_owned_line(&mut self, mut line: Vec<u8>) -> Result<bool, Error> {
        if self.at_start || self.has_data || !line.starts_with(b"data:") {
            return self.parse_line(&line);
        }
        self.check_line(line.len())?;
        let name = if line.starts_with(b"data: ") { "data: " } else { "data:" };
        line.drain(..name.len());
        self.check_size(line.len())?;
        self.has_data = true;
        self.event.data = grown(line);
        Ok(false)
    }

    /// True when the line ends an event.
    fn parse_line(&mut self, line: &[u8]) -> Result<bool, Error> {
        let byte_order_mark: &[u8] = b"\xef\xbb\xbf";
        let line = match line.strip_prefix(byte_order_mark) {
            Some(rest) if self.at_start => rest,
            _ => line,
        };
        self.at_start = false;
        if line.is_empty() {
            return Ok(true);
        }
        self.check_line(line.len())?;
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(colon) => {
                (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push(b'\n');
                }
                self.check_size(self.event.data.len() + value.len())?;
                self.event.data.extend_from_slice(value);
            }
            b"event" => self.event.name = String::from_utf8_lossy(value).into_owned(),
            // An id is sent back in a header, so one that a header cannot carry is dropped.
            b"id" if value.len() <= 1024 && value.iter().all(|b| matches!(b, 0x21..=0x7e)) => {
                self.last_id = String::from_utf8(value.to_vec()).ok().filter(|id| !id.is_empty());
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok())
                    .map(Duration::from_millis)
                    .or(self.retry);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Ends the event. `None` without data: a comment, or an event that only carries an id.
    fn dispatch(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event).filter(|event| !event.data.is_empty())
    }

    /// Checks a line, which may be longer than an event by the name of its field.
    fn check_line(&self, bytes: usize) -> Result<(), Error> {
        self.check_size(bytes.saturating_sub(MAX_FIELD_NAME_BYTES))
    }

    fn check_size(&self, bytes: usize) -> Result<(), Error> {
        if bytes <= self.max_bytes {
            return Ok(());
        }
        let what = format!("an event of the server is larger than {} bytes", self.max_bytes);
        Err(Error::new(Kind::TooLarge, what).hint("raise --max-message-bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out the bytes in pieces of one size, then ends in order.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(self.1).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the signature is the stream's")]
    fn broken(error: io::Error) -> Error {
        Error::new(Kind::Unreachable, error.to_string())
    }

    fn events(text: &[u8], piece: usize) -> Vec<(String, String)> {
        let mut stream = EventStream::new(Pieces(text, piece), 1000, broken);
        let mut events = Vec::new();
        while let Some(event) = stream.next_event().expect("the stream is whole") {
            events.push((event.name, String::from_utf8(event.data).expect("UTF-8")));
        }
        events
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        for piece in 1..=text.len().max(1) {
            let got = events(text.as_bytes(), piece);
            let got: Vec<_> = got.iter().map(|(n, d)| (n.as_str(), d.as_str())).collect();
            assert_eq!(got, expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn every_dialect_cut_at_every_byte() {
        check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("data:a\r\n\r\ndata:b\r\n\r\n", &[("", "a"), ("", "b")]);
        check("data:a\r\rdata:b\r\r", &[("", "a"), ("", "b")]);
        check("data:a\r\n\ndata:b\n\r\n", &[("", "a"), ("", "b")]);
        check("\u{feff}data: é🦀\n\n", &[("", "é🦀")]);
        check("data: {\ndata:  \"a\"\ndata:}\n\n", &[("", "{\n \"a\"\n}")]);
        check(": comment\n\n:\nevent: x\nid: 1\nretry: 5\nother: y\ndata: a\n\n", &[("x", "a")]);
        check("event: x\n\ndata: a\n\n", &[("", "a")]);
        check("id: 7\ndata:\n\ndata: a\n\n", &[("", "a")]);
        check("data\n\ndata: a\n\n", &[("", "a")]);
        check("data: last", &[("", "last")]);
        check("data: last\n", &[("", "last")]);
        check("\u{feff}\n\n\n", &[]);
        check("", &[]);
    }

    #[test]
    fn id_and_retry_are_kept() {
        let text =
            b"id: 7\nretry: 250\ndata: a\n\nid: b\0d\nretry: 99999999999999999999\nretry: x\n\n";
        let mut stream = EventStream::new(&text[..], 1000, broken);
        while stream.next_event().expect("the stream is whole").is_some() {}
        assert_eq!(
            (stream.last_id(), stream.retry()),
            (Some("7"), Some(Duration::from_millis(250)))
        );
    }

    #[test]
    fn lines_and_events_are_bounded() {
        let line = format!("data: {}", "x".repeat(2000));
        let event = "data: xxxxxxxxx\n".repeat(200);
        let comment = format!(":{}", "x".repeat(20_000));
        for text in [line, event, comment] {
            let error = EventStream::new(text.as_bytes(), 1000, broken)
                .next_event()
                .expect_err("too large");
            assert_eq!(error.kind(), Kind::TooLarge);
        }
    }
}
