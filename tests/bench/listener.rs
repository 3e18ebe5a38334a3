//! What a listener costs: a client that signs and sends by itself, compared with one that signs nothing and whose requests a listener
//! signs. Both keep a connection for each call in flight.

use crate::relay;
use crate::{Row, median, percentile};
use sigv4_proxy::signing::{
    AccessKey, Algorithm, CanonicalTarget, Payload, PayloadSigning, Request, Secret, Signer,
    UriEncoding,
};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// As many as the goal names.
const STREAMS: usize = 1000;

/// Where a client sends its requests.
#[derive(Clone, Copy)]
enum Way {
    /// To the server, signed by the client.
    Direct(u16),
    Listener(u16),
}

/// One connection of a client.
struct Client {
    connection: BufReader<TcpStream>,
    signer: Option<(Signer, AccessKey, CanonicalTarget)>,
    next_id: u64,
}

/// A listener before the server of that port, with its own port.
struct Listener {
    child: Child,
    port: u16,
}

/// The rows, each with both ways and their difference.
pub fn measure(server: u16, program: &Path, rounds: usize) -> Vec<Row> {
    let latency = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];
    let loads = [1_usize, 16, 64];
    let mut figures = vec![[Vec::new(), Vec::new()]; latency.len() + loads.len()];
    let mut resident = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let listener = Listener::start(program, server, "");
        for (at, way) in [Way::Direct(server), Way::Listener(listener.port)].into_iter().enumerate()
        {
            let mut client = Client::connect(way);
            client.sequential(300);
            let mut times = client.sequential(3000);
            for (row, (_, part)) in latency.iter().enumerate() {
                figures[row][at].push(percentile(&mut times, *part));
            }
            for (row, in_flight) in loads.iter().enumerate() {
                load(way, *in_flight, 2000);
                figures[latency.len() + row][at].push(load(way, *in_flight, 10_000));
            }
        }
        drop(listener);
        let listener = Listener::start(program, server, "?stream=1");
        resident[0].push(listener.resident());
        let streams: Vec<BufReader<TcpStream>> =
            (0..STREAMS).map(|_| open_stream(listener.port)).collect();
        resident[1].push(listener.resident());
        drop(streams);
    }
    let mut rows = Vec::new();
    let names = latency.iter().map(|(name, _)| format!("sequential call, {name}, µs"));
    let names = names.chain(loads.iter().map(|count| format!("calls a second, {count} in flight")));
    for (name, [direct, listener]) in names.zip(&mut figures) {
        let (direct, listener) = (median(direct), median(listener));
        rows.push(row(name, direct, listener));
    }
    let [idle, with_streams] = resident.map(|mut figures| median(&mut figures));
    rows.push(row("resident when idle, MB".into(), 0.0, idle));
    rows.push(row(format!("resident with {STREAMS} idle event streams, MB"), 0.0, with_streams));
    rows
}

fn row(name: String, direct: f64, listener: f64) -> Row {
    let figures =
        [("direct", direct), ("listener", listener), ("listener - direct", listener - direct)];
    Row { name, figures: figures.map(|(name, figure)| (name.to_owned(), figure)).to_vec() }
}

/// Calls a second, each thread with a connection of its own.
fn load(way: Way, in_flight: usize, count: usize) -> f64 {
    let mut clients: Vec<Client> = (0..in_flight).map(|_| Client::connect(way)).collect();
    let started = Instant::now();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || client.sequential(count / in_flight));
        }
    });
    (count / in_flight * in_flight) as f64 / started.elapsed().as_secs_f64()
}

impl Client {
    fn connect(way: Way) -> Client {
        let (Way::Direct(port) | Way::Listener(port)) = way;
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let signer = matches!(way, Way::Direct(_)).then(|| {
            let key = AccessKey {
                access_key_id: KEY_ID.into(),
                secret_access_key: Secret::new(SECRET),
                session_token: None,
            };
            let encoding = UriEncoding::for_service("execute-api");
            let target = CanonicalTarget::new("127.0.0.1", "/mcp", "", encoding);
            (Signer::new(Algorithm::V4, "us-east-1", "execute-api"), key, target)
        });
        Client { connection: BufReader::with_capacity(64 * 1024, stream), signer, next_id: 1 }
    }

    /// Microseconds of each of `count` calls, one after the other.
    fn sequential(&mut self, count: usize) -> Vec<f64> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            self.next_id += 1;
            let message = format!(
                r#"{{"jsonrpc":"2.0","id":{},"method":"ping","params":{{}}}}"#,
                self.next_id
            );
            let started = Instant::now();
            let headers = self.signature(message.as_bytes());
            let answer = Mutex::new(Vec::new());
            relay::exchange(&mut self.connection, "/mcp", &headers, &message, &answer);
            times.push(started.elapsed().as_secs_f64() * 1e6);
            assert!(answer.into_inner().unwrap().starts_with(b"{\"jsonrpc\""), "the call failed");
        }
        times
    }

    /// The headers of the signature, if this client signs.
    fn signature(&self, body: &[u8]) -> String {
        let mut headers = String::new();
        let Some((signer, key, target)) = &self.signer else { return headers };
        let request = Request {
            method: "POST",
            target,
            headers: &[("content-type", "application/json")],
            payload: &Payload::of(body, PayloadSigning::Hashed),
        };
        let signature = signer.sign(&request, key, time::OffsetDateTime::now_utc());
        for (name, value) in &signature.headers {
            let _ = write!(headers, "{name}: {value}\r\n");
        }
        headers
    }
}

/// A standing event stream, of which nothing but the head was read.
fn open_stream(port: u16) -> BufReader<TcpStream> {
    let mut stream =
        BufReader::with_capacity(512, TcpStream::connect(("127.0.0.1", port)).unwrap());
    let head = "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\
                MCP-Protocol-Version: 2025-11-25\r\n\r\n";
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while stream.read_line(&mut line).unwrap() > 2 {}
    stream
}

impl Listener {
    fn start(program: &Path, server: u16, query: &str) -> Listener {
        let mut child = Command::new(program)
            .arg(format!("http://127.0.0.1:{server}/mcp{query}"))
            .args(["--region=us-east-1", "--service-name=execute-api"])
            .args(["--listen=127.0.0.1:0", "--no-listen-token"])
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("AWS_CA_BUNDLE")
            .env_remove("SSL_CERT_FILE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the listener has ended");
            let own =
                line.split("http://127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next());
            match own.and_then(|port| port.parse().ok()) {
                Some(port) if port != server => break port,
                _ => {}
            }
        };
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Listener { child, port }
    }

    fn resident(&self) -> f64 {
        crate::peer::memory(self.child.id(), "VmRSS:")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
