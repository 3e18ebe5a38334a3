//! Reopens an event stream: after which errors, and after which wait.

use crate::aws::error_cause::Cause;
use crate::error::{Error, Kind};
use crate::http::Response;
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::server_state::ServerSession;
use crate::sync::cancel::Cancel;
use crate::upstream::response::retry_after;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Wait before a stream is opened again, unless the server asks for another.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// Bounds of all waits, whatever the server asks for.
const MIN_WAIT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Why a stream was not opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The server does not offer it, or the call was cancelled.
    Final(Error),
    /// Another request may succeed.
    Later { error: Error, retry_after: Option<Duration> },
}

/// Requests an event stream: the standing one, or the rest of one after the event `last_id`. The response may name another
/// id of the session.
pub(crate) fn open<'a>(
    server: &'a RemoteServer,
    session: &mut Arc<ServerSession>,
    last_id: Option<&str>,
    deadline: Option<Instant>,
    is_standing: bool,
    cancel: &'a Cancel,
) -> Result<Response<'a>, NotOpened> {
    let opened = server.get_stream(session, last_id, deadline, is_standing, cancel);
    let (mut response, credentials) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == Kind::Cancelled => return Err(NotOpened::Final(error)),
        Err(error) => return Err(NotOpened::Later { error, retry_after: None }),
    };
    let status = response.status();
    server.log.debug(format_args!("GET stream: HTTP {status}"));
    if (200..300).contains(&status) {
        response.check_coding().map_err(NotOpened::Final)?;
        if response.opens_event_stream() {
            server.learn_session_id(session, &response, None);
            return Ok(response.response);
        }
    }
    let error = no_event_stream(&response);
    Err(match status {
        408 | 409 | 425 | 429 | 500 | 502..=599 => {
            NotOpened::Later { error, retry_after: retry_after(&response) }
        }
        // A refused signature says nothing of the stream, and later ones have other credentials or the right time.
        400 | 401 | 403 => {
            let report = server.client.read_error(&mut response, &credentials);
            match report.cause {
                Cause::Other => NotOpened::Final(error),
                Cause::ExpiredCredentials | Cause::UnknownCredentials => {
                    server.client.invalidate_credentials(&credentials);
                    NotOpened::Later { error: report.error, retry_after: None }
                }
                _ => NotOpened::Later { error: report.error, retry_after: None },
            }
        }
        // Also 404, which does not mean that the session is lost: many servers respond so to any GET.
        _ => NotOpened::Final(error),
    })
}

/// The error of a response that is not the event stream that was requested.
pub(crate) fn no_event_stream(response: &Response<'_>) -> Error {
    let status = response.status();
    if !(200..300).contains(&status) {
        let what = format!("the server refused an event stream with HTTP {status}");
        return Error::new(Kind::HttpStatus(status), what);
    }
    let declared = Some(response.media_type()).filter(|declared| !declared.is_empty());
    let declared = declared.unwrap_or("no Content-Type");
    let what = format!("the server sent HTTP {status} with {declared} instead of an event stream");
    Error::new(Kind::InvalidResponse, what).hint("check that the URL is an MCP endpoint")
}

/// The waits between the streams of a sequence.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// The wait after a stream with messages.
    wait: Duration,
    /// Streams and refusals in a row that brought nothing.
    fruitless: u32,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { wait: DEFAULT_WAIT, fruitless: 0 }
    }
}

impl Backoff {
    /// Sets the wait that a stream requests (`retry`).
    pub(crate) fn set_wait(&mut self, retry: Option<Duration>) {
        self.wait = retry.map_or(self.wait, |retry| retry.clamp(MIN_WAIT, MAX_WAIT));
    }

    /// The wait after a stream with messages.
    pub(crate) fn after_success(&mut self) -> Duration {
        self.fruitless = 0;
        self.wait
    }

    /// The wait after an empty stream or a refusal: twice the one before it, or the server's `Retry-After` if that is
    /// longer.
    pub(crate) fn after_failure(&mut self, retry_after: Option<Duration>) -> Duration {
        let wait = self.wait.saturating_mul(1 << self.fruitless.min(8));
        self.fruitless += 1;
        wait.max(retry_after.unwrap_or_default()).min(MAX_WAIT)
    }

    pub(crate) fn fruitless(&self) -> u32 {
        self.fruitless
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_until_something_comes() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.after_failure(None).as_secs()).collect();
        assert_eq!((waits, backoff.fruitless()), (vec![1, 2, 4, 8, 16, 32, 60, 60, 60], 9));
        assert_eq!((backoff.after_success(), backoff.fruitless()), (SECOND, 0));
        assert_eq!(backoff.after_failure(None), SECOND);
    }

    #[test]
    fn what_the_server_asks_for_is_bounded() {
        for (retry, expected) in [
            (Duration::ZERO, MIN_WAIT),
            (Duration::from_millis(1), MIN_WAIT),
            (Duration::from_millis(700), Duration::from_millis(700)),
            (Duration::MAX, MAX_WAIT),
        ] {
            let mut backoff = Backoff::default();
            backoff.set_wait(Some(retry));
            backoff.set_wait(None);
            assert_eq!(backoff.after_success(), expected);
        }
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after_failure(Some(Duration::MAX)), MAX_WAIT);
        assert_eq!(backoff.after_failure(Some(3 * SECOND)), 3 * SECOND);
        assert_eq!(backoff.after_failure(Some(3 * SECOND)), 4 * SECOND);
    }
}
