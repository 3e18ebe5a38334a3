//! Formats and facts of AWS: host names, ARNs, regions and partitions, error responses and their causes, the limits of its
//! services.
//!
//! Pure: text in, meaning out. Any server may be at a URL, so all text is untrusted: bounded when it is
//! shown, and without effect unless it has AWS's own form.

pub(crate) mod agentcore;
pub(crate) mod clock_skew;
pub mod error_body;
pub(crate) mod error_cause;
pub mod error_response;
pub mod hint;
pub mod hostname;
pub(crate) mod interception;
pub(crate) mod partition;
pub(crate) mod region;
pub mod runtime_session;
pub(crate) mod service_facts;
pub mod signature_diff;
pub(crate) mod xml;
