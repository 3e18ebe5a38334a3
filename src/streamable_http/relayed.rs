//! `Relayed`: the parts of an exchange's result, passed to the client as they arrive.

use crate::error::Error;
use crate::http::event_stream::EventFields;
use crate::mcp::id::Id;

/// A document that becomes one line for the client.
#[derive(Debug)]
pub struct Line {
    /// A JSON document, which becomes one line when it is written.
    pub bytes: Vec<u8>,
    /// The requests that it answers, as indices into the ids of the message that was sent.
    pub answers: Vec<usize>,
    /// The request of the server that it cancels.
    pub cancels: Option<Id>,
    /// Nothing can follow it.
    pub is_last: bool,
    /// The HTTP status that it came with, if that was an error.
    pub http_error: Option<u16>,
    /// The request's own stream stays open for a while: more may follow there.
    pub stays_open: bool,
    /// Another line follows at once, so this one can be written together with it.
    pub has_next: bool,
    /// The event that it came in, for a client that reads events.
    pub event: Option<Box<EventFields>>,
}

impl Line {
    /// A notification.
    pub(crate) fn notification(bytes: Vec<u8>) -> Line {
        Line {
            bytes,
            answers: Vec::new(),
            cancels: None,
            is_last: false,
            http_error: None,
            stays_open: false,
            has_next: false,
            event: None,
        }
    }

    /// The responses to the requests with these indexes.
    pub(crate) fn responses(bytes: Vec<u8>, answers: Vec<usize>) -> Line {
        Line { answers, ..Line::notification(bytes) }
    }

    /// The response to the request with this index, after which the exchange is over if `is_last`.
    pub(crate) fn response(bytes: Vec<u8>, index: usize, is_last: bool) -> Line {
        Line { is_last, ..Line::responses(bytes, vec![index]) }
    }

    pub(crate) fn is_response(&self) -> bool {
        !self.answers.is_empty()
    }
}

/// A request of the server to the client.
#[derive(Debug)]
pub struct ServerRequest {
    pub id: Id,
    pub is_ping: bool,
    /// A JSON document, which becomes one line when it is written.
    pub bytes: Vec<u8>,
    /// The event that it came in, for a client that reads events.
    pub event: Option<Box<EventFields>>,
}

/// The head of a server's response, as far as a client that speaks HTTP has it.
#[derive(Debug)]
pub struct Head {
    pub is_event_stream: bool,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

/// One part of an exchange's result.
#[derive(Debug)]
pub enum Relayed {
    /// Anything but a request.
    Line(Line),
    Request(ServerRequest),
    /// The request waits for the client from now on, or no longer.
    AwaitsClient(bool),
    /// A session was re-initialized: what belonged to the old one has ended.
    NewSession,
    /// The session has ended, and the server refused another one.
    NoSession,
    /// A message without requests is sent again, or at all, after a wait that its client may notice.
    Delayed,
    /// The server responded to the request for its standing stream: no later message on it is missed.
    StreamOpened,
    /// What follows comes in this response. Only for messages that came over HTTP, and pass as they are.
    Head(Box<Head>),
    /// An event without a message, on the same terms, with the data of one that is not part of MCP.
    Event(Box<EventFields>, Vec<u8>),
}

/// Takes what is relayed. Its error ends the exchange.
pub(crate) type Sink<'a> = dyn FnMut(Relayed) -> Result<(), Error> + 'a;
