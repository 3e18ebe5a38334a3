//! SHA-256 digests in lower-case hex, as AWS requires.

use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::Deref;

/// The SHA-256 of a body that arrives in pieces.
#[derive(Clone, Default)]
pub struct BodyHash(Sha256);

impl BodyHash {
    /// Hashes the next piece of the body.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> Hex {
        Hex::of(&self.0.finalize().into())
    }
}

impl fmt::Debug for BodyHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BodyHash")
    }
}

/// The SHA-256 of `bytes`.
pub(crate) fn sha256_hex(bytes: &[u8]) -> Hex {
    Hex::of(&Sha256::digest(bytes).into())
}

/// 32 bytes as lower-case hex. The `hex` crate encodes digit by digit, which costs as much as the hash of a small body.
pub(crate) struct Hex([u8; 64]);

impl Hex {
    pub(crate) fn of(bytes: &[u8; 32]) -> Hex {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&DIGITS[usize::from(*byte)]);
        }
        Hex(text)
    }
}

impl Deref for Hex {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

/// The two hex digits of each byte value.
const DIGITS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte / 16], digits[byte % 16]];
        byte += 1;
    }
    pairs
};
