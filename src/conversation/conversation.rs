//! `Conversation`: what stands between one client and the servers, and what is under way between them.

use crate::bridge::{Bridge, Outgoing};
use crate::client::ClientRequests;
use crate::conversation::server_requests::{MAX_WAITING, Origin, ServerRequests, SessionKey};
use crate::error::{Error, Kind};
use crate::log::Log;
use crate::mcp::error_response;
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::prompt::SignInGate;
use crate::prompt::gate::Exchange;
use crate::streamable_http::ProfileRouter;
use crate::streamable_http::relayed::{Line, Relayed, ServerRequest, Sink};
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What stands between a client and the servers.
#[derive(Debug)]
pub struct Parts {
    pub profiles: ProfileRouter,
    pub bridge: Arc<Bridge>,
    pub sign_ins: Arc<SignInGate>,
    /// Requests of this program to the client.
    pub client: ClientRequests,
}

#[derive(Debug)]
pub struct Conversation {
    pub(crate) profiles: ProfileRouter,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) sign_ins: Arc<SignInGate>,
    pub(crate) client: ClientRequests,
    server_requests: Mutex<ServerRequests>,
    log: Log,
}

/// Within which limits a call is exchanged.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'a> {
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: &'a Cancel,
    /// Set while the call waits and nothing of it has reached the server.
    pub(crate) is_held: &'a AtomicBool,
}

/// What becomes of a request of a server.
pub(crate) enum Passage {
    /// It goes to the client, as this.
    ToClient(ServerRequest),
    /// This response goes to the server, by `refuse`.
    Refused(Message),
    /// The client has it already.
    LeftOut,
}

impl Conversation {
    pub fn new(parts: Parts, log: Log) -> Conversation {
        let Parts { profiles, bridge, sign_ins, client } = parts;
        let server_requests = Mutex::default();
        Conversation { profiles, bridge, sign_ins, client, server_requests, log }
    }

    /// Exchanges a request, and hands out what comes back with the index of the profile whose server sent it.
    pub(crate) fn exchange(
        &self,
        message: &Message,
        limits: Limits<'_>,
        deliver: &mut dyn FnMut(usize, Relayed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let route = &self.profiles.route(message)?;
        let message = route.changed.as_ref().unwrap_or(message);
        let Limits { deadline, cancel, is_held } = limits;
        let send = &|message: &Message, sink: &mut Sink<'_>| {
            self.bridge.exchange(Outgoing { route, message, deadline, cancel }, sink)
        };
        let exchanger = route.exchanger;
        let exchange = Exchange { exchanger, message, deadline, cancel, is_held, send };
        self.sign_ins.exchange(&exchange, &mut |relayed| deliver(route.profile, relayed))
    }

