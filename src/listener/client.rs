//! `Client`: one client of the listener: its conversation, its requests in flight, and the events that wait for one of its
//! streams.

use crate::conversation::{Conversation, Origin, Passage};
use crate::error::{Error, out_of_threads};
use crate::listener::accepted::Accepted;
use crate::listener::event::event;
use crate::listener::outbox::{Outbox, Waiting};
use crate::listener::reply::Reply;
use crate::listener::slots::error_in_queue;
use crate::log::Log;
use crate::mcp::id::Id;
use crate::scheduler::InFlight;
use crate::streamable_http::Exchanger;
use crate::streamable_http::relayed::{Relayed, ServerRequest};
use crate::sync::cancel::Cancel;
use crate::sync::{lock, spawn};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub(crate) struct Client {
    pub(crate) conversation: Arc<Conversation>,
    /// Several clients without a session share it, so no message of one may reach another.
    is_shared: bool,
    serial: AtomicU64,
    state: Mutex<State>,
    outbox: Outbox,
    accepted: Accepted,
    log: Log,
}

struct State {
    /// The latest last.
    calls: Vec<(Arc<InFlight>, Arc<Reply>)>,
    /// GET streams, the latest last, and what ends their part at the server.
    streams: Vec<(Arc<Cancel>, Arc<Reply>)>,
    /// Ends the reading of an older server's standing stream.
    standing: Option<Arc<Cancel>>,
    last_used: Instant,
    is_closed: bool,
}

impl Client {
    pub(crate) fn new(conversation: Arc<Conversation>, is_shared: bool, log: Log) -> Arc<Client> {
        let state = State {
            calls: Vec::new(),
            streams: Vec::new(),
            standing: None,
            last_used: Instant::now(),
            is_closed: false,
        };
        let client = Arc::new(Client {
            conversation,
            is_shared,
            serial: AtomicU64::new(0),
            state: Mutex::new(state),
            outbox: Outbox::default(),
            accepted: Accepted::new(),
            log,
        });
        client.conversation.begin_session_after_sign_in();
        client.deliver_between_calls();
        client
    }

    /// Queues messages that no call waits for in the outbox.
    fn deliver_between_calls(self: &Arc<Self>) {
        let client = Arc::downgrade(self);
        self.conversation.client.set_output(move |line, is_request| {
            if let Some(client) = client.upgrade() {
                client.post(event(line.into_bytes(), None), is_request);
            }
        });
        for (profile, exchanger) in self.conversation.profiles.exchangers().iter().enumerate() {
            let client = Arc::downgrade(self);
            exchanger.set_session_sink(move |relayed| {
                let Some(client) = client.upgrade() else { return Ok(()) };
                let is_new_session = matches!(relayed, Relayed::NewSession);
                client.deliver(profile, relayed);
                if is_new_session {
                    // Requests and streams of the old session have lost their server.
                    client.conversation.withdraw_lost_requests(profile);
                    if profile == 0 {
                        client.end_streams_at_server();
                        client.read_standing_stream();
                    }
                }
                Ok(())
            });
        }
    }

    /// Reads the standing stream of an older server for a client of 2026-07-28, on a thread of its own.
    fn read_standing_stream(self: &Arc<Self>) {
        if !self.conversation.bridge.reads_standing_stream() {
            return;
        }
        let cancel = Cancel::new();
        if let Some(old) = lock(&self.state).standing.replace(Arc::clone(&cancel)) {
            old.cancel();
        }
        // The client may be dropped meanwhile.
        let (exchanger, client) =
            (Arc::clone(self.conversation.profiles.first()), Arc::downgrade(self));
        let listen = move || {
            exchanger.listen(&cancel, &mut |relayed| {
                if let Some(client) = client.upgrade() {
                    client.deliver(0, relayed);
                }
                Ok(())
            });
        };
        if spawn("standing", listen).is_err() {
            self.conversation.report(&out_of_threads());
        }
    }

