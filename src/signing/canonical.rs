//! The canonical forms of AWS's signature: path, query, headers, canonical request, string to sign.
//!
//! Knows nothing of keys. Works on bytes, since what is percent-encoded need not be UTF-8.

use crate::percent;
use crate::signing::signer::{Header, UriEncoding};
use std::borrow::Cow;
use std::ops::Range;

/// Headers that never enter a signature: those that hops between us and AWS take away or rewrite, and those
/// that signing itself sets. (IAM guide, "Elements of a SigV4 request"; botocore's and smithy's lists.)
const UNSIGNED: [&str; 22] = [
    "authorization",
    "baggage",
    "connection",
    "date",
    "expect",
    "host",
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
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-region-set",
    "x-amz-security-token",
    "x-amzn-trace-id",
];

/// The last line of a canonical request, with the newline before it.
const HASH_LINE: usize = 1 + 64;

/// The canonical path of `wire`, a path as it stands in the request line (without the query).
pub fn path(wire: &str, rule: UriEncoding) -> String {
    match rule {
        UriEncoding::Single if wire.is_empty() => "/".to_owned(),
        UriEncoding::Single => wire.to_owned(),
        UriEncoding::Double => percent::encode(normalized(wire).as_bytes(), b"/"),
    }
}

/// Empty and `.` segments go, `..` takes its predecessor away, a closing `/` stays.
fn normalized(wire: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in wire.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut path = String::with_capacity(wire.len() + 1);
    for segment in &kept {
        path.push('/');
        path.push_str(segment);
    }
    if path.is_empty() || wire.ends_with('/') {
        path.push('/');
    }
    path
}

/// The canonical query of `wire`, the part of the request line after `?`.
///
/// Every name and value is decoded and encoded again, and the encoded pairs are sorted: AWS sorts encoded
/// text (`|` follows `z`, but `%7C` comes before it), and pairs, not joined strings (`a=1` before `a-b=2`).
pub fn query(wire: &str) -> String {
    let mut pairs: Vec<(String, String)> = wire
        .split('&')
        .filter(|item| !item.is_empty())
        .map(|item| {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            (
                percent::encode(&percent::decode(name), b""),
                percent::encode(&percent::decode(value), b""),
            )
        })
        .collect();
    pairs.sort_unstable();
    let mut query = String::with_capacity(wire.len() + pairs.len());
    for (name, value) in &pairs {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.push_str(value);
    }
    query
}

/// The headers of a canonical request: a line for each, and after an empty one the list of their names, which the range says
/// where to find.
///
/// `owned` are the headers that signing sets itself, lower case.
pub fn push_headers<'a>(
    text: &mut String,
    of_request: &[Header<'a>],
    owned: impl Iterator<Item = (&'static str, &'a str)>,
) -> Range<usize> {
    // Signing sets five at most.
    let mut lines: Vec<(Cow<'_, str>, &str)> = Vec::with_capacity(of_request.len() + 5);
    lines.extend(
        of_request
            .iter()
            .map(|(name, value)| (lower_case(name), *value))
            .filter(|(name, _)| UNSIGNED.binary_search(&name.as_ref()).is_err()),
    );
    lines.extend(owned.map(|(name, value)| (Cow::Borrowed(name), value)));
    // Stable: values of a repeated name keep the order in which they are sent.
    lines.sort_by(|(a, _), (b, _)| a.cmp(b));

    // Once for all, the hash that follows included: what grows leaves copies of the session token behind.
    let length = lines.iter().map(|(name, value)| 2 * name.len() + value.len() + 3);
    text.reserve(length.sum::<usize>() + HASH_LINE);
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

/// Space and tab alone are white space; every run of them becomes one space, those at the ends go.
fn push_collapsed(text: &mut String, value: &str) {
    if memchr::memchr2(b' ', b'\t', value.as_bytes()).is_none() {
        text.push_str(value);
        return;
    }
    let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        text.push_str(first);
        for word in words {
            text.push(' ');
            text.push_str(word);
        }
    }
}

/// The string to sign of a canonical request. `date` is `YYYYMMDDTHHMMSSZ`.
pub fn string_to_sign(algorithm: &str, date: &str, scope: &str, canonical_request: &str) -> String {
    let hash = crate::signing::signer::sha256_hex(canonical_request.as_bytes());
    [algorithm, date, scope, &hash].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_names_are_sorted_for_the_search() {
        assert!(UNSIGNED.is_sorted());
    }

    #[test]
    fn paths() {
        for (wire, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/a//b/./c/../", "/a/b/"),
            ("/a/", "/a/"),
            ("/a%2Fb", "/a%252Fb"),
            ("/a%2fb", "/a%252fb"),
            ("/a+b*c@d:e(f)$g~h", "/a%2Bb%2Ac%40d%3Ae%28f%29%24g~h"),
            ("/../..", "/"),
        ] {
            assert_eq!(path(wire, UriEncoding::Double), canonical, "{wire}");
        }
        assert_eq!(path("/a//b%2Fc/../d", UriEncoding::Single), "/a//b%2Fc/../d");
        assert_eq!(path("", UriEncoding::Single), "/");
    }

    #[test]
    fn queries() {
        for (wire, canonical) in [
            ("", ""),
            ("a", "a="),
            ("a-b=2&a=1", "a=1&a-b=2"),
            ("z=1&%C3%A9=2", "%C3%A9=2&z=1"),
            ("a=%2f&a=%41&A=~%7E", "A=~~&a=%2F&a=A"),
            ("&&a=b=c&", "a=b%3Dc"),
            ("a=%E1%88", "a=%E1%88"),
            ("a=1+2", "a=1%2B2"),
            ("a=%zz", "a=%25zz"),
        ] {
            assert_eq!(query(wire), canonical, "{wire}");
        }
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
