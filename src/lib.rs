//! The AWS signer and credential chain of the program `sigv4-proxy`.
//!
//! * [`signing`]: Signature Version 4 and 4a as a pure function, without clock, I/O or errors.
//! * [`credentials`]: the credential providers of the AWS SDKs, in their order, with a cache that refreshes.
//! * [`environment`] and [`error`]: what these two take and return.
//!
//! docs/library.md has examples. The interface is not stable before 1.0.

pub mod credentials;
pub mod environment;
pub mod error;
pub mod signing;

// Public for the program, its tests, benchmarks and fuzz targets only.
#[doc(hidden)]
pub mod assembly;
#[doc(hidden)]
pub mod aws;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod client;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod conversation;
#[doc(hidden)]
pub mod doctor;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod listener;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod mcp;
#[doc(hidden)]
pub mod percent;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod redact;
#[doc(hidden)]
pub mod sign_in;
#[doc(hidden)]
pub mod stdio;
#[doc(hidden)]
pub mod sync;

#[doc(hidden)]
pub mod prompt;

#[cfg(not(fuzzing))]
mod bridge;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod bridge;

mod buffer;
mod random;
mod scheduler;
mod streamable_http;
mod suggest;
mod upstream;

/// Runs the examples of the page as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct LibraryPage;
