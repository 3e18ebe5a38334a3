//! `SecretForms`: one secret in all its encodings, and the comparison with a text.

use crate::percent;
use crate::redact::unit::Unit;
use crate::signing::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

/// Mark in place of a removed secret, and at the end of a truncated text.
pub(crate) const MARK: char = '…';

/// Minimum length of a secret: a shorter one would match ordinary text.
const MIN_SECRET_BYTES: usize = 8;

/// Minimum length of the beginning of a secret that is removed before the mark of a truncated text.
const MIN_MARKED_BYTES: usize = 4;

/// The same before the end of a text without the mark, which need not be truncated.
const MIN_UNMARKED_BYTES: usize = 12;

/// A secret and the needles that find it.
#[derive(Clone)]
pub(crate) struct SecretForms {
    secret: Secret,
    needles: Vec<Needle>,
}

/// One form of a secret, compared with decoded text.
#[derive(Clone)]
pub(crate) struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    is_base64: bool,
    /// The last bits of the secret share one more base64 digit with the bytes that follow it.
    shares_digit: bool,
}

impl SecretForms {
    /// `None` when the secret is too short.
    pub(crate) fn of(secret: &str) -> Option<SecretForms> {
        let decoded = decoded(secret.trim_end_matches(['\\', '%', '&']).as_bytes());
        if decoded.len() < MIN_SECRET_BYTES {
            return None;
        }
        let mut needles = vec![Needle::of_text(&decoded)];
        for text in inside_base64(secret, &decoded) {
            needles.extend((0..3).map(|shift| Needle::of_base64(&text, shift)));
        }
        Some(SecretForms { secret: Secret::new(secret), needles })
    }

    pub(crate) fn secret(&self) -> &str {
        self.secret.expose()
    }

    pub(crate) fn needles(&self) -> &[Needle] {
        &self.needles
    }
}

impl Needle {
    /// Decoded like the searched texts, because a secret may contain what looks like an escape.
    fn of_text(decoded: &[u8]) -> Needle {
        let mut bytes: Zeroizing<Vec<u8>> =
            Zeroizing::new(decoded.iter().copied().map(text_digit).collect());
        bytes.dedup_by(|next, last| (*next, *last) == (b' ', b' '));
        Needle { bytes, is_base64: false, shares_digit: false }
    }

    /// The base64 digits that depend on the secret alone, where it begins `shift` bytes into a group of three.
    fn of_base64(secret: &[u8], shift: usize) -> Needle {
        let mut bytes = Zeroizing::new(vec![0; shift]);
        bytes.extend_from_slice(secret);
        let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&bytes));
        let (first, bits) = ((shift * 8).div_ceil(6), bytes.len() * 8);
        let digits = &encoded.as_bytes()[first..bits / 6];
        Needle {
            bytes: Zeroizing::new(digits.to_vec()),
            is_base64: true,
            shares_digit: bits % 6 != 0,
        }
    }

    /// Its decoded bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// End of the needle in the text, if it begins at `at`.
    pub(crate) fn end_in(&self, text: &[u8], at: usize, may_be_truncated: bool) -> Option<usize> {
        let mut left = &self.bytes[..];
        let mut at = at;
        let mut surplus = 0;
        let mut is_space = false;
        while let Some(expected) = left.first() {
            let found = self.bytes.len() - left.len();
            if may_be_truncated
                && found >= MIN_MARKED_BYTES
                && let Some(end) = end_of_truncated(text, at, found < MIN_UNMARKED_BYTES)
            {
                return Some(end);
            }
            let unit = Unit::at(text, at)?;
            at = unit.end;
            let is_surplus = if self.is_base64 {
                // Long base64 often has line breaks.
                *expected != b'+' && matches!(unit.bytes(), b" " | b"\r" | b"\n")
            } else {
                // Canonical requests have one space where a value has several.
                is_space && matches!(unit.bytes(), [byte] if text_digit(*byte) == b' ')
            };
            if is_surplus {
                surplus += 1;
                if surplus > self.bytes.len() {
                    return None;
                }
                continue;
            }
            for byte in unit.bytes() {
                let digit = if self.is_base64 { base64_digit(*byte) } else { text_digit(*byte) };
                left = left.strip_prefix(&[digit])?;
                is_space = digit == b' ';
            }
        }
        Some(if self.is_base64 { self.end_of_digits(text, at) } else { at })
    }

    /// Index after the shared digit and the padding, which reveal nothing but would look like a remainder.
    fn end_of_digits(&self, text: &[u8], at: usize) -> usize {
        let mut end = at;
        if self.shares_digit
            && let Some(unit) = Unit::at(text, end)
            && matches!(unit.bytes(), [byte] if byte.is_ascii_alphanumeric() || b"+/-_".contains(byte))
        {
            end = unit.end;
        }
        for _ in 0..2 {
            match Unit::at(text, end) {
                Some(unit) if unit.bytes() == b"=" => end = unit.end,
                _ => break,
            }
        }
        end
    }
}

/// The texts that contain the secret within base64: plain, decoded as the password of a URL is, and escaped as in JSON (with
/// and without `\/`) and in URLs.
fn inside_base64(secret: &str, decoded: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let json = serde_json::Value::from(secret).to_string();
    let json = Zeroizing::new(json[1..json.len() - 1].to_owned());
    let mut texts: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    for text in [
        secret.as_bytes().to_vec(),
        decoded.to_vec(),
        json.as_bytes().to_vec(),
        json.replace('/', "\\/").into_bytes(),
        percent::encode(secret.as_bytes(), b"").into_bytes(),
    ] {
        let text = Zeroizing::new(text);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// The text with all escapes decoded.
fn decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // Decoding never makes a text longer, so the vector does not grow and leave a copy of the secret in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut at = 0;
    while let Some(unit) = Unit::at(text, at) {
        bytes.extend(unit.bytes());
        at = unit.end;
    }
    bytes
}

/// Maps characters that stand for a space to a space: forms write it as `+`.
fn text_digit(byte: u8) -> u8 {
    if matches!(byte, b'+' | b'\t') { b' ' } else { byte }
}

/// Maps the digits of the URL-safe alphabet to the standard ones.
fn base64_digit(byte: u8) -> u8 {
    match byte {
        b'-' | b' ' => b'+',
        b'_' => b'/',
        byte => byte,
    }
}

/// Index after the mark or, unless `needs_mark`, the end of the text, if the text was truncated at `at` or within the escape that
/// begins there.
fn end_of_truncated(text: &[u8], at: usize, needs_mark: bool) -> Option<usize> {
    const MAX_ESCAPE_BYTES: usize = 10;
    let rest = &text[at..];
    let mark = MARK.encode_utf8(&mut [0; 4]).len();
    let is_mark = |rest: &[u8]| rest.starts_with(MARK.encode_utf8(&mut [0; 4]).as_bytes());
    if rest.is_empty() {
        return (!needs_mark).then_some(at);
    }
    if is_mark(rest) {
        return Some(at + mark);
    }
    if !matches!(rest[0], b'\\' | b'%' | b'&') {
        return None;
    }
    let escape = rest
        .iter()
        .take(MAX_ESCAPE_BYTES)
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"\\%&#".contains(byte));
    let length = escape.count();
    match &rest[length..] {
        [] => (!needs_mark).then_some(text.len()),
        after if is_mark(after) => Some(at + length + mark),
        _ => None,
    }
}
