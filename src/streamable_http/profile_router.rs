//! `ProfileRouter`: one conversation for each AWS profile that calls may choose, and which message belongs to which.
//!
//! The client knows of one server and one session. A call that chooses another profile than the first goes to a session
//! of that profile's own, begun with what the client once sent to begin its own.

use crate::error::Error;
use crate::json::edit;
use crate::json::object::Object;
use crate::mcp::id::Id;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::tool_policy::ToolPolicy;
use crate::streamable_http::exchange::Exchanger;
use serde_json::value::RawValue;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A response to a request of a server finds its way if no more than this came after the request.
const MAX_QUESTIONS: usize = 1000;

pub struct ProfileRouter {
    policy: ToolPolicy,
    first: Arc<Exchanger>,
    others: Vec<(String, Arc<Exchanger>)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls under way in other conversations than the first, so that what takes them back goes there too.
    calls: HashMap<Id, usize>,
    /// Requests of servers, under the ids that the client knows: two sessions may choose the same ids.
    questions: HashMap<Id, (usize, String)>,
    /// Their ids in the order in which they came, those that were answered among them.
    latest: VecDeque<Id>,
    asked: u64,
}

/// Where a message goes, and as what.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) conversation: &'a Arc<Exchanger>,
    /// `None`: as it is.
    pub(crate) changed: Option<Message>,
    /// The conversation's place among those of other profiles.
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

    /// That of the first profile, which is the client's own.
    pub fn first(&self) -> &Arc<Exchanger> {
        &self.first
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Exchanger>> {
        std::iter::once(&self.first).chain(self.others.iter().map(|(_, conversation)| conversation))
    }

    /// `other`: as in `Route`.
    pub(crate) fn conversation(&self, other: Option<usize>) -> &Arc<Exchanger> {
        other.map_or(&self.first, |other| &self.others[other].1)
    }

    pub(crate) fn route(&self, message: &Message) -> Result<Route<'_>, Error> {
        let to_first = || Route { conversation: &self.first, changed: None, other: None };
        if self.others.is_empty() {
            return Ok(to_first());
        }
        let (other, changed) = match message.sort() {
            MessageKind::Response => self.asker_of(message),
            MessageKind::Notification { cancels: Some(id), .. } => {
                (self.state().calls.get(id).copied(), None)
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
        let conversation = &self.others[other].1;
        self.state().calls.extend(message.ids().iter().map(|id| (id.clone(), other)));
        conversation.defer_initialize(&self.first);
        Ok(Route { conversation, changed, other: Some(other) })
    }

    /// The call is over.
    pub(crate) fn end(&self, ids: &[Id]) {
        if !self.others.is_empty() {
            self.state().calls.retain(|id, _| !ids.contains(id));
        }
    }

    /// A line that is no answer, as the client gets it. `other`: as in `Route`.
    pub(crate) fn as_asked(&self, other: Option<usize>, line: Vec<u8>) -> Vec<u8> {
        let Some(other) = other else { return line };
        let question = || {
            let text = str::from_utf8(&line).ok()?;
            let members = Object::parse(text)?;
            members.get("method")?;
            Some((text, members.get("id")?))
        };
        let Some((text, id)) = question() else { return line };
        let mut state = self.state();
        state.asked += 1;
        let known = format!("\"sigv4-proxy-{}-{}\"", self.others[other].0.len(), state.asked);
        let Some(key) = id_of(&known) else { return line };
        let changed = edit::replace(text, id.get(), &known);
        state.questions.insert(key.clone(), (other, id.get().to_owned()));
        state.latest.push_back(key);
        if state.latest.len() > MAX_QUESTIONS
            && let Some(oldest) = state.latest.pop_front()
        {
            state.questions.remove(&oldest);
        }
        changed.into_bytes()
    }

    /// Who asked what this answers, and the answer under the id that it asked with.
    fn asker_of(&self, message: &Message) -> (Option<usize>, Option<Message>) {
        let found = || {
            let text = str::from_utf8(message.body()).ok()?;
            let id = Object::parse(text)?.get("id")?;
            let (other, asked) = self.state().questions.remove(&id_of(id.get())?)?;
            let answer = edit::replace(text, id.get(), &asked);
            Some((other, Message::parse(answer.into_bytes()).ok()?))
        };
        found().map_or((None, None), |(other, answer)| (Some(other), Some(answer)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ProfileRouter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.others.iter().map(|(name, _)| name)).finish()
    }
}

fn id_of(raw: &str) -> Option<Id> {
    Id::from_json(serde_json::from_str::<&RawValue>(raw).ok()?.get())
}
