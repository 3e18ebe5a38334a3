//! `Clients`: finds the client of a request: by `Mcp-Session-Id`, or, without a session, by what the request states about its client.

use crate::conversation::Conversation;
use crate::error::{Error, Kind};
use crate::listener::client::Client;
use crate::log::Log;
use crate::mcp::session::check_session_id;
use crate::random;
use crate::signing::BodyHash;
use crate::sync::cancel::Cancel;
use crate::sync::{lock, spawn};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// How long clients are remembered. One that is dropped can continue its session if the server issued the id.
#[derive(Clone, Copy)]
struct Limits {
    /// Maximum number of clients. Beyond it, the least recently used one is dropped.
    clients: usize,
    /// Idle time after which a client is dropped.
    idle: Duration,
    /// Minimum interval between checks for idle clients.
    pause: Duration,
}

const LIMITS: Limits =
    Limits { clients: 4096, idle: Duration::from_secs(3600), pause: Duration::from_secs(60) };

/// Time limit for ending sessions at servers.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Prefix of session ids that this program issues.
const OWN_SESSIONS: &str = "sigv4-proxy-";

type MakeConversation = dyn Fn() -> Arc<Conversation> + Send + Sync;

pub(crate) struct Clients {
    make: Box<MakeConversation>,
    known: Arc<Mutex<Known>>,
    log: Log,
}

struct Known {
    by_key: HashMap<Key, Arc<Client>>,
    limits: Limits,
    /// A thread waits until the first client has been idle for too long.
    has_thread: bool,
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
        let known = Known { by_key: HashMap::new(), limits: LIMITS, has_thread: false };
        Clients { make: Box::new(make), known: Arc::new(Mutex::new(known)), log }
    }

    /// A client that begins. It is known once it has a session.
    pub(crate) fn begin(&self) -> Arc<Client> {
        Client::new((self.make)(), false, self.log.clone())
    }

    /// The client with this session; a new one if the session began before this process or was dropped.
    ///
    /// # Errors
    /// `HttpStatus(404)`: this program issued the id and has dropped it, or the id is invalid. `TooMany`: too many clients.
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
    /// `TooMany`: too many clients are in use.
    pub(crate) fn without_session(&self, identity: &[u8]) -> Result<Arc<Client>, Error> {
        let new = || Ok(Client::new((self.make)(), true, self.log.clone()));
        let mut digest = BodyHash::default();
        digest.add(identity);
        self.find_or_add(Key::NoSession(digest.finish().to_owned()), new)
    }

    /// The client with a call that waits to be repeated with this state, whatever the repetition states about it.
    pub(crate) fn awaiting(&self, state: &str) -> Option<Arc<Client>> {
        let known = lock(&self.known);
        let client =
            known.by_key.values().find(|client| client.conversation.bridge.awaits(state))?;
        client.note_use();
        Some(Arc::clone(client))
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
        self.watch(known);
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
        let known = lock(&self.known);
        if let Some(client) = known.by_key.get(&key).map(Arc::clone) {
            client.note_use();
            return Ok(client);
        }
        drop(known);
        let client = new()?;
        let mut known = lock(&self.known);
        let forgotten = known.make_room()?;
        let client = Arc::clone(known.by_key.entry(key).or_insert(client));
        self.watch(known);
        end_all(forgotten);
        Ok(client)
    }

    /// Has a thread drop clients when they have been idle for too long, unless one does.
    fn watch(&self, mut known: MutexGuard<'_, Known>) {
        if std::mem::replace(&mut known.has_thread, true) {
            return;
        }
        drop(known);
        let watched = Arc::downgrade(&self.known);
        if spawn("expiry", move || expire(&watched)).is_err() {
            // The next client tries again.
            lock(&self.known).has_thread = false;
        }
    }
}

impl Known {
    /// Removes clients until there is room for another one, and returns them.
    fn make_room(&mut self) -> Result<Vec<(Key, Arc<Client>)>, Error> {
        let max = self.limits.clients;
        let mut forgotten = Vec::new();
        if self.by_key.len() >= max {
            let idle = self.by_key.iter().filter(|(_, client)| is_idle(client));
            let oldest = idle.min_by_key(|(_, client)| client.last_used());
            let oldest = oldest.map(|(key, _)| key.clone()).ok_or_else(|| {
                let what = format!("{max} clients are already connected");
                Error::new(Kind::TooMany, what).hint("end sessions that are no longer needed")
            })?;
            forgotten.extend(self.by_key.remove_entry(&oldest));
        }
        Ok(forgotten)
    }

    /// Removes the clients that have been idle for too long, and returns them with the time until the next may have been;
    /// `None` if no client is left.
    fn sweep(&mut self) -> (Vec<(Key, Arc<Client>)>, Option<Duration>) {
        let Limits { idle, pause, .. } = self.limits;
        // A client in use is used until now at least.
        let left = |client: &Arc<Client>| {
            let used = if is_idle(client) { client.last_used().elapsed() } else { Duration::ZERO };
            idle.saturating_sub(used)
        };
        let forgotten = self.by_key.extract_if(|_, client| left(client).is_zero()).collect();
        let next = self.by_key.values().map(left).min();
        self.has_thread = next.is_some();
        (forgotten, next.map(|next| next.max(pause)))
    }
}

