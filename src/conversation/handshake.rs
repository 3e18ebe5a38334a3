//! A dead session is begun anew, once for all who need it, and the client does not notice.

use super::Conversation;
use super::failed::{Failed, Sent};
use crate::error::{Error, Kind};
use crate::http::Cancel;
use crate::message::Message;
use crate::random;
use crate::relay::{Deliver, Delivery, Line, Progress, Relay};
use crate::retry::{Next, Tried};
use crate::session::Session;
use crate::upstream::{Answered, Outgoing, session_headers};
use serde_json::{Value, json};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever waits for the new session waits no longer than this; a cold start fits in.
const RENEWAL_LIMIT: Duration = Duration::from_secs(120);

/// For a client that names no version.
const FALLBACK_VERSION: &str = "2025-11-25";

/// What the client sent to begin the session.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    pub(super) initialize: Option<Vec<u8>>,
    pub(super) initialized: Option<Vec<u8>>,
    /// The server has not been told yet.
    pub(super) is_owed: bool,
    /// The session that could not be replaced, when that was, and why.
    failed: Option<(u64, Instant, Error)>,
}

impl Conversation {
    /// Takes over what began another session: this one is begun with it by the first request that needs it.
    pub(crate) fn owe_handshake(&self, initialize: &[u8], initialized: Option<&[u8]>) {
        let mut handshake = self.handshake();
        if handshake.initialize.is_none() {
            handshake.initialize = Some(initialize.to_vec());
            handshake.is_owed = true;
        }
        handshake.initialized = initialized.map(<[u8]>::to_vec);
    }

    /// Whether the client has begun its session and the server does not know.
    pub(crate) fn owes_handshake(&self) -> bool {
        self.handshake().is_owed
    }

    /// Begins the session that is owed, if one is.
    pub(crate) fn begin(&self, cancel: &Cancel, deliver: &mut Deliver<'_>) -> Result<(), Error> {
        if !self.owes_handshake() {
            return Ok(());
        }
        let deadline = Instant::now().checked_add(RENEWAL_LIMIT);
        self.renew_session(&self.upstream.session(), deadline, cancel, deliver)
    }

    /// `--lazy`: the client gets its answer at once. What is said of the server is only that its lists may change,
    /// which they will be said to have done once it has been asked.
    pub(super) fn answer_initialize_here(
        &self,
        initialize: &Message,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), Error> {
        let mut handshake = self.handshake();
        handshake.initialize = Some(initialize.body().to_vec());
        handshake.initialized = None;
        handshake.is_owed = true;
        drop(handshake);
        self.upstream.session_mut(|session| session.begin(None, None));
        let asked = serde_json::from_slice::<Value>(initialize.body()).unwrap_or_default();
        let version = asked["params"]["protocolVersion"].as_str().unwrap_or(FALLBACK_VERSION);
        let result = json!({
            "protocolVersion": version,
            "capabilities": {
                "prompts": { "listChanged": true },
                "resources": { "listChanged": true },
                "tools": { "listChanged": true },
            },
            "serverInfo": { "name": "sigv4-proxy", "version": env!("CARGO_PKG_VERSION") },
        });
        let id = initialize.ids()[0].as_json();
        let bytes = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes();
        deliver(Delivery::Line(Line { bytes, answers: vec![0], is_last: true }))
    }

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
                error.context(if handshake.is_owed {
                    "the session could not be begun"
                } else {
                    "the session has ended, and a new one could not be begun"
                })
            });
        handshake.failed =
            renewed.as_ref().err().map(|error| (dead.number(), Instant::now(), error.clone()));
        let was_owed = handshake.is_owed;
        handshake.is_owed &= renewed.is_err();
        drop(handshake);
        renewed?;
        if let Some(tools) = self.forgetful() {
            tools.forget();
        }
        deliver(Delivery::NewSession)?;
        if was_owed && self.is_lazy {
            for list in ["tools", "prompts", "resources"] {
                let line =
                    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
                let bytes = line.into_bytes();
                deliver(Delivery::Line(Line { bytes, answers: Vec::new(), is_last: false }))?;
            }
        }
        Ok(())
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
            .map(|message| self.tools.policy().with_metadata(&message).unwrap_or(message))
            .and_then(|message| message.under(&format!("sigv4-proxy-{}", random::uuid())))
            .ok_or_else(|| Error::new(Kind::BadAnswer, "it was not begun through this process"))?;
        let limit = Instant::now().checked_add(RENEWAL_LIMIT);
        let deadline = [limit, deadline].into_iter().flatten().min();
        let credentials = self.upstream.credentials(deadline, cancel)?;
        let answer = self.post(&initialize, &Session::default(), deadline, cancel, deliver)?;
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
            is_modern: false,
            forgetful: self.forgetful(),
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
        if !handshake.is_owed && session.version() != dead.version() {
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
            let answer = self.post(&initialized, &session, deadline, cancel, deliver)?;
            answer.answer.finish();
        }
        if !handshake.is_owed {
            self.log.debug("the session was begun anew; what the old one held is gone");
        }
        Ok(())
    }

    /// One message of the handshake, as often as `retry` allows. An error answer is an error.
    fn post<'a>(
        &'a self,
        message: &Message,
        session: &Session,
        deadline: Option<Instant>,
        cancel: &'a Cancel,
        deliver: &mut Deliver<'_>,
    ) -> Result<Answered<'a>, Error> {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        headers.extend(session_headers(session));
        let errand = self.errand(message, deadline, cancel);
        let outgoing = Outgoing {
            method: "POST",
            place: self.upstream.place(),
            headers: &headers,
            body: message.body(),
            payload: &errand.payload,
            deadline,
            is_stream: false,
            is_idempotent: true,
        };
        let mut tried = Tried::default();
        loop {
            let credentials = self.upstream.credentials(deadline, cancel)?;
            let signed_at = self.upstream.now();
            // Whatever goes wrong here, the session is not what is mended.
            let sent = Sent { signed_at, session: Arc::default(), mirrors: Vec::new() };
            let failed = match self.upstream.send(&outgoing, &credentials, cancel) {
                Ok(answer) if (200..300).contains(&answer.status()) => return Ok(answer),
                Ok(mut answer) => self.refused(message, &mut answer, &credentials, sent),
                Err(error) => Failed::unanswered(error, sent),
            };
            let mends = match self.next(&failed, message, deadline, &mut tried) {
                Next::Again { after, costs } => self.quota.take(costs) && !cancel.sleep(after),
                next => self.mend(&next, &failed, &errand, deliver)?,
            };
            if !mends {
                return Err(failed.error);
            }
        }
    }
}
