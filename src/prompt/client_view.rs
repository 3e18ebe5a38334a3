//! `ClientView`: the client's declarations that decide how to show a link.

use crate::json::object::Object;
use crate::mcp::message::Message;
use crate::sync::lock;
use std::sync::Mutex;

/// The revision in which servers may require URL elicitation by an error.
const REQUIRES_BY_ERROR: &str = "2025-11-25";

#[derive(Default)]
pub(crate) struct ClientView {
    session: Mutex<Session>,
}

/// The client's session, up to 2025-11-25.
#[derive(Default)]
struct Session {
    takes_urls: bool,
    is_initialized: bool,
    version: Option<String>,
}

impl ClientView {
    /// Takes the client's `initialize`.
    pub(crate) fn begin(&self, initialize: &Message) {
        let takes_urls = capabilities(initialize, &["capabilities"]);
        *lock(&self.session) = Session { takes_urls, ..Session::default() };
    }

    /// The response to `initialize` names this version.
    pub(crate) fn negotiated(&self, version: Option<String>) {
        lock(&self.session).version = version;
    }

    /// `notifications/initialized` has come.
    pub(crate) fn initialized(&self) {
        lock(&self.session).is_initialized = true;
    }

    /// Whether a request may be sent to the client that asks the user to open a link.
    pub(crate) fn takes_elicitations(&self) -> bool {
        let session = lock(&self.session);
        session.takes_urls && session.is_initialized
    }

    /// Whether the client understands an error that requires URL elicitation.
    pub(crate) fn takes_required_error(&self) -> bool {
        self.takes_elicitations()
            && lock(&self.session).version.as_deref() == Some(REQUIRES_BY_ERROR)
    }

    /// Whether there is a session, whose lists may be reported as changed.
    pub(crate) fn has_session(&self) -> bool {
        lock(&self.session).is_initialized
    }
}

/// Whether a request of 2026-07-28 declares that its client takes URLs.
pub(crate) fn takes_urls(request: &Message) -> bool {
    request.request_meta().is_some()
        && capabilities(request, &["_meta", "io.modelcontextprotocol/clientCapabilities"])
}

/// Whether the capabilities at this path in the parameters have an object `elicitation.url`.
fn capabilities(request: &Message, path: &[&str]) -> bool {
    let find = || {
        let mut json = str::from_utf8(request.body()).ok()?;
        for name in ["params"].iter().chain(path).chain(&["elicitation", "url"]) {
            json = Object::parse(json)?.get(name)?.get();
        }
        Object::parse(json)
    };
    find().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_declares_urls() {
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        for (elicitation, expected) in [
            (r#"{"url":{}}"#, true),
            (r#"{"form":{},"url":{"x":1}}"#, true),
            ("{}", false),
            (r#"{"form":{}}"#, false),
            (r#"{"url":true}"#, false),
            (r#"{"url":null}"#, false),
            ("null", false),
        ] {
            let old = format!(
                r#"{{"id":1,"method":"initialize","params":{{"capabilities":{{"elicitation":{elicitation}}}}}}}"#
            );
            let view = ClientView::default();
            view.begin(&Message::parse(old.into_bytes()).expect("a request"));
            assert!(!view.takes_elicitations(), "not before it is initialized");
            view.initialized();
            assert_eq!(view.takes_elicitations(), expected, "{elicitation}");
            let new = format!(
                r#"{{"id":1,"method":"m","params":{{"_meta":{{{version},"io.modelcontextprotocol/clientCapabilities":{{"elicitation":{elicitation}}}}}}}}}"#
            );
            let new = Message::parse(new.into_bytes()).expect("a request");
            assert_eq!(takes_urls(&new), expected, "{elicitation}");
        }
    }
}
