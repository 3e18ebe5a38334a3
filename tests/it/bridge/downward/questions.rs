//! Questions of a modern server, put to a legacy client.

use crate::bridge::downward::peer::{A_WHILE, ALL, Answer, Arrived, Peer, call, cancel, request};
use crate::harness::messages::assert_error;
use crate::harness::program::Program;
use serde_json::{Value, json};
use std::time::Instant;

/// A server whose calls ask questions until they get answers, and then return these.
fn asking(required: impl Fn(&Arrived) -> String + Send + Sync + 'static) -> Peer {
    Peer::modern("{}", move |arrived| match arrived.params().get("inputResponses") {
        None => Answer::Result(required(arrived)),
        Some(responses) => {
            Answer::Result(format!(r#"{{"resultType":"complete","content":[],"got":{responses}}}"#))
        }
    })
}

fn required(questions: &str) -> String {
    format!(
        r#"{{"resultType":"input_required","inputRequests":{{{questions}}},"requestState":"s\u0020\/"}}"#
    )
}

const ROOTS: &str = r#""r":{"method":"roots/list"}"#;
const FORM: &str =
    r#""f":{"method":"elicitation/create","params":{"message":"n\u0061me","requestedSchema":{}}}"#;
const URL: &str = r#""u":{"method":"elicitation/create","params":{"mode":"url","message":"m","url":"https://x.example/?t=1"}}"#;

fn respond(program: &mut Program, asked: &Value, result: &str) {
    let id = &asked["id"];
    program.write(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
}

#[test]
fn questions_become_requests_and_their_answers_the_next_leg() {
    let peer = asking(|_| required(&[FORM, ROOTS, &FORM.replace("\"f\"", "\"g\"")].join(",")));
    let mut program = peer.client(ALL, &[]);
    program.write(&call("1", "t"));
    // Elicitations come one after another, everything else at once.
    assert_eq!(
        program.read_line(),
        r#"{"jsonrpc":"2.0","id":"sigv4-proxy-q-1","method":"elicitation/create","params":{"message":"n\u0061me","requestedSchema":{}}}"#
    );
    let roots = program.read();
    assert_eq!((&roots["id"], &roots["method"]), (&json!("sigv4-proxy-q-2"), &json!("roots/list")));
    program.silent_for(A_WHILE);
    respond(
        &mut program,
        &json!({"id": "sigv4-proxy-q-1"}),
        r#"{"action":"accept", "content":{"n":1.0}}"#,
    );
    let next = program.read();
    assert_eq!(next["id"], "sigv4-proxy-q-3");
    respond(&mut program, &roots, r#"{"roots":[]}"#);
    respond(&mut program, &next, r#"{"action":"decline"}"#);
    let answer = program.read();
    assert_eq!(answer["id"], 1);
    let legs = peer.wait_for("tools/call", 2);
    let legs: Vec<&Arrived> = legs.iter().filter(|arrived| arrived.label == "tools/call").collect();
    assert_eq!(legs[0].json["id"], 1);
    assert!(legs[1].json["id"].as_str().is_some_and(|id| id.starts_with("sigv4-proxy-")));
    let expected = r#""inputResponses":{"f":{"action":"accept", "content":{"n":1.0}},"r":{"roots":[]},"g":{"action":"decline"}},"requestState":"s\u0020\/","#;
    assert!(legs[1].text.contains(expected), "{}", legs[1].text);
    let rest = |leg: &Arrived| {
        let mut params = leg.params().clone();
        let members = params.as_object_mut().unwrap();
        members.remove("inputResponses");
        members.remove("requestState");
        params
    };
    assert_eq!(rest(legs[0]), rest(legs[1]), "the rest is repeated");
    let log = program.close().log;
    assert!(!log.contains("s\\u0020") && !log.contains("n\\u0061me"), "{log}");
    assert!(!peer.labels().contains(&"response".to_owned()));
}

#[test]
fn accepted_urls_are_completed_before_the_result() {
    let peer = asking(|_| required(URL));
    let mut program = peer.client(ALL, &[]);
    for (action, completes) in [("accept", true), ("decline", false), ("cancel", false)] {
        program.write(&call("1", "t"));
        let asked = program.read();
        let id = asked["params"]["elicitationId"].as_str().unwrap().to_owned();
        assert_eq!(asked["params"]["url"], "https://x.example/?t=1");
        respond(&mut program, &asked, &json!({ "action": action }).to_string());
        if completes {
            let complete = program.read();
            assert_eq!(complete["method"], "notifications/elicitation/complete");
            assert_eq!(complete["params"]["elicitationId"], id);
        }
        assert_eq!(program.read()["result"]["got"]["u"]["action"], action);
    }
    let log = program.close().log;
    assert!(!log.contains("x.example"), "{log}");
}

#[test]
fn a_client_is_asked_nothing_that_it_did_not_declare() {
    for (questions, capabilities, words) in [
        (ROOTS, "{}", "\"r\""),
        (FORM, r#"{"roots":{}}"#, "\"f\""),
        (URL, r#"{"elicitation":{}}"#, "\"u\""),
        (r#""r":{"method":"roots/list"},"x":{"method":"tools/list"}"#, ALL, "\"x\""),
        (r#""f":{"method":"elicitation/create"}"#, ALL, "\"f\""),
    ] {
        let text = questions.to_owned();
        let peer = asking(move |_| required(&text));
        let mut program = peer.client(capabilities, &[]);
        let answer = program.ask(&call("1", "t"));
        assert_error(&answer, &json!(1), &["input request", words]);
    }
}

#[test]
fn too_many_questions_or_none_are_an_error() {
    let many: Vec<String> =
        (0..33).map(|n| format!(r#""{n}":{{"method":"roots/list"}}"#)).collect();
    for (result, words) in [
        (required(&many.join(",")), "33 input requests"),
        (r#"{"resultType":"input_required"}"#.to_owned(), "neither inputRequests nor requestState"),
    ] {
        let peer = Peer::modern("{}", move |_| Answer::Result(result.clone()));
        let mut program = peer.client(ALL, &[]);
        assert_error(&program.ask(&call("1", "t")), &json!(1), &[words]);
    }
}

#[test]
fn a_server_asks_ten_times_at_most() {
    let peer = Peer::modern("{}", |_| Answer::Result(required(ROOTS)));
    let mut program = peer.client(ALL, &[]);
    program.write(&call("1", "t"));
    for _ in 0..10 {
        let asked = program.read();
        respond(&mut program, &asked, r#"{"roots":[]}"#);
    }
    assert_error(&program.read(), &json!(1), &["requested input 10 times"]);
}

#[test]
fn a_refusal_of_the_answers_is_the_response_to_the_clients_request() {
    for (status, code) in [(400, -32000), (400, -32600), (200, -32603), (404, -32601)] {
        let peer =
            Peer::modern("{}", move |arrived| match arrived.params().get("inputResponses") {
                None => Answer::Result(required(ROOTS)),
                Some(_) => Answer::Error(status, format!(r#"{{"code":{code},"message":"no"}}"#)),
            });
        let mut program = peer.client(ALL, &[]);
        program.write(&call("1", "t"));
        let question = program.read();
        respond(&mut program, &question, r#"{"roots":[]}"#);
        let response = program.read();
        assert_eq!((&response["id"], &response["error"]["code"]), (&json!(1), &json!(code)));
    }
}

#[test]
fn an_error_of_the_client_ends_the_exchange() {
    let peer = asking(|_| required(&[ROOTS, FORM].join(",")));
    let mut program = peer.client(ALL, &[]);
    program.write(&call("1", "t"));
    let (roots, form) = (program.read(), program.read());
    let id = &roots["id"];
    program.write(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-1,"message":"User rejected"}}}}"#
    ));
    let lines = [program.read(), program.read()];
    let withdrawn = lines.iter().find(|line| line["method"].is_string()).unwrap();
    assert_eq!(withdrawn["params"]["requestId"], form["id"]);
    let answer = lines.iter().find(|line| line["id"] == 1).unwrap();
    assert_error(answer, &json!(1), &["refused"]);
    assert_eq!(answer["error"]["data"]["cause"], json!({"code": -1, "message": "User rejected"}));
    respond(&mut program, &form, r#"{"action":"accept"}"#);
    program.silent_for(A_WHILE);
    assert_eq!(peer.labels().iter().filter(|label| *label == "tools/call").count(), 1);
}

#[test]
fn cancelling_a_call_withdraws_its_questions() {
    let peer = asking(|_| required(FORM));
    let mut program = peer.client(ALL, &[]);
    program.write(&call("1", "t"));
    let asked = program.read();
    program.write(&cancel("1"));
    let withdrawn = program.read();
    assert_eq!(withdrawn["method"], "notifications/cancelled");
    assert_eq!(withdrawn["params"]["requestId"], asked["id"]);
    respond(&mut program, &asked, r#"{"action":"accept"}"#);
    program.silent_for(A_WHILE);
    let labels = peer.labels();
    assert!(!labels.contains(&"response".to_owned()), "{labels:?}");
    assert_eq!(labels.iter().filter(|label| *label == "tools/call").count(), 1);
}

#[test]
fn a_state_alone_is_sent_again_after_some_time() {
    let peer = Peer::modern("{}", |arrived| match arrived.params()["requestState"].as_str() {
        None => Answer::Result(r#"{"resultType":"input_required","requestState":"1"}"#.into()),
        Some("1") => Answer::Result(r#"{"resultType":"input_required","requestState":"2"}"#.into()),
        Some(_) => Answer::Result(r#"{"resultType":"complete","content":[]}"#.into()),
    });
    let mut program = peer.client("{}", &[]);
    let started = Instant::now();
    assert!(program.ask(&call("1", "t"))["result"].is_object());
    assert!(started.elapsed().as_millis() >= 300, "100 ms, then 200 ms");
    let states: Vec<Value> = peer
        .arrived()
        .iter()
        .filter(|arrived| arrived.label == "tools/call")
        .map(|arrived| arrived.params()["requestState"].clone())
        .collect();
    assert_eq!(states, [Value::Null, json!("1"), json!("2")]);
}

#[test]
fn a_waiting_question_holds_up_nothing() {
    let peer = asking(|_| required(FORM));
    let mut program = peer.client(ALL, &["--max-in-flight", "1"]);
    program.write(&call("1", "t"));
    let asked = program.read();
    program.write(&call("2", "t"));
    let second = program.read();
    assert_eq!(second["method"], "elicitation/create");
    respond(&mut program, &second, r#"{"action":"cancel"}"#);
    assert_eq!(program.read()["id"], 2);
    assert_eq!(program.ask(&request("3", "ping", "{}"))["id"], 3);
    respond(&mut program, &asked, r#"{"action":"accept"}"#);
    assert_eq!(program.read()["id"], 1);
}

#[test]
fn the_limit_of_a_call_covers_its_questions() {
    let peer = asking(|_| required(FORM));
    let mut program = peer.client(ALL, &["--tool-timeout", "300ms"]);
    program.write(&call("1", "t"));
    let asked = program.read();
    let lines = [program.read(), program.read()];
    let withdrawn = lines.iter().find(|line| line["method"].is_string()).unwrap();
    assert_eq!(withdrawn["params"]["requestId"], asked["id"]);
    let answer = lines.iter().find(|line| line["id"] == 1).unwrap();
    assert_error(answer, &json!(1), &["before the client responded"]);
}

#[test]
fn the_end_of_the_input_ends_the_waiting() {
    let peer = asking(|_| required(FORM));
    let mut program = peer.client(ALL, &[]);
    program.write(&call("1", "t"));
    program.read();
    let ended = program.close();
    assert!(ended.took.as_secs() < 5, "{:?}", ended.took);
    let answers = ended.lines.iter().filter(|line| line.contains(r#""id":1,"#)).count();
    assert_eq!(answers, 1, "{:?}", ended.lines);
}
