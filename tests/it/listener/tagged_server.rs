//! A server whose every message names the client that it belongs to, and that notices what comes from another one. Its sessions
//! use the same ids for everything, so that nothing else distinguishes them.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::program::PATIENCE;
use crate::support::http::{Connection, Request, Response};

pub(crate) struct TaggedServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Calls that wait for the response to a question, by session and id.
    waiting: Mutex<HashMap<(String, String), Waiting>>,
    /// What came from the wrong client.
    leaks: Mutex<Vec<String>>,
    sessions: Mutex<u32>,
}

struct Waiting {
    /// The client's.
    name: String,
    answered: Sender<()>,
}

impl TaggedServer {
    pub(crate) fn start() -> TaggedServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&its);
                thread::spawn(move || {
                    let mut connection = Connection::new(stream)?;
                    while let Some(request) = connection.read_request()? {
                        shared.serve(&request, &mut connection)?;
                    }
                    io::Result::Ok(())
                });
            }
        });
        TaggedServer { url, shared }
    }

    /// What came from the wrong client.
    pub(crate) fn leaks(&self) -> Vec<String> {
        self.shared.leaks.lock().unwrap().clone()
    }
}

impl Shared {
    fn serve(&self, request: &Request, connection: &mut Connection) -> io::Result<()> {
        let session = request.header("mcp-session-id").unwrap_or_default().to_owned();
        if request.method == "GET" {
            return stream(&session, connection);
        }
        if request.method == "DELETE" {
            return connection.respond(&Response::empty(200));
        }
        let message: Value = serde_json::from_slice(&request.body)?;
        match message["method"].as_str() {
            Some("initialize") => {
                let mut count = self.sessions.lock().unwrap();
                *count += 1;
                let session = format!("session-{count}");
                drop(count);
                let result = json!({
                    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": session, "version": "1"},
                });
                let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
                connection
                    .respond(&Response::json(200, body.to_string()).with("mcp-session-id", session))
            }
            Some(_) if session.is_empty() => {
                let error =
                    json!({"code": -32000, "message": "Bad Request: Mcp-Session-Id is required"});
                let body = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
                connection.respond(&Response::json(400, body.to_string()))
            }
            Some("tools/call") => self.call(&session, &message, connection),
            Some(_) => connection.respond(&Response::empty(202)),
            None => {
                let key = (session, message["id"].to_string());
                let waiting = self.waiting.lock().unwrap().remove(&key);
                if let Some(Waiting { name, answered }) = waiting {
                    self.check("an answer", &message["result"]["content"]["name"], &name);
                    let _ = answered.send(());
                }
                connection.respond(&Response::empty(202))
            }
        }
    }

    /// Sends progress, a question and, after its response, the result.
    fn call(&self, session: &str, message: &Value, connection: &mut Connection) -> io::Result<()> {
        let name = message["params"]["arguments"]["name"].as_str().unwrap_or_default();
        if name.starts_with("session-") {
            self.check("a call", &json!(name), session);
        }
        let id = &message["id"];
        let (sender, answer) = channel();
        let question = format!("question-{id}");
        let key = (session.to_owned(), Value::from(question.as_str()).to_string());
        self.waiting
            .lock()
            .unwrap()
            .insert(key, Waiting { name: name.to_owned(), answered: sender });
        connection.begin_events(&[])?;
        let progress = json!({
            "jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1, "message": name},
        });
        connection.event(&progress.to_string())?;
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let asks = json!({
            "jsonrpc": "2.0", "id": question, "method": "elicitation/create",
            "params": {"message": name, "requestedSchema": schema},
        });
        connection.event(&asks.to_string())?;
        let text = match answer.recv_timeout(PATIENCE) {
            Ok(()) => name,
            Err(_) => "no answer came",
        };
        let result = json!({"content": [{"type": "text", "text": text}]});
        connection.event(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())?;
        connection.end_events()
    }

    fn check(&self, what: &str, named: &Value, expected: &str) {
        if named != expected {
            self.leaks.lock().unwrap().push(format!("{what} of {named} came as one of {expected}"));
        }
    }
}

/// Until the client leaves.
fn stream(session: &str, connection: &mut Connection) -> io::Result<()> {
    connection.begin_events(&[])?;
    loop {
        let message = json!({
            "jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "info", "data": session},
        });
        connection.event(&message.to_string())?;
        connection.pause(Duration::from_millis(20))?;
    }
}
