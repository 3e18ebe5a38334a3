//! `Outgoing`: a message of the client, and within which limits it goes to which server.

use crate::mcp::message::Message;
use crate::streamable_http::profile_router::Route;
use crate::sync::cancel::Cancel;
use std::time::Instant;

#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) route: &'a Route<'a>,
    pub(crate) message: &'a Message,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: &'a Cancel,
}
