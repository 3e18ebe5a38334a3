//! SigV4: a signing key derived from date, region and service, and an HMAC-SHA256 over the string to sign.

use crate::signing::digest::Hex;
use crate::signing::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The signing key of one secret, day, region and service, with its HMAC state prepared.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Derives the key. `day` is `YYYYMMDD`.
    pub fn derive(secret: &Secret, day: &str, region: &str, service: &str) -> SigningKey {
        SigningKey(keyed(&key_bytes(secret, day, region, service)[..]))
    }

    /// The signature, lower-case hex.
    pub fn sign(&self, string_to_sign: &str) -> String {
        let code = self.0.clone().chain_update(string_to_sign).finalize();
        Hex::of(&code.into_bytes().into()).to_owned()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// The 32 bytes of the signing key: chained HMACs that begin with `AWS4` + secret.
pub fn key_bytes(secret: &Secret, day: &str, region: &str, service: &str) -> Zeroizing<[u8; 32]> {
    let first = Zeroizing::new(format!("AWS4{}", secret.expose()));
    let mut key = mac(first.as_bytes(), day);
    for part in [region, service, "aws4_request"] {
        key = mac(&key[..], part);
    }
    key
}

fn mac(key: &[u8], text: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(keyed(key).chain_update(text).finalize().into_bytes().into())
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}
