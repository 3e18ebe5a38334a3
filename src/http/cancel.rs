//! `Cancel`: takes one call back while another thread waits in it.

use super::locked;
use crate::error::{Error, Kind};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use ureq::Agent;

/// Takes one call back, from any thread: what it waits for ends at once.
#[derive(Default)]
pub struct Cancel {
    state: Mutex<CancelState>,
    changed: Condvar,
}

#[derive(Default)]
struct CancelState {
    cancelled: bool,
    lent: Option<Arc<Agent>>,
}

impl Cancel {
    pub fn new() -> Arc<Cancel> {
        Arc::default()
    }

    /// Shuts the connection the call is using, wakes it if it sleeps, and lets it begin nothing more.
    pub fn cancel(&self) {
        let mut state = locked(&self.state);
        state.cancelled = true;
        let lent = state.lent.take();
        drop(state);
        self.changed.notify_all();
        if let Some(agent) = lent {
            Agent::clone(&agent).shutdown();
        }
    }

    pub fn is_cancelled(&self) -> bool {
        locked(&self.state).cancelled
    }

    /// True when it was cut short.
    pub fn sleep(&self, time: Duration) -> bool {
        let state = locked(&self.state);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, time, |state| !state.cancelled)
            .unwrap_or_else(PoisonError::into_inner);
        state.cancelled
    }

    pub(super) fn lend(&self, agent: &Arc<Agent>) -> Result<(), Error> {
        let mut state = locked(&self.state);
        if state.cancelled {
            return Err(cancelled());
        }
        state.lent = Some(Arc::clone(agent));
        Ok(())
    }

    /// False when the agent was shut down meanwhile.
    pub(super) fn take_back(&self) -> bool {
        let mut state = locked(&self.state);
        state.lent = None;
        !state.cancelled
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cancel({})", self.is_cancelled())
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "the call was cancelled")
}
