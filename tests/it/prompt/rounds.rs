//! MCP 2026-07-28: the client repeats its request after asking the user.

use crate::harness::program::Program;
use crate::prompt::scene::{Scene, assert_link, sum};
use serde_json::{Value, json};

const URLS: &str = r#"{"elicitation":{"url":{}}}"#;

/// A call with these capabilities of the client, and more members.
fn call(id: u32, capabilities: &str, more: &str) -> String {
    let meta = format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"t","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{capabilities}}}"#
    );
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"add","arguments":{{"a":{id},"b":1}}{more},"_meta":{meta}}}}}"#
    )
}

fn repeated(id: u32, first: &Value, action: &str) -> String {
    let state = &first["result"]["requestState"];
    let responses = match action {
        "" => String::new(),
        action => format!(r#","inputResponses":{{"sigv4-proxy/sign-in":{{"action":"{action}"}}}}"#),
    };
    call(id, URLS, &format!(r#"{responses},"requestState":{state}"#))
}

/// The question in a first result.
fn question(response: &Value) -> &Value {
    assert_eq!(response["result"]["resultType"], "input_required", "{response}");
    let request = &response["result"]["inputRequests"]["sigv4-proxy/sign-in"];
    assert_eq!(request["method"], "elicitation/create", "{response}");
    assert!(request["params"].get("elicitationId").is_none(), "{response}");
    &request["params"]
}

fn started(scene: &Scene) -> (Program, Value) {
    let mut program = scene.launch().start();
    let first = program.ask(&call(1, URLS, ""));
    let params = question(&first);
    assert_eq!(params["mode"], "url");
    assert!(params["url"].as_str().unwrap().ends_with("CODE-0001"), "{params}");
    assert!(params["message"].as_str().unwrap().contains("CODE-0001"), "{params}");
    (program, first)
}

#[test]
fn a_repeated_call_goes_on_once_the_user_has_signed_in() {
    let scene = Scene::new("round-accept");
    let (mut program, first) = started(&scene);
    program.write(&repeated(2, &first, "accept"));
    scene.center.approve();
    assert_eq!(sum(&program.read()), "3");
    let calls = scene.server.requests();
    let calls: Vec<_> = calls.iter().filter(|call| call.label() == "tools/call").collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(String::from_utf8_lossy(&calls[0].request.body), call(2, URLS, ""));
    assert_eq!(program.close().lines, [""; 0], "neither requests nor notifications");
}

#[test]
fn other_answers_are_errors_and_none_asks_again() {
    for (action, words) in [("decline", "and the sign-in was declined"), ("cancel", "CODE-0001")] {
        let scene = Scene::new(&format!("round-{action}"));
        let (mut program, first) = started(&scene);
        let again = program.ask(&repeated(2, &first, ""));
        assert_eq!(again["result"], first["result"], "without a response");
        let error = program.ask(&repeated(3, &first, action));
        assert!(error["error"]["message"].as_str().unwrap().contains(words), "{error}");
        assert_eq!(error["error"]["code"], -32603);
        // For some time, the next call does not ask either.
        assert_link(&program.ask(&call(4, URLS, "")), "CODE-0001");
        assert_eq!(scene.center.count("/device_authorization"), 1);
    }
}

#[test]
fn a_call_waits_in_rounds_and_six_times_at_most() {
    let scene = Scene::new("round-waits");
    let mut program = scene.launch().arg("--tool-timeout=500ms").start();
    let mut last = program.ask(&call(1, URLS, ""));
    question(&last);
    let mut action = "accept";
    for id in 2..8 {
        last = program.ask(&repeated(id, &last, action));
        assert_eq!(last["result"]["resultType"], "input_required", "{id} {last}");
        assert!(
            last["result"].get("inputRequests").is_none(),
            "the user is not asked twice: {last}"
        );
        action = "";
    }
    assert_link(&program.ask(&repeated(8, &last, "")), "CODE-0001");
}

#[test]
fn an_expired_code_is_reported() {
    let scene = Scene::new("round-expired");
    scene.center.set_lifetime(1);
    let (mut program, first) = started(&scene);
    let error = program.ask(&repeated(2, &first, "accept"));
    assert!(
        error["error"]["message"].as_str().unwrap().contains("before its code expired"),
        "{error}"
    );
    let next = program.ask(&call(3, URLS, ""));
    assert!(question(&next)["url"].as_str().unwrap().ends_with("CODE-0002"));
}

#[test]
fn the_capability_is_that_of_each_request() {
    let scene = Scene::new("round-capability");
    let (mut program, _) = started(&scene);
    assert_link(&program.ask(&call(2, "{}", "")), "CODE-0001");
    question(&program.ask(&call(3, URLS, "")));
    assert_eq!(scene.center.count("/device_authorization"), 1);
}

#[test]
fn a_round_of_the_server_is_restored_byte_for_byte() {
    let scene = Scene::new("round-nested");
    let mut program = scene.launch().start();
    let own = r#","inputResponses": {"ask":{"action":"accept","content":{"x":1.50}}} , "requestState":"of\u002dthe server""#;
    let first = program.ask(&call(1, URLS, own));
    question(&first);
    let state = first["result"]["requestState"].to_string();
    let answered = own
        .replace(
            r#"{"ask":{"action":"accept","content":{"x":1.50}}}"#,
            r#"{"sigv4-proxy/sign-in":{"action":"accept"}}"#,
        )
        .replace(r#""of\u002dthe server""#, &state);
    scene.center.approve();
    program.write(&call(2, URLS, &answered));
    assert_eq!(sum(&program.read()), "3");
    let call_sent = scene.server.requests().into_iter().find(|call| call.label() == "tools/call");
    assert_eq!(String::from_utf8_lossy(&call_sent.unwrap().request.body), call(2, URLS, own));
}

#[test]
fn states_of_another_process_go_on_and_broken_ones_are_refused() {
    let scene = Scene::new("round-restart");
    let (program, first) = started(&scene);
    program.close();
    let mut program = scene.launch().start();
    // The code stays valid: the new process takes it over.
    let again = program.ask(&repeated(2, &first, "accept"));
    assert!(question(&again)["url"].as_str().unwrap().ends_with("CODE-0001"), "{again}");
    scene.center.approve();
    scene.wait_for_token();
    assert_eq!(sum(&program.ask(&repeated(3, &again, "accept"))), "4");
    let broken = program.ask(&call(4, URLS, r#","requestState":"sigv4-proxy.1.%""#));
    assert_eq!((&broken["error"]["code"], &broken["id"]), (&json!(-32602), &json!(4)), "{broken}");
    let own = r#","requestState":"sigv4-proxy.2.%""#;
    assert_eq!(sum(&program.ask(&call(5, URLS, own))), "6", "a state of the server");
    assert_eq!(scene.center.count("/device_authorization"), 1);
}
