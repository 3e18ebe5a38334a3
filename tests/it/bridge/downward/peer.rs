//! A server of 2026-07-28 alone in the hands of a test, which decides every byte of its responses.

use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::http::{Connection, Request, Response};
use serde_json::{Value, json};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// The refusal of `initialize` by such a server.
pub(crate) const UNSUPPORTED: &str = r#"{"code":-32022,"message":"Unsupported protocol version: 2025-11-25","data":{"supported":["2026-07-28"],"requested":"2025-11-25"}}"#;

/// All capabilities of a client.
pub(crate) const ALL: &str =
    r#"{"roots":{"listChanged":true},"sampling":{},"elicitation":{"form":{},"url":{}}}"#;

/// The peer's response to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// JSON of the result.
    Result(String),
    /// JSON of the result, which starts a session.
    Session(String),
    /// HTTP status and JSON of the error.
    Error(u16, String),
    /// The same, with the id of a session.
    SessionError(u16, String),
    /// HTTP status and a body that is not JSON-RPC.
    Status(u16, &'static str),
    /// An event stream of these messages, in which `ID` is the request's. It ends with them.
    Events(Vec<String>),
    /// An event stream of these messages that stays open until `end_streams`.
    Stream(Vec<String>),
    /// Closes the connection without a byte.
    Close,
}

/// Something that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// The method, `response`, or the HTTP method of anything but a POST.
    pub(crate) label: String,
    pub(crate) text: String,
    pub(crate) json: Value,
    pub(crate) request: Request,
}

impl Arrived {
    fn of(request: Request) -> Arrived {
        let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let label = match (&*request.method, json["method"].as_str()) {
            ("POST", None) => "response".to_owned(),
            ("POST", Some(label)) | (label, _) => label.to_owned(),
        };
        let text = String::from_utf8(request.body.clone()).unwrap();
        Arrived { label, text, json, request }
    }

    pub(crate) fn params(&self) -> &Value {
        &self.json["params"]
    }

    pub(crate) fn meta(&self, name: &str) -> &Value {
        &self.json["params"]["_meta"][format!("io.modelcontextprotocol/{name}")]
    }
}

type Handle = dyn Fn(&Arrived) -> Answer + Send + Sync;

pub(crate) struct Peer {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    handle: Box<Handle>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    arrived: Vec<Arrived>,
    /// Streams that stay open.
    streams: Vec<Connection>,
    /// Streams that the client has closed.
    closed: usize,
}

