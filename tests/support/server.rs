//! The server: listens on loopback, verifies and records every request, and responds as an MCP server or as scripted.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::authorization::Algorithm;
use super::http::{Connection, Request, Response};
use super::mcp::{Mcp, Message, Mode};
use super::verify::{ErrorResponse, Expected, Key, verify};

#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub service: String,
    pub region: String,
    pub algorithms: Vec<Algorithm>,
    pub keys: Vec<Key>,
    /// False: every request is served, regardless of its signature.
    pub verify: bool,
    /// The server's clock minus the true one.
    pub clock_ahead: time::Duration,
    pub mode: Mode,
    /// `initialize` gives an `Mcp-Session-Id`, and every later request must carry it.
    pub sessions: bool,
    /// A GET opens a stream for [`Server::push`]; otherwise it gets 405.
    pub get_stream: bool,
}

impl ServerOptions {
    /// The default, but with sessions and their GET streams.
    pub fn with_sessions_and_stream() -> ServerOptions {
        ServerOptions { sessions: true, get_stream: true, ..ServerOptions::default() }
    }
}

impl Default for ServerOptions {
    /// AWS's documented example key, JSON responses, no sessions, no GET stream.
    fn default() -> ServerOptions {
        ServerOptions {
            service: "execute-api".to_owned(),
            region: "us-east-1".to_owned(),
            algorithms: vec![Algorithm::V4, Algorithm::V4a],
            keys: vec![Key::new(
                "AKIAIOSFODNN7EXAMPLE",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            )],
            verify: true,
            clock_ahead: time::Duration::ZERO,
            mode: Mode::Json,
            sessions: false,
            get_stream: false,
        }
    }
}

/// A request as it was received, and the verdict on its signature.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub request: Request,
    pub verdict: Verdict,
    pub at: Instant,
    /// Requests with the same number came over the same connection.
    pub connection: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Verified,
    /// By the AWS error code given.
    HttpStatus(&'static str),
    /// [`ServerOptions::verify`] is off.
    Unchecked,
}

impl Recorded {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.request.body).unwrap_or_default()
    }

    /// The JSON-RPC method; `response` for a client's response; for other requests than POST the HTTP method.
    pub fn label(&self) -> String {
        label(&self.request)
    }
}

/// A scripted response to a request with a correct signature.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The normal response, to reach a later request of a script.
    Proper,
    /// These bytes, status line and all; then the connection is closed.
    Raw(Vec<u8>),
    /// Raw bytes in pieces, with a pause before each.
    RawPieces(Vec<(Duration, Vec<u8>)>),
    Status {
        code: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// A response in which `SIGNATURE` is replaced by that of the request, and `REQUEST_ID` by its JSON-RPC id.
    Echo(Response),
    /// An event stream of these bytes, in which `REQUEST_ID` is the request's id, that stays open.
    OpenStream(String),
    /// Nothing, for as long as the client stays.
    Hang,
    /// Closes the connection without a byte.
    Close,
    Redirect(String),
    /// The normal response after this delay.
    Late(Duration),
    /// To `initialize`: after this delay a request of the server, and after its response the normal response.
    AskFirst(Duration),
}

impl Reply {
    /// An error as AWS's JSON services shape it.
    pub fn aws_error(code: u16, kind: &str, message: &str) -> Reply {
        let response = aws_error(code, kind, message);
        Reply::Status { code, headers: response.headers, body: response.body }
    }
}

/// Serves until it is dropped.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    expected: Expected,
    verify: bool,
    clock_ahead: time::Duration,
    keys: Mutex<Vec<Key>>,
    mcp: Mcp,
    recorded: Mutex<Vec<Recorded>>,
    arrived: Condvar,
    script: Mutex<Script>,
    connections: Mutex<HashMap<u64, TcpStream>>,
    stopping: AtomicBool,
}

#[derive(Default)]
struct Script {
    next: VecDeque<Reply>,
    by_label: HashMap<String, VecDeque<Reply>>,
}

