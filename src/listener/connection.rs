//! Serves one connection: reads requests one after another, and writes their responses.

use crate::error::{Error, Kind};
use crate::listener::access::{Access, preflight};
use crate::listener::body_budget::BodyBudget;
use crate::listener::connections::OpenConnection;
use crate::listener::input::{Input, ReadError};
use crate::listener::refusal::{Refusal, refused};
use crate::listener::request::{Method, Request};
use crate::listener::request_body::{self, BodyError, BodyLimits};
use crate::listener::request_head::{self, BodyLength, RequestHead, Verb};
use crate::listener::response::{ResponseForm, ResponseWriter, too_many_streams};
use crate::log::Log;
use crate::mcp::error_response::error_text;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Path for health checks, which need no token.
const HEALTH_PATH: &str = "/healthz";

/// Minimum time between two warnings about refusals.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Rules of all connections.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) access: Access,
    /// Path of the MCP endpoint.
    pub(crate) path: String,
    pub(crate) body: BodyLimits,
    pub(crate) body_budget: BodyBudget,
    /// Time for a head to arrive.
    pub(crate) head_time: Duration,
    /// Time without a request after which a connection is closed.
    pub(crate) idle_time: Duration,
    pub(crate) log: Log,
    /// When a refusal was last logged as a warning.
    pub(crate) warned: Mutex<Option<Instant>>,
}

impl Rules {
    /// Logs a refusal: of a client that may not connect as a warning, from time to time, as it could fill the log.
    fn report(&self, refusal: &Refusal) {
        let what = format_args!("refused with HTTP {}: {}", refusal.status, refusal.error);
        let mut warned = lock(&self.warned);
        let is_due = warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL);
        if is_due && matches!(refusal.status, 401 | 403) {
            *warned = Some(Instant::now());
            drop(warned);
            self.log.warn(what);
        } else {
            drop(warned);
            self.log.debug(what);
        }
    }
}

/// Responds to a request for the MCP endpoint. After an error the response is missing or incomplete.
pub(crate) type Handle<'a> = dyn Fn(Request, &mut ResponseWriter) -> Result<(), Error> + Sync + 'a;

/// Serves requests until the connection ends.
pub(crate) fn serve(open: &Arc<OpenConnection>, rules: &Rules, handle: &Handle<'_>) {
    let stream = open.stream();
    let local = stream.local_address();
    let input = Input::new(Arc::clone(stream));
    let mut connection = Connection { open, rules, handle, local, input, is_first: true };
    loop {
        match connection.serve_request() {
            Next::Request if !open.is_closing() => {
                connection.is_first = false;
                open.rest();
            }
            Next::Request | Next::Close => break,
            Next::Linger => {
                connection.input.linger();
                break;
            }
        }
    }
    open.close();
}

struct Connection<'a> {
    open: &'a Arc<OpenConnection>,
    rules: &'a Rules,
    handle: &'a Handle<'a>,
    /// The address that the client reached.
    local: Option<SocketAddr>,
    input: Input,
    is_first: bool,
}

/// What follows a response.
enum Next {
    Request,
    Close,
    /// The client may still be sending a body that is not read.
    Linger,
}

/// What an allowed request asks for.
enum Action {
    Exchange(Method),
    Health,
    Preflight,
}

