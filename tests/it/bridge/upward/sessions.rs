//! The session that all requests of the client share.

use crate::bridge::upward::peer::{Peer, call, elicit, modern, retry};
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Mode, Recorded, Server, ServerOptions};
use serde_json::json;

#[test]
fn requests_that_are_refused_at_once_begin_one_session() {
    let peer = Peer::start(json!({"tools": {}}));
    let mut program = peer.launch(&[]);
    for id in 0..16 {
        program.write(&modern(&id.to_string(), "tools/list", "", ""));
    }
    for _ in 0..16 {
        peer.next().result(&json!({"tools": []}));
    }
    let mut ids: Vec<u64> = (0..16).map(|_| program.read()["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..16).collect::<Vec<_>>());
    for label in ["initialize", "server/discover"] {
        assert_eq!(peer.wait_for(label, 1).len(), 1, "{label}");
    }
    let own = |label: &str| peer.labels().into_iter().filter(|known| known == label).count();
    assert!(own("tools/list") <= 32, "each was refused once at most");
}

#[test]
fn a_lost_session_is_initialized_again_without_its_waiting_calls() {
    let peer = Peer::start(json!({"tools": {}}));
    let mut program = peer.launch(&[]);
    program.write(&call("1"));
    let mut parked = peer.next();
    parked.send(&elicit(70));
    let state = program.read()["result"]["requestState"].clone();
    peer.end_session(false);
    program.write(&modern("2", "tools/list", "", ""));
    peer.next_of("tools/list").result(&json!({"tools": []}));
    assert_eq!(program.read()["id"], 2);
    let begun = peer.wait_for("initialize", 2);
    assert_eq!(begun[0].json["params"], begun[1].json["params"]);
    let answer = program.ask(&retry("3", "t", &state, &json!({"q1": {"action": "accept"}})));
    assert_eq!(answer["error"]["code"], -32602);
    assert!(!peer.labels().contains(&"response".to_owned()));
}

#[test]
fn a_client_that_begins_a_session_itself_ends_that_of_the_bridge() {
    let peer = Peer::start(json!({"tools": {}}));
    let mut program = peer.launch(&[]);
    program.write(&modern("1", "tools/list", "", ""));
    peer.next().result(&json!({"tools": []}));
    program.read();
    program.shake_hands();
    let deleted = peer.wait_for("DELETE", 1);
    assert_eq!(deleted[0].request.header("mcp-session-id"), Some("session-1"));
    // From now on it is not translated for.
    let answer = program.ask(&modern("2", "tools/list", "", ""));
    assert_eq!(answer["error"]["code"], -32000);
    program.write(r#"{"jsonrpc":"2.0","id":"own","method":"tools/list"}"#);
    let own = peer.next();
    assert_eq!(own.json["id"], "own");
    own.result(&json!({"tools": []}));
    assert_eq!(program.read()["result"], json!({"tools": []}));
}

#[test]
fn a_server_that_becomes_modern_is_no_longer_translated_for() {
    for loses_session in [false, true] {
        let peer = Peer::start(json!({"tools": {"listChanged": true}}));
        let mut program = peer.launch(&[]);
        let listen = r#""notifications":{"toolsListChanged":true},"#;
        program.write(&modern("\"s\"", "subscriptions/listen", listen, ""));
        assert_eq!(program.read()["method"], "notifications/subscriptions/acknowledged");
        if loses_session {
            peer.end_session(false);
        }
        peer.become_modern();
        program.write(&modern("1", "tools/list", "", ""));
        let exchange = peer.next();
        assert_eq!(exchange.json["id"], 1, "as it is");
        exchange.result(&json!({"resultType": "complete", "tools": []}));
        let mut lines = [program.read(), program.read()];
        lines.sort_by_key(|line| line["method"].is_string());
        assert_eq!(lines[0]["result"], json!({"resultType": "complete", "tools": []}));
        assert_eq!(lines[1]["params"]["requestId"], "s", "its subscription has ended");
        program.write(&modern("2", "tools/list", "", ""));
        let exchange = peer.next();
        assert_eq!(exchange.json["id"], 2);
        exchange.result(&json!({"resultType": "complete", "tools": []}));
        assert_eq!(program.read()["id"], 2);
    }
}

#[test]
fn a_call_that_has_started_is_not_sent_again_to_a_server_that_became_modern() {
    let peer = Peer::start(json!({"tools": {}}));
    let mut program = peer.launch(&[]);
    program.write(&call("1"));
    let mut asked = peer.next();
    asked.send(&elicit(70));
    let answer = program.read();
    let state = &answer["result"]["requestState"];
    program.write(&retry("2", "t", state, &json!({"q1": {"action": "decline"}})));
    peer.wait_for("response", 1);
    peer.become_modern();
    asked.fail(&json!({"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}}));
    let answer = program.read();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(2), &json!(-32603)), "{answer}");
    assert_eq!(peer.wait_for("tools/call", 2).len(), 2, "the refused one and one more");
}

#[test]
fn a_server_of_2024_11_05_is_asked_through_its_own_transport() {
    let server = Server::start(ServerOptions {
        mode: Mode::HttpSse,
        get_stream: true,
        ..ServerOptions::default()
    });
    let mut program = Launch::to(&server.url("/sse")).start();
    let params = r#""name":"add","arguments":{"a":1,"b":2},"#;
    let sum = program.ask(&modern("1", "tools/call", params, ""));
    assert_eq!(sum["result"]["content"][0]["text"], "3");
    assert_eq!(sum["result"]["resultType"], "complete");
    // Its questions come on the one stream that all calls share.
    let slow = r#""name":"slow","arguments":{"ms":300},"#;
    program.write(&modern("2", "tools/call", slow, ""));
    server.wait_for(PATIENCE, |requests| calls(requests) == 3);
    server.push(r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#);
    let asked = program.read();
    assert_eq!(asked["result"]["inputRequests"]["q1"]["method"], "roots/list", "{asked}");
    let state = &asked["result"]["requestState"];
    let params =
        format!(r#"{slow}"requestState":{state},"inputResponses":{{"q1":{{"roots":[]}}}},"#);
    let answer = program.ask(&modern("3", "tools/call", &params, ""));
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    let requests = server.requests();
    let response = requests.iter().find(|request| request.label() == "response").unwrap();
    assert_eq!(response.json(), json!({"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}));
}

fn calls(requests: &[Recorded]) -> usize {
    requests.iter().filter(|request| request.label() == "tools/call").count()
}