impl Server {
    pub fn start(options: ServerOptions) -> Server {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            expected: Expected {
                service: options.service,
                region: options.region,
                algorithms: options.algorithms,
            },
            verify: options.verify,
            clock_ahead: options.clock_ahead,
            keys: Mutex::new(options.keys),
            mcp: Mcp::new(options.mode, options.sessions, options.get_stream),
            recorded: Mutex::default(),
            arrived: Condvar::new(),
            script: Mutex::default(),
            connections: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Server { shared, address, accepting: Some(accepting) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything received so far, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.recorded).clone()
    }

    /// Waits until the requests satisfy `enough`, and returns them.
    ///
    /// # Panics
    /// They do not within `limit`.
    #[track_caller]
    pub fn wait_for(&self, limit: Duration, enough: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        let recorded = self.received_within(limit, &enough);
        let labels: Vec<String> = recorded.iter().map(Recorded::label).collect();
        assert!(enough(&recorded), "not as expected within {limit:?}: {labels:?}");
        recorded
    }

    /// The requests when they satisfy `enough`, at the latest after `limit`.
    pub fn received_within(
        &self,
        limit: Duration,
        enough: impl Fn(&[Recorded]) -> bool,
    ) -> Vec<Recorded> {
        let recorded = lock(&self.shared.recorded);
        let (recorded, _) = self
            .shared
            .arrived
            .wait_timeout_while(recorded, limit, |recorded| !enough(recorded))
            .expect("no thread panics while it records");
        recorded.clone()
    }

    /// From now on these keys are known and no others.
    pub fn set_keys(&self, keys: Vec<Key>) {
        *lock(&self.shared.keys) = keys;
    }

    /// Sets the responses to the next correctly signed requests of any kind, one each.
    pub fn script(&self, replies: Vec<Reply>) {
        lock(&self.shared.script).next.extend(replies);
    }

    /// The reply to the next request of that [`Recorded::label`] with a right signature; goes before [`Server::script`].
    pub fn reply_next(&self, label: &str, reply: Reply) {
        lock(&self.shared.script).by_label.entry(label.to_owned()).or_default().push_back(reply);
    }

    /// Clears the script.
    pub fn forget_script(&self) {
        *lock(&self.shared.script) = Script::default();
    }

    /// Sends a message on the GET stream, or on the next one that is opened.
    pub fn push(&self, message: &str) {
        self.shared.mcp.push(message);
    }

    /// Every session is dead from now on: 404.
    pub fn end_sessions(&self) {
        self.shared.mcp.end_sessions();
    }

    /// How many clients' connections are open.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }

    /// Whether the connection of that [`Recorded::connection`] is open.
    pub fn is_open(&self, connection: u64) -> bool {
        lock(&self.shared.connections).contains_key(&connection)
    }

    /// Cuts every open connection, as a load balancer does with idle ones.
    pub fn drop_connections(&self) {
        for stream in lock(&self.shared.connections).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes `accept`
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.shared.mcp.stop();
        self.drop_connections();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, stream) in (1..).zip(listener.incoming()) {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(twin) = stream.try_clone() else { continue };
        lock(&shared.connections).insert(number, twin);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            if let Ok(mut connection) = Connection::new(stream) {
                // An error means that the client has disconnected, which the server does not report.
                let _ = shared.serve(number, &mut connection);
                connection.close();
            }
            lock(&shared.connections).remove(&number);
        });
    }
}

