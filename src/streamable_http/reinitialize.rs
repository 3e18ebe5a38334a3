//! A session is begun with what the client once sent: one that is owed, or in place of one that died, which the client
//! does not notice. A thread of its own does it, once for all calls; each waits for it until its own limit.

use crate::error::{Error, Kind};
use crate::mcp::message::Message;
use crate::mcp::session::Session;
use crate::random;
use crate::streamable_http::exchange::Exchanger;
use crate::streamable_http::failure::{Failed, Sent};
use crate::streamable_http::http_sse::HttpSse;
use crate::streamable_http::relay::{Line, Progress, Relay, Relayed, Sink};
use crate::streamable_http::retry::{Next, RetryState};
use crate::sync::cancel::Cancel;
use crate::upstream::signed_client::{SignedRequest, SignedResponse, session_headers};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a handshake may take, whether or not a call still waits for it; a cold start fits in.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(120);

/// For a client that names no version.
const FALLBACK_VERSION: &str = "2025-11-25";

/// What the client sent to begin the session, and whether one is being begun with it.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    pub(crate) initialize: Option<Arc<[u8]>>,
    pub(crate) initialized: Option<Arc<[u8]>>,
    /// The server has not been told yet.
    pub(crate) is_owed: bool,
    /// The session that an `initialize` on its way is offered.
    pub(crate) coming: Option<Offer>,
}

/// A session that has no result of `initialize` yet, and may never have one. The server may ask something before it
/// answers; what the client says to that belongs here, all else to the session there is.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) session: Arc<Session>,
    pub(crate) http_sse: Option<Arc<HttpSse>>,
}

/// An offer stands until this goes.
pub(crate) struct Offered<'a> {
    conversation: &'a Exchanger,
    pub(crate) offer: Offer,
}

impl Drop for Offered<'_> {
    fn drop(&mut self) {
        self.conversation.withdraw(&self.offer);
    }
}

/// For a session that is begun before the client has sent its own.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

