//! A server far away: TLS 1.3 behind a link that delays every byte by half a round trip, and a new connection by a whole one.
//! All figures are round trips, so what a program computes hardly counts.

use crate::peer::Peer;
use crate::tls::{Authority, localhost};
use crate::{Measure, Row, median};
use rustls::{ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const RTT: Duration = Duration::from_millis(100);

const TITLE: &str = "Round trips of a link of 100 ms, over TLS (less is better)";

/// The column that the programs are compared with.
pub const FLOOR: &str = "HTTP/1.1";

/// The far end of the link, and the settings that its clients need.
struct Far {
    port: u16,
    sts_port: u16,
    /// The certificate of its authority, and a token for STS.
    folder: PathBuf,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

/// What is measured, the round trips that HTTP/1.1 takes at least, and how those of a program are measured.
type LinkMeasure = (&'static str, f64, fn(&Far, &Peer) -> f64);

const MEASURES: [LinkMeasure; 8] = [
    ("start to the response to initialize", 3.0, |far, peer| {
        let started = Instant::now();
        far.launch(peer, false).initialize();
        round_trips(started)
    }),
    ("the same, with keys of STS over the same link (HTTP)", 3.0, |far, peer| {
        let started = Instant::now();
        far.launch(peer, true).initialize();
        round_trips(started)
    }),
    ("initialize, 0.5 s after the start", 1.0, |far, peer| {
        let mut client = far.launch(peer, false);
        thread::sleep(Duration::from_millis(500));
        let started = Instant::now();
        client.initialize();
        round_trips(started)
    }),
    ("initialized and the first list", 2.0, |far, peer| {
        let mut client = far.launch(peer, false);
        client.initialize();
        let started = Instant::now();
        client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client.ask(1, "tools/list");
        round_trips(started)
    }),
    ("call", 1.0, |far, peer| {
        let mut client = far.session(peer);
        median(&mut (0..5).map(|_| client.calls(1)).collect::<Vec<f64>>())
    }),
    ("16 calls at once, first time", 3.0, |far, peer| far.session(peer).calls(16)),
    ("16 calls at once, again", 1.0, |far, peer| {
        let mut client = far.session(peer);
        client.calls(16);
        client.calls(16)
    }),
    ("call, after the server closed its idle connections", 1.0, |far, peer| {
        let mut client = far.session(peer);
        client.calls(1);
        thread::sleep(Duration::from_secs(3));
        far.close_connections();
        thread::sleep(Duration::from_secs(2));
        client.calls(1)
    }),
];

/// Measures the programs; those that are missing are skipped.
pub fn measure(peers: &[Peer], rounds: usize, folder: &Path) -> (String, Vec<Row>) {
    let far = Arc::new(Far::start(folder));
    let measures = MEASURES.map(|(name, _, figure)| -> Measure {
        let far = Arc::clone(&far);
        (TITLE, name.to_owned(), Box::new(move |peer| figure(&far, peer)))
    });
    let peers: Vec<Peer> = peers.iter().filter(|peer| peer.speaks_tls()).cloned().collect();
    let (title, mut rows) = crate::run(&peers, &measures, rounds).remove(0);
    for (row, (_, floor, _)) in rows.iter_mut().zip(MEASURES) {
        row.figures.insert(0, (FLOOR.to_owned(), floor));
    }
    (title, rows)
}

fn round_trips(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() / RTT.as_secs_f64()
}

impl Far {
    fn start(folder: &Path) -> Far {
        let authority = Authority::new("bench CA", folder);
        std::fs::write(folder.join("token"), "token").unwrap();
        let config = Arc::new(authority.sign(&localhost()).server_config());
        let connections = Arc::<Mutex<Vec<_>>>::default();
        let open = Arc::clone(&connections);
        let tls_port = listen(move |stream| {
            open.lock().unwrap().push(stream.try_clone().unwrap());
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            serve(StreamOwned::new(tls, stream));
        });
        let sts_port = listen(serve);
        Far {
            port: listen(move |stream| delay(&stream, tls_port)),
            sts_port: listen(move |stream| delay(&stream, sts_port)),
            folder: folder.to_owned(),
            connections,
        }
    }

    fn launch(&self, peer: &Peer, with_sts: bool) -> Client {
        let url = format!("https://localhost:{}/mcp", self.port);
        let (child, stdin, stdout) = peer.spawn(&url, |command| {
            for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
                command.env(name, self.folder.join("bench CA.pem"));
            }
            if with_sts {
                command
                    .env_remove("AWS_ACCESS_KEY_ID")
                    .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/bench")
                    .env("AWS_WEB_IDENTITY_TOKEN_FILE", self.folder.join("token"))
                    .env("AWS_ENDPOINT_URL_STS", format!("http://localhost:{}", self.sts_port));
            } else {
                command
                    .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
                    .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
            }
        });
        Client { child, stdin: Some(stdin), stdout: BufReader::new(stdout) }
    }

    /// A client that is ready for calls.
    fn session(&self, peer: &Peer) -> Client {
        let mut client = self.launch(peer, false);
        client.initialize();
        client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client.ask(1, "tools/list");
        client
    }

    /// What a load balancer does after a minute.
    fn close_connections(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    fn write(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn read(&mut self) {
        let mut line = String::new();
        assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the peer has ended");
        assert!(line.contains("\"result\""), "{line}");
    }

    fn ask(&mut self, id: usize, method: &str) {
        let params = match method {
            "initialize" => {
                r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}"#
            }
            "tools/call" => r#"{"name":"x","arguments":{}}"#,
            _ => "{}",
        };
        self.write(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
        ));
        if method != "tools/call" {
            self.read();
        }
    }

    fn initialize(&mut self) {
        self.ask(0, "initialize");
    }

    /// Round trips until as many calls, made at once, have their responses.
    fn calls(&mut self, count: usize) -> f64 {
        let started = Instant::now();
        (0..count).for_each(|id| self.ask(id, "tools/call"));
        (0..count).for_each(|_| self.read());
        round_trips(started)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves each connection on a thread until the process ends; gives the port.
fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Passes bytes on, each half a round trip later. Before the first, the connection takes a round trip.
fn delay(client: &TcpStream, port: u16) {
    let established = Instant::now() + RTT;
    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    server.set_nodelay(true).unwrap();
    for (from, to) in [(client, &server), (&server, client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (sender, pieces) = channel::<(Instant, Vec<u8>)>();
        thread::spawn(move || {
            let mut piece = vec![0; 64 * 1024];
            loop {
                let count = from.read(&mut piece).unwrap_or(0);
                let due = Instant::now().max(established) + RTT / 2;
                // The last, which is empty, is the end.
                if sender.send((due, piece[..count].to_vec())).is_err() || count == 0 {
                    return;
                }
            }
        });
        thread::spawn(move || {
            for (due, piece) in pieces {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if piece.is_empty() || to.write_all(&piece).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// Answers MCP and STS, until the client leaves.
fn serve(stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = read_request(&mut stream) {
        let response = if head.starts_with("GET") {
            "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n".to_owned()
        } else if body.contains("AssumeRoleWithWebIdentity") {
            let expiration = "2099-01-01T00:00:00Z";
            ok(
                "text/xml",
                &format!(
                    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                 <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
                 <SessionToken>token</SessionToken><Expiration>{expiration}</Expiration>\
                 </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                ),
            )
        } else if let Some(id) = body.split("\"id\":").nth(1) {
            let id: String = id.trim_start().chars().take_while(char::is_ascii_digit).collect();
            let result = if body.contains("\"initialize\"") {
                r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}"#
            } else if body.contains("tools/list") {
                r#"{"tools":[]}"#
            } else {
                r#"{"content":[]}"#
            };
            ok("application/json", &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
        } else {
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        let sent = stream.get_mut().write_all(response.as_bytes());
        if sent.and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

fn ok(media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Head and body.
fn read_request(stream: &mut impl BufRead) -> Option<(String, String)> {
    let mut head = String::new();
    loop {
        let start = head.len();
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head[start..].trim_end().is_empty() {
            break;
        }
    }
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}
