//! `Reply`: the response to one request while more than one thread may write to it.
//!
//! The client may read slowly, so no lock is held across a write: the writer is lent.

use crate::error::{Error, Kind};
use crate::listener::response::ResponseWriter;
use crate::sync::{lock, wait};
use std::sync::{Arc, Condvar, Mutex};

pub(crate) struct Reply {
    state: Mutex<State>,
    /// The writer is free.
    freed: Condvar,
}

struct State {
    /// `None` while a thread writes, and after the end.
    writer: Option<ResponseWriter>,
    form: Form,
    /// Headers of the response, until it begins.
    headers: Vec<(String, String)>,
}

/// The part of the response that has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Nothing,
    Events,
    Whole,
    /// Nothing more is written.
    Over,
}

impl Reply {
    /// Takes the writer, until `end`.
    pub(crate) fn new(response: &mut ResponseWriter) -> Arc<Reply> {
        let (writer, headers) = (Some(response.take()), Vec::new());
        let state = Mutex::new(State { writer, form: Form::Nothing, headers });
        Arc::new(Reply { state, freed: Condvar::new() })
    }

    /// Sets headers in place of those that had their names, unless the response has begun. A name may be repeated.
    pub(crate) fn set_headers(&self, new: Vec<(String, String)>) {
        let headers = &mut lock(&self.state).headers;
        let is_replaced =
            |name: &str| new.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        headers.retain(|(name, _)| !is_replaced(name));
        headers.extend(new);
    }

    /// Whether nothing of the response has been sent.
    pub(crate) fn is_unsent(&self) -> bool {
        lock(&self.state).form == Form::Nothing
    }

    /// Whether a stream of events has begun.
    pub(crate) fn has_events(&self) -> bool {
        lock(&self.state).form == Form::Events
    }

    /// Sends the whole response. Returns false if it is a stream of events already.
    ///
    /// # Errors
    /// `Cancelled`: the client is gone.
    pub(crate) fn send(&self, status: u16, body: &[u8]) -> Result<bool, Error> {
        self.write_as(Form::Whole, |writer, form, headers| {
            if form != Form::Nothing {
                return Ok(false);
            }
            let mut headers = as_text(headers);
            if !body.is_empty() {
                headers.push(("Content-Type", "application/json"));
            }
            writer.send(status, &headers, body).map(|()| true)
        })
    }

    /// Begins a stream of events, unless it has begun.
    ///
    /// # Errors
    /// As `send`.
    pub(crate) fn start_events(&self) -> Result<(), Error> {
        self.write_events(&[])
    }

    /// Sends events; begins the stream first.
    ///
    /// # Errors
    /// As `send`; also after a whole response or the end.
    pub(crate) fn write_events(&self, events: &[u8]) -> Result<(), Error> {
        self.write_as(Form::Events, |writer, form, headers| {
            if form == Form::Whole {
                return Err(over());
            }
            if form == Form::Nothing {
                writer.start_events(&as_text(headers))?;
            }
            if events.is_empty() { Ok(()) } else { writer.write_event(events) }
        })
    }

    /// Returns the writer. Nothing is written from now on.
    pub(crate) fn end(&self, response: &mut ResponseWriter) {
        let mut state = self.free();
        state.form = Form::Over;
        if let Some(writer) = state.writer.take() {
            *response = writer;
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        while state.writer.is_none() && state.form != Form::Over {
            state = wait(&self.freed, state);
        }
        state
    }

    /// Writes, and records the form of the response afterwards.
    fn write_as<T>(
        &self,
        new: Form,
        write: impl FnOnce(&mut ResponseWriter, Form, &[(String, String)]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.free();
        let form = state.form;
        let Some(writer) = state.writer.take() else { return Err(over()) };
        let headers = std::mem::take(&mut state.headers);
        if form == Form::Nothing {
            state.form = new;
        }
        drop(state);
        let mut turn = Turn { reply: self, writer: Some(writer) };
        turn.writer.as_mut().map_or_else(|| Err(over()), |writer| write(writer, form, &headers))
    }
}

/// Headers as they are written.
pub(crate) fn as_text(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn over() -> Error {
    Error::new(Kind::Cancelled, "the client closed the connection")
}

/// The writer on loan, returned on drop, so also after a panic.
struct Turn<'a> {
    reply: &'a Reply,
    writer: Option<ResponseWriter>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.reply.state).writer = self.writer.take();
        self.reply.freed.notify_all();
    }
}
