//! The client's side of stdin: one line at a time, bounded, nothing lost.

use crate::id_scan::IdScan;
use crate::large::make_room;
use std::io::{self, BufRead};

/// What was read from the client.
pub(crate) enum Input {
    Line(Vec<u8>),
    /// A line that was longer than allowed was skipped. `id` is the raw JSON of its id, if it had one.
    TooLong {
        id: Option<String>,
    },
    End,
}

/// The next line that is not blank, its end removed; a last line without an end counts.
pub(crate) fn read_line(input: &mut impl BufRead, max_bytes: usize) -> io::Result<Input> {
    loop {
        let line = read_until_newline(input, max_bytes.saturating_add(2))?;
        let Some(mut line) = line else { return Ok(Input::End) };
        let is_whole = line.ends_with(b"\n");
        if is_whole {
            line.pop();
        }
        if line.ends_with(b"\r") {
            line.pop();
        }
        if line.len() > max_bytes {
            let mut scan = IdScan::default();
            scan.feed(&line);
            drop(line);
            if !is_whole {
                skip_line(input, &mut scan)?;
            }
            return Ok(Input::TooLong { id: scan.id() });
        }
        if line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Input::Line(line));
        }
    }
}

/// With the newline, unless the input ends before it or `most` bytes are read; `None` where there is nothing more.
fn read_until_newline(input: &mut impl BufRead, most: usize) -> io::Result<Option<Vec<u8>>> {
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
        input.consume(length);
        if is_over {
            return Ok(Some(line).filter(|line| !line.is_empty()));
        }
    }
}

/// Skips to the end of the line and shows `scan` what is skipped.
fn skip_line(input: &mut impl BufRead, scan: &mut IdScan) -> io::Result<()> {
    loop {
        let chunk = input.fill_buf()?;
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
    use std::io::BufReader;

    fn lines(text: &[u8], max_bytes: usize) -> Vec<String> {
        let mut input = BufReader::with_capacity(3, text);
        let mut lines = Vec::new();
        loop {
            match read_line(&mut input, max_bytes).expect("a slice can be read") {
                Input::Line(line) => lines.push(String::from_utf8(line).expect("UTF-8")),
                Input::TooLong { id } => lines.push(format!("(too long: {id:?})")),
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
    fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
        assert_eq!(
            lines(b"12345\n123456\n1234567890\nok\n", 5),
            ["12345", "(too long: None)", "(too long: None)", "ok"]
        );
        assert_eq!(lines(b"12345\r\n12345678", 5), ["12345", "(too long: None)"]);
        assert_eq!(lines(b"{\"a\":1,\"id\":7}\n", 5), ["(too long: Some(\"7\"))"]);
    }
}
