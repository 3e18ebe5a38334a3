//! `Bridge`: takes every message of the client, and passes it on as it is or has it translated.

use crate::bridge::detection::Detection;
use crate::bridge::downward::Downward;
use crate::bridge::early_discover;
use crate::bridge::envelope::Envelope;
use crate::bridge::evidence::{Asked, Verdict};
use crate::bridge::facts::{Era, Facts, MODERN_VERSION, Speaks};
use crate::bridge::outgoing::Outgoing;
use crate::bridge::settings::Settings;
use crate::bridge::upward::Upward;
use crate::bridge::watch::{Watched, is_refusal_of_era, of_refused_initialize, watch};
use crate::client::ClientRequests;
use crate::error::Error;
use crate::log::Log;
use crate::mcp::error_codes::INVALID_REQUEST;
use crate::mcp::error_response::protocol_error;
use crate::mcp::message::Message;
use crate::streamable_http::profile_router::Route;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::{Exchanger, RefusedInitialize};
use crate::sync::cancel::Cancel;
use std::sync::Arc;
use std::time::Instant;

/// How the ids of this program begin, as JSON.
const OWN_IDS: &str = "\"sigv4-proxy-";

#[derive(Debug)]
pub struct Bridge {
    settings: Settings,
    facts: Arc<Facts>,
    detection: Detection,
    downward: Downward,
    upward: Upward,
    log: Log,
}

impl Bridge {
    pub fn new(settings: Settings, client: ClientRequests, log: Log) -> Bridge {
        let facts = Arc::new(Facts::new(settings.is_on));
        Bridge {
            settings,
            detection: Detection::new(Arc::clone(&facts), log.clone()),
            downward: Downward::new(client, settings.opens_get_stream, log.clone()),
            upward: Upward::new(settings.opens_get_stream, log.clone()),
            facts,
            log,
        }
    }

    /// Sends the message, translated if the server does not speak its era, and relays the responses, translated as well.
    /// Otherwise like `Exchanger::exchange`.
    pub(crate) fn exchange(
        self: &Arc<Self>,
        outgoing: Outgoing<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let Outgoing { route, message, deadline, cancel } = outgoing;
        if self.settings.is_lazy && message.is_discover() && self.responds_early() {
            return early_discover::respond(message, self.settings.answers_discover, sink);
        }
        // The early response to `initialize` does not come from the server.
        let is_early = self.settings.is_lazy && message.is_initialize() && !self.is_downward();
        if is_early || self.facts.pass(message) {
            let is_legacy = self.settings.is_on && message.request_meta().is_none();
            let mut refusal = None;
            let result =
                route.exchanger.exchange(message, deadline, cancel, &mut |relayed| match relayed {
                    Relayed::Line(line) if is_legacy && is_refusal_of_era(&line) => {
                        refusal = Some(line);
                        Ok(())
                    }
                    relayed => sink(relayed),
                });
            if let Some(refusal) = refusal {
                if !self.leave_session(route.exchanger, deadline, cancel)? {
                    return sink(Relayed::Line(refusal));
                }
            } else {
                match result {
                    Err(error) if error.lacks_session() && is_legacy => {
                        if !self.replace_session(route.exchanger, deadline, cancel)? {
                            return Err(error);
                        }
                    }
                    result => return result,
                }
            }
        }
        self.exchange_carefully(outgoing, sink, true)
    }

    /// Starts the session that `--lazy` has deferred. A modern server needs none.
    pub(crate) fn initialize_now(
        self: &Arc<Self>,
        exchanger: &Arc<Exchanger>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        match exchanger.initialize_now(cancel) {
            Err(error) if self.replace_session(exchanger, None, cancel)? => {
                self.log.debug(format_args!("no session is needed: {error}"));
                Ok(())
            }
            result => result,
        }
    }

    /// After a server that had a session refused the era of a request. True: the server is modern by now, as in
    /// `replace_session`.
    fn leave_session(
        self: &Arc<Self>,
        exchanger: &Arc<Exchanger>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        let (bridge, exchanger) = (Arc::clone(self), Arc::clone(exchanger));
        let work = move |cancel: &Cancel| match exchanger.begin_another_session(None, cancel) {
            Err(error) if error.lacks_session() => {
                bridge.facts.update(|known| (known.legacy, known.modern) = Default::default());
                bridge.begin_downward(&exchanger, cancel);
            }
            _ => {}
        };
        let may_begin = || self.detection.may_ask_again();
        self.detection.repeat(deadline, cancel, &|| self.is_downward(), &may_begin, Arc::new(work))
    }

