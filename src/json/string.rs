//! Finding the end of a JSON string (RFC 8259 §7). Large messages consist of strings.
//!
//! A block of bytes is examined at once: comparisons yield one bit per byte, and the rest is arithmetic with these bits, as in
//! simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019). Measured with `memchr` and `simdutf8` in its
//! place: 1 MB of source code in a string, which is full of escapes, costs 6 ms of processor time in place of 2; plain text
//! costs the same (goal: 0.6 times the throughput of a bare relay).

use crate::json::block::{BLOCK, Block, first};
use fearless_simd::{Level, Simd, dispatch};

/// Member names are rarely longer, and need no vectors.
const SHORT: usize = 16;

/// Number of bytes that are checked for UTF-8 at a time.
const AHEAD: usize = 4096;

/// The length of the rest of a string after its opening quote, with the closing quote. `None` if it is not a string in UTF-8
/// for certain.
#[inline]
pub(crate) fn length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < SHORT
        && let Some(eight) = text[at..].first_chunk()
    {
        let plain = plain(*eight);
        at += plain;
        if plain < 8 {
            if text[at] == b'"' {
                return Some(at + 1);
            }
            break;
        }
    }
    dispatch!(Level::new(), simd => by_block(simd, text, at))
}

/// The length of a string (see `length`) from `at` on, where a character or an escape begins.
#[expect(clippy::inline_always, reason = "the vectors of `simd` are known to its caller alone")]
#[inline(always)]
fn by_block<S: Simd>(simd: S, text: &[u8], mut at: usize) -> Option<usize> {
    // Blocks have fixed positions regardless of their contents, so that the processor can begin with the next one early. Carried
    // from block to block, in the lowest bit: the first byte is escaped; it is the second byte of a two-byte character.
    let (mut is_escaped, mut is_second) = (0, 0);
    // Known to be UTF-8 up to this position.
    let mut checked: usize = 0;
    for block in text[at..].as_chunks().0 {
        let block = Block::new(simd, block);
        let (quotes, backslashes) = (block.equal(b'"'), block.equal(b'\\'));
        let (controls, beyond_ascii) = (block.controls(), block.beyond_ascii());
        if quotes | backslashes | controls | beyond_ascii | is_escaped | is_second == 0 {
            at += BLOCK;
            continue;
        }
        let (escaping, escaped) = escapes(backslashes, is_escaped);
        is_escaped = escaping >> (BLOCK - 1);
        let quote = quotes & !escaped;
        let inside = quote.wrapping_sub(1) & !quote;
        if controls & inside != 0 {
            return None;
        }

        let escaped = escaped & inside;
        if escaped != 0 {
            let others = escaped & !(quotes | backslashes | block.letters_of_escapes());
            if others != 0 {
                rare_escapes(text, at, others)?;
            }
        }

        let beyond_ascii = beyond_ascii & inside;
        if beyond_ascii | is_second != 0 {
            let beyond_ascii = beyond_ascii & all_from(checked.saturating_sub(at));
            let firsts = block.firsts_of_two() & beyond_ascii;
            let seconds = block.not_first() & beyond_ascii;
            let are_pairs = firsts << 1 | is_second == seconds && firsts | seconds == beyond_ascii;
            if are_pairs {
                is_second = firsts >> (BLOCK - 1);
            } else {
                let end = at + first(quote);
                checked = utf8_until(text, checked.max(at - usize::from(is_second != 0)));
                if checked < end {
                    return None;
                }
                is_second = 0;
            }
        }
        if quote != 0 {
            return Some(at + first(quote) + 1);
        }
        at += BLOCK;
    }
    // Back to the beginning of an escape or a character, or on to the end of one.
    at -= usize::from(is_escaped | is_second != 0);
    while at < checked && matches!(text[at], 0x80..=0xbf) {
        at += 1;
    }
    by_character(text, at)
}

/// Checks the escapes whose second bytes have these bits, in the block at `at`.
#[cold]
fn rare_escapes(text: &[u8], at: usize, mut seconds: u64) -> Option<()> {
    while seconds != 0 {
        escape(&text[at + first(seconds) - 1..])?;
        seconds &= seconds - 1;
    }
    Some(())
}

/// The end of valid UTF-8 from `start` on, where a character begins; at most `AHEAD` bytes further.
#[cold]
fn utf8_until(text: &[u8], start: usize) -> usize {
    let ahead = &text[start..text.len().min(start + AHEAD)];
    start + str::from_utf8(ahead).map_or_else(|error| error.valid_up_to(), str::len)
}

