//! The pure translations of both directions, for a fuzz target.

use crate::bridge::{downward, upward};
use crate::mcp::message::Message;

/// Everything that the client's message and the server's become in either direction: each is JSON.
pub fn translations(client: &Message, server: &str) -> Vec<String> {
    let mut all = downward::fuzzing::translations(client, server);
    all.extend(upward::fuzzing::translations(client, server));
    all
}
