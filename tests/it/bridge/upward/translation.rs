//! Requests out, responses and notifications back, row by row.

use crate::bridge::upward::peer::{Peer, call, modern};
use serde_json::{Value, json};
use std::time::Duration;

fn peer() -> Peer {
    Peer::start(json!({"tools": {"listChanged": true}, "logging": {}, "tasks": {}}))
}

#[test]
fn the_first_request_begins_a_session_and_goes_once_in_the_older_form() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&modern(
        "\"a\"",
        "tools/list",
        r#""cursor":"c\u0031","#,
        r#""traceparent":"t","#,
    ));
    let list = peer.next();
    assert_eq!(list.json["params"], json!({"cursor": "c1", "_meta": {"traceparent": "t"}}));
    assert!(list.json["id"].is_i64());
    list.result(&json!({"tools": [{"name": "t", "execution": {"taskSupport": "optional"}}, {"name": "long", "execution": {"taskSupport": "required"}}], "nextCursor": "n"}));
    let answer = program.read();
    let info = json!({"io.modelcontextprotocol/serverInfo": {"name": "peer", "version": "1"}});
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": "a", "result": {"tools": [{"name": "t"}], "nextCursor": "n", "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "_meta": info}})
    );
    let began =
        ["tools/list", "server/discover", "initialize", "notifications/initialized", "tools/list"];
    assert_eq!(peer.labels(), began);
    let initialize = &peer.wait_for("initialize", 1)[0].json["params"];
    assert_eq!(
        initialize,
        &json!({"protocolVersion": "2025-11-25", "clientInfo": {"name": "client", "version": "7"}, "capabilities": {"elicitation": {"form": {}, "url": {}}, "roots": {}}})
    );
    let sent = &peer.wait_for("tools/list", 2)[1].request;
    assert_eq!(sent.header("mcp-session-id"), Some("session-1"));
    assert_eq!(sent.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!((sent.header("mcp-method"), sent.header("mcp-name")), (None, None));
    // The client may use its id again; the server never sees one twice.
    for _ in 0..2 {
        program.write(&call("\"a\""));
        let asked = peer.next();
        assert_eq!(asked.json["params"], json!({"name": "t"}));
        asked.result(&json!({"content": []}));
        assert_eq!(
            program.read()["result"],
            json!({"content": [], "resultType": "complete", "_meta": info})
        );
    }
    let ids: Vec<Value> =
        peer.wait_for("tools/call", 2).iter().map(|sent| sent.json["id"].clone()).collect();
    assert_ne!(ids[0], ids[1]);
    let ended = program.close();
    assert!(ended.log.contains("\"long\" is omitted from tools/list"), "{}", ended.log);
    assert!(
        ended.log.contains("translating between the client (MCP 2026-07-28) and the server (MCP "),
        "{}",
        ended.log
    );
    assert_eq!(peer.labels().last().map(String::as_str), Some("DELETE"));
}

#[test]
fn discover_is_translated_if_the_client_has_no_other_way() {
    for (arguments, is_answered) in [(&[][..], false), (&["--bridge", "always"][..], true)] {
        let peer = peer();
        let mut program = peer.launch(arguments);
        let answer = program.ask(&modern("1", "server/discover", "", ""));
        if !is_answered {
            // A client that speaks both falls back.
            assert_eq!(answer["error"]["code"], -32000);
            assert_eq!(peer.labels(), ["server/discover"]);
            program.write(&modern("2", "tools/list", "", ""));
            peer.next().result(&json!({"tools": []}));
            program.read();
            assert_eq!(program.ask(&modern("3", "server/discover", "", ""))["result"]["ttlMs"], 0);
            let log = program.close().log;
            assert_eq!(log.matches("need --bridge always").count(), 1, "{log}");
            continue;
        }
        assert_eq!(
            answer["result"],
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": true}, "logging": {}}, "instructions": "hello", "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "peer", "version": "1"}}})
        );
        assert_eq!(peer.labels()[..2], ["server/discover", "initialize"]);
    }
}

