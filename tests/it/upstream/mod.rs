pub(crate) mod clock_skew;
pub(crate) mod error_responses;
mod interception;
mod requests;
pub(crate) mod sign_host;
