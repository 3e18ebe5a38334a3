//! What a server answers → lines for the client: JSON bodies and event streams, exactly one answer.

use crate::error::{Error, Kind};
use crate::event_stream::EventStream;
use crate::http::{Answer, read_error};
use crate::log::Log;
use crate::message::{Id, Incoming, one_line, split_batch};
use crate::session::Session;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// One line for the client.
#[derive(Debug)]
pub struct Line {
    /// Without its newline.
    pub bytes: Vec<u8>,
    /// Whether it answers the request that was sent.
    pub is_answer: bool,
    /// Whether nothing can follow it.
    pub is_last: bool,
}

/// Where lines go as they arrive. Its error ends the exchange.
pub type Deliver<'a> = dyn FnMut(Line) -> Result<(), Error> + 'a;

/// The messages that come back for one request, or on one standing stream.
pub(crate) struct Relay<'a, 'd> {
    /// The request that waits for its answer; `None` on a standing stream.
    pub(crate) id: Option<&'a Id>,
    /// The session that an initialize result completes.
    pub(crate) new_session: Option<&'a RwLock<Session>>,
    pub(crate) max_message_bytes: usize,
    pub(crate) log: &'a Log,
    pub(crate) deliver: &'a mut Deliver<'d>,
    pub(crate) progress: Progress,
}

/// How far a relay has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    answered: bool,
    /// What is read is the only message.
    is_single: bool,
    /// The last event id on the stream of this request.
    last_id: Option<String>,
    /// Where a stream that ended too early can be taken up.
    interruption: Option<Interruption>,
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
    /// Relays the whole answer to a request. `Ok` means that it did answer the request.
    pub(crate) fn take_answer(&mut self, mut answer: Answer<'_>) -> Result<(), Error> {
        let status = answer.status();
        match media_type(&answer).as_str() {
            "text/event-stream" => self.take_stream(answer),
            "application/json" => {
                let body = answer.read_whole(self.max_message_bytes)?;
                // The connection is free before the client can send its next request.
                drop(answer);
                if body.iter().all(u8::is_ascii_whitespace) {
                    return Err(no_answer(format_args!("HTTP {status} with an empty body")));
                }
                self.progress.is_single = !body.starts_with(b"[");
                self.take_document(body)?;
                if self.progress.answered {
                    return Ok(());
                }
                Err(no_answer("a message that does not answer this request"))
            }
            other => {
                let beginning = answer.read_beginning(1024);
                if beginning.is_empty() {
                    return Err(no_answer(format_args!("HTTP {status} with an empty body")));
                }
                let what = if other.is_empty() { "a body of no type" } else { other };
                Err(no_answer(format_args!("HTTP {status} with {what}"))
                    .hint("is this the URL of an MCP endpoint?"))
            }
        }
    }

    fn take_stream(&mut self, answer: Answer<'_>) -> Result<(), Error> {
        let mut events = EventStream::new(answer, self.max_message_bytes, read_error);
        let mut any_event = false;
        let error = loop {
            match events.next_event() {
                Ok(Some(event)) => {
                    any_event = true;
                    if event.name.is_empty() || event.name == "message" {
                        self.take_event(event.data)?;
                    }
                }
                // Messages may follow the answer, so a stream is read to its end, however it ends.
                Ok(None) | Err(_) if self.progress.answered => return Ok(()),
                Ok(None) => break no_answer("an event stream that ended without the answer"),
                Err(error) => break error.context("event stream of the server"),
            }
        };
        let progress = &mut self.progress;
        progress.last_id = events.last_id().map(str::to_owned).or(progress.last_id.take());
        progress.interruption = progress.last_id.clone().map(|last_id| Interruption {
            last_id,
            retry: events.retry(),
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
        let needed = self.id.is_some() && !self.progress.answered;
        match self.take_document(data) {
            Err(error) if error.kind() == Kind::BadAnswer && !needed => {
                self.log.debug(format_args!("an event is left out: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    /// One JSON document: a message, or a batch of them, which goes out one message a line.
    fn take_document(&mut self, document: Vec<u8>) -> Result<(), Error> {
        let text = String::from_utf8(document)
            .map_err(|_| Error::new(Kind::BadAnswer, "the server's answer is not UTF-8"))?;
        match split_batch(&text) {
            Some(messages) => {
                messages.iter().try_for_each(|message| self.take_message((*message).to_owned()))
            }
            None => self.take_message(text),
        }
    }

    fn take_message(&mut self, text: String) -> Result<(), Error> {
        let text = if text.starts_with('\u{feff}') {
            text.trim_start_matches('\u{feff}').to_owned()
        } else {
            text
        };
        match Incoming::parse(&text, self.id)? {
            Incoming::Other => self.hand_out(text, false),
            Incoming::Answer { protocol_version } => {
                if let (Some(session), Some(version)) = (self.new_session, protocol_version) {
                    session.write().unwrap_or_else(PoisonError::into_inner).learn_version(version);
                }
                self.hand_out(text, true)
            }
            Incoming::Mended(line) => self.hand_out(line, true),
            Incoming::Stray => {
                self.log.debug("an answer to another request is left out");
                Ok(())
            }
        }
    }

    fn hand_out(&mut self, text: String, is_answer: bool) -> Result<(), Error> {
        if is_answer && std::mem::replace(&mut self.progress.answered, true) {
            self.log.debug("a second answer is left out");
            return Ok(());
        }
        (self.deliver)(Line {
            bytes: one_line(text.into_bytes()),
            is_answer,
            is_last: is_answer && self.progress.is_single,
        })
    }
}

fn no_answer(instead: impl std::fmt::Display) -> Error {
    Error::new(Kind::BadAnswer, format!("the server gave no answer to this request but {instead}"))
}

pub(crate) fn is_event_stream(answer: &Answer<'_>) -> bool {
    media_type(answer) == "text/event-stream"
}

/// `Content-Type` without its parameters, lower case.
fn media_type(answer: &Answer<'_>) -> String {
    let value = answer.header("content-type").unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