    /// Receives messages that belong to no call of the client.
    pub(crate) fn deliver(self: &Arc<Self>, profile: usize, relayed: Relayed) {
        let Some(relayed) = self.conversation.bridge.take(profile, relayed) else { return };
        let is_request = matches!(relayed, Relayed::Request(_));
        let origin = Origin::Session { profile };
        if let Some(event) = self.event_of(profile, relayed, origin) {
            self.post(event, is_request);
        }
    }

    /// The event for a relayed message, if the client is to receive it.
    pub(crate) fn event_of(
        self: &Arc<Self>,
        profile: usize,
        relayed: Relayed,
        origin: Origin,
    ) -> Option<Vec<u8>> {
        match relayed {
            Relayed::Line(line) => {
                let line = self.conversation.line_for_client(profile, line)?;
                Some(event(line.bytes, line.event.as_deref()))
            }
            Relayed::Request(request) => {
                let request = self.admit(profile, request, origin)?;
                Some(event(request.bytes, request.event.as_deref()))
            }
            _ => None,
        }
    }

    /// The event for a server's request, unless it is refused or dropped.
    fn admit(
        self: &Arc<Self>,
        profile: usize,
        request: ServerRequest,
        origin: Origin,
    ) -> Option<ServerRequest> {
        // Servers use the same ids for different clients.
        if self.is_shared {
            let profiles = &self.conversation.profiles;
            return Some(if profile == 0 {
                request
            } else {
                profiles.with_client_id(profile, request)
            });
        }
        match self.conversation.admit(profile, request, origin) {
            Passage::ToClient(request) => Some(request),
            Passage::LeftOut => None,
            Passage::Refused(refusal) => {
                let conversation = Arc::clone(&self.conversation);
                // Without a thread the server waits until the call ends.
                let _ = spawn("refusal", move || conversation.refuse(profile, &refusal));
                None
            }
        }
    }

    /// The messages that what the client sends later has to wait for. Those of different clients have no order.
    pub(crate) fn accepted(&self) -> Option<&Accepted> {
        (!self.is_shared).then_some(&self.accepted)
    }

    /// Waits until those before this message are delivered.
    pub(crate) fn wait_for_accepted(
        &self,
        number: u64,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let Some(accepted) = self.accepted() else { return Ok(()) };
        accepted.wait_for_others(number, deadline, cancel).map_err(error_in_queue)
    }

    /// Whether the client needs a session that the server has not given: this program keeps something for it.
    pub(crate) fn needs_session(&self) -> bool {
        let Conversation { profiles, bridge, .. } = &*self.conversation;
        let first = profiles.first();
        !first.has_session_id()
            && (profiles.exchangers().len() > 1
                || bridge.is_downward()
                || first.is_initialize_deferred()
                || first.has_shared_stream())
    }

    /// Whether messages that belong to no call come from this program alone: the server has no GET stream for the client.
    pub(crate) fn has_own_stream(&self) -> bool {
        let Conversation { profiles, bridge, .. } = &*self.conversation;
        let first = profiles.first();
        bridge.is_downward() || first.is_initialize_deferred() || first.has_shared_stream()
    }

    // ---- Calls

    pub(crate) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn begin_call(self: &Arc<Self>, call: &Arc<InFlight>, reply: &Arc<Reply>) {
        lock(&self.state).calls.push((Arc::clone(call), Arc::clone(reply)));
        self.flush();
    }

    pub(crate) fn end_call(&self, call: &Arc<InFlight>) {
        let mut state = lock(&self.state);
        state.calls.retain(|(other, _)| !Arc::ptr_eq(other, call));
        state.last_used = Instant::now();
    }

    /// The call under way with this id, unless it may be that of another client.
    pub(crate) fn call(&self, id: &Id) -> Option<Arc<InFlight>> {
        let calls = &lock(&self.state).calls;
        let own = calls.iter().filter(|_| !self.is_shared);
        own.rev().find(|(call, _)| call.ids.contains(id)).map(|(call, _)| Arc::clone(call))
    }

    // ---- Streams