/// The bits of a block without the first `count`.
#[expect(clippy::inline_always, reason = "a call would cost the vectors of the caller")]
#[inline(always)]
fn all_from(count: usize) -> u64 {
    u32::try_from(count).ok().and_then(|count| u64::MAX.checked_shl(count)).unwrap_or(0)
}

/// The length of a string (see `length`) from `at` on, for less than a block.
fn by_character(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        if let Some(eight) = text[at..].first_chunk() {
            at += plain(*eight);
        }
        let rest = &text[at..];
        at += match *rest.first()? {
            b'"' => return Some(at + 1),
            b'\\' => escape(rest)?,
            ..0x20 => return None,
            0x80.. => beyond_ascii(rest)?,
            _ => 1,
        };
    }
}

/// The number of bytes before one that needs attention: a quote, a backslash, a control character, or one beyond ASCII.
#[inline]
fn plain(eight: [u8; 8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let word = u64::from_le_bytes(eight);
    // In `v.wrapping_sub(ONES * n) & !v` the high bit of a byte is set if that byte of `v` is below `n`; the lowest set bit
    // is always right.
    let below = |v: u64, n: u64| v.wrapping_sub(ONES * n) & !v;
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    let special = (quote | backslash | below(word, 0x20) | word) & HIGHS;
    first(special) / 8
}

/// The length of the escape that this begins with.
#[inline]
fn escape(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => text.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// The length of the UTF-8 character that this begins with (RFC 3629 §4).
#[inline]
fn beyond_ascii(text: &[u8]) -> Option<usize> {
    match text {
        [0xc2..=0xdf, 0x80..=0xbf, ..] => Some(2),
        [0xe0, 0xa0..=0xbf, 0x80..=0xbf, ..]
        | [0xed, 0x80..=0x9f, 0x80..=0xbf, ..]
        | [0xe1..=0xec | 0xee..=0xef, 0x80..=0xbf, 0x80..=0xbf, ..] => Some(3),
        [0xf0, 0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..]
        | [0xf1..=0xf3, 0x80..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..]
        | [0xf4, 0x80..=0x8f, 0x80..=0xbf, 0x80..=0xbf, ..] => Some(4),
        _ => None,
    }
}

/// The backslashes that begin an escape, and the bytes that are escaped. `is_escaped`: whether the first byte is.
#[inline(always)]
fn escapes(backslashes: u64, is_escaped: u64) -> (u64, u64) {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    if backslashes == 0 {
        return (0, is_escaped);
    }
    // The subtraction borrows through each run of backslashes, which distinguishes odd runs from even ones.
    let first_ones = backslashes & !is_escaped;
    let both = (first_ones << 1 | ODD).wrapping_sub(first_ones) ^ ODD;
    (both & backslashes, both ^ (backslashes | is_escaped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The result of `serde_json`.
    fn oracle(text: &[u8]) -> Option<usize> {
        let quoted = [b"\"", text].concat();
        let mut strings = serde_json::Deserializer::from_slice(&quoted).into_iter::<String>();
        strings.next()?.is_ok().then(|| strings.byte_offset() - 1)
    }

    /// The results of `by_block` with each kind of vectors that this processor has.
    fn by_all_blocks(text: &[u8]) -> Vec<Option<usize>> {
        let best = Level::new();
        #[cfg(target_arch = "x86_64")]
        let levels = [
            best.as_sse2().map(Simd::level),
            best.as_sse4_2().map(Simd::level),
            best.as_avx2().map(Simd::level),
            best.as_avx512().map(Simd::level),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let levels = [Some(best)];
        let levels = levels.into_iter().flatten();
        levels.map(|level| dispatch!(level, simd => by_block(simd, text, 0))).collect()
    }

    fn check(text: &[u8]) {
        let expected = oracle(text);
        assert_eq!(length(text), expected, "{}", text.escape_ascii());
        for found in by_all_blocks(text) {
            assert_eq!(found, expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn strings_end_where_they_end() {
        let sixty = "x".repeat(60);
        for (text, expected) in [
            (r#"""#, Some(1)),
            (r#"a" "b""#, Some(2)),
            (r#"\\" and more"#, Some(3)),
            (r#"\" and more"#, None),
            (r"\u00e", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(length(text.as_bytes()), expected, "{text}");
            let long = format!("{sixty}{sixty}{text}");
            assert_eq!(length(long.as_bytes()), expected.map(|length| length + 120), "{long}");
        }
    }

    #[test]
    fn every_place_in_a_block_is_as_good_as_another() {
        for piece in [
            "\"", r"\", r#"\""#, r"\\", r"\n", r"\x", r"\u00E4", r"\u00G4", "ä", "€", "𝄞", "\u{1f}",
        ] {
            for (before, after) in (0..150).map(|before| (before, 150 - before)) {
                let text = format!("{}{piece}{}\"", "a".repeat(before), "é".repeat(after));
                check(text.as_bytes());
                let cut = &text.as_bytes()[..before + piece.len().min(2)];
                check(cut);
                check(&[cut, &text.as_bytes()[before + 1..]].concat());
            }
        }
    }

    #[test]
    fn utf8_is_checked_to_the_letter() {
        for bytes in 0x80_u32..=0x10_0000 {
            let bytes = &bytes.to_be_bytes()[1..];
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            let is_one = str::from_utf8(bytes).is_ok_and(|text| text.chars().count() == 1);
            assert_eq!(beyond_ascii(bytes) == Some(bytes.len()), is_one, "{bytes:x?}");
        }
        for point in (0x80..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let mut bytes = [0; 4];
            let length = point.encode_utf8(&mut bytes).len();
            assert_eq!(beyond_ascii(&bytes), Some(length), "{point:?}");
        }
    }

    #[test]
    fn bytes_after_a_block_are_not_counted_in_it() {
        for (first, tail) in ["€", "ä", "𝄞", "x"].iter().flat_map(|first| {
            [
                &b"\\\"\x80"[..],
                b"\\\"\x80\"",
                b"\\\\\x80\"",
                b"\\\\\"",
                b"\xe2\x82\"",
                b"\xe2\x82\xac\\\"\"",
            ]
            .map(|tail| (first, tail))
        }) {
            // Around the end of the first block, wherever that began.
            for (before, after) in (52..=84).flat_map(|n| [(n, 0), (n, 70)]) {
                let pad = "a".repeat(before);
                let text = [first.as_bytes(), pad.as_bytes(), tail, &b"b".repeat(after), b"\" \""]
                    .concat();
                for end in text.len() - after - 4..=text.len() {
                    check(&text[..end]);
                }
            }
        }
    }

    #[test]
    fn long_text_beyond_ascii_is_checked_to_its_end() {
        for (before, broken) in (0..4).flat_map(|n| (AHEAD - 4..AHEAD + 4).map(move |at| (n, at))) {
            let mut text = ["a".repeat(before), "日本語🦀".repeat(AHEAD / 8), "\"".into()]
                .concat()
                .into_bytes();
            check(&text);
            text[broken] = b'a';
            check(&text);
        }
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => "[ -~]{0,40}".prop_map(|plain| plain.replace(['"', '\\'], "").into_bytes()),
            2 => prop::sample::select(&["ä", "öß", "€", "日本語", "𝄞"][..]).prop_map(|s| s.as_bytes().to_vec()),
            2 => prop::sample::select(&[r#"\""#, r"\\", r"\n", r"\u00e4", r"\ud834\udd1e"][..])
                .prop_map(|s| s.as_bytes().to_vec()),
            1 => prop::sample::select(&["\"", "\\", r"\u12", "\n", "\u{1}"][..]).prop_map(|s| s.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 1..3),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn it_is_as_long_as_serde_json_says(pieces in prop::collection::vec(piece(), 0..40)) {
            let text = pieces.concat();
            let (ours, theirs) = (length(&text), oracle(&text));
            // A lone surrogate is valid JSON, but not text; either result will do.
            prop_assert!(ours == theirs || text.windows(2).any(|two| two == br"\u"), "{ours:?} {theirs:?}");
            for found in by_all_blocks(&text) {
                prop_assert_eq!(found, ours);
            }
        }

        #[test]
        fn plain_bytes_are_counted_to_the_first_that_is_not(any: [u8; 8], ascii in "[ -~\t]{8}") {
            for eight in [any, ascii.as_bytes().try_into().expect("eight")] {
                let special = |byte: &u8| *byte < 0x20 || *byte >= 0x80 || b"\"\\".contains(byte);
                prop_assert_eq!(plain(eight), eight.iter().position(special).unwrap_or(8));
            }
        }
    }
}
