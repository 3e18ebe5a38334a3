//! `Subscriptions`: the client's subscriptions to changes at an older server. The server notifies its one session; each
//! subscription (`subscriptions/listen`) gets a copy of the notifications that it requested.
//!
//! No I/O: the caller sends the returned messages.

use crate::bridge::upward::legacy_server::{LISTS, LegacyServer};
use crate::bridge::upward::notification::of_subscription;
use crate::error::Error;
use crate::json::object::Object;
use crate::mcp::id::Id;
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};

/// Maximum number of resources that are subscribed to.
pub(crate) const MAX_URIS: usize = 1024;

/// Maximum number of notifications that a subscription keeps for the client.
const MAX_LINES: usize = MAX_URIS + LISTS.len();

#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: Vec<Subscription>,
    last_key: u64,
    /// The server's subscriptions are being changed.
    pub(crate) is_changing: bool,
}

/// The notifications that a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// As `LISTS`.
    pub(crate) lists: [bool; LISTS.len()],
    /// Resources; `None` if none were requested.
    pub(crate) uris: Option<Vec<String>>,
}

#[derive(Debug)]
struct Subscription {
    key: u64,
    id: Id,
    filter: Filter,
    lines: VecDeque<String>,
    ended: Option<Error>,
}

impl Filter {
    /// Reads the params of `subscriptions/listen`.
    pub(crate) fn read(notifications: &str) -> Filter {
        let Some(members) = Object::parse(notifications) else { return Filter::default() };
        let wants = |list: &str| {
            members.get(&format!("{list}ListChanged")).is_some_and(|value| value.get() == "true")
        };
        let uris = members.get_non_null("resourceSubscriptions");
        let uris = uris.and_then(|uris| serde_json::from_str::<Vec<String>>(uris.get()).ok());
        let uris = uris.map(|mut uris| {
            let mut seen = HashSet::new();
            uris.retain(|uri| seen.insert(uri.clone()));
            uris
        });
        Filter { lists: LISTS.map(wants), uris }
    }

    /// As far as the server announces it.
    pub(crate) fn offered_by(mut self, server: &LegacyServer) -> Filter {
        for (list, wants) in LISTS.into_iter().zip(&mut self.lists) {
            *wants &= server.announces_changes_of(list);
        }
        self.uris = self.uris.filter(|_| server.takes_subscriptions());
        self
    }

    /// The notification that the subscription with this id is notified of this.
    fn acknowledgement(&self, id: &Id) -> String {
        let mut kept = json!({});
        for (list, wants) in LISTS.into_iter().zip(self.lists) {
            if wants {
                kept[format!("{list}ListChanged")] = Value::Bool(true);
            }
        }
        if let Some(uris) = &self.uris {
            kept["resourceSubscriptions"] = json!(uris);
        }
        let bare = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"notifications":{kept}}}}}"#
        );
        of_subscription(&bare, id).unwrap_or(bare)
    }

    pub(crate) fn uris(&self) -> &[String] {
        self.uris.as_deref().unwrap_or_default()
    }
}

