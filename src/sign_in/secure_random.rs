//! Secrets from the operating system's generator.

use crate::error::{Error, Kind};
use crate::signing::Secret;

/// Unreserved characters (RFC 7636 §4.1).
const UNRESERVED: &[u8; 66] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

/// A text of 64 random unreserved characters.
///
/// # Errors
/// The system has no generator.
pub(crate) fn verifier() -> Result<Secret, Error> {
    const LENGTH: usize = 64;
    // Of the 256 values of a byte, those below are as many for each character.
    const EVEN: u8 = 198;
    let mut text = String::with_capacity(LENGTH);
    while text.len() < LENGTH {
        let bytes = bytes::<64>()?;
        let characters = bytes
            .iter()
            .filter(|byte| **byte < EVEN)
            .map(|byte| char::from(UNRESERVED[usize::from(*byte) % UNRESERVED.len()]));
        text.extend(characters.take(LENGTH - text.len()));
    }
    Ok(Secret::new(text))
}

/// A version 4 UUID (RFC 9562 §5.4).
///
/// # Errors
/// The system has no generator.
pub(crate) fn uuid() -> Result<String, Error> {
    let mut bytes = bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    Ok(parts.join("-"))
}

/// # Errors
/// The system has no generator.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(Kind::Internal, format!("no random numbers from the system: {error}"))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn verifiers_differ_and_use_every_character() {
        let verifiers: BTreeSet<String> =
            (0..1000).map(|_| verifier().unwrap().expose().to_owned()).collect();
        assert_eq!(verifiers.len(), 1000);
        assert!(verifiers.iter().all(|verifier| verifier.len() == 64));
        let used: BTreeSet<u8> = verifiers.iter().flat_map(|text| text.bytes()).collect();
        assert_eq!(used, UNRESERVED.iter().copied().collect());
        let id = uuid().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert!(b"89ab".contains(&id.as_bytes()[19]) && id != uuid().unwrap());
    }
}