impl Shared {
    fn serve(&self, number: u64, connection: &mut Connection) -> io::Result<()> {
        while let Some(request) = connection.read_request()? {
            let at = Instant::now();
            let now = true_time() + self.clock_ahead;
            let refusal = self.refusal(&request, now);
            let verdict = match &refusal {
                Some(refusal) => Verdict::HttpStatus(refusal.code),
                None if self.verify => Verdict::Verified,
                None => Verdict::Unchecked,
            };
            let nth =
                self.record(Recorded { request: request.clone(), verdict, at, connection: number });
            connection.common_headers = vec![
                ("date".to_owned(), http_date(now)),
                ("x-amzn-RequestId".to_owned(), format!("00000000-0000-4000-8000-{nth:012}")),
            ];
            if let Some(ErrorResponse { code, message }) = refusal {
                connection.respond(&aws_error(403, code, &message))?;
            } else if !self.reply(&request, connection)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn refusal(&self, request: &Request, now: OffsetDateTime) -> Option<ErrorResponse> {
        if !self.verify {
            return None;
        }
        let keys = lock(&self.keys).clone();
        verify(request, &keys, &self.expected, now).err()
    }

    fn record(&self, recorded: Recorded) -> usize {
        let mut all = lock(&self.recorded);
        all.push(recorded);
        self.arrived.notify_all();
        all.len()
    }

    /// Whether the connection may be used again.
    fn reply(&self, request: &Request, connection: &mut Connection) -> io::Result<bool> {
        match self.scripted(request) {
            Reply::Proper => self.mcp.answer(request, connection)?,
            Reply::Status { code, headers, body } => {
                connection.respond(&Response { status: code, headers, body })?;
            }
            Reply::Echo(mut response) => {
                let signature = request.header("authorization").unwrap_or_default();
                let signature = signature.rsplit('=').next().unwrap_or_default();
                let body = String::from_utf8_lossy(&response.body).replace("SIGNATURE", signature);
                response.body = with_id(&body, request).into_bytes();
                for (_, value) in &mut response.headers {
                    *value = value.replace("SIGNATURE", signature);
                }
                connection.respond(&response)?;
            }
            Reply::OpenStream(events) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
                connection.send(with_id(&[head, &events].concat(), request).as_bytes())?;
                connection.hang();
                return Ok(false);
            }
            Reply::Redirect(location) => {
                connection.respond(&Response::empty(307).with("location", location))?;
            }
            Reply::Raw(bytes) => {
                connection.send(&bytes)?;
                return Ok(false);
            }
            Reply::RawPieces(pieces) => {
                for (delay, bytes) in pieces {
                    connection.pause(delay)?;
                    connection.send(&bytes)?;
                }
                return Ok(false);
            }
            Reply::Hang => {
                connection.hang();
                return Ok(false);
            }
            Reply::Close => return Ok(false),
            Reply::Late(pause) => {
                connection.pause(pause)?;
                self.mcp.answer(request, connection)?;
            }
            Reply::AskFirst(pause) => {
                self.mcp.initialize_after_asking(pause, request, connection)?;
            }
        }
        Ok(true)
    }

    fn scripted(&self, request: &Request) -> Reply {
        let mut script = lock(&self.script);
        let by_label = script.by_label.get_mut(&label(request)).and_then(VecDeque::pop_front);
        by_label.or_else(|| script.next.pop_front()).unwrap_or(Reply::Proper)
    }
}

fn with_id(text: &str, request: &Request) -> String {
    let id = Message::parse(&request.body).and_then(|message| message.id);
    text.replace("REQUEST_ID", id.map_or("null", |id| id.get()))
}

fn label(request: &Request) -> String {
    if request.method != "POST" {
        return request.method.clone();
    }
    match Message::parse(&request.body) {
        Some(Message { method: Some(method), .. }) => method.into_owned(),
        _ => "response".to_owned(),
    }
}

fn aws_error(status: u16, kind: &str, message: &str) -> Response {
    Response::json(status, json!({"message": message}).to_string()).with("x-amzn-ErrorType", kind)
}

/// The form of RFC 9110 §5.6.7.
fn http_date(time: OffsetDateTime) -> String {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time.format(format).expect("all its parts are there")
}

#[expect(clippy::disallowed_methods, reason = "a server has a clock")]
fn true_time() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds a lock of the server")
}