impl Subscriptions {
    /// Adds a subscription. Returns its key.
    pub(crate) fn add(&mut self, id: &Id, filter: Filter) -> u64 {
        self.last_key += 1;
        let (key, id) = (self.last_key, id.clone());
        self.all.push(Subscription { key, id, filter, lines: VecDeque::new(), ended: None });
        key
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The acknowledgement of a subscription.
    pub(crate) fn acknowledgement(&self, key: u64, id: &Id) -> String {
        let known = self.all.iter().find(|known| known.key == key);
        known.map_or_else(String::new, |known| known.filter.acknowledgement(id))
    }

    /// A subscription is not notified of this resource, because the server does not announce its changes.
    pub(crate) fn leave_out(&mut self, key: u64, uri: &str) {
        let known = self.all.iter_mut().find(|known| known.key == key);
        if let Some(uris) = known.and_then(|known| known.filter.uris.as_mut()) {
            uris.retain(|known| known != uri);
        }
    }

    /// Removes a subscription. Returns the resources that no other one includes.
    pub(crate) fn remove(&mut self, key: u64) -> Vec<String> {
        let Some(at) = self.all.iter().position(|known| known.key == key) else {
            return Vec::new();
        };
        let removed = self.all.remove(at);
        self.unknown(removed.filter.uris())
    }

    /// Those of these resources that no subscription wants to know of.
    pub(crate) fn unknown(&self, uris: &[String]) -> Vec<String> {
        let is_known =
            |uri: &String| self.all.iter().any(|known| known.filter.uris().contains(uri));
        uris.iter().filter(|uri| !is_known(uri)).cloned().collect()
    }

    /// All resources that a subscription wants to know of, each once.
    pub(crate) fn uris(&self) -> Vec<String> {
        let mut uris: Vec<String> =
            self.all.iter().flat_map(|known| known.filter.uris().to_vec()).collect();
        uris.sort_unstable();
        uris.dedup();
        uris
    }

    /// The next notification for this subscription; an error once it has ended.
    pub(crate) fn next(&mut self, key: u64) -> Option<Result<String, Error>> {
        let known = self.all.iter_mut().find(|known| known.key == key)?;
        let line = known.lines.pop_front().map(Ok);
        line.or_else(|| known.ended.take().map(Err))
    }

    /// A list has changed.
    pub(crate) fn list_changed(&mut self, list: &str, line: &str) {
        let at = LISTS.iter().position(|known| *known == list);
        self.copy(line, |filter| at.is_some_and(|at| filter.lists[at]));
    }

    /// A resource has changed: one that is subscribed to, or one below it.
    pub(crate) fn resource_updated(&mut self, uri: &str, line: &str) {
        let is_it = |known: &String| {
            let rest = uri.strip_prefix(known.as_str());
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || known.ends_with('/')
            })
        };
        self.copy(line, |filter| filter.uris().iter().any(is_it));
    }

    /// Notifies every subscription that everything it wants to know of may have changed.
    pub(crate) fn notify_all(&mut self) {
        for list in LISTS {
            let line =
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
            self.list_changed(list, &line);
        }
        for uri in self.uris() {
            let params = json!({ "uri": uri });
            let line = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{params}}}"#
            );
            self.copy(&line, |filter| filter.uris().contains(&uri));
        }
    }

    /// Ends the subscriptions to any of these resources; all subscriptions without them.
    pub(crate) fn end(&mut self, uris: Option<&[String]>, error: &Error) {
        for known in &mut self.all {
            let is_meant =
                |uris: &[String]| known.filter.uris().iter().any(|uri| uris.contains(uri));
            if uris.is_none_or(is_meant) {
                known.ended.get_or_insert_with(|| error.clone());
            }
        }
    }

    /// Adds a copy for each subscription that wants it, unless an equal one is waiting.
    fn copy(&mut self, line: &str, wants: impl Fn(&Filter) -> bool) {
        for known in self.all.iter_mut().filter(|known| wants(&known.filter)) {
            let Some(copy) = of_subscription(line, &known.id) else { continue };
            if known.lines.len() < MAX_LINES && !known.lines.contains(&copy) {
                known.lines.push_back(copy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn id(json: &str) -> Id {
        Id::from_json(json).expect("an id")
    }

    fn lines(subscriptions: &mut Subscriptions, key: u64) -> Vec<String> {
        std::iter::from_fn(|| subscriptions.next(key)).map(|line| line.expect("a line")).collect()
    }

    #[test]
    fn what_the_server_does_not_tell_is_not_acknowledged() {
        let server = LegacyServer::read(
            br#"{"result":{"capabilities":{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true}}}}"#,
        );
        let asked = r#"{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a","b","a"]}"#;
        let filter = Filter::read(asked).offered_by(&server);
        assert_eq!(filter.lists, [true, false, false]);
        assert_eq!(filter.uris(), ["a", "b"]);
        assert_eq!(
            filter.acknowledgement(&id("\"l\"")),
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"l"},"notifications":{"resourceSubscriptions":["a","b"],"toolsListChanged":true}}}"#
        );
        let silent = Filter::read(asked).offered_by(&LegacyServer::default());
        assert!(silent.acknowledgement(&id("1")).ends_with(r#""notifications":{}}}"#));
    }

    #[test]
    fn each_subscription_gets_what_it_asked_for_under_its_own_id() {
        let mut subscriptions = Subscriptions::default();
        let uris = |uris: &[&str]| Some(uris.iter().map(|uri| (*uri).to_owned()).collect());
        let first = Filter { lists: [true, false, false], uris: uris(&["a", "b"]) };
        let second = Filter { lists: [true, true, false], uris: uris(&["b"]) };
        let first = subscriptions.add(&id("1"), first);
        let second = subscriptions.add(&id("\"2\""), second);
        subscriptions.list_changed("tools", r#"{"method":"t"}"#);
        subscriptions.list_changed("resources", r#"{"method":"r"}"#);
        subscriptions.resource_updated("a", r#"{"method":"u"}"#);
        subscriptions.resource_updated("b/c", r#"{"method":"c"}"#);
        subscriptions.resource_updated("bc", r#"{"method":"x"}"#);
        let of = |id: &str, method: &str| {
            format!(
                r#"{{"params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}},"method":"{method}"}}"#
            )
        };
        assert_eq!(lines(&mut subscriptions, first), [of("1", "t"), of("1", "u"), of("1", "c")]);
        assert_eq!(lines(&mut subscriptions, second), [of("\"2\"", "t"), of("\"2\"", "c")]);
        // The last one that ends unsubscribes.
        assert_eq!(subscriptions.uris(), ["a", "b"]);
        assert_eq!(subscriptions.remove(first), ["a"]);
        assert_eq!(subscriptions.unknown(&["a".to_owned(), "b".to_owned()]), ["a"]);
        assert_eq!(subscriptions.remove(second), ["b"]);
        assert!(subscriptions.remove(second).is_empty());
    }

    #[test]
    fn a_new_session_is_announced_once_and_a_lost_one_ends_the_subscriptions() {
        let mut subscriptions = Subscriptions::default();
        let filter = Filter { lists: [false, false, true], uris: Some(vec!["a".to_owned()]) };
        let key = subscriptions.add(&id("1"), filter);
        subscriptions.notify_all();
        subscriptions.notify_all();
        let received = lines(&mut subscriptions, key);
        assert_eq!(received.len(), 2, "{received:?}");
        assert!(
            received[0].contains("resources/list_changed") && received[1].contains(r#""uri":"a""#)
        );
        let error = Error::new(Kind::InvalidResponse, "gone");
        subscriptions.end(Some(&["b".to_owned()]), &error);
        assert!(subscriptions.next(key).is_none());
        subscriptions.end(None, &error);
        assert!(matches!(subscriptions.next(key), Some(Err(error)) if error.message() == "gone"));
    }
}
