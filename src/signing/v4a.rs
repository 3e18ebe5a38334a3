//! SigV4a: a P-256 key derived from the access key alone, and an ECDSA signature over the string to sign.

use crate::signing::secret::AccessKey;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey as EcdsaKey};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

pub const ALGORITHM: &str = "AWS4-ECDSA-P256-SHA256";

/// The key pair of one access key: valid for every day, region and service.
#[derive(Clone)]
pub struct SigningKey(EcdsaKey);

impl SigningKey {
    /// Derives the key by NIST SP 800-108 in counter mode with one block; the access key id is part of the fixed input.
    pub fn derive(key: &AccessKey) -> SigningKey {
        let hmac_key = Zeroizing::new(format!("AWS4A{}", key.secret_access_key.expose()));
        // A candidate is out of range for about one key in 2^32, so the counter practically ends at 1 or 2.
        (1..=254_u8)
            .find_map(|counter| candidate(hmac_key.as_bytes(), &key.access_key_id, counter))
            .expect("254 candidates in a row are out of range with a probability of 2^-8128")
    }

    /// The signature: DER in lower-case hex, with the nonce of RFC 6979 and `s` not normalized.
    pub fn sign(&self, string_to_sign: &str) -> String {
        let signature: DerSignature = self.0.sign(string_to_sign.as_bytes());
        hex::encode(signature.as_bytes())
    }

    /// The private scalar, 32 bytes, big-endian. For comparison with other implementations.
    pub fn private_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The coordinates of the public point, 32 bytes each.
    pub fn public_point(&self) -> ([u8; 32], [u8; 32]) {
        let point = self.0.verifying_key().to_sec1_point(false);
        let coordinate = |c: Option<&p256::FieldBytes>| c.copied().unwrap_or_default().into();
        (coordinate(point.x()), coordinate(point.y()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// The key of one counter value, or `None` when this candidate is out of range.
fn candidate(hmac_key: &[u8], access_key_id: &str, counter: u8) -> Option<SigningKey> {
    // A new MAC for every counter value: continuing with the input of the last one is a known mistake.
    let mut mac = Hmac::<Sha256>::new_from_slice(hmac_key).expect("HMAC takes keys of any length");
    mac.update(&1_u32.to_be_bytes());
    mac.update(ALGORITHM.as_bytes());
    mac.update(&[0]);
    mac.update(access_key_id.as_bytes());
    mac.update(&[counter]);
    mac.update(&256_u32.to_be_bytes());
    let mut scalar: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());

    // AWS accepts a candidate c <= n-2 and uses c+1. With wrapping addition, c+1 lies in 1..n for exactly
    // these, so the curve's range check is sufficient, and no branch depends on secret bytes.
    let mut carry = 1_u16;
    for byte in scalar.iter_mut().rev() {
        let sum = u16::from(*byte) + carry;
        *byte = sum.to_be_bytes()[1];
        carry = sum >> 8;
    }
    EcdsaKey::from_slice(&scalar[..]).ok().map(SigningKey)
}
