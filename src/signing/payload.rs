//! `Payload`: the request body as it enters the signature.

use crate::signing::digest::{BodyHash, Hex, sha256_hex};

/// The value in place of the hash of a body that is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Treatment of the body by the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadSigning {
    /// The hash of the body is signed.
    Hashed,
    /// The hash of the body is signed and also sent as `x-amz-content-sha256`.
    HashedInHeader,
    /// The body is not signed: `UNSIGNED-PAYLOAD` is sent as `x-amz-content-sha256`. The service must allow this.
    Unsigned,
}

impl PayloadSigning {
    /// The treatment that a service expects, by its signing name.
    pub fn for_service(service: &str) -> PayloadSigning {
        match service {
            "vpc-lattice-svcs" => PayloadSigning::Unsigned,
            "s3" | "s3-outposts" | "s3-object-lambda" | "s3express" | "glacier" | "aoss" => {
                PayloadSigning::HashedInHeader
            }
            _ => PayloadSigning::Hashed,
        }
    }
}

/// The payload hash of a canonical request. Computed once per body and reused by every attempt to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub(crate) hash: String,
    /// Whether the hash is also sent as `x-amz-content-sha256`.
    pub(crate) in_header: bool,
}

impl Payload {
    /// The payload of a complete body.
    pub fn of(body: &[u8], signing: PayloadSigning) -> Payload {
        Payload::with_signing(signing, || sha256_hex(body))
    }

    /// The payload of a body that was hashed while it arrived.
    pub fn of_hashed(hash: BodyHash, signing: PayloadSigning) -> Payload {
        Payload::with_signing(signing, || hash.finish())
    }

    fn with_signing(signing: PayloadSigning, hash: impl FnOnce() -> Hex) -> Payload {
        match signing {
            PayloadSigning::Hashed => Payload::with_hash(&hash(), false),
            PayloadSigning::HashedInHeader => Payload::with_hash(&hash(), true),
            PayloadSigning::Unsigned => Payload::with_hash(UNSIGNED, true),
        }
    }

    /// Whether the body was treated in this way.
    pub(crate) fn is_treated(&self, signing: PayloadSigning) -> bool {
        match signing {
            PayloadSigning::Hashed => !self.in_header,
            PayloadSigning::HashedInHeader => self.in_header && self.hash != UNSIGNED,
            PayloadSigning::Unsigned => self.hash == UNSIGNED,
        }
    }

    /// A payload whose SHA-256 (lower-case hex) is known already.
    pub fn with_hash(hash: &str, in_header: bool) -> Payload {
        Payload { hash: hash.to_owned(), in_header }
    }
}
