//! `Session`: what a server before 2026-07-28 sends with its response to `initialize`, and every later request repeats.

use crate::error::{Error, Kind};

/// Maximum size of a session id; larger ones make heads of requests that many servers refuse.
const MAX_ID_BYTES: usize = 8 * 1024;

const MAX_VERSION_BYTES: usize = 64;

/// The newest revision before 2026-07-28.
const LEGACY_VERSION: &str = "2025-11-25";

/// All of them.
const LEGACY_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", LEGACY_VERSION];

/// The revision to name to a client whose `initialize` requests this one.
pub(crate) fn negotiated(requested: Option<&str>) -> &'static str {
    let known = LEGACY_VERSIONS.into_iter().find(|version| Some(*version) == requested);
    known.unwrap_or(LEGACY_VERSION)
}

/// Checks the value of an `MCP-Protocol-Version` header in a session of this program.
///
/// # Errors
/// `InvalidRequest`: no session has this version.
pub(crate) fn check_version(version: &str) -> Result<(), Error> {
    if LEGACY_VERSIONS.contains(&version) {
        return Ok(());
    }
    let what = "the MCP-Protocol-Version is not supported in a session";
    let hint = format!("send the version that initialize returned, such as {LEGACY_VERSION}");
    Err(Error::new(Kind::InvalidRequest, what).hint(hint))
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// Distinguishes the sessions of this process: a server may give the same id again. Zero: none was initialized.
    number: u64,
    id: Option<String>,
    version: Option<String>,
    /// The AWS account that initialized it, if it is known.
    account: Option<String>,
}

impl Session {
    /// A session that `initialize` has no result for yet.
    pub(crate) fn new(number: u64, id: Option<&str>, account: Option<&str>) -> Session {
        let (id, account) = (id.map(str::to_owned), account.map(str::to_owned));
        Session { number, id, account, version: None }
    }

    /// The session with the protocol version of the `initialize` result.
    #[must_use]
    pub(crate) fn with_version(self, version: Option<String>) -> Session {
        let is_usable =
            |version: &String| version.len() <= MAX_VERSION_BYTES && is_visible(version);
        Session { version: version.filter(is_usable), ..self }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The value of `Mcp-Session-Id`.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The value of `MCP-Protocol-Version`: the negotiated version, not the requested one.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Whether another AWS account initialized it, as far as that is known. AWS binds a session to its caller.
    pub(crate) fn is_of_another(&self, account: Option<&str>) -> bool {
        matches!((&self.account, account), (Some(known), Some(now)) if known != now)
    }

    /// Whether this is the same session under the same id.
    pub(crate) fn is(&self, other: &Session) -> bool {
        self.number == other.number && self.id == other.id
    }

    /// Continues the session under the id that a later response has.
    pub(crate) fn set_id(&mut self, id: &str) {
        self.id = Some(id.to_owned());
    }
}

/// Checks the value of an `Mcp-Session-Id` header; an empty one is none.
///
/// # Errors
/// `InvalidResponse`: it cannot be repeated in a request.
pub(crate) fn check_session_id(id: &str) -> Result<Option<&str>, Error> {
    let invalid = |what| Err(Error::new(Kind::InvalidResponse, what));
    if id.len() > MAX_ID_BYTES {
        let length = id.len();
        return invalid(format!(
            "the server's session id has {length} bytes; the maximum is {MAX_ID_BYTES}"
        ));
    }
    if !id.is_empty() && !is_visible(id) {
        let what = "the server's session id has characters outside visible ASCII";
        return invalid(what.to_owned());
    }
    Ok(Some(id).filter(|id| !id.is_empty()))
}

/// Whether text of the server may be sent in a header: visible ASCII only.
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_keeps_its_number_under_another_id() {
        let first = Session::new(1, Some("a"), None).with_version(Some("2025-06-18".into()));
        let mut renamed = first.clone();
        renamed.set_id("b");
        assert_eq!((renamed.id(), renamed.version()), (Some("b"), Some("2025-06-18")));
        assert_eq!(renamed.number(), first.number());
        assert!(!renamed.is(&first) && first.is(&first.clone()));
        assert!(!Session::new(2, Some("a"), None).is(&first), "the server gave the id again");
    }

    #[test]
    fn ids_and_versions_are_visible_ascii_and_bounded() {
        assert_eq!(check_session_id("a~!").ok(), Some(Some("a~!")));
        assert_eq!(check_session_id("").ok(), Some(None));
        assert!(check_session_id(&"x".repeat(MAX_ID_BYTES)).is_ok());
        for id in ["a b", "a\r\nb", "é", "\u{7f}", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert!(check_session_id(id).is_err(), "{id:?}");
            let session = Session::default().with_version(Some(id.to_owned()));
            assert_eq!(session.version(), None, "{id:?}");
        }
    }

    #[test]
    fn versions_of_the_modern_era_are_never_named() {
        for (requested, expected) in [
            (Some("2024-11-05"), "2024-11-05"),
            (Some("2025-03-26"), "2025-03-26"),
            (Some("2025-06-18"), "2025-06-18"),
            (Some("2025-11-25"), "2025-11-25"),
            (Some("2026-07-28"), "2025-11-25"),
            (Some("1999-01-01"), "2025-11-25"),
            (None, "2025-11-25"),
        ] {
            assert_eq!(negotiated(requested), expected);
        }
    }

    #[test]
    fn a_session_belongs_to_the_account_that_initialized_it() {
        let session = Session::new(1, Some("a"), Some("111122223333"));
        assert!(session.is_of_another(Some("444455556666")));
        assert!(!session.is_of_another(Some("111122223333")) && !session.is_of_another(None));
    }
}
