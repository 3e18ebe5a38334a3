//! `Round`: a sign-in between two sendings of a request of 2026-07-28.
//!
//! The client repeats its request with our `requestState`, which holds the server's own state and the responses for it, so
//! that they reach the server as if we had not been there. The state decides nothing, so it is not signed.

use crate::json::edit;
use crate::json::object::{Object, OnlyObject};
use crate::mcp::message::Message;
use crate::prompt::link::Link;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Prefix of every `requestState` of this program.
const PREFIX: &str = "sigv4-proxy.1.";

/// Names our request among those of the server.
const REQUEST_NAME: &str = "sigv4-proxy/sign-in";

/// Maximum number of rounds without a question: the official clients give up after ten rounds.
const MAX_WAITS: u32 = 6;

/// State of a repeated request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// The sign-in, by its id.
    pub(crate) sign_in: String,
    /// How often the client has waited since the user accepted.
    pub(crate) waits: u32,
    /// The `action` of its response to our request; an empty one if the response cannot be read.
    pub(crate) action: Option<String>,
}

/// The state, as it is encoded.
#[derive(Serialize, Deserialize)]
struct Encoded<'a> {
    #[serde(rename = "s")]
    round: String,
    /// The server's own `requestState` and the client's `inputResponses`, as they were written.
    #[serde(borrow, rename = "r", skip_serializing_if = "Option::is_none")]
    state: Option<&'a RawValue>,
    #[serde(borrow, rename = "i", skip_serializing_if = "Option::is_none")]
    responses: Option<&'a RawValue>,
}

/// Whether the message may be a repeated one; all others are spared the parsing.
pub(crate) fn may_be_repeated(message: &Message) -> bool {
    message.request_meta().is_some() && memmem::find(message.body(), PREFIX.as_bytes()).is_some()
}

impl Round {
    /// The round that a request repeats, and the request as it was before. `None`: it is not a repeated one.
    ///
    /// # Errors
    /// Its state has the prefix and cannot be decoded.
    pub(crate) fn of(request: &Message) -> Option<Result<(Round, Message), ()>> {
        let text = str::from_utf8(request.body()).ok()?;
        let params = Object::parse(text)?.get("params")?.get();
        let members = Object::parse(params)?;
        let state = members.text("requestState")?;
        let encoded = state.strip_prefix(PREFIX)?;
        let responses = members.get("inputResponses");
        let restore = || {
            let decoded = URL_SAFE_NO_PAD.decode(encoded).ok()?;
            let OnlyObject(before): OnlyObject<Encoded<'_>> =
                serde_json::from_slice(&decoded).ok()?;
            let (sign_in, waits) = before.round.rsplit_once('.')?;
            let response = responses.and_then(|all| Object::parse(all.get())?.get(REQUEST_NAME));
            let action = response.map(|response| {
                let response: Value = serde_json::from_str(response.get()).unwrap_or_default();
                response["action"].as_str().unwrap_or_default().to_owned()
            });
            let round = Round { sign_in: sign_in.to_owned(), waits: waits.parse().ok()?, action };
            let set = |params: &str, name, value: Option<&RawValue>| match value {
                Some(value) => edit::with_member(params, name, value.get()),
                None => edit::without_member(params, name),
            };
            let restored = set(params, "inputResponses", before.responses);
            let restored = set(&restored, "requestState", before.state);
            let restored = edit::replace(text, params, &restored);
            Some((round, request.changed_to(restored).ok()?))
        };
        Some(restore().ok_or(()))
    }

    /// The round in which the user is asked.
    pub(crate) fn first(sign_in: &str) -> Round {
        Round { sign_in: sign_in.to_owned(), waits: 0, action: None }
    }

    /// The round after this one, in which the client only waits; `None` after too many.
    pub(crate) fn next(&self) -> Option<Round> {
        let waits = self.waits + 1;
        (waits <= MAX_WAITS).then(|| Round { sign_in: self.sign_in.clone(), waits, action: None })
    }

