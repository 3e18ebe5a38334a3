//! One connection is open before a request needs it, and not more than the server wants.

use crate::harness::messages::{assert_error, call, text_of};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::http::tls::authority;
use crate::support::tls::{connect_proxy, localhost};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;

/// What happened at the server, with the number of the connection.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Accepted(usize),
    /// After the TLS handshake, if there is one.
    Opened(usize),
    Request(usize, String),
}

/// A server that reports what happens, and closes connections on request.
struct Server {
    port: u16,
    is_https: bool,
    events: Receiver<Event>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    /// Lets a handshake begin.
    handshakes: Option<Sender<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    /// Each handshake waits for a word.
    HeldHttps,
}

impl Server {
    fn start(kind: Kind) -> (Server, String) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let authority = authority(&format!("ready CA {}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let config = Arc::new(authority.sign(&localhost()).server_config());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, events) = channel();
        let (begin, begins) = channel();
        let begins = Arc::new(Mutex::new(begins));
        let streams = Arc::<Mutex<Vec<_>>>::default();
        let open = Arc::clone(&streams);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                stream.set_nodelay(true).unwrap();
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let (config, sender) = (Arc::clone(&config), sender.clone());
                let begins = Arc::clone(&begins);
                std::thread::spawn(move || {
                    let send = |event| drop(sender.send(event));
                    send(Event::Accepted(number));
                    if kind == Kind::HeldHttps && begins.lock().unwrap().recv().is_err() {
                        return;
                    }
                    let end = stream.try_clone().unwrap();
                    let _ = if kind == Kind::Http {
                        send(Event::Opened(number));
                        serve(stream, number, send)
                    } else {
                        serve_tls(stream, config, number, send)
                    };
                    let _ = end.shutdown(Shutdown::Both);
                });
            }
        });
        let handshakes = Some(begin);
        let server = Server { port, is_https: kind != Kind::Http, events, streams, handshakes };
        (server, authority.pem.to_str().unwrap().to_owned())
    }

    fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://localhost:{}/mcp", self.port)
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("something happens at the server")
    }

    /// Waits for a connection that is ready for requests.
    fn opened(&self) -> usize {
        loop {
            match self.next() {
                Event::Opened(number) => return number,
                Event::Accepted(_) => {}
                Event::Request(..) => panic!("nothing was asked"),
            }
        }
    }

    /// Waits for a request of this method; gives its connection, and fails if another was opened before it.
    fn request(&self, method: &str) -> usize {
        loop {
            match self.next() {
                Event::Request(number, found) if found == method => return number,
                Event::Request(..) => {}
                opened => panic!("{opened:?} before {method}"),
            }
        }
    }

    fn happens_nothing_for(&self, time: Duration) {
        let event = self.events.recv_timeout(time);
        assert!(event.is_err(), "{event:?}");
    }

    /// Closes every connection, as a load balancer does with idle ones.
    fn close_connections(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve_tls(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    number: usize,
    report: impl Fn(Event),
) -> io::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    report(Event::Opened(number));
    serve(stream, number, report)
}

/// Answers until the client leaves; a call of `close` gets no response but the end of the connection.
fn serve(stream: impl Read + Write, number: usize, report: impl Fn(Event)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut method) = (0, String::new());
        for line in stream.by_ref().lines() {
            let line = line?.to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            } else if method.is_empty() {
                line.split(' ').next().unwrap_or_default().clone_into(&mut method);
            }
        }
        if method.is_empty() {
            return Ok(());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let method = message["method"].as_str().unwrap_or(&method).to_owned();
        let result = match method.as_str() {
            "initialize" => {
                json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "ready", "version": "1"}})
            }
            _ => json!({"content": [{"type": "text", "text": "done"}]}),
        };
        let is_call = method == "tools/call";
        report(Event::Request(number, method));
        if is_call && message["params"]["name"] == "close" {
            return Ok(());
        }
        let response = if message["id"].is_null() {
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else {
            let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
            format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        stream.get_mut().write_all(response.as_bytes())?;
        stream.get_mut().flush()?;
    }
}

fn launch(server: &Server, pem: &str) -> Launch {
    Launch::to(&server.url()).arg("--no-sse").arg("--ca-bundle").arg(pem)
}

/// A session whose connection the server has closed, and the number of the one that has replaced it.
fn replaced(server: &Server, pem: &str) -> (Program, usize) {
    let mut program = launch(server, pem).start();
    assert_eq!(server.opened(), 0);
    program.shake_hands();
    assert_eq!(server.request("notifications/initialized"), 0);
    assert_eq!(text_of(&program.ask(&call("2", "add", &json!({})))), "done");
    assert_eq!(server.request("tools/call"), 0);
    server.close_connections();
    (program, server.opened())
}

#[test]
fn a_connection_is_open_before_there_is_a_request() {
    for kind in [Kind::Http, Kind::Https] {
        let (server, pem) = Server::start(kind);
        let mut program = launch(&server, &pem).start();
        assert_eq!(server.opened(), 0);
        // Also after the tickets of the TLS session have arrived, and were looked at.
        server.happens_nothing_for(Duration::from_millis(1300));
        assert!(program.ask(INITIALIZE)["result"].is_object());
        assert_eq!(server.request("initialize"), 0);
    }
}