#[test]
fn methods_that_2026_07_28_does_not_have_are_refused() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&modern("1", "x/y", "", ""));
    peer.next().result(&json!({}));
    assert_eq!(program.read()["result"]["resultType"], "complete");
    let before = peer.labels().len();
    for method in
        ["ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/get"]
    {
        let answer = program.ask(&modern("2", method, "", ""));
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(2), &json!(-32601)),
            "{method}"
        );
    }
    program.write(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    program.ask(&modern("3", "ping", "", ""));
    assert_eq!(peer.labels().len(), before);
}

#[test]
fn what_no_server_of_2026_07_28_runs_is_refused() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    let data =
        json!({"source": "sigv4-proxy", "supported": ["2026-07-28"], "requested": "2099-01-01"});
    // The first request of a server that is not known yet, and one of a server that is.
    for method in ["tools/list", "server/discover"] {
        let request = modern("1", method, "", "").replace("2026-07-28", "2099-01-01");
        let error = &program.ask(&request)["error"];
        assert_eq!((&error["code"], &error["data"]), (&json!(-32022), &data), "{error}");
    }
    let bare = modern("1", "tools/list", "", "").replace("clientCapabilities", "other");
    assert_eq!(program.ask(&bare)["error"]["code"], -32602);
    assert!(peer.is_idle());
    program.write(&modern("2", "tools/list", "", ""));
    peer.next().result(&json!({"tools": []}));
    assert_eq!(program.read()["id"], 2);
}

