//! The server side of Streamable HTTP, 2025-03-26 to 2025-11-25: sessions, versions, the two forms of a response.
//!
//! As strict as the specification, so that a missing header is an error.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::http::{Connection, Request, Response};
use super::tools;

const VERSIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];
/// Interval at which an idle stream checks whether its client is connected.
const GLANCE: Duration = Duration::from_millis(20);

/// How a result is sent that does not need a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Json,
    Sse,
    /// The transport of 2024-11-05: a GET of `/sse` opens the stream that brings everything, POSTs go to `/messages`.
    HttpSse,
}

pub struct Mcp {
    mode: Mode,
    sessions: bool,
    get_stream: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The negotiated version of each living session.
    sessions: HashMap<String, String>,
    /// The version negotiated last, for a server without sessions.
    version: Option<String>,
    /// Receivers of the client's responses, by the ids of the server's requests.
    waiting: HashMap<String, Sender<String>>,
    streams: Vec<Sender<String>>,
    /// Pushed while no stream was open.
    unsent: VecDeque<String>,
    ids_given: u64,
}

/// The members of a JSON-RPC message that are looked at; the id is kept as it was written.
#[derive(Deserialize)]
pub struct Message<'a> {
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
}

impl Message<'_> {
    pub fn parse(body: &[u8]) -> Option<Message<'_>> {
        serde_json::from_slice(body).ok()
    }
}

impl Mcp {
    pub fn new(mode: Mode, sessions: bool, get_stream: bool) -> Mcp {
        Mcp { mode, sessions, get_stream, state: Mutex::default() }
    }

    /// An error means that the client has left or the server stops.
    pub fn answer(&self, request: &Request, connection: &mut Connection) -> io::Result<()> {
        let is_messages = request.target.starts_with("/messages");
        match request.method.as_str() {
            "POST" if self.mode == Mode::HttpSse && !is_messages => {
                connection.respond(&Response::empty(405))
            }
            "POST" => self.post(request, connection),
            "GET" if self.get_stream => self.stream(request, connection),
            "DELETE" => connection.respond(&self.end_session(request)),
            // AgentCore's error, with its invalid id and result.
            _ => connection.respond(
                &Response::json(
                    405,
                    r#"{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600,"message":"HTTP method not supported."}}"#,
                )
                .with("allow", "POST, DELETE"),
            ),
        }
    }

    /// Goes out on an open GET stream, or on the next one that is opened.
    pub fn push(&self, message: &str) {
        let mut state = self.state();
        while let Some(stream) = state.streams.last() {
            if stream.send(message.to_owned()).is_ok() {
                return;
            }
            state.streams.pop();
        }
        state.unsent.push_back(message.to_owned());
    }

    /// Every session is dead from now on.
    pub fn end_sessions(&self) {
        self.state().sessions.clear();
    }

    /// Wakes all threads that wait for the client.
    pub fn stop(&self) {
        let mut state = self.state();
        state.waiting.clear();
        state.streams.clear();
    }

    pub fn send_result(
        &self,
        connection: &mut Connection,
        id: &RawValue,
        result: &Value,
    ) -> io::Result<()> {
        self.send_message(connection, &result_message(id, result), &[])
    }

    pub fn send_error(
        &self,
        connection: &mut Connection,
        id: &RawValue,
        code: i64,
        text: &str,
    ) -> io::Result<()> {
        self.send_message(connection, &error_message(id.get(), code, text), &[])
    }

