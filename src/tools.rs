//! `Tools`: what we know of the server's tools. Which arguments are repeated in headers (`x-mcp-header`, MCP
//! 2026-07-28), and which tools only read.
//!
//! A client on stdio knows nothing of headers, so what HTTP clients must do with these marks is done here: learn
//! them from every `tools/list`, keep tools with broken marks from the client, repeat marked arguments.

use crate::envelope::encoded;
use crate::policy::Policy;
use crate::splice::place_of;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

const MARK: &str = "x-mcp-header";

/// So many tools are remembered.
const MOST_TOOLS: usize = 10_000;

/// Integers beyond this are not the same in every language, so no header carries one.
const LARGEST_INTEGER: i64 = (1 << 53) - 1;

/// What is known of the server's tools.
#[derive(Debug, Default)]
pub struct Tools {
    policy: Policy,
    known: RwLock<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    /// Or why the tool is left out.
    mirrors: Result<Vec<Mirror>, String>,
    /// `readOnlyHint`.
    only_reads: bool,
}

/// An argument that is repeated in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    header: String,
    /// The names of the properties that lead to it.
    path: Vec<String>,
}

/// What a `tools/list` answer brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The answer as the client gets it, if it is another one.
    pub changed: Option<String>,
    /// Name and reason of what is left out and was not before.
    pub newly_left_out: Vec<(String, String)>,
}

impl Tools {
    pub fn new(policy: Policy) -> Tools {
        Tools { policy, known: RwLock::default() }
    }

    /// What the user restricts or adds.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Reads a result of `tools/list`. What is no such result teaches nothing. `has_marks`: those of 2026-07-28
    /// mean something.
    pub fn learn(&self, answer: &str, has_marks: bool) -> Listing {
        let Ok(ListAnswer { result: ListResult { tools } }) = serde_json::from_str(answer) else {
            return Listing::default();
        };
        let mut listing = Listing::default();
        let mut listed = Vec::with_capacity(tools.len());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for raw in &tools {
            let Ok(Tool { name, input_schema, annotations }) = serde_json::from_str(raw.get())
            else {
                // What cannot be read cannot be judged.
                listed.extend((!self.policy.changes_lists()).then_some(Cow::Borrowed(raw.get())));
                continue;
            };
            let schema = input_schema.filter(|_| has_marks);
            let mirrors = schema.map_or(Ok(Vec::new()), mirrors_of);
            let only_reads = annotations.is_some_and(only_reads);
            if mirrors.is_ok() {
                listed.extend(self.policy.listed(&name, only_reads, raw.get()));
            }
            if known.len() >= MOST_TOOLS && !known.contains_key(name.as_ref()) {
                continue;
            }
            let name = name.into_owned();
            if let Err(reason) = &mirrors
                && known.get(&name).is_none_or(|known| known.mirrors != mirrors)
            {
                listing.newly_left_out.push((name.clone(), reason.clone()));
            }
            known.insert(name, Known { mirrors, only_reads });
        }
        let is_changed =
            listed.len() < tools.len() || listed.iter().any(|tool| matches!(tool, Cow::Owned(_)));
        if is_changed && let (Some(first), Some(last)) = (tools.first(), tools.last()) {
            let start = place_of(first.get(), answer).start;
            let end = place_of(last.get(), answer).end;
            listing.changed =
                Some(format!("{}{}{}", &answer[..start], listed.join(","), &answer[end..]));
        }
        listing
    }

    /// `readOnlyHint` of a tool; `None` if it is not known.
    pub(crate) fn only_reads(&self, tool: &str) -> Option<bool> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tool).map(|known| known.only_reads)
    }

    /// The server says that its tools are others now.
    pub(crate) fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The headers that this `tools/call` must have beside those that every request has.
    pub fn headers(&self, call: &[u8]) -> Vec<(String, String)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return Vec::new();
        }
        let Ok(Call { params: CallParams { name, arguments: Some(arguments) } }) =
            serde_json::from_slice(call)
        else {
            return Vec::new();
        };
        let Some(Known { mirrors: Ok(mirrors), .. }) = known.get(name.as_ref()) else {
            return Vec::new();
        };
        let header = |mirror: &Mirror| Some((mirror.header.clone(), value_at(arguments, mirror)?));
        mirrors.iter().filter_map(header).collect()
    }
}

