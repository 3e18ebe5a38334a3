//! `ToolPolicy`: what the user restricts or adds. By default nothing, and no message is changed.
//!
//! It decides which tools are listed and may be called (by name and by the server's `readOnlyHint`), what is added to
//! `params._meta`, and which tools take the name of an AWS profile. A message that it cannot judge is refused.

use crate::error::{Error, Kind};
use crate::json::member_names::unambiguous;
use crate::json::object::Object;
use crate::mcp::glob;
use crate::mcp::headers::has_value;
use crate::mcp::message::{self, Message, split_batch};
use crate::mcp::profile_argument::ProfileArgument;
use crate::mcp::user_metadata::UserMetadata;
use std::borrow::Cow;

/// The members that matter in the params of a method, and in their `_meta`.
const OF_PARAMS: [(&str, &[&str]); 8] = [
    ("tools/call", &["name", "arguments", "task"]),
    ("tools/list", &["cursor"]),
    ("prompts/get", &["name", "arguments"]),
    ("resources/read", &["uri"]),
    ("tasks/get", &["taskId"]),
    ("tasks/update", &["taskId"]),
    ("tasks/cancel", &["taskId"]),
    ("initialize", &["protocolVersion", "capabilities", "clientInfo"]),
];
const OF_META: [&str; 3] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
];

/// The hint of errors about tools that may not be called.
const BLOCKED: &str = "change the configuration to allow it, or use another tool";

/// Restrictions and additions from the command line; none by default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Only tools with `readOnlyHint` may be called.
    pub read_only: bool,
    /// Patterns; empty allows all tools.
    pub allowed_tools: Vec<String>,
    /// Patterns; they override `allowed_tools`.
    pub denied_tools: Vec<String>,
    /// Names and values for `params._meta` of every request.
    pub metadata: Vec<(String, String)>,
    /// The profiles to choose from by an argument of a call, the default first.
    pub profiles: Vec<String>,
    /// Patterns of the tools that take that argument.
    pub profile_tools: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct ToolPolicy {
    read_only: bool,
    /// Empty: all.
    allowed: Vec<String>,
    denied: Vec<String>,
    metadata: UserMetadata,
    profile_argument: ProfileArgument,
}