impl Peer {
    /// With every byte by `handle`.
    pub(crate) fn scripted(handle: impl Fn(&Arrived) -> Answer + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { handle: Box::new(handle), state, changed });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Peer { address, shared }
    }

    /// Refuses `initialize`, responds to `server/discover` with these capabilities, acknowledges every stream of notifications,
    /// and passes the rest to `handle`.
    pub(crate) fn modern(
        capabilities: &str,
        handle: impl Fn(&Arrived) -> Answer + Send + Sync + 'static,
    ) -> Peer {
        let discovered = discovered(capabilities);
        Peer::scripted(move |arrived| match &*arrived.label {
            "initialize" => Answer::Error(400, UNSUPPORTED.to_owned()),
            "server/discover" => Answer::Result(discovered.clone()),
            "subscriptions/listen" => {
                Answer::Stream(vec![acknowledgement(&arrived.params()["notifications"])])
            }
            "GET" | "DELETE" => Answer::Status(405, ""),
            _ => handle(arrived),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The program before it, with these further arguments.
    pub(crate) fn launch(&self, arguments: &[&str]) -> Program {
        let launch = Launch::to(&self.url());
        arguments.iter().fold(launch, |launch, argument| launch.arg(argument)).start()
    }

    /// The program before it, after the handshake of a client with these capabilities.
    pub(crate) fn client(&self, capabilities: &str, arguments: &[&str]) -> Program {
        let mut program = self.launch(arguments);
        let answer = program.ask(&initialize("2025-11-25", capabilities));
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        program.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        program
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.shared.state.lock().unwrap().arrived.clone()
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        self.arrived().into_iter().map(|arrived| arrived.label).collect()
    }

    /// Waits for `count` requests with this label.
    pub(crate) fn wait_for(&self, label: &str, count: usize) -> Vec<Arrived> {
        let of_label = |state: &State| -> Vec<Arrived> {
            state.arrived.iter().filter(|arrived| arrived.label == label).cloned().collect()
        };
        let state = self.wait(|state| of_label(state).len() >= count);
        state.unwrap_or_else(|| panic!("{count} of {label}, not {:?}", self.labels()))
    }

    /// Waits until the client has closed `count` streams.
    pub(crate) fn wait_for_closed(&self, count: usize) {
        assert!(self.wait(|state| state.closed >= count).is_some(), "no stream is closed");
    }

    fn wait(&self, enough: impl Fn(&State) -> bool) -> Option<Vec<Arrived>> {
        let state = self.shared.state.lock().unwrap();
        let waited =
            self.shared.changed.wait_timeout_while(state, PATIENCE, |state| !enough(state));
        let (state, result) = waited.unwrap();
        (!result.timed_out()).then(|| state.arrived.clone())
    }

    /// Sends a message on every stream that stays open.
    pub(crate) fn push(&self, message: &str) {
        let mut state = self.shared.state.lock().unwrap();
        state.streams.retain_mut(|stream| stream.event(message).is_ok());
    }

    /// Ends every stream that stays open.
    pub(crate) fn end_streams(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.streams.drain(..).for_each(|mut stream| stream.close());
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let twin = stream.try_clone().unwrap();
        let mut connection = Connection::new(stream).unwrap();
        while let Ok(Some(request)) = connection.read_request() {
            let arrived = Arrived::of(request);
            {
                let mut state = self.state.lock().unwrap();
                state.arrived.push(arrived.clone());
                self.changed.notify_all();
            }
            match self.answer(&arrived, &mut connection) {
                Ok(true) => {}
                Ok(false) => return self.keep(connection, Connection::new(twin).unwrap()),
                Err(_) => return,
            }
        }
    }

    /// False: the connection stays open for a stream.
    fn answer(&self, arrived: &Arrived, connection: &mut Connection) -> io::Result<bool> {
        let id = arrived.json["id"].to_string();
        let body = |member: &str, value: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{value}}}"#)
        };
        match (self.handle)(arrived) {
            _ if arrived.label.starts_with("notifications/") || arrived.label == "response" => {
                connection.respond(&Response::empty(202))?;
            }
            Answer::Result(result) => {
                connection.respond(&Response::json(200, body("result", &result)))?;
            }
            Answer::Session(result) => {
                let response = Response::json(200, body("result", &result));
                connection.respond(&response.with("mcp-session-id", "s-1"))?;
            }
            Answer::Error(status, error) => {
                connection.respond(&Response::json(status, body("error", &error)))?;
            }
            Answer::SessionError(status, error) => {
                let response = Response::json(status, body("error", &error));
                connection.respond(&response.with("mcp-session-id", "s-1"))?;
            }
            Answer::Status(status, text) => {
                let mut response = Response::empty(status);
                response.body = text.into();
                connection.respond(&response)?;
            }
            Answer::Events(messages) => {
                connection.begin_events(&[])?;
                for message in messages {
                    connection.event(&message.replace("ID", &id))?;
                }
                connection.end_events()?;
            }
            Answer::Stream(messages) => {
                connection.begin_events(&[])?;
                for message in messages {
                    connection.event(&message.replace("ID", &id))?;
                }
                return Ok(false);
            }
            Answer::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
        Ok(true)
    }

    fn keep(&self, mut connection: Connection, twin: Connection) {
        self.state.lock().unwrap().streams.push(twin);
        // Ends when either side closes it.
        connection.hang();
        let mut state = self.state.lock().unwrap();
        state.closed += 1;
        self.changed.notify_all();
    }
}

/// JSON of a `DiscoverResult`.
pub(crate) fn discovered(capabilities: &str) -> String {
    format!(
        r#"{{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{capabilities},"instructions":"be\u0020kind","ttlMs":0,"cacheScope":"private","_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"peer","version":"1.0"}}}}}}"#
    )
}

/// The acknowledgement of a stream with this filter.
pub(crate) fn acknowledgement(filter: &Value) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":ID}},"notifications":{filter}}}}}"#
    )
}

pub(crate) fn initialize(version: &str, capabilities: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":"init","method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{{"name":"test","title":"T\u0065st","version":"1"}}}}}}"#
    )
}

/// A request of a legacy client. `params` is JSON.
pub(crate) fn request(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

pub(crate) fn call(id: &str, tool: &str) -> String {
    request(id, "tools/call", &json!({"name": tool, "arguments": {}}).to_string())
}

pub(crate) fn cancel(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    )
}

/// A result without anything particular.
pub(crate) fn complete() -> Answer {
    Answer::Result(r#"{"resultType":"complete","content":[]}"#.to_owned())
}

/// Some time in which nothing is expected to happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);
