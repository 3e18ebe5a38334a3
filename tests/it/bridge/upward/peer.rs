//! A scripted server of an earlier revision: it starts sessions and opens streams, records what arrives, and passes every
//! other request to the test.

use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::http::{Connection, Request, Response};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) struct Peer {
    address: String,
    shared: Arc<Shared>,
    exchanges: Receiver<Exchange>,
}

struct Shared {
    capabilities: Value,
    state: Mutex<State>,
    arrived: Condvar,
    exchanges: Sender<Exchange>,
}

#[derive(Default)]
struct State {
    arrived: Vec<Arrived>,
    sessions: usize,
    /// The session that is served; others are refused with 404.
    session: String,
    refuses_sessions: bool,
    /// It speaks 2026-07-28 and nothing else.
    is_modern: bool,
    streams: Vec<Connection>,
}

/// Something that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// The method, `response`, or the HTTP method of anything but a POST.
    pub(crate) label: String,
    pub(crate) json: Value,
    pub(crate) request: Request,
}

/// A request for the test to respond to.
pub(crate) struct Exchange {
    pub(crate) json: Value,
    connection: Connection,
    is_stream: bool,
}

impl Peer {
    pub(crate) fn start(capabilities: Value) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, exchanges) = channel();
        let (state, arrived) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { capabilities, state, arrived, exchanges: sender });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(Connection::new(stream).unwrap()));
            }
        });
        Peer { address, shared, exchanges }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The program before it, with these further arguments.
    pub(crate) fn launch(&self, arguments: &[&str]) -> Program {
        let launch = Launch::to(&self.url());
        arguments.iter().fold(launch, |launch, argument| launch.arg(argument)).start()
    }

    /// The next request for the test to respond to.
    #[track_caller]
    pub(crate) fn next(&self) -> Exchange {
        self.exchanges.recv_timeout(PATIENCE).expect("a request")
    }

    /// The next request of this method; others before it are refused.
    pub(crate) fn next_of(&self, method: &str) -> Exchange {
        loop {
            let exchange = self.next();
            if exchange.json["method"] == method {
                return exchange;
            }
            exchange.error(-32601, "not now");
        }
    }

    /// No request is left to the test.
    pub(crate) fn is_idle(&self) -> bool {
        self.exchanges.try_recv().is_err()
    }

    /// Waits for `count` requests with this label, and returns them.
    pub(crate) fn wait_for(&self, label: &str, count: usize) -> Vec<Arrived> {
        let of_label = |state: &State| -> Vec<Arrived> {
            state.arrived.iter().filter(|arrived| arrived.label == label).cloned().collect()
        };
        let state = self.shared.state.lock().unwrap();
        let (state, _) = self
            .shared
            .arrived
            .wait_timeout_while(state, PATIENCE, |state| of_label(state).len() < count)
            .unwrap();
        let found = of_label(&state);
        assert!(found.len() >= count, "{} of {label}: {:?}", found.len(), labels(&state.arrived));
        found
    }

    /// Everything that has arrived, by its label, but for requests for the standing stream.
    pub(crate) fn labels(&self) -> Vec<String> {
        labels(&self.shared.state.lock().unwrap().arrived)
    }

    /// Sends a message on the standing stream, once it is open.
    pub(crate) fn push(&self, message: &Value) {
        let state = self.shared.state.lock().unwrap();
        let (mut state, _) = self
            .shared
            .arrived
            .wait_timeout_while(state, PATIENCE, |state| state.streams.is_empty())
            .unwrap();
        let stream = state.streams.last_mut().expect("the standing stream");
        stream.event(&message.to_string()).unwrap();
    }

    /// Becomes a server of 2026-07-28, as after an update.
    pub(crate) fn become_modern(&self) {
        self.shared.state.lock().unwrap().is_modern = true;
    }

    /// Forgets the session. `refuses_more`: and refuses to start another.
    pub(crate) fn end_session(&self, refuses_more: bool) {
        let mut state = self.shared.state.lock().unwrap();
        "none".clone_into(&mut state.session);
        state.refuses_sessions = refuses_more;
        for stream in &mut state.streams {
            stream.close();
        }
        state.streams.clear();
    }
}

fn labels(arrived: &[Arrived]) -> Vec<String> {
    arrived.iter().map(|arrived| arrived.label.clone()).filter(|label| label != "GET").collect()
}

