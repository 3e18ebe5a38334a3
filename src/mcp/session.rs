//! `Session`: what a server before 2026-07-28 sends with the response to `initialize`, and every later request repeats.

/// Session ids are kept up to this size.
const MAX_ID_BYTES: usize = 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    id: Option<String>,
    version: Option<String>,
    /// Counts the sessions of this process, so that a server may give the same id again.
    number: u64,
    /// The AWS account that began it, if that is known.
    account: Option<String>,
}

impl Session {
    /// The value of `Mcp-Session-Id`.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The value of `MCP-Protocol-Version`: what was negotiated, not what was asked for.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether somebody else began it, as far as that can be told. AWS binds a session to its caller.
    pub(crate) fn is_of_another(&self, account: Option<&str>) -> bool {
        matches!((&self.account, account), (Some(began), Some(now)) if began != now)
    }

    /// The session that the head of an answer to `initialize` offers. It begins with the result.
    pub(crate) fn offered(id: Option<&str>, account: Option<&str>) -> Session {
        Session {
            id: id.filter(|id| is_safe(id, MAX_ID_BYTES)).map(str::to_owned),
            account: account.map(str::to_owned),
            ..Session::default()
        }
    }

    /// Puts an offered session in the place of this one. `version` is that of its initialize result.
    pub(crate) fn begin(&mut self, offered: &Session, version: Option<String>) {
        *self = Session {
            version: version.filter(|version| is_safe(version, 64)),
            number: self.number + 1,
            ..offered.clone()
        };
    }

    /// Takes the id from a later answer, if there is none yet.
    pub(crate) fn learn_id(&mut self, id: Option<&str>) {
        if self.id.is_none() {
            self.id = id.filter(|id| is_safe(id, MAX_ID_BYTES)).map(str::to_owned);
        }
    }
}

/// What comes from the server goes into headers again, so only visible ASCII is kept.
fn is_safe(text: &str, max_bytes: usize) -> bool {
    !text.is_empty() && text.len() <= max_bytes && text.bytes().all(|b| matches!(b, 0x21..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_until_the_next_initialize() {
        let mut session = Session::default();
        session.begin(&Session::offered(Some("a"), None), Some("2025-06-18".into()));
        session.learn_id(None);
        session.learn_id(Some("b"));
        assert_eq!((session.id(), session.version()), (Some("a"), Some("2025-06-18")));
        session.begin(&Session::default(), None);
        assert_eq!((session.id(), session.version(), session.number()), (None, None, 2));
        session.learn_id(Some("b"));
        assert_eq!(session.id(), Some("b"));
    }

    #[test]
    fn hostile_ids_are_not_kept() {
        for id in ["", "a b", "a\r\nb", "é", &"x".repeat(1025)] {
            let mut session = Session::default();
            session.begin(&Session::offered(Some(id), None), Some(id.to_owned()));
            session.learn_id(Some(id));
            assert_eq!((session.id(), session.version()), (None, None), "{id:?}");
        }
    }

    #[test]
    fn a_session_belongs_to_the_account_that_began_it() {
        let mut session = Session::default();
        session.begin(&Session::offered(Some("a"), Some("111122223333")), None);
        assert!(session.is_of_another(Some("444455556666")));
        assert!(!session.is_of_another(Some("111122223333")) && !session.is_of_another(None));
    }
}
