//! `ProfileArgument`: the argument of a call that chooses the AWS profile to make it with.

use crate::error::{Error, Kind};
use crate::json::edit;
use crate::json::member_names;
use crate::json::object::Object;
use crate::mcp::glob;
use crate::mcp::message::Message;
use serde_json::json;

const NAME: &str = "aws_profile";

/// Which profiles a call may choose from, and which tools take the argument.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProfileArgument {
    /// The first is the default. Empty when there is no choice.
    profiles: Vec<String>,
    /// Patterns.
    tools: Vec<String>,
}

impl ProfileArgument {
    /// `tools` are patterns. With one profile there is nothing to choose.
    pub(crate) fn new(profiles: Vec<String>, tools: Vec<String>) -> ProfileArgument {
        let profiles = if profiles.len() > 1 { profiles } else { Vec::new() };
        ProfileArgument { profiles, tools }
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.profiles.is_empty()
    }

    /// Whether calls of this tool may choose.
    pub(crate) fn is_taken_by(&self, tool: &str) -> bool {
        self.is_on() && self.tools.iter().any(|pattern| glob::matches(pattern, tool))
    }

    /// The profile that a call of `tool` chooses, and the call without the argument; `None` if it does not choose. A tool
    /// that takes no such argument gets none: the default profile, and the call without it. The member names of the message
    /// and of its params have been found unambiguous.
    ///
    /// # Errors
    /// The profile is unknown, or the choice cannot be read: that is never the default profile.
    pub(crate) fn chosen(
        &self,
        message: &Message,
        tool: &str,
    ) -> Result<Option<(String, Message)>, Error> {
        let Some(default) = self.profiles.first() else { return Ok(None) };
        let text = str::from_utf8(message.body()).unwrap_or_default();
        let params = Object::parse(text).and_then(|message| message.get("params"));
        let params = params.and_then(|params| Object::parse(params.get()));
        let Some(arguments) = params.and_then(|params| params.get_non_null("arguments")) else {
            return Ok(None);
        };
        let unreadable = |why: &str| {
            let what = format!("the profile of this call cannot be read: {why}");
            Error::new(Kind::InvalidRequest, what)
                .hint(format!("write arguments.{NAME} once, as a string"))
        };
        let without = || {
            let rest = edit::without_members(arguments.get(), |name| name == NAME);
            let rest = rest.as_deref().unwrap_or(arguments.get());
            let changed = edit::replace(text, arguments.get(), rest);
            message
                .changed_to(changed)
                .map_err(|_| unreadable("without it the call is not a message"))
        };
        let members = Object::parse(arguments.get());
        if !self.is_taken_by(tool) {
            let has_argument = members.is_some_and(|members| members.get(NAME).is_some());
            return has_argument.then(|| Ok((default.clone(), without()?))).transpose();
        }
        let members = members.ok_or_else(|| unreadable("its arguments are not a JSON object"))?;
        let mut chosen = None;
        for (name, value) in members.members() {
            if !member_names::equals_folded(name, NAME) {
                continue;
            }
            if name != NAME {
                return Err(unreadable(&format!("some JSON parsers read {name:?} as {NAME:?}")));
            }
            if chosen.replace(value).is_some() {
                return Err(unreadable("it is written more than once"));
            }
        }
        let Some(chosen) = chosen else { return Ok(None) };
        let Ok(chosen) = serde_json::from_str::<String>(chosen.get()) else {
            return Err(unreadable("it is not a string"));
        };
        if !self.profiles.contains(&chosen) {
            let what = format!("unknown profile {chosen:?} in {NAME}");
            let fix = format!("use one of: {}", self.profiles.join(", "));
            return Err(Error::new(Kind::PolicyDenied, what).hint(fix));
        }
        Ok(Some((chosen, without()?)))
    }

    /// Whether a tool with this schema has such an argument of its own, which then is the server's.
    pub(crate) fn is_own(&self, schema: &str) -> bool {
        let has_it = || {
            let properties = Object::parse(schema)?.get("properties")?;
            Object::parse(properties.get())?.get(NAME)
        };
        self.is_on() && has_it().is_some()
    }

