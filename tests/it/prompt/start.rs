//! The start without a token: the client keeps the server, and lists one tool, `aws_sign_in`.

use crate::harness::messages::tool_names;
use crate::prompt::scene::{Scene, TAKES_URLS, add, assert_link, response, shake_hands, sum};
use serde_json::json;
use std::time::Duration;

const LIST: &str = r#"{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{}}"#;

fn sign_in(id: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"aws_sign_in","arguments":{{}}}}}}"#
    )
}

#[test]
fn a_tool_signs_in_and_then_the_tools_appear() {
    let scene = Scene::new("tool");
    let mut program = scene.launch().arg("--read-only").arg("--allow-tool=add").start();
    shake_hands(&mut program, "2025-06-18", "{}");
    let list = program.ask(LIST);
    assert_eq!(tool_names(&list), ["aws_sign_in"]);
    let tool = &list["result"]["tools"][0];
    assert_eq!(
        tool["inputSchema"],
        json!({"type": "object", "properties": {}, "additionalProperties": false})
    );
    assert_eq!(tool["annotations"], json!({"readOnlyHint": true, "openWorldHint": true}));
    assert_eq!(scene.center.count("/client/register"), 0, "lists begin nothing");
    let first = program.ask(&sign_in(1));
    assert!(sum(&first).contains("CODE-0001") && first["result"]["isError"] == false, "{first}");
    // A further call waits.
    program.write(&sign_in(2));
    program.silent_for(Duration::from_millis(300));
    scene.center.approve();
    assert_eq!(sum(&response(&mut program, 2)), "signed in; the server's tools are available now");
    let mut changed = Vec::new();
    while changed.len() < 3 {
        changed.push(program.read()["method"].as_str().unwrap().to_owned());
    }
    let lists =
        ["tools", "prompts", "resources"].map(|list| format!("notifications/{list}/list_changed"));
    assert_eq!(changed, lists);
    assert!(tool_names(&program.ask(LIST)).contains(&"add"));
    program.write(&sign_in(3));
    assert_eq!(sum(&response(&mut program, 3)), "signed in; the server's tools are available now");
}

#[test]
fn the_tool_asks_in_the_client_where_that_opens_urls() {
    let scene = Scene::new("tool-url");
    let mut program = scene.client(TAKES_URLS);
    assert_eq!(tool_names(&program.ask(LIST)), ["aws_sign_in"]);
    let question = program.ask(&sign_in(1));
    assert_eq!(question["method"], "elicitation/create", "{question}");
    program.write(r#"{"jsonrpc":"2.0","id":"sigv4-proxy-sign-in-1","result":{"action":"accept"}}"#);
    scene.center.approve();
    assert_eq!(program.read()["method"], "notifications/elicitation/complete");
    assert_eq!(sum(&response(&mut program, 1)), "signed in; the server's tools are available now");
}

#[test]
fn the_tool_of_a_modern_client_repeats_the_call() {
    let scene = Scene::new("tool-modern");
    let mut program = scene.launch().start();
    let request = |id: u32, method: &str, params: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{TAKES_URLS}}}}}}}"#
        )
    };
    let list = program.ask(&request(1, "tools/list", ""));
    assert_eq!(tool_names(&list), ["aws_sign_in"]);
    let result = &list["result"];
    assert_eq!(
        (&result["resultType"], &result["ttlMs"], &result["cacheScope"]),
        (&json!("complete"), &json!(0), &json!("private"))
    );
    let call = r#""name":"aws_sign_in","arguments":{},"#;
    let first = program.ask(&request(2, "tools/call", call));
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let state = &first["result"]["requestState"];
    let answer = r#""inputResponses":{"sigv4-proxy/sign-in":{"action":"accept"}},"#;
    scene.center.approve();
    let done = program.ask(&request(
        3,
        "tools/call",
        &format!(r#"{call}{answer}"requestState":{state},"#),
    ));
    assert_eq!(sum(&done), "signed in; the server's tools are available now");
    assert_eq!(done["result"]["resultType"], "complete");
}

#[test]
fn a_list_that_was_handed_out_is_not_replaced() {
    let scene = Scene::new("tool-late");
    let mut program = scene.client("{}");
    assert_link(&program.ask(&add(1)), "CODE-0001");
    scene.center.approve();
    scene.wait_for_token();
    program.write(&add(2));
    response(&mut program, 2);
    program.write(LIST);
    assert!(tool_names(&response(&mut program, 5)).contains(&"add"));
    // The token is revoked: the file looks valid, and counts no longer.
    scene.center.revoke();
    scene.server.reply_next(
        "tools/list",
        crate::support::Reply::aws_error(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
    );
    program.write(LIST);
    let error = response(&mut program, 5);
    assert!(error["error"]["message"].as_str().unwrap().contains("SSO token revoked"), "{error}");
}

#[test]
fn a_token_that_the_portal_refuses_is_replaced() {
    let scene = Scene::new("revoked");
    let mut program = scene.client("{}");
    program.ask(&add(1));
    scene.center.approve();
    scene.wait_for_token();
    program.close();
    scene.center.revoke();
    let mut program = scene.client("{}");
    let error = program.ask(&add(2));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("SSO token revoked; to sign in") && message.contains("CODE-0002"),
        "{message}"
    );
    scene.center.approve();
    let old = std::fs::read(scene.file("json")).unwrap();
    while std::fs::read(scene.file("json")).unwrap() == old {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    program.write(&add(3));
    assert_eq!(sum(&response(&mut program, 3)), "4");
}

#[test]
fn without_sign_ins_errors_are_what_they_were() {
    for (name, flag, variable) in [
        ("off", "--login=off", ("CI", "false")),
        ("off-variable", "--lazy=false", ("MCP_LOGIN", "off")),
        ("ci", "--lazy=false", ("CI", "true")),
    ] {
        let scene = Scene::new(&format!("start-{name}"));
        let launch = scene.launch().arg(flag).env(variable.0, variable.1);
        let mut program = launch.start();
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
        for request in [initialize, LIST, &add(2)] {
            let error = program.ask(request);
            let message = error["error"]["message"].as_str().unwrap();
            assert!(
                message.contains("run \"sigv4-proxy login --profile dev\""),
                "{name}: {message}"
            );
            assert!(error["error"]["data"].get("signIn").is_none());
        }
        assert_eq!(scene.center.count("/client/register"), 0, "{name}");
    }
}

#[test]
fn a_code_of_an_mfa_device_is_never_asked_for() {
    let scene = Scene::new("start-mfa");
    let mut program = scene.launch_with(&["--profile=mfa"]).start();
    shake_hands(&mut program, "2025-11-25", TAKES_URLS);
    assert_eq!(tool_names(&program.ask(LIST)), ["aws_sign_in"]);
    for request in [add(1), sign_in(2)] {
        let response = program.ask(&request).to_string();
        assert!(
            response.contains("MFA") && response.contains("sigv4-proxy login --profile mfa"),
            "{response}"
        );
    }
}
