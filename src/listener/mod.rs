//! The client's side over HTTP (`--listen`): requests in, responses and event streams out.
//!
//! | concern | files |
//! |---|---|
//! | accepting connections | `server`, `socket`, `socket_file`, `settings` |
//! | one connection | `connection`, `stream`, `input`; all of them: `connections`, `disconnect_watch` |
//! | a request, read strictly | `request_head`, `request_body`, `request`; the memory for all: `body_budget` |
//! | who may send it, and refusals | `access`, `token`, `refusal` |
//! | what is done for it | `handler`; a POST: `call`, `slots`, `notice`, `accepted`; a GET: `standing_stream` |
//! | its response | `status` (the HTTP status of an error), `response`, shared between threads: `reply`; `event` |
//! | the clients | `clients`, `client`, `outbox` |

mod accepted;
pub(crate) mod access;
mod body_budget;
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
mod notice;
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
pub(crate) mod socket;
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
