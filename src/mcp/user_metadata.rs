//! `UserMetadata`: what `--metadata` adds to `params._meta` of every request.

use crate::error::{Error, Kind};
use crate::json::edit;
use crate::json::object::Object;
use crate::mcp::message::{Message, MessageKind};

/// Names and values. A member that the client writes itself wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserMetadata(Vec<(String, String)>);

impl UserMetadata {
    pub(crate) fn new(members: Vec<(String, String)>) -> UserMetadata {
        UserMetadata(members)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The request with the metadata in it; `None` for other messages, and without metadata.
    ///
    /// # Errors
    /// The request cannot carry metadata, which is never dropped silently.
    pub(crate) fn added_to(&self, message: &Message) -> Result<Option<Message>, Error> {
        if self.is_empty() || !matches!(message.kind(), MessageKind::Request { .. }) {
            return Ok(None);
        }
        let text = str::from_utf8(message.body()).ok();
        let changed = text.and_then(|text| {
            in_member(text, "params", &|params| {
                in_member(params, "_meta", &|meta| self.merged(meta))
            })
        });
        let changed = changed.and_then(|line| message.changed_to(line).ok());
        changed.map(Some).ok_or_else(|| {
            Error::new(
                Kind::InvalidRequest,
                "--metadata cannot be written into a request whose params or _meta is not an object",
            )
            .hint("send params and _meta as JSON objects, or omit them")
        })
    }

    fn merged(&self, meta: &str) -> Option<String> {
        let members = Object::parse(meta)?;
        let new = self.0.iter().rev().filter(|(name, _)| members.get(name).is_none());
        Some(new.fold(meta.to_owned(), |meta, (name, value)| {
            edit::insert_member(&meta, name, &serde_json::Value::from(value.as_str()).to_string())
        }))
    }
}

/// `object` with its member `name` changed, which is added if it is absent or null. `None` if either is not an object.
fn in_member(object: &str, name: &str, change: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    match Object::parse(object)?.get(name) {
        None => Some(edit::insert_member(object, name, &change("{}")?)),
        Some(value) if value.get() == "null" => {
            Some(edit::replace(object, value.get(), &change("{}")?))
        }
        Some(value) => Some(edit::replace(object, value.get(), &change(value.get())?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(line: &str) -> Message {
        Message::parse(line.as_bytes().to_vec()).expect("a message")
    }

    fn metadata() -> UserMetadata {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        UserMetadata::new(vec![pair("AWS_REGION", "eu-west-1"), pair("a\"b\"", "c")])
    }

    #[test]
    fn metadata_in_addition_to_that_of_the_client() {
        for (line, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":1e2,"method":"m"}"#,
                r#"{"params":{"_meta":{"AWS_REGION":"eu-west-1","a\"b\"":"c"}},"jsonrpc":"2.0","id":1e2,"method":"m"}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{ "x":0.10}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"AWS_REGION":"eu-west-1","a\"b\"":"c"}, "x":0.10}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"_meta":{"AWS\u005fREGION":"mine","progressToken":1}}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"a\"b\"":"c","AWS\u005fREGION":"mine","progressToken":1}}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"_m\u0065ta":{}}}"#,
                r#"{"id":1,"method":"m","params":{"_m\u0065ta":{"AWS_REGION":"eu-west-1","a\"b\"":"c"}}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params": null}"#,
                r#"{"id":1,"method":"m","params": {"_meta":{"AWS_REGION":"eu-west-1","a\"b\"":"c"}}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"_meta":null,"x":1}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"AWS_REGION":"eu-west-1","a\"b\"":"c"},"x":1}}"#,
            ),
        ] {
            let changed = metadata().added_to(&message(line)).expect(line).expect("it changes");
            assert_eq!(str::from_utf8(changed.body()), Ok(expected));
        }
        let added = metadata().added_to(&message(r#"{"method":"notifications/x"}"#));
        assert!(added.expect("not a request").is_none());
        let none = UserMetadata::default().added_to(&message(r#"{"id":1,"method":"m"}"#));
        assert!(none.expect("nothing to add").is_none());
    }

    #[test]
    fn a_request_that_cannot_carry_metadata_is_refused() {
        for params in ["[1]", r#""x""#, "7", r#"{"_meta":[1]}"#, r#"{"_meta":"x"}"#] {
            let line = format!(r#"{{"id":1,"method":"m","params":{params}}}"#);
            let error = metadata().added_to(&message(&line)).expect_err(params);
            assert_eq!(error.kind(), Kind::InvalidRequest);
        }
    }
}
