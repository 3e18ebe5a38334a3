//! The `User-Agent` of requests to the server: this program, with the client in parentheses.

use serde::Deserialize;
use std::borrow::Cow;

pub(crate) const OURS: &str = concat!("sigv4-proxy/", env!("CARGO_PKG_VERSION"));

/// Maximum length of a client's name, and of its version.
const MAX_CHARS: usize = 64;

/// `sigv4-proxy/1.0.0 (client/2.1)`, if this request names the client: `initialize`, or any of 2026-07-28.
pub(crate) fn with_client_of(request: &[u8]) -> Option<String> {
    let Request { params } = serde_json::from_slice(request).ok()?;
    let info = params.client_info.or(params.meta.and_then(|meta| meta.client_info))?;
    let (name, version) = (comment(&info.name)?, info.version.as_deref().and_then(comment));
    let version = version.map(|version| format!("/{version}")).unwrap_or_default();
    Some(format!("{OURS} ({name}{version})"))
}

/// Text for a comment in this header (RFC 9110 §5.6.5): other characters become `-`.
fn comment(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || " !#$%&'*+-.^_`|~@:,=".contains(c);
    let text = text.trim().chars().take(MAX_CHARS).map(|c| if fits(c) { c } else { '-' });
    Some(text.collect::<String>()).filter(|text| !text.is_empty())
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "clientInfo")]
    client_info: Option<Info<'a>>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientInfo")]
    client_info: Option<Info<'a>>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    version: Option<Cow<'a, str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_name_the_client() {
        let of = |params: &str| with_client_of(format!(r#"{{"params":{params}}}"#).as_bytes());
        for (params, client) in [
            (r#"{"clientInfo":{"name":"claude-code","version":"2.1.0"}}"#, "claude-code/2.1.0"),
            (r#"{"clientInfo":{"name":"Kiro CLI"}}"#, "Kiro CLI"),
            (r#"{"clientInfo":{"name":"a(b)\r\nX: é","version":"(1)"}}"#, "a-b---X: -/-1-"),
            (
                r#"{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"m","version":"1"}}}"#,
                "m/1",
            ),
        ] {
            assert_eq!(of(params), Some(format!("{OURS} ({client})")));
        }
        assert_eq!(of(r#"{"clientInfo":{"name":" "}}"#), None);
        assert_eq!(of("{}"), None);
        assert!(
            of(&format!(r#"{{"clientInfo":{{"name":"{}"}}}}"#, "x".repeat(500)))
                .is_some_and(|ua| ua.len() < 100)
        );
    }
}
