//! `ResponseWriter`: the response to one request, whole or as a stream of events.

use crate::clock;
use crate::error::{Error, Kind};
use crate::http::write_date;
use crate::listener::connections::OpenConnection;
use std::io::{self, Write as _};
use std::sync::Arc;

/// The response to one request. Each write waits for the client for a limited time.
#[derive(Debug)]
pub(crate) struct ResponseWriter {
    connection: Arc<OpenConnection>,
    /// HTTP/1.1, in which a body of unknown length is sent in chunks.
    has_chunks: bool,
    /// HEAD: the body is left out.
    omits_body: bool,
    /// Whether the connection may be used for another request.
    keeps_alive: bool,
    /// The allowed origin of the web page that sent the request.
    origin: Option<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Nothing,
    Events,
    Done,
}

/// What the request requires of its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseForm<'a> {
    pub(crate) is_http_1_0: bool,
    pub(crate) is_head: bool,
    pub(crate) keeps_alive: bool,
    pub(crate) origin: Option<&'a str>,
}

impl ResponseForm<'_> {
    /// Of a request that could not be read.
    pub(crate) fn last() -> ResponseForm<'static> {
        ResponseForm { is_http_1_0: false, is_head: false, keeps_alive: false, origin: None }
    }
}

impl ResponseWriter {
    pub(crate) fn new(connection: &Arc<OpenConnection>, form: ResponseForm<'_>) -> ResponseWriter {
        ResponseWriter {
            connection: Arc::clone(connection),
            has_chunks: !form.is_http_1_0,
            omits_body: form.is_head,
            keeps_alive: form.keeps_alive,
            origin: form.origin.map(str::to_owned),
            state: State::Nothing,
        }
    }

    /// Moves the writer out, so that other threads can write as well, until it is moved back. If that never happens, the
    /// connection is not used again.
    pub(crate) fn take(&mut self) -> ResponseWriter {
        let left = ResponseWriter {
            connection: Arc::clone(&self.connection),
            keeps_alive: false,
            origin: None,
            state: State::Done,
            ..*self
        };
        std::mem::replace(self, left)
    }

    /// Sends a whole response.
    ///
    /// # Errors
    /// `Cancelled`: the client is gone, or does not read.
    pub(crate) fn send(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), Error> {
        if self.state != State::Nothing {
            return Err(self.broken());
        }
        self.state = State::Done;
        let mut head = self.head(status, headers);
        // 204 and 304 have no body, and so no length (RFC 9110 §8.6).
        if !matches!(status, 204 | 304) {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        let connection = match (self.keeps_alive, self.has_chunks) {
            (true, true) => "\r\n",
            (true, false) => "Connection: keep-alive\r\n\r\n",
            (false, _) => "Connection: close\r\n\r\n",
        };
        head.extend_from_slice(connection.as_bytes());
        if self.omits_body {
            return self.write(&head);
        }
        if body.len() <= JOINED_BYTES {
            head.extend_from_slice(body);
            return self.write(&head);
        }
        self.write(&head)?;
        self.write(body)
    }

    /// The connection is not used for another request.
    pub(crate) fn close_afterwards(&mut self) {
        self.keeps_alive = false;
    }

    /// The events to come are a stream that stays open: a GET stream or a subscription. It does not count as a connection, and is
    /// the first to end with the process. False: there are too many.
    pub(crate) fn set_standing(&mut self) -> bool {
        self.connection.set_standing()
    }

    /// Begins a stream of events, with status 200.
    ///
    /// # Errors
    /// `Cancelled`: the client is gone, or does not read.
    pub(crate) fn start_events(&mut self, headers: &[(&str, &str)]) -> Result<(), Error> {
        if self.state != State::Nothing {
            return Err(self.broken());
        }
        self.state = State::Events;
        self.keeps_alive &= self.has_chunks;
        let mut head = self.head(200, headers);
        head.extend_from_slice(b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n");
        if self.has_chunks {
            head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !self.keeps_alive {
            head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        self.write(&head)
    }

    /// Sends one or several whole events.
    ///
    /// # Errors
    /// `Cancelled`: the client is gone, or does not read.
    pub(crate) fn write_event(&mut self, event: &[u8]) -> Result<(), Error> {
        if self.state != State::Events {
            return Err(self.broken());
        }
        // An empty chunk would end the stream.
        if event.is_empty() || !self.has_chunks {
            return self.write(event);
        }
        let mut chunk = Vec::with_capacity(event.len() + 16);
        let _ = write!(chunk, "{:x}\r\n", event.len());
        chunk.extend_from_slice(event);
        chunk.extend_from_slice(b"\r\n");
        self.write(&chunk)
    }

    /// Whether anything of a response has been sent.
    pub(crate) fn is_started(&self) -> bool {
        self.state != State::Nothing
    }

    /// Ends the response. Returns whether the connection may be used for another request.
    pub(crate) fn finish(mut self) -> bool {
        if self.state == State::Events && self.has_chunks && self.write(b"0\r\n\r\n").is_err() {
            return false;
        }
        self.keeps_alive && self.state != State::Nothing
    }

    fn head(&self, status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        let _ = write!(head, "HTTP/1.1 {status} {}\r\nDate: ", reason(status));
        write_date(&mut head, clock::now());
        head.extend_from_slice(b"\r\n");
        // A line break in a value would end its header.
        for (name, value) in headers.iter().filter(|(_, value)| !value.contains(is_control)) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(origin) = &self.origin {
            let _ = write!(
                head,
                "Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Expose-Headers: \
                 Mcp-Session-Id, MCP-Protocol-Version, Retry-After, WWW-Authenticate\r\nVary: Origin\r\n"
            );
        }
        head
    }

    /// Writes everything, or ends the connection's use.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.connection.stream().write(bytes) {
                Ok(0) => return Err(self.broken()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(self.broken()),
            }
        }
        Ok(())
    }

    fn broken(&mut self) -> Error {
        self.keeps_alive = false;
        self.state = State::Done;
        Error::new(Kind::Cancelled, "the client closed the connection")
    }
}

/// The error of a stream that may not stay open.
pub(crate) fn too_many_streams() -> Error {
    Error::new(Kind::TooMany, "too many event streams are open").hint("close some of them")
}

/// Bodies up to this size, in bytes, are sent together with the head.
const JOINED_BYTES: usize = 16 * 1024;

fn is_control(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// The reason phrase of a status; clients ignore it (RFC 9112 §4).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
