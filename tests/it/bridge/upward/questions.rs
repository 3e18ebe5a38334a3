//! Questions of an older server: the call waits, and its client repeats it with the answers.

use crate::bridge::upward::peer::{Peer, call, elicit, modern, retry};
use serde_json::{Value, json};
use std::time::Duration;

fn peer() -> Peer {
    Peer::start(json!({"tools": {}}))
}

/// The state under which the call is parked.
fn state(answer: &Value) -> &Value {
    assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
    &answer["result"]["requestState"]
}

fn roots(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"})
}

#[test]
fn an_answer_reaches_its_call_and_the_result_the_repetition() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&call("1"));
    let mut asked = peer.next();
    asked.send(&elicit(70));
    let answer = program.read();
    assert_eq!(answer["id"], 1);
    assert_eq!(
        answer["result"]["inputRequests"],
        json!({"q1": {"method": "elicitation/create", "params": {"message": "name?", "requestedSchema": {"type": "object"}}}})
    );
    // A repetition without the answer gets the question again, with another state.
    program.write(&retry("2", "t", state(&answer), &json!({})));
    let again = program.read();
    assert_eq!(again["result"]["inputRequests"], answer["result"]["inputRequests"]);
    assert_ne!(state(&again), state(&answer));
    program.write(&retry("3", "t", state(&again), &json!({"q1": {"action": "decline"}})));
    let response = peer.wait_for("response", 1);
    assert_eq!(
        response[0].json,
        json!({"jsonrpc": "2.0", "id": 70, "result": {"action": "decline"}})
    );
    asked.result(&json!({"content": [], "resultType": "odd"}));
    let answer = program.read();
    assert_eq!((&answer["id"], &answer["result"]["resultType"]), (&json!(3), &json!("odd")));
    assert_eq!(peer.wait_for("tools/call", 2).len(), 2, "the refused one and one more");
}

#[test]
fn a_state_serves_one_call_and_once() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&call("1"));
    let mut asked = peer.next();
    asked.send(&elicit(70));
    let answer = program.read();
    let state = state(&answer);
    let answers = json!({"q1": {"action": "accept"}});
    let before = peer.labels().len();
    let unknown = |answer: &Value| {
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert_eq!(answer["error"]["message"], "unknown request state");
    };
    unknown(&program.ask(&retry("2", "u", state, &answers)));
    unknown(&program.ask(&retry("3", "t", &json!("guess"), &answers)));
    unknown(&program.ask(&retry("4", "t", &json!(7), &answers)));
    let params = format!(r#""name":"t","requestState":{state},"#);
    unknown(&program.ask(&modern("5", "prompts/get", &params, "")));
    assert_eq!(peer.labels().len(), before, "nothing is sent");
    program.write(&retry("6", "t", state, &answers));
    peer.wait_for("response", 1);
    unknown(&program.ask(&retry("7", "t", state, &answers)));
    asked.result(&json!({}));
    assert_eq!(program.read()["id"], 6);
    let ended = program.close();
    assert!(!ended.log.contains(state.as_str().unwrap()), "a state is logged");
}

#[test]
fn messages_during_the_wait_come_with_the_next_repetition() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    let leg = |id: &str, token: u32, rest: &str| {
        let meta = format!(r#""progressToken":{token},"#);
        modern(id, "tools/call", &format!(r#""name":"t",{rest}"#), &meta)
    };
    let progress = |token: &Value, n: u32| json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": n}});
    program.write(&leg("1", 10, ""));
    let mut asked = peer.next();
    asked.send(&elicit(70));
    let first = program.read();
    let token = asked.progress_token();
    asked.send(&roots(71));
    asked.send(&progress(&token, 1));
    asked.send(&progress(&token, 2));
    asked.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 70}}));
    // The response to a ping comes at once, after all earlier messages were read.
    asked.send(&json!({"jsonrpc": "2.0", "id": 72, "method": "ping"}));
    assert_eq!(peer.wait_for("response", 1)[0].json["id"], 72);
    let rest = format!(
        r#""requestState":{},"inputResponses":{{"q1":{{"action":"accept"}}}},"#,
        state(&first)
    );
    program.write(&leg("2", 20, &rest));
    assert_eq!(program.read(), progress(&json!(20), 2));
    let second = program.read();
    assert_eq!(second["result"]["inputRequests"], json!({"q2": {"method": "roots/list"}}));
    // The final result comes while nothing waits for it.
    asked.result(&json!({"n": 1}));
    let mut last = second;
    // Until it has come, the question is put again.
    while last["result"]["resultType"] == "input_required" {
        std::thread::park_timeout(Duration::from_millis(5));
        let rest = format!(r#""requestState":{},"#, state(&last));
        last = program.ask(&leg("3", 30, &rest));
    }
    assert_eq!(last["result"]["n"], 1, "{last}");
    assert_eq!(peer.wait_for("response", 1).len(), 1, "a withdrawn question has no response");
}

