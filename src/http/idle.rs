//! `Idle`: a connection that is not in use, and whether it can be used again.

use crate::clock;
use crate::http::wire::connection::Connection;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use ureq::BodyReader;

/// Maximum time that a connection waits for the end of a response that is not needed.
const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum size of such a response.
const MAX_UNREAD_BYTES: usize = 4096;

/// By how much more the clock may advance than the time that this process measures. Beyond it the machine was suspended:
/// servers and routers have forgotten the connection, which nothing here shows.
const MAX_SUSPENSION: time::Duration = time::Duration::seconds(10);

pub(crate) struct Idle {
    pub(crate) since: Instant,
    /// The clock at `since`.
    since_time: OffsetDateTime,
    /// Number of requests that were sent on the connection.
    pub(crate) requests: u32,
    pub(crate) connection: Box<Connection>,
    /// Of the last response. In a box, since there is rarely one.
    unread: Option<Box<UnreadBody>>,
}

/// The unread body of a response of which only the status counts.
pub(crate) struct UnreadBody {
    body: BodyReader<'static>,
    left: usize,
}

/// Whether an unread body has ended.
pub(crate) enum Finished {
    Yes,
    NotYet,
    /// It broke off or is too large.
    Never,
}

impl UnreadBody {
    pub(crate) fn new(body: BodyReader<'static>) -> UnreadBody {
        UnreadBody { body, left: MAX_UNREAD_BYTES }
    }
}

impl Idle {
    /// `None` if the connection cannot serve another request. Its unread body is read as it arrives, if it arrives soon.
    pub(crate) fn new(connection: Box<Connection>, unread: Option<UnreadBody>) -> Option<Idle> {
        let requests = connection.socket()?.requests();
        let (since, since_time, unread) = (Instant::now(), clock::now(), unread.map(Box::new));
        let mut idle = Idle { since, since_time, requests, connection, unread };
        let is_broken =
            matches!(idle.finish(), Finished::Never) || idle.connection.socket().is_none();
        (!is_broken).then_some(idle)
    }

    /// Whether a body is still to be read.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unread.is_some()
    }

    /// Reads what has arrived of the unread body.
    pub(crate) fn finish(&mut self) -> Finished {
        let Some(unread) = &mut self.unread else { return Finished::Yes };
        self.connection.call_limits().set_nonblocking();
        let mut bytes = [0; 512];
        loop {
            match unread.body.read(&mut bytes) {
                Ok(0) => {
                    self.unread = None;
                    return Finished::Yes;
                }
                Ok(count) if count <= unread.left => unread.left -= count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Finished::NotYet;
                }
                Ok(_) | Err(_) => return Finished::Never,
            }
        }
    }

    /// Whether the machine was suspended since the connection was used.
    pub(crate) fn was_suspended(&self) -> bool {
        let measured = time::Duration::try_from(self.since.elapsed()).unwrap_or_default();
        clock::now() - self.since_time > measured + MAX_SUSPENSION
    }

    /// Whether it can be used, or may become usable.
    pub(crate) fn is_good(&mut self) -> bool {
        match self.finish() {
            Finished::Yes => !self.was_suspended() && self.connection.is_open(),
            Finished::NotYet => self.since.elapsed() < UNFINISHED_TIMEOUT,
            Finished::Never => false,
        }
    }
}
