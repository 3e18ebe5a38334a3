//! `ClientRequests`: requests that this program sends to its client, and the client's responses to them.
//!
//! Their ids, `sigv4-proxy-PURPOSE-NUMBER`, are used once. A response with such an id never goes to a server, even if it
//! arrives after the request was withdrawn. Neither does one to a request of a server that was lost with its session. All other
//! responses pass. Servers may not use ids that begin like these.

use crate::error::{Error, Kind};
use crate::json::members::Members;
use crate::mcp::id::Id;
use crate::mcp::message::{Message, MessageKind, split_batch};
use crate::sync::lock;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// How the JSON of the ids begins.
const START: &str = "\"sigv4-proxy-";

/// Maximum number of requests that wait for their responses.
const MAX_WAITING: usize = 64;

/// Maximum number of withdrawn requests of servers that are remembered.
const MAX_WITHDRAWN: usize = 1000;

/// Requests and notifications to the client of this process. Clones share everything. Nothing here waits for the client.
#[derive(Clone, Default)]
pub struct ClientRequests {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Queues a line for the client; `true`: a request.
    output: OnceLock<Box<dyn Fn(String, bool) + Send + Sync>>,
    /// Whether any request was sent or withdrawn. In most processes none is, and then no response is parsed for its id.
    any_sent: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Number of requests sent so far, by purpose.
    sent: HashMap<&'static str, u64>,
    waiting: Vec<(Id, OnResponse)>,
    /// Requests of servers that were lost with their sessions, oldest first. The client may respond to them all the same.
    withdrawn: VecDeque<Id>,
    /// The client can respond no more.
    is_closed: bool,
}

type OnResponse = Box<dyn FnOnce(ClientResponse) + Send>;

/// The client's response to a request of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientResponse {
    /// JSON of the result.
    Result(String),
    /// JSON of the error.
    Error(String),
    /// None will come: the input from the client has ended.
    Closed,
}

/// A request that was sent. Dropping it withdraws the request, with `notifications/cancelled`, unless it has its response.
#[must_use = "dropping it withdraws the request"]
pub(crate) struct SentRequest {
    requests: ClientRequests,
    id: Id,
}

impl ClientRequests {
    /// Sets, once, the function that queues lines for the client, and learns whether a line is a request. It must not block.
    pub(crate) fn set_output(&self, output: impl Fn(String, bool) + Send + Sync + 'static) {
        let _ = self.shared.output.set(Box::new(output));
    }

