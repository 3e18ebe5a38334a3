//! Messages without a response of their own, before a server that is busy.

use crate::harness::listening::Listening;
use crate::harness::messages::labels;
use crate::harness::program::Launch;
#[cfg(unix)]
use crate::harness::program::PATIENCE;
use crate::support::{HttpClient, Reply, Server, ServerOptions};
use serde_json::json;
use std::time::{Duration, Instant};

const CHANGED: &str = "notifications/roots/list_changed";

fn started() -> (Server, Listening, HttpClient) {
    let server = Server::start(ServerOptions::with_sessions_and_stream());
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    client.initialize();
    (server, listening, client)
}

fn busy(code: u16, retry_after: &str) -> Reply {
    let headers = vec![("retry-after".to_owned(), retry_after.to_owned())];
    Reply::Status { code, headers, body: b"busy".to_vec() }
}

fn notification(method: &str) -> String {
    json!({"jsonrpc": "2.0", "method": method}).to_string()
}

#[test]
fn a_notification_is_accepted_at_once_and_delivered_before_what_follows() {
    for code in [429, 503] {
        let (server, _listening, client) = started();
        let before = server.requests().len();
        server.reply_next(CHANGED, busy(code, "1"));
        let begun = Instant::now();
        let answer = client.twin().post(&notification(CHANGED));
        assert_eq!((answer.status, &*answer.body), (202, &b""[..]));
        // Another notification is, too, and does not overtake it.
        let answer = client.twin().post(&notification("notifications/later"));
        assert_eq!(answer.status, 202);
        assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
        assert_eq!(client.twin().call(1, "add", &json!({"a": 1, "b": 2})), "3");
        let sent = labels(&server.requests()[before..]);
        assert_eq!(sent, [CHANGED, CHANGED, "notifications/later", "tools/call"], "{code}");
    }
}

#[test]
fn what_another_client_sends_does_not_wait() {
    let (server, listening, client) = started();
    let mut other = listening.client();
    other.initialize();
    server.reply_next(CHANGED, busy(429, "5"));
    assert_eq!(client.twin().post(&notification(CHANGED)).status, 202);
    let begun = Instant::now();
    assert_eq!(other.call(1, "add", &json!({"a": 1, "b": 2})), "3");
    // Nor does the cancellation of a call that waits.
    let mut waiting = client.twin();
    let call = crate::harness::messages::call("7", "add", &json!({}));
    waiting.send("POST", &[], call.as_bytes()).unwrap();
    std::thread::park_timeout(Duration::from_millis(50));
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert_eq!(client.twin().post(cancel).status, 202);
    assert_eq!(waiting.answer().unwrap().body, b"");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn a_client_that_would_have_to_wait_for_too_long_has_the_servers_status() {
    let (server, _listening, mut client) = started();
    for code in [429, 503] {
        server.reply_next(CHANGED, busy(code, "100"));
        let answer = client.post(&notification(CHANGED));
        assert_eq!((answer.status, answer.header("retry-after")), (code, Some("100")));
    }
}

#[cfg(unix)]
#[test]
fn an_accepted_notification_is_delivered_before_the_process_ends_or_the_log_says_so() {
    let (server, listening, client) = started();
    server.reply_next(CHANGED, busy(429, "1"));
    assert_eq!(client.twin().post(&notification(CHANGED)).status, 202);
    let ended = listening.end();
    assert_eq!(ended.code, Some(0));
    let requests = server.wait_for(PATIENCE, |_| true);
    assert_eq!(labels(&requests).iter().filter(|label| *label == CHANGED).count(), 2);
    let (server, listening, client) = started();
    server.script(vec![busy(429, "1"), busy(429, "100")]);
    assert_eq!(client.twin().post(&notification(CHANGED)).status, 202);
    let ended = listening.end();
    assert!(ended.log.contains("could not be delivered"), "{}", ended.log);
}
