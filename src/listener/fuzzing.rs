//! What a connection reads from its client, for a fuzz target.

use crate::listener::body_budget::BodyBudget;
use crate::listener::input::Input;
use crate::listener::request_body::{self, BodyError, BodyLimits};
use crate::listener::request_head::{self, RequestHead};
use crate::listener::stream::Stream;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Nothing is waited for: all of it is there.
const LIMIT: Duration = Duration::from_secs(5);

const LIMITS: BodyLimits = BodyLimits { max_bytes: 2048, pause: LIMIT, time: LIMIT };

/// The requests that a client sends, each with its headers and its body, and the refusal of what follows them. The first `first`
/// bytes arrive alone.
pub fn requests(bytes: &[u8], first: usize) -> Vec<String> {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    let mut input = Input::new(Arc::new(Stream::Unix(server)));
    let (first, rest) = bytes.split_at(first.min(bytes.len()));
    client.write_all(first).expect("room for all of it");
    if !first.is_empty() {
        input.fill(LIMIT).expect("a first part");
    }
    client.write_all(rest).expect("room for all of it");
    client.shutdown(Shutdown::Write).expect("an open socket");
    let (mut all, budget) = (Vec::new(), BodyBudget::new(LIMITS.max_bytes));
    while let Some(head) = head(&mut input, &mut all) {
        let RequestHead { verb, path, authority, headers, body: length, .. } = &head;
        match request_body::read(&mut input, *length, LIMITS, &mut budget.share()) {
            Ok(body) => {
                let headers: Vec<_> = headers.iter().collect();
                all.push(format!("{verb:?} {path} {authority:?} {headers:?} {body:?}"));
            }
            Err(BodyError::Refused(refusal)) => {
                all.push(refusal.error.to_string());
                break;
            }
            Err(BodyError::Closed) => break,
        }
    }
    all
}

/// The next head; a refusal is added to `all`.
fn head(input: &mut Input, all: &mut Vec<String>) -> Option<RequestHead> {
    let mut scanned = 0;
    loop {
        match request_head::read(input.unread(), &mut scanned) {
            Ok(Some((head, length))) => {
                input.consume(length);
                return Some(head);
            }
            Ok(None) => input.fill(LIMIT).ok()?,
            Err(refusal) => {
                all.push(refusal.error.to_string());
                return None;
            }
        }
    }
}
