//! `Block`: bytes that are examined at once. Comparisons yield one bit per byte, and the rest is arithmetic with these bits.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, i8x64, u8x64};

/// Number of bytes in a block.
pub(crate) const BLOCK: usize = 64;

/// Bytes of a text. The first is the lowest bit in every result.
pub(crate) struct Block<S: Simd>(u8x64<S>);

/// The position of the first of these bits; `BLOCK` without one.
#[inline]
pub(crate) fn first(bits: u64) -> usize {
    bits.trailing_zeros() as usize
}

#[expect(clippy::inline_always, reason = "the vectors of `simd` are known to its caller alone")]
impl<S: Simd> Block<S> {
    #[inline(always)]
    pub(crate) fn new(simd: S, bytes: &[u8; BLOCK]) -> Block<S> {
        Block(u8x64::simd_from(simd, *bytes))
    }

    #[inline(always)]
    pub(crate) fn equal(&self, byte: u8) -> u64 {
        self.0.simd_eq(byte).to_bitmask()
    }

    #[inline(always)]
    pub(crate) fn equal_either(&self, one: u8, other: u8) -> u64 {
        (self.0.simd_eq(one) | self.0.simd_eq(other)).to_bitmask()
    }

    #[inline(always)]
    pub(crate) fn controls(&self) -> u64 {
        self.0.simd_le(0x1f).to_bitmask()
    }

    #[inline(always)]
    pub(crate) fn beyond_ascii(&self) -> u64 {
        self.signed().simd_lt(0).to_bitmask()
    }

    /// Whether any byte is a line feed, a carriage return, or beyond ASCII.
    #[inline(always)]
    pub(crate) fn may_end_line(&self) -> bool {
        let ends = self.0.simd_eq(b'\n') | self.0.simd_eq(b'\r');
        (ends | self.signed().simd_lt(0)).to_bitmask() != 0
    }

    /// Continuation bytes, where the byte is beyond ASCII.
    #[inline(always)]
    pub(crate) fn not_first(&self) -> u64 {
        self.signed().simd_lt(0xc0_u8.cast_signed()).to_bitmask()
    }

    /// The first bytes of two-byte characters.
    #[inline(always)]
    pub(crate) fn firsts_of_two(&self) -> u64 {
        self.0.max(0xc2).min(0xdf).simd_eq(self.0).to_bitmask()
    }

    /// The second bytes of the commonest escapes, other than quotes and backslashes: line ends and tabs.
    #[inline(always)]
    pub(crate) fn letters_of_escapes(&self) -> u64 {
        let (n, r, t) = (self.0.simd_eq(b'n'), self.0.simd_eq(b'r'), self.0.simd_eq(b't'));
        (n | r | t).to_bitmask()
    }

    #[inline(always)]
    fn signed(&self) -> i8x64<S> {
        self.0.bitcast()
    }
}
