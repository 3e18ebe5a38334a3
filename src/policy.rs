//! `Policy`: what the user restricts or adds. Pure, and off unless asked for: without one no message is touched.
//!
//! Which tools are offered and may be called, by name and by the server's `readOnlyHint`; what is written into
//! `params._meta`; which tools take the name of an AWS profile.

use crate::error::{Error, Kind};
use crate::message::{Message, Sort};
use crate::options::{Options, WORKING_REGION};
use crate::splice::{self, Members};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The argument by which a call chooses its profile.
const PROFILE: &str = "aws_profile";

#[derive(Debug, Default)]
pub struct Policy {
    read_only: bool,
    /// Empty: all.
    allowed: Vec<String>,
    denied: Vec<String>,
    metadata: Vec<(String, String)>,
    /// Those that a call may choose from; empty when there is no choice.
    profiles: Vec<String>,
    profile_tools: Vec<String>,
}

impl Policy {
    pub fn new(options: &Options) -> Policy {
        let has_choice = options.profiles.len() > 1;
        Policy {
            read_only: options.read_only,
            allowed: options.allowed_tools.clone(),
            denied: options.denied_tools.clone(),
            metadata: options
                .metadata
                .iter()
                .cloned()
                .chain(
                    options.working_region.iter().map(|r| (WORKING_REGION.to_owned(), r.clone())),
                )
                .collect(),
            profiles: if has_choice { options.profiles.clone() } else { Vec::new() },
            profile_tools: options.profile_tools.clone(),
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether lists of tools are changed by it.
    pub(crate) fn changes_lists(&self) -> bool {
        self.filters() || !self.profiles.is_empty()
    }

    /// Whether calls are checked.
    pub(crate) fn filters(&self) -> bool {
        self.read_only || !self.allowed.is_empty() || !self.denied.is_empty()
    }

    /// Whether this tool may be called as far as its name tells.
    pub(crate) fn check_name(&self, tool: &str) -> Result<(), Error> {
        let denied = |why: String| {
            let what = format!("tool {tool:?} may not be called: {why}");
            Err(Error::new(Kind::Denied, what).hint("whoever started sigv4-proxy decided so"))
        };
        if let Some(glob) = self.denied.iter().find(|glob| matches(glob, tool)) {
            return denied(format!("--deny-tool {glob}"));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|glob| matches(glob, tool)) {
            return denied(format!("it is not among --allow-tool {}", self.allowed.join(" ")));
        }
        Ok(())
    }

    /// And as far as the server says that it only reads.
    pub(crate) fn check_hint(&self, tool: &str, only_reads: bool) -> Result<(), Error> {
        if self.read_only && !only_reads {
            let what = format!(
                "tool {tool:?} may not be called: the server does not mark it as read-only, and --read-only is on"
            );
            return Err(
                Error::new(Kind::Denied, what).hint("whoever started sigv4-proxy decided so")
            );
        }
        Ok(())
    }

    /// A tool as it is listed; `None` when it is not.
    pub(crate) fn listed<'a>(
        &self,
        name: &str,
        only_reads: bool,
        tool: &'a str,
    ) -> Option<Cow<'a, str>> {
        if self.check_name(name).is_err() || self.check_hint(name, only_reads).is_err() {
            return None;
        }
        if !self.takes_profile(name) {
            return Some(Cow::Borrowed(tool));
        }
        Some(self.with_profile_argument(tool).map_or(Cow::Borrowed(tool), Cow::Owned))
    }

    /// A batch is sent whole, so one that would have to be changed is not sent at all.
    pub(crate) fn check_batch(&self, message: &Message) -> Result<(), Error> {
        let Sort::Batch { ids, .. } = message.sort() else { return Ok(()) };
        let touches_requests = self.changes_lists() || !self.metadata.is_empty();
        if ids.is_empty() || !touches_requests {
            return Ok(());
        }
        Err(Error::new(
            Kind::Denied,
            "batches are not taken beside --read-only, --allow-tool, --deny-tool, --metadata or several profiles",
        )
        .hint("send the requests one by one"))
    }

    /// The request with what belongs into its `params._meta`; the client's own members win.
    pub(crate) fn with_metadata(&self, message: &Message) -> Option<Message> {
        if self.metadata.is_empty() || !matches!(message.sort(), Sort::Request { .. }) {
            return None;
        }
        let text = str::from_utf8(message.body()).ok()?;
        let members = Members::of(text)?;
        let changed = if let Some(params) = members.get("params") {
            splice::with(text, params.get(), &self.added_to(params)?)
        } else {
            let params = format!("{{\"_meta\":{}}}", self.merged("{}")?);
            splice::with_member(text, "params", &params)
        };
        Message::parse(changed.into_bytes()).ok()
    }

