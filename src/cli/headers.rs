//! The user's own headers. A value may be a secret, and so may text that was meant to be a header: messages show neither.

use crate::cli::args::{ParsedArgs, Value};
use crate::cli::problem::usage_error;
use crate::cli::table::Key;
use crate::environment::Environment;
use crate::error::Error;
use crate::http::is_header_name;
use crate::signing::Secret;

/// A header as it is sent and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Secret,
}

/// `--headers` or `MCP_HEADERS`, then each `--header`; the last of one name counts.
pub(crate) fn read(
    args: &ParsedArgs<'_>,
    environment: &Environment,
) -> (Vec<Header>, Vec<(Key, Error)>) {
    let mut headers: Vec<Header> = Vec::new();
    let mut problems = Vec::new();
    let list = args.value(Key::Headers);
    let items = list.iter().flat_map(|list| {
        list.text
            .split(',')
            .filter(|item| !item.trim().is_empty())
            .map(move |item| (Key::Headers, item, list))
    });
    let singles = args.flags(Key::Header).map(|value| (Key::Header, &value.text[..], value));
    for (key, text, source) in items.chain(singles) {
        match header(text, source, environment) {
            Ok(header) => {
                headers.retain(|earlier| !earlier.name.eq_ignore_ascii_case(&header.name));
                headers.push(header);
            }
            Err(error) => problems.push((key, error)),
        }
    }
    (headers, problems)
}

fn header(text: &str, source: &Value, environment: &Environment) -> Result<Header, Error> {
    let from = &source.from;
    let malformed = |what: &str| {
        let hint = if from == "--header" {
            "write --header 'NAME: VALUE' or --header NAME=VALUE"
        } else {
            "write NAME=VALUE,NAME=VALUE; a value with a comma needs --header"
        };
        usage_error(&format!("{from} {what}"), hint)
    };
    let at = text.find([':', '=']).ok_or_else(|| malformed("has a header without a value"))?;
    let (name, value) = (text[..at].trim(), text[at + 1..].trim());
    if !is_header_name(name) {
        return Err(malformed("has a header whose name is empty or has an invalid character"));
    }
    if let Some(reason) = refusal(&name.to_ascii_lowercase()) {
        return Err(usage_error(
            &format!("the header {name} cannot be set: {reason}"),
            &format!("remove it from {from}"),
        ));
    }
    let value = expanded(name, value, environment)?;
    if value.expose().chars().any(char::is_control) {
        return Err(usage_error(
            &format!(
                "the value of the header {name} has a line break or another control character"
            ),
            "write it on one line",
        ));
    }
    Ok(Header { name: name.to_owned(), value })
}

/// Replaces each `${VARIABLE}` once; values are not expanded again.
fn expanded(name: &str, value: &str, environment: &Environment) -> Result<Secret, Error> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after_brace)) = rest.split_once("${") {
        let variable = after_brace.split_once('}').filter(|(variable, _)| is_variable(variable));
        let Some((variable, after)) = variable else {
            return Err(usage_error(
                &format!("the value of the header {name} has a ${{ that does not begin a variable"),
                "write ${VARIABLE}, with letters, digits and _",
            ));
        };
        let Some(found) = environment.get(variable) else {
            return Err(usage_error(
                &format!("the header {name} needs the variable {variable}, which is not set"),
                &format!("set {variable} or remove the header"),
            ));
        };
        if !environment.is_readable(variable) {
            return Err(usage_error(
                &format!("the header {name} needs the variable {variable}, which is not UTF-8"),
                &format!("write {variable} in UTF-8 or remove the header"),
            ));
        }
        text.push_str(before);
        text.push_str(found);
        rest = after;
    }
    text.push_str(rest);
    Ok(Secret::new(text))
}

