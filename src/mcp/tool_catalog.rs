//! `ToolCatalog`: what we know of the server's tools. Which arguments are repeated in headers (`x-mcp-header`, MCP
//! 2026-07-28), which tools only read, and which may run twice.
//!
//! A client on stdio knows nothing of headers, so what HTTP clients must do with these marks is done here: learn
//! them from every `tools/list`, keep tools with broken marks from the client, repeat marked arguments.

use crate::error::{Error, Kind};
use crate::json::edit::range_of;
use crate::json::member_names::{self, unambiguous};
use crate::json::object::{Object, OnlyObject};
use crate::mcp::message::Message;
use crate::mcp::request_meta::encoded;
use crate::mcp::tool_policy::ToolPolicy;
use memchr::{memchr, memmem};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

const MARK: &str = "x-mcp-header";

/// So many tools are remembered.
const MOST_TOOLS: usize = 10_000;

/// A longer page teaches no hints where nothing else is asked of it: it passes as fast as any other answer, and calls of
/// its tools are not sent twice.
const MAX_BYTES_FOR_HINTS: usize = 1024 * 1024;

/// Integers beyond this are not the same in every language, so no header carries one.
const LARGEST_INTEGER: i64 = (1 << 53) - 1;

/// The members that mean something in an answer to `tools/list`, in its result, in a tool, and in its annotations.
const OF_A_MESSAGE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const OF_A_RESULT: [&str; 3] = ["tools", "nextCursor", "_meta"];
const OF_A_TOOL: [&str; 5] = ["name", "description", "inputSchema", "annotations", "_meta"];
const OF_ANNOTATIONS: [&str; 4] =
    ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];
/// The members that mean something in the params of a `tools/call`.
const OF_A_CALL: [&str; 4] = ["name", "arguments", "task", "_meta"];

/// What is known of the server's tools.
#[derive(Debug, Default)]
pub struct ToolCatalog {
    policy: ToolPolicy,
    knowledge: RwLock<Knowledge>,
}

#[derive(Debug, Default)]
struct Knowledge {
    tools: HashMap<String, Known>,
    /// Why tools are left out of lists, as far as it was told.
    told: HashMap<String, String>,
    /// Counts how often all was forgotten.
    era: u64,
    /// Counts the lists that were asked for.
    asked: u64,
    /// Which of them the tools are from; 0 where there is none.
    list: u64,
    /// How far it was read.
    extent: Extent,
}

/// How much of a list is known. A page that is missing may have a second tool of any name, with a stricter hint.
#[derive(Debug, Default, PartialEq, Eq)]
enum Extent {
    #[default]
    Nothing,
    /// Up to the page with this cursor, which is JSON.
    Until(String),
    Whole,
}

#[derive(Debug)]
struct Known {
    /// Or why the tool is left out.
    mirrors: Result<Vec<ParamHeader>, String>,
    /// `readOnlyHint`.
    only_reads: bool,
    /// `readOnlyHint` or `idempotentHint`, for whatever parser.
    may_repeat: bool,
}

/// A page of the server's list of tools that was asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// Which page it is, as JSON; with the first, which has none, the list begins anew.
    cursor: Option<String>,
    /// The marks of 2026-07-28 mean something.
    has_marks: bool,
    /// When it was asked for.
    era: u64,
    number: u64,
}

/// An argument that is repeated in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ParamHeader {
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

impl ToolCatalog {
    pub fn new(policy: ToolPolicy) -> ToolCatalog {
        ToolCatalog { policy, knowledge: RwLock::default() }
    }

    /// What the user restricts or adds.
    pub(crate) fn policy(&self) -> &ToolPolicy {
        &self.policy
    }

    /// The page that this `tools/list` asks for now. What is forgotten from here on, the answer does not bring back.
    pub fn page(&self, request: &Message) -> Page {
        let text = str::from_utf8(request.body()).unwrap_or_default();
        let params = Object::parse(text).and_then(|request| request.get("params"));
        let cursor = params.and_then(|params| Object::parse(params.get())?.get_non_null("cursor"));
        let cursor = cursor.map(|cursor| cursor.get().to_owned());
        self.asked(cursor, request.request_meta().is_some())
    }

