//! `Upward`: one legacy session with each profile's server for all modern requests of the client.
//!
//! `bridge` calls it as follows, from any number of threads at once:
//! * `begin` when a modern request was refused and the server does not speak that era: the handshake, once for all callers.
//! * `exchange` for every modern request and every notification and response of the client from then on. It may come without
//!   `begin`, when the server itself named its revisions, so it starts a missing session. It passes lines to `sink` as
//!   `Exchanger::exchange` does, in the client's form: one response to each request under the request's own id.
//! * `take` for messages of the server outside calls.
//! * `end` when the client sends its own `initialize`, whose session replaces this one, and when the server has changed.

use crate::bridge::outgoing::Outgoing;
use crate::bridge::upward::call::{self, respond};
use crate::bridge::upward::listen;
use crate::bridge::upward::request::ModernRequest;
use crate::bridge::upward::session::LegacySession;
use crate::bridge::watch::Refusal;
use crate::error::Error;
use crate::log::Log;
use crate::mcp::error_codes::METHOD_NOT_FOUND;
use crate::mcp::error_response::protocol_error;
use crate::streamable_http::profile_router::Route;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time to end a session that the client replaces by its own.
const END_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Upward {
    /// As in the bridge's `Settings`.
    opens_get_stream: bool,
    /// By profile.
    sessions: Mutex<BTreeMap<usize, Arc<LegacySession>>>,
    /// There are any.
    has_sessions: AtomicBool,
    log: Log,
}

impl Upward {
    pub(crate) fn new(opens_get_stream: bool, log: Log) -> Upward {
        Upward {
            opens_get_stream,
            sessions: Mutex::default(),
            has_sessions: AtomicBool::default(),
            log,
        }
    }

    /// Whether a session was started for the client.
    pub(crate) fn has_session(&self) -> bool {
        self.is_in_use() && lock(&self.sessions).values().any(|session| session.is_begun())
    }

    /// Whether any session was started for the client, or is about to be.
    pub(crate) fn is_in_use(&self) -> bool {
        self.has_sessions.load(Ordering::Acquire)
    }

    /// Whether a call waits for its client to repeat it with this state.
    pub(crate) fn awaits(&self, state: &str) -> bool {
        let has_parked = |session: &Arc<LegacySession>| session.calls.lock().has_parked(state);
        self.is_in_use() && lock(&self.sessions).values().any(has_parked)
    }

    /// Starts the session with the identity and the capabilities of this modern request, unless there is one already.
    ///
    /// # Errors
    /// The server does not speak the legacy era or could not be reached, or the call ended before.
    pub(crate) fn begin(&self, outgoing: Outgoing<'_>) -> Result<(), Error> {
        let Outgoing { route, message, deadline, cancel } = outgoing;
        match ModernRequest::read(message) {
            Some(request) => self.session(route).begin(&request, deadline, cancel),
            None => Ok(()),
        }
    }

    /// Sends the message in the form of a legacy server, and relays the responses in the form of a modern client. Returns the
    /// refusal, if the server speaks only the modern era by now.
    pub(crate) fn exchange(
        &self,
        outgoing: Outgoing<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Refusal>, Error> {
        let Outgoing { route, message, deadline, cancel } = outgoing;
        let session = self.session(route);
        let Some(request) = ModernRequest::read(message) else {
            let method = message.method().unwrap_or("response");
            if is_left_out(method) {
                self.log.debug(format_args!(
                    "ignoring {method} from the client: it does not exist before MCP 2026-07-28"
                ));
                return Ok(None);
            }
            return route.exchanger.exchange(message, deadline, cancel, sink).map(|()| None);
        };
        if let Some(error) = request.refusal() {
            // The status that the revision requires.
            let line =
                Line { http_error: Some(400), ..Line::response(error.into_bytes(), 0, true) };
            return sink(Relayed::Line(line)).map(|()| None);
        }
        match request.method {
            "server/discover" => {
                session.begin(&request, deadline, cancel)?;
                let (id, result) = (request.id.as_json(), session.server().discover_result());
                respond(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#), sink)
            }
            "subscriptions/listen" => {
                let is_over_http = message.headers().is_some();
                listen::run(&session, &request, is_over_http, deadline, cancel, sink).map(|()| None)
            }
            method if is_removed(method) => {
                let what = format!("{method} is not part of MCP 2026-07-28");
                respond(protocol_error(request.id.as_json(), METHOD_NOT_FOUND, &what), sink)
            }
            _ => call::run(&session, &request, deadline, cancel, sink),
        }
    }

    /// Handles messages of this profile's server outside calls. Returns those for the client unchanged.
    pub(crate) fn take(&self, profile: usize, relayed: Relayed) -> Option<Relayed> {
        if !self.is_in_use() {
            return Some(relayed);
        }
        let session = lock(&self.sessions).get(&profile).map(Arc::clone);
        let Some(session) = session else { return Some(relayed) };
        match relayed {
            Relayed::NewSession => {
                session.start_over();
                listen::subscribe_again(&session);
                None
            }
            Relayed::NoSession => {
                listen::end_all(&session, "the server refused a new session");
                None
            }
            relayed => session.take(None, relayed),
        }
    }

    /// Ends the session of this profile, if there is one.
    pub(crate) fn end(&self, route: &Route<'_>, why: &str) {
        let session = lock(&self.sessions).remove(&route.profile);
        if let Some(session) = session.filter(|session| session.is_begun()) {
            session.close();
            listen::end_all(&session, why);
            route.exchanger.end_session(Instant::now() + END_TIMEOUT);
        }
    }

    /// Ends everything outside calls, before the process ends.
    pub(crate) fn close(&self) {
        let sessions: Vec<_> = lock(&self.sessions).values().map(Arc::clone).collect();
        sessions.iter().for_each(LegacySession::close);
    }

    fn session(&self, route: &Route<'_>) -> Arc<LegacySession> {
        let mut sessions = lock(&self.sessions);
        self.has_sessions.store(true, Ordering::Release);
        let session = sessions.entry(route.profile).or_insert_with(|| {
            // The standing stream is that of the first profile.
            let has_stream = self.opens_get_stream && route.profile == 0;
            Arc::new(LegacySession::new(Arc::clone(route.exchanger), has_stream, self.log.clone()))
        });
        Arc::clone(session)
    }
}

/// Whether a notification or response of the client has no meaning for a legacy server, which has other ids for the
/// requests, and never sent one to this client.
fn is_left_out(method: &str) -> bool {
    matches!(
        method,
        "response"
            | "notifications/cancelled"
            | "notifications/initialized"
            | "notifications/progress"
            | "notifications/roots/list_changed"
            | "notifications/tasks/status"
    )
}

/// Whether a method was part of the revisions before 2026-07-28 and is not part of it, or belongs to its tasks.
fn is_removed(method: &str) -> bool {
    method.starts_with("tasks/")
        || matches!(
            method,
            "initialize"
                | "ping"
                | "logging/setLevel"
                | "resources/subscribe"
                | "resources/unsubscribe"
        )
}