#[derive(Deserialize)]
struct ListAnswer<'a> {
    #[serde(borrow)]
    result: ListResult<'a>,
}

#[derive(Deserialize)]
struct ListResult<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, rename = "inputSchema")]
    input_schema: Option<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
}

fn only_reads(annotations: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Annotations {
        #[serde(default, rename = "readOnlyHint")]
        read_only: bool,
    }
    serde_json::from_str::<Annotations>(annotations.get()).is_ok_and(|hints| hints.read_only)
}

/// The name of the tool that a `tools/call` calls.
pub(crate) fn called(call: &[u8]) -> Option<String> {
    let Call { params: CallParams { name, .. } } = serde_json::from_slice(call).ok()?;
    Some(name.into_owned())
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    params: CallParams<'a>,
}

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// The marked arguments of a tool, or why the tool must be left out.
fn mirrors_of(schema: &RawValue) -> Result<Vec<Mirror>, String> {
    // Most schemas have no mark: they are not parsed. An escape could hide one.
    if !schema.get().contains(MARK) && !schema.get().contains("\\u") {
        return Ok(Vec::new());
    }
    // A schema deeper than any parser takes has no meaning to us.
    let Ok(schema) = serde_json::from_str(schema.get()) else { return Ok(Vec::new()) };
    let mut mirrors = Vec::new();
    collect(&schema, Some(&mut Vec::new()), &mut mirrors)?;
    Ok(mirrors)
}

