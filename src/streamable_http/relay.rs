//! What a server answers → lines for the client: JSON bodies and event streams, exactly one answer.

use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::{Response, read_error};
use crate::json::edit::one_line;
use crate::log::Log;
use crate::mcp::id::Id;
use crate::mcp::message::{safe_error, split_batch};
use crate::mcp::server_message::{ErrorBody, ServerMessage, protocol_version};
use crate::mcp::tool_catalog::{Page, ToolCatalog, says_that_tools_changed};
use crate::streamable_http::retry;
use std::time::{Duration, Instant};

/// Some servers begin with one, and no JSON parser likes it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A stream that stays open after the response is read for so long.
const STREAM_GRACE: Duration = Duration::from_secs(5);

/// One line for the client.
#[derive(Debug)]
pub struct Line {
    /// Without its newline.
    pub bytes: Vec<u8>,
    /// Which of the requests that were sent it answers, by their places among the message's ids.
    pub answers: Vec<usize>,
    /// Whether nothing can follow it.
    pub is_last: bool,
    /// The request's own stream stays open for a while: more may follow there.
    pub stays_open: bool,
}

/// A request of the server, for the client.
#[derive(Debug)]
pub struct ServerRequest {
    pub id: Id,
    pub is_ping: bool,
    /// Without a newline.
    pub bytes: Vec<u8>,
}

/// What an exchange hands out as it goes on.
#[derive(Debug)]
pub enum Relayed {
    Line(Line),
    Request(ServerRequest),
    /// The server has cancelled this request of its own. The line that says so follows.
    CancelledRequest(Id),
    /// A session was begun anew: what belonged to the old one has ended.
    NewSession,
}

/// Where it goes. Its error ends the exchange.
pub type Sink<'a> = dyn FnMut(Relayed) -> Result<(), Error> + 'a;

/// The messages that come back for one message, or on one standing stream.
pub(crate) struct Relay<'a, 'd> {
    /// The requests that wait for their answers; none on a standing stream.
    pub(crate) ids: &'a [Id],
    /// Told that `initialize` has a result, and the version that it names.
    pub(crate) on_initialized: Option<&'a dyn Fn(Option<String>)>,
    /// Learns from the answer, which is that to a `tools/list`, and changes it where it must be.
    pub(crate) tools: Option<(&'a ToolCatalog, Page)>,
    /// Forgets what it knows when the server says that its tools have changed.
    pub(crate) forgetful: &'a ToolCatalog,
    /// Takes answers to other requests.
    pub(crate) on_stray: Option<&'a dyn Fn(String)>,
    /// What is read is there for these requests alone, so it ends with them.
    pub(crate) owns_stream: bool,
    /// An error with one of these codes is kept back if it is the first that comes.
    pub(crate) held_back: &'a [i64],
    /// So is one that says that the session is dead. Any other passes at once, and what follows it on a stream as well.
    pub(crate) may_lose_session: bool,
    pub(crate) max_message_bytes: usize,
    pub(crate) log: &'a Log,
    pub(crate) deliver: &'a mut Sink<'d>,
    pub(crate) progress: Progress,
}

/// How far a relay has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The places of the ids that were answered.
    answered: Vec<usize>,
    /// Anything was handed out.
    any_line: bool,
    /// What is read is the only message.
    is_single: bool,
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

impl Relay<'_, '_> {
    /// Whether every request has its answer, or the only one an error that is kept back.
    pub(crate) fn is_done(&self) -> bool {
        self.progress.kept.is_some() || self.progress.answered.len() == self.ids.len()
    }

    pub(crate) fn kept(&mut self) -> Option<KeptError> {
        self.progress.kept.take()
    }

