//! Tools and their results, for legacy clients. Pure except for the remembered names.

use crate::bridge::downward::output_schema::{
    is_of_objects, spell_out_properties, spelled_out, wrap,
};
use crate::json::edit::Edits;
use crate::json::object::Object;
use crate::sync::lock;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::Mutex;

/// Maximum number of tools whose wrapped schemas are remembered, and of bytes in their names. MCP allows 128 characters.
const MAX_WRAPPED: usize = 10_000;
const MAX_NAME_BYTES: usize = 1024;

/// The tools of one server whose output schemas were wrapped in the list: their results are wrapped, too.
#[derive(Debug, Default)]
pub(crate) struct WrappedTools(Mutex<HashSet<String>>);

impl WrappedTools {
    /// Makes the tools in the result of `tools/list` readable. What is remembered of a tool counts until a list has it again: while
    /// the client requests page after page, it still knows the tools of the older list.
    pub(crate) fn edit_list<'a>(
        &self,
        edits: &mut Edits<'a>,
        result: &Object<'a>,
        is_first_page: bool,
    ) {
        let mut wrapped = lock(&self.0);
        if is_first_page && wrapped.len() >= MAX_WRAPPED {
            wrapped.clear();
        }
        let tools = result.get_non_null("tools").map_or("[]", RawValue::get);
        let tools: Vec<&'a RawValue> = serde_json::from_str(tools).unwrap_or_default();
        for tool in tools.into_iter().filter_map(|tool| Object::parse(tool.get())) {
            if let Some(schema) = tool.get("inputSchema") {
                spell_out_properties(edits, schema.get());
            }
            let schema = tool.get("outputSchema").map(RawValue::get);
            let is_wrapped = schema.is_some_and(|schema| edit_output_schema(edits, schema));
            let Some(name) = tool.text("name") else { continue };
            if !is_wrapped {
                wrapped.remove(&name);
            } else if wrapped.len() < MAX_WRAPPED && name.len() <= MAX_NAME_BYTES {
                wrapped.insert(name);
            }
        }
    }

    /// Makes the result of a call of this tool readable.
    pub(crate) fn edit_result<'a>(
        &self,
        edits: &mut Edits<'a>,
        result: &'a str,
        members: &Object<'a>,
        tool: Option<&str>,
    ) {
        let Some(value) = members.get("structuredContent").map(RawValue::get) else { return };
        let is_wrapped = tool.is_some_and(|tool| lock(&self.0).contains(tool));
        if value.starts_with('{') && !is_wrapped {
            return;
        }
        edits.surround(value, r#"{"result":"#, "}");
        let content = members.get("content").map(RawValue::get);
        let items: Option<Vec<&RawValue>> =
            content.and_then(|content| serde_json::from_str(content).ok());
        let is_text = |item: &&RawValue| {
            let kind = Object::parse(item.get()).and_then(|item| item.text("type"));
            kind.is_some_and(|kind| kind == "text")
        };
        if items.as_ref().is_some_and(|items| items.iter().any(is_text)) {
            return;
        }
        let block = format!(r#"{{"type":"text","text":{}}}"#, Value::from(value));
        match (content, items) {
            (Some(content), Some(items)) => {
                let end = content.len() - 1;
                let comma = if items.is_empty() { "" } else { "," };
                edits.surround(&content[end..], format!("{comma}{block}"), "");
            }
            (None, _) => {
                edits.change_members(result, |_| false, &format!(r#""content":[{block}]"#));
            }
            (Some(_), None) => {}
        }
    }
}

/// Makes an output schema readable. True if that wraps it.
fn edit_output_schema<'a>(edits: &mut Edits<'a>, schema: &'a str) -> bool {
    if is_of_objects(schema) {
        spell_out_properties(edits, schema);
        return false;
    }
    match spelled_out(schema) {
        Some(object) => edits.replace(
            schema,
            format!(
                r#"{{"type":"object","properties":{{"result":{object}}},"required":["result"]}}"#
            ),
        ),
        None if schema.starts_with('{') => wrap(edits, schema),
        None => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(tools: &WrappedTools, result: &str) -> String {
        let mut edits = Edits::new(result);
        let members = Object::parse(result).expect("an object");
        tools.edit_list(&mut edits, &members, true);
        edits.finish()
    }

    fn returned(tools: &WrappedTools, tool: &str, result: &str) -> String {
        let mut edits = Edits::new(result);
        let members = Object::parse(result).expect("an object");
        tools.edit_result(&mut edits, result, &members, Some(tool));
        edits.finish()
    }

    #[test]
    fn lists_change_where_legacy_clients_could_not_read_them() {
        let tools = WrappedTools::default();
        let object = |inner: &str| {
            format!(
                r#"{{"type":"object","properties":{{"result":{inner}}},"required":["result"]}}"#
            )
        };
        let listed = listed(
            &tools,
            r#"{"tools":[
 {"name":"a","inputSchema":{"type":"object","properties":{"x":true,"y":false,"z":{"const":true}}}},
 {"name":"b","outputSchema":{"type":"object","properties":{"x":false}}},
 {"name":"c","outputSchema":{"type":"array"}},
 {"name":"d","outputSchema":true},{"name":"e","outputSchema":null}, 7]}"#,
        );
        let expected = format!(
            r#"{{"tools":[
 {{"name":"a","inputSchema":{{"type":"object","properties":{{"x":{{}},"y":{{"not":{{}}}},"z":{{"const":true}}}}}}}},
 {{"name":"b","outputSchema":{{"type":"object","properties":{{"x":{{"not":{{}}}}}}}}}},
 {{"name":"c","outputSchema":{}}},
 {{"name":"d","outputSchema":{}}},{{"name":"e","outputSchema":null}}, 7]}}"#,
            object(r#"{"type":"array"}"#),
            object("{}")
        );
        assert_eq!(listed, expected);
        let mut wrapped: Vec<String> = lock(&tools.0).iter().cloned().collect();
        wrapped.sort();
        assert_eq!(wrapped, ["c", "d"]);
    }

    #[test]
    fn a_tool_stays_wrapped_until_a_list_has_it_otherwise() {
        let tools = WrappedTools::default();
        let call = r#"{"structuredContent":{"a":1},"content":[{"type":"text","text":"t"}]}"#;
        let is_wrapped = || returned(&tools, "c", call).contains(r#"{"result":{"a":1}}"#);
        listed(&tools, r#"{"tools":[{"name":"c","outputSchema":{"anyOf":[]}}]}"#);
        listed(&tools, r#"{"tools":[{"name":"of another page"}],"nextCursor":"2"}"#);
        assert!(is_wrapped());
        listed(&tools, r#"{"tools":[{"name":"c","outputSchema":{"type":"object"}}]}"#);
        assert!(!is_wrapped());
        listed(&tools, r#"{"tools":[{"name":"c","outputSchema":{"anyOf":[]}}]}"#);
        listed(&tools, r#"{"tools":[{"name":"c"}]}"#);
        assert!(!is_wrapped());
    }

    #[test]
    fn results_are_objects() {
        let tools = WrappedTools::default();
        listed(&tools, r#"{"tools":[{"name":"any","outputSchema":{"anyOf":[]}}]}"#);
        for (tool, result, expected) in [
            ("x", r#"{"content":[]}"#, r#"{"content":[]}"#),
            (
                "x",
                r#"{"structuredContent":{"a":1},"content":[]}"#,
                r#"{"structuredContent":{"a":1},"content":[]}"#,
            ),
            (
                "x",
                r#"{"structuredContent":[1.0, 2],"content":[{"type":"text","text":"t"}]}"#,
                r#"{"structuredContent":{"result":[1.0, 2]},"content":[{"type":"text","text":"t"}]}"#,
            ),
            (
                "x",
                r#"{"content":[ ],"structuredContent":"s"}"#,
                r#"{"content":[ {"type":"text","text":"\"s\""}],"structuredContent":{"result":"s"}}"#,
            ),
            (
                "any",
                r#"{"structuredContent":{"a":1},"content":[{"type":"image"}]}"#,
                r#"{"structuredContent":{"result":{"a":1}},"content":[{"type":"image"},{"type":"text","text":"{\"a\":1}"}]}"#,
            ),
            (
                "x",
                r#"{"structuredContent":null}"#,
                r#"{"content":[{"type":"text","text":"null"}],"structuredContent":{"result":null}}"#,
            ),
        ] {
            assert_eq!(returned(&tools, tool, result), expected, "{result}");
        }
    }
}
