//! `Known`: the secrets in all their forms, and the search for them.

use crate::percent;
use crate::redact::unit::Unit;
use crate::signing::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use memchr::memchr2;
use std::collections::VecDeque;
use zeroize::Zeroizing;

/// Mark in place of a removed secret, and at the end of a truncated text.
pub(crate) const CUT: char = '…';

/// Minimum length of a secret: a shorter one would match ordinary text.
const MIN_SECRET_BYTES: usize = 8;

/// Minimum length of the beginning of a secret that is removed before the end of a truncated text.
const MIN_TRUNCATED_BYTES: usize = 12;

/// Maximum number of secrets, since keys and tokens are replaced all day; the oldest are dropped.
const MAX_SECRETS: usize = 512;

/// All secrets, and a filter that rejects most positions of a text.
#[derive(Clone)]
pub(crate) struct Known {
    secrets: VecDeque<Forms>,
    signatures: VecDeque<Forms>,
    cookies: Vec<Forms>,
    /// Bit set of the hashes of the needles' first bytes.
    beginnings: Vec<u64>,
}

/// A secret and the needles that find it.
#[derive(Clone)]
struct Forms {
    secret: Secret,
    needles: Vec<Needle>,
}

/// One form of a secret, compared with decoded text.
#[derive(Clone)]
struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    is_base64: bool,
    /// The last bits of the secret share one more base64 digit with the bytes that follow it.
    shares_digit: bool,
}

impl Default for Known {
    fn default() -> Known {
        let beginnings = vec![0; 1 << 10];
        Known {
            secrets: VecDeque::new(),
            signatures: VecDeque::new(),
            cookies: Vec::new(),
            beginnings,
        }
    }
}

impl Known {
    /// Adds a secret, unless it is too short; a known one becomes the newest.
    pub(crate) fn add(&mut self, secret: &str) {
        let known = self.secrets.iter().position(|forms| forms.secret.expose() == secret);
        let forms = match known.and_then(|at| self.secrets.remove(at)) {
            Some(forms) => forms,
            None => match Forms::of(secret) {
                Some(forms) => forms,
                None => return,
            },
        };
        self.secrets.push_back(forms);
        if self.secrets.len() > MAX_SECRETS {
            self.secrets.pop_front();
        }
        self.refresh();
    }

    /// Adds signatures and drops the oldest beyond `max`.
    pub(crate) fn add_signatures<'a>(
        &mut self,
        signatures: impl Iterator<Item = &'a str>,
        max: usize,
    ) {
        self.signatures.extend(signatures.filter_map(Forms::of));
        let surplus = self.signatures.len().saturating_sub(max);
        self.signatures.drain(..surplus);
        self.refresh();
    }

    /// Replaces the values of cookies.
    pub(crate) fn set_cookies<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        self.cookies = values.filter_map(Forms::of).collect();
        self.refresh();
    }

    fn refresh(&mut self) {
        self.beginnings.fill(0);
        let all = self.secrets.iter().chain(&self.signatures).chain(&self.cookies);
        for needle in all.flat_map(|forms| &forms.needles) {
            let hash = Beginning::of(&needle.bytes);
            self.beginnings[usize::from(hash >> 6)] |= 1 << (hash & 63);
        }
    }

    fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.signatures.is_empty() && self.cookies.is_empty()
    }

    /// The text without secrets; `None` when it holds none.
    pub(crate) fn without_secrets(&self, text: &str) -> Option<String> {
        let mut safe = RedactedCopy::of(text);
        if !self.is_empty() {
            let mut at = 0;
            while at < text.len() {
                at = match self.secret_at(text, at, true) {
                    Some(end) => safe.replace(at..end, CUT.encode_utf8(&mut [0; 4])),
                    None => at + 1,
                };
            }
        }
        safe.finished()
    }

    /// A JSON document whose strings and numbers hold no secrets; `None` when none held one.
    pub(crate) fn json_without_secrets(&self, json: &str) -> Option<String> {
        let mut safe = RedactedCopy::of(json);
        let bytes = json.as_bytes();
        let mut at = if self.is_empty() { json.len() } else { 0 };
        while let Some(byte) = bytes.get(at) {
            at = match byte {
                b'"' => {
                    let end = string_end(bytes, at + 1);
                    self.redact_string(&json[..end], at + 1, &mut safe);
                    end + 1
                }
                b'0'..=b'9' => {
                    let rest = &bytes[at..];
                    let is_digit =
                        |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                    let end = rest
                        .iter()
                        .position(|byte| !is_digit(byte))
                        .map_or(json.len(), |length| at + length);
                    match self.secret_at(&json[..end], at, false) {
                        Some(found) if found == end => safe.replace(at..end, "0"),
                        _ => end,
                    }
                }
                _ => at + 1,
            };
        }
        safe.finished()
    }

    /// Removes the secrets of a JSON string. Advances by whole escapes, so that none is split.
    fn redact_string(&self, text: &str, begin: usize, safe: &mut RedactedCopy<'_>) {
        let mut at = begin;
        while at < text.len() {
            at = match self.secret_at(text, at, false) {
                Some(end) => safe.replace(at..end, CUT.encode_utf8(&mut [0; 4])),
                None => match &text.as_bytes()[at..] {
                    [b'\\', b'u', ..] => at + 6,
                    [b'\\', ..] => at + 2,
                    _ => at + 1,
                },
            };
        }
    }

    /// End of the longest secret that begins at `at`. `may_be_truncated`: the text may end within the secret.
    fn secret_at(&self, text: &str, at: usize, may_be_truncated: bool) -> Option<usize> {
        let bytes = text.as_bytes();
        let hash = Beginning::at(bytes, at)?;
        if self.beginnings[usize::from(hash >> 6)] & (1 << (hash & 63)) == 0 {
            return None;
        }
        let all = self.secrets.iter().chain(&self.signatures).chain(&self.cookies);
        all.flat_map(|forms| &forms.needles)
            .filter_map(|needle| needle.end_in(bytes, at, may_be_truncated))
            .filter(|end| text.is_char_boundary(at) && text.is_char_boundary(*end))
            .max()
    }
}