impl Shared {
    fn serve(&self, mut connection: Connection) {
        while let Ok(Some(request)) = connection.read_request() {
            let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let label = match (request.method.as_str(), json["method"].as_str()) {
                ("POST", None) => "response".to_owned(),
                ("POST", Some(label)) | (label, _) => label.to_owned(),
            };
            let (is_known, is_modern) = {
                let mut state = self.state.lock().unwrap();
                let arrived =
                    Arrived { label: label.clone(), json: json.clone(), request: request.clone() };
                state.arrived.push(arrived);
                self.arrived.notify_all();
                (request.header("mcp-session-id") == Some(&*state.session), state.is_modern)
            };
            let version = &json["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
            let response = match &*label {
                _ if is_modern && version.is_null() => {
                    let data = json!({"supported": ["2026-07-28"], "requested": "2025-06-18"});
                    refusal_with(
                        400,
                        &json!({"code": -32022, "message": "unsupported", "data": data}),
                    )
                }
                _ if version.is_string() && !is_modern => {
                    refusal(400, -32000, "No valid session ID provided")
                }
                "initialize" => self.initialize(&json),
                _ if !is_known && !is_modern => refusal(404, -32001, "Session not found"),
                "GET" => {
                    connection.begin_events(&[]).unwrap();
                    let mut state = self.state.lock().unwrap();
                    state.streams.push(connection);
                    self.arrived.notify_all();
                    return;
                }
                "DELETE" => Response::empty(200),
                "response" => Response::empty(202),
                label if label.starts_with("notifications/") => Response::empty(202),
                _ => {
                    let exchange = Exchange { json, connection, is_stream: false };
                    let _ = self.exchanges.send(exchange);
                    return;
                }
            };
            if connection.respond(&response).is_err() {
                return;
            }
        }
    }

    fn initialize(&self, request: &Value) -> Response {
        let mut state = self.state.lock().unwrap();
        if state.refuses_sessions {
            return refusal(400, -32600, "no more sessions");
        }
        state.sessions += 1;
        state.session = format!("session-{}", state.sessions);
        let result = json!({"protocolVersion": "2025-06-18", "capabilities": self.capabilities, "serverInfo": {"name": "peer", "version": "1"}, "instructions": "hello"});
        let body = json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
        Response::json(200, body).with("mcp-session-id", state.session.clone())
    }
}

fn refusal(status: u16, code: i64, message: &str) -> Response {
    refusal_with(status, &json!({"code": code, "message": message}))
}

fn refusal_with(status: u16, error: &Value) -> Response {
    Response::json(status, json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string())
}

impl Exchange {
    pub(crate) fn progress_token(&self) -> Value {
        self.json["params"]["_meta"]["progressToken"].clone()
    }

    /// Sends a message on the stream of this request.
    pub(crate) fn send(&mut self, message: &Value) {
        if !self.is_stream {
            self.connection.begin_events(&[("connection".into(), "close".into())]).unwrap();
            self.is_stream = true;
        }
        self.connection.event(&message.to_string()).unwrap();
    }

    pub(crate) fn result(self, result: &Value) {
        let response = json!({"jsonrpc": "2.0", "id": self.json["id"], "result": result});
        self.finish(&response);
    }

    pub(crate) fn error(self, code: i64, message: &str) {
        self.fail(&json!({"code": code, "message": message}));
    }

    pub(crate) fn fail(self, error: &Value) {
        let response = json!({"jsonrpc": "2.0", "id": self.json["id"], "error": error});
        self.finish(&response);
    }

    fn finish(mut self, response: &Value) {
        if self.is_stream {
            self.connection.event(&response.to_string()).unwrap();
            let _ = self.connection.end_events();
        } else {
            let response = Response::json(200, response.to_string()).with("connection", "close");
            let _ = self.connection.respond(&response);
        }
        self.connection.close();
    }

    /// Whether the client closes the connection within this time.
    pub(crate) fn closes_within(mut self, time: Duration) -> bool {
        self.connection.pause(time).is_err()
    }
}

/// A request of 2026-07-28. `params` and `meta` are members with a comma after each.
pub(crate) fn modern(id: &str, method: &str, params: &str, meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}"_meta":{{{meta}"io.modelcontextprotocol/clientInfo":{{"name":"client","version":"7"}},"io.modelcontextprotocol/clientCapabilities":{{"elicitation":{{"form":{{}},"url":{{}}}},"roots":{{"listChanged":true}}}},"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
    )
}

/// A call of the tool `t`.
pub(crate) fn call(id: &str) -> String {
    modern(id, "tools/call", r#""name":"t","#, "")
}

/// A repetition of a call with the answers to its questions.
pub(crate) fn retry(id: &str, tool: &str, state: &Value, answers: &Value) -> String {
    let params = format!(r#""name":"{tool}","requestState":{state},"inputResponses":{answers},"#);
    modern(id, "tools/call", &params, "")
}

/// A question of the server.
pub(crate) fn elicit(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {"message": "name?", "requestedSchema": {"type": "object"}}})
}
