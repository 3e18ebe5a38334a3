//! `sigv4-proxy doctor`: checks all that the proxy needs, in order, and reports how to fix what fails.

mod checks;
mod latency;
mod listener;
mod network;
mod report;
mod session;
mod sign_in;

pub use checks::Doctor;
pub use report::Style;
