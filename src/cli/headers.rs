//! The user's own headers. A value may be a secret, and so may text that was meant to be a header: messages show neither.

use crate::cli::option_reader::OptionReader;
use crate::cli::options::Header;
use crate::cli::parsed_args::Value;
use crate::cli::row::Key;
use crate::environment::{Environment, file};
use crate::error::{Error, Kind, io_message};
use crate::http::is_header_name;
use crate::signing::{self, Secret};

/// Maximum size of a file of headers.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What MCP's own `Accept` has.
const OWN_ACCEPT: [&str; 2] = ["application/json", "text/event-stream"];

/// `--headers` or `MCP_HEADERS`, then the lines of each `--header-file`, then each `--header`; the last of one name counts.
pub(crate) fn read(reader: &mut OptionReader<'_>) -> Vec<Header> {
    let mut headers = Vec::new();
    let environment = reader.environment;
    if let Some(Value { text, from }) = reader.args.value(Key::Headers) {
        let fix = "write NAME=VALUE,NAME=VALUE, or use --header for values with commas";
        for item in text.split(',').filter(|item| !item.trim().is_empty()) {
            take(&mut headers, reader, Key::Headers, header(item, &from, fix, environment));
        }
    }
    for path in reader.words(Key::HeaderFile) {
        take_file(&mut headers, reader, &path);
    }
    let values: Vec<Value> = reader.args.flags(Key::Header).cloned().collect();
    for Value { text, from } in values {
        let fix = "write --header \"NAME: VALUE\" or --header NAME=VALUE";
        take(&mut headers, reader, Key::Header, header(&text, &from, fix, environment));
    }
    headers.iter().filter_map(doubt).for_each(|warning| reader.warn(warning));
    headers
}

fn take(
    headers: &mut Vec<Header>,
    reader: &mut OptionReader<'_>,
    key: Key,
    header: Result<Header, Error>,
) {
    match header {
        Ok(header) => {
            headers.retain(|other| !other.name.eq_ignore_ascii_case(&header.name));
            headers.push(header);
        }
        Err(error) => reader.report(key, error.context("configuration error")),
    }
}

/// Takes a file with a header on each line. Lines that begin with `#` are comments.
fn take_file(headers: &mut Vec<Header>, reader: &mut OptionReader<'_>, path: &str) {
    let named = format!("--header-file {path}");
    let environment = reader.environment;
    let file = environment.path(path);
    let text = match file::read(&file, MAX_FILE_BYTES).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            let error = refused("the file is not UTF-8", "write it in UTF-8").context(named);
            return take(headers, reader, Key::HeaderFile, Err(error));
        }
        Err(error) => {
            let fix = "name a readable regular file, 64 KiB at most";
            let error = refused(&format!("{named}: {}", io_message(&error)), fix);
            return take(headers, reader, Key::HeaderFile, Err(error));
        }
    };
    if file::is_open_to_others(&file) {
        reader.warn(format!("{named}: other users can read it; chmod 600 prevents that"));
    }
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).zip(1..);
    for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let header = header(line, "the line", "write NAME: VALUE or NAME=VALUE", environment);
        let in_line = |error: Error| error.context(format!("{named}: line {number}"));
        take(headers, reader, Key::HeaderFile, header.map_err(in_line));
    }
}

/// A warning about a header of the user that replaces one of MCP and accepts less.
fn doubt(header: &Header) -> Option<String> {
    let value = header.value.expose().to_ascii_lowercase();
    let ranges = || value.split(',').map(|range| range.split(';').next().unwrap_or(range).trim());
    let accepts = |wanted: &str| {
        let group = wanted.split('/').next().unwrap_or(wanted);
        ranges().any(|range| {
            range == wanted || range == "*/*" || range.strip_suffix("/*") == Some(group)
        })
    };
    match header.name.to_ascii_lowercase().as_str() {
        "accept" => {
            let left_out = OWN_ACCEPT.into_iter().find(|wanted| !accepts(wanted))?;
            Some(format!("the header accept lacks {left_out}: servers may refuse requests with HTTP 406"))
        }
        "content-type" if ranges().next() != Some("application/json") => Some(
            "the header content-type is not application/json: servers may refuse requests with HTTP 415".to_owned(),
        ),
        _ => None,
    }
}

