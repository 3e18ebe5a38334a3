//! `Relay`: messages of the server → lines for the client, with exactly one response to each request.

use crate::error::{Error, Kind};
use crate::http::event_stream::{Event, EventFields};
use crate::mcp::error_codes::INTERNAL_ERROR;
use crate::mcp::error_response::{
    array, error_line, protocol_error, wholly_without_secrets, without_secrets,
};
use crate::mcp::id::Id;
use crate::mcp::message::split_batch;
use crate::mcp::server_message::{ErrorBody, ServerMessage, ServerMessageKind, protocol_version};
use crate::mcp::tool_catalog::Page;
use crate::mcp::tool_list::is_list_changed;
use crate::streamable_http::diagnosis::{Diagnosis, text_of_report};
use crate::streamable_http::recoverable_errors::{HeldError, RecoverableErrors};
use crate::streamable_http::relayed::{Line, Relayed, ServerRequest, Sink};
use crate::streamable_http::remote_server::RemoteServer;
use std::time::Duration;

/// A stream that stays open after the response, or after a reported error, is read for this time.
const STREAM_GRACE: Duration = Duration::from_secs(5);

/// How long a stream is read after a page of a list, before the next page is requested.
pub(crate) const PAGE_GRACE: Duration = Duration::from_millis(100);

/// Some servers begin with one, which JSON parsers refuse.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Relays the messages that come back for one message, or on a standing stream.
#[expect(clippy::struct_excessive_bools, reason = "they do not depend on each other")]
pub(crate) struct Relay<'a, 'd> {
    pub(crate) server: &'a RemoteServer,
    /// The requests that wait for their responses; none on a standing stream.
    ids: &'a [Id],
    /// They came in an array, and so do their responses.
    pub(crate) is_batch: bool,
    /// The page of `tools/list` that the response is, from which the catalog learns.
    page: Option<Page>,
    /// An error of these is held back if it is the first thing that comes. Any other is relayed at once.
    recoverable: RecoverableErrors,
    /// The stream exists for these requests alone, and ends with them.
    owns_stream: bool,
    /// How long such a stream is read after the response.
    pub(crate) stream_grace: Duration,
    /// Called when `initialize` has a result, with the version that it names.
    pub(crate) on_initialized: Option<&'a dyn Fn(Option<String>)>,
    /// The client reads events: those of the stream are handed out whole.
    pub(crate) keeps_events: bool,
    /// The client opened the stream, to go on with one that broke: requests that are not known here have their responses on it.
    pub(crate) is_clients_own: bool,
    /// Takes responses to other requests.
    pub(crate) on_other_response: Option<&'a dyn Fn(String)>,
    sink: &'a mut Sink<'d>,
    /// Which of the ids have their responses.
    answered: Vec<bool>,
    /// Anything was handed out.
    any_line: bool,
    /// Nothing can follow the message that is read.
    is_only_message: bool,
    /// A line waits for the next one, which may have arrived already; `hand_out` follows when none has.
    pub(crate) pairs_lines: bool,
    waiting_line: Option<Line>,
    /// The event whose data is read, until a message has it.
    event: Option<Box<EventFields>>,
    held: Option<HeldError>,
    diagnosis: Diagnosis,
}

impl<'a, 'd> Relay<'a, 'd> {
    /// Relays responses to `ids`, and everything that comes before and after them.
    pub(crate) fn new(
        server: &'a RemoteServer,
        ids: &'a [Id],
        sink: &'a mut Sink<'d>,
    ) -> Relay<'a, 'd> {
        Relay {
            server,
            ids,
            is_batch: false,
            page: None,
            recoverable: RecoverableErrors::default(),
            owns_stream: true,
            stream_grace: STREAM_GRACE,
            on_initialized: None,
            keeps_events: false,
            is_clients_own: false,
            on_other_response: None,
            sink,
            answered: vec![false; ids.len()],
            any_line: false,
            is_only_message: false,
            pairs_lines: false,
            waiting_line: None,
            event: None,
            held: None,
            diagnosis: Diagnosis::default(),
        }
    }

    /// Learns from the response as this page of the list of tools.
    pub(crate) fn learning(self, page: Option<Page>) -> Relay<'a, 'd> {
        Relay { page, ..self }
    }

    /// Holds back the first error if it is one of these.
    pub(crate) fn holding_back(self, recoverable: RecoverableErrors) -> Relay<'a, 'd> {
        Relay { recoverable, ..self }
    }

    /// Reads from a stream that other requests have in common with these.
    pub(crate) fn on_shared_stream(self) -> Relay<'a, 'd> {
        Relay { owns_stream: false, ..self }
    }

