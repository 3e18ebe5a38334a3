//! `subscriptions/listen` with a server that has resource subscriptions and one stream for all notifications.

use crate::bridge::upward::peer::{Peer, modern};
use crate::harness::program::Program;
use serde_json::{Value, json};
use std::time::Duration;

const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

fn peer() -> Peer {
    Peer::start(
        json!({"tools": {"listChanged": true}, "prompts": {}, "resources": {"subscribe": true, "listChanged": true}}),
    )
}

fn listen(id: &str, filter: &Value) -> String {
    modern(id, "subscriptions/listen", &format!(r#""notifications":{filter},"#), "")
}

fn cancel(program: &mut Program, id: &str) {
    program.write(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    ));
}

fn updated(uri: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})
}

fn list_changed(list: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": format!("notifications/{list}/list_changed")})
}

/// The next notification of a subscription: its id and the end of the method.
fn notified(program: &mut Program) -> (Value, String) {
    let line = program.read();
    let id = line["params"]["_meta"][SUBSCRIPTION_ID].clone();
    (id, line["method"].as_str().unwrap().trim_start_matches("notifications/").to_owned())
}

#[test]
fn each_subscription_receives_what_it_asked_for_until_it_is_cancelled() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&listen("\"one\"", &json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a:1", "a:2"]})));
    let first = peer.next();
    assert_eq!(
        (&first.json["method"], &first.json["params"]),
        (&json!("resources/subscribe"), &json!({"uri": "a:1"}))
    );
    first.result(&json!({}));
    // The server does not know the second.
    peer.next().error(-32002, "not found");
    let acknowledged = program.read();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        acknowledged["params"],
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["a:1"]}, "_meta": {SUBSCRIPTION_ID: "one"}})
    );
    // A resource that is subscribed to is not subscribed to again.
    program.write(&listen(
        "2",
        &json!({"resourceSubscriptions": ["a:1"], "resourcesListChanged": true}),
    ));
    assert_eq!(program.read()["params"]["_meta"][SUBSCRIPTION_ID], 2);
    peer.push(&list_changed("tools"));
    assert_eq!(notified(&mut program), (json!("one"), "tools/list_changed".into()));
    peer.push(&list_changed("prompts"));
    peer.push(&list_changed("resources"));
    assert_eq!(notified(&mut program), (json!(2), "resources/list_changed".into()));
    peer.push(&updated("a:3"));
    peer.push(&updated("a:1"));
    let mut both = [notified(&mut program), notified(&mut program)];
    both.sort_by_key(|(id, _)| id.to_string());
    assert_eq!(
        both,
        [(json!("one"), "resources/updated".into()), (json!(2), "resources/updated".into())]
    );
    cancel(&mut program, "\"one\"");
    std::thread::park_timeout(Duration::from_millis(50));
    peer.push(&updated("a:1"));
    assert_eq!(notified(&mut program), (json!(2), "resources/updated".into()));
    assert!(peer.is_idle(), "another subscription wants to know");
    cancel(&mut program, "2");
    let last = peer.next();
    assert_eq!(
        (&last.json["method"], &last.json["params"]),
        (&json!("resources/unsubscribe"), &json!({"uri": "a:1"}))
    );
    last.result(&json!({}));
    peer.push(&updated("a:1"));
    program.silent_for(Duration::from_millis(50));
    assert!(program.close().lines.is_empty());
}

#[test]
fn notifications_on_the_stream_of_a_call_are_relayed_too() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&listen("1", &json!({"toolsListChanged": true})));
    program.read();
    program.write(&modern("2", "tools/call", r#""name":"t","#, ""));
    let mut asked = peer.next();
    asked.send(&list_changed("tools"));
    assert_eq!(notified(&mut program), (json!(1), "tools/list_changed".into()));
    asked.result(&json!({}));
    assert_eq!(program.read()["id"], 2);
    // At the end of input nothing is written for the subscription.
    assert!(program.close().lines.is_empty());
}

#[test]
fn a_new_session_is_subscribed_again_and_announced_once() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program
        .write(&listen("1", &json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"]})));
    peer.next().result(&json!({}));
    program.read();
    peer.end_session(false);
    program.write(&modern("2", "tools/list", "", ""));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let exchange = peer.next();
        let method = exchange.json["method"].as_str().unwrap().to_owned();
        exchange.result(&json!({"tools": []}));
        seen.push(method);
    }
    seen.sort_unstable();
    assert_eq!(seen, ["resources/subscribe", "tools/list"]);
    let mut lines: Vec<String> = (0..3)
        .map(|_| {
            let line = program.read();
            line["method"].as_str().unwrap_or("response").to_owned()
        })
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["notifications/resources/updated", "notifications/tools/list_changed", "response"]
    );
    program.silent_for(Duration::from_millis(50));
}

#[test]
fn a_server_that_begins_no_other_session_ends_the_subscriptions() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&listen("\"s\"", &json!({"toolsListChanged": true})));
    program.read();
    peer.end_session(true);
    program.write(&modern("2", "tools/list", "", ""));
    let mut lines = [program.read(), program.read()];
    lines.sort_by_key(|line| line["method"].is_string());
    assert_eq!((&lines[0]["id"], lines[0]["error"].is_object()), (&json!(2), true));
    assert_eq!(lines[1]["method"], "notifications/cancelled");
    assert_eq!(lines[1]["params"]["requestId"], "s");
}
