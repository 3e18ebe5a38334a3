//! Just enough of an MCP client over HTTP/1.1: one connection, one request at a time, responses whole or event by event.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any response takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"test","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A client of one URL. Its connection is kept as long as the server keeps it.
pub struct HttpClient {
    authority: String,
    path: String,
    /// Sent with every request, after `Host`.
    pub headers: Vec<(String, String)>,
    connection: Option<BufReader<TcpStream>>,
    body: Body,
    /// What was read of an event stream beyond the last event.
    unread: Vec<u8>,
}

/// What is left of the current response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Bytes(usize),
    Chunks,
    UntilClose,
    Nothing,
}

/// A response, without its body while that is still to be read.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The JSON-RPC message, or the last one of an event stream.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        let is_stream =
            self.header("content-type").is_some_and(|kind| kind.contains("event-stream"));
        let last = text.lines().rev().find_map(|line| line.strip_prefix("data:"));
        let message = if is_stream { last.unwrap_or_default() } else { &text };
        serde_json::from_str(message).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl HttpClient {
    /// `http://HOST:PORT/PATH`, with this bearer token if there is one.
    pub fn new(url: &str, token: Option<&str>) -> HttpClient {
        let rest = url.strip_prefix("http://").expect("an http URL");
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let token = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
        HttpClient {
            authority: authority.to_owned(),
            path: format!("/{path}"),
            headers: token.into_iter().collect(),
            connection: None,
            body: Body::Nothing,
            unread: Vec::new(),
        }
    }

    /// A second connection with the same headers.
    pub fn twin(&self) -> HttpClient {
        HttpClient {
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            connection: None,
            body: Body::Nothing,
            unread: Vec::new(),
        }
    }

    /// A connection with the same headers, on which the standing stream is open.
    pub fn standing_stream(&self) -> HttpClient {
        let mut stream = self.twin();
        let answer = stream.begin("GET", &[], b"").expect("a response");
        assert_eq!(answer.status, 200);
        stream
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> HttpClient {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `initialize` and `notifications/initialized`; later requests carry the session and the revision.
    pub fn initialize(&mut self) -> Answer {
        let answer = self.post(INITIALIZE);
        assert_eq!(answer.status, 200, "{answer:?}");
        if let Some(session) = answer.header("mcp-session-id") {
            self.headers.push(("Mcp-Session-Id".to_owned(), session.to_owned()));
        }
        let version =
            answer.json()["result"]["protocolVersion"].as_str().unwrap_or_default().to_owned();
        self.headers.push(("MCP-Protocol-Version".to_owned(), version));
        assert_eq!(self.post(INITIALIZED).status, 202);
        answer
    }

    /// The text that a tool returns.
    pub fn call(&mut self, id: u64, tool: &str, arguments: &Value) -> String {
        let message = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments, "_meta": {"progressToken": id}},
        });
        let answer = self.post(&message.to_string()).json();
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }

    /// A POST and its whole response.
    pub fn post(&mut self, message: &str) -> Answer {
        self.ask("POST", &[], message.as_bytes())
            .unwrap_or_else(|error| panic!("{error}: {message}"))
    }

    /// A request and its whole response. A kept connection that the server closed meanwhile is replaced.
    pub fn ask(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let answer = self.begin(method, headers, body)?;
        self.with_body(answer)
    }

    /// The head of the response to a request that was sent.
    pub fn head(&mut self) -> io::Result<Answer> {
        self.read_head()
    }

    /// The whole response to a request that was sent.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let answer = self.read_head()?;
        self.with_body(answer)
    }

    fn with_body(&mut self, mut answer: Answer) -> io::Result<Answer> {
        while let Some(mut piece) = self.piece()? {
            answer.body.append(&mut piece);
        }
        Ok(answer)
    }

    /// A request and the head of its response; [`Self::event`] reads the rest.
    pub fn begin(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let is_kept = self.connection.is_some() && self.body == Body::Nothing;
        match self.try_once(method, headers, body) {
            Err(error) if is_kept && error.kind() != ErrorKind::WouldBlock => {
                self.connection = None;
                self.try_once(method, headers, body)
            }
            answered => answered,
        }
    }

    /// Sends a request and reads nothing.
    pub fn send(&mut self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut request = format!("{method} {} HTTP/1.1\r\n", self.path);
        let is_named =
            |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let accept = match method {
            "GET" => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        let defaults = [
            ("Host", self.authority.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", accept),
        ];
        for (name, value) in defaults.into_iter().filter(|(name, _)| !is_named(name)) {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        if method == "POST" {
            let _ = write!(request, "Content-Length: {}\r\n", body.len());
        }
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.filter(|(name, _)| !is_named(name)).chain(headers.iter().copied())
        {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let bytes = [request.as_bytes(), b"\r\n", body].concat();
        self.stream()?.get_mut().write_all(&bytes)
    }

    /// The data of the next event; `None` at the end of the stream. Comments and fields without data are passed over.
    pub fn event(&mut self) -> io::Result<Option<String>> {
        loop {
            while let Some(at) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..at + 2).collect();
                let event = String::from_utf8_lossy(&event).into_owned();
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(str::trim_start)
                    .collect();
                if !data.is_empty() {
                    return Ok(Some(data.join("\n")));
                }
            }
            match self.piece()? {
                Some(mut piece) => self.unread.append(&mut piece),
                None => return Ok(None),
            }
        }
    }

    /// How long a read waits from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        let connection = self.connection.as_ref().expect("there is a connection");
        connection
            .get_ref()
            .set_read_timeout(Some(patience))
            .expect("a time limit that is not zero");
    }

    /// Leaves without a word.
    pub fn vanish(&mut self) {
        (self.connection, self.body) = (None, Body::Nothing);
        self.unread.clear();
    }

    fn try_once(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        if self.body != Body::Nothing {
            self.vanish();
        }
        self.send(method, headers, body)?;
        self.read_head()
    }

    fn stream(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(&self.authority)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.connection = Some(BufReader::new(stream));
        }
        Ok(self.connection.as_mut().expect("it was just opened"))
    }

    fn read_head(&mut self) -> io::Result<Answer> {
        let mut answer = Answer::default();
        loop {
            let line = self.read_line()?;
            if let Some(status) = line.strip_prefix("HTTP/1.1 ") {
                answer.status = status[..3].parse().map_err(|_| bad("not a status"))?;
            } else if let Some((name, value)) = line.split_once(':') {
                answer.headers.push((name.to_owned(), value.trim().to_owned()));
            } else if !line.is_empty() {
                return Err(bad("not a header"));
            } else if answer.status != 100 {
                break;
            }
        }
        self.unread.clear();
        self.body = match (answer.header("content-length"), answer.header("transfer-encoding")) {
            _ if matches!(answer.status, 204 | 304) => Body::Nothing,
            (Some(_), Some(_)) => return Err(bad("two lengths")),
            (Some(length), None) => Body::Bytes(length.parse().map_err(|_| bad("not a length"))?),
            (None, Some(_)) => Body::Chunks,
            (None, None) => Body::UntilClose,
        };
        if self.body == Body::Bytes(0) {
            self.body = Body::Nothing;
        }
        Ok(answer)
    }

    /// The next piece of the body, `None` at its end.
    pub fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let length = match self.body {
            Body::Nothing => return Ok(None),
            Body::Bytes(length) => length,
            Body::Chunks => {
                let line = self.read_line()?;
                usize::from_str_radix(&line, 16).map_err(|_| bad("not the length of a chunk"))?
            }
            Body::UntilClose => {
                let mut piece = Vec::new();
                self.stream()?.read_to_end(&mut piece)?;
                self.vanish();
                return Ok((!piece.is_empty()).then_some(piece));
            }
        };
        let mut piece = vec![0; length];
        self.stream()?.read_exact(&mut piece)?;
        if self.body != Body::Chunks {
            self.body = Body::Nothing;
        } else if !self.read_line()?.is_empty() {
            return Err(bad("a chunk without its end"));
        } else if length == 0 {
            self.body = Body::Nothing;
            return Ok(None);
        }
        Ok(Some(piece))
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream()?.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| bad("a line without its end"))
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
