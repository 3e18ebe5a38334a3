//! Lines from stdin, one at a time, bounded in size.

use crate::buffer::make_room;
use crate::signing::BodyHash;
use crate::stdio::oversized::{Oversized, Scan};
use std::io::{self, BufRead, BufReader, Read};

/// Size of the buffer that stdin is read through.
const BUFFER_BYTES: usize = 64 * 1024;

/// Buffered stdin.
pub(crate) type ClientInput = BufReader<Box<dyn Read + Send>>;

pub(crate) fn buffered(input: impl Read + Send + 'static) -> ClientInput {
    BufReader::with_capacity(BUFFER_BYTES, Box::new(input))
}

/// One line of the client.
pub(crate) enum Input {
    /// `hash` is that of `bytes`, if it was computed while they arrived.
    Line {
        bytes: Vec<u8>,
        hash: Option<Box<BodyHash>>,
    },
    /// A line that was longer than allowed was skipped.
    TooLong(Oversized),
    End,
}

/// Reads the next line that is not blank, without its line ending, which the last line may lack. `hashes`: the caller can use
/// a hash of the line.
pub(crate) fn read_line(
    input: &mut impl BufRead,
    max_bytes: usize,
    hashes: bool,
) -> io::Result<Input> {
    loop {
        let (mut line, mut hash) = read_until_newline(input, max_bytes.saturating_add(2), hashes)?;
        if line.is_empty() {
            return Ok(Input::End);
        }
        let is_whole = line.ends_with(b"\n");
        if is_whole {
            line.pop();
        }
        if line.ends_with(b"\r") {
            line.pop();
            hash = None;
        }
        if line.len() > max_bytes {
            let mut scan = Scan::default();
            scan.feed(&line);
            drop(line);
            if !is_whole {
                skip_line(input, &mut scan)?;
            }
            return Ok(Input::TooLong(scan.message()));
        }
        if line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
            hash = None;
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Input::Line { bytes: line, hash });
        }
    }
}

/// Reads up to and with the newline, the end of input, or `most` bytes. Lines that arrive in pieces are hashed, without the
/// newline, while the client writes the rest: without it 1 MB requests pass at half the throughput of a bare relay instead of
/// two thirds (goal: 0.6).
fn read_until_newline(
    input: &mut impl BufRead,
    most: usize,
    hashes: bool,
) -> io::Result<(Vec<u8>, Option<Box<BodyHash>>)> {
    let mut hash: Option<Box<BodyHash>> = None;
    let mut line = Vec::new();
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        let chunk = &chunk[..chunk.len().min(most - line.len())];
        let newline = memchr::memchr(b'\n', chunk);
        let length = newline.map_or(chunk.len(), |at| at + 1);
        make_room(&mut line, length);
        line.extend_from_slice(&chunk[..length]);
        let is_over = length == 0 || newline.is_some();
        if hashes && (hash.is_some() || !is_over) {
            hash.get_or_insert_default().add(&chunk[..newline.unwrap_or(length)]);
        }
        input.consume(length);
        if is_over {
            return Ok((line, hash));
        }
    }
}

/// Skips to the end of the line and feeds what is skipped to `scan`.
fn skip_line(input: &mut impl BufRead, scan: &mut Scan) -> io::Result<()> {
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            return Ok(());
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let rest = end.unwrap_or(chunk.len());
        scan.feed(&chunk[..rest]);
        input.consume(rest + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{Payload, PayloadSigning};

    fn lines(text: &[u8], max_bytes: usize) -> Vec<String> {
        let mut input = BufReader::with_capacity(3, text);
        let mut lines = Vec::new();
        loop {
            match read_line(&mut input, max_bytes, true).expect("a slice can be read") {
                Input::Line { bytes, hash } => {
                    let rule = PayloadSigning::Hashed;
                    let of_pieces = hash.map(|hash| Payload::of_hashed(*hash, rule));
                    let is_same = of_pieces.is_none_or(|own| own == Payload::of(&bytes, rule));
                    assert!(is_same, "{}", bytes.escape_ascii());
                    lines.push(String::from_utf8(bytes).expect("UTF-8"));
                }
                Input::TooLong(message) => lines.push(format!("(too long: {message:?})")),
                Input::End => return lines,
            }
        }
    }

    #[test]
    fn lines_end_in_lf_or_crlf_or_not_at_all() {
        assert_eq!(lines(b"\xef\xbb\xbfa\n\r\n \t\nb\r\nc", 10), ["a", "b", "c"]);
        assert_eq!(lines(b"", 10), Vec::<String>::new());
    }

    #[test]
    fn lines_that_arrive_in_pieces_are_hashed_if_wanted() {
        for (text, hashes, expected) in [
            ("in pieces\nnext", true, true),
            ("in pieces", true, true),
            ("in pieces\n", false, false),
            ("12\nnext", true, false),
            ("in pieces\r\n", true, false),
            ("\u{feff}in pieces\n", true, false),
        ] {
            let mut input = BufReader::with_capacity(3, text.as_bytes());
            match read_line(&mut input, 20, hashes).expect("a slice can be read") {
                Input::Line { hash, .. } => assert_eq!(hash.is_some(), expected, "{text:?}"),
                _ => panic!("{text:?} is a line"),
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
        assert_eq!(
            lines(b"12345\n123456\n1234567890\nok\n", 5),
            ["12345", "(too long: Request(None))", "(too long: Request(None))", "ok"]
        );
        assert_eq!(lines(b"12345\r\n12345678", 5), ["12345", "(too long: Request(None))"]);
        assert_eq!(lines(b"{\"a\":1,\"id\":7}\n", 5), ["(too long: Request(Some(Id(7))))"]);
    }
}
