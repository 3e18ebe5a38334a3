//! AWS Signature Version 4 and 4A, without I/O: request, key, scope and time in, headers out.

pub mod canonical;
pub mod secret;
pub mod signer;
pub mod v4;
pub mod v4a;

pub use secret::{AccessKey, Secret};
pub use signer::*;