    fn added_to(&self, params: &RawValue) -> Option<String> {
        let members = Members::of(params.get())?;
        Some(match members.get("_meta") {
            Some(meta) => splice::with(params.get(), meta.get(), &self.merged(meta.get())?),
            None => splice::with_member(params.get(), "_meta", &self.merged("{}")?),
        })
    }

    fn merged(&self, meta: &str) -> Option<String> {
        let members = Members::of(meta)?;
        let new = self.metadata.iter().rev().filter(|(name, _)| members.get(name).is_none());
        Some(new.fold(meta.to_owned(), |meta, (name, value)| {
            let name = Value::from(name.as_str()).to_string();
            splice::with_member(
                &meta,
                name.trim_matches('"'),
                &Value::from(value.as_str()).to_string(),
            )
        }))
    }

    // ---- profiles

    fn takes_profile(&self, tool: &str) -> bool {
        !self.profiles.is_empty() && self.profile_tools.iter().any(|glob| matches(glob, tool))
    }

    /// The profile that a call chooses, and the call without that argument. `None`: it chooses none.
    pub(crate) fn chosen_profile(
        &self,
        message: &Message,
    ) -> Result<Option<(String, Message)>, Error> {
        if self.profiles.is_empty() || message.method() != Some("tools/call") {
            return Ok(None);
        }
        self.profile_argument(message)
    }

    fn profile_argument(&self, message: &Message) -> Result<Option<(String, Message)>, Error> {
        let found = || {
            let text = str::from_utf8(message.body()).ok()?;
            let params = Members::of(text)?.get("params")?;
            let members = Members::of(params.get())?;
            let tool: String = serde_json::from_str(members.get("name")?.get()).ok()?;
            let arguments = members.get("arguments")?;
            let members = Members::of(arguments.get())?;
            let chosen = members.get(PROFILE).filter(|_| self.takes_profile(&tool))?;
            Some((text, arguments, members.without(PROFILE), chosen))
        };
        let Some((text, arguments, rest, chosen)) = found() else { return Ok(None) };
        let chosen = serde_json::from_str::<String>(chosen.get()).unwrap_or_default();
        if !self.profiles.contains(&chosen) {
            let what = format!("no profile {chosen:?} for {PROFILE}");
            let mend = format!("choose from: {}", self.profiles.join(", "));
            return Err(Error::new(Kind::Denied, what).hint(mend));
        }
        let changed = splice::with(text, arguments.get(), &rest);
        Ok(Message::parse(changed.into_bytes()).ok().map(|message| (chosen, message)))
    }

    /// `None` when it has such an argument of its own, or no schema to add one to.
    fn with_profile_argument(&self, tool: &str) -> Option<String> {
        let schema = Members::of(tool)?.get("inputSchema")?;
        let argument = json!({
            "type": "string",
            "enum": self.profiles,
            "description": format!("The AWS profile to make this call with. Default: {}", self.profiles[0]),
        })
        .to_string();
        let changed = if let Some(properties) = Members::of(schema.get())?.get("properties") {
            let members = Members::of(properties.get())?;
            if members.get(PROFILE).is_some() {
                return None;
            }
            let more = splice::with_member(properties.get(), PROFILE, &argument);
            splice::with(schema.get(), properties.get(), &more)
        } else {
            let properties = format!("{{\"{PROFILE}\":{argument}}}");
            splice::with_member(schema.get(), "properties", &properties)
        };
        Some(splice::with(tool, schema.get(), &changed))
    }
}

