//! The process: its heap, memory protection, inherited signals, the terminal and the standard streams.

#[cfg(target_env = "musl")]
mod heap;
mod memory;
mod open_files;
mod prompt;
mod signals;
mod standard_streams;
mod terminal;

#[cfg(target_env = "musl")]
pub use heap::{Heap, empty_heap};
pub use memory::protect_memory;
pub use open_files::raise_open_files_limit;
pub(crate) use prompt::ask;
pub use signals::{wait_for_children, watch_signals};
pub use standard_streams::{stderr, stdin, stdout};
pub(crate) use terminal::has_terminal;
#[cfg(unix)]
pub(crate) use terminal::in_new_session;
pub use terminal::{become_other_program, terminal_columns};
