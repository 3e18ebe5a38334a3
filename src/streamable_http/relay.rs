//! `Relay`: JSON bodies and event streams → lines for the client, with exactly one response to each request.

use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::{Response, read_error};
use crate::json::edit::one_line;
use crate::mcp::error_response::without_secrets;
use crate::mcp::id::Id;
use crate::mcp::message::split_batch;
use crate::mcp::server_message::{ErrorBody, ServerMessage, protocol_version};
use crate::mcp::tool_catalog::Page;
use crate::mcp::tool_list::is_list_changed;
use crate::streamable_http::dead_session::says_session_is_dead;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relayed::{Line, Relayed, ServerRequest, Sink};
use crate::streamable_http::remote_server::RemoteServer;
use std::time::{Duration, Instant};

/// Some servers begin with one, which JSON parsers refuse.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Errors with these codes may be recovered from: AWS's dead session, expired token, throttling.
const RECOVERABLE_CODES: [i64; 3] = [-30001, -32001, -32004];

/// On a call with `Mcp-Param-*` headers, so may the refusal of those.
const RECOVERABLE_CODES_OF_A_CALL: [i64; 4] = [-30001, -32001, -32004, -32020];

/// A stream that stays open after the response is read for this time.
const STREAM_GRACE: Duration = Duration::from_secs(5);

/// The messages that come back for one message, or on one standing stream.
pub(crate) struct Relay<'a, 'd> {
    server: &'a RemoteServer,
    /// The requests that wait for their responses; none on a standing stream.
    ids: &'a [Id],
    /// The page of `tools/list` that the response is, from which the catalog learns.
    page: Option<Page>,
    /// An error with one of these codes is kept back if it is the first that comes.
    kept_codes: &'a [i64],
    /// So is one that says that the session is dead. Any other passes at once, and what follows it on a stream as well.
    may_lose_session: bool,
    /// Called when `initialize` has a result, with the version that it names.
    pub(crate) on_initialized: Option<&'a dyn Fn(Option<String>)>,
    /// Takes responses to other requests.
    pub(crate) on_other_response: Option<&'a dyn Fn(String)>,
    /// The stream that is read exists for these requests alone, so it ends with them.
    owns_stream: bool,
    sink: &'a mut Sink<'d>,
    progress: Progress,
}

/// How far a relay has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The indexes of the ids that were answered.
    answered: Vec<usize>,
    /// Anything was handed out.
    any_line: bool,
    /// What is read is the only message.
    is_only_message: bool,
    kept: Option<KeptError>,
    /// The last event id on the stream of this request.
    last_id: Option<String>,
    /// The wait that the server asked for last.
    retry: Option<Duration>,
    /// Where a stream that ended too early can be taken up.
    interruption: Option<Interruption>,
}

/// An error of the server that was not handed out: something may be done about it.
#[derive(Debug)]
pub(crate) struct KeptError {
    pub(crate) code: i64,
    /// The message as it came.
    pub(crate) line: String,
}

/// An event stream that ended before the answer came, and could go on.
#[derive(Debug)]
pub(crate) struct Interruption {
    pub(crate) last_id: String,
    /// How long the server asks to wait.
    pub(crate) retry: Option<Duration>,
    /// Whether it brought anything.
    pub(crate) any_event: bool,
}

impl<'a, 'd> Relay<'a, 'd> {
    /// Relays responses to `ids` as they come.
    pub(crate) fn new(
        server: &'a RemoteServer,
        ids: &'a [Id],
        sink: &'a mut Sink<'d>,
    ) -> Relay<'a, 'd> {
        Relay {
            server,
            ids,
            page: None,
            kept_codes: &[],
            may_lose_session: false,
            on_initialized: None,
            on_other_response: None,
            owns_stream: true,
            sink,
            progress: Progress::default(),
        }
    }

    /// Relays the responses to a message, and keeps an error back that may be recovered from.
    pub(crate) fn of_message(
        server: &'a RemoteServer,
        message: &'a PreparedMessage<'_>,
        page: Option<Page>,
        sink: &'a mut Sink<'d>,
    ) -> Relay<'a, 'd> {
        let ids = message.message.ids();
        let kept_codes: &[i64] = match ids {
            [_] if message.has_param_headers() => &RECOVERABLE_CODES_OF_A_CALL,
            [_] => &RECOVERABLE_CODES,
            _ => &[],
        };
        let may_lose_session = matches!(ids, [_])
            && message.message.request_meta().is_none()
            && server.state.session().id().is_some();
        Relay { page, kept_codes, may_lose_session, ..Relay::new(server, ids, sink) }
    }

    /// Relays the responses to a message from the one stream of an HTTP+SSE session.
    pub(crate) fn of_http_sse(
        server: &'a RemoteServer,
        message: &'a PreparedMessage<'_>,
        page: Option<Page>,
        sink: &'a mut Sink<'d>,
    ) -> Relay<'a, 'd> {
        let relay = Relay::of_message(server, message, page, sink);
        Relay { kept_codes: &[], may_lose_session: false, owns_stream: false, ..relay }
    }