    /// If no session could be started with the parameters of a legacy client, and the server is modern, the client's messages
    /// are translated from now on, and it is notified that everything may have changed. False: they are not.
    fn replace_session(
        self: &Arc<Self>,
        exchanger: &Arc<Exchanger>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        let asks = |(refusal, _): (Arc<RefusedInitialize>, _)| of_refused_initialize(&refusal).asks;
        if !exchanger.refused_initialize().is_some_and(asks) {
            return Ok(self.is_downward());
        }
        if !self.settings.is_on {
            return Ok(false);
        }
        let (bridge, exchanger) = (Arc::clone(self), Arc::clone(exchanger));
        let work = move |cancel: &Cancel| bridge.begin_downward(&exchanger, cancel);
        // It spoke that era when the session was started; the server may have been replaced since.
        let is_doubted = || self.facts.known().legacy == Speaks::Yes;
        let may_begin = || !is_doubted() || self.detection.may_ask_again();
        self.detection.repeat(deadline, cancel, &|| self.is_downward(), &may_begin, Arc::new(work))
    }

    /// After a refused `initialize` of this program: translates for the client from now on, if the server is modern.
    fn begin_downward(&self, exchanger: &Arc<Exchanger>, cancel: &Cancel) {
        let Some((refusal, initialize)) = exchanger.refused_initialize() else { return };
        let verdict = of_refused_initialize(&refusal);
        if !verdict.asks || self.upward.has_session() {
            return;
        }
        self.facts.update(|known| {
            if known.legacy == Speaks::Yes {
                (known.legacy, known.modern) = Default::default();
            }
        });
        let envelope = Envelope::of_initialize(&initialize);
        let Ok(known) = self.detection.discover(exchanger, &envelope, None, cancel) else { return };
        let Some(discovered) = known.discovered else { return self.log_incompatible(&verdict) };
        self.downward.begin(exchanger, &initialize, &discovered);
        // The client's other messages are translated as soon as this is known.
        self.facts.update(|known| {
            (known.legacy, known.client_is_legacy) = (Speaks::No, false);
        });
        exchanger.forget_session();
        self.downward.listen();
        announce_changed_lists(exchanger);
    }

    /// After a modern server refused a translated request as a legacy one does. True: it is legacy by now; messages are no
    /// longer translated.
    fn leave_downward(
        self: &Arc<Self>,
        route: &Route<'_>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        let (bridge, exchanger) = (Arc::clone(self), Arc::clone(route.exchanger));
        let work = move |cancel: &Cancel| bridge.begin_session_again(&exchanger, cancel);
        // The sessions of other profiles follow that of the first.
        let may_begin = || route.profile == 0 && self.detection.may_ask_again();
        self.detection.repeat(deadline, cancel, &|| !self.is_downward(), &may_begin, Arc::new(work))
    }

    /// Starts a session with the client's parameters, and notifies it that everything may have changed.
    fn begin_session_again(&self, exchanger: &Exchanger, cancel: &Cancel) {
        let Some(initialize) = self.downward.initialize() else { return };
        if let Err(error) = exchanger.begin_session(&initialize, None, cancel) {
            self.log.debug(format_args!("the server still uses MCP {MODERN_VERSION}: {error}"));
            return;
        }
        self.facts.update(|known| {
            (known.legacy, known.modern) = (Speaks::Yes, Speaks::No);
            (known.discovered, known.client_is_legacy) = (None, true);
        });
        self.downward.end();
        self.log.info("the server was replaced by one that supports the client's revision; messages are no longer translated");
        announce_changed_lists(exchanger);
    }

    /// After a legacy server refused a translated request as a modern one does. True: nothing is known of it any more, and the
    /// client's messages are sent as they are.
    fn leave_upward(
        self: &Arc<Self>,
        route: &Route<'_>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        let (bridge, exchanger, profile) =
            (Arc::clone(self), Arc::clone(route.exchanger), route.profile);
        let work = move |_: &Cancel| {
            bridge.end_upward(&Route { exchanger: &exchanger, changed: None, profile });
        };
        let may_begin = || self.detection.may_ask_again();
        self.detection.repeat(deadline, cancel, &|| !self.is_upward(), &may_begin, Arc::new(work))
    }

