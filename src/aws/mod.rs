//! What AWS says and how its names are built: host names, regions and partitions, error bodies, and the advice that
//! goes with each cause.

pub mod clock_skew;
pub mod error_cause;
pub mod hostname;
pub mod refusal;
pub mod signature_diff;
