//! The process: memory protection, signals as the parent left them, and the standard streams.

mod memory;
mod signals;
mod standard_streams;

pub use memory::protect_memory;
pub use signals::{wait_for_children, watch_signals};
pub use standard_streams::{stderr, stdin, stdout};
