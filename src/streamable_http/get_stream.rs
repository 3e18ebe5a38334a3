//! The standing GET stream of servers before 2026-07-28: opened, kept open, given up.

use crate::error::{Error, Kind};
use crate::http::event_stream::EventStream;
use crate::http::read_error;
use crate::streamable_http::exchange::Exchanger;
use crate::streamable_http::relay::{Progress, Relay, Sink, is_event_stream};
use crate::sync::cancel::Cancel;
use std::time::Duration;

/// The wait before the stream is opened again, unless the server asks for another; it doubles up to the limit.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so many streams in a row without a single event the server is left alone: someone pays for them.
const PATIENCE: u32 = 5;

/// How one stream ended.
enum Listened {
    /// The server has no such stream (any 4xx, 501).
    NotOffered,
    /// The stream ended; what it asked for.
    Ended { last_id: Option<String>, retry: Option<Duration>, any_event: bool },
}

impl Exchanger {
    /// Listens until the session ends or the server shows that it has nothing to say.
    pub fn listen(&self, cancel: &Cancel, deliver: &mut Sink<'_>) {
        let mut last_id: Option<String> = None;
        let mut in_vain = 0;
        let mut first_wait = FIRST_WAIT;
        let mut wait = first_wait;
        loop {
            match self.listen_once(last_id.as_deref(), cancel, deliver) {
                // No conclusion about the session: many servers answer 404 to a GET they do not know.
                Ok(Listened::NotOffered) => return,
                Ok(Listened::Ended { last_id: last, retry, any_event }) => {
                    last_id = last;
                    first_wait = retry.map_or(first_wait, |retry| retry.min(LONGEST_WAIT));
                    if any_event || retry.is_some() {
                        wait = first_wait;
                    }
                    if any_event {
                        in_vain = 0;
                    }
                }
                Err(error) if error.kind() == Kind::Cancelled => return,
                Err(error) => self.log.debug(format_args!("GET stream: {error}")),
            }
            in_vain += 1;
            if in_vain > PATIENCE {
                self.log.debug("GET stream: given up, it brought nothing");
                return;
            }
            if cancel.sleep(wait) {
                return;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn listen_once(
        &self,
        last_id: Option<&str>,
        cancel: &Cancel,
        deliver: &mut Sink<'_>,
    ) -> Result<Listened, Error> {
        // The older transport has its own standing stream.
        if self.http_sse().is_some() {
            return Ok(Listened::NotOffered);
        }
        let answer = self.upstream.get(&self.upstream.session(), last_id, None, true, cancel)?;
        let status = answer.status();
        self.log.debug(format_args!("GET stream: HTTP {status}"));
        if (400..500).contains(&status) || status == 501 {
            return Ok(Listened::NotOffered);
        }
        if status != 200 || !is_event_stream(&answer) {
            return Err(Error::new(
                Kind::HttpStatus(status),
                format!("the GET stream was answered with HTTP {status}"),
            ));
        }
        let mut relay = Relay {
            ids: &[],
            on_initialized: None,
            tools: None,
            forgetful: &self.tools,
            on_stray: None,
            owns_stream: true,
            held_back: &[],
            may_lose_session: false,
            max_message_bytes: self.max_message_bytes,
            log: &self.log,
            deliver,
            progress: Progress::default(),
        };
        let mut events = EventStream::new(answer, self.max_message_bytes, read_error);
        let mut any_event = false;
        // A stream that breaks has ended: what it asked for still counts.
        while let Ok(Some(event)) = events.next_event() {
            any_event = true;
            if event.is_message() {
                relay.take_event(event.data)?;
            }
        }
        if cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "the stream was closed"));
        }
        let last_id = events.last_id().or(last_id).map(str::to_owned);
        Ok(Listened::Ended { last_id, retry: events.retry(), any_event })
    }
}
