//! `Call`: exchanges the requests of one POST with the server. The response has the server's form: JSON or events.

use crate::conversation::{Limits, Origin};
use crate::error::{Error, Kind};
use crate::listener::client::Client;
use crate::listener::clients::Clients;
use crate::listener::event::{event, event_without_message};
use crate::listener::reply::Reply;
use crate::listener::slots::{Slot, Slots};
use crate::listener::status::{of_error, of_server};
use crate::log::Log;
use crate::mcp::error_response;
use crate::mcp::message::Message;
use crate::mcp::server_message::ErrorBody;
use crate::scheduler::{CallKind, InFlight};
use crate::streamable_http::relayed::{Head, Line, Relayed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Maximum size of events that are written together.
const MAX_HELD_BYTES: usize = 64 * 1024;

pub(crate) struct Call<'a> {
    pub(crate) client: &'a Arc<Client>,
    pub(crate) clients: &'a Clients,
    pub(crate) in_flight: &'a Arc<InFlight>,
    pub(crate) reply: &'a Arc<Reply>,
    pub(crate) slots: &'a Slots,
    pub(crate) slot: Slot<'a>,
    pub(crate) log: &'a Log,
    pub(crate) progress: Progress,
}

/// Progress of the response.
#[derive(Default)]
pub(crate) struct Progress {
    /// Indexes of the ids that have a response.
    answered: Vec<usize>,
    /// The server responds with events.
    has_events: bool,
    any_request: bool,
    /// Responses to requests of a batch that arrived separately and are sent together.
    parts: Vec<Vec<u8>>,
    /// Events that are written together with the next one.
    held: Vec<u8>,
    /// The client's id of the session that begins.
    session: Option<String>,
}