impl ToolPolicy {
    pub fn new(settings: Settings) -> ToolPolicy {
        ToolPolicy {
            read_only: settings.read_only,
            allowed: settings.allowed_tools,
            denied: settings.denied_tools,
            metadata: UserMetadata::new(settings.metadata),
            profile_argument: ProfileArgument::new(settings.profiles, settings.profile_tools),
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(crate) fn metadata(&self) -> &UserMetadata {
        &self.metadata
    }

    /// Whether it changes lists of tools.
    pub(crate) fn changes_lists(&self) -> bool {
        self.filters() || self.profile_argument.is_on()
    }

    fn filters(&self) -> bool {
        self.read_only || !self.allowed.is_empty() || !self.denied.is_empty()
    }

    // ---- messages of the client

    /// Judges every call in a message of the client, in every form: with an id or without, alone or in a batch, or in a
    /// response. Returns the called tool, whose `readOnlyHint` is still to be judged.
    ///
    /// # Errors
    /// The message must not be sent: a call is not allowed, or cannot be judged.
    pub fn judge(&self, message: &Message) -> Result<Option<String>, Error> {
        if !self.changes_lists() && self.metadata.is_empty() {
            return Ok(None);
        }
        let Some(messages) = split_batch(message.body()) else {
            let text = str::from_utf8(message.body()).unwrap_or_default();
            let tool = self.judge_one(text)?;
            if self.changes_lists() {
                check_headers(message, tool.as_deref())?;
            }
            return Ok(tool);
        };
        // A batch is sent whole or not at all, and this one would have to be changed.
        let mut holds_requests = !message.ids().is_empty();
        for message in messages {
            match self.judge_one(message) {
                Ok(tool) => holds_requests |= tool.is_some(),
                Err(error) if error.kind() == Kind::PolicyDenied => holds_requests = true,
                Err(error) => return Err(error),
            }
        }
        if !holds_requests {
            return Ok(None);
        }
        let what = "batches cannot be used with --read-only, --allow-tool, --deny-tool, --metadata or several profiles";
        Err(Error::new(Kind::PolicyDenied, what).hint("send the requests one at a time"))
    }

    fn judge_one(&self, text: &str) -> Result<Option<String>, Error> {
        let message = read("the message", text, &message::MEMBERS)?;
        // A response without a method calls nothing.
        let Some(method) = message.get_non_null("method") else { return Ok(None) };
        let method: String = serde_json::from_str(method.get()).map_err(|_| names_no_tool())?;
        // `--metadata` alone does not restrict calls.
        let is_call = method == "tools/call" && self.changes_lists();
        let params = message.get_non_null("params").filter(|params| params.get().starts_with('{'));
        let Some(params) = params else {
            return if is_call { Err(names_no_tool()) } else { Ok(None) };
        };
        let expected = OF_PARAMS.iter().find(|(known, _)| *known == method);
        let mut expected = expected.map_or_else(Vec::new, |(_, expected)| expected.to_vec());
        expected.push("_meta");
        let params = read("params", params.get(), &expected)?;
        if let Some(meta) = params.get_non_null("_meta").filter(|meta| meta.get().starts_with('{'))
        {
            let expected: Vec<&str> = OF_META.into_iter().chain(self.metadata.names()).collect();
            read("_meta", meta.get(), &expected)?;
        }
        if !is_call {
            return Ok(None);
        }
        let name = params.text("name").ok_or_else(names_no_tool)?;
        self.check_name(&name)?;
        Ok(Some(name))
    }

    /// The profile that a call chooses, and the call without that argument; `None` if it does not choose. `is_own`: the
    /// tool's argument is the server's.
    pub(crate) fn chosen_profile(
        &self,
        message: &Message,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<Option<(String, Message)>, Error> {
        match self.judge(message)?.filter(|tool| !is_own(tool)) {
            Some(tool) => self.profile_argument.chosen(message, &tool),
            None => Ok(None),
        }
    }

    /// Whether a tool with this schema has an argument of its own that is named like the one that chooses the profile.
    pub(crate) fn has_own_profile_argument(&self, schema: &str) -> bool {
        self.profile_argument.is_own(schema)
    }

    // ---- tools

    /// Whether a tool of this name may be called.
    fn check_name(&self, tool: &str) -> Result<(), Error> {
        let denied = |why: String| {
            let what = format!("tool {tool:?} is blocked by {why} in this server's configuration");
            Err(Error::new(Kind::PolicyDenied, what).hint(BLOCKED))
        };
        if let Some(pattern) = self.denied.iter().find(|pattern| glob::matches(pattern, tool)) {
            return denied(format!("--deny-tool {pattern}"));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|p| glob::matches(p, tool)) {
            return denied(format!("--allow-tool {}", self.allowed.join(" ")));
        }
        Ok(())
    }

    /// Whether a tool with this `readOnlyHint` may be called.
    pub(crate) fn check_hint(&self, tool: &str, only_reads: bool) -> Result<(), Error> {
        if self.read_only && !only_reads {
            let what = format!(
                "tool {tool:?} is blocked by --read-only in this server's configuration: the server does not mark it as read-only"
            );
            return Err(Error::new(Kind::PolicyDenied, what).hint(BLOCKED));
        }
        Ok(())
    }

    /// A tool as the client sees it in the list; `None` if it is hidden.
    pub(crate) fn listed<'a>(
        &self,
        name: &str,
        only_reads: bool,
        tool: &'a str,
    ) -> Option<Cow<'a, str>> {
        if self.check_name(name).is_err() || self.check_hint(name, only_reads).is_err() {
            return None;
        }
        if !self.profile_argument.is_taken_by(name) {
            return Some(Cow::Borrowed(tool));
        }
        Some(self.profile_argument.added_to(tool).map_or(Cow::Borrowed(tool), Cow::Owned))
    }
}

/// Refuses a message whose `Mcp-Method` or `Mcp-Name` says something else than its body: a gateway may go by them.
fn check_headers(message: &Message, tool: Option<&str>) -> Result<(), Error> {
    for (name, value) in message.headers().unwrap_or_default() {
        let is_same = match name.as_str() {
            "mcp-method" => message.method() == Some(value),
            "mcp-name" => tool.is_none_or(|tool| has_value(value, tool)),
            _ => true,
        };
        if !is_same {
            let what = format!("the header {name} differs from the message");
            let fix = "send Mcp-Method and Mcp-Name as in the message, or omit them";
            return Err(Error::new(Kind::InvalidRequest, what).hint(fix));
        }
    }
    Ok(())
}

/// An object that every parser reads alike.
fn read<'a>(what: &str, text: &'a str, expected: &[&str]) -> Result<Object<'a>, Error> {
    unambiguous(text, expected).map_err(|why| {
        Error::new(Kind::InvalidRequest, format!("{what} is ambiguous: {why}"))
            .hint("write each member once, and spell its name as in the MCP specification")
    })
}

