//! `Id`: the id of a JSON-RPC request, compared by type and value.

use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The id of a request. `1` and `"1"` are two ids, `1` and `1.0` are one.
#[derive(Clone)]
pub struct Id(Json);

/// A string in one spelling, so that `"a/b"` and `"a\/b"` are one id; a number as written. Short ids, which are most, are
/// kept inline: one thread creates them and another drops them, which is costly for heap memory.
#[derive(Clone)]
enum Json {
    /// The rest of `bytes` is zero.
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Arc<str>),
}

/// With this an id is as large as a `String`.
const SHORT: usize = 22;

impl Id {
    /// Returns `None` for JSON that is not a string or a number.
    pub(crate) fn from_json(json: &str) -> Option<Id> {
        canonical_id(json).map(|json| Id(Json::of(&json)))
    }

    /// Whether this JSON is this id.
    pub(crate) fn is(&self, json: &str) -> bool {
        canonical_id(json).is_some_and(|json| is_one_id(&json, self.as_json()))
    }

    /// Whether this JSON is this id in the same spelling.
    pub(crate) fn is_spelt(&self, json: &str) -> bool {
        canonical_id(json).is_some_and(|json| json == self.as_json())
    }

    /// Whether this id is a number, and this JSON a string that spells it.
    pub(crate) fn is_number_in(&self, json: &str) -> bool {
        let Ok(text) = serde_json::from_str::<String>(json) else { return false };
        let is_number = serde_json::from_str::<&RawValue>(&text)
            .is_ok_and(|value| value.get() == text && is_number(&text));
        is_number && is_number_and_equal(&text, self.as_json())
    }

    /// The id as JSON.
    pub fn as_json(&self) -> &str {
        match &self.0 {
            Json::Short { length, bytes } => {
                let json = str::from_utf8(&bytes[..usize::from(*length)]);
                json.expect("a whole string was put in")
            }
            Json::Long(json) => json,
        }
    }
}

impl Json {
    fn of(json: &str) -> Json {
        match u8::try_from(json.len()) {
            Ok(length) if json.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..json.len()].copy_from_slice(json.as_bytes());
                Json::Short { length, bytes }
            }
            _ => Json::Long(json.into()),
        }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Id) -> bool {
        is_one_id(self.as_json(), other.as_json())
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match Decimal::of(self.as_json()) {
            Some(decimal) => decimal.hash(state),
            None => self.as_json().hash(state),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Id({})", self.as_json())
    }
}

fn canonical_id(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' if json.contains('\\') => {
            let text: String = serde_json::from_str(json).ok()?;
            Some(Cow::Owned(Value::from(text).to_string()))
        }
        // As written: a number of 20 digits must not go through a float.
        b'"' | b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// Whether two ids are one, by type and value.
fn is_one_id(one: &str, other: &str) -> bool {
    one == other || (is_number(one) && is_number_and_equal(one, other))
}

fn is_number_and_equal(number: &str, other: &str) -> bool {
    let is_integer = |json: &str| !json.contains(['.', 'e', 'E']) && json != "-0";
    if is_integer(number) && is_integer(other) {
        return number == other;
    }
    number == other
        || matches!((Decimal::of(number), Decimal::of(other)), (Some(a), Some(b)) if a == b)
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// The value of a JSON number: digits that neither begin nor end with zero, times a power of ten. Exact, because an id of
/// 20 digits does not fit into a float.
#[derive(PartialEq, Eq, Hash)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` for what is not a number, and for an exponent beyond 64 bits.
    fn of(json: &str) -> Option<Decimal> {
        if !is_number(json) {
            return None;
        }
        let (is_negative, rest) = json.strip_prefix('-').map_or((false, json), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Some(Decimal { is_negative: false, digits: String::new(), exponent: 0 });
        }
        let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
        let exponent = exponent.parse::<i64>().ok()?;
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Decimal {
            is_negative,
            digits: significant.trim_start_matches('0').to_owned(),
            exponent: exponent.checked_add(zeros)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_of_every_length() {
        for length in [0, 1, SHORT - 3, SHORT - 2, SHORT - 1, 300] {
            let json = format!("\"{}\"", "é".repeat(length / 2) + &"x".repeat(length % 2));
            let id = Id::from_json(&json).expect("an id");
            assert_eq!(id.as_json(), json);
            assert!(id.is(&json) && !id.is("7") && id != Id::from_json("7").expect("an id"));
        }
        for same in [
            &["1", "1.0", "1e0", "10e-1", "0.1E1", "0.001e+3", "1.000"][..],
            &["0", "-0", "0.0", "0e7", "-0.0e-7"],
            &["-1.5", "-15e-1"],
            &[
                "12345678901234567890123",
                "12345678901234567890123.0",
                "1.2345678901234567890123e22",
            ],
            &["1e999999999", "10e999999998"],
            &["1e99999999999999999999"],
            &["1.5"],
            &["\"1\""],
            &["\"1.0\""],
            &["12345678901234567890124"],
        ]
        .windows(2)
        {
            let ids = |spellings: &[&str]| -> Vec<Id> {
                spellings.iter().map(|json| Id::from_json(json).expect("an id")).collect()
            };
            let (one, other) = (ids(same[0]), ids(same[1]));
            for id in &one {
                assert_eq!(one.iter().collect::<HashSet<_>>().len(), 1, "{one:?}");
                assert!(one[0] == *id && one[0].is(id.as_json()) && !other.contains(id), "{id:?}");
            }
        }
        for (json, number, is_its_text) in [
            (r#""7""#, "7", true),
            (r#""\u0037""#, "7", true),
            (r#""7.0""#, "7", true),
            (r#"" 7""#, "7", false),
            (r#""07""#, "7", false),
            (r#""7""#, "8", false),
            (r#""7""#, "\"7\"", false),
            ("7", "7", false),
        ] {
            let number = Id::from_json(number).expect("an id");
            assert_eq!(number.is_number_in(json), is_its_text, "{json} {number:?}");
        }
        let escaped = Id::from_json(r#""a\/b""#).expect("an id");
        assert!(
            escaped.is(r#""a/b""#)
                && escaped == Id::from_json(r#""a/b""#).expect("an id")
                && !escaped.is(r#""a""#)
        );
    }
}
