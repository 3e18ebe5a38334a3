//! Server-sent events (WHATWG HTML §9.2.6) from any blocking reader.
//!
//! Knows nothing of JSON-RPC. Differs from the standard in one point: a last event without its blank line counts when the
//! stream ends in order, since servers forget that line and the message would be lost.

use crate::buffer::{add_zeros, make_room};
use crate::error::{Error, Kind};
use std::io::{self, Read};
use std::time::Duration;

/// With its colon and space.
const MAX_FIELD_NAME_BYTES: usize = "event: ".len();

/// Time without an event after which the client of a stream gets a comment: clients and proxies end one that is silent for a minute.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(55);

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Maximum size of an id that is sent back, in a header: that of session ids.
const MAX_ID_BYTES: usize = 8 * 1024;

/// Size of a read. It grows with what the stream brings: a listener holds many silent streams open.
const MIN_CHUNK_BYTES: usize = 2 * 1024;
const MAX_CHUNK_BYTES: usize = 16 * 1024;

/// One event. `data` has its lines joined by `\n`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub data: Vec<u8>,
    /// The stream ended in the middle of it: its blank line is missing, and more may be.
    pub may_be_cut_short: bool,
    /// The rest of it, if that is kept.
    pub fields: Option<Box<EventFields>>,
}

/// The fields of an event other than its data, as they were written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EventFields {
    pub name: String,
    pub id: Option<String>,
    pub retry: Option<Duration>,
    /// There were comments, as servers send them to keep the connection alive.
    pub is_commented: bool,
}

impl Event {
    /// Whether it carries a message; events of other names are not part of MCP.
    pub fn is_message(&self) -> bool {
        self.name.is_empty() || self.name == "message"
    }
}

/// Reads events as they arrive.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a parser is in several states at once")]
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
    /// Name and data of the event that is read.
    name: String,
    data: Option<Vec<u8>>,
    /// The latest id; empty without one.
    id: String,
    /// The id of the last event that was taken.
    last_id: String,
    /// An event was handed out and is not known to be taken yet.
    is_handed_out: bool,
    retry: Option<Duration>,
    brought_anything: bool,
    /// The fields of the event that is read, if they are kept.
    fields: Option<Box<EventFields>>,
}

impl<R: Read> EventStream<R> {
    pub fn new(reader: R, max_bytes: usize, to_error: fn(io::Error) -> Error) -> EventStream<R> {
        EventStream {
            reader,
            to_error,
            max_bytes,
            chunk: vec![0; MIN_CHUNK_BYTES],
            unread: 0..0,
            line: Vec::new(),
            at_start: true,
            after_carriage_return: false,
            name: String::new(),
            data: None,
            id: String::new(),
            last_id: String::new(),
            is_handed_out: false,
            retry: None,
            brought_anything: false,
            fields: None,
        }
    }

    /// Keeps the other fields of events, too. Events without data are then returned as well.
    #[must_use]
    pub fn keeping_fields(self, keeps: bool) -> EventStream<R> {
        EventStream { fields: keeps.then(Box::default), ..self }
    }

    /// Reads a stream that was resumed after the event `last_id`.
    #[must_use]
    pub fn resumed_after(self, last_id: Option<String>) -> EventStream<R> {
        let id = last_id.unwrap_or_default();
        EventStream { last_id: id.clone(), id, ..self }
    }