    /// Relays the whole answer to a message. `Ok` means that it is done.
    pub(crate) fn take_answer(&mut self, mut answer: Response<'_>) -> Result<(), Error> {
        let status = answer.status();
        match media_type(&answer) {
            kind if kind.eq_ignore_ascii_case("text/event-stream") => self.take_stream(answer),
            kind if kind.eq_ignore_ascii_case("application/json") => {
                let body = answer.read_whole(self.max_message_bytes)?;
                // The connection is free before the client can send its next request.
                drop(answer);
                if body.iter().all(u8::is_ascii_whitespace) {
                    return Err(no_answer(format_args!("HTTP {status} with an empty body")));
                }
                self.progress.is_single = true;
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
        let mut events = EventStream::new(answer, self.max_message_bytes, read_error);
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
    pub(crate) fn interruption(&mut self) -> Option<Interruption> {
        self.progress.interruption.take()
    }

    /// An event of a stream. After the answer, and on a standing stream, what cannot be read is left out and told in the log.
    pub(crate) fn take_event(&mut self, data: Vec<u8>) -> Result<(), Error> {
        let needed = !self.is_done();
        match self.take_document(data) {
            Err(error) if error.kind() == Kind::InvalidResponse && !needed => {
                self.log.debug(format_args!("an event is left out: {error}"));
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
        self.progress.is_single &= messages.len() == 1;
        messages.iter().try_for_each(|message| self.take_message((*message).into()))
    }

    /// What answers a batch goes out as the batch that it is.
    fn take_batch(&mut self, document: &[u8], messages: &[&str]) -> Result<(), Error> {
        let mut lines = Vec::with_capacity(messages.len());
        let mut answers = Vec::new();
        let mut answered = self.progress.answered.clone();
        for message in messages {
            let read = ServerMessage::after(&answered, message.as_bytes(), self.ids);
            self.notice_change_of_tools(&read, message.as_bytes());
            match read? {
                ServerMessage::Notification { cancels } => {
                    self.tell_if_cancelled(cancels)?;
                    lines.push(Some((*message).to_owned()));
                }
                // On a line of its own: it may have to be kept from the client.
                ServerMessage::Request { id, is_ping } => {
                    self.ask(id, is_ping, message.as_bytes().to_vec())?;
                    lines.push(None);
                }
                ServerMessage::OtherResponse | ServerMessage::NoRequest => lines.push(None),
                ServerMessage::Result { place, .. } | ServerMessage::Error { place, .. }
                    if answered.contains(&place) =>
                {
                    lines.push(None);
                }
                ServerMessage::Result { place, mended }
                | ServerMessage::Error { place, mended, .. } => {
                    answered.push(place);
                    answers.push(place);
                    let line = mended.unwrap_or_else(|| (*message).to_owned());
                    lines.push(Some(safe_error(line, self.log.redactor())));
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
        self.hand_out(line, answers)
    }

    fn take_message(&mut self, message: Vec<u8>) -> Result<(), Error> {
        let read = ServerMessage::after(&self.progress.answered, &message, self.ids);
        self.notice_change_of_tools(&read, &message);
        match read? {
            ServerMessage::Request { id, is_ping } => self.ask(id, is_ping, message),
            ServerMessage::NoRequest => {
                self.log.debug("a request of the server with an unusable id is left out");
                Ok(())
            }
            ServerMessage::Notification { cancels } => {
                self.tell_if_cancelled(cancels)?;
                self.hand_out(message, Vec::new())
            }
            ServerMessage::Result { place, mended } => {
                let message = mended.map_or(message, String::into_bytes);
                if self.progress.answered.contains(&place) {
                    return self.answer(place, message);
                }
                let message = self.list_of_tools(message)?;
                if let Some(on_initialized) = self.on_initialized {
                    on_initialized(protocol_version(&message));
                }
                self.answer(place, message)
            }
            ServerMessage::Error { code: Some(code), mended, .. }
                if self.keeps_back(code, mended.as_deref(), &message) =>
            {
                let line = mended.unwrap_or_else(|| text_of(message));
                self.progress.kept = Some(KeptError { code, line });
                Ok(())
            }
            ServerMessage::Error { place, mended, .. } => {
                let line = mended.unwrap_or_else(|| text_of(message));
                self.answer(place, safe_error(line, self.log.redactor()).into_bytes())
            }
            ServerMessage::OtherResponse => {
                match self.on_stray {
                    Some(on_stray) => on_stray(text_of(message)),
                    None => self.log.debug("an answer to another request is left out"),
                }
                Ok(())
            }
        }
    }

    /// That the tools have changed counts in every form, also where it is no notification or cannot be read.
    fn notice_change_of_tools(&mut self, read: &Result<ServerMessage, Error>, message: &[u8]) {
        let is_answer = matches!(
            read,
            Ok(ServerMessage::Result { .. }
                | ServerMessage::Error { .. }
                | ServerMessage::OtherResponse)
        );
        if is_answer || !says_that_tools_changed(message) {
            return;
        }
        match &mut self.tools {
            // A list that comes after it on this stream is a new one.
            Some((tools, page)) => tools.forget_before(page),
            None => self.forgetful.forget(),
        }
    }

    fn ask(&mut self, id: Id, is_ping: bool, message: Vec<u8>) -> Result<(), Error> {
        self.progress.any_line = true;
        let bytes = one_line(message);
        (self.deliver)(Relayed::Request(ServerRequest { id, is_ping, bytes }))
    }

    fn tell_if_cancelled(&mut self, request: Option<Id>) -> Result<(), Error> {
        request.map_or(Ok(()), |id| (self.deliver)(Relayed::CancelledRequest(id)))
    }

    fn keeps_back(&self, code: i64, mended: Option<&str>, message: &[u8]) -> bool {
        let says_session_is_dead = || {
            let line = mended.or_else(|| str::from_utf8(message).ok());
            line.and_then(ErrorBody::parse)
                .is_some_and(|error| retry::says_session_is_dead(200, Some(code), &error.message))
        };
        !self.progress.any_line
            && (self.held_back.contains(&code) || (self.may_lose_session && says_session_is_dead()))
    }

    fn list_of_tools(&self, answer: Vec<u8>) -> Result<Vec<u8>, Error> {
        let Some((tools, page)) = &self.tools else { return Ok(answer) };
        let answer = text_of(answer);
        let listing = tools.learn(&answer, page)?;
        for (tool, reason) in &listing.newly_left_out {
            self.log.warn(format_args!("tool {tool:?} is left out of tools/list: {reason}"));
        }
        Ok(listing.changed.unwrap_or(answer).into_bytes())
    }

    fn answer(&mut self, place: usize, message: Vec<u8>) -> Result<(), Error> {
        if self.progress.answered.contains(&place) {
            self.log.debug("a second answer is left out");
            return Ok(());
        }
        self.progress.answered.push(place);
        self.hand_out(message, vec![place])
    }

    fn hand_out(&mut self, document: Vec<u8>, answers: Vec<usize>) -> Result<(), Error> {
        self.progress.any_line = true;
        let is_done = self.is_done();
        let is_last = self.progress.is_single && is_done;
        let stays_open = !answers.is_empty() && is_done && !is_last && self.owns_stream;
        let bytes = one_line(document);
        (self.deliver)(Relayed::Line(Line { bytes, answers, is_last, stays_open }))
    }
}

fn text_of(message: Vec<u8>) -> String {
    String::from_utf8(message).expect("`Incoming::parse` takes nothing but UTF-8")
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