/// Drops clients that have been idle for too long, until there are none. A client that is added later is not overdue earlier, so
/// nothing has to wake this.
fn expire(known: &Weak<Mutex<Known>>) {
    loop {
        let Some(all) = known.upgrade() else { return };
        let (forgotten, next) = lock(&all).sweep();
        drop(all);
        end_all(forgotten);
        let Some(next) = next else { return };
        Cancel::default().sleep(next);
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

/// A client in use is held by others, too.
fn is_idle(client: &Arc<Client>) -> bool {
    Arc::strong_count(client) == 1
}

/// Ends everything that belongs to clients that are forgotten.
fn end_all(mut clients: Vec<(Key, Arc<Client>)>) {
    for (_, client) in &clients {
        client.close();
    }
    clients.retain(|(key, client)| client.with_unknown_sessions(key.session_id()).next().is_some());
    if !clients.is_empty() {
        // Without a thread the sessions expire at the servers.
        let _ = spawn("forgotten", move || end_unknown_sessions(&clients));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly;
    use crate::cli::{self, Command, ProfileSettings};
    use crate::credentials::{ProfileFiles, Terminal};
    use crate::environment::Environment;
    use crate::log::{Format, Level};
    use crate::redact::Redactor;
    use std::ffi::OsString;

    fn clients(limits: Limits) -> Clients {
        let environment = Environment::from_pairs([("AWS_REGION", "us-east-1")]);
        let args = ["https://abc.execute-api.us-east-1.amazonaws.com/mcp"].map(OsString::from);
        let command = cli::parse(args, &environment, |_| Ok(ProfileSettings::default()));
        let Ok(Command::Run(options)) = command else { panic!("{command:?}") };
        let log = Log::new(Level::Silent, Format::Text, None, Redactor::default()).expect("a log");
        let files = ProfileFiles::new(&environment);
        let bundle = assembly::ca_bundle(&options, &environment, &files).expect("none is named");
        let terminal = Terminal::default();
        let connections =
            assembly::connections(&options, &bundle, &environment, &files, terminal, &log);
        let own = log.clone();
        let make = move || {
            let exchangers = connections.iter();
            let exchangers = exchangers.map(|c| Arc::new(c.exchanger.for_another_client()));
            assembly::conversation(&options, exchangers, &own)
        };
        let clients = Clients::new(make, log);
        lock(&clients.known).limits = limits;
        clients
    }

    fn begin(clients: &Clients, id: &str) -> Arc<Client> {
        let client = clients.begin();
        clients.register(&client, Some(id)).expect("there is room");
        client
    }

    fn ids(clients: &Clients) -> Vec<String> {
        let known = lock(&clients.known);
        let mut ids: Vec<_> = known.by_key.keys().filter_map(Key::session_id).collect();
        ids.sort_unstable();
        ids.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn beyond_the_limit_the_client_is_dropped_that_was_not_used_for_longest() {
        let clients = clients(Limits { clients: 2, ..LIMITS });
        drop(begin(&clients, "a"));
        drop(begin(&clients, "b"));
        clients.with_session("a", None).expect("it is known");
        drop(begin(&clients, "c"));
        assert_eq!(ids(&clients), ["a", "c"]);
    }

    #[test]
    fn a_client_in_use_is_kept_and_when_all_are_no_other_can_begin() {
        let clients = clients(Limits { clients: 2, ..LIMITS });
        let (a, b) = (begin(&clients, "a"), begin(&clients, "b"));
        let refused = clients.register(&clients.begin(), Some("c")).expect_err("there is no room");
        assert_eq!(refused.kind(), Kind::TooMany);
        assert!(!a.is_closed() && !b.is_closed());
        drop(a);
        drop(begin(&clients, "c"));
        assert_eq!(ids(&clients), ["b", "c"]);
    }

    #[test]
    fn a_client_is_dropped_after_a_time_without_any_request() {
        let idle = Duration::from_millis(20);
        let clients = clients(Limits { idle, pause: Duration::ZERO, ..LIMITS });
        let used = begin(&clients, "used");
        for _ in 0..2 {
            let left = Arc::downgrade(&begin(&clients, "left"));
            let begun = Instant::now();
            while left.strong_count() > 0 {
                assert!(begun.elapsed() < Duration::from_secs(20), "nothing of it is kept");
                Cancel::default().sleep(idle / 4);
            }
            assert!(begun.elapsed() >= idle);
        }
        assert_eq!(ids(&clients), ["used"]);
        drop(used);
        let begun = Instant::now();
        while lock(&clients.known).has_thread {
            assert!(begun.elapsed() < Duration::from_secs(20), "there is nothing to wait for");
            Cancel::default().sleep(idle / 4);
        }
        assert!(ids(&clients).is_empty());
    }
}
