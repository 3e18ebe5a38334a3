//! `Clients`: finds the client of a request: by `Mcp-Session-Id`, or, without a session, by what the request states about its client.

use crate::conversation::Conversation;
use crate::error::{Error, Kind};
use crate::listener::client::Client;
use crate::log::Log;
use crate::mcp::session::check_session_id;
use crate::random;
use crate::signing::BodyHash;
use crate::sync::lock;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum number of clients. Beyond it, the least recently used one is dropped.
const MAX_CLIENTS: usize = 4096;

/// Idle time after which a client is dropped. It can continue its session if the server issued the id.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Interval between checks for idle clients.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Time limit for ending sessions at servers.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Prefix of session ids that this program issues.
const OWN_SESSIONS: &str = "sigv4-proxy-";

type MakeConversation = dyn Fn() -> Arc<Conversation> + Send + Sync;

pub(crate) struct Clients {
    make: Box<MakeConversation>,
    known: Mutex<Known>,
    log: Log,
}

struct Known {
    by_key: HashMap<Key, Arc<Client>>,
    swept: Instant,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Session(String),
    /// Digest of what the requests state about their client.
    NoSession(String),
}

impl Clients {
    pub(crate) fn new(
        make: impl Fn() -> Arc<Conversation> + Send + Sync + 'static,
        log: Log,
    ) -> Clients {
        let known = Mutex::new(Known { by_key: HashMap::new(), swept: Instant::now() });
        Clients { make: Box::new(make), known, log }
    }

    /// A client that begins. It is known once it has a session.
    pub(crate) fn begin(&self) -> Arc<Client> {
        Client::new((self.make)(), false, self.log.clone())
    }

    /// The client with this session; a new one if the session began before this process or was dropped.
    ///
    /// # Errors
    /// `HttpStatus(404)`: this program issued the id and has dropped it, or the id is invalid. `TooLarge`: too many clients.
    pub(crate) fn with_session(
        &self,
        id: &str,
        version: Option<&str>,
    ) -> Result<Arc<Client>, Error> {
        let key = Key::Session(id.to_owned());
        self.find_or_add(key, || {
            if id.starts_with(OWN_SESSIONS) || check_session_id(id).is_err() {
                let what = "the session of this Mcp-Session-Id has ended";
                return Err(Error::new(Kind::HttpStatus(404), what).hint("start a new session"));
            }
            let client = self.begin();
            client.conversation.profiles.first().adopt_session(id, version);
            Ok(client)
        })
    }

    /// The client of requests without a session. `identity`: what they state about their client.
    ///
    /// # Errors
    /// `TooLarge`: too many clients are in use.
    pub(crate) fn without_session(&self, identity: &[u8]) -> Result<Arc<Client>, Error> {
        let new = || Ok(Client::new((self.make)(), true, self.log.clone()));
        let mut digest = BodyHash::default();
        digest.add(identity);
        self.find_or_add(Key::NoSession(digest.finish().to_owned()), new)
    }

    /// Makes the client known by the id of its session; without one by an id of this program, which is returned.
    ///
    /// # Errors
    /// As `without_session`.
    pub(crate) fn register(&self, client: &Arc<Client>, id: Option<&str>) -> Result<String, Error> {
        let id =
            id.map_or_else(|| format!("{OWN_SESSIONS}{}", random::unguessable()), str::to_owned);
        let mut known = lock(&self.known);
        let forgotten = known.make_room()?;
        let replaced = known.by_key.insert(Key::Session(id.clone()), Arc::clone(client));
        drop(known);
        if let Some(client) = replaced {
            client.close();
        }
        end_all(forgotten);
        Ok(id)
    }

    /// Forgets the client with this session, and ends everything that belongs to it.
    pub(crate) fn forget(&self, id: &str) {
        let forgotten = lock(&self.known).by_key.remove(&Key::Session(id.to_owned()));
        if let Some(client) = forgotten {
            client.close();
        }
    }

    /// Ends everything, before the process ends.
    pub(crate) fn close(&self) {
        let all: Vec<_> = lock(&self.known).by_key.drain().collect();
        for (_, client) in &all {
            client.close();
        }
        end_unknown_sessions(&all);
    }

    fn find_or_add(
        &self,
        key: Key,
        new: impl Fn() -> Result<Arc<Client>, Error>,
    ) -> Result<Arc<Client>, Error> {
        if let Some(client) = lock(&self.known).by_key.get(&key) {
            client.note_use();
            return Ok(Arc::clone(client));
        }
        let client = new()?;
        let mut known = lock(&self.known);
        let forgotten = known.make_room()?;
        let client = Arc::clone(known.by_key.entry(key).or_insert(client));
        drop(known);
        end_all(forgotten);
        Ok(client)
    }
}

impl Known {
    /// Removes clients until there is room for another one, and returns them.
    fn make_room(&mut self) -> Result<Vec<(Key, Arc<Client>)>, Error> {
        let is_full = self.by_key.len() >= MAX_CLIENTS;
        if !is_full && self.swept.elapsed() < SWEEP_INTERVAL {
            return Ok(Vec::new());
        }
        self.swept = Instant::now();
        // One that is in use is held by others, too.
        let is_idle = |client: &Arc<Client>| Arc::strong_count(client) == 1;
        let overdue = |client: &mut Arc<Client>| {
            is_idle(client) && client.last_used().elapsed() >= IDLE_TIMEOUT
        };
        let mut forgotten: Vec<_> = self.by_key.extract_if(|_, client| overdue(client)).collect();
        if self.by_key.len() >= MAX_CLIENTS {
            let idle = self.by_key.iter().filter(|(_, client)| is_idle(client));
            let oldest = idle.min_by_key(|(_, client)| client.last_used());
            let oldest = oldest.map(|(key, _)| key.clone()).ok_or_else(|| {
                let what = format!("{MAX_CLIENTS} clients are already connected");
                Error::new(Kind::TooLarge, what).hint("end sessions that are no longer needed")
            })?;
            forgotten.extend(self.by_key.remove_entry(&oldest));
        }
        Ok(forgotten)
    }
}

impl Key {
    fn session_id(&self) -> Option<&str> {
        match self {
            Key::Session(id) => Some(id),
            Key::NoSession(_) => None,
        }
    }
}

/// Ends everything that belongs to clients that are forgotten.
fn end_all(mut clients: Vec<(Key, Arc<Client>)>) {
    for (_, client) in &clients {
        client.close();
    }
    clients.retain(|(key, client)| client.with_unknown_sessions(key.session_id()).next().is_some());
    if !clients.is_empty() {
        let thread = thread::Builder::new().name("forgotten".to_owned());
        // Without a thread the sessions expire at the servers.
        let _ = thread.spawn(move || end_unknown_sessions(&clients));
    }
}

/// Ends the sessions that nothing can be sent in again.
fn end_unknown_sessions(clients: &[(Key, Arc<Client>)]) {
    let deadline = Instant::now() + END_TIMEOUT;
    for (key, client) in clients {
        for exchanger in client.with_unknown_sessions(key.session_id()) {
            exchanger.end_session(deadline);
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Clients")
    }
}