    fn end_upward(&self, route: &Route<'_>) {
        self.facts.update(|known| (known.legacy, known.modern) = Default::default());
        self.upward.end(route, "the server has changed");
        route.exchanger.forget_session();
        self.log.info("the server was replaced by one that supports the client's revision; messages are no longer translated");
    }

    /// Whether `server/discover` gets a response from this program. A server that is known to be modern responds itself.
    fn responds_early(&self) -> bool {
        let is_modern = || self.facts.known().modern == Speaks::Yes;
        self.settings.is_on && !is_modern() && !self.upward.has_session()
    }

    /// Records that the client speaks the legacy era, regardless of the result of its `initialize`.
    pub(crate) fn note_legacy_client(&self) {
        if self.settings.is_on {
            self.facts.update(|known| known.client_is_legacy = true);
        }
    }

    /// Handles messages of this profile's server outside calls. Returns those that are for the client unchanged.
    pub(crate) fn take(&self, profile: usize, relayed: Relayed) -> Option<Relayed> {
        self.upward.take(profile, relayed)
    }

    /// The response to a request that is never sent to a server, if it is one. Never waits.
    pub(crate) fn respond_at_once(&self, message: &Message) -> Option<String> {
        if !self.facts.may_translate() {
            return None;
        }
        let is_modern = message.request_meta().is_some();
        let era = if is_modern { Era::Modern } else { Era::Legacy };
        if !self.facts.known().needs_translation(era) {
            return None;
        }
        let own_id = message.ids().iter().find(|id| id.as_json().starts_with(OWN_IDS));
        if let Some(id) = own_id {
            let why = "invalid request: ids that begin with sigv4-proxy- are reserved";
            return Some(protocol_error(id.as_json(), INVALID_REQUEST, why));
        }
        if is_modern { None } else { self.downward.respond_at_once(message) }
    }

    /// Whether a call waits for its client to repeat it with this state.
    pub(crate) fn awaits(&self, state: &str) -> bool {
        self.upward.awaits(state)
    }

    /// Whether a legacy client uses a modern server, so that there are no sessions.
    pub(crate) fn is_downward(&self) -> bool {
        self.facts.may_translate() && self.facts.known().needs_translation(Era::Legacy)
    }

    /// Whether a standing stream of an older server is read for a client that has no such streams.
    pub(crate) fn reads_standing_stream(&self) -> bool {
        self.settings.opens_get_stream && self.upward.is_in_use()
    }

    /// Ends everything outside calls, before the process ends.
    pub(crate) fn close(&self) {
        self.detection.close();
        self.downward.close();
        self.upward.close();
    }

    /// `may_detect`: after a refusal the server's eras are detected, and the message is sent once more.
    fn exchange_carefully(
        self: &Arc<Self>,
        outgoing: Outgoing<'_>,
        sink: &mut Sink<'_>,
        may_detect: bool,
    ) -> Result<(), Error> {
        let Outgoing { route, message, deadline, cancel } = outgoing;
        let is_modern = message.request_meta().is_some();
        let asked = match message.method() {
            _ if message.is_initialize() && !is_modern => Asked::Initialize,
            Some("server/discover") => Asked::Discover,
            _ => Asked::Modern,
        };
        let known = self.facts.known();
        if !is_modern && known.needs_translation(Era::Legacy) {
            if asked != Asked::Initialize {
                let refusal = self.downward.exchange(outgoing, sink)?;
                let Some(refusal) = refusal else { return Ok(()) };
                if self.leave_downward(route, deadline, cancel)? {
                    return route.exchanger.exchange(message, deadline, cancel, sink);
                }
                return refusal.pass(sink);
            }
            let envelope = Envelope::of_initialize(message);
            let known = self.detection.discover(route.exchanger, &envelope, deadline, cancel)?;
            if let Some(discovered) = known.discovered {
                let response = self.downward.begin(route.exchanger, message, &discovered);
                return sink(Relayed::Line(Line::response(response.into_bytes(), 0, true)));
            }
        }
        if self.is_for_upward(asked, message) {
            match self.upward.exchange(outgoing, sink) {
                Ok(Some(refusal)) => {
                    if !self.leave_upward(route, deadline, cancel)? {
                        return refusal.pass(sink);
                    }
                }
                // Another request has found the server changed, and has ended the session.
                Err(error) if error.lacks_session() && !self.is_upward() => {}
                result => return result.map(|_| ()),
            }
        }
        if !is_modern && asked != Asked::Initialize {
            return route.exchanger.exchange(message, deadline, cancel, sink);
        }
        if asked == Asked::Initialize {
            self.upward.end(route, "the client started a session of its own");
        }
        let learn = |verdict: &Verdict| self.learn(asked, verdict);
        let (watched, verdict) =
            watch(route.exchanger, (asked, message), deadline, cancel, &learn, sink);
        let refusal = match watched {
            Watched::Over(result) => return result,
            Watched::Refused(refusal) => refusal,
        };
        if may_detect && self.begin_translating(outgoing, asked, &verdict)? {
            return self.exchange_carefully(outgoing, sink, false);
        }
        refusal.pass(sink)
    }

