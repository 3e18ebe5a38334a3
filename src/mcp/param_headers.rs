//! `ParamHeader`: an argument of a tool that is repeated in an `Mcp-Param-*` header, because the tool's schema marks it with
//! `x-mcp-header` (2026-07-28).

use crate::http::is_header_name;
use crate::json::object::Object;
use crate::mcp::headers::encoded;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

const MARK: &str = "x-mcp-header";

/// Maximum number of marks in a tool: no server takes as many headers.
const MAX_HEADERS: usize = 100;

/// Larger integers are not the same in every language, so no header carries one.
const MAX_INTEGER: i64 = (1 << 53) - 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    /// Lower case.
    header: String,
    /// The names of the properties that lead to the argument.
    path: Vec<String>,
}

impl ParamHeader {
    /// The marked arguments in the input schema of a tool.
    ///
    /// # Errors
    /// Says which mark breaks the rules. Such a tool must not be listed.
    pub(crate) fn of_schema(schema: &RawValue) -> Result<Vec<ParamHeader>, String> {
        // Most schemas have no mark, and are not parsed. An escape could hide one.
        if !schema.get().contains(MARK) && !schema.get().contains("\\u") {
            return Ok(Vec::new());
        }
        // A schema that is nested too deep for the parser has no marks.
        let Ok(schema) = serde_json::from_str(schema.get()) else { return Ok(Vec::new()) };
        let mut headers = Vec::new();
        collect(&schema, Some(&mut Vec::new()), &mut headers)?;
        Ok(headers)
    }

    /// Name and value for a call with these arguments; `None` if the argument is absent, null, or not a value that a
    /// header can carry.
    pub(crate) fn for_arguments(&self, arguments: &Object<'_>) -> Option<(String, String)> {
        let (first, inner) = self.path.split_first()?;
        let mut argument = arguments.get(first)?;
        for name in inner {
            argument = Object::parse(argument.get())?.get(name)?;
        }
        let value = match argument.get() {
            text if text.starts_with('"') => encoded(serde_json::from_str(text).ok()?),
            text @ ("true" | "false") => text.to_owned(),
            number => integer(number)?,
        };
        Some((self.header.clone(), value))
    }
}