    /// The result that asks the client to repeat `request`, with a question to the user if there is a link.
    pub(crate) fn result(&self, request: &Message, profile: &str, link: Option<&Link>) -> Value {
        let text = str::from_utf8(request.body()).unwrap_or_default();
        let params = Object::parse(text).and_then(|members| members.get("params"));
        let params = params.and_then(|params| Object::parse(params.get()));
        let member = |name| params.as_ref().and_then(|params| params.get(name));
        let state = Encoded {
            round: format!("{}.{}", self.sign_in, self.waits),
            state: member("requestState"),
            responses: member("inputResponses"),
        };
        let state = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&state).unwrap_or_default());
        let mut result =
            json!({ "resultType": "input_required", "requestState": format!("{PREFIX}{state}") });
        if let Some(link) = link {
            let params = link.elicitation(profile, None);
            result["inputRequests"] =
                json!({ REQUEST_NAME: { "method": "elicitation/create", "params": params } });
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

    fn call(id: u32, rest: &str) -> Message {
        let line = format!(
            r#"{{"jsonrpc":"2.0", "id":{id},"method":"tools/call","params":{{"name":"a",{META}{rest}}}}}"#
        );
        Message::parse(line.into_bytes()).expect("a request")
    }

    fn text(message: &Message) -> &str {
        str::from_utf8(message.body()).expect("UTF-8")
    }

    fn first() -> Round {
        Round::first("f-1")
    }

    #[test]
    fn a_repeated_request_is_restored_byte_for_byte() {
        for rest in [
            "",
            r#" , "requestState" : "of the server""#,
            r#","inputResponses":{ "a":{"x":1e400}, "b":"\u00e9"}, "requestState":"s","z":0"#,
            r#","inputResponses":{"a":1}"#,
        ] {
            let request = call(1, rest);
            let result = first().result(&request, "dev", None);
            let state = result["requestState"].to_string();
            let answer = format!(r#"{{"{REQUEST_NAME}":{{"action":"accept"}}}}"#);
            let params = text(&request);
            let members = Object::parse(
                Object::parse(params).expect("object").get("params").expect("it").get(),
            )
            .expect("object");
            let mut repeated = params.replace(r#""id":1"#, r#""id":2"#);
            let set = |repeated: String, name: &str, value: &str| match members.get(name) {
                Some(old) => repeated.replace(old.get(), value),
                None => repeated.replace(META, &format!(r#"{META},"{name}":{value}"#)),
            };
            repeated = set(repeated, "inputResponses", &answer);
            repeated = set(repeated, "requestState", &state);
            let repeated = Message::parse(repeated.into_bytes()).expect("a request");
            assert!(may_be_repeated(&repeated) && !may_be_repeated(&request));
            let (round, restored) = Round::of(&repeated).expect("ours").expect("whole");
            assert_eq!(round, Round { action: Some("accept".into()), ..first() });
            assert_eq!(text(&restored), text(&call(2, rest)));
        }
    }

    #[test]
    fn states_of_others_pass_and_broken_ones_of_ours_are_refused() {
        assert!(Round::of(&call(1, r#","requestState":"sigv4-proxy.2.x""#)).is_none());
        assert!(Round::of(&call(1, r#","requestState":7"#)).is_none());
        for broken in ["", "!", "e30", "eyJzIjoieCJ9", "eyJzIjoieC55In0"] {
            let state = format!(r#","requestState":"sigv4-proxy.1.{broken}""#);
            assert!(Round::of(&call(1, &state)).is_some_and(|round| round.is_err()), "{broken}");
        }
    }

    #[test]
    fn waits_are_counted() {
        let mut round = first();
        for waits in 1..=MAX_WAITS {
            round = round.next().expect("not too many");
            assert_eq!(round.waits, waits);
        }
        assert_eq!(round.next(), None);
    }
}
