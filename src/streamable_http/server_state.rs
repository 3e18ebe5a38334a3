//! `ServerState`: what is known about the server: its session and transport, the `initialize` that began it, its tools.
//!
//! Each lock guards its value for a moment. No request is sent while one is held.

use crate::error::Error;
use crate::mcp::message::Message;
use crate::mcp::session::Session;
use crate::mcp::tool_catalog::ToolCatalog;
use crate::mcp::tool_policy::ToolPolicy;
use crate::streamable_http::http_sse::HttpSse;
use crate::streamable_http::relayed::Line;
use crate::sync::{self, lock};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// A session and the transport that it uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerSession {
    pub(crate) session: Session,
    /// HTTP+SSE of 2024-11-05; `None` is Streamable HTTP.
    pub(crate) http_sse: Option<Arc<HttpSse>>,
    /// The response to an `initialize` that this program sent.
    pub(crate) initialize_response: Option<Arc<[u8]>>,
}

/// Called with the new session when `initialize` has a result, before that is relayed.
pub(crate) type OnInitialized<'a> = &'a dyn Fn(ServerSession);

impl ServerSession {
    /// Whether the server can lose it and another can replace it: it has an id or a stream. A session that began before this
    /// process is replaced by the client.
    pub(crate) fn can_be_lost(&self) -> bool {
        (self.id().is_some() && self.number() != 0) || self.http_sse.is_some()
    }

    /// Whether the stream that it lives on has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.http_sse.as_ref().is_some_and(|http_sse| http_sse.has_ended())
    }

    /// The session with the protocol version of the `initialize` result.
    pub(crate) fn with_version(&self, version: Option<String>) -> ServerSession {
        let session = self.clone();
        ServerSession { session: session.session.with_version(version), ..session }
    }

    /// Closes the stream that it lives on, if there is one.
    pub(crate) fn close(&self) {
        if let Some(http_sse) = &self.http_sse {
            http_sse.close();
        }
    }
}

impl Deref for ServerSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for ServerSession {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

#[derive(Debug)]
pub(crate) struct ServerState {
    session: RwLock<Arc<ServerSession>>,
    /// The number of the latest session, whether it was accepted or not.
    latest_session: AtomicU64,
    stored_initialize: Mutex<StoredInitialize>,
    /// Why the last `initialize` of this program failed, if it did.
    refusal: Mutex<Option<Arc<RefusedInitialize>>>,
    pub(crate) tools: ToolCatalog,
}

/// What the client sent to initialize the session, kept so that it can be sent again.
#[derive(Debug, Default)]
pub(crate) struct StoredInitialize {
    pub(crate) initialize: Option<Arc<[u8]>>,
    pub(crate) initialized: Option<Arc<[u8]>>,
    /// The server has not received it yet.
    pub(crate) is_deferred: bool,
    /// The client has its response, from this program.
    pub(crate) is_answered_locally: bool,
    /// The session that an `initialize` in flight is offered. It has no result yet, and may never have one. The server may
    /// send a request before it responds; the client's response to that belongs to this session, everything else to the
    /// session in use.
    offer: Option<Arc<ServerSession>>,
}

/// Why an `initialize` that this program sent failed.
#[derive(Debug)]
pub(crate) struct RefusedInitialize {
    /// The server's own response, if there was one.
    pub(crate) response: Option<Line>,
    pub(crate) error: Error,
}

/// An offer that is valid until this is dropped.
pub(crate) struct StandingOffer<'a> {
    state: &'a ServerState,
    number: u64,
}

impl StandingOffer<'_> {
    /// The session that is offered, under its latest id.
    pub(crate) fn session(&self) -> Option<Arc<ServerSession>> {
        self.state.offer().filter(|offer| offer.number() == self.number)
    }
}

impl Drop for StandingOffer<'_> {
    fn drop(&mut self) {
        let is_it = |standing: &mut Arc<ServerSession>| standing.number() == self.number;
        self.state.stored_initialize().offer.take_if(is_it);
    }
}

impl ServerState {
    pub(crate) fn new(policy: ToolPolicy) -> ServerState {
        ServerState {
            session: RwLock::default(),
            latest_session: AtomicU64::new(0),
            stored_initialize: Mutex::default(),
            refusal: Mutex::default(),
            tools: ToolCatalog::new(policy),
        }
    }

    pub(crate) fn session(&self) -> Arc<ServerSession> {
        Arc::clone(&sync::read(&self.session))
    }

    /// A session of its own number.
    pub(crate) fn new_session(&self, id: Option<&str>, account: Option<&str>) -> Session {
        let number = self.latest_session.fetch_add(1, Ordering::Relaxed) + 1;
        Session::new(number, id, account)
    }

    /// Changes to another session if `may_replace` allows it. The known tools are forgotten before the new session
    /// begins, and no list that was requested in the old session counts in the new one. The old one's stream is closed.
    fn change_session(
        &self,
        new: ServerSession,
        may_replace: impl FnOnce(&ServerSession) -> bool,
    ) -> bool {
        self.tools.forget();
        let old = {
            let mut current = sync::write(&self.session);
            may_replace(&current).then(|| std::mem::replace(&mut *current, Arc::new(new)))
        };
        self.tools.forget();
        if let Some(old) = &old {
            old.close();
        }
        old.is_some()
    }

