//! A dead session is begun anew, once for all who need it, and the client does not notice.

use super::Conversation;
use crate::error::{Error, Kind};
use crate::http::Cancel;
use crate::message::Message;
use crate::random;
use crate::relay::{Deliver, Delivery, Progress, Relay};
use crate::session::Session;
use crate::upstream::{Answered, Outgoing, session_headers};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Whoever waits for the new session waits no longer than this; a cold start fits in.
const RENEWAL_LIMIT: Duration = Duration::from_secs(120);

/// What the client sent to begin the session.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    pub(super) initialize: Option<Vec<u8>>,
    pub(super) initialized: Option<Vec<u8>>,
    /// The session that could not be replaced, when that was, and why.
    failed: Option<(u64, Instant, Error)>,
}

impl Conversation {
    /// Begins the session anew, unless that has been done since `dead` was in use.
    pub(super) fn renew_session(
        &self,
        dead: &Session,
        deadline: Option<Instant>,
        cancel: &Cancel,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), Error> {
        let asked = Instant::now();
        let mut handshake = self.handshake();
        if self.upstream.session().number() != dead.number() {
            return Ok(());
        }
        if let Some((number, at, error)) = &handshake.failed
            && *number == dead.number()
            && *at > asked
        {
            return Err(error.clone());
        }
        let renewed =
            self.shake_hands(&handshake, dead, deadline, cancel, deliver).map_err(|error| {
                error.context("the session has ended, and a new one could not be begun")
            });
        handshake.failed =
            renewed.as_ref().err().map(|error| (dead.number(), Instant::now(), error.clone()));
        drop(handshake);
        renewed?;
        deliver(Delivery::NewSession)
    }

    /// Sends what the client once sent, under an id of our own.
    fn shake_hands(
        &self,
        handshake: &Handshake,
        dead: &Session,
        deadline: Option<Instant>,
        cancel: &Cancel,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), Error> {
        let initialize = handshake
            .initialize
            .clone()
            .and_then(|line| Message::parse(line).ok())
            .and_then(|message| message.under(&format!("sigv4-proxy-{}", random::uuid())))
            .ok_or_else(|| Error::new(Kind::BadAnswer, "it was not begun through this process"))?;
        let limit = Instant::now().checked_add(RENEWAL_LIMIT);
        let deadline = [limit, deadline].into_iter().flatten().min();
        let credentials = self.upstream.credentials()?;
        let answer = self.post(&initialize, &Session::default(), deadline, cancel)?;
        let account = credentials.account.as_deref();
        self.upstream.session_mut(|s| s.begin(answer.header("mcp-session-id"), account));

        let is_begun = Cell::new(false);
        let on_version = |version| {
            is_begun.set(true);
            self.upstream.session_mut(|session| session.learn_version(version));
        };
        let mut relay = Relay {
            ids: initialize.ids(),
            on_version: Some(&on_version),
            tools: None,
            on_stray: None,
            held_back: &[],
            max_message_bytes: self.max_message_bytes,
            log: &self.log,
            // The server may ask something before it answers; its answer is ours.
            deliver: &mut |delivery| match delivery {
                Delivery::Line(line) if !line.answers.is_empty() => Ok(()),
                other => deliver(other),
            },
            progress: Progress::default(),
        };
        relay.take_answer(answer.answer)?;
        if !is_begun.get() {
            return Err(Error::new(Kind::BadAnswer, "the server refused to initialize again"));
        }
        let session = self.upstream.session();
        if session.version() != dead.version() {
            self.log.warn(format_args!(
                "the new session speaks protocol {}, the old one spoke {}",
                session.version().unwrap_or("unknown"),
                dead.version().unwrap_or("unknown")
            ));
        }
        let initialized = handshake.initialized.clone().unwrap_or_else(|| {
            br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec()
        });
        if let Ok(initialized) = Message::parse(initialized) {
            let mut answer = self.post(&initialized, &session, deadline, cancel)?;
            answer.read_beginning(4096);
        }
        self.log.debug("the session was begun anew; what the old one held at the server is gone");
        Ok(())
    }

    /// One message of the handshake. An error answer is an error.
    fn post<'a>(
        &'a self,
        message: &Message,
        session: &Session,
        deadline: Option<Instant>,
        cancel: &'a Cancel,
    ) -> Result<Answered<'a>, Error> {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        headers.extend(session_headers(session));
        let outgoing = Outgoing {
            method: "POST",
            place: self.upstream.place(),
            headers: &headers,
            body: message.body(),
            payload: &self.upstream.payload_of(message.body()),
            deadline,
            is_stream: false,
            is_idempotent: true,
        };
        let credentials = self.upstream.credentials()?;
        let mut answer = self.upstream.send(&outgoing, &credentials, cancel)?;
        if (200..300).contains(&answer.status()) {
            return Ok(answer);
        }
        Err(self.upstream.refused(&mut answer, &credentials).in_words)
    }
}
