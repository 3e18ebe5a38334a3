//! Waiting with limits: locks, channels, cancellation, values whose changes threads wait for, work done once for all callers.

pub(crate) mod cancel;
pub(crate) mod channel;
pub(crate) mod lock;
pub(crate) mod monitor;
pub(crate) mod single_flight;
pub(crate) mod thread;

pub(crate) use channel::bounded_channel;
pub use channel::{Receiver, Sender, channel};
pub(crate) use lock::{lock, read, wait, wait_timeout, wait_timeout_while, write};
pub(crate) use thread::spawn;