    fn asked(&self, cursor: Option<String>, has_marks: bool) -> Page {
        let mut knowledge = self.knowledge.write().unwrap_or_else(PoisonError::into_inner);
        knowledge.asked += 1;
        Page { cursor, has_marks, era: knowledge.era, number: knowledge.asked }
    }

    /// The same page, of which the answer is younger than what is forgotten now.
    pub(crate) fn forget_before(&self, page: &mut Page) {
        self.forget();
        page.era = self.knowledge.read().unwrap_or_else(PoisonError::into_inner).era;
    }

    /// Reads a result of `tools/list`. The first page replaces what was known, and of two tools of one name the stricter
    /// hint counts. Where lists are changed, a tool that cannot be judged is left out, and a list that cannot be is an error.
    pub fn learn(&self, answer: &str, page: &Page) -> Result<Listing, Error> {
        let is_judged = self.policy.changes_lists();
        if !is_judged && !page.has_marks && answer.len() > MAX_BYTES_FOR_HINTS {
            self.forget();
            return Ok(Listing::default());
        }
        let tools = match tools_of(answer, is_judged) {
            Ok(tools) => tools,
            Err(why) if is_judged => {
                // It is a new list all the same.
                self.forget();
                let what = format!("the server's list of tools cannot be judged: {why}");
                return Err(Error::new(Kind::InvalidResponse, what));
            }
            // What is no such result teaches nothing.
            Err(_) => return Ok(Listing::default()),
        };
        let is_unambiguous = is_judged || tools_of(answer, true).is_ok();
        let mut listing = Listing::default();
        let mut listed = Vec::with_capacity(tools.len());
        let mut knowledge = self.knowledge.write().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = knowledge.takes(page, next_cursor(answer));
        for raw in &tools {
            let tool = match Tool::read(raw.get(), is_judged) {
                Ok(tool) => tool,
                Err(_) if !is_judged => {
                    listed.push(Cow::Borrowed(raw.get()));
                    continue;
                }
                Err(why) => {
                    for name in names_of(raw.get()) {
                        let why = format!("it can be read in more than one way: {why}");
                        listing.newly_left_out.extend(knowledge.tell(&name, &why));
                        knowledge.keep(name, Known::default(), is_fresh);
                    }
                    continue;
                }
            };
            let schema = tool.input_schema.filter(|_| page.has_marks);
            let mirrors = schema.map_or(Ok(Vec::new()), mirrors_of);
            match &mirrors {
                Ok(_) => {
                    listed.extend(self.policy.listed(&tool.name, tool.only_reads, raw.get()));
                }
                Err(why) => listing.newly_left_out.extend(knowledge.tell(&tool.name, why)),
            }
            let may_repeat = tool.may_repeat && is_unambiguous;
            let known = Known { mirrors, only_reads: tool.only_reads, may_repeat };
            knowledge.keep(tool.name, known, is_fresh);
        }
        let is_changed =
            listed.len() < tools.len() || listed.iter().any(|tool| matches!(tool, Cow::Owned(_)));
        if is_changed && let (Some(first), Some(last)) = (tools.first(), tools.last()) {
            let start = range_of(first.get(), answer).start;
            let end = range_of(last.get(), answer).end;
            listing.changed =
                Some(format!("{}{}{}", &answer[..start], listed.join(","), &answer[end..]));
        }
        Ok(listing)
    }

    /// `readOnlyHint` of a tool; `None` if it is not known, or only of a part of the list.
    pub(crate) fn only_reads(&self, tool: &str) -> Option<bool> {
        let knowledge = self.knowledge.read().unwrap_or_else(PoisonError::into_inner);
        let only_reads = knowledge.tools.get(tool)?.only_reads;
        (!only_reads || knowledge.extent == Extent::Whole).then_some(only_reads)
    }

    /// Whether a whole list is known.
    pub(crate) fn is_whole(&self) -> bool {
        let knowledge = self.knowledge.read().unwrap_or_else(PoisonError::into_inner);
        knowledge.extent == Extent::Whole
    }

    /// Which list is known; 0 where there is none.
    pub(crate) fn list(&self) -> u64 {
        self.knowledge.read().unwrap_or_else(PoisonError::into_inner).list
    }

