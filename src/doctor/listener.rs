//! The checks of `--listen`: the token, the address, and which clients a running listener refuses. They send nothing to the server.

use crate::assembly;
use crate::cli::{ListenAddress, ListenOptions, ListenToken};
use crate::doctor::report::{Check, Finding, Report, Verdict};
use crate::error::io_message;
use crate::listener::socket::{Socket, reachable};
use crate::listener::stream::Stream;
use crate::listener::token;
use crate::redact::Redactor;
use crate::signing::Secret;
use serde_json::Value;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Time limit for a connection, and for a response.
const TIMEOUT: Duration = Duration::from_secs(2);

const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// A host and an origin that no listener allows (RFC 2606). The listener's log shows the origin.
const OTHER_HOST: &str = "Host: sigv4-proxy-doctor.invalid";
const OTHER_ORIGIN: &str = "Origin: https://sigv4-proxy-doctor.invalid";

/// Adds the findings to the report. `may_be_free`: it is all right if no listener runs there yet.
pub(crate) fn check(
    listen: &ListenOptions,
    may_be_free: bool,
    redactor: &Redactor,
    report: &mut Report<'_>,
) -> io::Result<()> {
    let (finding, token) = check_token(&listen.token);
    if let Some(token) = &token {
        redactor.add(token.expose());
    }
    report.add(finding)?;
    let listener = Listener { listen, may_be_free, token };
    let (finding, is_running) = listener.address();
    report.add(finding)?;
    report.add(if is_running {
        listener.access()
    } else {
        Finding::skipped(Check::Access, "no listener runs there")
    })
}

/// What is found of the token, and the token if it is known.
fn check_token(source: &ListenToken) -> (Finding, Option<Secret>) {
    let path = match source {
        ListenToken::Made => {
            let found = "not checked without --listen-token-file";
            return (Finding::skipped(Check::Token, found), None);
        }
        ListenToken::NotRequired => {
            return (Finding::skipped(Check::Token, "none is required [--no-listen-token]"), None);
        }
        ListenToken::File(path) => path,
    };
    let shown = path.display();
    match token::read(path) {
        Err(error) => {
            let error = error.context(shown);
            (Finding::of_error(Check::Token, Verdict::Fail, &error), None)
        }
        Ok((token, doubts)) if doubts.is_empty() => {
            let found = format!("read from {shown}");
            (Finding::new(Check::Token, Verdict::Pass, found), Some(token))
        }
        Ok((token, doubts)) => {
            let found = format!("{shown}: {}", doubts.join("; "));
            let finding = Finding::new(Check::Token, Verdict::Warn, found);
            (finding.fix(format!("(umask 077; openssl rand -hex 32 > {shown})")), Some(token))
        }
    }
}

/// A listener that runs, or will run.
struct Listener<'a> {
    listen: &'a ListenOptions,
    may_be_free: bool,
    token: Option<Secret>,
}

/// What matters of a response.
struct Response {
    status: u16,
    /// An error of this program.
    is_own_error: bool,
}