    /// A listed tool with the argument added. `None` if it has such an argument of its own, or no schema.
    pub(crate) fn added_to(&self, tool: &str) -> Option<String> {
        let schema = Object::parse(tool)?.get("inputSchema")?;
        if self.is_own(schema.get()) {
            return None;
        }
        let argument = json!({
            "type": "string",
            "enum": self.profiles,
            "description": format!("AWS profile for this call. Default: {}", self.profiles[0]),
        })
        .to_string();
        let changed = if let Some(properties) = Object::parse(schema.get())?.get("properties") {
            Object::parse(properties.get())?;
            let more = edit::insert_member(properties.get(), NAME, &argument);
            edit::replace(schema.get(), properties.get(), &more)
        } else {
            let properties = format!("{{\"{NAME}\":{argument}}}");
            edit::insert_member(schema.get(), "properties", &properties)
        };
        Some(edit::replace(tool, schema.get(), &changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument() -> ProfileArgument {
        ProfileArgument::new(vec!["a".into(), "b c".into()], vec!["aws___*".into()])
    }

    fn call(arguments: &str) -> Message {
        let params = format!(r#"{{"name":"aws___x","arguments":{arguments}}}"#);
        let line = format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#);
        Message::parse(line.into_bytes()).expect("a message")
    }

    #[test]
    fn tools_are_listed_with_it() {
        let tool = r#"{"name":"aws___x","inputSchema":{"type":"object","properties":{"n":{"const":1.0}}}}"#;
        let expected = r#"{"name":"aws___x","inputSchema":{"type":"object","properties":{"aws_profile":{"description":"AWS profile for this call. Default: a","enum":["a","b c"],"type":"string"},"n":{"const":1.0}}}}"#;
        assert_eq!(argument().added_to(tool).as_deref(), Some(expected));
        let own = r#"{"inputSchema":{"properties":{"aws_profile":{}}}}"#;
        assert_eq!(argument().added_to(own), None);
        let bare = argument().added_to(r#"{"inputSchema":{"type":"object"}}"#);
        assert!(bare.expect("a schema").contains(r#"{"properties":{"aws_profile":"#));
        assert!(argument().is_taken_by("aws___x") && !argument().is_taken_by("other"));
        assert!(!ProfileArgument::new(vec!["a".into()], vec!["*".into()]).is_taken_by("other"));
    }

    #[test]
    fn a_choice_is_removed_from_the_call() {
        let chosen = call(r#"{"n": 1.50,"aws\u005fprofile":"b c","m":[],"Aws":1,"aws":2}"#);
        let (profile, rest) = argument().chosen(&chosen, "aws___x").expect("it may").expect("one");
        assert_eq!(profile, "b c");
        assert_eq!(rest.body(), call(r#"{"n": 1.50,"m":[],"Aws":1,"aws":2}"#).body());
        let stray = call(r#"{"aws_profile":7, "n": 1.50}"#);
        let (profile, rest) = argument().chosen(&stray, "other").expect("it may").expect("one");
        assert_eq!((profile.as_str(), rest.body()), ("a", call(r#"{ "n": 1.50}"#).body()));
        for (tool, arguments) in [
            ("aws___x", "{}"),
            ("aws___x", "null"),
            ("other", r#"{"AWS_PROFILE":"b c"}"#),
            ("other", r#"["aws_profile"]"#),
        ] {
            assert!(argument().chosen(&call(arguments), tool).expect("it may").is_none());
        }
    }

    #[test]
    fn a_choice_that_cannot_be_read_is_never_the_default() {
        let error = argument().chosen(&call(r#"{"aws_profile":"z"}"#), "aws___x").expect_err("z");
        assert_eq!(error.hint_text(), Some("use one of: a, b c"));
        for arguments in [
            r#"{"aws_profile":7}"#,
            r#"{"aws_profile":["a"]}"#,
            r#"{"aws_profile":null}"#,
            r#"{"aws_profile":"b c","aws_profile":"a"}"#,
            r#"{"aws_profile":"b c","aws\u005fprofile":"a"}"#,
            r#"{"AWS_PROFILE":"b c"}"#,
            r#"{"aw\u017f_profile":"b c","aws_profile":"a"}"#,
            r#"[{"aws_profile":"b c"}]"#,
            r#""b c""#,
            r#"{"\ud800":"b c"}"#,
        ] {
            let error = argument().chosen(&call(arguments), "aws___x").expect_err(arguments);
            assert_eq!(error.kind(), Kind::InvalidRequest, "{arguments}");
        }
    }
}
