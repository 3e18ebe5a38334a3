//! `Members`: the members of a JSON-RPC message, found in one pass over its bytes.
//!
//! Every message goes through here, in both directions. The quick pass accepts only what it is sure of: one JSON object
//! in UTF-8, none of these members twice, no member name with escapes. Everything else goes to `serde_json`, which
//! decides.

use crate::json::object::OnlyObject;
use crate::json::string;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The members of a JSON-RPC message from either side, with their values as written. `method` and `params` are absent if
/// they are `null`; the others are kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Members<'a> {
    pub(crate) jsonrpc: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) params: Option<&'a [u8]>,
    pub(crate) result: Option<&'a [u8]>,
    pub(crate) error: Option<&'a [u8]>,
    /// Whether any of these is `null`.
    pub(crate) has_null: bool,
}

/// Why bytes are not a JSON-RPC message.
#[derive(Debug)]
pub(crate) enum MembersError {
    NotUtf8,
    Json(serde_json::Error),
}

impl<'a> Members<'a> {
    pub(crate) fn parse(document: &'a [u8]) -> Result<Members<'a>, MembersError> {
        parse_quickly(document).map_or_else(|| parse_with_serde(document), Ok)
    }
}

fn parse_with_serde(document: &[u8]) -> Result<Members<'_>, MembersError> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        jsonrpc: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        id: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        method: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        params: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        result: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        error: Option<&'a RawValue>,
    }
    /// A member that is present, even as `null`.
    fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
        <&RawValue>::deserialize(from).map(Some)
    }

    let text = str::from_utf8(document).map_err(|_| MembersError::NotUtf8)?;
    let OnlyObject(raw): OnlyObject<Raw<'_>> = serde_json::from_str(text).map_err(|error| {
        // Text that is not JSON at all is reported as such.
        MembersError::Json(serde_json::from_str::<IgnoredAny>(text).err().unwrap_or(error))
    })?;
    let is_null = |value: &RawValue| value.get() == "null";
    let values = [raw.jsonrpc, raw.id, raw.method, raw.params, raw.result, raw.error];
    let method = raw.method.filter(|method| !is_null(method));
    let method = method.map(|method| serde_json::from_str(method.get())).transpose();
    Ok(Members {
        has_null: values.into_iter().flatten().any(is_null),
        jsonrpc: raw.jsonrpc.map(RawValue::get),
        id: raw.id.map(RawValue::get),
        method: method.map_err(MembersError::Json)?,
        params: raw.params.filter(|params| !is_null(params)).map(|value| value.get().as_bytes()),
        result: raw.result.map(|value| value.get().as_bytes()),
        error: raw.error.map(|value| value.get().as_bytes()),
    })
}

/// Returns `None` in any doubt.
fn parse_quickly(document: &[u8]) -> Option<Members<'_>> {
    let mut members = Members::default();
    for_each_member(document, |name, value| {
        match name {
            b"jsonrpc" if members.jsonrpc.is_none() => {
                members.jsonrpc = Some(str::from_utf8(value).ok()?);
            }
            b"id" if members.id.is_none() => members.id = Some(str::from_utf8(value).ok()?),
            b"method" if members.method.is_none() => {
                members.method = Some(plain_string(value)?);
            }
            b"params" if members.params.is_none() && value != b"null" => {
                members.params = Some(value);
            }
            b"result" if members.result.is_none() => members.result = Some(value),
            b"error" if members.error.is_none() => members.error = Some(value),
            b"jsonrpc" | b"id" | b"method" | b"params" | b"result" | b"error" => return None,
            _ if name.contains(&b'\\') => return None,
            _ => {}
        }
        Some(())
    })?;
    let null = Some(&b"null"[..]);
    members.has_null = [members.jsonrpc, members.id].contains(&Some("null"))
        || [members.result, members.error].contains(&null);
    Some(members)
}

/// Calls `found` with the name, as written between its quotes, and the value of each member of a document that is one JSON
/// object. `None`: it may not be one, or `found` returned `None`.
#[inline]
pub(crate) fn for_each_member<'a>(
    document: &'a [u8],
    mut found: impl FnMut(&'a [u8], &'a [u8]) -> Option<()>,
) -> Option<()> {
    let mut scan = Scan { text: document, at: 0 };
    scan.skip_whitespace();
    scan.take(b'{')?;
    scan.skip_whitespace();
    if scan.next()? != b'}' {
        loop {
            let name = scan.name()?;
            found(name, scan.value()?)?;
            scan.skip_whitespace();
            if scan.next()? == b'}' {
                break;
            }
            scan.take(b',')?;
            scan.skip_whitespace();
        }
    }
    scan.at += 1;
    scan.skip_whitespace();
    (scan.at == document.len()).then_some(())
}

/// A JSON string without escapes.
fn plain_string(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let text = str::from_utf8(text).ok()?;
    (!text.contains('\\')).then_some(Cow::Borrowed(text))
}

