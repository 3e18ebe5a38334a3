//! `Bridge`: takes every message of the client, and passes it on as it is or has it translated.

use crate::bridge::detection::Detection;
use crate::bridge::downward::Downward;
use crate::bridge::early_discover;
use crate::bridge::envelope::Envelope;
use crate::bridge::evidence::{Asked, Verdict};
use crate::bridge::facts::{Era, Facts, Known, MODERN_VERSION, Speaks};
use crate::bridge::settings::Settings;
use crate::bridge::upward::Upward;
use crate::bridge::watch::{Watched, watch};
use crate::client::ClientRequests;
use crate::error::Error;
use crate::log::Log;
use crate::mcp::message::Message;
use crate::streamable_http::profile_router::Route;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::cancel::Cancel;
use std::sync::Arc;
use std::time::Instant;

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

    /// Sends the message, translated if the server does not speak its era, and relays what comes back, translated as well.
    /// Otherwise as `Exchanger::exchange`.
    pub(crate) fn exchange(
        &self,
        route: &Route<'_>,
        message: &Message,
        deadline: Option<Instant>,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if self.settings.is_lazy && message.is_discover() && self.responds_early() {
            return early_discover::respond(message, self.settings.answers_discover, sink);
        }
        // The early response to `initialize` says nothing of the server.
        let is_early = self.settings.is_lazy && message.is_initialize() && !self.is_downward();
        if is_early || self.facts.pass(message) {
            return route.exchanger.exchange(message, deadline, cancel, sink);
        }
        self.exchange_carefully(route, message, deadline, cancel, sink)
    }

    /// Whether `server/discover` has its response before the server is asked. One that is known to be modern responds itself.
    fn responds_early(&self) -> bool {
        let is_modern = || self.facts.known().modern == Speaks::Yes;
        self.settings.is_on && !is_modern() && !self.upward.has_session()
    }

    /// Notes that the client speaks the legacy era, whatever becomes of its `initialize`.
    pub(crate) fn note_legacy_client(&self) {
        if self.settings.is_on {
            self.facts.update(|known| known.client_is_legacy = true);
        }
    }

    /// Takes what this profile's server sends while no call waits for it. Returns what is for the client as it is.
    pub(crate) fn take(&self, profile: usize, relayed: Relayed) -> Option<Relayed> {
        self.upward.take(profile, relayed)
    }

    /// The response to a request that is never sent to a server, if it is one. Never waits.
    pub(crate) fn respond_at_once(&self, message: &Message) -> Option<String> {
        if !self.facts.may_translate() || message.request_meta().is_some() {
            return None;
        }
        let is_downward = self.facts.known().needs_translation(Era::Legacy);
        is_downward.then(|| self.downward.respond_at_once(message)).flatten()
    }

    /// Whether a legacy client is before a modern server, so that there are no sessions.
    pub(crate) fn is_downward(&self) -> bool {
        self.facts.may_translate() && self.facts.known().needs_translation(Era::Legacy)
    }

    /// What is known of the server.
    pub(crate) fn known(&self) -> Known {
        self.facts.known()
    }

    /// Ends what belongs to no call, before the process ends.
    pub(crate) fn close(&self) {
        self.detection.close();
        self.downward.close();
        self.upward.close();
    }

    fn exchange_carefully(
        &self,
        route: &Route<'_>,
        message: &Message,
        deadline: Option<Instant>,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let is_modern = message.request_meta().is_some();
        let asked = match message.method() {
            _ if message.is_initialize() => Asked::Initialize,
            Some("server/discover") => Asked::Discover,
            _ => Asked::Modern,
        };
        let known = self.facts.known();
        if !is_modern && known.needs_translation(Era::Legacy) {
            if asked != Asked::Initialize {
                return self.downward.exchange(route, message, deadline, cancel, sink);
            }
            let envelope = Envelope::of_initialize(message);
            let known = self.detection.discover(route.exchanger, &envelope, deadline, cancel)?;
            if let Some(discovered) = known.discovered {
                let response = self.downward.begin(route.exchanger, message, &discovered);
                return sink(Relayed::Line(Line::response(response.into_bytes(), 0, true)));
            }
        }
        if self.is_for_upward(asked, message) {
            return self.upward.exchange(route, message, deadline, cancel, sink);
        }
        if !is_modern && asked != Asked::Initialize {
            return route.exchanger.exchange(message, deadline, cancel, sink);
        }
        if asked == Asked::Initialize {
            self.upward.end(route);
        }
        let (watched, verdict) = watch(route.exchanger, (asked, message), deadline, cancel, sink);
        self.learn(asked, &verdict);
        let refusal = match watched {
            Watched::Over(result) => return result,
            Watched::Refused(refusal) => refusal,
        };
        if self.begin_translating(route, (asked, message), &verdict, deadline, cancel)? {
            return self.exchange_carefully(route, message, deadline, cancel, sink);
        }
        refusal.pass(sink)
    }

    fn is_for_upward(&self, asked: Asked, message: &Message) -> bool {
        let can_be = match asked {
            Asked::Initialize => false,
            Asked::Discover => self.settings.answers_discover || self.upward.has_session(),
            // A request that does not say its era is legacy.
            Asked::Modern => message.request_meta().is_some() || message.ids().is_empty(),
        };
        can_be && self.facts.known().needs_translation(Era::Modern)
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
        route: &Route<'_>,
        (asked, message): (Asked, &Message),
        verdict: &Verdict,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        if asked == Asked::Initialize {
            let envelope = Envelope::of_initialize(message);
            let known = self.detection.discover(route.exchanger, &envelope, deadline, cancel)?;
            if known.discovered.is_none() {
                self.log_incompatible(verdict);
                return Ok(false);
            }
            self.facts.update(|known| known.legacy = Speaks::No);
            self.log.info(format_args!(
                "the server speaks MCP {MODERN_VERSION} and later, the client speaks earlier revisions: messages are translated (--bridge)"
            ));
            return Ok(true);
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
                "the server refused server/discover: a client that speaks only MCP 2026-07-28 and later needs --bridge always",
            );
            return Ok(false);
        }
        if known.legacy != Speaks::Yes {
            if let Err(error) = self.upward.begin(route, message, deadline, cancel) {
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
                "the server speaks {} alone; sigv4-proxy translates for {MODERN_VERSION} and the revisions before it",
                verdict.versions.join(", ")
            ));
        }
    }
}
