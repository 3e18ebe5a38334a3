//! `ToolCatalog`: what is known of the server's tools: which arguments are repeated in headers (`x-mcp-header`, MCP
//! 2026-07-28), which tools only read, and which may run twice.
//!
//! A client on stdio does not know about headers, so the duties of an HTTP client are fulfilled here: the marks are read
//! from every `tools/list`, tools with invalid marks are removed from it, marked arguments are repeated in headers.

use crate::error::{Error, Kind};
use crate::json::edit::range_of;
use crate::json::member_names::unambiguous;
use crate::json::object::{Object, OnlyObject};
use crate::mcp::message::{self, Message};
use crate::mcp::param_headers::ParamHeader;
use crate::mcp::tool_list::{Tool, ToolList, names_of};
use crate::mcp::tool_policy::ToolPolicy;
use crate::sync::lock;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;

/// Maximum number of tools that are remembered.
const MAX_TOOLS: usize = 10_000;

/// A longer page is not searched for hints alone: it passes as fast as any other response, and calls of its tools are not
/// repeated.
const MAX_BYTES_FOR_HINTS: usize = 1024 * 1024;

/// A tool with a longer name is not remembered. MCP allows 128 characters.
const MAX_NAME_BYTES: usize = 1024;

/// Maximum number of bytes that are reported of a removed tool's name, and of the reason.
const MAX_REPORTED_BYTES: usize = 256;

/// The members that matter in the params of a `tools/call`.
const CALL_MEMBERS: [&str; 4] = ["name", "arguments", "task", "_meta"];

#[derive(Debug, Default)]
pub struct ToolCatalog {
    policy: ToolPolicy,
    knowledge: Mutex<Knowledge>,
}

#[derive(Debug, Default)]
struct Knowledge {
    tools: HashMap<String, KnownTool>,
    /// Why tools are removed from lists, as far as it was reported.
    reported: HashMap<String, String>,
    /// Number of times that everything was forgotten.
    times_forgotten: u64,
    /// Number of pages that were requested.
    requested: u64,
    /// Which of these began the known list; 0 without one.
    list_number: u64,
    extent: Extent,
}

/// How much of a list is known. A missing page may have a second tool of any name, with a stricter hint.
#[derive(Debug, Default, PartialEq, Eq)]
enum Extent {
    #[default]
    Nothing,
    /// Up to the page with this cursor, which is JSON.
    Until(String),
    Whole,
}

#[derive(Debug)]
struct KnownTool {
    /// The error says why the tool is removed from lists.
    param_headers: Result<Vec<ParamHeader>, String>,
    /// `readOnlyHint`.
    only_reads: bool,
    /// `readOnlyHint` or `idempotentHint`, unambiguous for every parser.
    may_repeat: bool,
    /// It has an argument of its own that is named like the one that chooses the profile.
    has_own_profile: bool,
}

/// A requested page of the server's list of tools.
#[derive(Clone, Debug)]
pub struct Page {
    /// JSON; the first page has none, and begins a new list.
    cursor: Option<String>,
    /// The request is of 2026-07-28 or later, so `x-mcp-header` marks count.
    has_marks: bool,
    /// That of the knowledge when the page was requested.
    times_forgotten: u64,
    number: u64,
}

/// Result of recording a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The response for the client, if it differs.
    pub changed: Option<String>,
    /// Names of removed tools, with reasons that were not reported before.
    pub newly_removed: Vec<(String, String)>,
}

impl ToolCatalog {
    pub fn new(policy: ToolPolicy) -> ToolCatalog {
        ToolCatalog { policy, knowledge: Mutex::default() }
    }

    /// The restrictions and additions of the user.
    pub(crate) fn policy(&self) -> &ToolPolicy {
        &self.policy
    }

    /// The page that this `tools/list` requests. A response to it does not restore what is forgotten after this.
    pub fn page(&self, request: &Message) -> Page {
        let text = str::from_utf8(request.body()).unwrap_or_default();
        let params = Object::parse(text).and_then(|request| request.get("params"));
        let cursor = params.and_then(|params| Object::parse(params.get())?.get_non_null("cursor"));
        let cursor = cursor.map(|cursor| cursor.get().to_owned());
        self.request_page(cursor, request.request_meta().is_some())
    }

