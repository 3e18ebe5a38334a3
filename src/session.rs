//! `Session`: what a server before 2026-07-28 told us at `initialize`, and every later request must repeat.

/// Session ids are kept up to this size.
const MAX_ID_BYTES: usize = 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    id: Option<String>,
    version: Option<String>,
}

impl Session {
    /// The value of `Mcp-Session-Id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The value of `MCP-Protocol-Version`: what was negotiated, not what was asked for.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Takes the id of an answer's head. `initialize` begins a new session; later answers can only add an id.
    pub fn learn_id(&mut self, id: Option<&str>, at_initialize: bool) {
        let id = id.filter(|id| is_safe(id, MAX_ID_BYTES)).map(str::to_owned);
        if at_initialize {
            *self = Session { id, version: None };
        } else if self.id.is_none() {
            self.id = id;
        }
    }

    /// Takes the version of an initialize result.
    pub fn learn_version(&mut self, version: String) {
        self.version = Some(version).filter(|version| is_safe(version, 64));
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
        session.learn_id(Some("a"), true);
        session.learn_version("2025-06-18".into());
        session.learn_id(None, false);
        session.learn_id(Some("b"), false);
        assert_eq!((session.id(), session.version()), (Some("a"), Some("2025-06-18")));
        session.learn_id(None, true);
        assert_eq!(session, Session::default());
    }

    #[test]
    fn hostile_ids_are_not_kept() {
        for id in ["", "a b", "a\r\nb", "é", &"x".repeat(1025)] {
            let mut session = Session::default();
            session.learn_id(Some(id), true);
            session.learn_version(id.to_owned());
            assert_eq!(session, Session::default(), "{id:?}");
        }
    }
}
