//! `Detection`: finds out whether a server speaks the modern era, once for all requests that need to know.

use crate::bridge::envelope::Envelope;
use crate::bridge::evidence::{Asked, Verdict};
use crate::bridge::facts::{Facts, Known, Speaks};
use crate::bridge::watch::{Watched, watch};
use crate::error::Error;
use crate::log::Log;
use crate::mcp::message::Message;
use crate::random;
use crate::streamable_http::Exchanger;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use crate::sync::single_flight::SingleFlight;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time limit of `server/discover`.
const DISCOVER_TIMEOUT: Duration = Duration::from_secs(20);

/// Minimum time between two repetitions of the detection. Any hop on the way to the server can forge a refusal.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Detection {
    facts: Arc<Facts>,
    discovering: SingleFlight,
    repeating: SingleFlight,
    /// Time of the last repeated detection.
    asked_again: Mutex<Option<Instant>>,
    /// Ends the requests of its own.
    closing: Arc<Cancel>,
    log: Log,
}

impl Detection {
    pub(crate) fn new(facts: Arc<Facts>, log: Log) -> Detection {
        Detection {
            facts,
            discovering: SingleFlight::new("discover"),
            repeating: SingleFlight::new("server-change"),
            asked_again: Mutex::default(),
            closing: Cancel::new(),
            log,
        }
    }

    /// Requests the server's `DiscoverResult` unless it is known already. Returns all that is known then: if the request failed,
    /// no more than before.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` at the deadline; the request continues for others that wait for it.
    pub(crate) fn discover(
        &self,
        exchanger: &Arc<Exchanger>,
        envelope: &Envelope,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Known, Error> {
        let find = |is_done| {
            let known = self.facts.known();
            let is_known = match known.modern {
                Speaks::Yes => known.discovered.is_some(),
                Speaks::No => true,
                Speaks::Unknown => false,
            };
            (is_known || is_done).then_some(known)
        };
        let (facts, closing) = (Arc::clone(&self.facts), Arc::clone(&self.closing));
        let (exchanger, log) = (Arc::clone(exchanger), self.log.clone());
        let members: Arc<str> = envelope.members().into();
        let work = move || {
            ask(&exchanger, &facts, &members, &closing, &log);
            Ok(())
        };
        self.discovering.get(deadline, cancel, find, work)
    }

    /// After a refusal that contradicts what is known: finds out with `work` what the server speaks by now, once for all
    /// requests that were refused. Returns whether that `has_changed` since, which a late refusal meets already.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` at the deadline; the work continues for others that wait for it.
    pub(crate) fn repeat(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
        has_changed: &dyn Fn() -> bool,
        may_begin: &dyn Fn() -> bool,
        work: Arc<dyn Fn(&Cancel) + Send + Sync>,
    ) -> Result<bool, Error> {
        let find = |is_done| {
            let has_changed = has_changed();
            (has_changed || is_done || !may_begin()).then_some(has_changed)
        };
        let closing = Arc::clone(&self.closing);
        let work = move || {
            work(&closing);
            Ok(())
        };
        self.repeating.get(deadline, cancel, find, work)
    }

    /// Whether the detection may be repeated. True at most once in `AGAIN_AFTER`.
    pub(crate) fn may_ask_again(&self) -> bool {
        let mut asked = lock(&self.asked_again);
        let may = asked.is_none_or(|asked| asked.elapsed() >= AGAIN_AFTER);
        if may {
            *asked = Some(Instant::now());
        }
        may
    }

    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

/// Sends `server/discover` and records its result. `members`: those of `_meta`.
fn ask(exchanger: &Exchanger, facts: &Facts, members: &str, cancel: &Cancel, log: &Log) {
    let id = random::uuid();
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":"sigv4-proxy-{id}","method":"server/discover","params":{{"_meta":{{{members}}}}}}}"#
    );
    let Ok(request) = Message::parse(request.into_bytes()) else { return };
    let deadline = Instant::now().checked_add(DISCOVER_TIMEOUT);
    let asked = (Asked::Discover, &request);
    let learn = |verdict: &Verdict| facts.update(|known| verdict.apply(known));
    let (watched, _) = watch(exchanger, asked, deadline, cancel, &learn, &mut |_| Ok(()));
    if let Watched::Over(Err(error)) = watched {
        log.debug(format_args!("server/discover: {error}"));
    }
}