#[test]
fn a_tunnel_is_open_before_there_is_a_request() {
    let (server, pem) = Server::start(Kind::Https);
    let (proxy, asked) = connect_proxy(server.port);
    let mut program = Launch::to("https://mcp.example/mcp")
        .arg("--no-sse")
        .arg("--ca-bundle")
        .arg(&pem)
        .env("https_proxy", &format!("http://127.0.0.1:{proxy}"))
        .start();
    assert_eq!(server.opened(), 0);
    assert!(program.ask(INITIALIZE)["result"].is_object());
    assert_eq!(server.request("initialize"), 0);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_request_waits_for_the_connection_that_is_being_opened() {
    let (server, pem) = Server::start(Kind::HeldHttps);
    let mut program = launch(&server, &pem).start();
    assert_eq!(server.next(), Event::Accepted(0));
    program.write(INITIALIZE);
    server.happens_nothing_for(Duration::from_millis(200));
    server.handshakes.as_ref().unwrap().send(()).unwrap();
    assert!(program.read()["result"].is_object());
    assert_eq!(server.opened(), 0);
    assert_eq!(server.request("initialize"), 0);
}

#[test]
fn a_request_that_waits_for_a_connection_keeps_to_its_own_limit() {
    let (server, pem) = Server::start(Kind::HeldHttps);
    let mut program =
        launch(&server, &pem).arg("--timeout").arg("2").arg("--retries").arg("0").start();
    assert_eq!(server.next(), Event::Accepted(0));
    let begun = Instant::now();
    assert_error(&program.ask(INITIALIZE), &json!(1), &["the request timed out"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // The connection comes late, and serves the next.
    server.handshakes.as_ref().unwrap().send(()).unwrap();
    assert_eq!(server.opened(), 0);
    assert!(program.ask(INITIALIZE)["result"].is_object());
    assert_eq!(server.request("initialize"), 0);
}

#[test]
fn a_lazy_program_opens_a_connection_while_it_fetches_credentials_for_a_call() {
    let (server, _) = Server::start(Kind::Http);
    let container = TcpListener::bind("127.0.0.1:0").unwrap();
    let keys = format!("http://{}/keys", container.local_addr().unwrap());
    let mut program = Launch::to(&server.url())
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &keys)
        .arg("--lazy")
        .arg("--no-sse")
        .start();
    assert!(program.ask(INITIALIZE)["result"].is_object());
    server.happens_nothing_for(Duration::from_millis(300));
    program.write(&call("2", "add", &json!({})));
    let (mut asked, _) = container.accept().unwrap();
    assert_eq!(server.opened(), 0);
    let body = r#"{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}"#;
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json";
    write!(asked, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let response = std::iter::repeat_with(|| program.read()).find(|read| read["id"] == 2);
    assert_eq!(text_of(&response.unwrap()), "done");
    assert_eq!(server.request("tools/call"), 0);
}

#[test]
fn a_connection_that_the_server_closes_is_replaced_before_the_next_call() {
    for kind in [Kind::Http, Kind::Https] {
        let (server, pem) = Server::start(kind);
        let (mut program, open) = replaced(&server, &pem);
        server.happens_nothing_for(Duration::from_millis(1300));
        assert_eq!(text_of(&program.ask(&call("3", "add", &json!({})))), "done");
        assert_eq!(server.request("tools/call"), open);
    }
}

#[test]
fn a_call_on_a_connection_that_was_opened_early_is_not_repeated() {
    for kind in [Kind::Http, Kind::Https] {
        let (server, pem) = Server::start(kind);
        let (mut program, open) = replaced(&server, &pem);
        let response = program.ask(&call("3", "close", &json!({})));
        assert_error(&response, &json!(3), &["may have"]);
        assert_eq!(server.request("tools/call"), open);
        program.close();
        let later: Vec<Event> = server.events.try_iter().collect();
        let is_call =
            |event: &Event| matches!(event, Event::Request(_, method) if method == "tools/call");
        assert!(!later.iter().any(is_call), "{later:?}");
    }
}

/// A connection and two that replace it, seconds apart.
#[test]
fn a_server_that_closes_unused_connections_is_not_asked_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let program = Launch::to(&url).start();
    let (begun, mut accepted) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(2500) {
        accepted += usize::from(listener.accept().is_ok());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(accepted, 1);
    assert_eq!(program.close().code, Some(0));
}

#[test]
fn that_no_connection_could_be_opened_early_is_reported_by_the_request_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    let program = Launch::to(&url).start();
    std::thread::park_timeout(Duration::from_millis(300));
    let log = program.close().log;
    assert!(!log.contains("refused") && !log.contains("connection"), "{log}");
    let mut program = Launch::to(&url).arg("--retries").arg("0").start();
    assert_error(&program.ask(INITIALIZE), &json!(1), &["connection refused"]);
}

/// Neither what is kept nor what waits costs anything while nothing happens.
#[cfg(target_os = "linux")]
#[test]
fn an_idle_session_does_not_wake_the_processor() {
    let (server, pem) = Server::start(Kind::Https);
    let mut program = Launch::to(&server.url()).arg("--ca-bundle").arg(&pem).start();
    program.shake_hands();
    (0..4).for_each(|id| program.write(&call(&id.to_string(), "add", &json!({}))));
    (0..4).for_each(|_| drop(program.read()));
    let wakes = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
        let wakes_of = |path: std::path::PathBuf| {
            let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        tasks.flatten().map(|task| (task.file_name(), wakes_of(task.path()))).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    loop {
        let before = wakes();
        std::thread::park_timeout(Duration::from_millis(2500));
        if wakes() == before {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{before:?} {:?}", wakes());
    }
}
