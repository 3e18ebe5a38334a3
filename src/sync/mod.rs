//! Waiting with limits: locks, cancellation, values whose changes threads wait for, work done once for all callers.

pub mod cancel;
pub(crate) mod lock;
pub mod monitor;
pub mod single_flight;

pub use cancel::{Cancel, OnCancel};
pub(crate) use lock::{lock, read, wait, wait_timeout, wait_timeout_while, write};