/// Why the user cannot set this header; by lower-case name.
fn refusal(name: &str) -> Option<&'static str> {
    match name {
        "authorization"
        | "date"
        | "x-amz-content-sha256"
        | "x-amz-date"
        | "x-amz-region-set"
        | "x-amz-security-token" => Some("it belongs to the signature"),
        "accept-encoding" | "connection" | "content-encoding" | "content-length" | "expect"
        | "host" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {
            Some("it belongs to HTTP")
        }
        "accept"
        | "content-type"
        | "last-event-id"
        | "mcp-method"
        | "mcp-name"
        | "mcp-protocol-version"
        | "mcp-session-id" => Some("it belongs to MCP"),
        "user-agent" => Some("it identifies this program"),
        name if name.starts_with("mcp-param-") => Some("it belongs to MCP"),
        name if name.starts_with("proxy-") => Some("it is for HTTP proxies"),
        _ => None,
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `--header` for each of `singles`, with `list` in `MCP_HEADERS`.
    fn read_all(singles: &[&str], list: &str) -> (Vec<(String, String)>, Vec<String>) {
        let environment = Environment::from_pairs([
            ("MCP_HEADERS", list),
            ("TOKEN", "hush, hush=1"),
            ("NESTED", "${TOKEN}"),
            ("LINES", "a\nb"),
            ("BLANK", " "),
        ]);
        let value = |text: &&str| Value { text: (*text).to_owned(), from: "--header".to_owned() };
        let flags = singles.iter().map(|text| (Key::Header, value(text))).collect();
        let (headers, problems) = read(&ParsedArgs::new(flags, &environment), &environment);
        let shown = format!("{headers:?} {problems:?}");
        assert!(!shown.contains("hush"), "{shown}");
        (
            headers.into_iter().map(|h| (h.name, h.value.expose().to_owned())).collect(),
            problems.into_iter().map(|(_, error)| error.to_string()).collect(),
        )
    }

    #[test]
    fn headers_are_read() {
        let check = |singles: &[&str], list: &str, expected: &[(&str, &str)]| {
            let (headers, problems) = read_all(singles, list);
            assert_eq!(problems, [""; 0], "{singles:?} {list}");
            let headers: Vec<_> = headers.iter().map(|(n, v)| (&n[..], &v[..])).collect();
            assert_eq!(headers, expected, "{singles:?} {list}");
        };
        check(&["X-A: b"], "", &[("X-A", "b")]);
        check(&["X-A=b"], "", &[("X-A", "b")]);
        check(&["X-A:b"], "", &[("X-A", "b")]);
        check(&["X-A: b=c, d: e"], "", &[("X-A", "b=c, d: e")]);
        check(&["X-A=b:c=d,e"], "", &[("X-A", "b:c=d,e")]);
        check(&["X-A="], "", &[("X-A", "")]);
        check(&["X-A:  b  "], "", &[("X-A", "b")]);
        check(&["X-A: ${TOKEN}"], "", &[("X-A", "hush, hush=1")]);
        check(&["X-A: Bearer ${TOKEN}."], "", &[("X-A", "Bearer hush, hush=1.")]);
        check(&["X-A: ${NESTED}"], "", &[("X-A", "${TOKEN}")]);
        check(&["X-A: $5 }{"], "", &[("X-A", "$5 }{")]);
        check(
            &["X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team: a"],
            "",
            &[("X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team", "a")],
        );
        check(&[], "a=1,b=2", &[("a", "1"), ("b", "2")]);
        check(&[], " a = 1 , b: 2,", &[("a", "1"), ("b", "2")]);
        check(&[], "a=${TOKEN}", &[("a", "hush, hush=1")]);
        check(&["A: 3"], "a=1,b=2", &[("b", "2"), ("A", "3")]);
        check(&["a: 1", "A: 2"], "", &[("A", "2")]);
    }

    #[test]
    fn bad_headers_are_refused_without_repeating_them() {
        let check = |singles: &[&str], list: &str, expected: &[&str]| {
            let (_, problems) = read_all(singles, list);
            let expected: Vec<String> =
                expected.iter().map(|text| format!("configuration error: {text}")).collect();
            assert_eq!(problems, expected, "{singles:?} {list}");
        };
        let how = "(write --header 'NAME: VALUE' or --header NAME=VALUE)";
        let letter = "has a header whose name is empty or has an invalid character";
        check(&["hush"], "", &[&format!("--header has a header without a value {how}")]);
        check(&["hu sh: x"], "", &[&format!("--header {letter} {how}")]);
        check(&[": hush"], "", &[&format!("--header {letter} {how}")]);
        check(&["hüsh: x"], "", &[&format!("--header {letter} {how}")]);
        check(
            &[],
            "a=1,hush",
            &["MCP_HEADERS has a header without a value \
             (write NAME=VALUE,NAME=VALUE; a value with a comma needs --header)"],
        );
        let lines = "has a line break or another control character (write it on one line)";
        check(&["a: hush\nx"], "", &[&format!("the value of the header a {lines}")]);
        check(&["a: hu\tsh"], "", &[&format!("the value of the header a {lines}")]);
        check(&["a: ${LINES}"], "", &[&format!("the value of the header a {lines}")]);
        check(
            &["a: ${NONE}"],
            "",
            &[
                "the header a needs the variable NONE, which is not set (set NONE or remove the header)",
            ],
        );
        check(
            &["a: ${BLANK}"],
            "",
            &[
                "the header a needs the variable BLANK, which is not set (set BLANK or remove the header)",
            ],
        );
        for value in ["hush${", "${hush", "${}", "${hu-sh}", "${1}", "${${TOKEN}}"] {
            check(
                &[&format!("a: {value}")],
                "",
                &["the value of the header a has a ${ that does not begin a variable \
                 (write ${VARIABLE}, with letters, digits and _)"],
            );
        }
    }

    #[test]
    fn reserved_headers_cannot_be_set() {
        let check = |name: &str, reason: &str| {
            let expected = format!(
                "configuration error: the header {name} cannot be set: {reason} (remove it from --header)"
            );
            assert_eq!(read_all(&[&format!("{name}: hush")], "").1, [expected]);
        };
        for name in [
            "Authorization",
            "date",
            "X-Amz-Date",
            "x-amz-security-token",
            "x-amz-content-sha256",
            "x-amz-region-set",
        ] {
            check(name, "it belongs to the signature");
        }
        for name in [
            "Host",
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "content-encoding",
            "accept-encoding",
        ] {
            check(name, "it belongs to HTTP");
        }
        for name in [
            "content-type",
            "accept",
            "Mcp-Session-Id",
            "mcp-protocol-version",
            "mcp-method",
            "mcp-name",
            "mcp-param-x",
            "last-event-id",
        ] {
            check(name, "it belongs to MCP");
        }
        check("user-agent", "it identifies this program");
        check("Proxy-Authorization", "it is for HTTP proxies");
    }
}
