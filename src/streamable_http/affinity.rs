//! `Affinity`: keeps the requests of 2026-07-28 on one micro-VM of AgentCore.
//!
//! Such requests have no session, yet AgentCore names one in each response and may start a micro-VM for each request that
//! names none. The id is kept and sent with every later request; the client never sees it. It is not an MCP session: nothing
//! is initialized in it, and nothing ends it.

use crate::aws::runtime_session::{
    RUNTIME_SESSION_HEADER, RuntimeSession, SESSION_HEADER, is_routed,
};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::http::Response;
use crate::log::Log;
use crate::mcp::message::Message;
use crate::mcp::session::check_session_id;
use crate::signing::{Header, Secret};
use crate::streamable_http::caller_session::CallerSession;
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::{Monitor, WaitError};
use crate::upstream::SignedClient;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum size of an id that a server names.
const MAX_ID_BYTES: usize = 1024;

/// Time that requests wait for the response to the first one, which names the id.
const LEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The runtime session of one server and one profile.
#[derive(Debug)]
pub(crate) struct Affinity {
    /// The id that the user chose.
    fixed: Option<Arc<SessionHeader>>,
    caller: Option<Arc<CallerSession>>,
    /// What responses say; `None` where nothing is routed by it, or the user chose the id.
    learned: Option<Arc<Monitor<Learned>>>,
    log: Log,
}

/// The id of a runtime session, in the header by which it came.
#[derive(Debug)]
pub(crate) struct SessionHeader {
    name: &'static str,
    id: Secret,
    /// The AWS account that it was named to, if it is known.
    account: Option<String>,
}

#[derive(Debug, Default)]
struct Learned {
    header: Option<Arc<SessionHeader>>,
    /// A request is on its way whose response is expected to name an id.
    is_led: bool,
    /// A response named none, so no request waits for the next one.
    is_absent: bool,
}

/// A request's part in the session, from before it is sent to the head of its response.
#[derive(Debug)]
pub(crate) struct Membership<'a> {
    learned: Option<&'a Arc<Monitor<Learned>>>,
    /// Other requests wait for this one.
    leads: bool,
    carried: Option<Arc<SessionHeader>>,
    log: &'a Log,
}

/// The ids of an attempt that responses decide about. None if the user chose the id.
#[derive(Debug, Default)]
pub(crate) struct AttemptIds {
    /// The one that the request carried.
    carried: Option<Arc<SessionHeader>>,
    /// Another one that its response named.
    named: Option<Arc<SessionHeader>>,
}

impl Affinity {
    /// `is_agentcore`: requests are signed for it.
    pub(crate) fn new(
        chosen: &RuntimeSession,
        client: &SignedClient,
        is_agentcore: bool,
        log: Log,
    ) -> Affinity {
        let endpoint = client.endpoint();
        let is_routed = is_routed(endpoint.service_host(), endpoint.path(), is_agentcore);
        let learns = is_routed && matches!(chosen, RuntimeSession::Auto | RuntimeSession::Identity);
        Affinity {
            fixed: match chosen {
                RuntimeSession::Fixed(id) => Some(SessionHeader::chosen(id.clone())),
                _ => None,
            },
            caller: (*chosen == RuntimeSession::Identity)
                .then(|| CallerSession::new(client.credential_cache().clone(), log.clone()))
                .map(Arc::new),
            learned: learns.then(|| Monitor::new(Learned::default())),
            log,
        }
    }

    /// The runtime session of another client, which is not on the micro-VM of this one unless the user chose that.
    pub(crate) fn for_another_client(&self) -> Affinity {
        Affinity {
            fixed: self.fixed.clone(),
            caller: self.caller.clone(),
            learned: self.learned.as_ref().map(|_| Monitor::new(Learned::default())),
            log: self.log.clone(),
        }
    }