    fn request_page(&self, cursor: Option<String>, has_marks: bool) -> Page {
        let mut knowledge = lock(&self.knowledge);
        knowledge.requested += 1;
        Page {
            cursor,
            has_marks,
            times_forgotten: knowledge.times_forgotten,
            number: knowledge.requested,
        }
    }

    /// Forgets everything but the response to this page, if there is one, which is newer.
    pub(crate) fn forget_before(&self, page: Option<&mut Page>) {
        self.forget();
        if let Some(page) = page {
            page.times_forgotten = lock(&self.knowledge).times_forgotten;
        }
    }

    /// Reads a result of `tools/list`. The first page replaces what was known, and of two tools with one name the stricter
    /// hint counts.
    ///
    /// # Errors
    /// The policy changes lists, and this one is not read alike by every parser. (A tool of which that is true is removed.)
    pub fn learn(&self, response: &str, page: &Page) -> Result<Listing, Error> {
        let is_judged = self.policy.changes_lists();
        if !is_judged && !page.has_marks && response.len() > MAX_BYTES_FOR_HINTS {
            self.forget();
            return Ok(Listing::default());
        }
        let list = match ToolList::read(response, is_judged) {
            Ok(list) => list,
            Err(why) if is_judged => {
                // It is a new list all the same.
                self.forget();
                let what = format!("the server's tool list cannot be filtered: {why}");
                return Err(Error::new(Kind::InvalidResponse, what));
            }
            Err(_) => return Ok(Listing::default()),
        };
        let tools = list.tools;
        // Read before the lock is taken, for which calls of other tools would wait.
        let read: Vec<Result<(String, KnownTool), String>> = tools
            .iter()
            .map(|raw| {
                let tool = Tool::read(raw.get(), is_judged)?;
                let schema = tool.input_schema.filter(|_| page.has_marks);
                let has_own_profile = tool
                    .input_schema
                    .is_some_and(|schema| self.policy.has_own_profile_argument(schema.get()));
                let known = KnownTool {
                    param_headers: schema
                        .map_or(Ok(Vec::new()), ParamHeader::of_schema)
                        .map_err(|why| reported_part(&why).to_owned()),
                    only_reads: tool.only_reads,
                    may_repeat: tool.may_repeat && list.is_unambiguous,
                    has_own_profile,
                };
                Ok((tool.name, known))
            })
            .collect();
        let mut listing = Listing::default();
        let mut listed = Vec::with_capacity(tools.len());
        let mut knowledge = lock(&self.knowledge);
        let is_current = knowledge.accept(page, list.next_cursor);
        for (raw, read) in tools.iter().zip(read) {
            let (name, known) = match read {
                Ok(read) => read,
                Err(_) if !is_judged => {
                    listed.push(Cow::Borrowed(raw.get()));
                    continue;
                }
                Err(why) => {
                    for name in names_of(raw.get()) {
                        let why = format!("it is ambiguous: {why}");
                        listing.newly_removed.extend(knowledge.report(&name, &why));
                        knowledge.store(name, KnownTool::default(), is_current);
                    }
                    continue;
                }
            };
            match &known.param_headers {
                Ok(_) => listed.extend(self.policy.listed(&name, known.only_reads, raw.get())),
                Err(why) => listing.newly_removed.extend(knowledge.report(&name, why)),
            }
            knowledge.store(name, known, is_current);
        }
        drop(knowledge);
        let is_changed =
            listed.len() < tools.len() || listed.iter().any(|tool| matches!(tool, Cow::Owned(_)));
        if is_changed && let (Some(first), Some(last)) = (tools.first(), tools.last()) {
            let start = range_of(first.get(), response).start;
            let end = range_of(last.get(), response).end;
            listing.changed =
                Some([&response[..start], &listed.join(","), &response[end..]].concat());
        }
        Ok(listing)
    }

    /// Reads a result whose request is not known. One that looks like a list of tools is changed like one, and nothing is
    /// learned from it.
    ///
    /// # Errors
    /// As `learn`.
    pub(crate) fn filter_unknown(&self, response: &str) -> Result<Listing, Error> {
        if !self.policy.changes_lists() {
            return Ok(Listing::default());
        }
        let outdated =
            Page { cursor: None, has_marks: false, times_forgotten: u64::MAX, number: 0 };
        self.learn(response, &outdated)
    }

    /// The `readOnlyHint` of a tool. `None` if it is not known, or only from a part of the list.
    pub(crate) fn only_reads(&self, tool: &str) -> Option<bool> {
        let knowledge = lock(&self.knowledge);
        let only_reads = knowledge.tools.get(tool)?.only_reads;
        (!only_reads || knowledge.extent == Extent::Whole).then_some(only_reads)
    }

