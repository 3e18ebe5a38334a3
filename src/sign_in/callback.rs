//! `CallbackListener`: the address on this machine that a browser is redirected to after a sign-in (RFC 8252 §7.3). It is open
//! only while one waits, and only on 127.0.0.1.

use crate::sync::{Sender, bounded_channel, spawn};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::{AwsError, Error, Kind, io_message, quoted};
use crate::percent;
use crate::signing::Secret;
use crate::sync::cancel::{Cancel, cancelled};

/// How long a sign-in in the browser is waited for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10 * 60);

const PATH: &str = "/oauth/callback";

/// Bounds of a request: anyone on this machine can connect.
const MAX_HEAD_BYTES: usize = 8 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_CONNECTIONS: usize = 16;

/// The time between looks for new connections.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct CallbackListener {
    listener: TcpListener,
    port: u16,
}

/// The result in the browser's request.
type Outcome = Result<Secret, Error>;

impl CallbackListener {
    /// # Errors
    /// The system has no free port.
    pub(crate) fn bind() -> Result<CallbackListener, Error> {
        let bind = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            Ok(CallbackListener { listener, port })
        };
        bind().map_err(|error: io::Error| {
            let what =
                format!("cannot listen on 127.0.0.1 for the browser: {}", io_message(&error));
            Error::new(Kind::Credentials, what)
        })
    }

    pub(crate) fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for the authorization code that belongs to `state`. Requests without it do not end the wait.
    ///
    /// # Errors
    /// The browser brought an error, `deadline` passed, or the wait was cancelled.
    pub(crate) fn wait(self, state: &str, deadline: Instant, cancel: &Cancel) -> Outcome {
        let (sender, outcomes) = bounded_channel(1);
        let (state, connections) = (Arc::<str>::from(state), Arc::<AtomicUsize>::default());
        loop {
            if let Ok(outcome) = outcomes.try_recv() {
                return outcome;
            }
            if Instant::now() >= deadline {
                let minutes = TIMEOUT.as_secs() / 60;
                let what = format!("the sign-in was not completed within {minutes} minutes");
                let aws =
                    AwsError { error_type: Some("expired_token".to_owned()), request_id: None };
                return Err(Error::new(Kind::Credentials, what).aws(aws));
            }
            match self.listener.accept() {
                Ok((stream, _)) if connections.load(Ordering::Relaxed) < MAX_CONNECTIONS => {
                    let (state, sender) = (Arc::clone(&state), sender.clone());
                    let count = Arc::clone(&connections);
                    count.fetch_add(1, Ordering::Relaxed);
                    let serve = move || {
                        let _ = serve(stream, &state, &sender);
                        count.fetch_sub(1, Ordering::Relaxed);
                    };
                    spawn("callback", serve)?;
                }
                Ok(_) => {}
                Err(_) => {
                    if cancel.sleep(PAUSE) {
                        return Err(cancelled());
                    }
                }
            }
        }
    }
}

/// Reads one request and responds. The first that belongs to `state` is passed on.
fn serve(mut stream: TcpStream, state: &str, sender: &Sender<Outcome>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(HEAD_TIMEOUT))?;
    let Some(head) = read_head(&mut stream)? else {
        return respond(
            &mut stream,
            "431 Request Header Fields Too Large",
            "The request is too large.",
        );
    };
    let is_first = |outcome: &Outcome| sender.send(outcome.clone()).is_ok();
    match outcome(&head, state).filter(is_first) {
        Some(Ok(_)) => {
            respond(&mut stream, "200 OK", "You are signed in; you can close this page.")
        }
        Some(Err(_)) => {
            respond(&mut stream, "200 OK", "The sign-in failed; see the output of sigv4-proxy.")
        }
        None => respond(&mut stream, "404 Not Found", "Not found."),
    }
}

/// The head of a request; `None` if it is too large.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let deadline = Instant::now() + HEAD_TIMEOUT;
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD_BYTES {
            return Ok(None);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// The result in a request; `None` if it does not belong to `state`.
fn outcome(head: &str, state: &str) -> Option<Outcome> {
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?')?;
    if method != "GET" || path != PATH || parameter(query, "state").as_deref() != Some(state) {
        return None;
    }
    if let Some(name) = parameter(query, "error") {
        if name == "access_denied" {
            let aws = AwsError { error_type: Some(name), request_id: None };
            let denied = Error::new(Kind::Credentials, "access was denied in the browser");
            return Some(Err(denied.aws(aws)));
        }
        let description = parameter(query, "error_description").unwrap_or_default();
        let reason = quoted(&format!("{name} {description}"));
        let what = format!("the sign-in page returned an error: {reason}");
        return Some(Err(Error::new(Kind::Credentials, what)));
    }
    let code = parameter(query, "code").filter(|code| !code.is_empty())?;
    Some(Ok(Secret::new(code)))
}

/// The first parameter of this name in a query.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(given, _)| *given == name)?;
    String::from_utf8(percent::decode(&value.replace('+', " "))).ok()
}