    /// Creates a request of the server, and the receiver of the client's response.
    pub fn ask(&self, method: &str, params: &Value) -> (String, Receiver<String>) {
        let (sender, receiver) = mpsc::channel();
        let mut state = self.state();
        state.ids_given += 1;
        let id = format!("ask-{}", state.ids_given);
        state.waiting.insert(format!("\"{id}\""), sender);
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"{method}","params":{params}}}"#);
        (message, receiver)
    }

    fn post(&self, request: &Request, connection: &mut Connection) -> io::Result<()> {
        let Some(message) = Message::parse(&request.body) else {
            return connection.respond(&refused(400, -32700, "Parse error"));
        };
        let method = message.method.as_deref();
        if let Err(response) = check_media_types(request) {
            return connection.respond(&response);
        }
        if method != Some("initialize")
            && let Err(response) = self.check_session(request)
        {
            return connection.respond(&response);
        }
        match (message.id, method) {
            (Some(id), Some(method)) => self.call(id, method, &message, request, connection),
            (None, Some(_)) => connection.respond(&Response::empty(202)),
            (Some(id), None) => {
                let waiting = self.state().waiting.remove(id.get());
                if let Some(waiting) = waiting {
                    let _ = waiting.send(String::from_utf8_lossy(&request.body).into_owned());
                }
                connection.respond(&Response::empty(202))
            }
            (None, None) => connection.respond(&refused(400, -32600, "Invalid Request")),
        }
    }

    fn call(
        &self,
        id: &RawValue,
        method: &str,
        message: &Message<'_>,
        request: &Request,
        connection: &mut Connection,
    ) -> io::Result<()> {
        match method {
            "initialize" => self.initialize(id, message, connection),
            "ping" => self.send_result(connection, id, &json!({})),
            "tools/list" => self.send_result(connection, id, &tools::page(&parsed(message.params))),
            "tools/call" => tools::call(self, id, message, request, connection),
            _ => self.send_error(connection, id, -32601, "Method not found"),
        }
    }

    fn initialize(
        &self,
        id: &RawValue,
        message: &Message<'_>,
        connection: &mut Connection,
    ) -> io::Result<()> {
        let (headers, result) = self.begin_session(id, message);
        self.send_message(connection, &result, &headers)
    }

    /// Requests the client's roots, and responds to `initialize` after a pause.
    pub fn initialize_after_asking(
        &self,
        pause: Duration,
        request: &Request,
        connection: &mut Connection,
    ) -> io::Result<()> {
        let Some(message) = Message::parse(&request.body) else { return Ok(()) };
        let Some(id) = message.id else { return Ok(()) };
        let (headers, result) = self.begin_session(id, &message);
        let (question, answer) = self.ask("roots/list", &json!({}));
        connection.begin_events(&headers)?;
        connection.pause(pause)?;
        connection.event(&question)?;
        if answer.recv().is_ok() {
            connection.event(&result)?;
        }
        connection.end_events()
    }

    fn begin_session(
        &self,
        id: &RawValue,
        message: &Message<'_>,
    ) -> (Vec<(String, String)>, String) {
        let params: Value = parsed(message.params);
        let asked = params["protocolVersion"].as_str().unwrap_or_default();
        let version = VERSIONS.into_iter().find(|known| *known == asked).unwrap_or("2025-11-25");
        let mut headers = Vec::new();
        {
            let mut state = self.state();
            state.version = Some(version.to_owned());
            if self.sessions {
                state.ids_given += 1;
                let session = format!("session-{}", state.ids_given);
                state.sessions.insert(session.clone(), version.to_owned());
                headers.push(("mcp-session-id".to_owned(), session));
            }
        }
        let result = json!({
            "protocolVersion": version,
            "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": {"name": "verifying-server", "version": "1.0.0"},
        });
        (headers, result_message(id, &result))
    }

    fn stream(&self, request: &Request, connection: &mut Connection) -> io::Result<()> {
        if let Err(response) = self.check_session(request) {
            return connection.respond(&response);
        }
        connection.begin_events(&[])?;
        let (sender, pushed) = mpsc::channel();
        {
            let mut state = self.state();
            for message in state.unsent.drain(..) {
                let _ = sender.send(message);
            }
            state.streams.push(sender);
        }
        // Only now: the client sends requests as soon as it has read it, and their responses belong on this stream.
        if self.mode == Mode::HttpSse {
            connection.named_event("endpoint", "/messages?sessionId=7")?;
        }
        loop {
            match pushed.recv_timeout(GLANCE) {
                Ok(message) => connection.event(&message)?,
                Err(RecvTimeoutError::Timeout) => connection.pause(Duration::from_millis(1))?,
                Err(RecvTimeoutError::Disconnected) => return connection.end_events(),
            }
        }
    }

    fn end_session(&self, request: &Request) -> Response {
        if let Err(response) = self.check_session(request) {
            return response;
        }
        if let Some(session) = request.header("mcp-session-id") {
            self.state().sessions.remove(session);
        }
        Response::empty(200)
    }

    fn check_session(&self, request: &Request) -> Result<(), Response> {
        let state = self.state();
        let negotiated = match request.header("mcp-session-id") {
            _ if !self.sessions => state.version.as_deref(),
            None => {
                return Err(refused(400, -32000, "Bad Request: Mcp-Session-Id header is required"));
            }
            Some(session) => match state.sessions.get(session) {
                Some(version) => Some(version.as_str()),
                None => return Err(refused(404, -32001, "Session not found")),
            },
        };
        match (request.header("mcp-protocol-version"), negotiated) {
            (Some(given), Some(negotiated)) if given != negotiated => Err(refused(
                400,
                -32000,
                &format!("Bad Request: protocol version {given}, but {negotiated} was negotiated"),
            )),
            _ => Ok(()),
        }
    }

    fn send_message(
        &self,
        connection: &mut Connection,
        message: &str,
        headers: &[(String, String)],
    ) -> io::Result<()> {
        match self.mode {
            Mode::Json => {
                let mut response = Response::json(200, message);
                response.headers.extend_from_slice(headers);
                connection.respond(&response)
            }
            Mode::Sse => {
                connection.begin_events(headers)?;
                connection.event(message)?;
                connection.end_events()
            }
            Mode::HttpSse => {
                self.push(message);
                connection.respond(&Response::empty(202))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }
}

pub fn result_message(id: &RawValue, result: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// Absent and invalid JSON is read as null.
pub fn parsed(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// An error with an HTTP status of its own (2026-07-28).
pub fn refusal(id: &RawValue, status: u16, code: i64, text: &str) -> Response {
    Response::json(status, error_message(id.get(), code, text))
}

fn error_message(id: &str, code: i64, text: &str) -> String {
    let error = json!({"code": code, "message": text});
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// The official SDKs' way to refuse at the level of HTTP.
fn refused(status: u16, code: i64, text: &str) -> Response {
    Response::json(status, error_message("null", code, text))
}

fn check_media_types(request: &Request) -> Result<(), Response> {
    let accept: Vec<&str> = request.all("accept").collect();
    let accept = accept.join(",");
    if !(accept.contains("application/json") && accept.contains("text/event-stream")) {
        return Err(refused(
            406,
            -32000,
            "Not Acceptable: Client must accept both application/json and text/event-stream",
        ));
    }
    if request.header("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
        return Err(refused(
            415,
            -32000,
            "Unsupported Media Type: Content-Type must be application/json",
        ));
    }
    Ok(())
}
