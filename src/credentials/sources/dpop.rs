//! Proofs of possession of a key (DPoP, RFC 9449), which sign-in requires.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use serde_json::json;
use time::OffsetDateTime;

use crate::random;

/// A DPoP proof (RFC 9449 §4.2) for a POST to `url`.
pub(crate) fn proof(key: &SigningKey, url: &str, now: OffsetDateTime) -> String {
    let point = key.verifying_key().as_affine().to_sec1_point(false);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = json!({
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": { "kty": "EC", "crv": "P-256", "x": point.x().map(|x| encode(x)), "y": point.y().map(|y| encode(y)) },
    });
    let claims = json!({
        "jti": random::uuid(),
        "htm": "POST",
        "htu": url,
        "iat": now.unix_timestamp(),
    });
    let signed = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", encode(&signature.to_bytes()))
}