/// A header as an option has it. `from`: where it is written; `fix`: how it has to be written.
fn header(text: &str, from: &str, fix: &str, environment: &Environment) -> Result<Header, Error> {
    let Some(at) = text.find([':', '=']) else {
        return Err(refused(&format!("{from} has a header without a value"), fix));
    };
    let (name, value) = (text[..at].trim(), text[at + 1..].trim());
    if !is_header_name(name) {
        let what = format!("{from} has a header with an empty or invalid name");
        return Err(refused(&what, fix));
    }
    if let Some(reason) = refusal(&name.to_ascii_lowercase()) {
        return Err(refused(
            &format!("the header {name} cannot be set: {reason}"),
            &format!("remove it from {from}"),
        ));
    }
    let value = expanded(name, value, environment)?;
    if value.expose().chars().any(char::is_control) {
        return Err(refused(
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
            return Err(refused(
                &format!(
                    "the value of the header {name} has a ${{ that is not the start of a variable"
                ),
                "write ${VARIABLE}, with letters, digits and _",
            ));
        };
        let Some(found) = environment.get(variable) else {
            return Err(refused(
                &format!("the header {name} uses the variable {variable}, which is not set"),
                &format!("set {variable} or remove the header"),
            ));
        };
        if !environment.is_readable(variable) {
            return Err(refused(
                &format!("the header {name} uses the variable {variable}, which is not UTF-8"),
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
        "accept-encoding" | "connection" | "content-encoding" | "content-length" | "expect"
        | "host" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {
            Some("it belongs to HTTP")
        }
        name if signing::is_of_signature(name) => Some("it belongs to the signature"),
        "last-event-id" => Some("it belongs to MCP"),
        name if name.starts_with("mcp-") => Some("it belongs to MCP"),
        name if name.starts_with("proxy-") => Some("it is for HTTP proxies"),
        _ => None,
    }
}

fn refused(what: &str, fix: &str) -> Error {
    Error::new(Kind::Usage, what).hint(fix)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed_args::ParsedArgs;

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
        let args = ParsedArgs::new(flags, &environment);
        let mut reader = OptionReader::new(args, &environment, Vec::new(), false);
        let headers = read(&mut reader);
        let (problems, _) = reader.finish();
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
        let how = "(write --header \"NAME: VALUE\" or --header NAME=VALUE)";
        let letter = "has a header with an empty or invalid name";
        check(&["hush"], "", &[&format!("--header has a header without a value {how}")]);
        check(&["hu sh: x"], "", &[&format!("--header {letter} {how}")]);
        check(&[": hush"], "", &[&format!("--header {letter} {how}")]);
        check(&["hüsh: x"], "", &[&format!("--header {letter} {how}")]);
        check(
            &[],
            "a=1,hush",
            &["MCP_HEADERS has a header without a value \
             (write NAME=VALUE,NAME=VALUE, or use --header for values with commas)"],
        );
        let lines = "has a line break or another control character (write it on one line)";
        check(&["a: hush\nx"], "", &[&format!("the value of the header a {lines}")]);
        check(&["a: hu\tsh"], "", &[&format!("the value of the header a {lines}")]);
        check(&["a: ${LINES}"], "", &[&format!("the value of the header a {lines}")]);
        check(
            &["a: ${NONE}"],
            "",
            &[
                "the header a uses the variable NONE, which is not set (set NONE or remove the header)",
            ],
        );
        check(
            &["a: ${BLANK}"],
            "",
            &[
                "the header a uses the variable BLANK, which is not set (set BLANK or remove the header)",
            ],
        );
        for value in ["hush${", "${hush", "${}", "${hu-sh}", "${1}", "${${TOKEN}}"] {
            check(
                &[&format!("a: {value}")],
                "",
                &["the value of the header a has a ${ that is not the start of a variable \
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
        for name in ["Mcp-Session-Id", "mcp-method", "mcp-param-x", "mcp-other", "last-event-id"] {
            check(name, "it belongs to MCP");
        }
        check("Proxy-Authorization", "it is for HTTP proxies");
    }

    #[test]
    fn headers_in_place_of_mcp_s_own_are_doubted_if_they_say_less() {
        let warning = |name: &str, value: &str| {
            let header = Header { name: name.to_owned(), value: Secret::new(value) };
            doubt(&header).unwrap_or_default()
        };
        for value in ["application/json, text/event-stream", "text/*;q=1,Application/JSON", "*/*"] {
            assert_eq!(warning("Accept", value), "", "{value}");
        }
        for (value, left_out) in [
            ("application/json", "text/event-stream"),
            ("text/event-stream", "application/json"),
            ("text/html", "application/json"),
        ] {
            let warning = warning("accept", value);
            assert!(warning.contains(&format!("lacks {left_out}")), "{value}: {warning}");
        }
        assert_eq!(warning("Content-Type", "application/json; charset=utf-8"), "");
        assert!(warning("content-type", "text/plain").contains("is not application/json"));
        assert_eq!(warning("User-Agent", "x"), "");
    }
}