    /// Whether the tool's argument for the profile is its own, as far as it is known.
    pub(crate) fn has_own_profile(&self, tool: &str) -> bool {
        lock(&self.knowledge).tools.get(tool).is_some_and(|known| known.has_own_profile)
    }

    /// Whether a whole list is known.
    pub(crate) fn is_whole(&self) -> bool {
        lock(&self.knowledge).extent == Extent::Whole
    }

    /// The number of the known list; 0 without one.
    pub(crate) fn list_number(&self) -> u64 {
        lock(&self.knowledge).list_number
    }

    /// Makes the known part of this list count as the whole: the rest is not requested.
    pub(crate) fn close_list(&self, number: u64) {
        let mut knowledge = lock(&self.knowledge);
        if number != 0 && knowledge.list_number == number {
            knowledge.extent = Extent::Whole;
        }
    }

    /// Whether the tool of this `tools/call` may run twice, according to the server's list.
    pub(crate) fn may_repeat(&self, call: &[u8]) -> bool {
        let name = || {
            let call = unambiguous(str::from_utf8(call).ok()?, &message::MEMBERS).ok()?;
            let params = unambiguous(call.get("params")?.get(), &CALL_MEMBERS).ok()?;
            params.text("name")
        };
        let Some(name) = name() else { return false };
        lock(&self.knowledge).tools.get(&name).is_some_and(|known| known.may_repeat)
    }

    /// Forgets hints: the server's tools have changed, or may have. Marked arguments stay known where the policy does not
    /// need the hints; a server that misses a header returns -32020.
    pub(crate) fn forget(&self) {
        let mut knowledge = lock(&self.knowledge);
        knowledge.times_forgotten += 1;
        (knowledge.list_number, knowledge.extent) = (0, Extent::Nothing);
        if self.policy.is_read_only() {
            knowledge.tools.clear();
        }
        for known in knowledge.tools.values_mut() {
            (known.only_reads, known.may_repeat) = (false, false);
        }
    }

    /// The `Mcp-Param-*` headers of this `tools/call`.
    pub fn headers(&self, call: &[u8]) -> Vec<(String, String)> {
        #[derive(Deserialize)]
        struct Call<'a> {
            #[serde(borrow)]
            params: OnlyObject<Params<'a>>,
        }
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(borrow, default)]
            arguments: Option<&'a RawValue>,
        }

        if lock(&self.knowledge).tools.is_empty() {
            return Vec::new();
        }
        let Ok(Call { params: OnlyObject(Params { name, arguments: Some(arguments) }) }) =
            serde_json::from_slice(call)
        else {
            return Vec::new();
        };
        let headers = match lock(&self.knowledge).tools.get(name.as_ref()) {
            Some(KnownTool { param_headers: Ok(headers), .. }) => headers.clone(),
            _ => Vec::new(),
        };
        if headers.is_empty() {
            return Vec::new();
        }
        let Some(arguments) = Object::parse(arguments.get()) else { return Vec::new() };
        headers.iter().filter_map(|header| header.for_arguments(&arguments)).collect()
    }
}

impl Default for KnownTool {
    fn default() -> KnownTool {
        KnownTool {
            param_headers: Ok(Vec::new()),
            only_reads: false,
            may_repeat: false,
            has_own_profile: false,
        }
    }
}

impl Knowledge {
    /// Begins a list with its first page, or continues the known one. False: the tools on this page do not count.
    fn accept(&mut self, page: &Page, next: Option<String>) -> bool {
        // The list that was requested last counts, regardless of the order of the responses.
        if self.times_forgotten != page.times_forgotten || page.number < self.list_number {
            return false;
        }
        let is_continued = match &page.cursor {
            None => {
                self.tools.clear();
                self.list_number = page.number;
                true
            }
            Some(cursor) => matches!(&self.extent, Extent::Until(next) if next == cursor),
        };
        if is_continued {
            self.extent = next.map_or(Extent::Whole, Extent::Until);
        }
        true
    }

    /// Stores a tool of a current list. Of two with one name the stricter hint counts.
    fn store(&mut self, name: String, mut known: KnownTool, is_current: bool) {
        let is_full = self.tools.len() >= MAX_TOOLS && !self.tools.contains_key(&name);
        if !is_current || is_full || name.len() > MAX_NAME_BYTES {
            return;
        }
        if let Some(other) = self.tools.get(&name) {
            known.only_reads &= other.only_reads;
            known.may_repeat &= other.may_repeat;
        }
        self.tools.insert(name, known);
    }