    /// This list is longer than what is asked for: what was read counts as the whole.
    pub(crate) fn cut_off(&self, list: u64) {
        let mut knowledge = self.knowledge.write().unwrap_or_else(PoisonError::into_inner);
        if list != 0 && knowledge.list == list {
            knowledge.extent = Extent::Whole;
        }
    }

    /// Whether the server says of the tool that this `tools/call` calls that running it twice does no harm.
    pub(crate) fn may_repeat(&self, call: &[u8]) -> bool {
        let name = || {
            let call = unambiguous(str::from_utf8(call).ok()?, &OF_A_MESSAGE).ok()?;
            let params = unambiguous(call.get("params")?.get(), &OF_A_CALL).ok()?;
            serde_json::from_str::<String>(params.get("name")?.get()).ok()
        };
        let Some(name) = name() else { return false };
        let knowledge = self.knowledge.read().unwrap_or_else(PoisonError::into_inner);
        knowledge.tools.get(&name).is_some_and(|known| known.may_repeat)
    }

    /// The server's tools are others now, or may be: it says so, or the session is another. Which arguments are repeated
    /// in headers stays known where that is all that is asked; a server that misses one says so.
    pub(crate) fn forget(&self) {
        let mut knowledge = self.knowledge.write().unwrap_or_else(PoisonError::into_inner);
        knowledge.era += 1;
        (knowledge.list, knowledge.extent) = (0, Extent::Nothing);
        if self.policy.is_read_only() {
            knowledge.tools.clear();
        }
        for known in knowledge.tools.values_mut() {
            (known.only_reads, known.may_repeat) = (false, false);
        }
    }

    /// The headers that this `tools/call` must have beside those that every request has.
    pub fn headers(&self, call: &[u8]) -> Vec<(String, String)> {
        let knowledge = self.knowledge.read().unwrap_or_else(PoisonError::into_inner);
        if knowledge.tools.is_empty() {
            return Vec::new();
        }
        let Ok(Call { params: OnlyObject(CallParams { name, arguments: Some(arguments) }) }) =
            serde_json::from_slice(call)
        else {
            return Vec::new();
        };
        let Some(Known { mirrors: Ok(mirrors), .. }) = knowledge.tools.get(name.as_ref()) else {
            return Vec::new();
        };
        let header =
            |mirror: &ParamHeader| Some((mirror.header.clone(), value_at(arguments, mirror)?));
        mirrors.iter().filter_map(header).collect()
    }
}

impl Default for Known {
    fn default() -> Known {
        Known { mirrors: Ok(Vec::new()), only_reads: false, may_repeat: false }
    }
}

impl Knowledge {
    /// Whether the tools on this page count, and not only those that are known already. The first page replaces what was known.
    fn takes(&mut self, page: &Page, next: Option<String>) -> bool {
        // Of two lists the one that was asked for last counts, whichever comes first.
        if self.era != page.era || page.number < self.list {
            return false;
        }
        let is_continued = match &page.cursor {
            None => {
                self.tools.clear();
                self.list = page.number;
                true
            }
            Some(cursor) => matches!(&self.extent, Extent::Until(next) if next == cursor),
        };
        if is_continued {
            self.extent = next.map_or(Extent::Whole, Extent::Until);
        }
        true
    }

    /// What a list says of a tool. Of two of one name the stricter hint counts.
    fn keep(&mut self, name: String, mut known: Known, is_fresh: bool) {
        if !is_fresh || (self.tools.len() >= MOST_TOOLS && !self.tools.contains_key(&name)) {
            return;
        }
        if let Some(other) = self.tools.get(&name) {
            known.only_reads &= other.only_reads;
            known.may_repeat &= other.may_repeat;
        }
        self.tools.insert(name, known);
    }

    /// Name and reason of a tool that is left out, unless that was told before.
    fn tell(&mut self, name: &str, why: &str) -> Option<(String, String)> {
        if self.told.get(name).is_some_and(|told| told == why) || self.told.len() >= MOST_TOOLS {
            return None;
        }
        self.told.insert(name.to_owned(), why.to_owned());
        Some((name.to_owned(), why.to_owned()))
    }
}

