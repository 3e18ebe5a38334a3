//! Responses of an older server in the form of 2026-07-28. Everything else keeps its bytes.

use crate::bridge::envelope::SERVER_INFO;
use crate::bridge::upward::legacy_server::LegacyServer;
use crate::bridge::upward::question::{Declared, Question};
use crate::json::edit;
use crate::json::members::Members;
use crate::json::object::Object;
use crate::mcp::error_codes::{
    INTERNAL_ERROR, INVALID_PARAMS, MISSING_CAPABILITY, RESOURCE_NOT_FOUND,
    URL_ELICITATION_REQUIRED,
};
use crate::mcp::error_object;
use crate::mcp::id::Id;
use serde_json::json;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The result of a response for the client.
#[derive(Debug)]
pub(crate) enum Translated {
    Response(String),
    /// Questions first; then the request is to be sent again.
    Asks(Vec<Question>),
}

/// The request that a response is for.
pub(crate) struct Awaited<'a> {
    pub(crate) id: &'a Id,
    pub(crate) method: &'a str,
    pub(crate) may_be_asked: bool,
    pub(crate) declared: Declared,
}

impl Awaited<'_> {
    /// Translates a response, which is valid JSON-RPC. `left_out` takes the names of tools that are left out.
    pub(crate) fn translate(
        &self,
        response: &str,
        server: &LegacyServer,
        left_out: &mut dyn FnMut(String),
    ) -> Translated {
        let Ok(members) = Members::parse(response.as_bytes()) else {
            return Translated::Response(response.to_owned());
        };
        let text = |part: &'_ [u8]| str::from_utf8(part).unwrap_or_default().to_owned();
        let (part, changed) = match (members.error, members.result) {
            (Some(error), _) => {
                let error = text(error);
                let code = error_object::parse(&error).code;
                if code == URL_ELICITATION_REQUIRED
                    && self.may_be_asked
                    && self.declared.admits_urls()
                    && let Some(questions) = Question::of_error(&error)
                {
                    return Translated::Asks(questions);
                }
                (members.error, self.error(&error, code))
            }
            (None, Some(result)) => (Some(result), self.result(&text(result), server, left_out)),
            (None, None) => (None, None),
        };
        let mut line = response.to_owned();
        if let (Some(part), Some(changed)) = (part, changed) {
            line = edit::replace(response, str::from_utf8(part).unwrap_or_default(), &changed);
        }
        let id = Members::parse(line.as_bytes()).ok().and_then(|members| members.id);
        let line =
            id.map_or_else(|| line.clone(), |id| edit::replace(&line, id, self.id.as_json()));
        Translated::Response(line)
    }

    /// The error, if a client of 2026-07-28 would misread it.
    fn error(&self, error: &str, code: i64) -> Option<String> {
        let object = Object::parse(error)?;
        match code {
            RESOURCE_NOT_FOUND => {
                let code = object.get("code")?.get();
                Some(edit::replace(error, code, &INVALID_PARAMS.to_string()))
            }
            URL_ELICITATION_REQUIRED if self.may_be_asked && !self.declared.admits_urls() => {
                let message = "the server requests that the user open a URL; the client must declare elicitation.url";
                let data = json!({"source": "sigv4-proxy", "requiredCapabilities": {"elicitation": {"url": {}}}});
                Some(
                    json!({"code": MISSING_CAPABILITY, "message": message, "data": data})
                        .to_string(),
                )
            }
            // These codes have other meanings since.
            -32099..=-32020 => {
                let message = object.get("message")?.get();
                Some(format!(
                    r#"{{"code":{INTERNAL_ERROR},"message":{message},"data":{{"source":"sigv4-proxy","cause":{error}}}}}"#
                ))
            }
            _ => None,
        }
    }

    /// The result with what 2026-07-28 requires of it and it lacks.
    fn result(
        &self,
        result: &str,
        server: &LegacyServer,
        left_out: &mut dyn FnMut(String),
    ) -> Option<String> {
        let members = Object::parse(result)?;
        let tools = members.get("tools").filter(|_| self.method == "tools/list");
        let mut changed = Cow::Borrowed(result);
        if let Some((tools, readable)) =
            tools.and_then(|tools| Some((tools, readable_tools(tools, left_out)?)))
        {
            changed = Cow::Owned(edit::replace(result, tools.get(), &readable));
        }
        if let Some(meta) = with_server_info(members.get("_meta"), server) {
            // The range counts in what it has become.
            let old = Object::parse(&changed).and_then(|object| object.get("_meta"));
            changed = Cow::Owned(match old {
                Some(old) => edit::replace(&changed, old.get(), &meta),
                None => edit::insert_member(&changed, "_meta", &meta),
            });
        }
        let is_cacheable = self.method.ends_with("/list") || self.method == "resources/read";
        let missing: [(&str, &str, bool); 3] = [
            ("cacheScope", r#""private""#, is_cacheable),
            ("ttlMs", "0", is_cacheable),
            ("resultType", r#""complete""#, true),
        ];
        for (name, value, applies) in missing {
            if applies && members.get(name).is_none() {
                changed = Cow::Owned(edit::insert_member(&changed, name, value));
            }
        }
        match changed {
            Cow::Borrowed(_) => None,
            Cow::Owned(changed) => Some(changed),
        }
    }
}

/// The `_meta` of a result with the server in it. `None`: it stays as it is.
fn with_server_info(meta: Option<&RawValue>, server: &LegacyServer) -> Option<String> {
    let info = server.info.as_deref()?;
    match meta.map(RawValue::get) {
        None | Some("null") => server.meta(),
        Some(meta) => {
            let known = Object::parse(meta)?;
            known.get(SERVER_INFO).is_none().then(|| edit::insert_member(meta, SERVER_INFO, info))
        }
    }
}

/// Tools without `execution`, and without those that can only be called as tasks. `None`: they stay as they are.
fn readable_tools(tools: &RawValue, left_out: &mut dyn FnMut(String)) -> Option<String> {
    let tools: Vec<&RawValue> = serde_json::from_str(tools.get()).ok()?;
    let mut is_changed = false;
    let mut readable = Vec::with_capacity(tools.len());
    for tool in tools {
        let Some(members) = Object::parse(tool.get()) else {
            readable.push(Cow::Borrowed(tool.get()));
            continue;
        };
        let execution = members.get("execution").and_then(|value| Object::parse(value.get()));
        let support = execution.and_then(|execution| execution.get("taskSupport"));
        if support.is_some_and(|support| support.get() == r#""required""#) {
            is_changed = true;
            left_out(members.text("name").unwrap_or_default());
            continue;
        }
        let cut = edit::without_members(tool.get(), |name| name == "execution");
        is_changed |= cut.is_some();
        readable.push(cut.map_or(Cow::Borrowed(tool.get()), Cow::Owned));
    }
    is_changed.then(|| format!("[{}]", readable.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: &str = r#""resultType":"complete""#;
    const CACHE: &str = r#""ttlMs":0,"cacheScope":"private""#;
    const META: &str = r#""io.modelcontextprotocol/serverInfo":{"name":"s"}"#;

    fn translate(method: &str, response: &str, capabilities: &str) -> (Translated, Vec<String>) {
        let id = Id::from_json("\"mine\"").expect("an id");
        let declared = Declared::read(capabilities);
        let may_be_asked = method == "tools/call";
        let server = LegacyServer::read(br#"{"result":{"serverInfo":{"name":"s"}}}"#);
        let mut left_out = Vec::new();
        let awaited = Awaited { id: &id, method, may_be_asked, declared };
        (awaited.translate(response, &server, &mut |name| left_out.push(name)), left_out)
    }

    fn response(method: &str, response: &str) -> String {
        match translate(method, response, "{}").0 {
            Translated::Response(line) => line,
            Translated::Asks(_) => panic!("{response}"),
        }
    }

    #[test]
    fn results_get_what_they_lack() {
        for (method, result, expected) in [
            ("tools/call", r#"{"n":1e400}"#, format!(r#"{{{DONE},"_meta":{{{META}}},"n":1e400}}"#)),
            (
                "prompts/list",
                r#"{"prompts":[ ], "_meta":{"a":1}}"#,
                format!(r#"{{{DONE},{CACHE},"prompts":[ ], "_meta":{{{META},"a":1}}}}"#),
            ),
            (
                "resources/read",
                r#"{"ttlMs":5,"contents":[]}"#,
                format!(
                    r#"{{{DONE},"cacheScope":"private","_meta":{{{META}}},"ttlMs":5,"contents":[]}}"#
                ),
            ),
            (
                "x/y",
                r#"{"resultType":"odd","_meta":{"io.modelcontextprotocol/serverInfo":7}}"#,
                r#"{"resultType":"odd","_meta":{"io.modelcontextprotocol/serverInfo":7}}"#
                    .to_owned(),
            ),
            ("x/y", "[1]", "[1]".to_owned()),
        ] {
            assert_eq!(
                response(method, &format!(r#"{{"jsonrpc":"2.0","result":{result}, "id":7}}"#)),
                format!(r#"{{"jsonrpc":"2.0","result":{expected}, "id":"mine"}}"#)
            );
        }
    }

    #[test]
    fn tools_are_listed_as_far_as_they_can_be_called() {
        let list = r#"{"id":7,"result":{"tools":[{"name":"a","n":1.0},{"name":"b","execution":{"taskSupport":"optional"}, "x":"\u0065"},{"name":"c","execution":{"taskSupport":"required"}}]}}"#;
        let (translated, left_out) = translate("tools/list", list, "{}");
        let Translated::Response(line) = translated else { panic!("{translated:?}") };
        assert!(
            line.contains(r#""tools":[{"name":"a","n":1.0},{"name":"b", "x":"\u0065"}]}"#),
            "{line}"
        );
        assert_eq!(left_out, ["c"]);
    }

    #[test]
    fn errors_keep_their_meaning() {
        for (error, expected) in [
            (r#"{"code":-32601,"message":"m"}"#, r#"{"code":-32601,"message":"m"}"#),
            (
                r#"{"message":"m","code":-32002,"data":{"uri":"u"}}"#,
                r#"{"message":"m","code":-32602,"data":{"uri":"u"}}"#,
            ),
            (
                r#"{"code":-32050,"message":"\u006d","data":1.0}"#,
                r#"{"code":-32603,"message":"\u006d","data":{"source":"sigv4-proxy","cause":{"code":-32050,"message":"\u006d","data":1.0}}}"#,
            ),
            (r#"{"code":-32019,"message":"m"}"#, r#"{"code":-32019,"message":"m"}"#),
            (r#"{"code":-32100,"message":"m"}"#, r#"{"code":-32100,"message":"m"}"#),
        ] {
            assert_eq!(
                response("tools/call", &format!(r#"{{"id":7,"error":{error}}}"#)),
                format!(r#"{{"id":"mine","error":{expected}}}"#)
            );
        }
    }

    #[test]
    fn urls_to_open_are_asked_of_a_client_that_can_open_them() {
        let error = r#"{"id":7,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","url":"u","elicitationId":"e"}]}}}"#;
        let (translated, _) = translate("tools/call", error, r#"{"elicitation":{"url":{}}}"#);
        assert!(matches!(&translated, Translated::Asks(questions) if questions.len() == 1));
        let refused = response("tools/call", error);
        assert!(refused.contains(r#""code":-32021"#), "{refused}");
        assert!(
            refused.contains(r#""requiredCapabilities":{"elicitation":{"url":{}}}"#),
            "{refused}"
        );
        // Other requests cannot be asked anything.
        let (other, _) = translate("tools/list", error, r#"{"elicitation":{"url":{}}}"#);
        assert!(
            matches!(&other, Translated::Response(line) if line.contains("-32603")),
            "{other:?}"
        );
    }
}
