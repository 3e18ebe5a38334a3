//! `KnownSecrets`: all secrets of the process, and the search for them.

use crate::redact::forms::{MARK, Needle, SecretForms};
use crate::redact::unit::Unit;
use crate::signing::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr2;
use std::collections::VecDeque;

/// Maximum number of signatures that are searched for: a response may repeat the signature of its request, and this is twice the
/// default number of requests in flight.
pub(crate) const MAX_SIGNATURES: usize = 512;

/// Maximum number of cookies and session ids that are searched for: several for each client of a listener.
pub(crate) const MAX_ISSUED: usize = 1024;

/// For how long a secret is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// As long as the process runs: values of flags and variables.
    Process,
    /// Until many others have replaced it: keys without an expiration. Temporary ones, which are replaced all day, do not count.
    LongTerm,
    /// Until many others have replaced it: keys and tokens that expire.
    Temporary,
    /// Of a request. The oldest are dropped first.
    Signature,
    /// Until it is replaced or withdrawn: cookies and ids of sessions.
    Issued,
}

impl Lifetime {
    const COUNT: usize = Lifetime::Issued as usize + 1;

    /// Maximum number of such secrets; the oldest are dropped.
    fn max(self) -> usize {
        match self {
            // The user wrote them down.
            Lifetime::Process => usize::MAX,
            Lifetime::LongTerm | Lifetime::Temporary => 512,
            Lifetime::Signature => MAX_SIGNATURES,
            Lifetime::Issued => MAX_ISSUED,
        }
    }
}

/// All secrets, and an index that rejects most positions of a text.
#[derive(Clone)]
pub(crate) struct KnownSecrets {
    /// By lifetime.
    secrets: [VecDeque<SecretForms>; Lifetime::COUNT],
    /// Bit set of the hashes of the needles' first bytes.
    beginnings: Vec<u64>,
    /// These hashes with their needles, by the last bits of the hash. So a text that repeats the beginning of one secret is compared
    /// with few others.
    needles: Vec<Vec<(u16, Place)>>,
}

const BUCKETS: usize = 1 << 8;

/// Where a needle is: its secret's lifetime, the secret, the needle.
type Place = (u8, u32, u8);

impl Default for KnownSecrets {
    fn default() -> KnownSecrets {
        let secrets = Default::default();
        KnownSecrets { secrets, beginnings: vec![0; 1 << 10], needles: vec![Vec::new(); BUCKETS] }
    }
}

impl KnownSecrets {
    /// Adds secrets that are not too short. Known ones become the newest.
    pub(crate) fn add(&mut self, secrets: &mut dyn Iterator<Item = &str>, lifetime: Lifetime) {
        let list = &mut self.secrets[lifetime as usize];
        for secret in secrets {
            let known = list.iter().position(|forms| forms.secret() == secret);
            let known = known.and_then(|at| list.remove(at));
            list.extend(known.or_else(|| SecretForms::of(secret)));
        }
        list.drain(..list.len().saturating_sub(lifetime.max()));
        self.refresh();
    }

    /// Drops all but these of the values that the server issued, and adds those that are new.
    pub(crate) fn set_issued(&mut self, values: &VecDeque<Secret>) {
        let list = &mut self.secrets[Lifetime::Issued as usize];
        let is_of = |forms: &SecretForms, value: &Secret| forms.secret() == value.expose();
        list.retain(|forms| values.iter().any(|value| is_of(forms, value)));
        let is_new = |value: &&Secret| !list.iter().any(|forms| is_of(forms, value));
        let new: Vec<SecretForms> = values
            .iter()
            .filter(is_new)
            .filter_map(|value| SecretForms::of(value.expose()))
            .collect();
        list.extend(new);
        self.refresh();
    }

    fn refresh(&mut self) {
        self.beginnings.fill(0);
        self.needles.iter_mut().for_each(Vec::clear);
        for (lifetime, secrets) in (0..).zip(&self.secrets) {
            for (secret, forms) in (0..).zip(secrets) {
                for (number, needle) in (0..).zip(forms.needles()) {
                    let hash = Beginning::of(needle.bytes());
                    self.beginnings[usize::from(hash >> 6)] |= 1 << (hash & 63);
                    let bucket = usize::from(hash) % BUCKETS;
                    self.needles[bucket].push((hash, (lifetime, secret, number)));
                }
            }
        }
    }

    /// The needles whose first bytes have this hash.
    fn needles_of(&self, hash: u16) -> impl Iterator<Item = &Needle> {
        let bucket = &self.needles[usize::from(hash) % BUCKETS];
        let same = bucket.iter().filter(move |(known, _)| *known == hash);
        same.map(|(_, (lifetime, secret, number))| {
            let forms = &self.secrets[usize::from(*lifetime)][*secret as usize];
            &forms.needles()[usize::from(*number)]
        })
    }

    fn is_empty(&self) -> bool {
        self.secrets.iter().all(VecDeque::is_empty)
    }

    /// The text without secrets; `None` when it holds none.
    pub(crate) fn without_secrets(&self, text: &str) -> Option<String> {
        let mut safe = RedactedCopy::of(text);
        if !self.is_empty() {
            let mut at = 0;
            while at < text.len() {
                at = match self.secret_at(text, at, true) {
                    Some(end) => safe.replace(at..end, MARK.encode_utf8(&mut [0; 4])),
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
                Some(end) => safe.replace(at..end, MARK.encode_utf8(&mut [0; 4])),
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
        self.needles_of(hash)
            .filter_map(|needle| needle.end_in(bytes, at, may_be_truncated))
            .filter(|end| text.is_char_boundary(at) && text.is_char_boundary(*end))
            .max()
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
