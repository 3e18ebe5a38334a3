//! The parts of `sigv4-proxy`. [`signing`] and [`credentials`] are of use to other programs; docs/library.md has
//! examples. No promise of a stable interface is made before 1.0.

pub mod answer;
pub mod clock;
pub mod conversation;
pub mod credentials;
mod crowd;
mod detached;
pub mod doctor;
pub mod duration;
pub mod endpoint;
pub mod envelope;
pub mod environment;
pub mod error;
mod error_cause;
pub mod event_stream;
mod file;
mod glob;
pub mod http;
mod id_scan;
pub mod incoming;
pub mod inference;
mod input;
mod json_string;
mod lane;
mod large;
pub mod log;
mod member_names;
mod members;
pub mod message;
pub mod mismatch;
mod monitor;
pub mod options;
mod output;
pub mod policy;
pub mod process;
mod profile_argument;
pub mod profiles;
pub mod proxy;
mod punycode;
mod random;
pub mod redact;
pub mod relay;
mod request_metadata;
mod retry;
mod server_requests;
pub mod session;
pub mod signing;
mod single_flight;
mod skew;
mod spelling;
mod splice;
mod standby;
mod timer;
pub mod tools;
pub mod upstream;
mod user_agent;
mod workers;

/// The examples of the page are tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct LibraryPage;
