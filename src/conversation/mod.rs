//! One client's messages on their way to the servers and back, whatever carries them between this program and the client.
//!
//! A front (`stdio`, `listener`) parses what the client sends and writes what it gets; everything between is `Conversation`.

#[expect(
    clippy::module_inception,
    reason = "the type that gives the room its name has its own file"
)]
pub(crate) mod conversation;
pub(crate) mod server_requests;

pub use conversation::{Conversation, Parts};
pub(crate) use conversation::{Limits, Passage};
pub(crate) use server_requests::Origin;
