//! `Envelope`: the data about the client in `params._meta` of a modern request.

use crate::bridge::facts::MODERN_VERSION;
use crate::json::edit::without_member;
use crate::json::object::Object;
use crate::mcp::message::Message;

/// The reserved names in `_meta`.
pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
pub(crate) const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A client and its capabilities. All values are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) client_info: String,
    pub(crate) capabilities: String,
}

impl Envelope {
    /// Of the client that sent this `initialize`.
    pub(crate) fn of_initialize(message: &Message) -> Envelope {
        let text = str::from_utf8(message.body()).unwrap_or_default();
        let params = Object::parse(text).and_then(|message| message.get_non_null("params"));
        let params = params.and_then(|params| Object::parse(params.get()));
        let object = |name| {
            let value = params.as_ref()?.get(name)?.get();
            Object::parse(value).map(|_| value)
        };
        Envelope {
            client_info: object("clientInfo").map_or_else(own_info, str::to_owned),
            capabilities: object("capabilities").map_or_else(|| "{}".into(), for_modern),
        }
    }

    /// Of the client that sent this modern request.
    pub(crate) fn of_modern(message: &Message) -> Envelope {
        let text = str::from_utf8(message.body()).unwrap_or_default();
        let meta = || {
            let params = Object::parse(text)?.get_non_null("params")?;
            Object::parse(Object::parse(params.get())?.get_non_null("_meta")?.get())
        };
        let meta = meta();
        let object = |name| {
            let value = meta.as_ref()?.get(name)?.get();
            Object::parse(value).map(|_| value.to_owned())
        };
        Envelope {
            client_info: object(CLIENT_INFO).unwrap_or_else(own_info),
            capabilities: object(CLIENT_CAPABILITIES).unwrap_or_else(|| "{}".into()),
        }
    }

    /// The members of `_meta` without the braces.
    pub(crate) fn members(&self) -> String {
        let Envelope { client_info, capabilities } = self;
        format!(
            r#""{PROTOCOL_VERSION}":"{MODERN_VERSION}","{CLIENT_INFO}":{client_info},"{CLIENT_CAPABILITIES}":{capabilities}"#
        )
    }
}

/// The info for a client that does not name itself.
fn own_info() -> String {
    concat!(r#"{"name":"sigv4-proxy","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#).to_owned()
}

/// Capabilities of a legacy client as a modern server reads them. Nothing is added.
fn for_modern(capabilities: &str) -> String {
    let Some(members) = Object::parse(capabilities) else { return "{}".into() };
    let members = members.members().filter_map(|(name, value)| {
        let value = match name {
            "tasks" => return None,
            "roots" => "{}".to_owned(),
            "extensions" => match Object::parse(value.get()) {
                Some(_) => without_member(value.get(), TASKS),
                None => return None,
            },
            _ => value.get().to_owned(),
        };
        Some(format!("{}:{value}", serde_json::Value::from(name)))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(params: &str) -> Message {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
        Message::parse(text.into_bytes()).expect("a message")
    }

    #[test]
    fn clients_declare_what_they_did_and_nothing_else() {
        for (capabilities, expected) in [
            ("{}", "{}"),
            (r#"{"roots":{"listChanged":true}}"#, r#"{"roots":{}}"#),
            (
                r#"{"sampling":{"tools":{}},"elicitation":{"url":{}},"tasks":{"list":{}}}"#,
                r#"{"sampling":{"tools":{}},"elicitation":{"url":{}}}"#,
            ),
            (
                r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"a/b":{"n":1.0}}}"#,
                r#"{"extensions":{"a/b":{"n":1.0}}}"#,
            ),
            (r#"{"experimental":{"x":{ }}}"#, r#"{"experimental":{"x":{ }}}"#),
            ("7", "{}"),
        ] {
            let envelope = Envelope::of_initialize(&message(&format!(
                r#"{{"clientInfo":{{"name":"a", "version":"1"}},"capabilities":{capabilities}}}"#
            )));
            assert_eq!(envelope.capabilities, expected, "{capabilities}");
            assert_eq!(envelope.client_info, r#"{"name":"a", "version":"1"}"#);
        }
        assert!(Envelope::of_initialize(&message("{}")).client_info.contains("sigv4-proxy"));
    }

    #[test]
    fn modern_clients_stay_who_they_are() {
        let envelope =
            Envelope { client_info: "{\"name\":\"a\"}".into(), capabilities: "{}".into() };
        let again = message(&format!(r#"{{"_meta":{{{}}}}}"#, envelope.members()));
        assert_eq!(Envelope::of_modern(&again), envelope);
    }
}
