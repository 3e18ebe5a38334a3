//! Random numbers without security purpose: backoff times and identifiers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Any number, from the keys that the operating system gives the standard library's hash maps.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A uniformly distributed duration from zero to `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    let share = u32::try_from(number() >> 32).unwrap_or_default();
    most.mul_f64(f64::from(share) / f64::from(u32::MAX))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_times_stay_in_bounds() {
        let most = Duration::from_secs(10);
        let times: Vec<Duration> = (0..100).map(|_| up_to(most)).collect();
        assert!(times.iter().all(|time| *time <= most));
        assert!(times.iter().any(|time| *time > most / 2) && times.iter().any(|t| *t < most / 2));
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
    }
}
