//! The canonical request and the string to sign, written from AWS's page "Create a signed AWS API request".
//!
//! Independent of the crate and of AWS's signer, which does not expose these texts; the tests compare it with that signer.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::http::Request;

/// `signed` are the names in `SignedHeaders`; `payload` is the hash of the body or `UNSIGNED-PAYLOAD`.
pub fn canonical_request(request: &Request, signed: &[String], payload: &str) -> String {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let mut text =
        format!("{}\n{}\n{}\n", request.method, canonical_path(path), canonical_query(query));
    for name in signed {
        let values: Vec<String> = request.all(name).map(trimmed).collect();
        let _ = writeln!(text, "{name}:{}", values.join(","));
    }
    let _ = write!(text, "\n{}\n{payload}", signed.join(";"));
    text
}

/// `scope` is what follows the access key id in `Credential`.
pub fn string_to_sign(algorithm: &str, date: &str, scope: &str, canonical_request: &str) -> String {
    format!("{algorithm}\n{date}\n{scope}\n{}", sha256_hex(canonical_request.as_bytes()))
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// For all services except S3: removes dot segments and double slashes, and encodes the received path once more.
fn canonical_path(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(encoded(other.as_bytes())),
        }
    }
    let ends_in_slash = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let slash = if ends_in_slash && !segments.is_empty() { "/" } else { "" };
    format!("/{}{slash}", segments.join("/"))
}

/// Sorted by the encoded text; `+` is a plus.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(&decoded(name)), encoded(&decoded(value))))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn trimmed(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// All but RFC 3986's unreserved characters, in upper-case hex.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| hex::decode(tail.get(..2)?).ok()?.pop()).flatten();
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    bytes
}
