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
use crate::streamable_http::relayed::{Line, ServerRequest};
use crate::sync::lock;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

/// Maximum number of requests of servers whose profile is kept.
const MAX_SERVER_REQUESTS: usize = 1000;

pub struct ProfileRouter {
    policy: ToolPolicy,
    /// In the order of `--profile`. The session of the first is the client's own.
    exchangers: Vec<Arc<Exchanger>>,
    /// The names of the profiles after the first.
    other_names: Vec<String>,
    state: Mutex<State>,
}

/// The index of the first profile.
const FIRST: usize = 0;

#[derive(Default)]
struct State {
    /// Calls in flight with other profiles than the first, so that their cancellations go there, too.
    calls: HashMap<Id, usize>,
    /// Requests of servers that have ids of their own for the client, oldest first. Two sessions may choose the same ids.
    server_requests: VecDeque<RenamedRequest>,
    /// Number of requests that were renamed so far.
    count: u64,
}

/// A request of a server, under another id than the server's own.
struct RenamedRequest {
    client_id: Id,
    profile: usize,
    /// As the server spells it.
    server_id: String,
}

/// Where a message goes, and as what.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) exchanger: &'a Arc<Exchanger>,
    /// The message without its profile argument, or with the server's own id; `None`: as it is.
    pub(crate) changed: Option<Message>,
    /// Index of the profile, in the order of `--profile`.
    pub(crate) profile: usize,
}

impl ProfileRouter {
    /// `others` in the order of `--profile`, without the first.
    pub fn new(
        policy: ToolPolicy,
        first: Arc<Exchanger>,
        others: Vec<(String, Arc<Exchanger>)>,
    ) -> ProfileRouter {
        let (other_names, others): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        let exchangers = std::iter::once(first).chain(others).collect();
        ProfileRouter { policy, exchangers, other_names, state: Mutex::default() }
    }

    /// The exchanger of the first profile, whose session is the client's own.
    pub fn first(&self) -> &Arc<Exchanger> {
        &self.exchangers[FIRST]
    }

    pub(crate) fn exchangers(&self) -> &[Arc<Exchanger>] {
        &self.exchangers
    }

    pub(crate) fn route(&self, message: &Message) -> Result<Route<'_>, Error> {
        let (profile, changed) = match message.kind() {
            MessageKind::Response => self.with_server_id(message),
            _ if self.other_names.is_empty() => (FIRST, None),
            MessageKind::Notification { cancels: Some(id), .. } => {
                (lock(&self.state).calls.get(id).copied().unwrap_or(FIRST), None)
            }
            _ => match self
                .policy
                .chosen_profile(message, |tool| self.first().has_own_profile(tool))?
            {
                None => (FIRST, None),
                Some((name, changed)) => {
                    let other = self.other_names.iter().position(|known| *known == name);
                    (other.map_or(FIRST, |other| other + 1), Some(changed))
                }
            },
        };
        let exchanger = &self.exchangers[profile];
        if profile != FIRST {
            let ids = message.ids().iter();
            lock(&self.state).calls.extend(ids.map(|id| (id.clone(), profile)));
            exchanger.defer_initialize(self.first());
        }
        Ok(Route { exchanger, changed, profile })
    }

    /// Forgets a call that has ended.
    pub(crate) fn complete(&self, ids: &[Id]) {
        if !self.other_names.is_empty() {
            lock(&self.state).calls.retain(|id, _| !ids.contains(id));
        }
    }

    /// The id under which the client knows a request of this profile's server, if it does.
    pub(crate) fn client_id(&self, profile: usize, server_id: &Id) -> Option<Id> {
        let state = lock(&self.state);
        // A server may use an id again; the latest request counts.
        let mut newest_first = state.server_requests.iter().rev();
        newest_first
            .find(|request| request.profile == profile && server_id.is(&request.server_id))
            .map(|request| request.client_id.clone())
            .or_else(|| (profile == FIRST).then(|| server_id.clone()))
    }

    /// A request of this profile's server under an id that no other request to the client has.
    pub(crate) fn with_client_id(
        &self,
        profile: usize,
        mut request: ServerRequest,
    ) -> ServerRequest {
        let renamed = || {
            let text = str::from_utf8(&request.bytes).ok()?;
            let server_id = Object::parse(text)?.get("id")?.get();
            let mut state = lock(&self.state);
            state.count += 1;
            let client_id = Id::from_json(&format!("\"sigv4-proxy-{}\"", state.count))?;
            let bytes = edit::replace(text, server_id, client_id.as_json()).into_bytes();
            state.server_requests.push_back(RenamedRequest {
                client_id: client_id.clone(),
                profile,
                server_id: server_id.to_owned(),
            });
            if state.server_requests.len() > MAX_SERVER_REQUESTS {
                state.server_requests.pop_front();
            }
            Some((client_id, bytes))
        };
        if let Some((id, bytes)) = renamed() {
            (request.id, request.bytes) = (id, bytes);
        }
        request
    }

    /// A line of this profile's server as the client can read it: a cancellation names the request by the id that the
    /// client knows. `None`: the client does not know the request.
    pub(crate) fn line_for_client(&self, profile: usize, line: Line) -> Option<Line> {
        let Some(server_id) = &line.cancels else { return Some(line) };
        let client_id = self.client_id(profile, server_id)?;
        if client_id == *server_id {
            return Some(line);
        }
        let text = str::from_utf8(&line.bytes).ok()?;
        let params = Object::parse(Object::parse(text)?.get("params")?.get())?;
        let server_id = params.get("requestId")?.get();
        let bytes = edit::replace(text, server_id, client_id.as_json()).into_bytes();
        Some(Line { bytes, cancels: Some(client_id), ..line })
    }

    /// The profile whose server sent the request that this responds to, and the response under the server's own id.
    fn with_server_id(&self, response: &Message) -> (usize, Option<Message>) {
        let found = || {
            if lock(&self.state).server_requests.is_empty() {
                return None;
            }
            let text = str::from_utf8(response.body()).ok()?;
            let id = Object::parse(text)?.get("id")?.get();
            let mut state = lock(&self.state);
            let at = state.server_requests.iter().position(|request| request.client_id.is(id))?;
            let RenamedRequest { profile, server_id, .. } = state.server_requests.remove(at)?;
            let changed = edit::replace(text, id, &server_id);
            Some((profile, Some(Message::parse(changed.into_bytes()).ok()?)))
        };
        found().unwrap_or((FIRST, None))
    }
}

impl fmt::Debug for ProfileRouter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(&self.other_names).finish()
    }
}
