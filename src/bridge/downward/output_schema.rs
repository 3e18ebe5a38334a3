//! Output schemas of tools for legacy clients, which read objects alone. Pure.
//!
//! As the official server does it for them, a schema of anything else becomes that of an object whose only member, `result`,
//! has it.

use crate::json::edit::Edits;
use crate::json::object::Object;
use serde_json::Value;
use serde_json::value::RawValue;

/// Depth to which references are followed in a schema.
const MAX_DEPTH: usize = 64;

/// Members whose values are data, not schemas.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// Members whose values map names to schemas.
const MAPS: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// Whether a schema allows only objects, according to its root.
pub(crate) fn is_of_objects(schema: &str) -> bool {
    let kind = Object::parse(schema).and_then(|root| root.text("type"));
    kind.is_some_and(|kind| kind == "object")
}

/// Wraps a schema, which is a slice of the text that is edited.
pub(crate) fn wrap<'a>(edits: &mut Edits<'a>, schema: &'a str) {
    let dialect = Object::parse(schema)
        .and_then(|root| root.get("$schema"))
        .filter(|dialect| dialect.get().starts_with('"'))
        .map(|dialect| format!(r#""$schema":{},"#, dialect.get()));
    let before =
        format!(r#"{{{}"type":"object","properties":{{"result":"#, dialect.unwrap_or_default());
    edits.surround(schema, before, r#"},"required":["result"]}"#);
    move_references(edits, schema, false, 0);
}

/// Makes references within the schema point to its new place. Text below a `$id` is a document of its own.
fn move_references<'a>(edits: &mut Edits<'a>, schema: &'a str, is_map: bool, depth: usize) {
    if depth == MAX_DEPTH {
        return;
    }
    if schema.starts_with('[') {
        let items = serde_json::from_str::<Vec<&'a RawValue>>(schema).unwrap_or_default();
        return items.iter().for_each(|item| move_references(edits, item.get(), false, depth + 1));
    }
    let Some(object) = Object::parse(schema) else { return };
    if !is_map && object.get("$id").is_some_and(|id| !id.get().starts_with("\"#")) {
        return;
    }
    for (name, value) in object.members() {
        match name {
            _ if is_map => move_references(edits, value.get(), false, depth + 1),
            "$ref" | "$dynamicRef" => {
                if let Some(moved) = moved(value.get()) {
                    edits.replace(value.get(), moved);
                }
            }
            _ if DATA.contains(&name) => {}
            _ => move_references(edits, value.get(), MAPS.contains(&name), depth + 1),
        }
    }
}

/// A reference into the document that was wrapped; `None` for others.
fn moved(reference: &str) -> Option<String> {
    let reference: String = serde_json::from_str(reference).ok()?;
    let rest = reference.strip_prefix('#')?;
    let is_pointer = rest.is_empty() || rest.starts_with('/');
    is_pointer.then(|| Value::from(format!("#/properties/result{rest}")).to_string())
}

/// Replaces properties that are `true` or `false` with equivalent objects, which all clients accept.
pub(crate) fn spell_out_properties<'a>(edits: &mut Edits<'a>, schema: &'a str) {
    let properties = Object::parse(schema).and_then(|root| root.get("properties"));
    let Some(properties) = properties.and_then(|all| Object::parse(all.get())) else { return };
    for (_, schema) in properties.members() {
        if let Some(object) = spelled_out(schema.get()) {
            edits.replace(schema.get(), object);
        }
    }
}

/// The object that is equivalent to a schema of `true` or `false`.
pub(crate) fn spelled_out(schema: &str) -> Option<&'static str> {
    match schema {
        "true" => Some("{}"),
        "false" => Some(r#"{"not":{}}"#),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrapped(schema: &str) -> String {
        let mut edits = Edits::new(schema);
        wrap(&mut edits, schema);
        edits.finish()
    }

    #[test]
    fn schemas_are_wrapped_and_references_follow() {
        for (schema, inner) in [
            (r#"{"type":"array", "items":{"type":"number"}}"#, None),
            (
                r##"{"anyOf":[{"$ref":"#"},{"$ref":"#\/$defs/a"}],"$defs":{"a":{"const":{"$ref":"#"}}}}"##,
                Some(
                    r##"{"anyOf":[{"$ref":"#/properties/result"},{"$ref":"#/properties/result/$defs/a"}],"$defs":{"a":{"const":{"$ref":"#"}}}}"##,
                ),
            ),
            (
                r##"{"properties":{"$ref":{"$ref":"#/x"},"default":{"$dynamicRef":"#"}}}"##,
                Some(
                    r##"{"properties":{"$ref":{"$ref":"#/properties/result/x"},"default":{"$dynamicRef":"#/properties/result"}}}"##,
                ),
            ),
            (r##"{"items":{"$ref":"#anchor"},"not":{"$ref":"other.json#/a"}}"##, None),
            (r##"{"$id":"https://x.example/s","items":{"$ref":"#"}}"##, None),
            (r##"{"items":{"$id":"inner","$ref":"#"}}"##, None),
            (
                r##"{"items":{"$id":"#a","$ref":"#"}}"##,
                Some(r##"{"items":{"$id":"#a","$ref":"#/properties/result"}}"##),
            ),
        ] {
            let inner = inner.unwrap_or(schema);
            let expected = format!(
                r#"{{"type":"object","properties":{{"result":{inner}}},"required":["result"]}}"#
            );
            assert_eq!(wrapped(schema), expected, "{schema}");
        }
        let dialect = r#"{"$schema":"d","type":"null"}"#;
        assert!(wrapped(dialect).starts_with(r#"{"$schema":"d","type":"object","#));
    }

    #[test]
    fn objects_say_so_at_the_root() {
        for (schema, expected) in [
            (r#"{"type":"object"}"#, true),
            (r#"{"t\u0079pe":"object"}"#, true),
            (r#"{"type":["object"]}"#, false),
            (r#"{"type":"array"}"#, false),
            (r#"{"anyOf":[{"type":"object"}]}"#, false),
            ("true", false),
        ] {
            assert_eq!(is_of_objects(schema), expected, "{schema}");
        }
    }

    #[test]
    fn deep_schemas_end_somewhere() {
        let deep = format!("{}{}{}", r#"{"not":"#.repeat(5000), "{}", "}".repeat(5000));
        assert!(wrapped(&deep).contains(&deep));
    }

    /// The inverse of `wrap`.
    fn unwrapped(wrapped: &Value) -> Value {
        fn back(value: &Value, is_map: bool) -> Value {
            match value {
                Value::Array(items) => items.iter().map(|item| back(item, false)).collect(),
                Value::Object(members) => members
                    .iter()
                    .map(|(name, value)| {
                        let value = match (name.as_str(), value) {
                            ("$ref", Value::String(to)) if !is_map => {
                                Value::from(to.replacen("#/properties/result", "#", 1))
                            }
                            ("const" | "default", _) if !is_map => value.clone(),
                            _ => back(value, !is_map && MAPS.contains(&name.as_str())),
                        };
                        (name.clone(), value)
                    })
                    .collect(),
                other => other.clone(),
            }
        }
        back(&wrapped["properties"]["result"], false)
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let name = prop_oneof!["[a-c]", Just("$ref".to_owned()), Just("default".to_owned())];
        let leaf = prop_oneof![
            Just(serde_json::json!({"$ref": "#"})),
            Just(serde_json::json!({"$ref": "#/$defs/a"})),
            Just(serde_json::json!({"$ref": "b.json#/c"})),
            Just(serde_json::json!({"const": {"$ref": "#"}})),
            Just(serde_json::json!({"type": "array"})),
            Just(serde_json::json!(true)),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            let map = prop::collection::btree_map(name.clone(), inner.clone(), 0..4);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3)
                    .prop_map(|all| serde_json::json!({"anyOf": all})),
                map.clone().prop_map(|all| serde_json::json!({"properties": all})),
                map.prop_map(|all| serde_json::json!({"$defs": all, "x": 1})),
                inner.prop_map(|one| serde_json::json!({"items": one})),
            ]
        })
    }

    proptest! {
        #[test]
        fn wrapping_and_its_inverse_agree(schema in schemas()) {
            let text = schema.to_string();
            let wrapped: Value = serde_json::from_str(&wrapped(&text)).expect("JSON");
            prop_assert_eq!(unwrapped(&wrapped), schema);
        }
    }
}
