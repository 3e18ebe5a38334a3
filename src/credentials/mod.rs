//! AWS credentials: all sources of the AWS SDKs, in their order, and [`CredentialCache`], which refreshes them.
//!
//! `chain` decides which source is configured and makes a plan (`config` does so for profiles); `executor` executes the
//! plan, for which `providers` calls the sources, each in a file of `sources`; `cache` decides when to do so again.
//!
//! * A source that is configured and fails is an error. The next one would sign as another identity.
//! * Every secret is registered with the redactor before it is sent or can be printed.
//! * Expiration is compared with AWS's time, which comes from the services' responses; pauses use the local clock.

mod cache;
mod cache_entry;
pub(crate) mod cache_key;
mod chain;
pub mod config;
mod diagnostics;
mod executor;
pub(crate) mod expiry;
mod header_value;
mod progress;
mod providers;
mod services;
mod settings;
mod sign_in_plan;
mod source;
pub(crate) mod sources;
mod types;
pub(crate) mod watch;

pub use cache::CredentialCache;
pub use config::plan::Role;
pub use config::profile_files::ProfileFiles;
pub(crate) use services::Services;
pub use settings::{Settings, Terminal};
pub use source::Source;
pub use sources::sts::CallerIdentity;
#[cfg(fuzzing)]
pub use sources::sts::parse_response as parse_sts_response;
pub use types::Credentials;
