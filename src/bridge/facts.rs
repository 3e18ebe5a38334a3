//! `Facts`: what is known of the eras that a server speaks. One instance for an endpoint, shared by all profiles, in memory.

use crate::mcp::message::Message;
use crate::sync::lock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

/// The revision of the modern era that is translated.
pub(crate) const MODERN_VERSION: &str = "2026-07-28";

/// Whether a revision is one of the modern era. Revisions are dates, so they compare as text.
pub(crate) fn is_modern(version: &str) -> bool {
    version >= MODERN_VERSION
}

/// The two eras of MCP: with a handshake and sessions, and since 2026-07-28 without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// Whether the server speaks an era.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Speaks {
    #[default]
    Unknown,
    Yes,
    No,
}

/// What is known of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) legacy: Speaks,
    pub(crate) modern: Speaks,
    /// The server's `DiscoverResult`, as JSON.
    pub(crate) discovered: Option<Arc<str>>,
    /// The client has begun a legacy session itself, so it can speak that era, and nothing is translated upward for it.
    pub(crate) client_is_legacy: bool,
}

impl Known {
    /// Whether messages of `era` are translated: that era is known not to be spoken, and the other is known to be.
    pub(crate) fn needs_translation(&self, era: Era) -> bool {
        match era {
            Era::Legacy => self.legacy == Speaks::No && self.modern == Speaks::Yes,
            Era::Modern => {
                self.modern == Speaks::No && self.legacy == Speaks::Yes && !self.client_is_legacy
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Facts {
    known: Mutex<Known>,
    /// The kinds of messages that pass without a look at `known`, as bits.
    passing: AtomicU8,
}

/// The kinds of messages that facts decide about.
const INITIALIZE: u8 = 1;
const LEGACY: u8 = 2;
const MODERN: u8 = 4;

fn kind_of(message: &Message) -> u8 {
    // One that says who its client is, as requests of 2026-07-28 do, begins no session.
    if message.request_meta().is_some() {
        MODERN
    } else if message.is_initialize() {
        INITIALIZE
    } else {
        LEGACY
    }
}

impl Facts {
    /// Facts of a server of which nothing is known. `is_on`: as in `Settings`.
    pub(crate) fn new(is_on: bool) -> Facts {
        let passing = if is_on { LEGACY } else { INITIALIZE | LEGACY | MODERN };
        Facts { known: Mutex::default(), passing: AtomicU8::new(passing) }
    }

    /// Whether the message passes whatever comes back for it.
    pub(crate) fn pass(&self, message: &Message) -> bool {
        self.passing.load(Ordering::Acquire) & kind_of(message) != 0
    }

    /// Whether legacy messages may be translated.
    pub(crate) fn may_translate(&self) -> bool {
        self.passing.load(Ordering::Acquire) & LEGACY == 0
    }

    pub(crate) fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Known)) {
        let mut known = lock(&self.known);
        change(&mut known);
        // Notifications and responses of either direction count as legacy: their era is not written in them.
        let is_translating =
            known.needs_translation(Era::Legacy) || known.needs_translation(Era::Modern);
        let legacy = if is_translating { 0 } else { LEGACY };
        let passes = known.modern == Speaks::Yes || known.client_is_legacy;
        let modern = if passes { MODERN } else { 0 };
        self.passing.store(legacy | modern, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Speaks::{No, Unknown, Yes};

    fn message(text: &str) -> Message {
        Message::parse(text.as_bytes().to_vec()).expect("a message")
    }

    /// Whether `initialize`, a legacy request, a notification and a modern request pass.
    fn passing(facts: &Facts) -> [bool; 4] {
        let modern = r#"{"id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        [
            r#"{"id":1,"method":"initialize"}"#,
            r#"{"id":1,"method":"tools/list"}"#,
            r#"{"method":"notifications/initialized"}"#,
            modern,
        ]
        .map(|text| facts.pass(&message(text)))
    }

    #[test]
    fn messages_pass_unless_something_may_have_to_be_done_about_them() {
        assert_eq!(passing(&Facts::new(false)), [true; 4], "it is off");
        for (legacy, modern, client_is_legacy, expected) in [
            (Unknown, Unknown, false, [false, true, true, false]),
            (Yes, Unknown, false, [false, true, true, false]),
            (Yes, Unknown, true, [false, true, true, true]),
            (Unknown, Yes, false, [false, true, true, true]),
            (Yes, Yes, false, [false, true, true, true]),
            (No, Unknown, false, [false, true, true, false]),
            // A legacy client of a modern server, which may send modern requests.
            (No, Yes, true, [false, false, false, true]),
            // A modern client of a legacy server.
            (Yes, No, false, [false, false, false, false]),
            (Yes, No, true, [false, true, true, true]),
        ] {
            let facts = Facts::new(true);
            facts.update(|known| {
                (known.legacy, known.modern) = (legacy, modern);
                known.client_is_legacy = client_is_legacy;
            });
            assert_eq!(passing(&facts), expected, "{:?}", facts.known());
        }
    }
}
