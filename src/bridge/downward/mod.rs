//! Downward: a legacy client with a modern server.
//!
//! `downward` takes the client's messages. `handshake` responds to `initialize` from the `DiscoverResult`, `request`
//! and `response` translate one message, `tools` and `output_schema` make tools readable to legacy clients, `call` sends a
//! request as often as the server has `questions` to the client, `listen` keeps the stream of the server's own
//! notifications.

mod batch;
mod call;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the room its name has its own file"
)]
mod downward;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod handshake;
mod listen;
mod output_schema;
mod questions;
mod request;
mod response;
mod tools;

pub(crate) use downward::Downward;
