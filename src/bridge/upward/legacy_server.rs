//! `LegacyServer`: an older server's data from `initialize`, as a `DiscoverResult` for clients of 2026-07-28.

use crate::bridge::envelope::{SERVER_INFO, TASKS};
use crate::bridge::facts::MODERN_VERSION;
use crate::bridge::upward::request::without_inner;
use crate::json::edit::without_member;
use crate::json::members::Members;
use crate::json::object::Object;
use serde_json::Value;
use serde_json::value::RawValue;

/// The lists whose changes a server can announce.
pub(crate) const LISTS: [&str; 3] = ["tools", "prompts", "resources"];

/// Parts of the result of `initialize`, as written.
#[derive(Debug, Default)]
pub(crate) struct LegacyServer {
    /// `serverInfo`.
    pub(crate) info: Option<String>,
    version: Option<String>,
    capabilities: Option<String>,
    instructions: Option<String>,
}

impl LegacyServer {
    /// Reads the response to `initialize`.
    pub(crate) fn read(response: &[u8]) -> LegacyServer {
        let result = Members::parse(response).ok().and_then(|members| members.result);
        let result = result.and_then(|result| str::from_utf8(result).ok()).and_then(Object::parse);
        let member = |name: &str, first: char| {
            let value = result.as_ref()?.get_non_null(name)?.get();
            value.starts_with(first).then(|| value.to_owned())
        };
        LegacyServer {
            info: member("serverInfo", '{'),
            version: member("protocolVersion", '"'),
            capabilities: member("capabilities", '{'),
            instructions: member("instructions", '"'),
        }
    }

    /// The revision that it speaks.
    pub(crate) fn version(&self) -> String {
        let version =
            self.version.as_deref().and_then(|version| serde_json::from_str(version).ok());
        version.unwrap_or_else(|| "before 2026-07-28".to_owned())
    }

    fn capability(&self, name: &str) -> Option<&RawValue> {
        Object::parse(self.capabilities.as_deref()?)?.get_non_null(name)
    }

    pub(crate) fn takes_level(&self) -> bool {
        self.capability("logging").is_some()
    }

    /// Whether it announces changes of this one of `LISTS`.
    pub(crate) fn announces_changes_of(&self, list: &str) -> bool {
        self.has_flag(list, "listChanged")
    }

    /// Whether it announces changes of resources.
    pub(crate) fn takes_subscriptions(&self) -> bool {
        self.has_flag("resources", "subscribe")
    }

    fn has_flag(&self, capability: &str, flag: &str) -> bool {
        let capability = self.capability(capability).and_then(|value| Object::parse(value.get()));
        capability.and_then(|members| members.get(flag)).is_some_and(|value| value.get() == "true")
    }

    /// The result of `server/discover`.
    pub(crate) fn discover_result(&self) -> String {
        let capabilities = self.capabilities.as_deref().unwrap_or("{}");
        let capabilities = without_member(capabilities, "tasks");
        let bare = without_inner(&capabilities, "extensions", TASKS);
        let capabilities = bare.unwrap_or(capabilities);
        let instructions = self.instructions.as_deref();
        let instructions =
            instructions.map_or_else(String::new, |text| format!(r#","instructions":{text}"#));
        let meta = self.meta().map_or_else(String::new, |meta| format!(r#","_meta":{meta}"#));
        format!(
            r#"{{"resultType":"complete","supportedVersions":["{MODERN_VERSION}"],"capabilities":{capabilities}{instructions},"ttlMs":0,"cacheScope":"private"{meta}}}"#
        )
    }

    /// The `_meta` of a result that has none.
    pub(crate) fn meta(&self) -> Option<String> {
        let info = self.info.as_deref()?;
        Some(format!("{{{}:{info}}}", Value::from(SERVER_INFO)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_said_at_the_handshake_is_what_it_is_discovered_as() {
        let response = br#"{"id":1,"result":{"protocolVersion":"2025-06-18","instructions":"h\u0065","serverInfo":{"name":"s","version":"1","title":"T"},"capabilities":{"tools":{"listChanged":true},"tasks":{"list":{}},"experimental":{"n":1e400},"extensions":{"io.modelcontextprotocol/tasks":{},"a":{}},"resources":{"subscribe":true}}}}"#;
        let server = LegacyServer::read(response);
        assert_eq!(
            server.discover_result(),
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"experimental":{"n":1e400},"extensions":{"a":{}},"resources":{"subscribe":true}},"instructions":"h\u0065","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1","title":"T"}}}"#
        );
        let announced = LISTS.map(|list| server.announces_changes_of(list));
        assert_eq!((announced, server.takes_subscriptions()), ([true, false, false], true));
        assert!(!server.takes_level());
        assert!(LegacyServer::read(br#"{"result":{"capabilities":{"logging":{}}}}"#).takes_level());
    }

    #[test]
    fn a_server_that_says_nothing_of_itself_is_discovered_all_the_same() {
        for response in [&b"{}"[..], b"[]", br#"{"result":{"serverInfo":7,"instructions":{}}}"#] {
            assert_eq!(
                LegacyServer::read(response).discover_result(),
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":0,"cacheScope":"private"}"#
            );
        }
    }
}