/// Whether a message says that the tools have changed, for whatever parser.
pub(crate) fn says_that_tools_changed(message: &[u8]) -> bool {
    // Most messages cannot, and are not parsed. An escape could hide it.
    if memmem::find(message, b"list_changed").is_none() && memchr(b'\\', message).is_none() {
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

/// The tools of an answer to `tools/list`. `is_judged`: an answer that parsers read differently is none.
fn tools_of(answer: &str, is_judged: bool) -> Result<Vec<&RawValue>, String> {
    let result = read(answer, &OF_A_MESSAGE, is_judged)?.get("result").ok_or("it has no result")?;
    let result = read(result.get(), &OF_A_RESULT, is_judged)?;
    match result.get_non_null("tools") {
        Some(tools) => {
            serde_json::from_str(tools.get()).map_err(|_| "its tools are no list".into())
        }
        None => Ok(Vec::new()),
    }
}

/// Where the list goes on, as JSON.
fn next_cursor(answer: &str) -> Option<String> {
    let next = Object::parse(Object::parse(answer)?.get("result")?.get())?.get("nextCursor")?.get();
    (next != "null").then(|| next.to_owned())
}

struct Tool<'a> {
    name: String,
    input_schema: Option<&'a RawValue>,
    only_reads: bool,
    may_repeat: bool,
}

impl<'a> Tool<'a> {
    /// The error says why it cannot be judged.
    fn read(text: &'a str, is_judged: bool) -> Result<Tool<'a>, String> {
        let members = read(text, &OF_A_TOOL, is_judged)?;
        let name = members.get("name").and_then(|name| serde_json::from_str(name.get()).ok());
        let annotations = members.get_non_null("annotations");
        let hints = match annotations.map(|text| read(text.get(), &OF_ANNOTATIONS, is_judged)) {
            Some(Ok(hints)) => Some(hints),
            Some(Err(why)) if is_judged => return Err(format!("its annotations: {why}")),
            _ => None,
        };
        let says = |hint: &str| {
            hints.as_ref().and_then(|h| h.get(hint)).is_some_and(|h| h.get() == "true")
        };
        let is_unambiguous = || {
            is_judged
                || unambiguous(text, &OF_A_TOOL).is_ok()
                    && annotations.is_some_and(|a| unambiguous(a.get(), &OF_ANNOTATIONS).is_ok())
        };
        let may_repeat = (says("readOnlyHint") || says("idempotentHint")) && is_unambiguous();
        Ok(Tool {
            name: name.ok_or("its name is no text")?,
            input_schema: members.get("inputSchema"),
            only_reads: says("readOnlyHint"),
            may_repeat,
        })
    }
}

fn read<'a>(text: &'a str, expected: &[&str], is_judged: bool) -> Result<Object<'a>, String> {
    if is_judged {
        return unambiguous(text, expected);
    }
    Object::parse(text).ok_or_else(|| "it is not a JSON object".into())
}

/// All that some parser may take for the name of this tool.
fn names_of(tool: &str) -> Vec<String> {
    let Some(tool) = Object::parse(tool) else { return Vec::new() };
    let names = tool.members().filter(|(name, _)| member_names::equals_folded(name, "name"));
    names.filter_map(|(_, value)| serde_json::from_str(value.get()).ok()).collect()
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    params: OnlyObject<CallParams<'a>>,
}

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// The marked arguments of a tool, or why the tool must be left out.
fn mirrors_of(schema: &RawValue) -> Result<Vec<ParamHeader>, String> {
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
    mirrors: &mut Vec<ParamHeader>,
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
    others: &[ParamHeader],
) -> Result<ParamHeader, String> {
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
    Ok(ParamHeader { header, path: path.clone() })
}

