//! The client's side: lines from stdin, lines to stdout.
//!
//! `server` reads a line and hands it to the scheduler, which calls back on a thread: `call` relays a request, `output` writes
//! every line. A request gets exactly one response, a notification none, and nothing of a cancelled request is written.

pub(crate) mod call;
pub(crate) mod context;
pub(crate) mod deferred_initialize;
mod discover;
pub(crate) mod input;
pub(crate) mod line_writer;
pub(crate) mod output;
pub(crate) mod oversized;
pub(crate) mod server;
pub(crate) mod shutdown;
pub(crate) mod standing_stream;

pub use server::{Settings, run};
pub use shutdown::ShutdownReason;