    /// Whether every request has its response, or an error was held back.
    pub(crate) fn is_done(&self) -> bool {
        self.held.is_some() || !self.answered.contains(&false)
    }

    pub(crate) fn holds_error(&self) -> bool {
        self.held.is_some()
    }

    pub(crate) fn take_held_error(&mut self) -> Option<HeldError> {
        self.held.take()
    }

    /// Whether the document that was taken last ended before it was complete.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.diagnosis.is_cut_short
    }

    /// Takes a JSON body.
    pub(crate) fn take_body(&mut self, body: Vec<u8>) -> Result<(), Error> {
        self.is_only_message = true;
        self.take_document(body)
    }

    /// Takes an event. What is not a message is skipped; so is what cannot be read after the response, and on a standing
    /// stream.
    pub(crate) fn take_event(&mut self, mut event: Event) -> Result<(), Error> {
        self.event = event.fields.take();
        // Events of other names are not part of MCP, but the client may know them.
        let is_other = !event.is_message() && event.name != "error";
        let other_data = if is_other { std::mem::take(&mut event.data) } else { Vec::new() };
        self.take_event_data(event)?;
        // The id of an event without a message counts all the same.
        match self.event.take().filter(|_| self.held.is_none()) {
            Some(event) => {
                self.hand_out()?;
                (self.sink)(Relayed::Event(event, other_data))
            }
            None => Ok(()),
        }
    }

    fn take_event_data(&mut self, event: Event) -> Result<(), Error> {
        if event.data.is_empty() {
            return Ok(());
        }
        if event.name == "error" && !self.is_error_response(&event.data) {
            self.take_report(&event.data);
            return Ok(());
        }
        let is_needed = !self.is_done();
        match self.take_document(event.data) {
            Err(error) if error.kind() == Kind::InvalidResponse && !is_needed => {
                self.server.log.debug(format_args!("ignoring an event: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    /// Whether the server reported an error outside JSON-RPC, after which a response can hardly be expected.
    pub(crate) fn has_report(&self) -> bool {
        self.diagnosis.has_report()
    }

    fn is_error_response(&self, data: &[u8]) -> bool {
        let is_error = str::from_utf8(data).ok().and_then(ErrorBody::parse).is_some();
        let read = || ServerMessage::parse_after(&self.answered, data, self.ids);
        is_error
            && matches!(
                read().kind,
                ServerMessageKind::Error { .. }
                    | ServerMessageKind::OtherResponse { is_error: true }
            )
    }

    /// Takes the data of an `error` event.
    fn take_report(&mut self, data: &[u8]) {
        let text = text_of_report(data);
        self.server.log.debug(format_args!("error event of the server: {text}"));
        if let Some(on_other_response) = self.on_other_response {
            let what = format!("the server reported an error: {text}");
            on_other_response(protocol_error("null", INTERNAL_ERROR, &what));
        } else if !self.is_done() {
            self.diagnosis.note_report(text);
        }
    }

    /// Responds to the requests whose responses did not come, if the server sent an error that must be theirs. Otherwise
    /// fails with `error`, and what the server gave as a reason.
    pub(crate) fn conclude(&mut self, error: Error) -> Result<(), Error> {
        if error.kind() == Kind::InvalidResponse
            && !self.has_report()
            && !self.answered.contains(&true)
            && let Some(other) = self.diagnosis.take_lone_error()
        {
            let lines = self.ids.iter().map(|id| other.with_id(id)).collect();
            return self.take_errors(other.code, lines);
        }
        Err(self.diagnosis.explain(error, self.is_only_message))
    }

    /// One JSON document: a message, or a batch of them.
    fn take_document(&mut self, document: Vec<u8>) -> Result<(), Error> {
        self.diagnosis.is_cut_short = false;
        let document = match document.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => rest.to_vec(),
            None => document,
        };
        let Some(messages) = split_batch(&document) else { return self.take_message(document) };
        if self.is_batch {
            return self.take_batch(&document, &messages);
        }
        // A client that sent no batch need not be able to read one.
        self.is_only_message &= messages.len() == 1;
        messages.iter().try_for_each(|message| self.take_message((*message).into()))
    }

    /// The responses to a batch go out as the batch that they are.
    fn take_batch(&mut self, document: &[u8], messages: &[&str]) -> Result<(), Error> {
        let mut lines = Vec::with_capacity(messages.len());
        let mut answers = Vec::new();
        let mut answered = self.answered.clone();
        let mut recoverable = Vec::new();
        for message in messages {
            let read = ServerMessage::parse_after(&answered, message.as_bytes(), self.ids);
            self.forget_changed_tools(&read, message.as_bytes());
            let ServerMessage { kind, corrected } = read;
            let line = corrected.unwrap_or_else(|| (*message).to_owned());
            match kind {
                ServerMessageKind::Notification { cancels: None } => lines.push(Some(line)),
                // On a line of its own: it may have to name the request as the client knows it.
                ServerMessageKind::Notification { cancels } => {
                    self.relay_line(Line { cancels, ..Line::notification(line.into_bytes()) })?;
                    lines.push(None);
                }
                // On a line of its own: it may have to be withheld from the client.
                ServerMessageKind::Request { id, is_ping } => {
                    self.relay_request(id, is_ping, line.into_bytes())?;
                    lines.push(None);
                }
                ServerMessageKind::OtherResponse { is_error } => {
                    self.diagnosis.note_other_response(is_error, &line);
                    lines.push(None);
                }
                ServerMessageKind::NotAMessage { why, .. } => {
                    self.skip(why, line.as_bytes());
                    lines.push(None);
                }
                ServerMessageKind::InvalidRequest => lines.push(None),
                ServerMessageKind::Result { index }
                | ServerMessageKind::Error { index, .. }
                | ServerMessageKind::BadResponse { index, .. }
                    if answered[index] =>
                {
                    lines.push(None);
                }
                ServerMessageKind::BadResponse { index, why } => {
                    answered[index] = true;
                    answers.push(index);
                    lines.push(Some(self.error_in_place(index, why)));
                }
                kind @ (ServerMessageKind::Result { index }
                | ServerMessageKind::Error { index, .. }) => {
                    if let ServerMessageKind::Error { code, .. } = kind
                        && self.recoverable.contain(code, &line)
                    {
                        recoverable.push((index, code, line.clone()));
                    }
                    answered[index] = true;
                    answers.push(index);
                    lines.push(Some(without_secrets(line, self.server.log.redactor())));
                }
            }
        }
        // With a notification among them, they are not the first thing that comes.
        let nothing_else = lines.iter().flatten().count() == recoverable.len();
        if nothing_else && recoverable.len() == self.ids.len() {
            recoverable.sort_unstable();
            let code = recoverable[0].1;
            return self
                .take_errors(code, recoverable.into_iter().map(|(.., line)| line).collect());
        }
        let is_whole =
            lines.iter().zip(messages).all(|(line, message)| line.as_deref() == Some(*message));
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        if lines.is_empty() {
            return Ok(());
        }
        let line = if is_whole {
            document.to_vec()
        } else {
            format!("[{}]", lines.join(",")).into_bytes()
        };
        self.answered = answered;
        self.relay_line(Line::responses(line, answers))
    }

    fn take_message(&mut self, message: Vec<u8>) -> Result<(), Error> {
        let read = ServerMessage::parse_after(&self.answered, &message, self.ids);
        self.forget_changed_tools(&read, &message);
        let ServerMessage { kind, corrected } = read;
        let message = corrected.map_or(message, String::into_bytes);
        match kind {
            ServerMessageKind::Request { id, is_ping } => self.relay_request(id, is_ping, message),
            ServerMessageKind::InvalidRequest => {
                self.server.log.debug("ignoring a request of the server with an unusable id");
                Ok(())
            }
            ServerMessageKind::Notification { cancels } => {
                self.relay_line(Line { cancels, ..Line::notification(message) })
            }
            ServerMessageKind::Result { index } => {
                if self.answered[index] {
                    return self.relay_response(index, message);
                }
                let message = self.learn_tools(message)?;
                if let Some(on_initialized) = self.on_initialized {
                    on_initialized(protocol_version(&message));
                }
                self.relay_response(index, message)
            }
            // Of a batch, other requests may have run.
            ServerMessageKind::Error { index, .. } if self.ids.len() > 1 => {
                self.relay_error(index, text_of(message))
            }
            ServerMessageKind::Error { code, .. } => self.take_errors(code, vec![text_of(message)]),
            // The others of a batch have responses of their own.
            ServerMessageKind::BadResponse { index, why } if self.is_batch => {
                let error = self.error_in_place(index, why);
                self.relay_error(index, error)
            }
            ServerMessageKind::BadResponse { why, .. } => {
                Err(Error::new(Kind::InvalidResponse, why))
            }
            ServerMessageKind::OtherResponse { is_error } => {
                let message = text_of(message);
                if let Some(on_other_response) = self.on_other_response {
                    on_other_response(message);
                } else if self.is_clients_own {
                    return self.relay_unknown_response(message, is_error);
                } else {
                    self.server.log.debug("ignoring a response to another request");
                    self.diagnosis.note_other_response(is_error, &message);
                }
                Ok(())
            }
            ServerMessageKind::NotAMessage { why, is_cut_short } => {
                self.diagnosis.is_cut_short = is_cut_short;
                self.skip(why, &message);
                Ok(())
            }
        }
    }

    /// Takes the errors of all requests, in their order.
    fn take_errors(&mut self, code: i64, lines: Vec<String>) -> Result<(), Error> {
        let is_recoverable = |line: &String| self.recoverable.contain(code, line);
        if !self.any_line && lines.first().is_some_and(is_recoverable) {
            self.held = Some(HeldError { code, lines });
            return Ok(());
        }
        if !self.is_batch {
            let mut lines = lines.into_iter().enumerate();
            return lines.try_for_each(|(index, line)| self.relay_error(index, line));
        }
        let answers: Vec<usize> = (0..lines.len()).collect();
        let redactor = self.server.log.redactor();
        let errors = array(lines.into_iter().map(|line| without_secrets(line, redactor)));
        self.answered.fill(true);
        self.relay_line(Line::responses(errors.into_bytes(), answers))
    }

    /// The error for a request of a batch whose response cannot be relayed.
    fn error_in_place(&self, index: usize, why: String) -> String {
        let log = &self.server.log;
        let error = Error::new(Kind::InvalidResponse, why);
        log.warn(&error);
        error_line(&self.ids[index], &error, log.redactor())
    }

    fn relay_error(&mut self, index: usize, line: String) -> Result<(), Error> {
        let line = without_secrets(line, self.server.log.redactor());
        self.relay_response(index, line.into_bytes())
    }

    fn skip(&mut self, why: String, document: &[u8]) {
        self.server.log.debug(format_args!("ignoring data that is not a message: {why}"));
        self.diagnosis.note_skipped(why, document);
    }

    /// Forgets the tools when a message says that they have changed, even one that cannot be read otherwise.
    fn forget_changed_tools(&mut self, read: &ServerMessage, message: &[u8]) {
        let is_response = matches!(
            read.kind,
            ServerMessageKind::Result { .. }
                | ServerMessageKind::Error { .. }
                | ServerMessageKind::OtherResponse { .. }
        );
        if is_response || !is_list_changed(message) {
            return;
        }
        // A list that follows on this stream is a new one.
        self.server.state.tools.forget_before(self.page.as_mut());
    }

    fn relay_request(&mut self, id: Id, is_ping: bool, message: Vec<u8>) -> Result<(), Error> {
        self.hand_out()?;
        self.any_line = true;
        let event = self.event.take();
        (self.sink)(Relayed::Request(ServerRequest { id, is_ping, bytes: message, event }))
    }

    fn learn_tools(&self, response: Vec<u8>) -> Result<Vec<u8>, Error> {
        let Some(page) = &self.page else { return Ok(response) };
        let response = text_of(response);
        let listing = self.server.state.tools.learn(&response, page)?;
        for (tool, reason) in &listing.newly_removed {
            self.server
                .log
                .warn(format_args!("tool {tool:?} is omitted from tools/list: {reason}"));
        }
        Ok(listing.changed.unwrap_or(response).into_bytes())
    }

    /// A response to a request that the client sent on another stream, perhaps to another process.
    fn relay_unknown_response(&mut self, response: String, is_error: bool) -> Result<(), Error> {
        let response = if is_error {
            wholly_without_secrets(response, self.server.log.redactor())
        } else {
            self.server.state.tools.filter_unknown(&response)?.changed.unwrap_or(response)
        };
        self.relay_line(Line::notification(response.into_bytes()))
    }

    fn relay_response(&mut self, index: usize, message: Vec<u8>) -> Result<(), Error> {
        if std::mem::replace(&mut self.answered[index], true) {
            self.server.log.debug("ignoring a second response");
            return Ok(());
        }
        let message = if self.is_batch && self.is_only_message {
            [b"[", &*message, b"]"].concat()
        } else {
            message
        };
        self.relay_line(Line::responses(message, vec![index]))
    }

    fn relay_line(&mut self, line: Line) -> Result<(), Error> {
        self.any_line = true;
        let is_done = self.is_done();
        let is_last = self.is_only_message && is_done;
        let stays_open = line.is_response() && is_done && !is_last && self.owns_stream;
        let line = Line { is_last, stays_open, event: self.event.take(), ..line };
        if let Some(previous) = self.waiting_line.replace(line) {
            (self.sink)(Relayed::Line(Line { has_next: true, ..previous }))?;
        }
        if self.pairs_lines { Ok(()) } else { self.hand_out() }
    }

    /// Hands out the line that waits for the next one, if one does.
    pub(crate) fn hand_out(&mut self) -> Result<(), Error> {
        self.waiting_line.take().map_or(Ok(()), |line| (self.sink)(Relayed::Line(line)))
    }
}

fn text_of(message: Vec<u8>) -> String {
    String::from_utf8(message).expect("`ServerMessage` is UTF-8")
}
