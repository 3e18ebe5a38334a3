//! Objects whose members are known by name, and whose values stay as they were written.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A JSON object: its members in their order, repeated names included.
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Returns `None` if the text is not a JSON object.
    pub(crate) fn parse(text: &'a str) -> Option<Object<'a>> {
        serde_json::from_str(text).ok()
    }

    /// The value of a member; of several with this name the last, as most parsers take it.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The value of a member that is present and not `null`.
    pub(crate) fn get_non_null(&self, name: &str) -> Option<&'a RawValue> {
        self.get(name).filter(|value| value.get() != "null")
    }

    /// The value of a member that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// Names and values, in their order.
    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<'a>, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Object<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Object(members))
            }
        }

        from.deserialize_map(InOrder)
    }
}

/// A member's name, borrowed if it holds no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// `T` from a JSON object and nothing else: a derived `Deserialize` alone also accepts an array, member by member.
#[derive(Debug)]
pub(crate) struct OnlyObject<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OnlyObject<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<OnlyObject<T>, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = OnlyObject<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<OnlyObject<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OnlyObject)
            }
        }

        from.deserialize_map(OnlyMap(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_order_and_spelling() {
        let object = Object::parse(r#"{"z":9007199254740993,"a\n":{"b": [1.0]},"p":null}"#);
        let object = object.expect("an object");
        let members: Vec<(&str, &str)> =
            object.members().map(|(name, value)| (name, value.get())).collect();
        let expected = [("z", "9007199254740993"), ("a\n", r#"{"b": [1.0]}"#), ("p", "null")];
        assert_eq!(members, expected);
        assert_eq!(object.get("p").map(RawValue::get), Some("null"));
        assert!(object.get_non_null("p").is_none() && object.get_non_null("z").is_some());
        let texts = Object::parse(r#"{"a":"\u0062","c":7}"#).expect("an object");
        assert_eq!(
            ["a", "c", "d"].map(|name| texts.text(name)),
            [Some("b".to_owned()), None, None]
        );
        assert!(Object::parse("[]").is_none());
    }

    #[test]
    fn an_array_is_not_an_object() {
        #[derive(Deserialize)]
        struct Hints<'a> {
            #[serde(borrow)]
            hint: &'a RawValue,
        }
        let OnlyObject(Hints { hint }) = serde_json::from_str(r#"{"hi\u006et":[ ]}"#).expect("one");
        assert_eq!(hint.get(), "[ ]");
        assert!(serde_json::from_str::<Hints<'_>>("[true]").is_ok());
        assert!(serde_json::from_str::<OnlyObject<Hints<'_>>>("[true]").is_err());
    }
}