impl Forms {
    /// `None` when the secret is too short.
    fn of(secret: &str) -> Option<Forms> {
        let decoded = decoded(secret.trim_end_matches(['\\', '%', '&']).as_bytes());
        if decoded.len() < MIN_SECRET_BYTES {
            return None;
        }
        let mut needles = vec![Needle::of_text(&decoded)];
        for text in inside_base64(secret, &decoded) {
            needles.extend((0..3).map(|shift| Needle::of_base64(&text, shift)));
        }
        Some(Forms { secret: Secret::new(secret), needles })
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

    /// End of the needle in the text, if it begins at `at`.
    fn end_in(&self, text: &[u8], at: usize, may_be_truncated: bool) -> Option<usize> {
        let mut left = &self.bytes[..];
        let mut at = at;
        let mut surplus = 0;
        let mut is_space = false;
        while let Some(expected) = left.first() {
            if may_be_truncated
                && self.bytes.len() - left.len() >= MIN_TRUNCATED_BYTES
                && let Some(end) = end_of_truncated(text, at)
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

/// Hashes of the first bytes. A run of `+`, and of the characters that may replace it, counts as one.
struct Beginning;

impl Beginning {
    const BYTES: usize = 4;
    const MAX_UNITS: usize = 32;

    fn of(bytes: &[u8]) -> u16 {
        let mut beginning = [0; Beginning::BYTES];
        let mut length = 0;
        for byte in bytes {
            length = Beginning::push(&mut beginning, length, *byte);
        }
        Beginning::hash(beginning)
    }

    /// `None` when too few bytes follow, or a run of spaces is too long.
    fn at(text: &[u8], at: usize) -> Option<u16> {
        let mut beginning = [0; Beginning::BYTES];
        let (mut length, mut at) = (0, at);
        for _ in 0..Beginning::MAX_UNITS {
            let unit = Unit::at(text, at)?;
            for byte in unit.bytes() {
                length = Beginning::push(&mut beginning, length, *byte);
            }
            if length == Beginning::BYTES {
                return Some(Beginning::hash(beginning));
            }
            at = unit.end;
        }
        None
    }

    /// Appends a byte if it counts. Returns the new length.
    fn push(beginning: &mut [u8; Beginning::BYTES], length: usize, byte: u8) -> usize {
        let byte = match byte {
            b' ' | b'-' | b'\t' => b'+',
            b'_' => b'/',
            byte => byte,
        };
        let is_surplus = byte == b'+' && length > 0 && beginning[length - 1] == b'+';
        match beginning.get_mut(length) {
            Some(slot) if !is_surplus => {
                *slot = byte;
                length + 1
            }
            _ => length,
        }
    }

    fn hash(beginning: [u8; Beginning::BYTES]) -> u16 {
        beginning.into_iter().fold(0, |hash: u16, byte| {
            hash.wrapping_mul(0x6d2b) ^ (hash >> 7) ^ u16::from(byte).wrapping_mul(0x9e37)
        })
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

/// Index after the mark or the end of the text, if the text was truncated at `at` or within the escape that begins there.
fn end_of_truncated(text: &[u8], at: usize) -> Option<usize> {
    const MAX_ESCAPE_BYTES: usize = 10;
    let rest = &text[at..];
    let mark = CUT.encode_utf8(&mut [0; 4]).len();
    let is_mark = |rest: &[u8]| rest.starts_with(CUT.encode_utf8(&mut [0; 4]).as_bytes());
    if rest.is_empty() {
        return Some(at);
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
        [] => Some(text.len()),
        after if is_mark(after) => Some(at + length + mark),
        _ => None,
    }
}

/// Index of the quote that ends the JSON string whose text begins at `at`.
fn string_end(json: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += found;
        if json[at] == b'"' {
            return at;
        }
        at += 2;
    }
    json.len()
}

/// User and password of an HTTP Basic credential.
pub(crate) fn user_and_password(base64: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(base64).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// A copy of a text with ranges replaced, started with the first replacement.
struct RedactedCopy<'a> {
    text: &'a str,
    safe: String,
    copied: usize,
}

impl<'a> RedactedCopy<'a> {
    fn of(text: &'a str) -> RedactedCopy<'a> {
        RedactedCopy { text, safe: String::new(), copied: 0 }
    }

    /// Replaces a range after the last one. Returns its end.
    fn replace(&mut self, range: std::ops::Range<usize>, with: &str) -> usize {
        self.safe.push_str(&self.text[self.copied..range.start]);
        self.safe.push_str(with);
        self.copied = range.end;
        range.end
    }

    fn finished(mut self) -> Option<String> {
        if self.copied == 0 {
            return None;
        }
        self.safe.push_str(&self.text[self.copied..]);
        Some(self.safe)
    }
}