impl Connection<'_> {
    fn serve_request(&mut self) -> Next {
        let head = match self.read_head() {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Close,
            Err(refusal) => return self.refuse(&refusal, &ResponseForm::last()),
        };
        let has_body = head.body != BodyLength::Bytes(0);
        let mut form = ResponseForm {
            is_http_1_0: head.is_http_1_0,
            is_head: head.verb == Verb::Head,
            keeps_alive: head.keeps_alive && !has_body && !self.open.is_closing(),
            origin: None,
        };
        let checked = self.check_origin(&head).and_then(|origin| {
            form.origin = origin;
            self.authorize(&head)
        });
        let action = match checked {
            Ok(action) => action,
            Err(refusal) => return self.refuse(&refusal, &form),
        };
        let mut response = ResponseWriter::new(self.open, form);
        let sent = match action {
            Action::Exchange(method) => return self.exchange(method, head),
            Action::Health => response.send(200, &[("Content-Type", "text/plain")], b"ok\n"),
            Action::Preflight => {
                let headers = preflight(&head.headers);
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (*name, &**value)).collect();
                response.send(204, &headers, b"")
            }
        };
        match sent {
            Ok(()) if has_body => Next::Linger,
            Ok(()) if response.finish() => Next::Request,
            Ok(()) | Err(_) => Next::Close,
        }
    }

    /// Reads a head. `None`: the client has closed the connection, or has let it rest for too long.
    fn read_head(&mut self) -> Result<Option<RequestHead>, Refusal> {
        let Rules { head_time, idle_time, .. } = *self.rules;
        // A client connects in order to send a request.
        let patience = if self.is_first { head_time } else { idle_time };
        if self.await_request(Instant::now() + patience).is_err() {
            return Ok(None);
        }
        let (deadline, mut scanned) = (Instant::now() + head_time, 0);
        loop {
            if let Some((head, length)) = request_head::read(self.input.unread(), &mut scanned)? {
                self.input.consume(length);
                return Ok(Some(head));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match if left.is_zero() { Err(ReadError::TimedOut) } else { self.input.fill(left) } {
                Ok(()) => {}
                Err(ReadError::Closed) => return Ok(None),
                Err(ReadError::TimedOut) => {
                    let fix = "send it faster";
                    let what = "the request headers did not arrive in time";
                    return Err(refused(what, 408, Kind::TimedOut, fix));
                }
            }
        }
    }

    /// Waits for the first byte of a request. Empty lines before it mean nothing: some clients send one too many after a body
    /// (RFC 9112 §2.2).
    fn await_request(&mut self, deadline: Instant) -> Result<(), ReadError> {
        loop {
            match self.input.unread() {
                [b'\r', b'\n', ..] => self.input.consume(2),
                [] | [b'\r'] => {
                    self.input.release();
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ReadError::TimedOut);
                    }
                    self.input.fill(left)?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn check_origin<'h>(&self, head: &'h RequestHead) -> Result<Option<&'h str>, Refusal> {
        self.rules.access.check_host(head.authority.as_deref(), self.local)?;
        self.rules.access.check_origin(&head.headers)
    }

    /// What the request asks for, if its client may send it.
    fn authorize(&self, head: &RequestHead) -> Result<Action, Refusal> {
        let method = match (head.verb, head.path == self.rules.path) {
            (Verb::Get | Verb::Head, false) if head.path == HEALTH_PATH => {
                return Ok(Action::Health);
            }
            (_, false) if head.path == HEALTH_PATH => return Err(other_method("GET, HEAD")),
            (_, false) => {
                let fix = format!("use the path {}", self.rules.path);
                let what = "no endpoint at this path";
                return Err(refused(what, 404, Kind::InvalidRequest, &fix));
            }
            (Verb::Post, true) => Method::Post,
            (Verb::Get, true) => Method::Get,
            (Verb::Delete, true) => Method::Delete,
            (Verb::Options, true) if is_preflight(head) => return Ok(Action::Preflight),
            (Verb::Head | Verb::Options | Verb::Other, true) => {
                return Err(other_method("GET, POST, DELETE"));
            }
        };
        self.rules.access.check_token(&head.headers)?;
        check_media(head)?;
        request_body::check_length(head.body, self.rules.body.max_bytes)?;
        Ok(Action::Exchange(method))
    }

    /// Reads the body and passes the request to the handler.
    fn exchange(&mut self, method: Method, head: RequestHead) -> Next {
        let RequestHead { headers, .. } = head;
        let origin = headers.get("origin").map(str::to_owned);
        let form = ResponseForm {
            is_http_1_0: head.is_http_1_0,
            is_head: false,
            keeps_alive: head.keeps_alive && !self.open.is_closing(),
            origin: origin.as_deref(),
        };
        self.open.receive();
        // Held until the response, since the message may have to be sent again.
        let mut share = self.rules.body_budget.share();
        if let Err(refusal) = request_body::reserve(head.body, &mut share) {
            return self.refuse(&refusal, &form);
        }
        if head.expects_continue && self.input.unread().is_empty() {
            // A client that is gone is noticed by the read that follows.
            let _ = self.open.stream().write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let body = match request_body::read(&mut self.input, head.body, self.rules.body, &mut share)
        {
            Ok(body) => body,
            Err(BodyError::Closed) => return Next::Close,
            Err(BodyError::Refused(refusal)) => return self.refuse(&refusal, &form),
        };
        self.input.release();
        let cancel = Cancel::new();
        if !self.open.begin(&cancel) {
            return Next::Close;
        }
        let mut response = ResponseWriter::new(self.open, form);
        let is_kept = method != Method::Get || response.set_standing();
        let answered = if is_kept {
            let request = Request { method, headers, body, cancel };
            catch_unwind(AssertUnwindSafe(|| (self.handle)(request, &mut response)))
        } else {
            Ok(Err(too_many_streams()))
        };
        self.open.end();
        let answered = answered.unwrap_or_else(|_| Err(bug()));
        let answered =
            answered.and_then(|()| if response.is_started() { Ok(()) } else { Err(bug()) });
        match answered {
            Ok(()) => {
                if response.finish() {
                    Next::Request
                } else {
                    Next::Close
                }
            }
            // A stream that breaks off shows the client that messages are missing.
            Err(_) if response.is_started() => Next::Close,
            Err(error) => {
                let status = if error.kind() == Kind::Internal { 500 } else { 503 };
                self.refuse(&Refusal { status, error: error.into(), header: None }, &form)
            }
        }
    }

    /// Sends an error. Whatever the client sends afterwards is discarded.
    fn refuse(&self, refusal: &Refusal, form: &ResponseForm<'_>) -> Next {
        self.rules.report(refusal);
        let body = error_text("null", &refusal.error, self.rules.log.redactor());
        let headers = [("Content-Type", "application/json")];
        let headers: Vec<_> = headers.into_iter().chain(refusal.header).collect();
        let form = ResponseForm { keeps_alive: false, ..*form };
        match ResponseWriter::new(self.open, form).send(refusal.status, &headers, body.as_bytes()) {
            Ok(()) => Next::Linger,
            Err(_) => Next::Close,
        }
    }
}

/// A preflight request: may this page send a request? (CORS)
fn is_preflight(head: &RequestHead) -> bool {
    let headers = &head.headers;
    headers.get("origin").and(headers.get("access-control-request-method")).is_some()
}

/// The body must be JSON, unencoded. Pages can send other types without a preflight.
fn check_media(head: &RequestHead) -> Result<(), Refusal> {
    let media_type = head.headers.get("content-type").unwrap_or("application/json");
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if head.verb == Verb::Post && !essence.eq_ignore_ascii_case("application/json") {
        let fix = "send the header Content-Type: application/json";
        let what = "the body is not declared as JSON";
        return Err(refused(what, 415, Kind::InvalidRequest, fix));
    }
    let coding = head.headers.get("content-encoding").unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") {
        let fix = "send the body uncompressed";
        return Err(refused("the body is compressed", 415, Kind::InvalidRequest, fix));
    }
    Ok(())
}

