//! `Context`: what all calls on stdio share; sends messages that belong to no call.

use crate::conversation::{Conversation, Origin, Passage};
use crate::error::Error;
use crate::log::Log;
use crate::mcp::message::Message;
use crate::scheduler::{InFlight, Purpose, Scheduler};
use crate::stdio::input::ClientInput;
use crate::stdio::output::Output;
use crate::streamable_http::relayed::{Relayed, ServerRequest};
use crate::sync::cancel::Cancel;
use std::sync::Arc;

pub(crate) struct Context {
    pub(crate) conversation: Arc<Conversation>,
    pub(crate) scheduler: Arc<Scheduler<ClientInput>>,
    pub(crate) output: Output,
    pub(crate) log: Log,
}

impl Context {
    /// Sends a message that has no response.
    pub(crate) fn send(self: &Arc<Self>, message: &Message) -> Result<(), Error> {
        let deliver = &mut |profile, relayed| self.deliver(profile, relayed, || true);
        self.conversation.send(message, &Cancel::default(), deliver)
    }

    /// Sends the message on another thread, without waiting for any request.
    pub(crate) fn send_detached(self: &Arc<Self>, purpose: Purpose, message: Message) {
        let context = Arc::clone(self);
        self.scheduler.detach(purpose, message.body().len(), move || {
            if let Err(error) = context.send(&message) {
                context.conversation.report(&error);
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
        let Some(relayed) = self.conversation.bridge.take(profile, relayed) else { return Ok(()) };
        match relayed {
            Relayed::Line(line) => match self.conversation.line_for_client(profile, line) {
                Some(line) => self.output.write(line.bytes, is_wanted),
                None => Ok(()),
            },
            Relayed::Request(request) => {
                self.forward_request(profile, request, Origin::Session { profile }, is_wanted)
            }
            Relayed::AwaitsClient(_)
            | Relayed::NewSession
            | Relayed::NoSession
            | Relayed::Delayed
            | Relayed::StreamOpened
            | Relayed::Head(_)
            | Relayed::Event(..) => Ok(()),
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
        match self.conversation.admit(profile, request, origin) {
            Passage::ToClient(request) => self.output.write(request.bytes, is_wanted),
            Passage::LeftOut => Ok(()),
            Passage::Refused(refusal) => {
                let conversation = Arc::clone(&self.conversation);
                self.scheduler.detach(Purpose::Refusal, refusal.body().len(), move || {
                    conversation.refuse(profile, &refusal);
                });
                Ok(())
            }
        }
    }

    /// Ends the reading and writing that the call still does.
    pub(crate) fn close_stream(&self, call: &InFlight) {
        call.cancel.cancel();
        self.output.reconsider();
    }
}