    /// The beginnings of name and reason of a tool that is removed, unless they were reported before.
    fn report(&mut self, name: &str, why: &str) -> Option<(String, String)> {
        let [name, why] = [name, why].map(reported_part);
        let is_known = self.reported.get(name).is_some_and(|reported| reported == why);
        if is_known || self.reported.len() >= MAX_TOOLS {
            return None;
        }
        self.reported.insert(name.to_owned(), why.to_owned());
        Some((name.to_owned(), why.to_owned()))
    }
}

/// The part of a name or a reason that is reported.
fn reported_part(text: &str) -> &str {
    let mut ends = (0..=MAX_REPORTED_BYTES.min(text.len())).rev();
    &text[..ends.find(|end| text.is_char_boundary(*end)).unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tool_policy::Settings;
    use serde_json::{Value, json};
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
        tools.request_page(None, has_marks)
    }

    #[test]
    fn remaining_tools_are_not_changed() {
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
        assert_eq!(listing.newly_removed.len(), 1, "a reason is reported once");
        let all = learn(&tools, &format!(r#"{{"result":{{"tools":[{bad}]}}}}"#));
        assert_eq!(all.changed.as_deref(), Some(r#"{"result":{"tools":[]}}"#));
        assert!(all.newly_removed.is_empty());
        let of_old = tools.learn(&answer, &first_page(&tools, false)).expect("it is not judged");
        assert_eq!(of_old.changed, None, "the marks mean nothing before 2026-07-28");
    }

    #[test]
    fn of_long_names_little_is_kept() {
        let bad = json!({"x-mcp-header": "A"});
        let long = "é".repeat(MAX_NAME_BYTES);
        let (tools, listing) = learned(&[tool(&long, &bad), tool(&long, &json!({}))]);
        let (name, reason) = &listing.newly_removed[0];
        assert!(name.len() == MAX_REPORTED_BYTES && long.starts_with(name.as_str()));
        assert!(reason.len() <= MAX_REPORTED_BYTES);
        assert!(lock(&tools.knowledge).tools.is_empty());
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
    fn hints_are_those_of_the_last_list() {
        let tools = read_only();
        let page = |is_first: bool| tools.request_page((!is_first).then(|| "7".to_owned()), false);
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
        tools.forget_before(Some(&mut old));
        learn(&[OTHER], old);
        assert_eq!(tools.only_reads("b"), Some(true));
    }

    #[test]
    fn a_list_is_filtered_however_large_it_is() {
        let tools = read_only();
        let padding = " ".repeat(MAX_BYTES_FOR_HINTS);
        let large = |tools: &[&str]| list(tools) + &padding;
        let listing = tools.learn(&large(&[READS, WRITES]), &first_page(&tools, false));
        assert_eq!(listing.expect("a list").changed, Some(large(&[READS])));
    }

    fn page_of(tools: &[&str], next: &str) -> String {
        let tools = tools.join(",");
        format!(r#"{{"id":1,"result":{{"tools":[{tools}],"nextCursor":{next}}}}}"#)
    }

    #[test]
    fn a_part_of_a_list_allows_nothing() {
        let tools = read_only();
        let learn = |answer: &str, cursor: Option<&str>| {
            tools
                .learn(answer, &tools.request_page(cursor.map(str::to_owned), false))
                .expect("a page");
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
        let known = tools.list_number();
        tools.close_list(known);
        assert_eq!(tools.only_reads("a"), Some(true), "longer than is read");
        tools.forget();
        tools.close_list(known);
        tools.close_list(tools.list_number());
        assert!(!tools.is_whole());
    }

    #[test]
    fn of_two_lists_the_one_that_was_requested_last_counts() {
        let tools = read_only();
        let (earlier, later) = (first_page(&tools, false), first_page(&tools, false));
        tools.learn(&list(&[WRITES]), &later).expect("a list");
        tools.learn(&list(&[READS]), &earlier).expect("a list");
        assert_eq!(tools.only_reads("a"), Some(false));
    }

    #[test]
    fn ambiguous_tools_are_removed() {
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
            let listed = tools.learn(&list(&[READS]), &tools.request_page(Some("7".into()), false));
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