/// A name and a pattern, in which `*` is any text and `?` any letter.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[of] => {
                at += 1;
                of += 1;
            }
            _ => match star {
                // The last star takes one letter more.
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    of = taken + 1;
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn message(line: &str) -> Message {
        Message::parse(line.as_bytes().to_vec()).expect("a message")
    }

    fn text(message: &Message) -> &str {
        str::from_utf8(message.body()).expect("UTF-8")
    }

    #[test]
    fn globs() {
        for (glob, name, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("aws___*", "aws___call_aws", true),
            ("*_aws", "aws___call_aws", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("**", "x", true),
            ("[a]", "a", false),
            ("é?", "éü", true),
        ] {
            assert_eq!(matches(glob, name), fits, "{glob} {name}");
        }
    }

    #[test]
    fn names_and_hints() {
        let policy = Policy {
            read_only: true,
            allowed: strings(&["get_*", "list"]),
            denied: strings(&["get_secret*"]),
            ..Policy::default()
        };
        assert!(policy.check_name("get_time").is_ok() && policy.check_name("list").is_ok());
        for (name, why) in
            [("get_secret_value", "--deny-tool get_secret*"), ("put", "--allow-tool get_* list")]
        {
            let error = policy.check_name(name).expect_err(name);
            assert_eq!(error.kind(), Kind::Denied);
            assert!(error.message().contains(why), "{error}");
        }
        assert!(policy.check_hint("get_time", false).is_err());
        assert_eq!(policy.listed("get_time", true, "{}").as_deref(), Some("{}"));
        assert_eq!(policy.listed("get_time", false, "{}"), None);
        assert_eq!(policy.listed("get_secret", true, "{}"), None);
        assert!(!Policy::default().changes_lists());
    }

    #[test]
    fn metadata_beside_what_the_client_says() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let policy = Policy {
            metadata: vec![pair("AWS_REGION", "eu-west-1"), pair("a\"b", "c")],
            ..Policy::default()
        };
        for (line, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":1e2,"method":"m"}"#,
                r#"{"params":{"_meta":{"AWS_REGION":"eu-west-1","a\"b":"c"}},"jsonrpc":"2.0","id":1e2,"method":"m"}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{ "x":0.10}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"AWS_REGION":"eu-west-1","a\"b":"c"}, "x":0.10}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"_meta":{"AWS_REGION":"mine","progressToken":1}}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"a\"b":"c","AWS_REGION":"mine","progressToken":1}}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"_meta":{}}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"AWS_REGION":"eu-west-1","a\"b":"c"}}}"#,
            ),
        ] {
            let changed = policy.with_metadata(&message(line)).expect("it changes");
            assert_eq!(text(&changed), expected);
        }
        assert!(policy.with_metadata(&message(r#"{"method":"notifications/x"}"#)).is_none());
        assert!(policy.with_metadata(&message(r#"{"id":1,"method":"m","params":[1]}"#)).is_none());
        assert!(Policy::default().with_metadata(&message(r#"{"id":1,"method":"m"}"#)).is_none());
    }

    #[test]
    fn profiles() {
        let policy = Policy {
            profiles: strings(&["a", "b c"]),
            profile_tools: strings(&["aws___*"]),
            ..Policy::default()
        };
        let tool = r#"{"name":"aws___x","inputSchema":{"type":"object","properties":{"n":{"const":1.0}}}}"#;
        let listed = policy.listed("aws___x", false, tool).expect("it is listed").into_owned();
        let argument = r#"{"properties":{"aws_profile":{"description":"The AWS profile to make this call with. Default: a","enum":["a","b c"],"type":"string"},"#;
        let expected = tool.replace(r#"{"properties":{"#, argument);
        let expected = expected.replace(
            r#""properties":{"n""#,
            &argument[1..].replace(r#""type":"string"},"#, r#""type":"string"},"n""#),
        );
        assert_eq!(listed, expected);
        assert_eq!(policy.listed("other", false, tool).as_deref(), Some(tool));
        let own = r#"{"inputSchema":{"properties":{"aws_profile":{}}}}"#;
        assert_eq!(policy.listed("aws___x", false, own).as_deref(), Some(own));
        let bare = policy.listed("aws___x", false, r#"{"inputSchema":{"type":"object"}}"#);
        assert!(bare.expect("it is listed").contains(r#"{"properties":{"aws_profile":"#));

        let call = |tool: &str, arguments: &str| {
            let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
            message(&format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#))
        };
        let chosen = call("aws___x", r#"{"n": 1.50,"aws_profile":"b c","m":[]}"#);
        let (profile, stripped) = policy.chosen_profile(&chosen).expect("it may").expect("one");
        assert_eq!(profile, "b c");
        assert_eq!(text(&stripped), text(&call("aws___x", r#"{"n":1.50,"m":[]}"#)));
        for (tool, arguments) in [("aws___x", "{}"), ("other", r#"{"aws_profile":"b c"}"#)] {
            assert!(policy.chosen_profile(&call(tool, arguments)).expect("it may").is_none());
        }
        for wrong in [r#"{"aws_profile":"z"}"#, r#"{"aws_profile":7}"#] {
            let error = policy.chosen_profile(&call("aws___x", wrong)).expect_err("not there");
            assert_eq!(error.what_to_do(), Some("choose from: a, b c"));
        }
    }
}