/// Collects the marks of a schema. `path`: the properties that lead to it; `None` if something else does.
fn collect(
    schema: &Value,
    mut path: Option<&mut Vec<String>>,
    headers: &mut Vec<ParamHeader>,
) -> Result<(), String> {
    let Value::Object(members) = schema else { return Ok(()) };
    if let Some(mark) = members.get(MARK) {
        headers.push(checked(mark, members, path.as_deref(), headers)?);
    }
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    if let Some(path) = &mut path {
                        path.push(name.clone());
                    }
                    collect(property, path.as_deref_mut(), headers)?;
                    if let Some(path) = &mut path {
                        path.pop();
                    }
                }
            }
            (
                "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(schemas),
            ) => {
                for schema in schemas.values() {
                    collect(schema, None, headers)?;
                }
            }
            // Data, not schemas.
            ("default" | "const" | "enum" | "examples" | MARK, _) => {}
            (_, Value::Object(_)) => collect(value, None, headers)?,
            (_, Value::Array(schemas)) => {
                for schema in schemas {
                    collect(schema, None, headers)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A mark that follows the rules. `others` are those of the same tool.
fn checked(
    mark: &Value,
    property: &Map<String, Value>,
    path: Option<&Vec<String>>,
    others: &[ParamHeader],
) -> Result<ParamHeader, String> {
    let path = path
        .filter(|path| !path.is_empty())
        .ok_or("x-mcp-header is not on a property of the arguments")?;
    let breaks_rule = |why: &str| format!("x-mcp-header of {}: {why}", path.join("."));
    let name = mark.as_str().ok_or_else(|| breaks_rule("not a string"))?;
    if !is_header_name(name) {
        return Err(breaks_rule("not the name of a header"));
    }
    match property.get("type").and_then(Value::as_str) {
        Some("string" | "integer" | "boolean") => {}
        _ => return Err(breaks_rule("the type is not string, integer or boolean")),
    }
    let header = format!("mcp-param-{}", name.to_ascii_lowercase());
    if others.iter().any(|other| other.header == header) {
        return Err(breaks_rule("another argument has the same header"));
    }
    if others.len() == MAX_HEADERS {
        return Err(breaks_rule("too many arguments have a header"));
    }
    Ok(ParamHeader { header, path: path.clone() })
}

/// A JSON number in decimal, if it is an integer of at most `MAX_INTEGER`.
fn integer(number: &str) -> Option<String> {
    if let Ok(integer) = number.parse::<i64>() {
        return (integer.abs() <= MAX_INTEGER).then(|| integer.to_string());
    }
    // `2.0` and `1e3` are integers, too.
    let number: f64 = number.parse().ok()?;
    let is_integer = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0;
    is_integer.then(|| format!("{:.0}", number + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers_of(schema: &Value) -> Result<Vec<ParamHeader>, String> {
        let schema = RawValue::from_string(schema.to_string()).expect("JSON");
        ParamHeader::of_schema(&schema)
    }

    #[test]
    fn marks_that_break_a_rule() {
        let marked = |mark: Value| json!({"type": "string", "x-mcp-header": mark});
        let at = |property: Value| json!({"type": "object", "properties": {"a": property}});
        let good = marked(json!("Region"));
        for schema in [
            at(marked(json!(""))),
            at(marked(json!("a b"))),
            at(marked(json!("a:b"))),
            at(marked(json!("größe"))),
            at(marked(json!("a\nb"))),
            at(marked(json!(7))),
            at(json!({"x-mcp-header": "A"})),
            at(json!({"type": "number", "x-mcp-header": "A"})),
            at(json!({"type": "object", "x-mcp-header": "A"})),
            at(json!({"type": "array", "x-mcp-header": "A"})),
            at(json!({"type": ["string", "null"], "x-mcp-header": "A"})),
            json!({"type": "string", "x-mcp-header": "A"}),
            at(json!({"type": "array", "items": good})),
            at(json!({"type": "array", "prefixItems": [good]})),
            at(json!({"anyOf": [good, {"type": "null"}]})),
            json!({"type": "object", "oneOf": [at(good.clone())]}),
            json!({"type": "object", "not": at(good.clone())}),
            json!({"type": "object", "if": at(good.clone())}),
            json!({"type": "object", "additionalProperties": good}),
            json!({"type": "object", "patternProperties": {"^a": good}}),
            json!({"type": "object", "$defs": {"x": good}, "properties": {"a": {"$ref": "#/$defs/x"}}}),
            json!({"properties": {"a": marked(json!("Same")), "b": {"properties": {"c": marked(json!("same"))}}}}),
        ] {
            assert!(headers_of(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_tool_has_a_limited_number_of_headers() {
        let schema = |marks: usize| {
            let property = |n| json!({"type": "string", "x-mcp-header": format!("H{n}")});
            let properties: Map<String, Value> =
                (0..marks).map(|n| (format!("p{n}"), property(n))).collect();
            json!({ "properties": properties })
        };
        assert_eq!(headers_of(&schema(MAX_HEADERS)).map(|headers| headers.len()), Ok(MAX_HEADERS));
        assert!(headers_of(&schema(MAX_HEADERS + 1)).is_err());
    }

    #[test]
    fn good_marks_and_what_only_looks_like_one() {
        for schema in [
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "A!#$%&'*+-.^_`|~9"}}}),
            json!({"properties": {"x-mcp-header": {"type": "object"}}}),
            json!({"properties": {"a": {"default": {"x-mcp-header": ""}, "enum": [{"x-mcp-header": 1}]}}}),
            json!({"properties": {"properties": {"properties": {"a": {"type": "boolean", "x-mcp-header": "A"}}}}}),
            json!({"description": "x-mcp-header"}),
        ] {
            assert!(headers_of(&schema).is_ok(), "{schema}");
        }
    }

    #[test]
    fn values_as_headers_carry_them() {
        let property = |kind: &str, name: &str| json!({"type": kind, "x-mcp-header": name});
        let schema = json!({"properties": {
            "s": property("string", "S"),
            "i": property("integer", "I"),
            "b": property("boolean", "B"),
            "deep": {"properties": {"a.b": property("string", "Deep")}},
            "plain": {"type": "string"},
        }});
        let headers = headers_of(&schema).expect("good marks");
        for (arguments, expected) in [
            (
                r#"{"s":"a b","i":-7,"b":false,"plain":"p"}"#,
                &[("b", "false"), ("i", "-7"), ("s", "a b")][..],
            ),
            (r#"{"s":"","i":2.0}"#, &[("i", "2"), ("s", "=?base64??=")]),
            (r#"{"s":"h\u00e9","i":1e3}"#, &[("i", "1000"), ("s", "=?base64?aMOp?=")]),
            (r#"{"i":9007199254740991}"#, &[("i", "9007199254740991")]),
            (r#"{"i":9007199254740992}"#, &[]),
            (r#"{"i":12345678901234567890,"b":null}"#, &[]),
            (r#"{"i":1.5,"s":["x"]}"#, &[]),
            (r#"{"i":-0.0}"#, &[("i", "0")]),
            (
                r#"{"deep":{"a.b":"=?base64?eA==?="}}"#,
                &[("deep", "=?base64?PT9iYXNlNjQ/ZUE9PT89?=")],
            ),
            (r#"{"deep":7,"a.b":"x"}"#, &[]),
        ] {
            let parsed = Object::parse(arguments).expect("an object");
            let mut found: Vec<_> =
                headers.iter().filter_map(|header| header.for_arguments(&parsed)).collect();
            found.sort();
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(name, value)| (format!("mcp-param-{name}"), (*value).to_owned()))
                .collect();
            assert_eq!(found, expected, "{arguments}");
        }
    }
}
