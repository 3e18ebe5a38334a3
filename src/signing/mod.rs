//! AWS Signature Version 4 and 4A: pure functions of request, key, scope and time.

mod secret;

pub use secret::{AccessKey, Secret};
