//! The calls that servers would run of a message, with JSON parsers that treat repeated names differently.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A parser, as far as they differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parser {
    FirstCounts,
    LastCounts,
    LastCountsAndCaseDoesNot,
}

/// A JSON text with all members in their order.
#[derive(Debug)]
pub(crate) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Text(String),
    Other,
}

impl Parser {
    pub(crate) const ALL: [Parser; 3] =
        [Parser::FirstCounts, Parser::LastCounts, Parser::LastCountsAndCaseDoesNot];
}

impl Json {
    fn get(&self, name: &str, parser: Parser) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        let mut all = members.iter().filter(|(known, _)| match parser {
            // A folding of its own: these two reach ASCII, and nothing else does.
            Parser::LastCountsAndCaseDoesNot => {
                known.replace('\u{17f}', "s").replace('\u{212a}', "k").eq_ignore_ascii_case(name)
            }
            _ => known == name,
        });
        match parser {
            Parser::FirstCounts => all.next(),
            _ => all.next_back(),
        }
        .map(|(_, value)| value)
    }

    /// The tools that a server with this parser would run; `None` is a call without a name.
    pub(crate) fn run(&self, parser: Parser) -> Vec<Option<&str>> {
        fn text(json: Option<&Json>) -> Option<&str> {
            match json {
                Some(Json::Text(text)) => Some(text),
                _ => None,
            }
        }
        match self {
            Json::Array(messages) => messages.iter().flat_map(|m| m.run(parser)).collect(),
            _ if text(self.get("method", parser)) == Some("tools/call") => {
                let params = self.get("params", parser);
                vec![text(params.and_then(|params| params.get("name", parser)))]
            }
            _ => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Json, D::Error> {
        struct AsItStands;

        impl<'de> Visitor<'de> for AsItStands {
            type Value = Json;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("JSON")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Json, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Json, S::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Json::Array(values))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }
        }

        from.deserialize_any(AsItStands)
    }
}
