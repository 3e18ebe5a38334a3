//! What AWS says and how its names are built: host names, ARNs, regions and partitions, error responses and their causes.
//! Pure: text in, meaning out. Anyone can stand behind a URL, so everything is taken as foreign text: bounded when it is
//! shown, and without effect unless it has AWS's own form.

pub(crate) mod agentcore;
pub mod clock_skew;
pub mod error_cause;
pub mod hostname;
pub(crate) mod partition;
pub mod refusal;
pub mod signature_diff;
