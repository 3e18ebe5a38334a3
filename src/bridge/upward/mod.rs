//! Upward: a modern client with a legacy server.
//!
//! `upward` classifies the client's messages; `call` and `listen` are the two ways of a request, in the one `session`
//! with the server. Their state is in `calls` and `subscriptions`, without I/O. `request`, `response`, `notification`,
//! `question` and `legacy_server` read and change messages.

mod call;
mod calls;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod legacy_server;
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
