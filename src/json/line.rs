//! A JSON document as one line, for every reader.
//!
//! Raw line ends can only be between tokens. U+0085, U+2028 and U+2029 can only be in strings; many readers of lines take
//! them for line ends as well (Python's `splitlines`, for one). Every line to the client goes through here.

use crate::json::block::{BLOCK, Block, first};
use fearless_simd::{Level, Simd, dispatch};
use std::ops::Range;
use std::slice;

/// Replaces raw line ends with spaces, and U+0085, U+2028 and U+2029 with their escapes. Other documents keep their memory.
pub fn one_line(mut document: Vec<u8>) -> Vec<u8> {
    let mut escaped = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = next_line_end(&document, at) {
        at = found.end;
        let escape: &[u8] = match &document[found.clone()] {
            [0xc2, _] => br"\u0085",
            [_, _, 0xa8] => br"\u2028",
            [_, _, _] => br"\u2029",
            _ => {
                document[found.start] = b' ';
                continue;
            }
        };
        escaped.extend_from_slice(&document[copied..found.start]);
        escaped.extend_from_slice(escape);
        copied = found.end;
    }
    if copied == 0 {
        return document;
    }
    escaped.extend_from_slice(&document[copied..]);
    escaped
}

/// The first character from `at` on that ends a line for some reader.
fn next_line_end(document: &[u8], at: usize) -> Option<Range<usize>> {
    dispatch!(Level::new(), simd => next_by_block(simd, document, at))
}

#[expect(clippy::inline_always, reason = "the vectors of `simd` are known to its caller alone")]
#[inline(always)]
fn next_by_block<S: Simd>(simd: S, document: &[u8], mut at: usize) -> Option<Range<usize>> {
    // Carried from block to block, in the lowest bit: the last byte of the block before may begin a character of two or of
    // three bytes, or may be the second byte of one of three.
    let (mut two_begun, mut three_begun, mut three_half) = (0, 0, 0);
    let (blocks, rest) = document[at..].as_chunks();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    for bytes in [blocks, slice::from_ref(&last)].into_iter().flatten() {
        let block = Block::new(simd, bytes);
        if !block.may_end_line() {
            (two_begun, three_begun, three_half) = (0, 0, 0);
            at += BLOCK;
            continue;
        }
        let (c2, e2) = (block.equal(0xc2), block.equal(0xe2));
        let (mut twos, mut threes) = (0, 0);
        if c2 | e2 | two_begun | three_begun | three_half != 0 {
            let e2_80 = (e2 << 1 | three_begun) & block.equal(0x80);
            twos = (c2 << 1 | two_begun) & block.equal(0x85);
            threes = (e2_80 << 1 | three_half) & block.equal_either(0xa8, 0xa9);
            let top = BLOCK - 1;
            (two_begun, three_begun, three_half) = (c2 >> top, e2 >> top, e2_80 >> top);
        }
        let ends = block.equal_either(b'\n', b'\r') | twos | threes;
        if ends != 0 {
            let bit = ends & ends.wrapping_neg();
            let length = if bit & threes != 0 { 3 } else { 1 + usize::from(bit & twos != 0) };
            let end = at + first(bit) + 1;
            return Some(end - length..end);
        }
        at += BLOCK;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slowly(document: &str) -> String {
        document
            .replace(['\n', '\r'], " ")
            .replace('\u{85}', r"\u0085")
            .replace('\u{2028}', r"\u2028")
            .replace('\u{2029}', r"\u2029")
    }

    fn check(document: &str) {
        let line = one_line(document.into());
        assert_eq!(String::from_utf8_lossy(&line), slowly(document), "{document:?}");
    }

    #[test]
    fn newlines_become_spaces_and_nothing_else_changes() {
        let document = b"{\n  \"n\": 12345678901234567890.10,\r\n \"s\": \"\\n\\u00e9\"}".to_vec();
        assert_eq!(
            one_line(document),
            b"{   \"n\": 12345678901234567890.10,   \"s\": \"\\n\\u00e9\"}"
        );
    }

    #[test]
    fn line_ends_are_found_at_every_position() {
        for end in ["\n", "\r\n", "\u{85}", "\u{2028}", "\u{2029}", "\u{2028}\u{85}\n\u{2029}"] {
            for (before, after) in (0..140).flat_map(|before| [(before, 0), (before, 100)]) {
                for filler in ["a", "é", "“", "\u{a0}", "日"] {
                    check(&[&"a".repeat(before), end, &filler.repeat(after)].concat());
                    check(&[&filler.repeat(before), end, &"a".repeat(after), end].concat());
                }
            }
        }
        // Bytes and characters that resemble parts of a line end.
        check("\u{80}\u{a8}\u{a9}\u{c5}\u{2000}\u{2027}\u{202a}\u{20a8}\u{10028}â€¨");
    }

    #[test]
    fn documents_without_line_ends_are_not_copied() {
        let document = "x".repeat(100_000).into_bytes();
        let memory = document.as_ptr();
        let line = one_line(document);
        assert_eq!(line.as_ptr(), memory);
    }

    proptest! {
        #[test]
        fn every_document_is_one_line(
            pieces in prop::collection::vec(
                prop_oneof!["[ -~]{0,70}", "[\u{80}-\u{ff}\u{2000}-\u{2040}\n\r]{0,9}"], 0..20,
            ),
        ) {
            check(&pieces.concat());
        }

        #[test]
        fn every_byte_is_safe(document: Vec<u8>) {
            let line = one_line(document);
            prop_assert!(!line.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
        }
    }
}
