//! AWS Signature Version 4 and 4a as a pure function: request, access key, scope and time in, headers out.
//!
//! No clock, no I/O, no errors: any request can be signed. Each file is named after a step of AWS's description:
//! `target` and `payload` are prepared once and reused by every attempt, `canonical` makes the canonical request and the
//! string to sign, `v4` and `v4a` derive keys and sign, and `signer` puts the steps together.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

mod canonical;
mod digest;
mod payload;
mod request;
mod secret;
mod signer;
mod target;
pub mod v4;
pub mod v4a;

pub(crate) use canonical::is_of_signature;
pub use digest::BodyHash;
pub use payload::{Payload, PayloadSigning};
pub use request::{Header, Request};
pub use secret::{AccessKey, Secret};
pub use signer::{Algorithm, Signed, Signer};
pub use target::{CanonicalTarget, UriEncoding};
