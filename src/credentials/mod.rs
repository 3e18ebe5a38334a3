//! AWS credentials: every source the AWS SDKs know, in their order, and `CredentialCache`, which keeps them fresh.
//!
//! `config` is pure: the shared files in, a plan out. `chain` carries the plan out; each source has a file in `sources`.

pub mod cache;
pub mod chain;
pub mod config;
pub mod expiry;
pub mod sources;
pub mod types;
pub mod watch;

pub use cache::CredentialCache;
pub use chain::{profile_setting, unknown_profiles};
pub use sources::sts::CallerIdentity;
pub use types::{Credentials, Settings, Source};
