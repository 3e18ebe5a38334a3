//! A modern message of the server as a legacy client reads it. Pure.

use crate::bridge::downward::tools::WrappedTools;
use crate::bridge::envelope::{SERVER_INFO, SUBSCRIPTION_ID};
use crate::json::edit::Edits;
use crate::json::object::Object;
use serde_json::value::RawValue;

/// The kind of a response to a modern request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Complete,
    /// The server has questions, or wants to be asked again: the result, as JSON.
    InputRequired(String),
    /// A result of another type than these.
    Other(String),
    /// A JSON-RPC error.
    Error,
}

/// Reads a response, which is a JSON-RPC message.
pub(crate) fn answer(response: &str) -> Answer {
    let message = Object::parse(response);
    let Some(result) = message.as_ref().and_then(|message| message.get("result")) else {
        return Answer::Error;
    };
    let kind = Object::parse(result.get()).and_then(|result| result.get("resultType"));
    match kind.map(|kind| serde_json::from_str::<String>(kind.get())) {
        // Some servers omit it.
        None => Answer::Complete,
        Some(Ok(kind)) if kind == "complete" => Answer::Complete,
        Some(Ok(kind)) if kind == "input_required" => {
            Answer::InputRequired(result.get().to_owned())
        }
        Some(Ok(kind)) => Answer::Other(kind),
        Some(Err(_)) => Answer::Other(kind.map_or_else(String::new, |kind| kind.get().into())),
    }
}

/// The request that a response belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The client's id, as it spells it.
    pub(crate) id: &'a str,
    pub(crate) method: &'a str,
    /// The tool of a call.
    pub(crate) tool: Option<&'a str>,
    /// It asks for the first page of a list.
    pub(crate) is_first_page: bool,
}

/// A complete response, or an error, under the client's id and without what legacy results do not have.
pub(crate) fn to_legacy(response: &str, request: &Request<'_>, tools: &WrappedTools) -> String {
    let Some(message) = Object::parse(response) else { return response.to_owned() };
    let mut edits = Edits::new(response);
    if let Some(id) = message.get("id").filter(|id| id.get() != request.id) {
        edits.replace(id.get(), request.id);
    }
    if let Some(result) = message.get("result").map(RawValue::get)
        && let Some(members) = Object::parse(result)
    {
        let is_cacheable = matches!(
            request.method,
            "tools/list"
                | "prompts/list"
                | "resources/list"
                | "resources/templates/list"
                | "resources/read"
        );
        let meta = members.get("_meta").map(RawValue::get);
        let is_meta_emptied = meta.is_some_and(|meta| is_only_member(meta, SERVER_INFO));
        let is_removed = |name: &str| match name {
            "resultType" => true,
            "ttlMs" | "cacheScope" => is_cacheable,
            "_meta" => is_meta_emptied,
            _ => false,
        };
        edits.change_members(result, is_removed, "");
        if let Some(meta) = meta.filter(|_| !is_meta_emptied) {
            edits.change_members(meta, |name| name == SERVER_INFO, "");
        }
        match request.method {
            "tools/list" => tools.edit_list(&mut edits, &members, request.is_first_page),
            "tools/call" => tools.edit_result(&mut edits, result, &members, request.tool),
            _ => {}
        }
    }
    edits.finish()
}

/// A notification without the mark of the stream that it came on; `None` if it has none.
pub(crate) fn notification_to_legacy(notification: &str) -> Option<String> {
    let message = Object::parse(notification)?;
    let params = message.get("params")?.get();
    let meta = Object::parse(params)?.get("_meta")?.get();
    Object::parse(meta)?.get(SUBSCRIPTION_ID)?;
    let mut edits = Edits::new(notification);
    if is_only_member(meta, SUBSCRIPTION_ID) {
        edits.change_members(params, |name| name == "_meta", "");
    } else {
        edits.change_members(meta, |name| name == SUBSCRIPTION_ID, "");
    }
    Some(edits.finish())
}