    /// The next event that has data, or `None` at the end of the stream. Fails when the stream breaks.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.next_arrived()? {
                return Ok(Some(event));
            }
            if !self.fill()? {
                // Half of an id or a name is not one; half of a message is seen to be none.
                let line = std::mem::take(&mut self.line);
                if line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line).starts_with(b"data") {
                    self.parse_owned_line(line)?;
                }
                return Ok(self.dispatch(true));
            }
        }
    }

    /// The next event if it has arrived already. Never reads.
    pub fn next_arrived(&mut self) -> Result<Option<Event>, Error> {
        if std::mem::take(&mut self.is_handed_out) {
            self.confirm_id();
        }
        self.parse_chunk()
    }

    /// The reader that events are read from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The id after which the stream can be resumed: that of the last event that was complete, without data or followed by
    /// a request for the next one.
    pub fn last_id(&self) -> Option<&str> {
        Some(&*self.last_id).filter(|id| !id.is_empty())
    }

    /// Time that the server asks to wait before reconnecting.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Whether the stream brought data, an id or a comment: `retry` alone and blank lines are nothing.
    pub fn brought_anything(&self) -> bool {
        self.brought_anything
    }

    /// Reads the next chunk. False at the end of the stream.
    fn fill(&mut self) -> Result<bool, Error> {
        if self.unread.end == self.chunk.len() && self.chunk.len() < MAX_CHUNK_BYTES {
            let more = self.chunk.len();
            add_zeros(&mut self.chunk, more);
        }
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
                make_room(&mut self.line, rest.len());
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
            if ended && let Some(event) = self.dispatch(false) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Parses a line like `parse_line`. A large message is one long line of data, which is not copied here.
    fn parse_owned_line(&mut self, mut line: Vec<u8>) -> Result<bool, Error> {
        if self.at_start || self.data.is_some() || !line.starts_with(b"data:") {
            return self.parse_line(&line);
        }
        self.check_line(line.len())?;
        let name = if line.starts_with(b"data: ") { "data: " } else { "data:" };
        line.drain(..name.len());
        self.check_size(line.len())?;
        self.brought_anything = true;
        self.data = Some(line);
        Ok(false)
    }

    /// True when the line ends an event, or is a comment that belongs to none.
    fn parse_line(&mut self, line: &[u8]) -> Result<bool, Error> {
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
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
        self.brought_anything |= field != b"retry";
        match field {
            b"data" => {
                let length = self.data.as_ref().map_or(0, |data| data.len() + 1);
                self.check_size(length + value.len())?;
                match &mut self.data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => self.data = Some(value.to_vec()),
                }
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            // An id is sent back in a header, so one that a header cannot carry is dropped.
            b"id"
                if value.len() <= MAX_ID_BYTES
                    && value.iter().all(|b| matches!(b, 0x20..=0x7e)) =>
            {
                self.id = String::from_utf8_lossy(value).into_owned();
                if let Some(fields) = &mut self.fields {
                    fields.id = Some(self.id.clone());
                }
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok())
                    .map(Duration::from_millis)
                    .or(self.retry);
                if let Some(fields) = &mut self.fields {
                    fields.retry = self.retry;
                }
            }
            b"" => {
                if let Some(fields) = &mut self.fields {
                    // Outside an event, it keeps the connection alive, so it does not wait for a blank line.
                    let is_alone = **fields == EventFields::default()
                        && self.name.is_empty()
                        && self.data.is_none();
                    fields.is_commented = true;
                    return Ok(is_alone);
                }
            }
            _ => {}
        }
        Ok(false)
    }

    /// Ends the event. `None` without anything that is handed out. Of one that may be cut short, only data counts.
    fn dispatch(&mut self, may_be_cut_short: bool) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = self.data.take().filter(|data| !data.is_empty());
        if data.is_none() && !may_be_cut_short {
            self.confirm_id();
        }
        self.is_handed_out = data.is_some();
        let fields = self.fields.as_mut().map(std::mem::take);
        let has_fields = fields.as_ref().is_some_and(|fields| **fields != EventFields::default());
        let fields = fields.map(|fields| Box::new(EventFields { name: name.clone(), ..*fields }));
        let is_handed_out = data.is_some() || has_fields && !may_be_cut_short;
        let data = data.unwrap_or_default();
        is_handed_out.then_some(Event { name, data, may_be_cut_short, fields })
    }

    /// The event with this id has been taken: the stream need not repeat it.
    fn confirm_id(&mut self) {
        if self.last_id != self.id {
            self.last_id.clone_from(&self.id);
        }
    }

    /// Checks a line, which may be longer than an event by the name of its field.
    fn check_line(&self, bytes: usize) -> Result<(), Error> {
        self.check_size(bytes.saturating_sub(MAX_FIELD_NAME_BYTES))
    }

    fn check_size(&self, bytes: usize) -> Result<(), Error> {
        if bytes <= self.max_bytes {
            return Ok(());
        }
        let what = format!("an event from the server is larger than {} bytes", self.max_bytes);
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
        check("\u{feff}data: last", &[("", "last")]);
        check("data: last\nevent: x", &[("", "last")]);
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
    fn an_id_counts_once_its_event_is_taken() {
        for (text, expected) in [
            ("id: 1\ndata: a\n\nid: 2\ndata: b\n\n", "1 2"),
            ("id: 1\ndata: a\n\nid: 2\n\n", "1 2"),
            ("id: 1\ndata: a\n\nid: 2\ndata:\n\n", "1 2"),
            ("id: 1\ndata: a\n\nid: 2\n\n", "1 2"),
            ("id: 1\ndata: a\n\nid: 2\n", "1 1"),
            ("id: 1\ndata: a\n\nid: 2", "1 1"),
            ("id: 1\ndata: a\n\nid", "1 1"),
            ("id: 1\ndata: a\n\nid: 2\ndata: b", "1 2"),
            ("id: 1\ndata: a\n\ndata: b\nid: 2", "1 1"),
            ("id: 1\ndata: a\n\ndata: b\n\n", "1 1"),
            ("id: 1\ndata: a\n\nid\ndata: b\n\n", "1 -"),
            ("id: 1\ndata: a\n\n: c\n\nretry: 3\n\n", "1 1"),
        ] {
            let mut stream = EventStream::new(text.as_bytes(), 1000, broken);
            let first = stream.next_event().expect("the stream is whole").expect("an event");
            assert_eq!((&*first.data, stream.last_id()), (&b"a"[..], None), "{text:?}");
            let second = stream.next_event().expect("the stream is whole");
            let mut ids = vec![stream.last_id().unwrap_or("-").to_owned()];
            if second.is_some() {
                assert_eq!(stream.next_event().expect("the stream is whole"), None);
                ids.push(stream.last_id().unwrap_or("-").to_owned());
            } else {
                ids.insert(0, "1".to_owned());
            }
            assert_eq!(ids.join(" "), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_cut_short_leaves_the_id_before_it() {
        struct Broken<'a>(&'a [u8]);
        impl Read for Broken<'_> {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                match self.0.read(into) {
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    other => other,
                }
            }
        }
        let text = b"id: 1\ndata: a\n\nid: 2\ndata: {";
        let mut stream = EventStream::new(Broken(text), 1000, broken);
        assert!(!stream.next_event().expect("one event").expect("one event").may_be_cut_short);
        stream.next_event().expect_err("the stream broke");
        assert_eq!(stream.last_id(), Some("1"));
        // Without a length the end of a stream and a lost connection look alike.
        let mut stream =
            EventStream::new(&text[..], 1000, broken).resumed_after(Some("0".to_owned()));
        assert_eq!(stream.last_id(), Some("0"));
        stream.next_event().expect("one event");
        assert!(stream.next_event().expect("half an event").expect("an event").may_be_cut_short);
        assert_eq!(stream.last_id(), Some("1"));
    }

    #[test]
    fn comments_and_ids_are_something() {
        for (text, expected) in [
            ("", false),
            ("\n\r\n\n", false),
            ("retry: 5\n\n", false),
            (": alive\n", true),
            (":\n\n", true),
            ("id: 1\n\n", true),
            ("data:\n\n", true),
            ("data: a\n\n", true),
        ] {
            let mut stream = EventStream::new(text.as_bytes(), 1000, broken);
            while stream.next_event().expect("the stream is whole").is_some() {}
            assert_eq!(stream.brought_anything(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_comment_outside_an_event_is_returned_without_its_blank_line() {
        let text = ": alive\n:\n\nid: 1\n: of the event\ndata: a\n\n";
        let mut stream = EventStream::new(text.as_bytes(), 1000, broken).keeping_fields(true);
        let mut found = Vec::new();
        while let Some(event) = stream.next_event().expect("the stream is whole") {
            let fields = event.fields.expect("they are kept");
            found.push((event.data, fields.id, fields.is_commented));
        }
        let comment = (b"".to_vec(), None, true);
        let event = (b"a".to_vec(), Some("1".to_owned()), true);
        assert_eq!(found, [comment.clone(), comment, event]);
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