    /// Queues a request. `params` is JSON. `on_response` is called once at most, on the thread that reads from the client,
    /// so it must not wait.
    ///
    /// # Errors
    /// `TooMany`: 64 requests wait already. `Cancelled`: the client can respond no more.
    pub(crate) fn send(
        &self,
        purpose: &'static str,
        method: &str,
        params: &str,
        on_response: impl FnOnce(ClientResponse) + Send + 'static,
    ) -> Result<SentRequest, Error> {
        let id = {
            let mut state = lock(&self.shared.state);
            if state.is_closed {
                return Err(Error::new(Kind::Cancelled, "the client closed stdin"));
            }
            if state.waiting.len() == MAX_WAITING {
                let what =
                    format!("{MAX_WAITING} requests already wait for responses from the client");
                return Err(Error::new(Kind::TooMany, what));
            }
            let count = state.sent.entry(purpose).or_default();
            *count += 1;
            let id = Id::from_json(&format!("{START}{purpose}-{count}\""));
            let id = id.expect("a string is an id");
            state.waiting.push((id.clone(), Box::new(on_response)));
            id
        };
        self.shared.any_sent.store(true, Ordering::SeqCst);
        let json = id.as_json();
        let line =
            format!(r#"{{"jsonrpc":"2.0","id":{json},"method":"{method}","params":{params}}}"#);
        self.queue(line, true);
        Ok(SentRequest { requests: self.clone(), id })
    }

    /// Queues a notification. `params` is JSON.
    pub(crate) fn notify(&self, method: &str, params: &str) {
        self.queue(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#), false);
    }

    /// Withdraws a request of a server that no longer waits for it. The client's response will not pass.
    pub(crate) fn withdraw(&self, id: &Id) {
        {
            let mut state = lock(&self.shared.state);
            if state.withdrawn.len() == MAX_WITHDRAWN {
                state.withdrawn.pop_front();
            }
            state.withdrawn.push_back(id.clone());
        }
        self.shared.any_sent.store(true, Ordering::SeqCst);
        self.notify_cancelled(id);
    }

    /// Whether the client may still respond to a withdrawn request of this id.
    pub(crate) fn has_withdrawn(&self, id: &Id) -> bool {
        lock(&self.shared.state).withdrawn.contains(id)
    }

    fn notify_cancelled(&self, id: &Id) {
        let params = format!(r#"{{"requestId":{}}}"#, id.as_json());
        self.notify("notifications/cancelled", &params);
    }

    /// Takes the responses to requests of this program, and to withdrawn ones, out of a message of the client. Returns the
    /// rest, for the server.
    pub(crate) fn take_responses(&self, message: Message) -> Option<Message> {
        if !self.shared.any_sent.load(Ordering::SeqCst) {
            return Some(message);
        }
        match message.kind() {
            MessageKind::Response => (!self.take(message.body())).then_some(message),
            MessageKind::Batch { .. } => {
                let members = split_batch(message.body()).unwrap_or_default();
                let left: Vec<&str> =
                    members.iter().filter(|one| !self.take(one.as_bytes())).copied().collect();
                match left.len() {
                    0 => None,
                    number if number == members.len() => Some(message),
                    _ => Message::parse(format!("[{}]", left.join(",")).into_bytes()).ok(),
                }
            }
            MessageKind::Request { .. } | MessageKind::Notification { .. } => Some(message),
        }
    }

    /// Whether an id is kept for requests of this program. One that is not used yet counts, too: a request of a server that has it
    /// would get the response to a later request of this program, or the other way round.
    pub(crate) fn is_reserved(id: &Id) -> bool {
        id.as_json().starts_with(START)
    }

    /// Whether a request of this program has, or had, this id.
    fn has_sent(&self, id: &Id) -> bool {
        let parts = || {
            let text = id.as_json().strip_prefix(START)?.strip_suffix('"')?;
            let (purpose, number) = text.rsplit_once('-')?;
            let count = *lock(&self.shared.state).sent.get(purpose)?;
            let sent: u64 = number.parse().ok()?;
            Some((1..=count).contains(&sent) && number == sent.to_string())
        };
        parts().unwrap_or_default()
    }

    /// Ends all waiting: the input from the client has ended.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut state = lock(&self.shared.state);
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        for (_, respond) in waiting {
            respond(ClientResponse::Closed);
        }
    }

    /// Takes a message if it is a response to a request of this program.
    fn take(&self, message: &[u8]) -> bool {
        let Some(members) = Members::parse(message).ok().filter(|m| m.method.is_none()) else {
            return false;
        };
        let Some(id) = members.id.and_then(Id::from_json) else { return false };
        if !self.has_sent(&id) {
            return self.forget_withdrawn(&id);
        }
        let Some(respond) = self.stop_waiting(&id) else { return true };
        let json = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        respond(match (members.error, members.result) {
            (Some(error), _) if error != b"null" => ClientResponse::Error(json(error)),
            (_, result) => ClientResponse::Result(json(result.unwrap_or(b"null"))),
        });
        true
    }

    /// Forgets the withdrawn request of this id, if there is one.
    fn forget_withdrawn(&self, id: &Id) -> bool {
        let withdrawn = &mut lock(&self.shared.state).withdrawn;
        let at = withdrawn.iter().position(|withdrawn| withdrawn == id);
        at.and_then(|at| withdrawn.remove(at)).is_some()
    }

    fn stop_waiting(&self, id: &Id) -> Option<OnResponse> {
        let waiting = &mut lock(&self.shared.state).waiting;
        let at = waiting.iter().position(|(waiting, _)| waiting == id)?;
        Some(waiting.swap_remove(at).1)
    }

    fn queue(&self, line: String, is_request: bool) {
        if let Some(output) = self.shared.output.get() {
            output(line, is_request);
        }
    }
}

impl fmt::Debug for ClientRequests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ClientRequests")
    }
}

impl Drop for SentRequest {
    fn drop(&mut self) {
        if self.requests.stop_waiting(&self.id).is_some() {
            self.requests.notify_cancelled(&self.id);
        }
    }
}

