//! `Notification`: a notification of an older server, classified, and its changes.

use crate::bridge::envelope::SUBSCRIPTION_ID;
use crate::bridge::level::Level;
use crate::bridge::upward::legacy_server::LISTS;
use crate::json::edit;
use crate::json::object::Object;
use crate::mcp::id::Id;
use serde_json::value::RawValue;

#[derive(Debug, PartialEq)]
pub(crate) enum Notification {
    /// Of the call with this progress token.
    Progress {
        token: Id,
    },
    Log(Level),
    /// One of `LISTS` has changed.
    ListChanged(&'static str),
    ResourceUpdated {
        uri: String,
    },
    /// Nothing that 2026-07-28 has.
    LeftOut,
    Other,
}

impl Notification {
    pub(crate) fn read(text: &str) -> Notification {
        let members = Object::parse(text);
        let member = |name: &str| members.as_ref().and_then(|members| members.get_non_null(name));
        let method = members.as_ref().and_then(|members| members.text("method"));
        let params = member("params").and_then(|params| Object::parse(params.get()));
        let param = |name: &str| params.as_ref().and_then(|params| params.get_non_null(name));
        match method.as_deref().unwrap_or_default() {
            "notifications/progress" => param("progressToken")
                .and_then(|token| Id::from_json(token.get()))
                .map_or(Notification::LeftOut, |token| Notification::Progress { token }),
            "notifications/message" => param("level")
                .and_then(Level::from_json)
                .map_or(Notification::LeftOut, Notification::Log),
            "notifications/resources/updated" => {
                let uri = params.as_ref().and_then(|params| params.text("uri"));
                uri.map_or(Notification::LeftOut, |uri| Notification::ResourceUpdated { uri })
            }
            "notifications/elicitation/complete"
            | "notifications/tasks/status"
            | "notifications/cancelled" => Notification::LeftOut,
            method => {
                let list = method
                    .strip_prefix("notifications/")
                    .and_then(|rest| rest.strip_suffix("/list_changed"));
                let list = list.and_then(|list| LISTS.into_iter().find(|known| *known == list));
                list.map_or(Notification::Other, Notification::ListChanged)
            }
        }
    }
}

/// A progress notification with another token, which is JSON.
pub(crate) fn with_progress_token(progress: &str, token: &str) -> Option<String> {
    let params = Object::parse(progress)?.get("params")?;
    let old = Object::parse(params.get())?.get("progressToken")?;
    Some(edit::replace(progress, old.get(), token))
}

/// A notification with the id of a subscription in its `_meta`.
pub(crate) fn of_subscription(notification: &str, id: &Id) -> Option<String> {
    let id = id.as_json();
    let params = Object::parse(notification)?.get_non_null("params").map(RawValue::get);
    let Some(params) = params else {
        let bare = edit::without_members(notification, |name| name == "params");
        let meta = format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{id}}}}}"#);
        return Some(edit::insert_member(bare.as_deref().unwrap_or(notification), "params", &meta));
    };
    let members = Object::parse(params)?;
    let marked = match members.get_non_null("_meta").map(RawValue::get) {
        Some(meta) => {
            let bare = edit::without_members(meta, |name| name == SUBSCRIPTION_ID);
            let meta_now =
                edit::insert_member(bare.as_deref().unwrap_or(meta), SUBSCRIPTION_ID, id);
            edit::replace(params, meta, &meta_now)
        }
        None => edit::insert_member(params, "_meta", &format!(r#"{{"{SUBSCRIPTION_ID}":{id}}}"#)),
    };
    Some(edit::replace(notification, params, &marked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_notification_is() {
        for (text, expected) in [
            (
                r#"{"method":"notifications/progress","params":{"progressToken": "a\u0062","progress":1}}"#,
                Notification::Progress { token: Id::from_json("\"ab\"").expect("an id") },
            ),
            (r#"{"method":"notifications/progress","params":{}}"#, Notification::LeftOut),
            (
                r#"{"method":"notifications\/resources/list_changed"}"#,
                Notification::ListChanged("resources"),
            ),
            (r#"{"method":"notifications/roots/list_changed"}"#, Notification::Other),
            (
                r#"{"method":"notifications/resources/updated","params":{"uri":"a:\u0062"}}"#,
                Notification::ResourceUpdated { uri: "a:b".to_owned() },
            ),
            (r#"{"method":"notifications/tasks/status","params":{}}"#, Notification::LeftOut),
            (
                r#"{"method":"notifications/message","params":{"level":"loud"}}"#,
                Notification::LeftOut,
            ),
            (r#"{"method":"x/y"}"#, Notification::Other),
        ] {
            assert_eq!(Notification::read(text), expected, "{text}");
        }
        let level = |name: &str| {
            Notification::read(&format!(
                r#"{{"method":"notifications/message","params":{{"level":"{name}"}}}}"#
            ))
        };
        let (Notification::Log(info), Notification::Log(alert)) = (level("info"), level("alert"))
        else {
            panic!("levels")
        };
        assert!(info < alert && info.name() == "info");
    }

    #[test]
    fn tokens_and_subscriptions_are_written_in_place() {
        assert_eq!(
            with_progress_token(
                r#"{"params":{"progress":1e400, "progressToken": 7,"message":"\u0065"}}"#,
                r#""new""#
            )
            .as_deref(),
            Some(r#"{"params":{"progress":1e400, "progressToken": "new","message":"\u0065"}}"#)
        );
        let id = Id::from_json("\"l-1\"").expect("an id");
        let mark = r#""io.modelcontextprotocol/subscriptionId":"l-1""#;
        for (notification, expected) in [
            (r#"{"method":"m"}"#, format!(r#"{{"params":{{"_meta":{{{mark}}}}},"method":"m"}}"#)),
            (
                r#"{"method":"m","params":null}"#,
                format!(r#"{{"params":{{"_meta":{{{mark}}}}},"method":"m"}}"#),
            ),
            (
                r#"{"method":"m","params":{"uri":"\u0065"}}"#,
                format!(r#"{{"method":"m","params":{{"_meta":{{{mark}}},"uri":"\u0065"}}}}"#),
            ),
            (
                r#"{"params":{"_meta":{"a":1.0,"io.modelcontextprotocol/subscriptionId":2}}}"#,
                format!(r#"{{"params":{{"_meta":{{{mark},"a":1.0}}}}}}"#),
            ),
        ] {
            assert_eq!(of_subscription(notification, &id), Some(expected));
        }
    }
}