fn names_no_tool() -> Error {
    let what = "the call names no tool";
    Error::new(Kind::InvalidRequest, what).hint("put the tool's name into params.name as a string")
}

/// Readings of a message by different parsers, shared with the fuzz target.
#[cfg(test)]
#[path = "../../tests/support/readings.rs"]
mod readings;

#[cfg(test)]
mod tests {
    use super::readings::{Json, Parser};
    use super::*;
    use proptest::prelude::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn filter(read_only: bool, allowed: &[&str], denied: &[&str]) -> ToolPolicy {
        ToolPolicy::new(Settings {
            read_only,
            allowed_tools: strings(allowed),
            denied_tools: strings(denied),
            ..Settings::default()
        })
    }

    fn judged(policy: &ToolPolicy, line: &str) -> Result<Option<String>, Error> {
        policy.judge(&Message::parse(line.as_bytes().to_vec()).expect("a message"))
    }

    #[test]
    fn names_and_hints() {
        let policy = filter(true, &["get_*", "list"], &["get_secret*"]);
        assert!(policy.check_name("get_time").is_ok() && policy.check_name("list").is_ok());
        for (name, why) in
            [("get_secret_value", "--deny-tool get_secret*"), ("put", "--allow-tool get_* list")]
        {
            let error = policy.check_name(name).expect_err(name);
            assert_eq!(error.kind(), Kind::PolicyDenied);
            assert!(error.message().contains(why), "{error}");
        }
        assert!(policy.check_hint("get_time", false).is_err());
        assert_eq!(policy.listed("get_time", true, "{}").as_deref(), Some("{}"));
        assert_eq!(policy.listed("get_time", false, "{}"), None);
        assert_eq!(policy.listed("get_secret", true, "{}"), None);
        assert!(!ToolPolicy::default().changes_lists());
    }