impl Listener<'_> {
    /// What is found at the address, and whether a listener of this program runs there.
    fn address(&self) -> (Finding, bool) {
        let finding = |verdict, found| Finding::new(Check::Listener, verdict, found);
        let shown = &self.listen.address;
        if matches!(shown, ListenAddress::Tcp(address) if address.port() == 0) {
            return (finding(Verdict::Pass, format!("{shown}: any free port")), false);
        }
        match self.connect() {
            Ok(stream) => drop(stream),
            Err(_) if self.may_be_free => return (self.free_address(), false),
            Err(error) => {
                let found = format!("none runs at {shown}: {}", io_message(&error));
                let fix = "start it; to check the address before, add the URL of the server";
                return (finding(Verdict::Fail, found).fix(fix), false);
            }
        }
        let is_own = self.post(&[OTHER_ORIGIN]).is_ok_and(|refusal| refusal.is_own_error);
        let health = self.send("GET /healthz", &[], "");
        let (found, fix) = match (is_own, health) {
            (true, Ok(Response { status: 200, .. })) => {
                return (finding(Verdict::Pass, format!("one runs at {shown}")), true);
            }
            (true, Ok(Response { status, .. })) => {
                (format!("{shown}: /healthz responds with HTTP {status}"), "start it again")
            }
            (true, Err(error)) => {
                (format!("{shown}: /healthz: {}", io_message(&error)), "start it again")
            }
            (false, _) => (
                format!("another program listens at {shown}"),
                "end that program, or choose another address for --listen",
            ),
        };
        (finding(Verdict::Fail, found).fix(fix), false)
    }

    /// Whether it can be listened on, which is tried.
    fn free_address(&self) -> Finding {
        let ListenOptions { address, anyone, .. } = self.listen;
        match Socket::bind(&assembly::listen_address(address), *anyone) {
            Ok(socket) => {
                socket.remove();
                Finding::new(Check::Listener, Verdict::Pass, format!("{address} is free"))
            }
            Err(error) => Finding::of_error(Check::Listener, Verdict::Fail, &error),
        }
    }

    /// Whom the listener refuses.
    fn access(&self) -> Finding {
        let bearer =
            self.token.as_ref().map(|token| format!("Authorization: Bearer {}", token.expose()));
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let mut expect =
            |what: &str, headers: &[&str], is_right: fn(u16) -> bool| match self.post(headers) {
                Ok(Response { status, .. }) if is_right(status) => good.push(match status {
                    401 | 403 => format!("{what}: HTTP {status}"),
                    _ => format!("{what}: accepted"),
                }),
                Ok(Response { status, .. }) => bad.push(format!("{what}: HTTP {status}")),
                Err(error) => bad.push(format!("{what}: {}", io_message(&error))),
            };
        let bearer: Vec<&str> = bearer.as_deref().into_iter().collect();
        let with = |header| [bearer.as_slice(), &[header]].concat();
        expect("a web page of another host", &with(OTHER_ORIGIN), |status| status == 403);
        expect("another Host", &with(OTHER_HOST), |status| status == 403);
        if self.listen.token != ListenToken::NotRequired {
            expect("no token", &[], |status| status == 401);
        }
        if !bearer.is_empty() {
            expect("the token", &bearer, |status| !matches!(status, 401 | 403));
        }
        if bad.is_empty() {
            let found = "unauthorized clients are refused".to_owned();
            return Finding::new(Check::Access, Verdict::Pass, found).details(good);
        }
        let fix = if bad.iter().any(|line| line.starts_with("the token")) {
            "start it again: it reads the file once, or was started with another one"
        } else {
            "start it again without --no-listen-token, --allow-host and --allow-origin, or name them here as well"
        };
        let found = bad.join(", ");
        Finding::new(Check::Access, Verdict::Fail, found).details(good).fix(fix)
    }

    /// Sends a body that holds no message, so that a listener that accepts the request refuses it by itself.
    fn post(&self, headers: &[&str]) -> io::Result<Response> {
        self.send(&format!("POST {}", self.listen.path), headers, "{}")
    }

    fn send(&self, request: &str, headers: &[&str], body: &str) -> io::Result<Response> {
        let stream = self.connect()?;
        stream.set_read_timeout(TIMEOUT)?;
        stream.set_write_timeout(TIMEOUT)?;
        let own_host = match self.listen.address {
            ListenAddress::Tcp(address) => format!("Host: {}", reachable(address)),
            ListenAddress::Unix(_) => "Host: localhost".to_owned(),
        };
        let has_host = headers.iter().any(|header| header.starts_with("Host:"));
        let host = (!has_host).then_some(own_host.as_str());
        let lines: Vec<&str> = host.into_iter().chain(headers.iter().copied()).collect();
        let request = format!(
            "{request} HTTP/1.1\r\n{}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            lines.join("\r\n"),
            body.len()
        );
        let mut unsent = request.as_bytes();
        while !unsent.is_empty() {
            unsent = &unsent[stream.write(unsent)?..];
        }
        let (started, mut bytes, mut chunk) = (Instant::now(), Vec::new(), [0; 4096]);
        while bytes.len() < MAX_RESPONSE_BYTES && started.elapsed() < TIMEOUT {
            match stream.read(&mut chunk)? {
                0 => break,
                count => bytes.extend_from_slice(&chunk[..count]),
            }
        }
        read_response(&bytes).ok_or_else(|| io::Error::other("the response is not HTTP"))
    }

    fn connect(&self) -> io::Result<Stream> {
        match &self.listen.address {
            ListenAddress::Tcp(address) => {
                TcpStream::connect_timeout(&reachable(*address), TIMEOUT).map(Stream::Tcp)
            }
            #[cfg(unix)]
            ListenAddress::Unix(path) => {
                std::os::unix::net::UnixStream::connect(path).map(Stream::Unix)
            }
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

fn read_response(bytes: &[u8]) -> Option<Response> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) | Err(_) => return None,
    };
    let body: Value = serde_json::from_slice(&bytes[length..]).unwrap_or_default();
    let is_own_error = body["error"]["data"]["source"] == "sigv4-proxy";
    Some(Response { status: head.code?, is_own_error })
}