fn is_only_member(object: &str, name: &str) -> bool {
    Object::parse(object).is_some_and(|object| {
        object.members().len() > 0 && object.members().all(|(known, _)| known == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn answers_are_told_by_their_type() {
        for (response, expected) in [
            (r#"{"id":1,"result":{"resultType":"complete"}}"#, Answer::Complete),
            (r#"{"id":1,"result":{}}"#, Answer::Complete),
            (r#"{"id":1,"result":{"resultType":"task","x":1}}"#, Answer::Other("task".into())),
            (r#"{"id":1,"result":{"resultType":7}}"#, Answer::Other("7".into())),
            (
                r#"{"id":1,"result":{"resultType":"input\u005frequired"}}"#,
                Answer::InputRequired(r#"{"resultType":"input\u005frequired"}"#.into()),
            ),
            (r#"{"id":1,"error":{"code":1}}"#, Answer::Error),
        ] {
            assert_eq!(answer(response), expected, "{response}");
        }
    }

    #[test]
    fn results_lose_what_legacy_ones_do_not_have() {
        let tools = WrappedTools::default();
        let info = r#""io.modelcontextprotocol/serverInfo":{"name":"s"}"#;
        for (method, result, expected) in [
            (
                "prompts/list",
                r#"{"resultType":"complete","ttlMs":5,"prompts":[1.0],"cacheScope":"private"}"#,
                r#"{"prompts":[1.0]}"#,
            ),
            (
                "prompts/get",
                r#"{"messages":[ ],"resultType":"complete","ttlMs":5}"#,
                r#"{"messages":[ ],"ttlMs":5}"#,
            ),
            ("x/y", r#"{"_meta":{INFO},"a":1e400}"#, r#"{"a":1e400}"#),
            ("x/y", r#"{"_meta":{"a/b":1,INFO}}"#, r#"{"_meta":{"a/b":1}}"#),
            ("x/y", r#"{"_meta":{}}"#, r#"{"_meta":{}}"#),
        ] {
            let request = Request { id: "7", method, tool: None, is_first_page: true };
            let response = format!(
                r#"{{"jsonrpc":"2.0","id":"sigv4-proxy-1","result":{}}}"#,
                result.replace("INFO", info)
            );
            let legacy = to_legacy(&response, &request, &tools);
            assert_eq!(legacy, format!(r#"{{"jsonrpc":"2.0","id":7,"result":{expected}}}"#));
        }
        let error = r#"{"id":7,"error":{"code":-32602,"data":{"resultType":"x"}}}"#;
        let request = Request { id: "7", method: "m", tool: None, is_first_page: true };
        assert_eq!(to_legacy(error, &request, &tools), error);
    }

    fn results() -> impl Strategy<Value = Value> {
        let names = [
            "resultType",
            "ttlMs",
            "cacheScope",
            "_meta",
            SERVER_INFO,
            "tools",
            "content",
            "structuredContent",
            "outputSchema",
            "inputSchema",
            "type",
            "properties",
            "name",
            "x",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            prop_oneof![Just("object"), Just("text"), Just("t")].prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(5, 48, 6, move |inner| {
            let name = prop::sample::select(names.to_vec()).prop_map(str::to_owned);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        });
        value.prop_filter("a result is an object", Value::is_object)
    }

    proptest! {
        #[test]
        fn every_result_stays_one_and_keeps_the_rest(result in results(), method in 0..4_usize) {
            let method = ["tools/list", "tools/call", "prompts/list", "x"][method];
            let response = format!(r#"{{"id":"a","result":{result}}}"#);
            let request = Request { id: "7", method, tool: Some("t"), is_first_page: true };
            let legacy = to_legacy(&response, &request, &WrappedTools::default());
            let legacy: Value = serde_json::from_str(&legacy).expect("JSON");
            prop_assert_eq!(&legacy["id"], 7);
            prop_assert!(legacy["result"].get("resultType").is_none());
            prop_assert_eq!(legacy["result"].get("x"), result.get("x"));
            let returned = &legacy["result"]["structuredContent"];
            prop_assert!(method != "tools/call" || returned.is_null() || returned.is_object());
        }
    }

    #[test]
    fn notifications_lose_the_mark_of_their_stream() {
        let of = |meta: &str| {
            notification_to_legacy(&format!(r#"{{"method":"m","params":{{"uri":"u"{meta}}}}}"#))
        };
        let mark = r#""io.modelcontextprotocol/subscriptionId":"s""#;
        assert_eq!(of(""), None);
        assert_eq!(of(r#","_meta":{"a":1}"#), None);
        let only = of(&format!(r#","_meta":{{{mark}}}"#));
        assert_eq!(only.as_deref(), Some(r#"{"method":"m","params":{"uri":"u"}}"#));
        let other = of(&format!(r#","_meta":{{{mark},"a":1}}"#));
        assert_eq!(
            other.as_deref(),
            Some(r#"{"method":"m","params":{"uri":"u","_meta":{"a":1}}}"#)
        );
    }
}
