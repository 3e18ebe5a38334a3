//! Responses to `tools/list`: the tools in them, their hints, and the notification that they have changed. Lists are long, so
//! each of their objects is parsed once.

use crate::json::member_names;
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

/// A page of the server's list of tools.
pub(crate) struct ToolList<'a> {
    pub(crate) tools: Vec<&'a RawValue>,
    /// That of the next page, as JSON.
    pub(crate) next_cursor: Option<String>,
    /// Every parser finds the same tools in it.
    pub(crate) is_unambiguous: bool,
}

impl<'a> ToolList<'a> {
    /// Reads a response. `is_judged`: only one that every parser reads alike.
    ///
    /// # Errors
    /// Says why it is not such a response.
    pub(crate) fn read(response: &'a str, is_judged: bool) -> Result<ToolList<'a>, String> {
        let response = object(response)?;
        let result = object(response.get("result").ok_or("it has no result")?.get())?;
        let checked = member_names::check(&response, &message::MEMBERS)
            .and_then(|()| member_names::check(&result, &RESULT_MEMBERS));
        let is_unambiguous = checked.is_ok();
        if is_judged {
            checked?;
        }
        let tools = result.get_non_null("tools").map(|tools| serde_json::from_str(tools.get()));
        Ok(ToolList {
            tools: tools.transpose().map_err(|_| "its tools are not a list")?.unwrap_or_default(),
            next_cursor: result.get_non_null("nextCursor").map(|cursor| cursor.get().to_owned()),
            is_unambiguous,
        })
    }
}

impl<'a> Tool<'a> {
    /// Reads a tool. `is_judged`: only one that every parser reads alike.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn read(text: &'a str, is_judged: bool) -> Result<Tool<'a>, String> {
        let members = object(text)?;
        let annotations = members.get_non_null("annotations");
        let annotations = annotations.map(|annotations| object(annotations.get()));
        let annotations_checked = match &annotations {
            Some(Ok(hints)) => member_names::check(hints, &HINTS),
            Some(Err(why)) => Err(why.clone()),
            None => Ok(()),
        };
        let checked = member_names::check(&members, &TOOL_MEMBERS)
            .and_then(|()| annotations_checked.map_err(|why| format!("its annotations: {why}")));
        let is_unambiguous = checked.is_ok();
        if is_judged {
            checked?;
        }
        let hints = annotations.and_then(Result::ok);
        let has_hint = |hint: &str| {
            hints.as_ref().and_then(|h| h.get(hint)).is_some_and(|h| h.get() == "true")
        };
        Ok(Tool {
            name: members.text("name").ok_or("its name is not a string")?,
            input_schema: members.get("inputSchema"),
            only_reads: has_hint("readOnlyHint"),
            may_repeat: is_unambiguous && (has_hint("readOnlyHint") || has_hint("idempotentHint")),
        })
    }
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

fn object(text: &str) -> Result<Object<'_>, String> {
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