/// A byte of a header's name (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The argument as a header carries it; `None` when it is absent, null, or nothing that a header can carry.
fn value_at(arguments: &RawValue, mirror: &ParamHeader) -> Option<String> {
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
    use crate::mcp::tool_policy::Settings;
    use serde_json::json;
    use std::slice::from_ref;

    fn tool(name: &str, schema: &Value) -> Value {
        json!({"name": name, "inputSchema": schema})
    }

    fn learned(tools: &[Value]) -> (ToolCatalog, Listing) {
        let known = ToolCatalog::default();
        let listing = learn(&known, &json!({"id": 1, "result": {"tools": tools}}).to_string());
        (known, listing)
    }

    fn learn(tools: &ToolCatalog, answer: &str) -> Listing {
        tools.learn(answer, &first_page(tools, true)).expect("it is not judged")
    }

    fn first_page(tools: &ToolCatalog, has_marks: bool) -> Page {
        tools.asked(None, has_marks)
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
        let tools = ToolCatalog::default();
        let answer = format!(
            r#"{{"z":1e400,"result":{{"nextCursor":"c\n","tools":[ {bad} , {good},{bad}]}},"id":1}}"#
        );
        let listing = learn(&tools, &answer);
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
        let all = learn(&tools, &format!(r#"{{"result":{{"tools":[{bad}]}}}}"#));
        assert_eq!(all.changed.as_deref(), Some(r#"{"result":{"tools":[]}}"#));
        assert!(all.newly_left_out.is_empty());
        let of_old = tools.learn(&answer, &first_page(&tools, false)).expect("it is not judged");
        assert_eq!(of_old.changed, None, "the marks mean nothing before 2026-07-28");
    }

    #[test]
    fn a_later_list_counts() {
        let schema = json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"}}});
        let (tools, _) = learned(&[tool("x", &schema)]);
        let call = br#"{"params":{"name":"x","arguments":{"a":"v"}}}"#;
        assert_eq!(tools.headers(call).len(), 1);
        learn(&tools, &json!({"result": {"tools": [tool("x", &json!({}))]}}).to_string());
        assert!(tools.headers(call).is_empty());
        learn(&tools, r#"{"error":{"code":1}}"#);
    }

    fn read_only() -> ToolCatalog {
        ToolCatalog::new(ToolPolicy::new(Settings { read_only: true, ..Settings::default() }))
    }

    fn list(tools: &[&str]) -> String {
        format!(r#"{{"id":1,"result":{{"tools":[{}]}}}}"#, tools.join(","))
    }

    const READS: &str = r#"{"name":"a","annotations":{"readOnlyHint":true}}"#;
    const WRITES: &str = r#"{"name":"a","annotations":{"readOnlyHint":false}}"#;
    const OTHER: &str = r#"{"name":"b","annot\u0061tions":{"re\u0061dOnlyHint":true}}"#;

    #[test]
    fn what_is_known_is_what_the_last_list_said() {
        let tools = read_only();
        let page = |is_first: bool| tools.asked((!is_first).then(|| "7".to_owned()), false);
        let learn = |tool: &[&str], page: Page| tools.learn(&list(tool), &page).expect("a list");
        learn(&[READS], page(true));
        learn(&[OTHER], page(false));
        assert_eq!((tools.only_reads("a"), tools.only_reads("b")), (Some(true), Some(true)));
        learn(&[WRITES], page(false));
        assert_eq!(tools.only_reads("a"), Some(false), "of two the stricter");
        learn(&[READS], page(false));
        assert_eq!(tools.only_reads("a"), Some(false), "in either order");
        learn(&[OTHER], page(true));
        assert_eq!((tools.only_reads("a"), tools.only_reads("b")), (None, Some(true)));

        let old = page(true);
        tools.forget();
        assert_eq!(tools.only_reads("b"), None);
        let listing = learn(&[READS, WRITES, OTHER], old.clone());
        assert_eq!(listing.changed, Some(list(&[READS, OTHER])), "it is changed all the same");
        assert_eq!(tools.only_reads("b"), None, "what was asked for before is forgotten as well");
        let mut old = old;
        tools.forget_before(&mut old);
        learn(&[OTHER], old);
        assert_eq!(tools.only_reads("b"), Some(true));
    }

    fn page_of(tools: &[&str], next: &str) -> String {
        let tools = tools.join(",");
        format!(r#"{{"id":1,"result":{{"tools":[{tools}],"nextCursor":{next}}}}}"#)
    }

    #[test]
    fn a_part_of_a_list_allows_nothing() {
        let tools = read_only();
        let learn = |answer: &str, cursor: Option<&str>| {
            tools.learn(answer, &tools.asked(cursor.map(str::to_owned), false)).expect("a page");
        };
        learn(&page_of(&[READS], r#""2""#), None);
        assert_eq!(tools.only_reads("a"), None, "the rest may have a stricter one");
        learn(&list(&[OTHER]), Some(r#""3""#));
        assert_eq!(tools.only_reads("a"), None, "that was not the next page");
        learn(&page_of(&[], r#""3""#), Some(r#""2""#));
        assert!(!tools.is_whole());
        learn(&page_of(&[OTHER], "null"), Some(r#""3""#));
        assert!(tools.is_whole());
        assert_eq!((tools.only_reads("a"), tools.only_reads("b")), (Some(true), Some(true)));
        learn(&page_of(&[WRITES], r#""2""#), None);
        assert_eq!((tools.only_reads("a"), tools.only_reads("b")), (Some(false), None));
        learn(&page_of(&[READS], r#""2""#), None);
        let known = tools.list();
        tools.cut_off(known);
        assert_eq!(tools.only_reads("a"), Some(true), "longer than anybody reads");
        tools.forget();
        tools.cut_off(known);
        tools.cut_off(tools.list());
        assert!(!tools.is_whole());
    }

    #[test]
    fn of_two_lists_the_one_that_was_asked_for_last_counts() {
        let tools = read_only();
        let (earlier, later) = (first_page(&tools, false), first_page(&tools, false));
        tools.learn(&list(&[WRITES]), &later).expect("a list");
        tools.learn(&list(&[READS]), &earlier).expect("a list");
        assert_eq!(tools.only_reads("a"), Some(false));
    }

    #[test]
    fn what_cannot_be_judged_is_left_out() {
        for tool in [
            r#"["a",{},[true]]"#,
            r#"{"name":["a"],"annotations":{"readOnlyHint":true}}"#,
            r#"{"name":"a","annotations":[true]}"#,
            r#"{"name":"a","annotations":{"readOnlyHint":true,"ReadOnlyHint":false}}"#,
            r#"{"name":"a","annotations":{"readonlyhint":true}}"#,
            r#"{"name":"a","annotations":{"readOnlyHint":"true"}}"#,
            r#"{"name":"a","annotations":{"readOnlyHint":true},"annotation\u017f":{}}"#,
            r#"{"name":"a","annotations":{"readOnlyHint":true},"annot\u0061tions":{}}"#,
            r#"{"name":"a","Name":"c","annotations":{"readOnlyHint":true}}"#,
        ] {
            let tools = read_only();
            let listing =
                tools.learn(&list(&[tool, OTHER]), &first_page(&tools, false)).expect("a list");
            assert_eq!(listing.changed, Some(list(&[OTHER])), "{tool}");
            let listed = tools.learn(&list(&[READS]), &tools.asked(Some("7".into()), false));
            assert!(listed.is_ok());
            let is_named = !tool.contains("[\"a\"") && !tool.starts_with('[');
            assert_eq!(tools.only_reads("a"), Some(!is_named), "{tool}");
        }
        for answer in [
            r#"{"id":1,"result":{"tools":[]},"Result":{"tools":[]}}"#,
            r#"{"id":1,"re\u017fult":{},"result":{"tools":[]}}"#,
            r#"{"id":1,"result":{"tools":[],"Tools":[]}}"#,
            r#"{"id":1,"result":{"TOOLS":[]}}"#,
            r#"{"id":1,"result":{"tools":{}}}"#,
            r#"{"id":1,"result":[[]]}"#,
        ] {
            let tools = read_only();
            tools.learn(&list(&[READS]), &first_page(&tools, false)).expect("a list");
            let error = tools.learn(answer, &first_page(&tools, false)).expect_err(answer);
            assert_eq!(error.kind(), Kind::InvalidResponse, "{answer}");
            assert_eq!(tools.only_reads("a"), None, "a new list, whatever it says: {answer}");
            assert_eq!(learn(&ToolCatalog::default(), answer), Listing::default(), "{answer}");
        }
    }

    #[test]
    fn tools_that_have_changed() {
        for (message, expected) in [
            (r#"{"method":"notifications/tools/list_changed"}"#, true),
            (r#"{"m\u0065thod":"notifications\/tools\/list_\u0063hanged"}"#, true),
            (r#"{"METHOD":"notifications/tools/list_changed","method":"x"}"#, true),
            (r#"{"method":"notifications/prompts/list_changed"}"#, false),
            (r#"{"method":"x","params":{"method":"notifications/tools/list_changed"}}"#, false),
        ] {
            assert_eq!(says_that_tools_changed(message.as_bytes()), expected, "{message}");
        }
    }

    #[test]
    fn a_call_may_be_repeated_if_every_reading_of_the_list_and_of_the_call_allows_it() {
        let hinted = |name: &str, hints: &str| {
            format!(r#"{{"name":"{name}","inputSchema":{{}},"annotations":{hints}}}"#)
        };
        let call = |params: &str| format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#);
        let listed = |tools: &[String], rest: &str| {
            let known = ToolCatalog::default();
            let answer = format!(r#"{{"id":1,"result":{{"tools":[{}]{rest}}}}}"#, tools.join(","));
            assert_eq!(learn(&known, &answer), Listing::default(), "the client's list stays");
            known
        };
        let x = call(r#"{"name":"x","arguments":{"Name":1,"name":2}}"#);
        for (hints, may_repeat) in [
            (r#"{"idempotentHint":true}"#, true),
            (r#"{"readOnlyHint":true,"title":"t"}"#, true),
            (r#"{"readOnlyHint":false,"idempotentHint":true}"#, true),
            (r#"{"readOnlyHint":false,"idempotentHint":false}"#, false),
            (r#"{"idempotentHint":"true"}"#, false),
            (r#"{"idempotentHint":1}"#, false),
            (r#"[{"idempotentHint":true}]"#, false),
            (r#"{"idempotentHint":false,"idempotentHint":true}"#, false),
            (r#"{"idempotentHint":true,"IdempotentHint":false}"#, false),
            (r#"{"idempotenthint":true}"#, false),
            (r#"{"destructiveHint":false}"#, false),
            ("null", false),
        ] {
            let known = listed(&[hinted("x", hints)], "");
            assert_eq!(known.may_repeat(x.as_bytes()), may_repeat, "{hints}");
        }
        let good = hinted("x", r#"{"idempotentHint":true}"#);
        let known = listed(&[good.clone(), hinted("other", "{}")], "");
        for params in [
            r#"{"name":"other"}"#,
            r#"{"name":"y"}"#,
            r#"{"name":"x","Name":"other"}"#,
            r#"{"name":"other","name":"x"}"#,
            r#"{"name":["x"]}"#,
            "{}",
            "[]",
        ] {
            assert!(!known.may_repeat(call(params).as_bytes()), "{params}");
        }
        assert!(
            !known.may_repeat(x.replace(r#""id""#, r#""Params":{"name":"other"},"id""#).as_bytes())
        );
        assert!(known.may_repeat(x.replace('x', "\\u0078").as_bytes()));
        // The stricter of two, in any order; a list that can be read in two ways.
        for tools in [[good.clone(), hinted("x", "{}")], [hinted("x", "{}"), good.clone()]] {
            assert!(!listed(&tools, "").may_repeat(x.as_bytes()));
        }
        assert!(!listed(from_ref(&good), r#","Tools":[]"#).may_repeat(x.as_bytes()));
        // It ends with the session, with a new list, and with one too long to be read for this alone.
        known.forget();
        assert!(!known.may_repeat(x.as_bytes()));
        let known = listed(from_ref(&good), "");
        learn(&known, r#"{"id":1,"result":{"tools":[]}}"#);
        assert!(!known.may_repeat(x.as_bytes()));
        let known = listed(&[good], "");
        let long = " ".repeat(MAX_BYTES_FOR_HINTS);
        let old = first_page(&known, false);
        known
            .learn(&format!(r#"{{"id":1,"result":{{"tools":[]}}}}{long}"#), &old)
            .expect("it passes");
        assert!(!known.may_repeat(x.as_bytes()));
    }
}
