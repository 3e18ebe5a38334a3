//! Each message of a legacy client as its modern server gets it, and back.

use crate::bridge::downward::peer::{
    A_WHILE, ALL, Answer, Peer, call, cancel, complete, initialize, request,
};
use serde_json::{Value, json};
use std::time::Duration;

const CAPABILITIES: &str = r#"{"logging":{},"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true},"completions":{},"tasks":{},"x":{}}"#;

#[test]
fn the_response_to_initialize_comes_from_discover() {
    let peer = Peer::modern(CAPABILITIES, |_| complete());
    for (requested, version) in
        [("2024-11-05", "2024-11-05"), ("2025-03-26", "2025-03-26"), ("2026-07-28", "2025-11-25")]
    {
        let mut program = peer.launch(&[]);
        program.write(&initialize(requested, "{}"));
        let capabilities = r#"{"logging":{},"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true},"completions":{}}"#;
        assert_eq!(
            program.read_line(),
            format!(
                r#"{{"jsonrpc":"2.0","id":"init","result":{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{{"name":"peer","version":"1.0"}},"instructions":"be\u0020kind"}}}}"#
            )
        );
    }
    let discover = &peer.wait_for("server/discover", 1)[1];
    assert_eq!(discover.request.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(discover.request.header("mcp-method"), Some("server/discover"));
    assert!(discover.request.header("authorization").is_some_and(|a| a.contains("mcp-method")));
    assert_eq!(discover.meta("clientInfo")["name"], "test");
    assert!(discover.json["id"].as_str().is_some_and(|id| id.starts_with("sigv4-proxy-")));
}

#[test]
fn requests_say_who_the_client_is_and_their_results_lose_what_is_new() {
    let peer = Peer::modern(CAPABILITIES, |arrived| {
        let rest = match &*arrived.label {
            "resources/read" => r#""contents":[1.0]"#,
            "completion/complete" => r#""completion":{"values":[]}"#,
            _ => r#""nextCursor":"a\/b","prompts":[ ],"tools":[]"#,
        };
        Answer::Result(format!(
            r#"{{"resultType":"complete","ttlMs":7,"cacheScope":"public",{rest},"_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"p"}},"k/v":1e400}}}}"#
        ))
    });
    let mut program = peer.client(ALL, &["--no-sse"]);
    for (id, method, params, result) in [
        (
            "1",
            "prompts/list",
            r#"{"cursor":"x\u0020y"}"#,
            r#"{"nextCursor":"a\/b","prompts":[ ],"tools":[],"_meta":{"k/v":1e400}}"#,
        ),
        (
            "\"2\"",
            "resources/read",
            r#"{"uri":"a:b"}"#,
            r#"{"contents":[1.0],"_meta":{"k/v":1e400}}"#,
        ),
        (
            "3.0",
            "completion/complete",
            r#"{"ref":{}}"#,
            r#"{"ttlMs":7,"cacheScope":"public","completion":{"values":[]},"_meta":{"k/v":1e400}}"#,
        ),
    ] {
        program.write(&request(id, method, params));
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        assert_eq!(program.read_line(), expected);
        let arrived = &peer.wait_for(method, 1);
        let arrived = arrived.iter().find(|arrived| arrived.label == method).unwrap();
        let params = params.strip_prefix('{').unwrap();
        assert!(arrived.text.ends_with(&format!("}},{params}}}")), "{}", arrived.text);
        assert_eq!(arrived.meta("protocolVersion"), "2026-07-28");
        assert_eq!(
            arrived.meta("clientInfo"),
            &json!({"name": "test", "title": "Test", "version": "1"})
        );
        assert!(arrived.text.contains(r#""title":"T\u0065st""#), "{}", arrived.text);
        assert_eq!(
            arrived.meta("clientCapabilities"),
            &json!({"roots": {}, "sampling": {}, "elicitation": {"form": {}, "url": {}}})
        );
        assert_eq!(arrived.request.header("mcp-method"), Some(method));
        assert_eq!(arrived.request.header("mcp-session-id"), None);
    }
    let read = peer.wait_for("resources/read", 1);
    let read = read.iter().find(|arrived| arrived.label == "resources/read").unwrap();
    assert_eq!(read.request.header("mcp-name"), Some("a:b"));
    let labels = peer.labels();
    assert!(!labels.iter().any(|label| label == "GET" || label.starts_with("notifications/")));
    program.close();
    assert!(!peer.labels().contains(&"DELETE".to_owned()));
}

#[test]
fn some_requests_need_no_server() {
    let peer = Peer::modern(CAPABILITIES, |_| complete());
    let mut program = peer.client("{}", &["--no-sse"]);
    let before = peer.labels().len();
    for (method, params, code) in [
        ("ping", "{}", 0),
        ("logging/setLevel", r#"{"level":"warning"}"#, 0),
        ("logging/setLevel", r#"{"level":"loud"}"#, -32602),
        ("logging/setLevel", "{}", -32602),
        ("tasks/get", r#"{"taskId":"1"}"#, -32601),
        ("tasks/list", "{}", -32601),
        // Without streams there are no subscriptions.
        ("resources/subscribe", r#"{"uri":"a:b"}"#, -32601),
        ("resources/unsubscribe", r#"{"uri":"a:b"}"#, -32601),
    ] {
        let answer = program.ask(&request("7", method, params));
        match code {
            0 => assert_eq!(answer["result"], json!({}), "{method}"),
            _ => assert_eq!(answer["error"]["code"], code, "{method}: {answer}"),
        }
    }
    let answer = program.ask(&request(r#""sigv4-proxy-7""#, "tools/list", "{}"));
    assert_eq!(
        (&answer["error"]["code"], &answer["id"]),
        (&json!(-32600), &json!("sigv4-proxy-7"))
    );
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
    program.write(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
    assert_eq!(program.ask(&request("8", "ping", "{}"))["id"], 8);
    assert_eq!(peer.labels().len(), before);
}

#[test]
fn the_level_of_the_log_holds_for_every_request_read_after_it() {
    let peer = Peer::modern(CAPABILITIES, |_| complete());
    let mut program = peer.client("{}", &["--no-sse"]);
    program.ask(&call("1", "a"));
    for (level, id) in [("info", "2"), ("error", "3")] {
        program.write(&request("10", "logging/setLevel", &json!({ "level": level }).to_string()));
        program.write(&call(id, "a"));
        program.read();
        program.read();
    }
    let levels: Vec<Value> = peer
        .wait_for("tools/call", 3)
        .iter()
        .filter(|a| a.label == "tools/call")
        .map(|a| a.meta("logLevel").clone())
        .collect();
    assert_eq!(levels, [Value::Null, json!("info"), json!("error")]);
}

#[test]
fn without_logging_there_is_no_level() {
    let peer = Peer::modern("{}", |_| complete());
    let mut program = peer.client("{}", &[]);
    let answer = program.ask(&request("1", "logging/setLevel", r#"{"level":"info"}"#));
    assert_eq!(answer["error"]["code"], -32601);
}

#[test]
fn errors_pass_with_any_status() {
    for (status, error) in [
        (200, r#"{"code":-32602,"message":"a\u0020b","data":{"uri":1.0}}"#),
        (400, r#"{"code":-32602,"message":"Resource not found"}"#),
        (404, r#"{"code":-32601,"message":"Method not found"}"#),
        (400, r#"{"code":-32021,"message":"m","data":{"requiredCapabilities":{"roots":{}}}}"#),
        (500, r#"{"code":-32603,"message":"boom"}"#),
    ] {
        let peer = Peer::modern("{}", move |_| Answer::Error(status, error.to_owned()));
        let mut program = peer.client("{}", &["--no-sse", "--retries", "0"]);
        program.write(&request("5", "resources/read", r#"{"uri":"a:b"}"#));
        let expected = format!(r#"{{"jsonrpc":"2.0","id":5,"error":{error}}}"#);
        assert_eq!(program.read_line(), expected);
        assert_eq!(peer.labels().last().map(String::as_str), Some("resources/read"));
    }
}

#[test]
fn results_of_other_types_are_named() {
    let peer =
        Peer::modern("{}", |_| Answer::Result(r#"{"resultType":"task","taskId":"1"}"#.into()));
    let mut program = peer.client("{}", &[]);
    let answer = program.ask(&call("1", "t"));
    assert_eq!(answer["error"]["code"], -32603);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("\"task\""), "{message}");
}

#[test]
fn notifications_on_the_way_pass_and_progress_never_runs_backwards() {
    let progress = |value: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":{value}}}}}"#
        )
    };
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"d\u0065"}}"#;
    let asked = r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#;
    let result = r#"{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","content":[]}}"#;
    let messages = vec![
        progress("1"),
        log.to_owned(),
        progress("2.0"),
        progress("1.5"),
        asked.to_owned(),
        progress("3"),
        result.to_owned(),
    ];
    let peer = Peer::modern("{}", move |_| Answer::Events(messages.clone()));
    let mut program = peer.client("{}", &["--no-sse"]);
    program.write(&call("1", "t"));
    let lines: Vec<String> = (0..5).map(|_| program.read_line()).collect();
    assert_eq!(lines[..4], [progress("1"), log.to_owned(), progress("2.0"), progress("3")]);
    assert_eq!(lines[4], r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    assert!(!peer.labels().contains(&"response".to_owned()), "no response is ever posted");
    let log = program.close().log;
    assert!(log.contains("ignoring a request from the server"), "{log}");
}

#[test]
fn tools_are_readable_and_return_what_they_promise() {
    let tools = r##"{"resultType":"complete","tools":[{"name":"list","inputSchema":{"type":"object"},"outputSchema":{"type":"array","items":{"$ref":"#/$defs/n"},"$defs":{"n":{"type":"number"}}}}]}"##;
    let peer = Peer::modern("{}", move |arrived| match &*arrived.label {
        "tools/list" => Answer::Result(tools.to_owned()),
        _ => Answer::Result(
            r#"{"resultType":"complete","content":[],"structuredContent":[1.0,2]}"#.to_owned(),
        ),
    });
    let mut program = peer.client("{}", &[]);
    let listed = program.ask(&request("1", "tools/list", "{}"));
    let schema = &listed["result"]["tools"][0]["outputSchema"];
    assert_eq!(schema["type"], "object", "{listed}");
    assert_eq!(schema["properties"]["result"]["items"]["$ref"], "#/properties/result/$defs/n");
    program.write(&call("2", "list"));
    assert_eq!(
        program.read_line(),
        r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"[1.0,2]"}],"structuredContent":{"result":[1.0,2]}}}"#
    );
}

#[test]
fn a_batch_is_sent_request_by_request_and_gets_one_response() {
    let peer = Peer::modern("{}", |arrived| match arrived.params()["name"].as_str() {
        Some("wrong") => Answer::Error(200, r#"{"code":-5,"message":"no"}"#.to_owned()),
        _ => complete(),
    });
    let mut program = peer.client("{}", &["--no-sse"]);
    let batch = [call("1", "a"), call("2", "wrong"), request("3", "ping", "{}")].join(",");
    let answer = program.ask(&format!("[{batch}]"));
    assert_eq!(
        answer,
        json!([
            {"jsonrpc": "2.0", "id": 1, "result": {"content": []}},
            {"jsonrpc": "2.0", "id": 2, "error": {"code": -5, "message": "no"}},
            {"jsonrpc": "2.0", "id": 3, "result": {}},
        ])
    );
    assert_eq!(peer.labels().iter().filter(|label| *label == "tools/call").count(), 2);
}

#[test]
#[cfg_attr(windows, ignore = "wine does not end a read when its connection is shut down")]
fn one_request_of_a_batch_can_be_cancelled() {
    let peer = Peer::modern("{}", |arrived| match arrived.params()["name"].as_str() {
        Some("slow") => Answer::Stream(Vec::new()),
        _ => complete(),
    });
    let mut program = peer.client("{}", &["--no-sse"]);
    program.write(&format!("[{},{}]", call("1", "a"), call("2", "slow")));
    peer.wait_for("tools/call", 2);
    program.write(&cancel("2"));
    let answer = program.read();
    assert_eq!(answer, json!([{"jsonrpc": "2.0", "id": 1, "result": {"content": []}}]));
    peer.wait_for_closed(1);
}

#[test]
fn a_cancelled_call_is_closed_and_nothing_is_sent_for_it() {
    let peer = Peer::modern("{}", |_| Answer::Stream(Vec::new()));
    let mut program = peer.client("{}", &["--no-sse"]);
    program.write(&call("1", "t"));
    peer.wait_for("tools/call", 1);
    program.write(&cancel("1"));
    peer.wait_for_closed(1);
    program.write(&call("3", "t"));
    peer.wait_for("tools/call", 2);
    program.write(&format!("[{}]", cancel("3")));
    peer.wait_for_closed(2);
    program.silent_for(A_WHILE);
    assert_eq!(program.ask(&request("2", "ping", "{}"))["id"], 2);
    assert!(!peer.labels().contains(&"notifications/cancelled".to_owned()));
    assert!(program.close().took < Duration::from_secs(5));
}

#[test]
fn odd_results_are_one_response_each() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let deep_schema = format!("{}true{}", r#"{"not":"#.repeat(100), "}".repeat(100));
    let odd = [
        "5".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        r#""x""#.to_owned(),
        "{}".to_owned(),
        r#"{"resultType":null}"#.to_owned(),
        r#"{"resultType":"complete","resultType":"input_required"}"#.to_owned(),
        r#"{"resultType":"input_required","inputRequests":5}"#.to_owned(),
        r#"{"resultType":"input_required","inputRequests":{"a":null},"requestState":7}"#.to_owned(),
        r#"{"resultType":"complete","_meta":7,"content":{},"structuredContent":7}"#.to_owned(),
        r#"{"resultType":"complete","content":null,"structuredContent":[],"content":[1]}"#
            .to_owned(),
        format!(r#"{{"resultType":"complete","structuredContent":{deep},"tools":{deep}}}"#),
        format!(r#"{{"tools":[{{"name":"t","outputSchema":{deep_schema}}},7,{{"name":7}}]}}"#),
    ];
    let results = odd.clone();
    let peer = Peer::modern("{}", move |arrived| {
        let id = arrived.json["id"].as_u64().and_then(|id| usize::try_from(id).ok());
        Answer::Result(results[id.unwrap_or_default() / 2].clone())
    });
    let mut program = peer.client(ALL, &["--no-sse"]);
    for id in 0..odd.len() * 2 {
        let method = if id % 2 == 0 { "tools/call" } else { "tools/list" };
        let answer = program.ask(&request(&id.to_string(), method, r#"{"name":"t"}"#));
        let shown: String = answer.to_string().chars().take(300).collect();
        assert_eq!(answer["id"], id, "{shown}");
        assert!(answer["method"].is_null(), "{shown}");
        let is_response = answer.get("result").is_some() || answer["error"].is_object();
        assert!(is_response, "{shown}");
    }
    program.silent_for(A_WHILE);
}
