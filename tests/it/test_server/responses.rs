//! Responses of the test server, requested directly over a connection.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::support::http::Request;
use crate::support::{Algorithm, Mode, Reply, Server, ServerOptions, Verdict};
use crate::test_server::verification::Signing;

#[test]
fn signed_requests_are_served_and_others_refused_with_a_reason() {
    let server = Server::start(ServerOptions { mode: Mode::Sse, ..ServerOptions::default() });
    server.reply_next("ping", Reply::aws_error(429, "ThrottlingException", "Rate exceeded"));
    let mut client = Client::of(&server);
    let stale = Signing::default().request();
    let fresh = Signing { algorithm: Algorithm::V4a, time: now(), ..Signing::default() }.request();
    let refusal = client.send(&stale);
    assert!(refusal.starts_with("HTTP/1.1 403 "), "{refusal}");
    assert!(refusal.contains("x-amzn-ErrorType: InvalidSignatureException\r\n"), "{refusal}");
    assert!(
        refusal.contains(r#"{"message":"Signature expired: 20260701T120000Z is now"#),
        "{refusal}"
    );
    assert!(client.send(&fresh).starts_with("HTTP/1.1 429 "));
    assert!(client.send(&fresh).starts_with("HTTP/1.1 200 "));
    let requests = server.requests();
    let verdicts: Vec<Verdict> = requests.iter().map(|request| request.verdict).collect();
    let refused = Verdict::HttpStatus("InvalidSignatureException");
    assert_eq!(verdicts, [refused, Verdict::Verified, Verdict::Verified]);
    assert_eq!(requests[2].label(), "ping");
    assert_eq!(requests[2].request.body, stale.body);
}

#[test]
fn a_session_is_asked_for_and_can_die() {
    let (server, mut client) = unverified(ServerOptions { sessions: true, ..Default::default() });
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
    let answer = client.post(hello, &[]);
    assert!(answer.contains("mcp-session-id: session-1\r\n"), "{answer}");
    assert!(answer.contains(r#""protocolVersion":"2025-06-18""#), "{answer}");
    let ping = r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#;
    let session = ("Mcp-Session-Id", "session-1");
    let version = |version| ("MCP-Protocol-Version", version);
    let answer = client.post(ping, &[session, version("2025-06-18")]);
    assert!(answer.ends_with(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#), "{answer}");
    assert!(client.post(ping, &[]).starts_with("HTTP/1.1 400 "));
    assert!(client.post(ping, &[session, version("2025-11-25")]).starts_with("HTTP/1.1 400 "));
    server.end_sessions();
    let gone = client.post(ping, &[session]);
    assert!(gone.starts_with("HTTP/1.1 404 ") && gone.contains("-32001"), "{gone}");
}

#[test]
fn each_tool_and_each_mistake_has_its_response() {
    let (_server, mut client) = unverified(ServerOptions::default());
    let mut call = |params: &str| {
        let head = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"#;
        client.post(&format!("{head}{params}}}"), &[])
    };
    assert!(call(r#"{"name":"add","arguments":{"a":2,"b":3}}"#).contains(r#""text":"5""#));
    assert!(call(r#"{"name":"echo","arguments":{"text":"\u00e9"}}"#).contains("\"text\":\"é\""));
    assert!(
        call(r#"{"name":"raw", "x":1.0}"#).contains(r#"\"params\":{\"name\":\"raw\", \"x\":1.0}"#)
    );
    assert!(call(r#"{"name":"big","arguments":{"bytes":9}}"#).contains(r#""text":"xxxxxxxxx""#));
    assert!(call(r#"{"name":"slow","arguments":{"ms":5}}"#).contains(r#""text":"done""#));
    assert!(call(r#"{"name":"none"}"#).contains("-32602"));
    assert!(client.post(r#"{"jsonrpc":"2.0","id":1,"method":"none"}"#, &[]).contains("-32601"));
    assert!(client.post("{", &[]).starts_with("HTTP/1.1 400 "));
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
    assert!(client.post(notification, &[]).starts_with("HTTP/1.1 202 "));
    let get = Request { method: "GET".into(), ..request("", &[]) };
    assert!(client.send(&get).starts_with("HTTP/1.1 405 "));
}

#[test]
fn pushed_messages_reach_the_open_stream() {
    let (server, mut client) = unverified(ServerOptions { get_stream: true, ..Default::default() });
    server.push(r#"{"pushed":1}"#);
    client.write(&Request { method: "GET".into(), ..request("", &[]) });
    client.read_until(r#"{"pushed":1}"#);
    server.push(r#"{"pushed":2}"#);
    client.read_until(r#"{"pushed":2}"#);
}

#[test]
fn faults_are_played_as_scripted() {
    let (server, mut client) = unverified(ServerOptions::default());
    let ping = request(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, &[]);
    let pieces = [b"HTTP/1.1 200".to_vec(), b" OK\r\n".to_vec()];
    let pieces = pieces.map(|piece| (Duration::from_millis(30), piece)).to_vec();
    let elsewhere = "http://127.0.0.2/".to_owned();
    server.script(vec![Reply::Proper, Reply::Redirect(elsewhere), Reply::RawPieces(pieces)]);
    server.reply_next("ping", Reply::Status { code: 503, headers: vec![], body: b"{}".to_vec() });
    assert!(client.send(&ping).starts_with("HTTP/1.1 503 "));
    assert!(client.send(&ping).starts_with("HTTP/1.1 200 "));
    let redirect = client.send(&ping);
    assert!(redirect.contains("location: http://127.0.0.2/\r\n"), "{redirect}");
    let start = Instant::now();
    client.write(&ping);
    assert_eq!(client.read_to_end(), "HTTP/1.1 200 OK\r\n");
    assert!(start.elapsed() >= Duration::from_millis(60));

    server.script(vec![Reply::Close, Reply::Hang]);
    let mut client = Client::of(&server);
    client.write(&ping);
    assert_eq!(client.read_to_end(), "");
    let mut client = Client::of(&server);
    client.write(&ping);
    assert_eq!(server.wait_for(Duration::from_secs(10), |all| all.len() == 5).len(), 5);
    drop(server);
    assert_eq!(client.read_to_end(), "");
}

fn unverified(options: ServerOptions) -> (Server, Client) {
    let server = Server::start(ServerOptions { verify: false, ..options });
    let client = Client::of(&server);
    (server, client)
}

fn request(body: &str, headers: &[(&str, &str)]) -> Request {
    let accept = ("Accept", "application/json, text/event-stream");
    let usual = [accept, ("Content-Type", "application/json")];
    let headers = usual.iter().chain(headers);
    Request {
        method: "POST".into(),
        target: "/mcp".into(),
        headers: headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.into(),
    }
}

/// One connection, on which requests are written as they are.
struct Client(TcpStream);

impl Client {
    fn of(server: &Server) -> Client {
        let stream = TcpStream::connect(server.url("").trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client(stream)
    }

    fn post(&mut self, body: &str, headers: &[(&str, &str)]) -> String {
        self.send(&request(body, headers))
    }

    /// Returns the complete response. It ends in a brace, in the last chunk, or has no body.
    fn send(&mut self, request: &Request) -> String {
        self.write(request);
        let ends = ["}", "\r\n0\r\n\r\n", "content-length: 0\r\n\r\n"];
        self.read_while(|answer| !ends.iter().any(|end| answer.ends_with(end)))
    }

    fn write(&mut self, request: &Request) {
        let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        for (name, value) in &request.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "content-length: {}\r\n\r\n", request.body.len());
        self.0.write_all(text.as_bytes()).unwrap();
        self.0.write_all(&request.body).unwrap();
    }

    fn read_until(&mut self, text: &str) {
        let answer = self.read_while(|answer| !answer.contains(text));
        assert!(answer.contains(text), "{answer}");
    }

    fn read_to_end(&mut self) -> String {
        self.read_while(|_| true)
    }

    fn read_while(&mut self, more: impl Fn(&str) -> bool) -> String {
        let mut answer = String::new();
        while more(&answer) {
            let mut piece = [0; 4096];
            match self.0.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => answer.push_str(std::str::from_utf8(&piece[..read]).unwrap()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error} after {answer}"),
            }
        }
        answer
    }
}

#[expect(clippy::disallowed_methods, reason = "the server compares with the true time")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
