//! `Context`: what relaying needs on the client's side, and the messages that belong to no call.

use crate::bridge::{Bridge, Outgoing};
use crate::client::ClientRequests;
use crate::error::{Error, Kind};
use crate::log::Log;
use crate::mcp::error_response;
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::prompt::SignInGate;
use crate::scheduler::{InFlight, Purpose, Scheduler};
use crate::stdio::input::ClientInput;
use crate::stdio::output::Output;
use crate::stdio::server_requests::{self, Origin, ServerRequests};
use crate::streamable_http::profile_router::ProfileRouter;
use crate::streamable_http::relayed::{Line, Relayed, ServerRequest};
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::sync::{Arc, Mutex};

pub(crate) struct Context {
    pub(crate) profiles: ProfileRouter,
    pub(crate) bridge: Bridge,
    pub(crate) sign_ins: Arc<SignInGate>,
    /// Requests of this program to the client.
    pub(crate) client: ClientRequests,
    pub(crate) scheduler: Arc<Scheduler<ClientInput>>,
    pub(crate) output: Output,
    pub(crate) server_requests: Mutex<ServerRequests>,
    pub(crate) log: Log,
}

impl Context {
    /// Sends a message that has no response.
    pub(crate) fn send(self: &Arc<Self>, message: &Message) -> Result<(), Error> {
        let route = self.profiles.route(message)?;
        let message = route.changed.as_ref().unwrap_or(message);
        let deadline = route.exchanger.deadline(message);
        let deliver = &mut |relayed| self.deliver(route.profile, relayed, || true);
        let (route, cancel) = (&route, &Cancel::default());
        self.bridge.exchange(Outgoing { route, message, deadline, cancel }, deliver)
    }

    /// Sends the message on another thread, without waiting for any request.
    pub(crate) fn send_detached(self: &Arc<Self>, purpose: Purpose, message: Message) {
        let context = Arc::clone(self);
        self.scheduler.detach(purpose, message.body().len(), move || {
            if let Err(error) = context.send(&message) {
                context.report(&error);
            }
        });
    }

    /// Writes what belongs to no call of the client, if it is still wanted when stdout accepts it. `profile`: as in `Route`.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        profile: usize,
        relayed: Relayed,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let Some(relayed) = self.bridge.take(profile, relayed) else { return Ok(()) };
        match relayed {
            Relayed::Line(line) => {
                let Some(line) = self.line_for_client(profile, line) else { return Ok(()) };
                self.output.write(line.bytes, is_wanted)
            }
            Relayed::Request(request) => {
                self.forward_request(profile, request, Origin::Session { profile }, is_wanted)
            }
            Relayed::AwaitsClient(_)
            | Relayed::NewSession
            | Relayed::NoSession
            | Relayed::StreamOpened => Ok(()),
        }
    }

    /// Writes a request of the server, or refuses it if too many wait for the client already.
    pub(crate) fn forward_request(
        self: &Arc<Self>,
        profile: usize,
        request: ServerRequest,
        origin: Origin,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), Error> {
        if !is_wanted() {
            return Ok(());
        }
        let client_id = self.profiles.client_id(profile, &request.id);
        if client_id.as_ref().is_some_and(|id| self.client.has_sent(id)) {
            self.log.debug("a request of the server with an id of this program is refused");
            self.refuse_request(profile, &request.id);
            return Ok(());
        }
        let mut requests = lock(&self.server_requests);
        if client_id.is_some_and(|id| requests.contains(&id)) {
            self.log.debug("a request of the server that waits already is left out");
            return Ok(());
        }
        if !requests.has_room() {
            drop(requests);
            self.log.debug(format_args!(
                "a request of the server is refused: {} wait already",
                server_requests::MAX_WAITING
            ));
            self.refuse_request(profile, &request.id);
            return Ok(());
        }
        let ServerRequest { id, is_ping, bytes } = self.profiles.with_client_id(profile, request);
        requests.add(id, is_ping, origin);
        drop(requests);
        self.output.write(bytes, is_wanted)
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

    fn refuse_request(self: &Arc<Self>, profile: usize, id: &Id) {
        let refusal = error_response::too_many_requests_line(id).into_bytes();
        let Ok(refusal) = Message::parse(refusal) else { return };
        let context = Arc::clone(self);
        self.scheduler.detach(Purpose::Refusal, refusal.body().len(), move || {
            let exchanger = &context.profiles.exchangers()[profile];
            let deadline = exchanger.deadline(&refusal);
            let sent = exchanger.exchange(&refusal, deadline, &Cancel::default(), &mut |_| Ok(()));
            if let Err(error) = sent {
                context.report(&error);
            }
        });
    }

    /// Drops the requests of the server that this message responds to. Returns whether it responds to pings only.
    pub(crate) fn take_responses(&self, message: &Message) -> bool {
        let ids = message.responds_to();
        let mut requests = lock(&self.server_requests);
        // Every id is removed, also those after the first that is not a ping.
        let pings = ids.iter().filter(|id| requests.remove(id) == Some(true)).count();
        pings > 0 && pings == ids.len()
    }

    /// Ends the reading and writing that the call still does.
    pub(crate) fn close_stream(&self, call: &InFlight) {
        call.cancel.cancel();
        self.output.reconsider();
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