#[test]
fn a_question_outside_the_call_is_put_by_the_call_that_can_carry_it() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&call("1"));
    let asked = peer.next();
    peer.push(&roots(80));
    let answer = program.read();
    assert_eq!(answer["result"]["inputRequests"], json!({"q1": {"method": "roots/list"}}));
    program.write(&retry("2", "t", state(&answer), &json!({"q1": {"roots": []}})));
    assert_eq!(
        peer.wait_for("response", 1)[0].json,
        json!({"jsonrpc": "2.0", "id": 80, "result": {"roots": []}})
    );
    asked.result(&json!({}));
    assert_eq!(program.read()["id"], 2);
    // Without a call it waits for the next, and is put before that is sent.
    peer.push(&roots(81));
    peer.push(&json!({"jsonrpc": "2.0", "id": 82, "method": "ping"}));
    peer.wait_for("response", 2);
    let answer = program.ask(&call("3"));
    assert!(peer.is_idle());
    program.write(&retry("4", "t", state(&answer), &json!({"q1": {"roots": []}})));
    let asked = peer.next();
    assert_eq!(asked.json["params"], json!({"name": "t"}));
    assert_eq!(peer.wait_for("response", 3)[2].json["id"], 81);
    asked.result(&json!({}));
    assert_eq!(program.read()["id"], 4);
}

#[test]
fn undeclared_questions_are_refused_and_the_call_continues() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&call("1"));
    let mut asked = peer.next();
    for (id, method) in [(1, "sampling/createMessage"), (2, "tasks/list"), (3, "x/y")] {
        asked.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}}));
    }
    let responses = peer.wait_for("response", 3);
    for (id, response) in (1..).zip(&responses) {
        assert_eq!(
            (&response.json["id"], &response.json["error"]["code"]),
            (&json!(id), &json!(-32601))
        );
    }
    asked.result(&json!({"n": 1}));
    assert_eq!(program.read()["result"]["n"], 1);
}

#[test]
fn a_url_that_the_user_must_open_is_asked_and_the_call_sent_again() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    let error = json!({"code": -32042, "message": "m", "data": {"elicitations": [{"mode": "url", "elicitationId": "e", "url": "https://example.com", "message": "open"}]}});
    program.write(&call("1"));
    peer.next().fail(&error);
    let answer = program.read();
    assert_eq!(
        answer["result"]["inputRequests"]["q1"]["params"],
        json!({"mode": "url", "url": "https://example.com", "message": "open"})
    );
    program.write(&retry("2", "t", state(&answer), &json!({"q1": {"action": "accept"}})));
    peer.next().result(&json!({"n": 1}));
    assert_eq!(program.read()["result"]["n"], 1);
    let ids: Vec<Value> =
        peer.wait_for("tools/call", 3).iter().map(|sent| sent.json["id"].clone()).collect();
    assert_ne!(ids[1], ids[2]);
    assert!(!peer.labels().contains(&"response".to_owned()));
    // The error for a client that cannot open it names the missing capability.
    let line = call("3").replace(r#","url":{}"#, "");
    program.write(&line);
    peer.next().fail(&error);
    let refused = program.read();
    assert_eq!(refused["error"]["code"], -32021);
    assert_eq!(
        refused["error"]["data"]["requiredCapabilities"],
        json!({"elicitation": {"url": {}}})
    );
}

#[test]
fn one_parked_call_too_many_is_refused_and_cancelled_at_the_server() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    let mut parked = Vec::new();
    for id in 0..65 {
        program.write(&call(&id.to_string()));
        let mut asked = peer.next();
        asked.send(&elicit(100 + id));
        let answer = program.read();
        if id < 64 {
            assert_eq!(answer["result"]["resultType"], "input_required");
            parked.push(asked);
            continue;
        }
        assert_eq!(answer["error"]["data"]["kind"], "too_large", "{answer}");
        let response = &peer.wait_for("response", 1)[0].json;
        assert_eq!(response, &json!({"jsonrpc": "2.0", "id": 164, "result": {"action": "cancel"}}));
        let cancelled = &peer.wait_for("notifications/cancelled", 1)[0].json;
        assert_eq!(cancelled["params"]["requestId"], asked.json["id"]);
    }
}

#[test]
fn parked_calls_are_given_up_when_the_process_ends() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&call("1"));
    let mut asked = peer.next();
    asked.send(&elicit(70));
    program.read();
    let ended = program.close();
    assert!(ended.lines.is_empty(), "{:?}", ended.lines);
    assert_eq!(peer.wait_for("response", 1)[0].json["result"], json!({"action": "cancel"}));
    let cancelled = &peer.wait_for("notifications/cancelled", 1)[0].json;
    assert_eq!(cancelled["params"]["requestId"], asked.json["id"]);
    peer.wait_for("DELETE", 1);
}
