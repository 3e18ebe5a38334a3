//! `RequestMeta`: the `_meta` of a request of MCP 2026-07-28 or later, and the headers that repeat it.
//!
//! Such a request needs no session: the values of all its headers come from the message.

use crate::json::members::for_each_member;
use crate::json::object::OnlyObject;
use crate::mcp::headers::encoded;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, PartialEq, Eq)]
pub struct RequestMeta {
    /// Values are encoded.
    headers: Vec<(&'static str, String)>,
}

impl RequestMeta {
    /// Returns `None` for a request of an older revision. `params` is JSON.
    pub(crate) fn of(method: &str, params: &[u8]) -> Option<RequestMeta> {
        // Most requests are older: they are not parsed a second time.
        if !may_hold_version(params) {
            return None;
        }
        let OnlyObject(params): OnlyObject<Params<'_>> = serde_json::from_slice(params).ok()?;
        // The member that `Mcp-Name` repeats depends on the method.
        let name = match method {
            "tools/call" | "prompts/get" => params.name,
            "resources/read" => params.uri,
            "tasks/get" | "tasks/update" | "tasks/cancel" => params.task_id,
            _ => None,
        };
        let name: Option<String> = name.and_then(|name| serde_json::from_str(name.get()).ok());
        let mut headers = vec![
            ("mcp-protocol-version", encoded(params.meta.0.protocol_version)),
            ("mcp-method", encoded(method.to_owned())),
        ];
        headers.extend(name.map(|name| ("mcp-name", encoded(name))));
        Some(RequestMeta { headers })
    }

    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// Whether `_meta` may have the member by which such a request is recognised.
fn may_hold_version(params: &[u8]) -> bool {
    let mut is_possible = false;
    let is_known = for_each_member(params, |name, value| {
        is_possible |= match name {
            b"_meta" => is_escaped(value) || memmem::find(value, b"protocolVersion").is_some(),
            _ => is_escaped(name),
        };
        Some(())
    });
    is_possible || is_known.is_none()
}

fn is_escaped(json: &[u8]) -> bool {
    memchr::memchr(b'\\', json).is_some()
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(rename = "_meta")]
    meta: OnlyObject<Meta>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, rename = "taskId")]
    task_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, params: &str, expected: Option<&[(&str, &str)]>) {
        let meta = RequestMeta::of(method, params.as_bytes());
        let headers = meta.as_ref().map(|meta| meta.headers().collect::<Vec<_>>());
        assert_eq!(headers.as_deref(), expected, "{method} {params}");
    }

    #[test]
    fn headers_come_from_the_message() {
        let meta = r#""_meta":{"x":1,"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let version = ("mcp-protocol-version", "2026-07-28");
        let of = |rest: &str| format!("{{{rest}{meta}}}");
        check("tools/list", &of(""), Some(&[version, ("mcp-method", "tools/list")]));
        check(
            "tools/call",
            &of(r#""uri":"u","name":"a b","arguments":{"name":"no"},"#),
            Some(&[version, ("mcp-method", "tools/call"), ("mcp-name", "a b")]),
        );
        check(
            "resources/read",
            &of(r#""uri":"file:///x","#),
            Some(&[version, ("mcp-method", "resources/read"), ("mcp-name", "file:///x")]),
        );
        check(
            "tasks/get",
            &of(r#""taskId":"t","#),
            Some(&[version, ("mcp-method", "tasks/get"), ("mcp-name", "t")]),
        );
        check("tools/call", r#"{"name":"a","_meta":{"progressToken":1}}"#, None);
        check("tools/call", r#"{"name":"io.modelcontextprotocol/protocolVersion"}"#, None);
        check("tools/call", r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":7}}"#, None);
        check("m", r#"[{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}]"#, None);
        check("m", r#"{"_meta":["io.modelcontextprotocol/protocolVersion"]}"#, None);
        check(
            "m",
            r#"{"x":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
            None,
        );
        check("m", r#"{"_meta":{"io.modelcontextprotocol\\/protocolVersion":"2026-07-28"}}"#, None);
    }

    #[test]
    fn depth_hides_no_version() {
        let deep = ["[".repeat(200), "]".repeat(200)].concat();
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "m")];
        check("m", &format!(r#"{{"x":{deep},{meta}}}"#), Some(&headers));
        check("m", &format!(r#"{{"x":{deep}}}"#), None);
    }

    #[test]
    fn escapes_hide_no_version() {
        let names = [
            r"io.modelcontextprotocol/protocolVersion",
            r"io.modelcontextprotocol\/protocolVersion",
            r"io.modelcontextprotocol\u002fprotocolVersion",
            r"io.modelcontextprotocol/protocol\u0056ersion",
            r"\u0069o.modelcontextprotocol/protocolVersion",
        ];
        for (meta, name) in ["_meta", r"_m\u0065ta"].into_iter().flat_map(|m| names.map(|n| (m, n)))
        {
            let params = format!(r#"{{"{meta}":{{"{name}":"2026\u002d07-28"}},"name":"\u0061"}}"#);
            let headers = [
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", "tools/call"),
                ("mcp-name", "a"),
            ];
            check("tools/call", &params, Some(&headers));
        }
    }
}