/// Skips over JSON (RFC 8259). `None` means that the text may not be JSON. The static binary is optimised for size, so
/// its hot paths are marked `inline`.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    #[inline]
    fn next(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        self.take_all(&[byte])
    }

    #[inline]
    fn take_all(&mut self, bytes: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(bytes).then(|| self.at += bytes.len())
    }

    #[inline]
    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.next() {
            self.at += 1;
        }
    }

    /// The name of a member without its quotes. Stops before its value.
    #[inline]
    fn name(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        self.string()?;
        let name = &self.text[start..self.at - 1];
        self.skip_whitespace();
        self.take(b':')?;
        self.skip_whitespace();
        Some(name)
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        // One bit for each open container, the innermost lowest: 1 for an object, 0 for an array. A 1 precedes them.
        let mut open: u128 = 1;
        loop {
            match self.next()? {
                b'"' => self.string()?,
                opening @ (b'{' | b'[') => {
                    let is_object = opening == b'{';
                    self.at += 1;
                    self.skip_whitespace();
                    if open.leading_zeros() == 0 {
                        return None;
                    }
                    open = open << 1 | u128::from(is_object);
                    let is_empty = self.next()? == if is_object { b'}' } else { b']' };
                    if !is_empty {
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b't' => self.take_all(b"true")?,
                b'f' => self.take_all(b"false")?,
                b'n' => self.take_all(b"null")?,
                _ => self.number()?,
            }
            loop {
                if open == 1 {
                    return Some(&self.text[start..self.at]);
                }
                self.skip_whitespace();
                let is_object = open & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.at += 1;
                        self.skip_whitespace();
                        if is_object {
                            self.name()?;
                        }
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                self.at += 1;
                open >>= 1;
            }
        }
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        if self.next()? == b'-' {
            self.at += 1;
        }
        if self.next()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.next() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.next() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.next() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    #[inline]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.next() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    #[inline]
    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        self.at += string::length(&self.text[self.at..])?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_quick_pass_finds_what_serde_json_finds() {
        for document in [
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":[1,{"b":null}],"c":""}}"#,
            "\t{ \"id\" : \"a\\\"b\" ,\r\n\"result\":{ } }\n",
            r#"{"id":null,"error":{"code":-32601,"message":"größer \ud83e\udd80 🦀"}}"#,
            r#"{"result":null,"other":[[],{},[{}],true,false]}"#,
            r#"{"x":[-0,0.5,-1.25e-7,10E+2,12345678901234567890123]}"#,
            "{}",
        ] {
            let found = parse_quickly(document.as_bytes());
            assert!(found.is_some(), "{document}");
            assert_eq!(found, parse_with_serde(document.as_bytes()).ok(), "{document}");
        }
    }

    #[test]
    fn the_quick_pass_gives_up_in_doubt() {
        for document in [
            "",
            "{",
            "[]",
            "{} {}",
            "{\"id\":1,}",
            "{,}",
            "{\"id\" 1}",
            "{\"id\":1,\"id\":2}",
            "{\"\\u0069d\":1}",
            "{\"method\":\"a\\u002fb\"}",
            "{\"method\":null}",
            "{\"params\":null}",
            "{\"x\":01}",
            "{\"x\":1.}",
            "{\"x\":+1}",
            "{\"x\":[1,]}",
            "{\"x\":[}]}",
            "{\"x\":{]}}",
            "{\"x\":{1:2}}",
            "{\"x\":nul}",
            "{\"x\":\"\\x\"}",
            "{\"x\":\"\\u12g4\"}",
            "{\"x\":\"a\nb\"}",
            "{\"x\":\"abcdefgh\u{1}\"}",
            "{\"x\":\"",
            "\u{feff}{}",
        ] {
            assert_eq!(parse_quickly(document.as_bytes()), None, "{document}");
        }
        let deep = [r#"{"x":"#, &"[".repeat(200), &"]".repeat(200), "}"].concat();
        assert_eq!(parse_quickly(deep.as_bytes()), None);
        assert!(Members::parse(deep.as_bytes()).is_ok());
    }

    proptest! {
        /// The quick pass may give up, but what it finds is what `serde_json` finds.
        #[test]
        fn the_quick_pass_accepts_nothing_that_serde_json_refuses(
            start in 0..4_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
        ) {
            let documents = [
                r#"{"jsonrpc":"2.0","id":"a\u00e9b","method":"x/y","params":{"k":[1.5e3,-2,"ü🦀",null]}}"#,
                r#"{"id":12,"result":{"content":[{"type":"text","text":"line\nline \"q\" \\ end"}],"isError":false}}"#,
                r#"[{"id":1},{"error":{"code":-1,"message":""}}]"#,
                "{ \"error\" : { } , \"x\" : [ [ ] , true , false ] }",
            ];
            let mut document = documents[start].as_bytes().to_vec();
            for (at, byte, kind) in changes {
                let at = at.index(document.len());
                match kind {
                    0 => document[at] = byte,
                    1 => document.insert(at, b"\"\\{}[]:,0-. \xc3\xa9"[usize::from(byte) % 14]),
                    _ => { document.remove(at); }
                }
            }
            if let Some(found) = parse_quickly(&document) {
                prop_assert_eq!(Some(found), parse_with_serde(&document).ok());
            }
        }
    }
}
