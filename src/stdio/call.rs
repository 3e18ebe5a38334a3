//! `Call`: one request from its start to its response or its cancellation.

use crate::conversation::{Limits, Origin};
use crate::error::{Error, Kind};
use crate::mcp::error_response;
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::scheduler::{After, CANCEL_GRACE, CallKind, Cancelled, InFlight, Purpose};
use crate::stdio::context::Context;
use crate::streamable_http::relayed::{Line, Relayed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Minimum time between a request and its cancellation, so that the cancellation does not overtake it.
const CANCEL_DELAY: Duration = Duration::from_millis(100);

pub(crate) struct Call<'a> {
    context: &'a Arc<Context>,
    in_flight: &'a Arc<InFlight>,
    /// Indexes of the ids that have a response.
    answered: Vec<usize>,
    /// Lines that are written together with the next one.
    held: Vec<u8>,
    any_line: bool,
    any_request: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(context: &'a Arc<Context>, in_flight: &'a Arc<InFlight>) -> Call<'a> {
        let (answered, held) = (Vec::new(), Vec::new());
        Call { context, in_flight, answered, held, any_line: false, any_request: false }
    }

    /// Relays the request. It has a response when this returns, whatever happens. False: from this program, since the call
    /// failed.
    pub(crate) fn run(mut self, message: &Message) -> bool {
        let exchange = catch_unwind(AssertUnwindSafe(|| self.exchange(message)));
        let (context, in_flight) = (self.context, self.in_flight);
        context.conversation.profiles.complete(&in_flight.ids);
        if self.any_request {
            context.conversation.end_requests(Origin::Call(in_flight.serial));
        }
        let result = exchange.unwrap_or_else(|_| {
            Err(Error::new(Kind::Internal, "a bug in sigv4-proxy ended this call")
                .hint("please report it"))
        });
        match result {
            Ok(()) => context.log.recovered(),
            Err(_) if self.is_answered() => {}
            Err(error) => {
                self.answer_for_server(error);
                return false;
            }
        }
        true
    }

    fn exchange(&mut self, message: &Message) -> Result<(), Error> {
        let (context, in_flight) = (self.context, self.in_flight);
        let InFlight { deadline, cancel, is_held, .. } = &**in_flight;
        let limits = Limits { deadline: *deadline, cancel, is_held };
        context.conversation.exchange(message, limits, &mut |profile, relayed| match relayed {
            Relayed::Line(line) => {
                let Some(line) = context.conversation.line_for_client(profile, line) else {
                    return context.output.write_held(in_flight, &mut self.held);
                };
                self.any_line = true;
                self.answered.extend(&line.answers);
                let is_answered = self.is_answered();
                context.output.deliver(in_flight, &mut self.held, line, is_answered)
            }
            Relayed::Request(request) => {
                self.any_request = true;
                let origin = Origin::Call(in_flight.serial);
                context.forward_request(profile, request, origin, || in_flight.is_wanted())
            }
            Relayed::AwaitsClient(awaits) => {
                context.scheduler.set_awaits_client(in_flight, awaits);
                Ok(())
            }
            _ => Ok(()),
        })
    }

    fn is_answered(&self) -> bool {
        self.answered.len() == self.in_flight.ids.len()
    }

    /// Writes the responses that the server did not send.
    fn answer_for_server(&mut self, error: Error) {
        let (context, ids) = (self.context, &self.in_flight.ids);
        let unanswered: Vec<usize> =
            (0..ids.len()).filter(|index| !self.answered.contains(index)).collect();
        if !self.in_flight.are_cancelled(&unanswered) {
            context.conversation.report(&error);
        }
        let error = match error.kind() {
            Kind::Cancelled => {
                Error::new(Kind::Cancelled, "sigv4-proxy exited before the response arrived")
            }
            _ => error,
        };
        let wanted = unanswered.iter().filter(|index| !self.in_flight.are_cancelled(&[**index]));
        let mut lines = wanted.map(|index| {
            let (id, redactor) = (&ids[*index], context.log.redactor());
            if self.in_flight.kind == CallKind::Subscription && self.any_line {
                error_response::cancelled_line(id, &error, redactor)
            } else {
                error_response::error_line(id, &error, redactor)
            }
        });
        let text = if self.in_flight.is_batch {
            error_response::array(lines)
        } else {
            lines.next().unwrap_or_default()
        };
        let line = Line { is_last: true, ..Line::responses(text.into_bytes(), unanswered) };
        let _ = context.output.deliver(self.in_flight, &mut self.held, line, true);
    }
}

/// Handles `notifications/cancelled`: the response of this request is no longer written, and the server is notified, unless
/// a batch brings it the notification. Returns whether a waiting message may start now.
pub(crate) fn cancel(context: &Arc<Context>, id: &Id, notification: Option<Message>) -> bool {
    let call = match context.scheduler.cancel(id) {
        // Neither has been sent, so the server is not notified.
        Cancelled::Waiting { may_start } => return may_start,
        Cancelled::InFlight(call) if call.kind != CallKind::Initialize => call,
        Cancelled::InFlight(_) | Cancelled::Unknown => {
            // The response was just written, or there never was a request. Only a server with a session may know the id.
            if let Some(notification) = notification
                && context.conversation.profiles.first().has_session()
            {
                context.send_detached(Purpose::Cancellation, notification);
            }
            return false;
        }
    };
    let is_whole = call.cancel_id(id);
    // Its lines that wait for stdout are not written any more.
    context.output.reconsider();
    if is_whole {
        context.scheduler.complete(&call, After::OpenStream);
        let is_unsent = call.is_held.load(Ordering::SeqCst);
        if call.is_sessionless || is_unsent || context.conversation.bridge.is_downward() {
            // Closing the connection is the cancellation, or nothing was sent; no message is needed.
            context.close_stream(&call);
            return false;
        }
    }
    let now = Instant::now();
    let due = (call.started + CANCEL_DELAY).max(now);
    if let Some(notification) = notification {
        let sender = Arc::clone(context);
        // The end of stdin waits for it.
        context.scheduler.begin_detached();
        let send = move || {
            sender.send_detached(Purpose::Cancellation, notification);
            sender.scheduler.end_detached();
        };
        if due > now {
            context.scheduler.run_at(due, send);
        } else {
            send();
        }
    }
    if is_whole {
        // Many servers never end the stream of a cancelled call.
        let closer = Arc::clone(context);
        context.scheduler.run_at(due + CANCEL_GRACE, move || closer.close_stream(&call));
    }
    false
}
