//! JSON texts changed in one place, every other byte as it was. Pure.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// Where `part` stands in `whole`, of which it is a slice.
pub(crate) fn place_of(part: &str, whole: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// `whole` with something else in the place of `part`, which is a slice of it.
pub(crate) fn with(whole: &str, part: &str, instead: &str) -> String {
    let Range { start, end } = place_of(part, whole);
    [&whole[..start], instead, &whole[end..]].concat()
}

/// A JSON object with one member more, which is its first. `name` is text, `value` is JSON.
pub(crate) fn with_member(object: &str, name: &str, value: &str) -> String {
    let name = serde_json::Value::from(name);
    let rest = object.trim_start().strip_prefix('{').unwrap_or(object);
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{{{name}:{value}{comma}{rest}")
}

/// The members of an object in their order, their values as they were written.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// `None` for what is no object.
    pub(crate) fn of(text: &'a str) -> Option<Members<'a>> {
        serde_json::from_str(text).ok()
    }

    /// Of two members of one name the last, as most parsers have it.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The object again, without the members of this name.
    pub(crate) fn without(&self, name: &str) -> String {
        let members = self.0.iter().filter(|(known, _)| known != name);
        let members: Vec<String> = members
            .map(|(name, value)| {
                format!("{}:{}", serde_json::Value::from(name.as_ref()), value.get())
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Members<'a>, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(InOrder)
    }
}

/// `T` from a JSON object. By itself a derived `Deserialize` reads arrays as well, member after member.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<T>, D::Error> {
        struct OnlyObject<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyObject<T> {
            type Value = Object<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(OnlyObject(PhantomData))
    }
}

/// Borrowed where it holds no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_changes() {
        let whole = r#"{"a": 1e400, "b":[ ] }"#;
        assert_eq!(with(whole, &whole[13..16], "\"c\""), r#"{"a": 1e400, "c":[ ] }"#);
        assert_eq!(with_member(whole, "x", "2"), r#"{"x":2,"a": 1e400, "b":[ ] }"#);
        assert_eq!(with_member("{ }", "x", "2"), r#"{"x":2 }"#);
        assert_eq!(with_member("{}", "x\"", "2"), r#"{"x\"":2}"#);
    }

    #[test]
    fn members_keep_order_and_spelling() {
        let members = Members::of(r#"{"z":9007199254740993,"a\n":{"b": [1.0]},"p":null}"#);
        let members = members.expect("an object");
        assert_eq!(members.without("p"), r#"{"z":9007199254740993,"a\n":{"b": [1.0]}}"#);
        assert_eq!(members.get("p").map(RawValue::get), Some("null"));
        assert!(Members::of("[]").is_none());
    }

    #[test]
    fn an_array_is_not_an_object() {
        #[derive(Deserialize)]
        struct Hints<'a> {
            #[serde(borrow)]
            hint: &'a RawValue,
        }
        let Object(Hints { hint }) = serde_json::from_str(r#"{"hi\u006et":[ ]}"#).expect("one");
        assert_eq!(hint.get(), "[ ]");
        assert!(serde_json::from_str::<Hints<'_>>("[true]").is_ok());
        assert!(serde_json::from_str::<Object<Hints<'_>>>("[true]").is_err());
    }
}
