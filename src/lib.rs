//! The parts of `sigv4-proxy`. Other programs can use [`signing`] and [`credentials`]; docs/library.md has examples. The
//! interface is not stable before 1.0.

pub mod assembly;
pub mod aws;
pub mod buffer;
pub mod cli;
pub mod clock;
pub mod credentials;
pub mod doctor;
pub mod environment;
pub mod error;
pub mod http;
pub mod json;
pub mod log;
pub mod mcp;
pub mod percent;
pub mod process;
pub mod random;
pub mod redact;
pub(crate) mod scheduler;
pub mod signing;
pub mod stdio;
pub mod streamable_http;
pub mod suggest;
pub mod sync;
pub mod upstream;

/// Runs the examples of the page as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct LibraryPage;
