//! When a message may start, and on which thread.

pub mod admission;
pub mod detached;
pub mod handoff;
pub mod queue;
pub mod threads;
pub mod timer;