#[test]
fn errors_that_would_be_misread_are_translated() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    for (sent, expected) in [
        (json!({"code": -32601, "message": "m"}), json!({"code": -32601, "message": "m"})),
        (
            json!({"code": -32002, "message": "m", "data": {"uri": "u"}}),
            json!({"code": -32602, "message": "m", "data": {"uri": "u"}}),
        ),
        (
            json!({"code": -32022, "message": "m"}),
            json!({"code": -32603, "message": "m", "data": {"source": "sigv4-proxy", "cause": {"code": -32022, "message": "m"}}}),
        ),
    ] {
        program.write(&modern("1", "resources/read", r#""uri":"u","#, ""));
        peer.next().fail(&sent);
        assert_eq!(program.read()["error"], expected);
    }
}

#[test]
fn progress_and_logs_are_relayed_as_they_were_asked_for() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    let progress = |token: &Value, n: u32| json!({"method": "notifications/progress", "jsonrpc": "2.0", "params": {"progressToken": token, "progress": n}});
    let message = |level: &str| json!({"method": "notifications/message", "jsonrpc": "2.0", "params": {"level": level, "data": "d"}});
    let meta = r#""progressToken":"p","io.modelcontextprotocol/logLevel":"warning","#;
    program.write(&modern("1", "tools/call", r#""name":"t","#, meta));
    let level = peer.next();
    assert_eq!(
        (&level.json["method"], &level.json["params"]),
        (&json!("logging/setLevel"), &json!({"level": "warning"}))
    );
    level.result(&json!({}));
    let mut asked = peer.next();
    let token = asked.progress_token();
    assert_eq!(asked.json["params"]["_meta"], json!({"progressToken": token}));
    asked.send(&progress(&token, 1));
    asked.send(&message("info"));
    asked.send(&message("error"));
    // Some servers send them outside the call's stream.
    peer.wait_for("GET", 1);
    let own = json!("p");
    assert_eq!(program.read(), progress(&own, 1));
    assert_eq!(program.read(), message("error"));
    peer.push(&progress(&token, 2));
    assert_eq!(program.read(), progress(&own, 2));
    peer.push(&message("critical"));
    assert_eq!(program.read(), message("critical"));
    // A call that requests more lowers the level; one without a level does not change it.
    program.write(&modern("2", "tools/list", "", r#""io.modelcontextprotocol/logLevel":"debug","#));
    let level = peer.next();
    assert_eq!(level.json["params"], json!({"level": "debug"}));
    level.error(-32603, "no");
    peer.next().result(&json!({"tools": []}));
    assert_eq!(program.read()["id"], 2);
    program.write(&modern("3", "tools/list", "", ""));
    peer.next().result(&json!({"tools": []}));
    assert_eq!(program.read()["id"], 3);
    asked.result(&json!({}));
    assert_eq!(program.read()["id"], 1);
    std::thread::park_timeout(Duration::from_millis(50));
    peer.push(&message("emergency"));
    program.silent_for(Duration::from_millis(50));
    let log = program.close().log;
    assert!(log.contains("refused to set its log level"), "{log}");
    assert_eq!(log.matches("belong to no request").count(), 1, "{log}");
}

#[test]
#[cfg_attr(
    windows,
    ignore = "under wine, shutting a connection down ends no read of another thread"
)]
fn a_log_level_that_a_cancelled_call_did_not_set_is_set_for_the_next() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    let call = |id: &str| {
        let meta = r#""io.modelcontextprotocol/logLevel":"info","#;
        modern(id, "tools/call", r#""name":"t","#, meta)
    };
    program.write(&call("1"));
    let unanswered = peer.next();
    assert_eq!(unanswered.json["method"], "logging/setLevel");
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    program.write(&call("2"));
    let level = peer.next();
    assert_eq!(level.json["params"], json!({"level": "info"}), "{}", level.json);
    level.result(&json!({}));
    let sent = peer.next();
    assert_eq!(sent.json["method"], "tools/call");
    sent.result(&json!({}));
    assert_eq!(program.read()["id"], 2);
    assert!(peer.is_idle(), "the first call is never sent");
    assert!(!peer.labels().contains(&"notifications/cancelled".to_owned()), "{:?}", peer.labels());
}

#[test]
fn a_call_whose_time_was_spent_on_its_log_level_is_not_sent() {
    let peer = peer();
    let mut program = peer.launch(&["--timeout=1"]);
    let meta = r#""io.modelcontextprotocol/logLevel":"info","#;
    program.write(&modern("1", "tools/call", r#""name":"t","#, meta));
    let unanswered = peer.next();
    assert_eq!(unanswered.json["method"], "logging/setLevel");
    assert_eq!(program.read()["error"]["data"]["kind"], "timed_out");
    assert!(peer.is_idle());
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_server_and_then_closed() {
    let peer = peer();
    let mut program = peer.launch(&[]);
    program.write(&call("\"c\""));
    let mut asked = peer.next();
    asked.send(&json!({"jsonrpc": "2.0", "method": "x/y"}));
    assert_eq!(program.read()["method"], "x/y");
    program.write(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}"#,
    );
    let cancelled = peer.wait_for("notifications/cancelled", 1);
    assert_eq!(cancelled[0].json["params"]["requestId"], asked.json["id"]);
    asked.send(&json!({"jsonrpc": "2.0", "method": "late"}));
    assert!(asked.closes_within(Duration::from_secs(5)));
    program.silent_for(Duration::from_millis(20));
    // A request that is cancelled too late is unknown to the server by that id.
    program.write(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}"#,
    );
    program.ask(&modern("1", "ping", "", ""));
    assert_eq!(peer.wait_for("notifications/cancelled", 1).len(), 1);
}

#[test]
fn the_time_limit_of_a_call_is_that_of_its_leg() {
    let peer = peer();
    let mut program = peer.launch(&["--tool-timeout", "1"]);
    program.write(&call("1"));
    let asked = peer.next();
    let answer = program.read();
    assert_eq!(answer["error"]["data"]["kind"], "timed_out", "{answer}");
    let cancelled = peer.wait_for("notifications/cancelled", 1);
    assert_eq!(cancelled[0].json["params"]["requestId"], asked.json["id"]);
}
