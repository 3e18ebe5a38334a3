//! Upward: a modern client before a legacy server.
//!
//! `upward` decides what a message of the client is; `call` and `listen` are the two ways of a request, in the one `session`
//! with the server. What they know is in `calls` and `subscriptions`, without I/O. `request`, `response`, `notification`,
//! `question` and `legacy_server` read and change messages.

mod call;
mod calls;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod legacy_server;
mod level;
mod listen;
mod notification;
mod question;
mod request;
mod response;
mod session;
mod subscriptions;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the room its name has its own file"
)]
mod upward;

pub(crate) use upward::Upward;
