//! `ServerState`: what is known of the server. Its session, the `initialize` that began it, its transport, its tools.
//!
//! Each lock guards its value for a moment. No request is sent while one is held.

use crate::mcp::message::Message;
use crate::mcp::session::Session;
use crate::mcp::tool_catalog::ToolCatalog;
use crate::mcp::tool_policy::ToolPolicy;
use crate::streamable_http::http_sse::HttpSse;
use crate::sync::lock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

#[derive(Debug)]
pub(crate) struct ServerState {
    session: RwLock<Arc<Session>>,
    stored_initialize: Mutex<StoredInitialize>,
    /// The session over the transport of 2024-11-05, if the server offers no other.
    http_sse: RwLock<Option<Arc<HttpSse>>>,
    pub(crate) tools: ToolCatalog,
}

/// What the client sent to initialize the session, kept so that it can be sent again.
#[derive(Debug, Default)]
pub(crate) struct StoredInitialize {
    pub(crate) initialize: Option<Arc<[u8]>>,
    pub(crate) initialized: Option<Arc<[u8]>>,
    /// The server has not received it yet.
    pub(crate) is_deferred: bool,
    /// The session that an `initialize` in flight is offered.
    offer: Option<Offer>,
}

/// A session that has no result of `initialize` yet, and may never have one. The server may send a request before it
/// responds; the client's response to that belongs here, everything else to the session in use.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) session: Arc<Session>,
    pub(crate) http_sse: Option<Arc<HttpSse>>,
}

/// An offer that stands until this is dropped.
pub(crate) struct StandingOffer<'a> {
    state: &'a ServerState,
    pub(crate) offer: Offer,
}

impl Drop for StandingOffer<'_> {
    fn drop(&mut self) {
        self.state.withdraw(&self.offer);
    }
}

impl ServerState {
    pub(crate) fn new(policy: ToolPolicy) -> ServerState {
        ServerState {
            session: RwLock::default(),
            stored_initialize: Mutex::default(),
            http_sse: RwLock::default(),
            tools: ToolCatalog::new(policy),
        }
    }

    pub(crate) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes to another session. What is known of the tools ends before it begins, and no list that was asked for in
    /// the old session counts in the new one.
    fn change_session(&self, change: impl FnOnce(&mut Session)) {
        self.tools.forget();
        self.update_session(change);
        self.tools.forget();
    }

    pub(crate) fn update_session(&self, change: impl FnOnce(&mut Session)) {
        let mut session = self.session.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut session));
    }

    /// Puts `new` in the place of `old`. False: there is another session by now, which stays.
    pub(crate) fn replace_session(&self, old: &Session, new: Session) -> bool {
        let mut is_replaced = false;
        self.change_session(|current| {
            is_replaced = current.number() == old.number();
            if is_replaced {
                *current = new;
            }
        });
        is_replaced
    }

    pub(crate) fn stored_initialize(&self) -> MutexGuard<'_, StoredInitialize> {
        lock(&self.stored_initialize)
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
        stored.is_deferred = true;
        drop(stored);
        self.change_session(|session| session.begin(&Session::default(), None));
    }

    /// Takes over the `initialize` of another server's session, deferred; again after each new session of the client.
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

    /// Keeps a deferred `notifications/initialized`. False if nothing is deferred.
    pub(crate) fn defer_initialized(&self, initialized: &Message) -> bool {
        let mut stored = self.stored_initialize();
        if stored.is_deferred {
            stored.initialized = Some(initialized.body().into());
        }
        stored.is_deferred
    }

    /// Keeps the `notifications/initialized` that the server has received.
    pub(crate) fn store_initialized(&self, initialized: &Message) {
        self.stored_initialize().initialized = Some(initialized.body().into());
    }

    /// The session that an `initialize` in flight is offered.
    pub(crate) fn offer(&self) -> Option<Offer> {
        self.stored_initialize().offer.clone()
    }

    /// Offers a session until it is accepted or the returned value is dropped.
    pub(crate) fn set_offer(
        &self,
        session: Session,
        http_sse: Option<Arc<HttpSse>>,
    ) -> StandingOffer<'_> {
        let offer = Offer { session: Arc::new(session), http_sse };
        self.stored_initialize().offer = Some(offer.clone());
        StandingOffer { state: self, offer }
    }

    fn withdraw(&self, offer: &Offer) {
        let is_it = |standing: &mut Offer| Arc::ptr_eq(&standing.session, &offer.session);
        self.stored_initialize().offer.take_if(is_it);
    }

    /// The client's `initialize` has a result: what was offered is the session now.
    pub(crate) fn accept_offer(
        &self,
        offer: &Offer,
        initialize: &Message,
        version: Option<String>,
    ) {
        let before = {
            let mut http_sse = self.http_sse.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *http_sse, offer.http_sse.clone())
        };
        self.change_session(|session| session.begin(&offer.session, version));
        self.withdraw(offer);
        self.stored_initialize().initialize = Some(initialize.body().into());
        if let Some(before) = before {
            before.close();
        }
    }

    pub(crate) fn http_sse(&self) -> Option<Arc<HttpSse>> {
        self.http_sse.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