fn respond(stream: &mut TcpStream, status: &str, sentence: &str) -> io::Result<()> {
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>sigv4-proxy</title><p>{sentence}</p></html>\n"
    );
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const STATE: &str = "9b2d0c44-6c1f-4f0e-8a57-1f6f0d1c2b3a";

    /// Starts a wait; returns the port and the thread with its outcome.
    fn waiting(timeout: Duration) -> (u16, Arc<Cancel>, thread::JoinHandle<Outcome>) {
        let listener = CallbackListener::bind().unwrap();
        assert_eq!(listener.listener.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(
            listener.redirect_uri(),
            format!("http://127.0.0.1:{}/oauth/callback", listener.port)
        );
        let (port, cancel) = (listener.port, Cancel::new());
        let on_thread = Arc::clone(&cancel);
        let wait = move || listener.wait(STATE, Instant::now() + timeout, &on_thread);
        (port, cancel, thread::spawn(wait))
    }

    /// Sends bytes and reads the response.
    fn send(port: u16, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = stream.write_all(bytes);
        let mut response = String::new();
        let _ = stream.read_to_string(&mut response);
        response
    }

    fn get(port: u16, target: &str) -> String {
        send(port, format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())
    }

    #[test]
    fn only_the_request_with_the_state_ends_the_wait() {
        let (port, _, wait) = waiting(Duration::from_secs(20));
        let silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
        for stray in [
            "/oauth/callback?code=x&state=other",
            "/oauth/callback?code=x",
            &format!("/oauth/callback?state={STATE}"),
            &format!("/oauth/callback?state={STATE}&code="),
            &format!("/oauth/callback/?code=x&state={STATE}"),
            &format!("/?code=x&state={STATE}"),
            "/favicon.ico",
            &format!("/oauth/callback?code=x&state={STATE}a"),
        ] {
            assert!(get(port, stray).starts_with("HTTP/1.1 404 "), "{stray}");
        }
        let with_body = format!("POST /oauth/callback?code=x&state={STATE} HTTP/1.1\r\n\r\n");
        assert!(send(port, with_body.as_bytes()).starts_with("HTTP/1.1 404 "));
        assert!(send(port, &[b'a'; 9 * 1024]).starts_with("HTTP/1.1 431 "));
        assert_eq!(send(port, b"\r\n\r\n").get(..12), Some("HTTP/1.1 404"));
        let page = get(port, &format!("/oauth/callback?code=a%2Fb%20c&state={STATE}"));
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        for header in ["Referrer-Policy: no-referrer", "Cache-Control: no-store"] {
            assert!(page.contains(header), "{page}");
        }
        assert!(!page.contains("<script") && !page.contains("http:") && !page.contains("a/b"));
        assert_eq!(wait.join().unwrap().unwrap().expose(), "a/b c");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it is closed");
        drop(silent);
    }

    #[test]
    fn an_error_with_the_state_ends_it_and_so_do_time_and_cancellation() {
        for (query, message) in [
            ("error=access_denied", "access was denied in the browser"),
            (
                "error=server_error&error_description=a%0Ab+c",
                "the sign-in page returned an error: server_error a b c",
            ),
        ] {
            let (port, _, wait) = waiting(Duration::from_secs(20));
            let page = get(port, &format!("/oauth/callback?{query}&state={STATE}&code=x"));
            assert!(page.contains("The sign-in failed"), "{page}");
            assert_eq!(wait.join().unwrap().unwrap_err().message(), message);
        }
        let (_, _, wait) = waiting(Duration::from_millis(50));
        assert!(
            wait.join().unwrap().unwrap_err().message().contains("not completed within 10 minutes")
        );
        let (_, cancel, wait) = waiting(Duration::from_secs(20));
        cancel.cancel();
        assert_eq!(wait.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
    }
}
