//! `SignInTool`: the only tool in the list while the server's list needs a sign-in.

use crate::error::Error;
use crate::json::members::Members;
use crate::json::object::Object;
use crate::mcp::message::Message;
use crate::mcp::tool_list::{ToolList, names_of};
use crate::sync::lock;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &str = "aws_sign_in";

#[derive(Default)]
pub(crate) struct SignInTool {
    /// It was in a list.
    is_offered: AtomicBool,
    /// Whether the client has had the server's list.
    is_list_known: AtomicBool,
    /// Whether the server has a tool of this name.
    is_servers_own: AtomicBool,
    /// Why the list could not be had.
    why: Mutex<Option<Error>>,
}

impl SignInTool {
    /// Whether it may replace the server's list.
    pub(crate) fn may_stand_in(&self) -> bool {
        !self.is_list_known.load(Ordering::Relaxed)
    }

    /// The result of a `tools/list` that failed with `why`.
    pub(crate) fn list(&self, request: &Message, why: &Error) -> Value {
        *lock(&self.why) = Some(why.clone());
        self.is_offered.store(true, Ordering::Relaxed);
        let description = "AWS requires a new sign-in before this server's tools can be listed. Returns a link and a code for \
                           the user; after the user has signed in, the server's own tools appear. Call it again to wait for that.";
        let tool = json!({
            "name": NAME,
            "title": "Sign in to AWS",
            "description": description,
            "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
            "annotations": { "readOnlyHint": true, "openWorldHint": true },
        });
        if request.request_meta().is_some() {
            json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [tool] })
        } else {
            json!({ "tools": [tool] })
        }
    }

    /// Takes a response of the server to `tools/list`.
    pub(crate) fn learn(&self, response: &[u8]) {
        let Ok(response) = str::from_utf8(response) else { return };
        if Members::parse(response.as_bytes()).is_ok_and(|response| response.result.is_some()) {
            self.is_list_known.store(true, Ordering::Relaxed);
        }
        // Lists are long, and hardly any has this name, which only a Unicode escape could hide.
        let may_have_it = response.contains(NAME) || response.contains("\\u");
        if may_have_it
            && let Ok(list) = ToolList::read(response, false)
            && list.tools.iter().any(|tool| names_of(tool.get()).iter().any(|name| name == NAME))
        {
            self.is_servers_own.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the request calls it: why the list could not be had.
    pub(crate) fn called_by(&self, request: &Message) -> Option<Error> {
        let is_offered = self.is_offered.load(Ordering::Relaxed);
        if !is_offered
            || request.method() != Some("tools/call")
            || self.is_servers_own.load(Ordering::Relaxed)
        {
            return None;
        }
        let params = Object::parse(str::from_utf8(request.body()).ok()?)?.get("params")?.get();
        let name = Object::parse(params)?.text("name")?;
        lock(&self.why).clone().filter(|_| name == NAME)
    }

    /// Whether the client has a list with this tool.
    pub(crate) fn is_offered(&self) -> bool {
        self.is_offered.load(Ordering::Relaxed)
    }
}

/// The result of a call of it.
pub(crate) fn result(request: &Message, text: &str, is_error: bool) -> Value {
    let mut result = json!({ "content": [{ "type": "text", "text": text }], "isError": is_error });
    if request.request_meta().is_some() {
        result["resultType"] = "complete".into();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_of_the_server_with_this_name_is_the_servers() {
        for (tool, is_servers_own) in [
            (r#"{"name":"aws_sign_in"}"#, true),
            (r#"{"name":"aws_sign_\u0069n"}"#, true),
            (r#"{"Name":"aws_sign_in"}"#, true),
            (r#"{"name":"\u0061dd"}"#, false),
            (r#"{"name":"add","description":"after aws_sign_in"}"#, false),
        ] {
            let known = SignInTool::default();
            known.learn(format!(r#"{{"id":1,"result":{{"tools":[{tool}]}}}}"#).as_bytes());
            assert!(!known.may_stand_in(), "{tool}");
            assert_eq!(known.is_servers_own.load(Ordering::Relaxed), is_servers_own, "{tool}");
        }
        let known = SignInTool::default();
        known.learn(br#"{"id":1,"error":{"code":-32603,"message":"aws_sign_in"}}"#);
        assert!(known.may_stand_in(), "an error is no list");
    }
}
