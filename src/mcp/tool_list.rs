//! Responses to `tools/list`: the tools in them, their hints, and the notification that they have changed.

use crate::json::member_names::{self, unambiguous};
use crate::json::object::Object;
use crate::mcp::message;
use memchr::memchr;
use memchr::memmem::Finder;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::LazyLock;

/// The members that matter in a result, in a tool, and in its annotations.
const RESULT_MEMBERS: [&str; 3] = ["tools", "nextCursor", "_meta"];
const TOOL_MEMBERS: [&str; 5] = ["name", "description", "inputSchema", "annotations", "_meta"];
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// Made once: every message of the server is searched.
static LIST_CHANGED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("list_changed"));

/// A tool as the server lists it.
pub(crate) struct Tool<'a> {
    pub(crate) name: String,
    pub(crate) input_schema: Option<&'a RawValue>,
    /// `readOnlyHint`.
    pub(crate) only_reads: bool,
    /// `readOnlyHint` or `idempotentHint`, unambiguous for every parser.
    pub(crate) may_repeat: bool,
}

impl<'a> Tool<'a> {
    /// Reads a tool. `is_judged`: only one that every parser reads alike.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn read(text: &'a str, is_judged: bool) -> Result<Tool<'a>, String> {
        let members = object(text, &TOOL_MEMBERS, is_judged)?;
        let annotations = members.get_non_null("annotations");
        let hints = match annotations.map(|text| object(text.get(), &HINTS, is_judged)) {
            Some(Ok(hints)) => Some(hints),
            Some(Err(why)) if is_judged => return Err(format!("its annotations: {why}")),
            _ => None,
        };
        let has_hint = |hint: &str| {
            hints.as_ref().and_then(|h| h.get(hint)).is_some_and(|h| h.get() == "true")
        };
        let is_unambiguous = || {
            is_judged
                || unambiguous(text, &TOOL_MEMBERS).is_ok()
                    && annotations.is_some_and(|hints| unambiguous(hints.get(), &HINTS).is_ok())
        };
        let may_repeat =
            (has_hint("readOnlyHint") || has_hint("idempotentHint")) && is_unambiguous();
        Ok(Tool {
            name: members.text("name").ok_or("its name is not a string")?,
            input_schema: members.get("inputSchema"),
            only_reads: has_hint("readOnlyHint"),
            may_repeat,
        })
    }
}

/// The tools in a response. `is_judged`: only in one that every parser reads alike.
///
/// # Errors
/// Says why it is not such a response.
pub(crate) fn tools_of(response: &str, is_judged: bool) -> Result<Vec<&RawValue>, String> {
    let members = object(response, &message::MEMBERS, is_judged)?;
    let result = members.get("result").ok_or("it has no result")?;
    let result = object(result.get(), &RESULT_MEMBERS, is_judged)?;
    match result.get_non_null("tools") {
        Some(tools) => {
            serde_json::from_str(tools.get()).map_err(|_| "its tools are not a list".into())
        }
        None => Ok(Vec::new()),
    }
}

/// The cursor of the next page, as JSON.
pub(crate) fn next_cursor(response: &str) -> Option<String> {
    let result = Object::parse(response)?.get("result")?;
    Some(Object::parse(result.get())?.get_non_null("nextCursor")?.get().to_owned())
}

/// Everything that some parser may take for the name of this tool.
pub(crate) fn names_of(tool: &str) -> Vec<String> {
    let Some(tool) = Object::parse(tool) else { return Vec::new() };
    let names = tool.members().filter(|(name, _)| member_names::equals_folded(name, "name"));
    names.filter_map(|(_, value)| serde_json::from_str(value.get()).ok()).collect()
}

/// Whether some parser may read this message as `notifications/tools/list_changed`.
pub(crate) fn is_list_changed(message: &[u8]) -> bool {
    // Most messages cannot be one, and are not parsed. An escape could hide the name.
    if LIST_CHANGED.find(message).is_none() && memchr(b'\\', message).is_none() {
        return false;
    }
    let members = str::from_utf8(message).ok().and_then(Object::parse);
    members.is_some_and(|members| {
        members.members().any(|(name, value)| {
            member_names::equals_folded(name, "method")
                && serde_json::from_str::<Cow<'_, str>>(value.get())
                    .is_ok_and(|method| method == "notifications/tools/list_changed")
        })
    })
}

fn object<'a>(text: &'a str, expected: &[&str], is_judged: bool) -> Result<Object<'a>, String> {
    if is_judged {
        return unambiguous(text, expected);
    }
    Object::parse(text).ok_or_else(|| "it is not a JSON object".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_that_tools_have_changed() {
        for (message, expected) in [
            (r#"{"method":"notifications/tools/list_changed"}"#, true),
            (r#"{"m\u0065thod":"notifications\/tools\/list_\u0063hanged"}"#, true),
            (r#"{"METHOD":"notifications/tools/list_changed","method":"x"}"#, true),
            (r#"{"method":"notifications/prompts/list_changed"}"#, false),
            (r#"{"method":"x","params":{"method":"notifications/tools/list_changed"}}"#, false),
        ] {
            assert_eq!(is_list_changed(message.as_bytes()), expected, "{message}");
        }
    }
}