    /// Lists a GET stream, to which everything goes that belongs to no call, until `end_stream`. `at_server` ends its part
    /// there.
    pub(crate) fn begin_stream(self: &Arc<Self>, at_server: &Arc<Cancel>, reply: &Arc<Reply>) {
        let mut state = lock(&self.state);
        if state.is_closed {
            at_server.cancel();
        }
        state.streams.push((Arc::clone(at_server), Arc::clone(reply)));
        drop(state);
        self.flush();
    }

    pub(crate) fn end_stream(&self, at_server: &Arc<Cancel>) {
        let mut state = lock(&self.state);
        state.streams.retain(|(other, _)| !Arc::ptr_eq(other, at_server));
        state.last_used = Instant::now();
    }

    fn end_streams_at_server(&self) {
        let streams: Vec<_> =
            lock(&self.state).streams.iter().map(|(cancel, _)| Arc::clone(cancel)).collect();
        for cancel in &streams {
            cancel.cancel();
        }
    }

    // ---- The outbox

    /// Sends an event on any stream of the client, as soon as there is one. A request begins the stream of a call under way,
    /// which may depend on its response. Never waits.
    fn post(self: &Arc<Self>, event: Vec<u8>, is_request: bool) {
        if self.is_shared {
            self.log.debug("dropping a message for a client without a session");
        } else if self.outbox.push(Waiting { event, is_request }) {
            self.flush();
        } else {
            self.log.error_once("dropping messages for a client that does not read them");
        }
    }

    /// Has a thread write what waits, if there is a stream for it.
    pub(crate) fn flush(self: &Arc<Self>) {
        if self.outbox.is_idle() || self.streams(false).is_empty() || !self.outbox.begin_writing() {
            return;
        }
        let client = Arc::clone(self);
        if spawn("outbox", move || client.write_outbox()).is_err() {
            self.outbox.end_writing();
        }
    }

    /// Begins the response of a call with what waits. The call has succeeded, so its status is that of a stream.
    pub(crate) fn begin_with_outbox(&self, reply: &Reply) -> Result<(), Error> {
        if self.outbox.is_idle() {
            return Ok(());
        }
        reply.start_events()?;
        if self.outbox.begin_writing() {
            self.write_outbox();
        }
        Ok(())
    }

    fn write_outbox(&self) {
        while let Some(waiting) = self.outbox.next() {
            let streams = self.streams(waiting.is_request);
            let is_written = streams.iter().any(|reply| reply.write_events(&waiting.event).is_ok());
            if !is_written && !self.outbox.put_back(waiting) {
                return;
            }
        }
    }

    /// Where messages can be written that belong to no call: the latest GET stream first, then the latest call. The status of a
    /// call without an outcome is kept for an error, unless there is a request among the messages.
    fn streams(&self, any_request: bool) -> Vec<Arc<Reply>> {
        let any_request = any_request || self.outbox.holds_request();
        let state = lock(&self.state);
        let streams = state.streams.iter().rev().map(|(_, reply)| reply);
        let calls = state.calls.iter().rev().map(|(_, reply)| reply);
        let calls = calls.filter(|reply| any_request || reply.has_events());
        streams.chain(calls).map(Arc::clone).collect()
    }

    // ---- The end

    /// Time of its last use. A client in use is also held by others.
    pub(crate) fn last_used(&self) -> Instant {
        lock(&self.state).last_used
    }

    pub(crate) fn note_use(&self) {
        lock(&self.state).last_used = Instant::now();
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    /// The exchangers with a session at their server in which the client cannot continue later: it knows the id `known` only.
    pub(crate) fn with_unknown_sessions<'a>(
        &'a self,
        known: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Exchanger>> {
        let exchangers = self.conversation.profiles.exchangers().iter();
        exchangers.filter(move |exchanger| exchanger.has_other_session(known))
    }

    /// Ends everything that belongs to it, except sessions at servers.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let standing = state.standing.take();
        let calls: Vec<_> = state.calls.iter().map(|(call, _)| Arc::clone(call)).collect();
        drop(state);
        self.conversation.client.close();
        self.conversation.close();
        self.end_streams_at_server();
        for call in &calls {
            call.cancel.cancel();
        }
        if let Some(standing) = standing {
            standing.cancel();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Client")
    }
}