/// `path`: the properties that lead here; `None` where something else does.
fn collect(
    schema: &Value,
    mut path: Option<&mut Vec<String>>,
    mirrors: &mut Vec<Mirror>,
) -> Result<(), String> {
    let Value::Object(members) = schema else { return Ok(()) };
    if let Some(mark) = members.get(MARK) {
        mirrors.push(mirror(mark, members, path.as_deref(), mirrors)?);
    }
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    if let Some(path) = &mut path {
                        path.push(name.clone());
                    }
                    collect(property, path.as_deref_mut(), mirrors)?;
                    if let Some(path) = &mut path {
                        path.pop();
                    }
                }
            }
            (
                "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(schemas),
            ) => {
                for schema in schemas.values() {
                    collect(schema, None, mirrors)?;
                }
            }
            // Data, not schemas.
            ("default" | "const" | "enum" | "examples" | MARK, _) => {}
            (_, Value::Object(_)) => collect(value, None, mirrors)?,
            (_, Value::Array(schemas)) => {
                for schema in schemas {
                    collect(schema, None, mirrors)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A mark that keeps the rules.
fn mirror(
    mark: &Value,
    property: &Map<String, Value>,
    path: Option<&Vec<String>>,
    others: &[Mirror],
) -> Result<Mirror, String> {
    let path = path
        .filter(|path| !path.is_empty())
        .ok_or("x-mcp-header stands where not only properties lead")?;
    let wrong = |what: &str| format!("x-mcp-header of {}: {what}", path.join("."));
    let name = mark.as_str().ok_or_else(|| wrong("not a string"))?;
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(wrong("not the name of a header"));
    }
    match property.get("type").and_then(Value::as_str) {
        Some("string" | "integer" | "boolean") => {}
        _ => return Err(wrong("the type is none of string, integer and boolean")),
    }
    let header = format!("mcp-param-{}", name.to_ascii_lowercase());
    if others.iter().any(|other| other.header == header) {
        return Err(wrong("another argument has the same header"));
    }
    Ok(Mirror { header, path: path.clone() })
}

/// A byte of a header's name (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The argument as a header carries it; `None` when it is absent, null, or nothing that a header can carry.
fn value_at(arguments: &RawValue, mirror: &Mirror) -> Option<String> {
    let mut at = arguments;
    for name in &mirror.path {
        let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(at.get()).ok()?;
        at = members.get(name.as_str())?;
    }
    match at.get() {
        text if text.starts_with('"') => Some(encoded(serde_json::from_str(text).ok()?)),
        text @ ("true" | "false") => Some(text.to_owned()),
        number => integer(number),
    }
}

/// A JSON number in decimal, if it is an integer that every language has.
fn integer(number: &str) -> Option<String> {
    if let Ok(integer) = number.parse::<i64>() {
        return (integer.abs() <= LARGEST_INTEGER).then(|| integer.to_string());
    }
    // `2.0` and `1e3` are integers too.
    let number: f64 = number.parse().ok()?;
    let largest = 9_007_199_254_740_991.0;
    let is_integer = number.fract() == 0.0 && number.abs() <= largest;
    is_integer.then(|| format!("{:.0}", number + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str, schema: &Value) -> Value {
        json!({"name": name, "inputSchema": schema})
    }

    fn learned(tools: &[Value]) -> (Tools, Listing) {
        let known = Tools::default();
        let listing = known.learn(&json!({"id": 1, "result": {"tools": tools}}).to_string(), true);
        (known, listing)
    }

    #[test]
    fn marks_that_break_a_rule_cost_the_tool() {
        let marked = |mark: Value| json!({"type": "string", "x-mcp-header": mark});
        let at = |property: Value| json!({"type": "object", "properties": {"a": property}});
        let good = marked(json!("Region"));
        for schema in [
            at(marked(json!(""))),
            at(marked(json!("a b"))),
            at(marked(json!("a:b"))),
            at(marked(json!("größe"))),
            at(marked(json!("a\nb"))),
            at(marked(json!(7))),
            at(json!({"x-mcp-header": "A"})),
            at(json!({"type": "number", "x-mcp-header": "A"})),
            at(json!({"type": "object", "x-mcp-header": "A"})),
            at(json!({"type": "array", "x-mcp-header": "A"})),
            at(json!({"type": ["string", "null"], "x-mcp-header": "A"})),
            json!({"type": "string", "x-mcp-header": "A"}),
            at(json!({"type": "array", "items": good})),
            at(json!({"type": "array", "prefixItems": [good]})),
            at(json!({"anyOf": [good, {"type": "null"}]})),
            json!({"type": "object", "oneOf": [at(good.clone())]}),
            json!({"type": "object", "not": at(good.clone())}),
            json!({"type": "object", "if": at(good.clone())}),
            json!({"type": "object", "additionalProperties": good}),
            json!({"type": "object", "patternProperties": {"^a": good}}),
            json!({"type": "object", "$defs": {"x": good}, "properties": {"a": {"$ref": "#/$defs/x"}}}),
            json!({"properties": {"a": marked(json!("Same")), "b": {"properties": {"c": marked(json!("same"))}}}}),
        ] {
            let (_, listing) = learned(&[tool("x", &schema), tool("y", &json!({}))]);
            let left = listing.changed.unwrap_or_else(|| panic!("it should be left out: {schema}"));
            let left: Value = serde_json::from_str(&left).expect("JSON");
            assert_eq!(left["result"]["tools"], json!([tool("y", &json!({}))]), "{schema}");
            assert_eq!(listing.newly_left_out[0].0, "x");
        }
    }

    #[test]
    fn good_marks_and_what_only_looks_like_one() {
        for schema in [
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "A!#$%&'*+-.^_`|~9"}}}),
            json!({"properties": {"x-mcp-header": {"type": "object"}}}),
            json!({"properties": {"a": {"default": {"x-mcp-header": ""}, "enum": [{"x-mcp-header": 1}]}}}),
            json!({"properties": {"properties": {"properties": {"a": {"type": "boolean", "x-mcp-header": "A"}}}}}),
            json!({"description": "x-mcp-header"}),
        ] {
            let (_, listing) = learned(&[tool("x", &schema)]);
            assert_eq!(listing, Listing::default(), "{schema}");
        }
    }

    #[test]
    fn values_as_headers_carry_them() {
        let property = |kind: &str, name: &str| json!({"type": kind, "x-mcp-header": name});
        let schema = json!({"properties": {
            "s": property("string", "S"),
            "i": property("integer", "I"),
            "b": property("boolean", "B"),
            "deep": {"properties": {"a.b": property("string", "Deep")}},
            "plain": {"type": "string"},
        }});
        let (tools, _) = learned(&[tool("x", &schema)]);
        for (arguments, expected) in [
            (
                r#"{"s":"a b","i":-7,"b":false,"plain":"p"}"#,
                &[("b", "false"), ("i", "-7"), ("s", "a b")][..],
            ),
            (r#"{"s":"","i":2.0}"#, &[("i", "2"), ("s", "=?base64??=")]),
            (r#"{"s":"h\u00e9","i":1e3}"#, &[("i", "1000"), ("s", "=?base64?aMOp?=")]),
            (r#"{"i":9007199254740991}"#, &[("i", "9007199254740991")]),
            (r#"{"i":9007199254740992}"#, &[]),
            (r#"{"i":12345678901234567890,"b":null}"#, &[]),
            (r#"{"i":1.5,"s":["x"]}"#, &[]),
            (r#"{"i":-0.0}"#, &[("i", "0")]),
            (
                r#"{"deep":{"a.b":"=?base64?eA==?="}}"#,
                &[("deep", "=?base64?PT9iYXNlNjQ/ZUE9PT89?=")],
            ),
            (r#"{"deep":7,"a.b":"x"}"#, &[]),
            ("[]", &[]),
        ] {
            let call = format!(
                r#"{{"method":"tools/call","params":{{"name":"x","arguments":{arguments}}}}}"#
            );
            let mut headers = tools.headers(call.as_bytes());
            headers.sort();
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(name, value)| (format!("mcp-param-{name}"), (*value).to_owned()))
                .collect();
            assert_eq!(headers, expected, "{arguments}");
        }
        let other = br#"{"params":{"name":"y","arguments":{"s":"x"}}}"#;
        assert!(tools.headers(other).is_empty());
    }

    #[test]
    fn what_stays_is_not_touched() {
        let bad = r#"{"name":"bad","inputSchema":{"x-mcp-header":"A"}}"#;
        let good = "{ \"name\" : \"g\\u006fod\", \"n\":12345678901234567890.10 }";
        let tools = Tools::default();
        let answer = format!(
            r#"{{"z":1e400,"result":{{"nextCursor":"c\n","tools":[ {bad} , {good},{bad}]}},"id":1}}"#
        );
        let listing = tools.learn(&answer, true);
        assert_eq!(
            listing.changed.as_deref(),
            Some(
                format!(
                    r#"{{"z":1e400,"result":{{"nextCursor":"c\n","tools":[ {good}]}},"id":1}}"#
                )
                .as_str()
            )
        );
        assert_eq!(listing.newly_left_out.len(), 1, "a reason is told once");
        let all = tools.learn(&format!(r#"{{"result":{{"tools":[{bad}]}}}}"#), true);
        assert_eq!(all.changed.as_deref(), Some(r#"{"result":{"tools":[]}}"#));
        assert!(all.newly_left_out.is_empty());
        let of_old = tools.learn(&answer, false);
        assert_eq!(of_old.changed, None, "the marks mean nothing before 2026-07-28");
    }

    #[test]
    fn a_later_list_counts() {
        let schema = json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"}}});
        let (tools, _) = learned(&[tool("x", &schema)]);
        let call = br#"{"params":{"name":"x","arguments":{"a":"v"}}}"#;
        assert_eq!(tools.headers(call).len(), 1);
        tools.learn(&json!({"result": {"tools": [tool("x", &json!({}))]}}).to_string(), true);
        assert!(tools.headers(call).is_empty());
        tools.learn(r#"{"error":{"code":1}}"#, true);
    }
}
