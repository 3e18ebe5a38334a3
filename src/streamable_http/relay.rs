//! `Relay`: messages of the server → lines for the client, with exactly one response to each request.

use crate::error::{Error, Kind};
use crate::mcp::error_response::without_secrets;
use crate::mcp::id::Id;
use crate::mcp::message::split_batch;
use crate::mcp::server_message::{ServerMessage, protocol_version};
use crate::mcp::tool_catalog::Page;
use crate::mcp::tool_list::is_list_changed;
use crate::streamable_http::recoverable_errors::{HeldError, RecoverableErrors};
use crate::streamable_http::relayed::{Line, Relayed, ServerRequest, Sink};
use crate::streamable_http::remote_server::RemoteServer;

/// Some servers begin with one, which JSON parsers refuse.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Relays the messages that come back for one message, or on a standing stream.
pub(crate) struct Relay<'a, 'd> {
    pub(crate) server: &'a RemoteServer,
    /// The requests that wait for their responses; none on a standing stream.
    ids: &'a [Id],
    /// The page of `tools/list` that the response is, from which the catalog learns.
    page: Option<Page>,
    /// An error of these is held back if it is the first thing that comes. Any other is relayed at once.
    recoverable: RecoverableErrors,
    /// The stream exists for these requests alone, and ends with them.
    owns_stream: bool,
    /// Called when `initialize` has a result, with the version that it names.
    pub(crate) on_initialized: Option<&'a dyn Fn(Option<String>)>,
    /// Takes responses to other requests.
    pub(crate) on_other_response: Option<&'a dyn Fn(String)>,
    sink: &'a mut Sink<'d>,
    /// The indexes of the ids that have their responses.
    answered: Vec<usize>,
    /// Anything was handed out.
    any_line: bool,
    /// Nothing can follow the message that is read.
    is_only_message: bool,
    held: Option<HeldError>,
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
            page: None,
            recoverable: RecoverableErrors::default(),
            owns_stream: true,
            on_initialized: None,
            on_other_response: None,
            sink,
            answered: Vec::new(),
            any_line: false,
            is_only_message: false,
            held: None,
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
        self.held.is_some() || self.answered.len() == self.ids.len()
    }

    pub(crate) fn holds_error(&self) -> bool {
        self.held.is_some()
    }

    pub(crate) fn take_held_error(&mut self) -> Option<HeldError> {
        self.held.take()
    }

    /// Takes a JSON body.
    pub(crate) fn take_body(&mut self, body: Vec<u8>) -> Result<(), Error> {
        self.is_only_message = true;
        self.take_document(body)
    }

    /// Takes the data of an event. After the response, and on a standing stream, what cannot be read is skipped and logged.
    pub(crate) fn take_event(&mut self, data: Vec<u8>) -> Result<(), Error> {
        let is_needed = !self.is_done();
        match self.take_document(data) {
            Err(error) if error.kind() == Kind::InvalidResponse && !is_needed => {
                self.server.log.debug(format_args!("ignoring an event: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    /// One JSON document: a message, or a batch of them.
    fn take_document(&mut self, document: Vec<u8>) -> Result<(), Error> {
        let document = match document.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => rest.to_vec(),
            None => document,
        };
        let Some(messages) = split_batch(&document) else { return self.take_message(document) };
        if self.ids.len() > 1 {
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
        for message in messages {
            let read = ServerMessage::parse_after(&answered, message.as_bytes(), self.ids);
            self.forget_changed_tools(&read, message.as_bytes());
            match read? {
                ServerMessage::Notification { cancels } => {
                    self.relay_cancellation(cancels)?;
                    lines.push(Some((*message).to_owned()));
                }
                // On a line of its own: it may have to be withheld from the client.
                ServerMessage::Request { id, is_ping } => {
                    self.relay_request(id, is_ping, message.as_bytes().to_vec())?;
                    lines.push(None);
                }
                ServerMessage::OtherResponse | ServerMessage::NoRequest => lines.push(None),
                ServerMessage::Result { index, .. } | ServerMessage::Error { index, .. }
                    if answered.contains(&index) =>
                {
                    lines.push(None);
                }
                ServerMessage::Result { index, corrected }
                | ServerMessage::Error { index, corrected, .. } => {
                    answered.push(index);
                    answers.push(index);
                    let line = corrected.unwrap_or_else(|| (*message).to_owned());
                    lines.push(Some(without_secrets(line, self.server.log.redactor())));
                }
            }
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
        self.relay_line(line, answers)
    }

    fn take_message(&mut self, message: Vec<u8>) -> Result<(), Error> {
        let read = ServerMessage::parse_after(&self.answered, &message, self.ids);
        self.forget_changed_tools(&read, &message);
        match read? {
            ServerMessage::Request { id, is_ping } => self.relay_request(id, is_ping, message),
            ServerMessage::NoRequest => {
                self.server.log.debug("ignoring a request of the server with an unusable id");
                Ok(())
            }
            ServerMessage::Notification { cancels } => {
                self.relay_cancellation(cancels)?;
                self.relay_line(message, Vec::new())
            }
            ServerMessage::Result { index, corrected } => {
                let message = corrected.map_or(message, String::into_bytes);
                if self.answered.contains(&index) {
                    return self.relay_response(index, message);
                }
                let message = self.learn_tools(message)?;
                if let Some(on_initialized) = self.on_initialized {
                    on_initialized(protocol_version(&message));
                }
                self.relay_response(index, message)
            }
            ServerMessage::Error { index, code, corrected } => {
                let line = corrected.unwrap_or_else(|| text_of(message));
                if let Some(code) = code
                    && !self.any_line
                    && self.recoverable.contain(code, &line)
                {
                    self.held = Some(HeldError { code, line });
                    return Ok(());
                }
                let line = without_secrets(line, self.server.log.redactor());
                self.relay_response(index, line.into_bytes())
            }
            ServerMessage::OtherResponse => {
                match self.on_other_response {
                    Some(on_other_response) => on_other_response(text_of(message)),
                    None => self.server.log.debug("ignoring a response to another request"),
                }
                Ok(())
            }
        }
    }

    /// Forgets the tools when a message says that they have changed, even one that cannot be read otherwise.
    fn forget_changed_tools(&mut self, read: &Result<ServerMessage, Error>, message: &[u8]) {
        let is_response = matches!(
            read,
            Ok(ServerMessage::Result { .. }
                | ServerMessage::Error { .. }
                | ServerMessage::OtherResponse)
        );
        if is_response || !is_list_changed(message) {
            return;
        }
        let tools = &self.server.state.tools;
        match &mut self.page {
            // A list that follows on this stream is a new one.
            Some(page) => tools.forget_before(page),
            None => tools.forget(),
        }
    }

    fn relay_request(&mut self, id: Id, is_ping: bool, message: Vec<u8>) -> Result<(), Error> {
        self.any_line = true;
        (self.sink)(Relayed::Request(ServerRequest { id, is_ping, bytes: message }))
    }

    fn relay_cancellation(&mut self, request: Option<Id>) -> Result<(), Error> {
        request.map_or(Ok(()), |id| (self.sink)(Relayed::CancelledRequest(id)))
    }

    fn learn_tools(&self, response: Vec<u8>) -> Result<Vec<u8>, Error> {
        let Some(page) = &self.page else { return Ok(response) };
        let response = text_of(response);
        let listing = self.server.state.tools.learn(&response, page)?;
        for (tool, reason) in &listing.newly_removed {
            self.server.log.warn(format_args!("tool {tool:?} is left out of tools/list: {reason}"));
        }
        Ok(listing.changed.unwrap_or(response).into_bytes())
    }

    fn relay_response(&mut self, index: usize, message: Vec<u8>) -> Result<(), Error> {
        if self.answered.contains(&index) {
            self.server.log.debug("ignoring a second response");
            return Ok(());
        }
        self.answered.push(index);
        self.relay_line(message, vec![index])
    }

    fn relay_line(&mut self, document: Vec<u8>, answers: Vec<usize>) -> Result<(), Error> {
        self.any_line = true;
        let is_done = self.is_done();
        let is_last = self.is_only_message && is_done;
        let stays_open = !answers.is_empty() && is_done && !is_last && self.owns_stream;
        (self.sink)(Relayed::Line(Line { bytes: document, answers, is_last, stays_open }))
    }
}

fn text_of(message: Vec<u8>) -> String {
    String::from_utf8(message).expect("`ServerMessage` is UTF-8")
}
