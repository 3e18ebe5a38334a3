//! Random numbers: for backoff times and identifiers, and those that must not be guessed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// A random number, derived from the random keys of the standard library's hash maps: not for security.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A uniformly distributed duration from zero to `max`.
pub(crate) fn up_to(max: Duration) -> Duration {
    let share = u32::try_from(number() >> 32).unwrap_or_default();
    max.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

/// A version 4 UUID (RFC 9562 §5.4).
pub(crate) fn uuid() -> String {
    let (high, low) = (number(), number());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// 128 bits from the system's random source, as lower-case hex: an identifier that cannot be guessed.
///
/// # Panics
/// If the system has no random source.
pub(crate) fn unguessable() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has a random source");
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_times_stay_in_bounds() {
        let max = Duration::from_secs(10);
        let times: Vec<Duration> = (0..100).map(|_| up_to(max)).collect();
        assert!(times.iter().all(|time| *time <= max));
        assert!(times.iter().any(|time| *time > max / 2) && times.iter().any(|t| *t < max / 2));
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
        let (one, other) = (unguessable(), unguessable());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
    }
}
