//! The other client's side: requests over HTTP in, responses and event streams out (`--listen`).
//!
//! `server` accepts connections, each on a thread of its own. `connection` reads requests strictly (`request_head`,
//! `request_body`), lets `access` decide who may send them, and hands them to `handler`, which answers by `response`.
//! `connections` knows what runs, and `disconnect_watch` which clients have left.

pub(crate) mod access;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod connection;
pub(crate) mod connections;
#[cfg(unix)]
mod disconnect_watch;
pub(crate) mod event;
#[cfg(fuzzing)]
mod fuzzing;
pub(crate) mod handler;
mod input;
pub(crate) mod outbox;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod request;
mod request_body;
mod request_head;
pub(crate) mod response;
pub(crate) mod server;
pub(crate) mod settings;
pub(crate) mod slots;
mod socket;
#[cfg(unix)]
mod socket_file;
pub(crate) mod standing_stream;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod token;

#[cfg(fuzzing)]
pub use fuzzing::requests;
pub use handler::Handler;
pub use server::run;
pub use settings::{Address, Settings, TokenSource};
