//! `CanonicalTarget`: host, path and query of a URL in the canonical form that is signed.

use crate::percent;

/// Encoding of the URL's path in the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriEncoding {
    /// The path as it is sent, which is encoded once: the S3 family.
    Single,
    /// The path normalised and percent-encoded a second time: all other services.
    Double,
}

impl UriEncoding {
    /// The encoding that a service expects, by its signing name.
    pub fn for_service(service: &str) -> UriEncoding {
        match service {
            "s3" | "s3-outposts" | "s3-object-lambda" | "s3express" => UriEncoding::Single,
            _ => UriEncoding::Double,
        }
    }
}

/// The target of a request in canonical form. Computed once per URL.
#[derive(Clone, Debug)]
pub struct CanonicalTarget {
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: String,
}

impl CanonicalTarget {
    /// Canonicalizes a target. `host` is the value of that header; `path` and `query` are exactly as sent.
    pub fn new(host: &str, path: &str, query: &str, encoding: UriEncoding) -> CanonicalTarget {
        CanonicalTarget {
            host: host.to_owned(),
            path: canonical_path(path, encoding),
            query: canonical_query(query),
        }
    }
}

/// The canonical path of `wire`, the path in the request line.
fn canonical_path(wire: &str, encoding: UriEncoding) -> String {
    match encoding {
        UriEncoding::Single if wire.is_empty() => "/".to_owned(),
        UriEncoding::Single => wire.to_owned(),
        UriEncoding::Double => percent::encode(normalized(wire).as_bytes(), b"/"),
    }
}

/// Removes empty and `.` segments; `..` removes its predecessor, and a trailing `/` is kept.
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
fn canonical_query(wire: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(canonical_path(wire, UriEncoding::Double), canonical, "{wire}");
        }
        assert_eq!(canonical_path("/a//b%2Fc/../d", UriEncoding::Single), "/a//b%2Fc/../d");
        assert_eq!(canonical_path("", UriEncoding::Single), "/");
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
            assert_eq!(canonical_query(wire), canonical, "{wire}");
        }
    }
}
