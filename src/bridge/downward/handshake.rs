//! The response to `initialize`, from the server's `DiscoverResult`. Pure.

use crate::bridge::envelope::{SERVER_INFO, TASKS};
use crate::json::edit::{Edits, without_member, without_members};
use crate::json::object::Object;
use serde_json::Value;
use serde_json::value::RawValue;

/// Capabilities of a server that both eras have.
const CAPABILITIES: [&str; 7] =
    ["tools", "prompts", "resources", "completions", "logging", "experimental", "extensions"];

/// The capabilities of a server that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub(crate) struct Offers {
    pub(crate) logging: bool,
    pub(crate) subscribe: bool,
    pub(crate) tools_list_changed: bool,
    pub(crate) prompts_list_changed: bool,
    pub(crate) resources_list_changed: bool,
}

impl Offers {
    /// Reads a `DiscoverResult`. `streams`: whether a stream of notifications may be held open.
    pub(crate) fn of(discovered: &str, streams: bool) -> Offers {
        let result = serde_json::from_str::<Value>(discovered).unwrap_or_default();
        let all = &result["capabilities"];
        let has = |name: &str, member: &str| streams && all[name][member] == true;
        Offers {
            logging: all["logging"].is_object(),
            subscribe: has("resources", "subscribe"),
            tools_list_changed: has("tools", "listChanged"),
            prompts_list_changed: has("prompts", "listChanged"),
            resources_list_changed: has("resources", "listChanged"),
        }
    }
}

/// The `InitializeResult`. `host` names a server that does not name itself.
pub(crate) fn initialize_result(
    version: &str,
    discovered: &str,
    host: &str,
    streams: bool,
) -> String {
    let result = Object::parse(discovered);
    let member = |name| result.as_ref()?.get_non_null(name).map(RawValue::get);
    let instructions = member("instructions").filter(|text| text.starts_with('"'));
    let instructions = instructions.map(|text| format!(r#","instructions":{text}"#));
    format!(
        r#"{{"protocolVersion":"{version}","capabilities":{},"serverInfo":{}{}}}"#,
        member("capabilities").map_or_else(|| "{}".into(), |all| capabilities(all, streams)),
        server_info(member("_meta"), host),
        instructions.unwrap_or_default()
    )
}

/// The server's capabilities that can be kept.
fn capabilities(all: &str, streams: bool) -> String {
    let Some(members) = Object::parse(all) else { return "{}".into() };
    let members = members.members().filter_map(|(name, value)| {
        let name = CAPABILITIES.iter().find(|known| **known == name)?;
        Object::parse(value.get())?;
        let value = match *name {
            "extensions" => without_member(value.get(), TASKS),
            _ if streams => value.get().to_owned(),
            _ => without_members(value.get(), |name| matches!(name, "listChanged" | "subscribe"))
                .unwrap_or_else(|| value.get().to_owned()),
        };
        Some(format!("\"{name}\":{value}"))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Clients refuse a server without a name or a version.
fn server_info(meta: Option<&str>, host: &str) -> String {
    let meta = meta.and_then(Object::parse);
    let info = meta.and_then(|meta| meta.get(SERVER_INFO)).map_or("{}", RawValue::get);
    let Some(members) = Object::parse(info) else { return server_info(None, host) };
    let is_text = |name| members.get(name).is_some_and(|value| value.get().starts_with('"'));
    let missing = [("name", host), ("version", "unknown")];
    let missing: Vec<_> = missing.into_iter().filter(|(name, _)| !is_text(name)).collect();
    if missing.is_empty() {
        return info.to_owned();
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let added: Vec<String> =
        missing.iter().map(|(name, value)| format!("\"{name}\":{}", Value::from(*value))).collect();
    let mut edits = Edits::new(info);
    edits.change_members(info, |name| names.contains(&name), &added.join(","));
    edits.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_without_name_or_version_get_one() {
        for (meta, expected) in [
            ("", r#"{"name":"h.example","version":"unknown"}"#),
            (
                r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n", "version":"1.0","x":1e2}},"#,
                r#"{"name":"n", "version":"1.0","x":1e2}"#,
            ),
            (
                r#""_meta":{"io.modelcontextprotocol/serverInfo":{"version":"1"}},"#,
                r#"{"name":"h.example","version":"1"}"#,
            ),
            (
                r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n","version":7}},"#,
                r#"{"version":"unknown","name":"n"}"#,
            ),
            (
                r#""_meta":{"io.modelcontextprotocol/serverInfo":null},"#,
                r#"{"name":"h.example","version":"unknown"}"#,
            ),
        ] {
            let discovered = format!(r#"{{{meta}"capabilities":{{}}}}"#);
            let expected = format!(
                r#"{{"protocolVersion":"2025-06-18","capabilities":{{}},"serverInfo":{expected}}}"#
            );
            let result = initialize_result("2025-06-18", &discovered, "h.example", true);
            assert_eq!(result, expected, "{meta}");
        }
    }

    #[test]
    fn only_capabilities_that_can_be_kept_are_announced() {
        let discovered = r#"{"instructions":"a\u0062","capabilities":{"tools":{"listChanged":true},"tasks":{},"resources":{"subscribe":true,"x":1.0},
            "logging":{},"extensions":{"io.modelcontextprotocol/tasks":{},"a/b":{}},"experimental":{"e":{}},"unknown":{},"completions":{}}}"#;
        let all = r#""capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"x":1.0},"logging":{},"extensions":{"a/b":{}},"experimental":{"e":{}},"completions":{}}"#;
        let initialized = initialize_result("2025-11-25", discovered, "h", true);
        assert!(initialized.contains(all), "{initialized}");
        assert!(initialized.ends_with(r#""instructions":"a\u0062"}"#), "{initialized}");
        let without = initialize_result("2025-11-25", discovered, "h", false);
        let expected = r#""tools":{},"resources":{"x":1.0},"logging":{}"#;
        assert!(without.contains(expected), "{without}");
        let offers = Offers::of(discovered, true);
        let tools_list_changed = true;
        let expected =
            Offers { logging: true, subscribe: true, tools_list_changed, ..Offers::default() };
        assert_eq!(offers, expected);
        assert_eq!(Offers::of(discovered, false), Offers { logging: true, ..Offers::default() });
    }
}