    /// Sends a message that has no response, and hands out what comes back as `exchange` does.
    pub(crate) fn send(
        &self,
        message: &Message,
        cancel: &Cancel,
        deliver: &mut dyn FnMut(usize, Relayed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if message.method() == Some("notifications/initialized") {
            self.sign_ins.client_is_initialized();
        }
        let route = &self.profiles.route(message)?;
        let message = route.changed.as_ref().unwrap_or(message);
        let deadline = route.exchanger.deadline(message);
        let outgoing = Outgoing { route, message, deadline, cancel };
        self.bridge.exchange(outgoing, &mut |relayed| deliver(route.profile, relayed))
    }

    /// Starts the session that was deferred for lack of a sign-in, once the user has signed in.
    pub(crate) fn begin_session_after_sign_in(self: &Arc<Self>) {
        let conversation = Arc::downgrade(self);
        self.sign_ins.on_signed_in(move || {
            let Some(conversation) = conversation.upgrade() else { return false };
            let first = conversation.profiles.first();
            let is_deferred = first.is_initialize_deferred();
            if is_deferred {
                first.client().forget_credential_failure();
                let begun = first.initialize_now(&Cancel::default());
                // The user may have signed in for another profile.
                if let Some(error) = begun.err().filter(|error| error.needed_sign_in().is_none()) {
                    conversation.report(&error);
                }
            }
            is_deferred
        });
    }

    /// Looks up credentials and opens a connection, so that the first request finds both, and missing credentials are
    /// reported at once.
    pub(crate) fn look_up_credentials(&self) {
        let client = self.profiles.first().client();
        let look_up = || match client.credentials_for_request(None, &Cancel::default()) {
            Ok(found) => self.log.info(format_args!("credentials: {}", found.summary())),
            Err(error) if error.kind() == Kind::Cancelled => {}
            Err(error) => self.log.error_once(error),
        };
        if catch_unwind(AssertUnwindSafe(look_up)).is_err() {
            self.log.error("a bug in sigv4-proxy ended the credential lookup");
        }
    }

    /// What becomes of a request of this profile's server. One that passes waits for the client's response from now on.
    pub(crate) fn admit(&self, profile: usize, request: ServerRequest, origin: Origin) -> Passage {
        let client_id = self.profiles.client_id(profile, &request.id);
        let is_kept = client_id.as_ref() == Some(&request.id);
        if is_kept && ClientRequests::is_reserved(&request.id) {
            self.log.debug("refusing a request from the server whose id is reserved");
            return refusal_of(&request.id);
        }
        let number = self.profiles.exchangers()[profile].latest_session_number();
        let session = SessionKey { profile, number };
        // A new session may ask before it is announced.
        if is_kept && lock(&self.server_requests).remove_lost(&request.id, session) {
            self.client.withdraw(&request.id);
        }
        let mut requests = lock(&self.server_requests);
        if let Some(id) = client_id {
            if requests.is_repeated(&id, origin, session) {
                self.log.debug("ignoring a repeated request from the server");
                return Passage::LeftOut;
            }
            requests.remove(&id);
        }
        if !requests.has_room() {
            self.log.debug(format_args!(
                "refusing a request from the server: {MAX_WAITING} already wait"
            ));
            return refusal_of(&request.id);
        }
        let request = if is_kept && !self.client.has_withdrawn(&request.id) {
            request
        } else {
            self.profiles.with_client_id(profile, request)
        };
        requests.add(request.id.clone(), request.is_ping, origin, session);
        Passage::ToClient(request)
    }

    /// Sends the refusal of a request to the server that sent it.
    pub(crate) fn refuse(&self, profile: usize, refusal: &Message) {
        let exchanger = &self.profiles.exchangers()[profile];
        let deadline = exchanger.deadline(refusal);
        let sent = exchanger.exchange(refusal, deadline, &Cancel::default(), &mut |_| Ok(()));
        if let Err(error) = sent {
            self.report(&error);
        }
    }

    /// A line of a server as the client can read it. A request that it cancels waits no longer. `None`: it is not for the
    /// client.
    pub(crate) fn line_for_client(&self, profile: usize, line: Line) -> Option<Line> {
        let line = self.profiles.line_for_client(profile, line)?;
        if let Some(cancelled) = &line.cancels {
            lock(&self.server_requests).remove(cancelled);
        }
        Some(line)
    }

    /// Drops the requests of the server that this message responds to. Returns whether it responds to pings only.
    pub(crate) fn take_responses(&self, message: &Message) -> bool {
        let ids = message.responds_to();
        let mut requests = lock(&self.server_requests);
        // Every id is removed, also those after the first that is not a ping.
        let pings = ids.iter().filter(|id| requests.remove(id) == Some(true)).count();
        pings > 0 && pings == ids.len()
    }

    /// Drops the requests that arrived on a stream which has ended.
    pub(crate) fn end_requests(&self, origin: Origin) {
        lock(&self.server_requests).end(origin);
    }

    /// Withdraws the requests of this profile's sessions before the one in use: they were lost with them.
    pub(crate) fn withdraw_lost_requests(&self, profile: usize) {
        let number = self.profiles.exchangers()[profile].session_number();
        let lost = lock(&self.server_requests).take_lost(SessionKey { profile, number });
        for id in &lost {
            self.client.withdraw(id);
        }
    }

    /// Drops the requests of all sessions: the client has started over.
    pub(crate) fn end_requests_of_sessions(&self) {
        lock(&self.server_requests).end_sessions();
    }

    /// Ends what belongs to no call.
    pub(crate) fn close(&self) {
        self.bridge.close();
        for exchanger in self.profiles.exchangers() {
            exchanger.close();
        }
    }

    /// Logs an error, once per cause until a call succeeds.
    pub(crate) fn report(&self, error: &Error) {
        match error.kind() {
            Kind::Cancelled | Kind::PolicyDenied => self.log.debug(error),
            Kind::InvalidRequest => self.log.warn(error),
            Kind::Unreachable | Kind::TimedOut => {
                self.log.error_once(format_args!("proxy server error: {error}"));
            }
            _ => self.log.error_once(error),
        }
    }
}

fn refusal_of(id: &Id) -> Passage {
    let refusal = error_response::too_many_requests_line(id).into_bytes();
    Message::parse(refusal).map_or(Passage::LeftOut, Passage::Refused)
}
