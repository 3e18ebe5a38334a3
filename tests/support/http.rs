//! Enough HTTP/1.1 (RFC 9112) for a test server: requests as they were received, responses complete or streamed.
//!
//! Independent of signatures and MCP. Headers keep their order, case and repetitions.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Longer heads and bodies are a broken client.
const MAX_HEAD: u64 = 256 * 1024;
const MAX_BODY: u64 = 256 * 1024 * 1024;

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// A response that is sent at once.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { body: body.into(), ..Response::empty(status) }
            .with("content-type", "application/json")
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Response {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// The connection of one client: reads requests and sends responses in turn.
pub struct Connection {
    reader: BufReader<TcpStream>,
    /// Sent with the head of the next response.
    pub common_headers: Vec<(String, String)>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?; // an event must not wait for the next one
        Ok(Connection { reader: BufReader::new(stream), common_headers: Vec::new() })
    }

    /// The next request; `None` once the client has left.
    pub fn read_request(&mut self) -> io::Result<Option<Request>> {
        let Some(first) = self.read_line()? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad("not a request line"));
        };
        let mut request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: self.read_headers()?,
            body: Vec::new(),
        };
        if request.header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue")) {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = self.read_body(&request)?;
        Ok(Some(request))
    }

    pub fn respond(&mut self, response: &Response) -> io::Result<()> {
        let mut head = self.head(response.status, &response.headers);
        let _ = write!(head, "content-length: {}\r\n\r\n", response.body.len());
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&response.body);
        self.send(&bytes)
    }

    /// Starts an event stream, with a chunk for each event.
    pub fn begin_events(&mut self, headers: &[(String, String)]) -> io::Result<()> {
        let mut head = self.head(200, headers);
        head.push_str("content-type: text/event-stream\r\ncache-control: no-cache\r\n");
        head.push_str("transfer-encoding: chunked\r\n\r\n");
        self.send(head.as_bytes())
    }

    /// `message` is one line of JSON.
    pub fn event(&mut self, message: &str) -> io::Result<()> {
        self.named_event("message", message)
    }

    pub fn named_event(&mut self, name: &str, data: &str) -> io::Result<()> {
        let event = format!("event: {name}\ndata: {data}\n\n");
        self.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
    }

    pub fn end_events(&mut self) -> io::Result<()> {
        self.send(b"0\r\n\r\n")
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Waits. Fails at once when the client disconnects or the server stops.
    pub fn pause(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            let peeked = self.reader.get_ref().peek(&mut [0]);
            self.reader.get_ref().set_read_timeout(None)?;
            match peeked {
                Ok(0) => return Err(ErrorKind::ConnectionAborted.into()),
                // The next request is here already: nothing is left to watch for.
                Ok(_) => std::thread::park_timeout(left),
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends nothing more; returns when the client disconnects or the server stops.
    pub fn hang(&mut self) {
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }

    pub fn close(&mut self) {
        let _ = self.reader.get_ref().shutdown(Shutdown::Both);
    }

    fn head(&mut self, status: u16, headers: &[(String, String)]) -> String {
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in headers.iter().chain(&self.common_headers) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head
    }

    fn read_headers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?.ok_or(ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| bad("a header without a colon"))?;
            headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    fn read_body(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        if request.header("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks();
        }
        let length = match request.header("content-length") {
            Some(text) => text.parse().map_err(|_| bad("content-length is not a number"))?,
            None => 0,
        };
        self.read_exactly(length)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?.ok_or(ErrorKind::UnexpectedEof)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| bad("chunk size"))?;
            if size == 0 {
                self.read_headers()?; // trailers
                return Ok(body);
            }
            body.append(&mut self.read_exactly(size)?);
            self.read_line()?;
        }
    }

    fn read_exactly(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > MAX_BODY {
            return Err(bad("the body is too long"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(length).read_to_end(&mut bytes)?;
        if read as u64 == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn read_line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        (&mut self.reader).take(MAX_HEAD).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| bad("a line without its end"))?;
        String::from_utf8(line.to_vec()).map(Some).map_err(|_| bad("not UTF-8"))
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Unix reports the first, Windows the second.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        424 => "Failed Dependency",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}