fn other_method(allowed: &'static str) -> Refusal {
    let what = "this method is not available here";
    let fix = format!("use one of {allowed}");
    refused(what, 405, Kind::InvalidRequest, &fix).with_header("Allow", allowed)
}

fn bug() -> Error {
    Error::new(Kind::Internal, "a bug in sigv4-proxy ended the request").hint("please report it")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::listener::connections::Connections;
    use crate::listener::stream::Stream;
    use crate::log::{Format, Level};
    use crate::redact::Redactor;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::thread;

    const SHORT: Duration = Duration::from_millis(60);
    const LONG: Duration = Duration::from_secs(20);

    fn rules() -> Rules {
        Rules {
            access: Access::new(&[], Vec::new(), None),
            path: "/mcp".to_owned(),
            body: BodyLimits { max_bytes: 1 << 20, pause: LONG, time: LONG },
            body_budget: BodyBudget::new(1 << 20),
            head_time: LONG,
            idle_time: LONG,
            log: Log::new(Level::Silent, Format::Text, None, Redactor::default()).unwrap(),
            warned: Mutex::default(),
        }
    }

    /// Serves one client, which returns what it received.
    fn serve_one(
        rules: &Rules,
        handle: &Handle<'_>,
        client: impl FnOnce(&mut UnixStream) -> String + Send,
    ) -> String {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_write_timeout(Some(SHORT)).unwrap();
        let stream = Arc::new(Stream::Unix(ours));
        let open = Connections::new(|| ()).admit(&stream).unwrap();
        drop(stream);
        thread::scope(|scope| {
            let client = scope.spawn(move || client(&mut theirs));
            serve(&open, rules, handle);
            drop(open);
            client.join().unwrap()
        })
    }

    fn read(stream: &mut UnixStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn ok(_: Request, response: &mut ResponseWriter) -> Result<(), Error> {
        response.send(200, &[], b"")
    }

    /// Writes the parts, with a pause after each that is longer than `SHORT`, until the connection is closed.
    fn slowly(parts: &'static [&'static str]) -> impl FnOnce(&mut UnixStream) -> String {
        move |stream| {
            for part in parts {
                let _ = stream.write_all(part.as_bytes());
                thread::park_timeout(2 * SHORT);
            }
            read(stream)
        }
    }

    #[test]
    fn clients_that_take_too_long() {
        let half = &["POST /mcp HTTP/1.1\r\n", "Host: localhost\r\n", "\r\n"];
        let rest = &["GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", ""];
        let body =
            &["POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1234", "56789"];
        let chunk = &[
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n1",
            "2",
            "3",
        ];
        let short_body = |pause, time| BodyLimits { max_bytes: 1 << 20, pause, time };
        for (rules, parts, expected) in [
            (Rules { head_time: SHORT, ..rules() }, &half[..], "HTTP/1.1 408 "),
            // Nothing at all, or nothing but the ends of lines.
            (Rules { head_time: SHORT, ..rules() }, &["", ""], ""),
            (Rules { head_time: 3 * SHORT, ..rules() }, &["\r\n", "\r", "\n\r\n", ""], ""),
            (Rules { idle_time: SHORT, ..rules() }, rest, "HTTP/1.1 200 "),
            (Rules { body: short_body(SHORT, LONG), ..rules() }, body, "HTTP/1.1 408 "),
            (Rules { body: short_body(LONG, SHORT), ..rules() }, chunk, "HTTP/1.1 408 "),
        ] {
            let response = serve_one(&rules, &ok, slowly(parts));
            assert!(response.starts_with(expected), "{parts:?}: {response}");
            assert_eq!(response.matches("HTTP/1.1 ").count(), usize::from(!expected.is_empty()));
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_given_up() {
        let event = vec![b'a'; 64 * 1024];
        let flood = |_: Request, response: &mut ResponseWriter| {
            response.start_events(&[])?;
            loop {
                response.write_event(&event)?;
            }
        };
        serve_one(&rules(), &flood, |stream| {
            stream.write_all(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            thread::park_timeout(3 * SHORT);
            String::new()
        });
    }

    #[test]
    fn a_panic_costs_one_request() {
        let request = "GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let twice = |stream: &mut UnixStream| {
            stream.write_all(request.repeat(2).as_bytes()).unwrap();
            read(stream)
        };
        let panics = |_: Request, _: &mut ResponseWriter| panic!("on purpose");
        let response = serve_one(&rules(), &panics, twice);
        assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
        assert!(response.contains(r#""id":null,"error":{"code":-32603"#), "{response}");
        // Half a stream is not a whole one.
        let breaks_off = |_: Request, response: &mut ResponseWriter| {
            response.start_events(&[])?;
            response.write_event(b"data: {}\n\n")?;
            panic!("on purpose")
        };
        let response = serve_one(&rules(), &breaks_off, twice);
        assert!(response.ends_with("a\r\ndata: {}\n\n\r\n"), "{response}");
        let response = serve_one(&rules(), &|_, _| Ok(()), twice);
        assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    }

    #[test]
    fn events_are_chunks_and_in_http_1_0_they_end_with_the_connection() {
        let events = |_: Request, response: &mut ResponseWriter| {
            response.start_events(&[("Mcp-Session-Id", "a"), ("X-Bad", "a\r\nX-Worse: b")])?;
            response.write_event(b"data: 1\n\n")?;
            response.write_event(b"")?;
            response.write_event(b"data: 2\n\ndata: 3\n\n")
        };
        let request = |version: &str| {
            let request =
                format!("GET /mcp {version}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            serve_one(&rules(), &events, |stream| {
                stream.write_all(request.as_bytes()).unwrap();
                read(stream)
            })
        };
        let (new, old) = (request("HTTP/1.1"), request("HTTP/1.0"));
        let (head, body) = new.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
        assert!(head.contains("\r\nDate: ") && head.contains(" GMT\r\n"), "{head}");
        assert!(head.contains("\r\nMcp-Session-Id: a\r\n") && !head.contains("X-Worse"), "{head}");
        assert_eq!(body, "9\r\ndata: 1\n\n\r\n12\r\ndata: 2\n\ndata: 3\n\n\r\n0\r\n\r\n");
        let (head, body) = old.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("chunked") && head.contains("\r\nConnection: close"), "{head}");
        assert_eq!(body, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    }
}
