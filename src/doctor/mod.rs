//! `sigv4-proxy doctor`: everything that has to be right, checked in order, with the fix for what is not.

pub mod checks;
pub mod report;

pub use checks::Doctor;
pub use report::Style;