    /// Replaces `old`. False: there is another session by now, which stays.
    pub(crate) fn replace_session(&self, old: &Session, new: ServerSession) -> bool {
        self.change_session(new, |current| current.number() == old.number())
    }

    /// Continues a session under another id, whether it is in use or still offered.
    pub(crate) fn set_session_id(&self, session: &Session, id: &str) {
        let set = |known: &mut Arc<ServerSession>| {
            if known.number() == session.number() {
                Arc::make_mut(known).set_id(id);
            }
        };
        set(&mut sync::write(&self.session));
        self.stored_initialize().offer.iter_mut().for_each(set);
    }

    /// The session under its latest id, while it is in use or offered.
    pub(crate) fn latest(&self, session: Arc<ServerSession>) -> Arc<ServerSession> {
        let mut known = std::iter::once(self.session()).chain(self.offer());
        known.find(|known| known.number() == session.number()).unwrap_or(session)
    }

    pub(crate) fn stored_initialize(&self) -> MutexGuard<'_, StoredInitialize> {
        lock(&self.stored_initialize)
    }

    /// Why the last `initialize` of this program failed, if it did.
    pub(crate) fn refusal(&self) -> Option<Arc<RefusedInitialize>> {
        lock(&self.refusal).clone()
    }

    pub(crate) fn set_refusal(&self, refusal: Option<RefusedInitialize>) {
        *lock(&self.refusal) = refusal.map(Arc::new);
    }

    /// Whether the client has initialized its session and the server has not received it.
    pub(crate) fn is_initialize_deferred(&self) -> bool {
        self.stored_initialize().is_deferred
    }

    /// Defers the client's `initialize`: the first request that needs a session sends it.
    pub(crate) fn defer_initialize(&self, initialize: &Message) {
        let mut stored = self.stored_initialize();
        stored.initialize = Some(initialize.body().into());
        stored.initialized = None;
        (stored.is_deferred, stored.is_answered_locally) = (true, true);
        drop(stored);
        let session = self.new_session(None, None);
        self.change_session(ServerSession { session, ..ServerSession::default() }, |_| true);
    }

    /// Continues a session that began before this process.
    pub(crate) fn adopt_session(&self, id: &str, version: Option<&str>) {
        let session = Session::new(0, Some(id), None).with_version(version.map(str::to_owned));
        self.change_session(ServerSession { session, ..ServerSession::default() }, |_| true);
    }

    /// Stores an `initialize` that the client did not send, deferred, unless one is stored.
    pub(crate) fn defer_first_initialize(&self, initialize: &Message) {
        let mut stored = self.stored_initialize();
        if stored.initialize.is_none() {
            stored.initialize = Some(initialize.body().into());
            stored.is_deferred = true;
        }
    }

    /// Forgets an `initialize` that is still deferred: the server does not take it.
    pub(crate) fn forget_deferred_initialize(&self) {
        let mut stored = self.stored_initialize();
        if stored.is_deferred {
            *stored = StoredInitialize::default();
        }
    }

    /// Forgets the session and the client's `initialize`.
    pub(crate) fn forget_session(&self) {
        *self.stored_initialize() = StoredInitialize::default();
        self.set_refusal(None);
        let session = self.new_session(None, None);
        self.change_session(ServerSession { session, ..ServerSession::default() }, |_| true);
    }

    /// Stores the client's `initialize` from another server's state, deferred; again after each new session of the client.
    pub(crate) fn defer_initialize_of(&self, first: &ServerState) {
        let (initialize, initialized) = {
            let stored = first.stored_initialize();
            (stored.initialize.clone(), stored.initialized.clone())
        };
        let Some(initialize) = initialize else { return };
        let mut stored = self.stored_initialize();
        if stored.initialize.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &initialize)) {
            stored.initialize = Some(initialize);
            stored.is_deferred = true;
        }
        stored.initialized = initialized;
    }

    /// Stores a deferred `notifications/initialized`. False if nothing is deferred.
    pub(crate) fn defer_initialized(&self, initialized: &Message) -> bool {
        let mut stored = self.stored_initialize();
        if stored.is_deferred {
            stored.initialized = Some(initialized.body().into());
        }
        stored.is_deferred
    }

    /// Stores the `notifications/initialized` that the server has received.
    pub(crate) fn store_initialized(&self, initialized: &Message) {
        self.stored_initialize().initialized = Some(initialized.body().into());
    }

    /// The session that an `initialize` in flight is offered.
    pub(crate) fn offer(&self) -> Option<Arc<ServerSession>> {
        self.stored_initialize().offer.clone()
    }

    /// Offers a session until the returned value is dropped.
    pub(crate) fn set_offer(&self, session: ServerSession) -> StandingOffer<'_> {
        let number = session.number();
        self.stored_initialize().offer = Some(Arc::new(session));
        StandingOffer { state: self, number }
    }

    /// The client's `initialize` has a result: `session` is the one in use now.
    pub(crate) fn accept_session(&self, session: ServerSession, initialize: &Message) {
        let number = session.number();
        self.change_session(session, |_| true);
        let mut stored = self.stored_initialize();
        stored.initialize = Some(initialize.body().into());
        (stored.is_deferred, stored.is_answered_locally) = (false, false);
        stored.offer.take_if(|offer| offer.number() == number);
    }
}