    fn is_for_upward(&self, asked: Asked, message: &Message) -> bool {
        let can_be = match asked {
            Asked::Initialize => false,
            Asked::Discover => self.settings.answers_discover || self.upward.has_session(),
            // A request that does not name its version is legacy.
            Asked::Modern => message.request_meta().is_some() || message.ids().is_empty(),
        };
        can_be && self.is_upward()
    }

    /// Whether a modern client uses a legacy server.
    fn is_upward(&self) -> bool {
        self.facts.known().needs_translation(Era::Modern)
    }

    fn learn(&self, asked: Asked, verdict: &Verdict) {
        self.facts.update(|known| {
            verdict.apply(known);
            known.client_is_legacy |= asked == Asked::Initialize && verdict.legacy == Speaks::Yes;
        });
    }

    /// After a refusal: finds out whether the server speaks the other era. True: the message is translated from now on.
    fn begin_translating(
        &self,
        outgoing: Outgoing<'_>,
        asked: Asked,
        verdict: &Verdict,
    ) -> Result<bool, Error> {
        let Outgoing { route, message, deadline, cancel } = outgoing;
        if asked == Asked::Initialize {
            let envelope = Envelope::of_initialize(message);
            let known = self.detection.discover(route.exchanger, &envelope, deadline, cancel)?;
            if known.discovered.is_none() {
                self.log_incompatible(verdict);
                return Ok(false);
            }
            self.facts.update(|known| known.legacy = Speaks::No);
            return Ok(self.facts.known().needs_translation(Era::Legacy));
        }
        if self.facts.known().client_is_legacy {
            return Ok(false);
        }
        let envelope = Envelope::of_modern(message);
        let known = self.detection.discover(route.exchanger, &envelope, deadline, cancel)?;
        if known.modern != Speaks::No {
            return Ok(false);
        }
        if asked == Asked::Discover && !self.settings.answers_discover {
            self.log.info(
                "the server refused server/discover: clients that support only MCP 2026-07-28 and later need --bridge always",
            );
            return Ok(false);
        }
        if known.legacy != Speaks::Yes {
            if let Err(error) = self.upward.begin(outgoing) {
                self.log.debug(format_args!("no legacy session: {error}"));
                return Ok(false);
            }
            self.facts.update(|known| known.legacy = Speaks::Yes);
        }
        Ok(asked == Asked::Discover || verdict.was_not_run)
    }

    /// Logs that client and server have no revision in common, if the server named its own.
    fn log_incompatible(&self, verdict: &Verdict) {
        if !verdict.versions.is_empty() {
            self.log.warn(format_args!(
                "the server supports only {}; sigv4-proxy translates between {MODERN_VERSION} and earlier revisions",
                verdict.versions.join(", ")
            ));
        }
    }
}

/// Notifies the client that every list may have changed.
fn announce_changed_lists(exchanger: &Exchanger) {
    for list in ["tools", "prompts", "resources"] {
        let line = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
        // An error means that the client has exited.
        let _ = exchanger.relay_for_session(Relayed::Line(Line::notification(line.into_bytes())));
    }
}