    /// Whether every request has its answer, or the only one an error that is kept back.
    pub(crate) fn is_done(&self) -> bool {
        self.progress.kept.is_some() || self.progress.answered.len() == self.ids.len()
    }

    pub(crate) fn take_kept_error(&mut self) -> Option<KeptError> {
        self.progress.kept.take()
    }

    /// Relays the whole answer to a message. `Ok` means that it is done.
    pub(crate) fn take_response(&mut self, mut answer: Response<'_>) -> Result<(), Error> {
        let status = answer.status();
        match media_type(&answer) {
            kind if kind.eq_ignore_ascii_case("text/event-stream") => self.take_stream(answer),
            kind if kind.eq_ignore_ascii_case("application/json") => {
                let body = answer.read_whole(self.server.max_message_bytes)?;
                // The connection is free before the client can send its next request.
                drop(answer);
                if body.iter().all(u8::is_ascii_whitespace) {
                    return Err(no_answer(format_args!("HTTP {status} with an empty body")));
                }
                self.progress.is_only_message = true;
                self.take_document(body)?;
                if self.is_done() {
                    return Ok(());
                }
                Err(no_answer("a message that does not answer this request"))
            }
            other => {
                let what = if other.is_empty() { "a body of no type" } else { other }.to_owned();
                if answer.read_beginning(1024).is_empty() {
                    return Err(no_answer(format_args!("HTTP {status} with an empty body")));
                }
                Err(no_answer(format_args!("HTTP {status} with {what}"))
                    .hint("is this the URL of an MCP endpoint?"))
            }
        }
    }

    fn take_stream(&mut self, answer: Response<'_>) -> Result<(), Error> {
        let mut events = EventStream::new(answer, self.server.max_message_bytes, read_error);
        let mut any_event = false;
        let mut is_ending = false;
        let error = loop {
            match events.next_event() {
                Ok(Some(event)) => {
                    any_event = true;
                    if event.is_message() {
                        self.take_event(event.data)?;
                    }
                    // The request may be sent again: the old stream has nothing more to say.
                    if self.progress.kept.is_some() {
                        return Ok(());
                    }
                    if !is_ending && self.is_done() {
                        is_ending = true;
                        events.reader().set_deadline(Instant::now().checked_add(STREAM_GRACE));
                    }
                }
                // Messages may follow the answer, so a stream is read to its end, however it ends.
                Ok(None) | Err(_) if self.is_done() => return Ok(()),
                Ok(None) => break no_answer("an event stream that ended without the answer"),
                Err(error) => break error.context("event stream of the server"),
            }
        };
        let progress = &mut self.progress;
        progress.last_id = events.last_id().map(str::to_owned).or(progress.last_id.take());
        progress.retry = events.retry().or(progress.retry);
        progress.interruption = progress.last_id.clone().map(|last_id| Interruption {
            last_id,
            retry: progress.retry,
            any_event,
        });
        Err(error)
    }

    /// Where to go on, if the last stream ended too early and can be taken up.
    pub(crate) fn take_interruption(&mut self) -> Option<Interruption> {
        self.progress.interruption.take()
    }