impl Call<'_> {
    /// Relays the request. It has a response when this returns, whatever happens.
    pub(crate) fn run(mut self, message: &Message) {
        let (client, in_flight) = (self.client, self.in_flight);
        client.begin_call(in_flight, self.reply);
        let exchange = catch_unwind(AssertUnwindSafe(|| self.exchange(message)));
        client.conversation.profiles.complete(&in_flight.ids);
        if self.progress.any_request {
            client.conversation.end_requests(Origin::Call(in_flight.serial));
        }
        let result = exchange.unwrap_or_else(|_| {
            Err(Error::new(Kind::Internal, "a bug in sigv4-proxy ended this call")
                .hint("please report it"))
        });
        // An error says that the client is gone.
        let _ = self.write_held();
        match result {
            Ok(()) => self.log.recovered(),
            Err(_) if self.is_answered() => {}
            Err(error) => self.respond_for_server(error),
        }
        if self.reply.is_unsent() {
            // The rest was cancelled, and a client that cancels a request does not wait for its response.
            let _ = if self.progress.parts.is_empty() {
                self.reply.start_events()
            } else {
                self.send_parts(None)
            };
        }
        client.end_call(in_flight);
    }

    fn exchange(&mut self, message: &Message) -> Result<(), Error> {
        let in_flight = self.in_flight;
        let InFlight { deadline, cancel, is_held, .. } = &**in_flight;
        if in_flight.kind != CallKind::Subscription {
            is_held.store(true, Ordering::SeqCst);
            self.client.wait_for_accepted(in_flight.serial, *deadline, cancel)?;
            self.slot = self.slots.take(*deadline, cancel)?;
            is_held.store(false, Ordering::SeqCst);
        }
        let limits = Limits { deadline: *deadline, cancel, is_held };
        let conversation = Arc::clone(&self.client.conversation);
        conversation.exchange(message, limits, &mut |profile, relayed| match relayed {
            Relayed::Head(head) => self.take_head(*head),
            Relayed::Line(line) => match conversation.line_for_client(profile, line) {
                Some(line) => self.take_line(profile, line),
                None => Ok(()),
            },
            Relayed::Request(_) if !in_flight.is_wanted() => Ok(()),
            Relayed::Request(_) => {
                self.progress.any_request = true;
                let origin = Origin::Call(in_flight.serial);
                let event = self.client.event_of(profile, relayed, origin);
                event.map_or(Ok(()), |event| self.write(&event))
            }
            Relayed::Event(fields, data) => self.write(&event_without_message(&fields, data)),
            Relayed::AwaitsClient(awaits) => {
                self.slot.hold(!awaits);
                Ok(())
            }
            Relayed::NewSession | Relayed::NoSession | Relayed::Delayed | Relayed::StreamOpened => {
                Ok(())
            }
        })
    }

    fn take_head(&mut self, head: Head) -> Result<(), Error> {
        self.reply.set_headers(head.headers);
        self.progress.has_events = head.is_event_stream;
        // Whether a session begins, and which, is known with the first message.
        let begins = head.is_event_stream && self.in_flight.kind != CallKind::Initialize;
        if begins { self.write_events(&[]) } else { Ok(()) }
    }

    fn take_line(&mut self, profile: usize, line: Line) -> Result<(), Error> {
        let is_response = line.is_response();
        if is_response && self.is_answered() {
            return Ok(());
        }
        self.progress.answered.extend(&line.answers);
        let is_answered = self.is_answered();
        if is_response && self.in_flight.kind == CallKind::Initialize {
            self.finish_session(&line)?;
        }
        let is_wanted = if is_response {
            !self.in_flight.are_cancelled(&line.answers)
        } else {
            self.in_flight.is_wanted()
        };
        if !is_wanted {
            return Ok(());
        }
        let is_alone = line.event.is_none() && !self.progress.has_events;
        if is_response && is_alone && self.reply.is_unsent() {
            self.progress.parts.push(line.bytes);
            return if is_answered { self.send_parts(line.http_error) } else { Ok(()) };
        }
        if !is_response && is_answered && is_alone {
            // It came too late for this response.
            self.client.deliver(profile, Relayed::Line(line));
            return Ok(());
        }
        let text = event(line.bytes, line.event.as_deref());
        if self.progress.held.len() + text.len() > MAX_HELD_BYTES {
            self.write_held()?;
        }
        self.progress.held.extend(text);
        if is_answered {
            // The client may read slowly, which does not concern the server.
            self.slot.hold(false);
        }
        if line.has_next && !is_response { Ok(()) } else { self.write_held() }
    }

    /// Sends what came as JSON.
    fn send_parts(&mut self, http_error: Option<u16>) -> Result<(), Error> {
        self.slot.hold(false);
        let mut parts = std::mem::take(&mut self.progress.parts);
        let is_whole = |part: &[u8]| !self.in_flight.is_batch || part.starts_with(b"[");
        let body = if parts.len() == 1 && is_whole(parts[0].trim_ascii_start()) {
            parts.swap_remove(0)
        } else {
            let parts: Vec<&[u8]> = parts.iter().map(|part| without_brackets(part)).collect();
            [b"[", parts.join(&b","[..]).as_slice(), b"]"].concat()
        };
        if http_error.is_none() {
            self.client.begin_with_outbox(self.reply)?;
        }
        if !self.reply.send(http_error.map_or(200, of_server), &body)? {
            self.write(&event(body, None))?;
        }
        Ok(())
    }

    fn write(&mut self, event: &[u8]) -> Result<(), Error> {
        self.write_held()?;
        self.write_events(event)
    }

    /// Writes events, which make the response a stream, and with it what waits for one.
    fn write_events(&mut self, events: &[u8]) -> Result<(), Error> {
        if self.in_flight.kind == CallKind::Initialize && !self.is_answered() {
            self.begin_session()?;
        }
        self.reply.write_events(events)?;
        self.client.flush();
        Ok(())
    }

    fn write_held(&mut self) -> Result<(), Error> {
        let held = std::mem::take(&mut self.progress.held);
        if held.is_empty() { Ok(()) } else { self.write_events(&held) }
    }

    fn is_answered(&self) -> bool {
        self.progress.answered.len() == self.in_flight.ids.len()
    }

    /// The session of a refused `initialize` is none, even if the server names one.
    fn finish_session(&mut self, response: &Line) -> Result<(), Error> {
        let text = str::from_utf8(&response.bytes).unwrap_or_default();
        if ErrorBody::parse(text).is_none() {
            return self.begin_session();
        }
        if let Some(id) = self.progress.session.take() {
            self.clients.forget(&id);
        }
        Ok(())
    }

    /// Makes the client known before it has the response to its `initialize`, whose head names the session.
    fn begin_session(&mut self) -> Result<(), Error> {
        if self.progress.session.is_some() || !self.reply.is_unsent() {
            return Ok(());
        }
        let of_server = self.client.conversation.profiles.first().session_id();
        if of_server.is_none() && !self.client.needs_session() {
            return Ok(());
        }
        let id = self.clients.register(self.client, of_server.as_deref())?;
        self.reply.set_headers(vec![("Mcp-Session-Id".to_owned(), id.clone())]);
        self.progress.session = Some(id);
        Ok(())
    }

    /// Sends the responses that the server did not send.
    fn respond_for_server(&mut self, error: Error) {
        let ids = &self.in_flight.ids;
        let unanswered: Vec<usize> =
            (0..ids.len()).filter(|index| !self.progress.answered.contains(index)).collect();
        if self.in_flight.are_cancelled(&unanswered) {
            return;
        }
        // A cancelled read fails like a broken connection.
        let is_cancelled = self.in_flight.cancel.is_cancelled();
        let error = if is_cancelled || error.kind() == Kind::Cancelled {
            let what = "the client's connection or session ended before the response arrived, or sigv4-proxy is exiting";
            Error::new(Kind::Cancelled, what)
        } else {
            error
        };
        self.client.conversation.report(&error);
        if self.in_flight.kind == CallKind::Subscription && !self.reply.is_unsent() {
            // The end of the stream says that it ended.
            return;
        }
        if let Some(id) = self.progress.session.take() {
            self.clients.forget(&id);
        }
        let in_flight = self.in_flight;
        let wanted = unanswered.iter().filter(|index| !in_flight.are_cancelled(&[**index]));
        let lines = wanted.map(|index| {
            error_response::error_line(&ids[*index], &error, self.log.redactor()).into_bytes()
        });
        // An error says that the client is gone.
        let _ = if self.reply.is_unsent() {
            self.progress.parts.extend(lines);
            self.send_parts(Some(of_error(&error)))
        } else {
            let events: Vec<u8> = lines.flat_map(|line| event(line, None)).collect();
            self.reply.write_events(&events)
        };
    }
}

fn without_brackets(part: &[u8]) -> &[u8] {
    let part = part.trim_ascii();
    part.strip_prefix(b"[").and_then(|part| part.strip_suffix(b"]")).unwrap_or(part)
}
