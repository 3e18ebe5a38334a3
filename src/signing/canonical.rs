//! The canonical request and the string to sign, which depend on no key.

use crate::signing::digest::sha256_hex;
use crate::signing::request::{Header, Request};
use std::borrow::Cow;
use std::ops::Range;

/// Headers that belong to the signature: those that signing sets, and `date`, which `x-amz-date` replaces. Values of the
/// caller are not signed.
const OWN: [&str; 7] = [
    "authorization",
    "date",
    "host",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-region-set",
    "x-amz-security-token",
];

/// Headers that are never signed, because intermediaries remove or rewrite them (IAM guide, "Elements of a SigV4 request";
/// botocore's and smithy's lists).
const UNSIGNED: [&str; 15] = [
    "baggage",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// Whether a header belongs to the signature, so that a caller cannot set it. `name` is in lower case.
pub(crate) fn is_of_signature(name: &str) -> bool {
    OWN.binary_search(&name).is_ok()
}

/// Length of the last line of a canonical request, with the newline before it.
const HASH_LINE_BYTES: usize = 1 + 64;

/// A canonical request. It holds the session token, if there is one.
pub(crate) struct CanonicalRequest {
    pub(crate) text: String,
    /// Range of `text` that lists the names of the signed headers.
    pub(crate) signed_headers: Range<usize>,
}

impl CanonicalRequest {
    /// `owned` are the headers that signing sets itself, with names in lower case.
    pub(crate) fn new<'a>(
        request: &Request<'a>,
        owned: impl Iterator<Item = (&'static str, &'a str)>,
    ) -> CanonicalRequest {
        let mut text = String::with_capacity(768);
        for line in [request.method, &request.target.path, &request.target.query] {
            text.push_str(line);
            text.push('\n');
        }
        let signed_headers = push_headers(&mut text, request.headers, owned);
        text.push('\n');
        text.push_str(&request.payload.hash);
        CanonicalRequest { text, signed_headers }
    }
}

/// Appends a line for each header, an empty line, and the list of their names. Returns where that list is.
fn push_headers<'a>(
    text: &mut String,
    sent: &[Header<'a>],
    owned: impl Iterator<Item = (&'static str, &'a str)>,
) -> Range<usize> {
    // Signing sets five at most.
    let mut lines: Vec<(Cow<'_, str>, &str)> = Vec::with_capacity(sent.len() + 5);
    lines.extend(
        sent.iter()
            .map(|(name, value)| (lower_case(name), *value))
            .filter(|(name, _)| !is_of_signature(name))
            .filter(|(name, _)| UNSIGNED.binary_search(&name.as_ref()).is_err()),
    );
    lines.extend(owned.map(|(name, value)| (Cow::Borrowed(name), value)));
    // A stable sort: values of a repeated name keep the order in which they are sent.
    lines.sort_by(|(a, _), (b, _)| a.cmp(b));

    // Reserved in one step, including the hash that follows: a growing string leaves copies of the session token in memory.
    let length = lines.iter().map(|(name, value)| 2 * name.len() + value.len() + 3);
    text.reserve(length.sum::<usize>() + HASH_LINE_BYTES);
    let is_repeated = |at: usize| at > 0 && lines[at - 1].0 == lines[at].0;
    for (at, (name, value)) in lines.iter().enumerate() {
        if is_repeated(at) {
            text.pop();
            text.push(',');
        } else {
            text.push_str(name);
            text.push(':');
        }
        push_collapsed(text, value);
        text.push('\n');
    }
    text.push('\n');
    let start = text.len();
    for (at, (name, _)) in lines.iter().enumerate() {
        if !is_repeated(at) {
            if at > 0 {
                text.push(';');
            }
            text.push_str(name);
        }
    }
    start..text.len()
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Appends `value`, trimmed, with each run of spaces and tabs (the only white space in headers) as one space.
fn push_collapsed(text: &mut String, value: &str) {
    let mut rest = value.trim_matches([' ', '\t']);
    while let Some(end) = memchr::memchr2(b' ', b'\t', rest.as_bytes()) {
        text.push_str(&rest[..end]);
        text.push(' ');
        rest = rest[end..].trim_start_matches([' ', '\t']);
    }
    text.push_str(rest);
}

/// A string to sign.
pub(crate) struct StringToSign {
    pub(crate) text: String,
    /// Range of `text` that is the credential scope.
    pub(crate) scope: Range<usize>,
}

impl StringToSign {
    /// `date` is `YYYYMMDDTHHMMSSZ`; `scope` are the parts of the credential scope.
    pub(crate) fn new(
        algorithm: &str,
        date: &str,
        scope: &[&str],
        canonical_request: &str,
    ) -> StringToSign {
        let hash = sha256_hex(canonical_request.as_bytes());
        let start = algorithm.len() + date.len() + 2;
        let mut end = start;
        let mut text = String::with_capacity(256);
        for line in [algorithm, date] {
            text.push_str(line);
            text.push('\n');
        }
        for part in scope {
            text.push_str(part);
            end += part.len();
        }
        text.push('\n');
        text.push_str(&hash);
        StringToSign { text, scope: start..end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(OWN.is_sorted() && UNSIGNED.is_sorted());
    }

    #[test]
    fn header_lines() {
        let mut text = String::new();
        let names = push_headers(
            &mut text,
            &[
                ("X-B", " 1 \t 2 "),
                ("x-a", ""),
                ("x-b", "3"),
                ("User-Agent", "x"),
                ("Host", "evil"),
            ],
            [("host", "h")].into_iter(),
        );
        assert_eq!(text, "host:h\nx-a:\nx-b:1 2,3\n\nhost;x-a;x-b");
        assert_eq!(&text[names], "host;x-a;x-b");
    }
}