    /// An event of a stream. After the answer, and on a standing stream, what cannot be read is left out and told in the log.
    pub(crate) fn take_event(&mut self, data: Vec<u8>) -> Result<(), Error> {
        let needed = !self.is_done();
        match self.take_document(data) {
            Err(error) if error.kind() == Kind::InvalidResponse && !needed => {
                self.server.log.debug(format_args!("an event is left out: {error}"));
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
        // Nobody asked for a batch, so nobody need be able to read one.
        self.progress.is_only_message &= messages.len() == 1;
        messages.iter().try_for_each(|message| self.take_message((*message).into()))
    }

    /// What answers a batch goes out as the batch that it is.
    fn take_batch(&mut self, document: &[u8], messages: &[&str]) -> Result<(), Error> {
        let mut lines = Vec::with_capacity(messages.len());
        let mut answers = Vec::new();
        let mut answered = self.progress.answered.clone();
        for message in messages {
            let read = ServerMessage::parse_after(&answered, message.as_bytes(), self.ids);
            self.notice_change_of_tools(&read, message.as_bytes());
            match read? {
                ServerMessage::Notification { cancels } => {
                    self.relay_cancellation(cancels)?;
                    lines.push(Some((*message).to_owned()));
                }
                // On a line of its own: it may have to be kept from the client.
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
        self.progress.answered = answered;
        self.relay_line(line, answers)
    }

    fn take_message(&mut self, message: Vec<u8>) -> Result<(), Error> {
        let read = ServerMessage::parse_after(&self.progress.answered, &message, self.ids);
        self.notice_change_of_tools(&read, &message);
        match read? {
            ServerMessage::Request { id, is_ping } => self.relay_request(id, is_ping, message),
            ServerMessage::NoRequest => {
                self.server.log.debug("a request of the server with an unusable id is left out");
                Ok(())
            }
            ServerMessage::Notification { cancels } => {
                self.relay_cancellation(cancels)?;
                self.relay_line(message, Vec::new())
            }
            ServerMessage::Result { index, corrected } => {
                let message = corrected.map_or(message, String::into_bytes);
                if self.progress.answered.contains(&index) {
                    return self.relay_response(index, message);
                }
                let message = self.learn_tools(message)?;
                if let Some(on_initialized) = self.on_initialized {
                    on_initialized(protocol_version(&message));
                }
                self.relay_response(index, message)
            }
            ServerMessage::Error { code: Some(code), corrected, .. }
                if self.is_kept(code, corrected.as_deref(), &message) =>
            {
                let line = corrected.unwrap_or_else(|| text_of(message));
                self.progress.kept = Some(KeptError { code, line });
                Ok(())
            }
            ServerMessage::Error { index, corrected, .. } => {
                let line = corrected.unwrap_or_else(|| text_of(message));
                self.relay_response(
                    index,
                    without_secrets(line, self.server.log.redactor()).into_bytes(),
                )
            }
            ServerMessage::OtherResponse => {
                match self.on_other_response {
                    Some(on_other_response) => on_other_response(text_of(message)),
                    None => self.server.log.debug("an answer to another request is left out"),
                }
                Ok(())
            }
        }
    }

    /// Notices that the tools have changed, in whatever form a message says so: also one that cannot be read.
    fn notice_change_of_tools(&mut self, read: &Result<ServerMessage, Error>, message: &[u8]) {
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
            // A list that comes after it on this stream is a new one.
            Some(page) => tools.forget_before(page),
            None => tools.forget(),
        }
    }

    fn relay_request(&mut self, id: Id, is_ping: bool, message: Vec<u8>) -> Result<(), Error> {
        self.progress.any_line = true;
        let bytes = one_line(message);
        (self.sink)(Relayed::Request(ServerRequest { id, is_ping, bytes }))
    }

    fn relay_cancellation(&mut self, request: Option<Id>) -> Result<(), Error> {
        request.map_or(Ok(()), |id| (self.sink)(Relayed::CancelledRequest(id)))
    }

    fn is_kept(&self, code: i64, corrected: Option<&str>, message: &[u8]) -> bool {
        let is_dead_session = || {
            let line = corrected.or_else(|| str::from_utf8(message).ok());
            line.and_then(ErrorBody::parse)
                .is_some_and(|error| says_session_is_dead(200, Some(code), &error.message))
        };
        !self.progress.any_line
            && (self.kept_codes.contains(&code) || (self.may_lose_session && is_dead_session()))
    }

    fn learn_tools(&self, answer: Vec<u8>) -> Result<Vec<u8>, Error> {
        let Some(page) = &self.page else { return Ok(answer) };
        let answer = text_of(answer);
        let listing = self.server.state.tools.learn(&answer, page)?;
        for (tool, reason) in &listing.newly_removed {
            self.server.log.warn(format_args!("tool {tool:?} is left out of tools/list: {reason}"));
        }
        Ok(listing.changed.unwrap_or(answer).into_bytes())
    }

    fn relay_response(&mut self, index: usize, message: Vec<u8>) -> Result<(), Error> {
        if self.progress.answered.contains(&index) {
            self.server.log.debug("a second answer is left out");
            return Ok(());
        }
        self.progress.answered.push(index);
        self.relay_line(message, vec![index])
    }

    fn relay_line(&mut self, document: Vec<u8>, answers: Vec<usize>) -> Result<(), Error> {
        self.progress.any_line = true;
        let is_done = self.is_done();
        let is_last = self.progress.is_only_message && is_done;
        let stays_open = !answers.is_empty() && is_done && !is_last && self.owns_stream;
        let bytes = one_line(document);
        (self.sink)(Relayed::Line(Line { bytes, answers, is_last, stays_open }))
    }
}

fn text_of(message: Vec<u8>) -> String {
    String::from_utf8(message).expect("`ServerMessage` is UTF-8")
}

fn no_answer(instead: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::InvalidResponse,
        format!("the server gave no answer to this request but {instead}"),
    )
}

pub(crate) fn is_event_stream(answer: &Response<'_>) -> bool {
    media_type(answer).eq_ignore_ascii_case("text/event-stream")
}

/// `Content-Type` without its parameters.
fn media_type<'a>(answer: &'a Response<'_>) -> &'a str {
    let value = answer.header("content-type").unwrap_or_default();
    value.split_once(';').map_or(value, |(media_type, _)| media_type).trim()
}