    /// A gateway before the server may go by the headers.
    #[test]
    fn headers_that_contradict_the_message_are_refused() {
        let judged = |policy: &ToolPolicy, line: &str, (name, value): (&str, &str)| {
            let message = Message::parse(line.as_bytes().to_vec()).expect("a message");
            policy.judge(&message.with_headers([(name.to_owned(), value.to_owned())].into()))
        };
        let policy = filter(false, &[], &["delete"]);
        let call = r#"{"id":1,"method":"tools/call","params":{"name":"echo"}}"#;
        let ping = r#"{"id":1,"method":"ping"}"#;
        for (line, header, is_allowed) in [
            (call, ("mcp-name", "echo"), true),
            (call, ("mcp-name", "=?base64?ZWNobw==?="), true),
            (call, ("mcp-method", "tools/call"), true),
            (call, ("mcp-param-name", "delete"), true),
            (call, ("mcp-name", "delete"), false),
            (call, ("mcp-name", "=?base64?ZGVsZXRl?="), false),
            (call, ("mcp-name", "Echo"), false),
            (call, ("mcp-method", "tools/list"), false),
            (ping, ("mcp-method", "tools/call"), false),
            (r#"{"id":1,"result":{}}"#, ("mcp-method", "tools/call"), false),
        ] {
            let result = judged(&policy, line, header);
            assert_eq!(result.is_ok(), is_allowed, "{line} {header:?}: {result:?}");
            assert!(judged(&ToolPolicy::default(), line, header).is_ok());
        }
    }

    #[test]
    fn calls_are_judged_in_every_form() {
        let policy = filter(false, &[], &["delete"]);
        for (line, tool) in [
            (r#"{"id":1,"method":"tools/call","params":{"name":"echo"}}"#, Some("echo")),
            (r#"{"method":"tools\/call","params":{"n\u0061me":"ech\u006f"}}"#, Some("echo")),
            (r#"{"id":1,"method":"m","params":["delete"]}"#, None),
            (r#"{"id":1,"result":{"name":"delete","Name":1}}"#, None),
            (r#"[{"id":1,"result":{}},{"method":"notifications/x"}]"#, None),
            (
                r#"{"id":1,"method":"tools/call","params":{"name":"echo","arguments":{"name":1,"Name":2}}}"#,
                Some("echo"),
            ),
        ] {
            assert_eq!(judged(&policy, line).expect(line).as_deref(), tool, "{line}");
        }
        for (line, kind) in [
            (r#"{"id":1,"method":"tools/call","params":{"name":"delete"}}"#, Kind::PolicyDenied),
            (r#"{"method":"tools/call","params":{"name":"delete"}}"#, Kind::PolicyDenied),
            (
                r#"{"id":1,"result":{},"method":"tools/call","params":{"name":"delete"}}"#,
                Kind::PolicyDenied,
            ),
            (r#"[{"method":"tools/call","params":{"name":"delete"}}]"#, Kind::PolicyDenied),
            (r#"[{"method":"tools/call","params":{"name":"echo"}}]"#, Kind::PolicyDenied),
            (r#"[{"id":1,"method":"ping"}]"#, Kind::PolicyDenied),
            (r#"{"id":1,"method":"tools/call"}"#, Kind::InvalidRequest),
            (r#"{"id":1,"method":"tools/call","params":["echo"]}"#, Kind::InvalidRequest),
            (r#"{"id":1,"method":"tools/call","params":{"name":["echo"]}}"#, Kind::InvalidRequest),
            (
                r#"{"id":1,"method":"tools/call","params":{"name":"echo","Name":1}}"#,
                Kind::InvalidRequest,
            ),
            (r#"{"id":1,"method":"ping","Method":"tools/call"}"#, Kind::InvalidRequest),
            (r#"{"id":1,"result":{},"METHOD":"tools/call"}"#, Kind::InvalidRequest),
            (r#"[{"id":1,"result":{},"METHOD":"tools/call"}]"#, Kind::InvalidRequest),
            (r#"{"id":1,"method":"m","params":{"_Meta":{}}}"#, Kind::InvalidRequest),
            (r#"{"id":1,"method":"m","params":{"_meta":{"x":1,"X":2}}}"#, Kind::InvalidRequest),
            (r#"{"id":1,"method":"m","param\u017f":{}}"#, Kind::InvalidRequest),
        ] {
            assert_eq!(judged(&policy, line).expect_err(line).kind(), kind, "{line}");
            assert_eq!(judged(&ToolPolicy::default(), line).expect(line), None, "{line}");
        }
    }

    /// An object whose members have these names, written in many ways, and some of these values.
    fn object(
        names: &'static [&'static str],
        value: impl Strategy<Value = String> + 'static,
    ) -> impl Strategy<Value = String> {
        let name = (prop::sample::select(names), 0..8_u8, any::<prop::sample::Index>());
        let name = name.prop_map(|(name, way, at)| {
            let at = at.index(name.len());
            let (before, after) = name.split_at(at);
            let (letter, rest) = after.split_at(1);
            match way {
                0 => name.to_uppercase(),
                1 => format!("{before}{}{rest}", letter.to_uppercase()),
                2 => format!("{before}\\u{:04x}{rest}", letter.as_bytes()[0]),
                3 => name.replacen('s', "\u{17f}", 1),
                4 => name.replacen('s', "\\u017f", 1),
                _ => name.to_owned(),
            }
        });
        prop::collection::vec((name, value), 0..4).prop_map(|members| {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    }

    fn values() -> impl Strategy<Value = String> {
        prop::sample::select(
            &["\"echo\"", "\"delete\"", r#""d\u0065lete""#, "[\"delete\"]", "{}", "null", "1"][..],
        )
        .prop_map(str::to_owned)
    }

    fn messages() -> impl Strategy<Value = String> {
        let params = prop_oneof![
            8 => object(&["name", "arguments", "_meta"], values()),
            1 => values(),
        ];
        // Mostly calls, for anything else calls nothing.
        let call = (params.clone(), prop::sample::select(&["", "\"id\":1,", "\"result\":{},"][..]))
            .prop_map(|(params, more)| {
                format!(r#"{{{more}"method":"tools/call","params":{params}}}"#)
            });
        let value = prop_oneof![params, Just(r#""tools/call""#.to_owned()), values()];
        prop_oneof![3 => call, 1 => object(&["id", "method", "params", "result"], value)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_parser_runs_what_was_not_judged(
            messages in prop::collection::vec(messages(), 1..3),
            is_batch in any::<bool>(),
        ) {
            let line =
                if is_batch { format!("[{}]", messages.join(",")) } else { messages[0].clone() };
            let policy = filter(false, &["e*"], &["delete"]);
            if let Ok(message) = Message::parse(line.clone().into_bytes())
                && policy.judge(&message).is_ok()
            {
                let read: Json = serde_json::from_str(&line).expect("a message is JSON");
                for parser in Parser::ALL {
                    let run = read.run(parser);
                    prop_assert!(run.iter().all(|tool| *tool == Some("echo")), "{parser:?} {run:?}");
                }
            }
        }
    }
}