impl Exchanger {
    /// Takes over what began the session of `first`: this one is begun with it by the first request that needs it. With
    /// another session of the client's it begins again.
    pub(crate) fn defer_initialize(&self, first: &Exchanger) {
        let (initialize, initialized) = {
            let handshake = first.handshake();
            (handshake.initialize.clone(), handshake.initialized.clone())
        };
        let Some(initialize) = initialize else { return };
        let mut handshake = self.handshake();
        if handshake.initialize.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &initialize)) {
            handshake.initialize = Some(initialize);
            handshake.is_owed = true;
        }
        handshake.initialized = initialized;
    }

    /// Whether the client has begun its session and the server does not know.
    pub(crate) fn owes_initialize(&self) -> bool {
        self.handshake().is_owed
    }

    /// Begins the session that is owed, if one is.
    pub(crate) fn begin(self: &Arc<Self>, cancel: &Cancel) -> Result<(), Error> {
        self.begun_session(None, None, cancel).map(|_| ())
    }

    /// Offers a session, until it is begun or refused.
    pub(crate) fn offer(&self, session: Session, http_sse: Option<Arc<HttpSse>>) -> Offered<'_> {
        let offer = Offer { session: Arc::new(session), http_sse };
        self.handshake().coming = Some(offer.clone());
        Offered { conversation: self, offer }
    }

    fn withdraw(&self, offer: &Offer) {
        let is_it = |coming: &mut Offer| Arc::ptr_eq(&coming.session, &offer.session);
        self.handshake().coming.take_if(is_it);
    }

    /// The client's `initialize` has a result: what was offered is the session now. A refused one changes nothing.
    pub(crate) fn session_is_begun(
        &self,
        initialize: &Message,
        offer: &Offer,
        version: Option<String>,
    ) {
        let before = self.set_http_sse(offer.http_sse.clone());
        self.change_session(|session| session.begin(&offer.session, version));
        self.withdraw(offer);
        self.handshake().initialize = Some(initialize.body().into());
        if let Some(before) = before {
            before.close();
        }
    }

    /// What is known of the tools ends before another session begins; and no list that was asked for in the old one
    /// counts in the new one.
    fn change_session(&self, change: impl FnOnce(&mut Session)) {
        self.tools.forget();
        self.upstream.session_mut(change);
        self.tools.forget();
    }

    /// `--lazy`: the client gets its answer at once. What is said of the server is only that its lists may change,
    /// which they will be said to have done once it has been asked.
    pub(crate) fn answer_initialize_here(
        &self,
        initialize: &Message,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let mut handshake = self.handshake();
        handshake.initialize = Some(initialize.body().into());
        handshake.initialized = None;
        handshake.is_owed = true;
        drop(handshake);
        self.change_session(|session| session.begin(&Session::default(), None));
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
        deliver(Relayed::Line(Line { bytes, answers: vec![0], is_last: true, stays_open: false }))
    }

    /// The session, once none is being begun; begins one if one is owed, or if `dead` is still in use.
    pub(crate) fn begun_session(
        self: &Arc<Self>,
        dead: Option<&Session>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Session>, Error> {
        let conversation = Arc::clone(self);
        let begun = self.handshakes.get(
            deadline,
            cancel,
            |_| {
                let is_owed = self.owes_initialize();
                let session = self.upstream.session();
                let is_dead = dead.is_some_and(|dead| dead.number() == session.number());
                (!is_owed && !is_dead).then_some(session)
            },
            move || conversation.begin_session(),
        );
        begun.map_err(|error| match error.kind() {
            Kind::Cancelled => error,
            _ if self.owes_initialize() => error.context("the session could not be begun"),
            _ => error.context("the session has ended, and a new one could not be begun"),
        })
    }

    fn begin_session(self: &Arc<Self>) -> Result<(), Error> {
        let is_begun = self.shake_hands();
        let was_owed = {
            let mut handshake = self.handshake();
            let was_owed = handshake.is_owed;
            handshake.is_owed &= !matches!(is_begun, Ok(true));
            was_owed
        };
        if is_begun? {
            self.tell_of_session(was_owed);
        }
        Ok(())
    }

    /// The new session is in use.
    fn tell_of_session(&self, was_owed: bool) {
        let mut deliveries = vec![Relayed::NewSession];
        if was_owed && self.is_lazy {
            deliveries.extend(["tools", "prompts", "resources"].map(|list| {
                let line =
                    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
                let bytes = line.into_bytes();
                Relayed::Line(Line {
                    bytes,
                    answers: Vec::new(),
                    is_last: false,
                    stays_open: false,
                })
            }));
        }
        // Its error says that the client is gone.
        let _ = deliveries.into_iter().try_for_each(|delivery| self.deliver_aside(delivery));
    }

    /// Sends what the client once sent, under an id of our own. False: the client has begun another session meanwhile.
    fn shake_hands(self: &Arc<Self>) -> Result<bool, Error> {
        let dead = self.upstream.session();
        let (initialize, is_owed) = {
            let handshake = self.handshake();
            (handshake.initialize.clone(), handshake.is_owed)
        };
        let initialize = initialize
            .and_then(|line| Message::parse(line.to_vec()).ok())
            .map(|message| match self.tools.policy().metadata().added_to(&message) {
                Ok(Some(changed)) => changed,
                // It had its metadata when it was sent, or it would not have been.
                Ok(None) | Err(_) => message,
            })
            .and_then(|message| message.under(&format!("sigv4-proxy-{}", random::uuid())))
            .ok_or_else(|| {
                Error::new(Kind::InvalidResponse, "it was not begun through this process")
            })?;
        let (deadline, cancel) = (Instant::now().checked_add(HANDSHAKE_LIMIT), &*self.closing);
        let credentials = self.upstream.credentials(deadline, cancel)?;
        let answer = self.post(&initialize, &Session::default(), deadline)?;
        let account = credentials.account.as_deref();
        let offered = self.offer(Session::offered(answer.header("mcp-session-id"), account), None);

        let version = RefCell::new(None);
        let on_initialized = |told| *version.borrow_mut() = Some(told);
        let mut relay = Relay {
            ids: initialize.ids(),
            on_initialized: Some(&on_initialized),
            tools: None,
            forgetful: &self.tools,
            on_stray: None,
            owns_stream: true,
            held_back: &[],
            may_lose_session: false,
            max_message_bytes: self.max_message_bytes,
            log: &self.log,
            // The server may ask something before it answers; its answer is ours.
            deliver: &mut |delivery| match delivery {
                Relayed::Line(line) if !line.answers.is_empty() => Ok(()),
                other => self.deliver_aside(other),
            },
            progress: Progress::default(),
        };
        relay.take_answer(answer.answer)?;
        let Some(version) = version.take() else {
            return Err(Error::new(
                Kind::InvalidResponse,
                "the server refused to initialize again",
            ));
        };
        let mut session = Session::clone(&dead);
        session.begin(&offered.offer.session, version);
        if !is_owed && session.version() != dead.version() {
            self.log.warn(format_args!(
                "the new session speaks protocol {}, the old one spoke {}",
                session.version().unwrap_or("unknown"),
                dead.version().unwrap_or("unknown")
            ));
        }
        let initialized = self.handshake().initialized.clone();
        let initialized = initialized.as_deref().unwrap_or(INITIALIZED);
        if let Ok(initialized) = Message::parse(initialized.to_vec()) {
            self.post(&initialized, &session, deadline)?.answer.finish();
        }
        if !is_owed {
            self.log.debug("the session was begun anew; what the old one held is gone");
        }
        let mut is_ours = false;
        self.change_session(|current| {
            is_ours = current.number() == dead.number();
            if is_ours {
                *current = session;
            }
        });
        Ok(is_ours)
    }

    /// One message of the handshake, as often as `retry` allows. An error answer is an error.
    fn post<'a>(
        self: &'a Arc<Self>,
        message: &Message,
        session: &Session,
        deadline: Option<Instant>,
    ) -> Result<SignedResponse<'a>, Error> {
        let cancel = &*self.closing;
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        headers.extend(session_headers(session));
        let errand = self.errand(message, deadline, cancel);
        let outgoing = SignedRequest {
            method: "POST",
            place: self.upstream.place(),
            headers: &headers,
            body: message.body(),
            payload: &errand.payload,
            deadline,
            is_stream: false,
            is_idempotent: true,
        };
        let mut tried = RetryState::default();
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
                next => {
                    self.recover(&next, &failed, &errand, &mut |other| self.deliver_aside(other))?
                }
            };
            if !mends {
                return Err(failed.error);
            }
        }
    }
}
