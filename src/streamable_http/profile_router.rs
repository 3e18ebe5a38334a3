//! `ProfileRouter`: one `Exchanger` for each AWS profile that calls may choose, and which message goes to which.
//!
//! The client sees one server and one session. A call that chooses another profile than the first goes to a session of
//! that profile, initialized with what the client sent to initialize its own.

use crate::error::Error;
use crate::json::edit;
use crate::json::object::Object;
use crate::mcp::id::Id;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::tool_policy::ToolPolicy;
use crate::streamable_http::exchange::Exchanger;
use crate::sync::lock;
use serde_json::value::RawValue;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

/// Maximum number of requests of servers whose origin is kept, those with a response included.
const MAX_SERVER_REQUESTS: usize = 1000;

pub struct ProfileRouter {
    policy: ToolPolicy,
    first: Arc<Exchanger>,
    others: Vec<(String, Arc<Exchanger>)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls in flight with other profiles than the first, so that their cancellations go there, too.
    calls: HashMap<Id, usize>,
    /// Requests of the servers of other profiles: by the id that the client knows, the profile and the server's own id.
    /// Two sessions may choose the same ids.
    server_requests: HashMap<Id, (usize, String)>,
    /// The keys of `server_requests`, oldest first, also of those that were responded to.
    newest: VecDeque<Id>,
    count: u64,
}

/// Where a message goes, and as what.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) exchanger: &'a Arc<Exchanger>,
    /// The message without its profile argument, or with the server's own id; `None`: as it is.
    pub(crate) changed: Option<Message>,
    /// Index of the profile among those after the first.
    pub(crate) other: Option<usize>,
}

impl ProfileRouter {
    /// `others` in the order of `--profile`, without the first.
    pub fn new(
        policy: ToolPolicy,
        first: Arc<Exchanger>,
        others: Vec<(String, Arc<Exchanger>)>,
    ) -> ProfileRouter {
        ProfileRouter { policy, first, others, state: Mutex::default() }
    }

    /// The exchanger of the first profile, whose session is the client's own.
    pub fn first(&self) -> &Arc<Exchanger> {
        &self.first
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Exchanger>> {
        std::iter::once(&self.first).chain(self.others.iter().map(|(_, exchanger)| exchanger))
    }

    /// `other`: as in `Route`.
    pub(crate) fn exchanger(&self, other: Option<usize>) -> &Arc<Exchanger> {
        other.map_or(&self.first, |other| &self.others[other].1)
    }

    pub(crate) fn route(&self, message: &Message) -> Result<Route<'_>, Error> {
        let to_first = || Route { exchanger: &self.first, changed: None, other: None };
        if self.others.is_empty() {
            return Ok(to_first());
        }
        let (other, changed) = match message.kind() {
            MessageKind::Response => self.with_server_id(message),
            MessageKind::Notification { cancels: Some(id), .. } => {
                (lock(&self.state).calls.get(id).copied(), None)
            }
            _ => match self.policy.chosen_profile(message)? {
                None => (None, None),
                Some((name, changed)) => {
                    let other = self.others.iter().position(|(known, _)| *known == name);
                    (other, Some(changed))
                }
            },
        };
        let Some(other) = other else { return Ok(Route { changed, ..to_first() }) };
        let exchanger = &self.others[other].1;
        lock(&self.state).calls.extend(message.ids().iter().map(|id| (id.clone(), other)));
        exchanger.defer_initialize(&self.first);
        Ok(Route { exchanger, changed, other: Some(other) })
    }

    /// Forgets a call that has ended.
    pub(crate) fn complete(&self, ids: &[Id]) {
        if !self.others.is_empty() {
            lock(&self.state).calls.retain(|id, _| !ids.contains(id));
        }
    }

    /// A line of a server that is not a response, with the id that the client gets for it if it is a request.
    /// `other`: as in `Route`.
    pub(crate) fn with_client_id(&self, other: Option<usize>, line: Vec<u8>) -> Vec<u8> {
        let Some(other) = other else { return line };
        let request = || {
            let text = str::from_utf8(&line).ok()?;
            let members = Object::parse(text)?;
            members.get("method")?;
            Some((text, members.get("id")?))
        };
        let Some((text, id)) = request() else { return line };
        let mut state = lock(&self.state);
        state.count += 1;
        let known = format!("\"sigv4-proxy-{}-{}\"", self.others[other].0.len(), state.count);
        let Some(key) = id_of(&known) else { return line };
        let changed = edit::replace(text, id.get(), &known);
        state.server_requests.insert(key.clone(), (other, id.get().to_owned()));
        state.newest.push_back(key);
        if state.newest.len() > MAX_SERVER_REQUESTS
            && let Some(oldest) = state.newest.pop_front()
        {
            state.server_requests.remove(&oldest);
        }
        changed.into_bytes()
    }

    /// The profile whose server sent the request that this responds to, and the response under the server's own id.
    fn with_server_id(&self, response: &Message) -> (Option<usize>, Option<Message>) {
        let found = || {
            let text = str::from_utf8(response.body()).ok()?;
            let id = Object::parse(text)?.get("id")?;
            let (other, own) = lock(&self.state).server_requests.remove(&id_of(id.get())?)?;
            let changed = edit::replace(text, id.get(), &own);
            Some((other, Message::parse(changed.into_bytes()).ok()?))
        };
        found().map_or((None, None), |(other, changed)| (Some(other), Some(changed)))
    }
}

impl fmt::Debug for ProfileRouter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.others.iter().map(|(name, _)| name)).finish()
    }
}

fn id_of(raw: &str) -> Option<Id> {
    Id::from_json(serde_json::from_str::<&RawValue>(raw).ok()?.get())
}
