pub(crate) mod clock_skew;
pub(crate) mod error_responses;
pub(crate) mod sign_host;