impl fmt::Debug for SentRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SentRequest({})", self.id.as_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn connected() -> (ClientRequests, Receiver<String>) {
        let requests = ClientRequests::default();
        let (sender, lines) = channel();
        let sender = Mutex::new(sender);
        requests.set_output(move |line, _| lock(&sender).send(line).expect("it is read"));
        (requests, lines)
    }

    /// The rest of a line of the client.
    fn left(requests: &ClientRequests, line: &str) -> Option<String> {
        let message = Message::parse(line.as_bytes().to_vec()).expect("a message");
        let left = requests.take_responses(message)?;
        Some(String::from_utf8(left.body().to_vec()).expect("UTF-8"))
    }

    #[test]
    fn responses_to_our_requests_are_taken_and_all_others_pass() {
        let (requests, lines) = connected();
        let theirs = r#"{"jsonrpc":"2.0","id":"sigv4-proxy-ask-1","result":{}}"#;
        assert_eq!(left(&requests, theirs).as_deref(), Some(theirs), "nothing was sent yet");
        let (sender, responses) = channel();
        let sent: Vec<SentRequest> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                let on_response = move |response| sender.send(response).expect("it is read");
                requests.send("ask", "roots/list", "{}", on_response).expect("there is room")
            })
            .collect();
        assert_eq!(
            lines.recv().as_deref(),
            Ok(r#"{"jsonrpc":"2.0","id":"sigv4-proxy-ask-1","method":"roots/list","params":{}}"#)
        );
        for other in [
            r#"{"id":"sigv4-proxy-ask-0","result":{}}"#,
            r#"{"id":"sigv4-proxy-ask-4","result":{}}"#,
            r#"{"id":"sigv4-proxy-ask-01","result":{}}"#,
            r#"{"id":"sigv4-proxy-other-1","result":{}}"#,
            r#"{"id":1,"result":{}}"#,
            r#"{"id":"sigv4-proxy-ask-1","method":"tools/list"}"#,
            r#"[{"id":7,"method":"tools/list"}]"#,
        ] {
            assert_eq!(left(&requests, other).as_deref(), Some(other));
        }
        assert_eq!(left(&requests, r#"{"id":"sigv4\u002dproxy-ask-1","result":{"a":1}}"#), None);
        assert_eq!(responses.recv(), Ok(ClientResponse::Result(r#"{"a":1}"#.into())));
        assert_eq!(left(&requests, theirs), None, "a second response");
        let batch = r#"[{"id":7,"method":"m"},{"id":"sigv4-proxy-ask-2","error":{"code":1}},{"id":3,"result":1}]"#;
        assert_eq!(
            left(&requests, batch).as_deref(),
            Some(r#"[{"id":7,"method":"m"},{"id":3,"result":1}]"#)
        );
        assert_eq!(responses.recv(), Ok(ClientResponse::Error(r#"{"code":1}"#.into())));
        assert!(lines.try_iter().count() == 2 && responses.try_recv().is_err());
        drop(sent);
        let withdrawn = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"sigv4-proxy-ask-3"}}"#;
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), [withdrawn]);
        assert_eq!(left(&requests, r#"{"id":"sigv4-proxy-ask-3","result":{}}"#), None, "late");
        assert!(responses.try_recv().is_err());
    }

    #[test]
    fn a_withdrawn_request_of_a_server_is_cancelled_and_its_response_does_not_pass() {
        let (requests, lines) = connected();
        let id = Id::from_json("0").expect("an id");
        requests.withdraw(&id);
        assert_eq!(
            lines.recv().as_deref(),
            Ok(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#)
        );
        let other = r#"{"id":1,"result":{}}"#;
        assert_eq!(left(&requests, other).as_deref(), Some(other));
        assert!(requests.has_withdrawn(&id));
        assert_eq!(left(&requests, r#"{"id":0,"result":{}}"#), None);
        assert!(!requests.has_withdrawn(&id), "the id is free again");
        for number in 0..=MAX_WITHDRAWN {
            requests.withdraw(&Id::from_json(&number.to_string()).expect("an id"));
        }
        assert!(!requests.has_withdrawn(&id), "too many");
    }

    #[test]
    fn requests_are_bounded_and_end_with_the_input() {
        let (requests, _lines) = connected();
        let (sender, responses) = channel();
        let send = || {
            let sender = sender.clone();
            requests.send("ask", "roots/list", "{}", move |response| {
                sender.send(response).expect("it is read");
            })
        };
        let all: Vec<SentRequest> = (0..MAX_WAITING).map(|_| send().expect("room")).collect();
        assert_eq!(send().expect_err("there is no room").kind(), Kind::TooMany);
        requests.close();
        assert_eq!(responses.try_iter().count(), all.len());
        assert_eq!(send().expect_err("it has ended").kind(), Kind::Cancelled);
    }
}