    /// The part of this message. Until an id is known one request leads; others wait for the head of its response.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(crate) fn join(
        &self,
        message: &Message,
        credentials: &Arc<Credentials>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Membership<'_>, Error> {
        let learned = self.learned.as_ref();
        let part =
            |learned, leads, carried| Ok(Membership { learned, leads, carried, log: &self.log });
        if message.is_initialize() {
            return part(learned, false, None);
        }
        if message.request_meta().is_none() {
            return part(None, false, None);
        }
        if let Some(fixed) = &self.fixed {
            return part(None, false, Some(Arc::clone(fixed)));
        }
        if let Some(caller) = &self.caller
            && let Some(id) = caller.id(credentials, deadline, cancel)?
        {
            return part(None, false, Some(SessionHeader::chosen(id)));
        }
        let Some(monitor) = learned else { return part(None, false, None) };
        let limit = Instant::now().checked_add(LEAD_TIMEOUT);
        let limit = [limit, deadline].into_iter().flatten().min();
        let account = credentials.account.as_deref();
        let (leads, carried) = match monitor.wait(limit, cancel, |state| state.join(account)) {
            Ok(part) => part,
            Err(WaitError::TimedOut) => (false, None),
            Err(WaitError::Cancelled) => return Err(cancelled()),
        };
        part(learned, leads, carried)
    }

    /// Keeps the id that the refusal of an `initialize` named: it belongs to no MCP session.
    pub(crate) fn keep(&self, ids: &AttemptIds) {
        if let (Some(monitor), Some(named)) = (&self.learned, &ids.named) {
            monitor.update(|state| state.header = Some(Arc::clone(named)));
        }
    }

    /// Forgets a session that is gone, unless another one is in use by now.
    pub(crate) fn forget(&self, ids: &AttemptIds) {
        let Some(monitor) = &self.learned else { return };
        monitor.update(|state| {
            let mut gone = [&ids.carried, &ids.named].into_iter().flatten();
            state.header.take_if(|header| gone.any(|gone| gone.id == header.id));
            state.is_absent = false;
        });
    }
}

impl Learned {
    /// Whether a request leads and what it carries; `None` while it waits for another one.
    fn join(&mut self, account: Option<&str>) -> Option<(bool, Option<Arc<SessionHeader>>)> {
        self.header.take_if(|header| header.is_of_another(account));
        if self.header.is_some() || self.is_absent {
            return Some((false, self.header.clone()));
        }
        let leads = !std::mem::replace(&mut self.is_led, true);
        leads.then_some((true, None))
    }
}

impl Membership<'_> {
    /// The header to send.
    pub(crate) fn header(&self) -> Option<Header<'_>> {
        self.carried.as_ref().map(|header| (header.name, header.id.expose()))
    }

    /// Takes the id that the response names, whatever its status; that of an `initialize` is only noted.
    pub(crate) fn take_head(
        mut self,
        response: &Response<'_>,
        credentials: &Credentials,
        is_initialize: bool,
    ) -> AttemptIds {
        let Some(monitor) = self.learned else { return AttemptIds::default() };
        // Some responses repeat it in the other header only.
        let carried = self.carried.as_ref().map(|carried| carried.id.expose());
        let named = named_id(response).filter(|(_, id)| carried != Some(*id));
        let named = named.map(|(name, id)| {
            let (id, account) = (Secret::new(id), credentials.account.clone());
            self.log.redactor().add_session_id(&id);
            Arc::new(SessionHeader { name, id, account })
        });
        let leads = std::mem::take(&mut self.leads);
        if leads || (named.is_some() && !is_initialize) {
            let is_success = (200..300).contains(&response.status());
            monitor.update(|state| {
                state.is_led &= !leads;
                state.is_absent = leads && named.is_none() && is_success;
                state.header = named.clone().or(state.header.take());
            });
            if named.is_some() {
                self.log.debug("the server has named a runtime session");
            }
        }
        AttemptIds { carried: self.carried.take(), named }
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        if let Some(monitor) = self.learned.filter(|_| self.leads) {
            monitor.update(|state| state.is_led = false);
        }
    }
}

impl AttemptIds {
    /// Whether the request carried an id that another one can replace.
    pub(crate) fn any_carried(&self) -> bool {
        self.carried.is_some()
    }
}

impl SessionHeader {
    fn chosen(id: Secret) -> Arc<SessionHeader> {
        Arc::new(SessionHeader { name: SESSION_HEADER, id, account: None })
    }

    fn is_of_another(&self, account: Option<&str>) -> bool {
        matches!((&self.account, account), (Some(known), Some(now)) if known != now)
    }
}

/// The header that names a session, and its id.
fn named_id<'a>(response: &'a Response<'_>) -> Option<(&'static str, &'a str)> {
    [SESSION_HEADER, RUNTIME_SESSION_HEADER].into_iter().find_map(|name| {
        let id = response.headers(name).next()?;
        let id = check_session_id(id).ok().flatten()?;
        (id.len() <= MAX_ID_BYTES).then_some((name, id))
    })
}
