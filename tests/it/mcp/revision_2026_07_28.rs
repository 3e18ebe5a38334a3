//! Requests that speak for themselves.

use crate::harness::messages::{
    assert_all_verified, assert_error, call, json_reply, labels, modern, stream_reply, text_of,
};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn started() -> (Server, Program) {
    let server = Server::start(ServerOptions::default());
    let program = Launch::to(&server.url("/mcp")).start();
    (server, program)
}

fn marked(tools: &[(&str, &str)]) -> String {
    let tools: Vec<Value> = tools
        .iter()
        .map(|(name, header)| {
            json!({"name": name, "inputSchema": {"type": "object", "properties": {
                "region": {"type": "string", "x-mcp-header": header}, "n": {"type": "integer"}}}})
        })
        .collect();
    json!(tools).to_string()
}

fn list(id: &Value, tools: &str, rest: &str) -> Reply {
    json_reply(
        200,
        &format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","tools":{tools}{rest}}}}}"#
        ),
    )
}

fn mirrored(request: &Recorded) -> Vec<(String, String)> {
    let headers = request.request.headers.iter();
    headers
        .filter(|(name, _)| name.to_lowercase().starts_with("mcp-param-"))
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect()
}

fn param(name: &str, value: &str) -> (String, String) {
    (format!("mcp-param-{name}"), value.to_owned())
}

#[test]
fn marked_arguments_are_repeated_in_headers() {
    let (server, mut program) = started();
    server.reply_next(
        "tools/list",
        list(&json!(1), &marked(&[("a", "Region")]), r#","nextCursor":"2""#),
    );
    server.reply_next("tools/list", list(&json!(2), &marked(&[("b", "Where")]), ""));
    program.ask(&modern(1, "tools/list", ""));
    program.ask(&modern(2, "tools/list", r#""cursor":"2","#));
    for (id, arguments) in [
        (3, r#""name":"a","arguments":{"region":"us-west1","n":7},"#),
        (4, r#""name":"b","arguments":{"region":"größe"},"#),
        (5, r#""name":"b","arguments":{"region":null},"#),
        (6, r#""name":"add","arguments":{"region":"x","a":1,"b":1},"#),
    ] {
        program.ask(&modern(id, "tools/call", arguments));
    }
    // An older request is sent without.
    program.ask(&call("7", "a", &json!({"region": "us-west1"})));
    let requests = server.requests();
    let headers: Vec<_> = requests[2..].iter().map(mirrored).collect();
    assert_eq!(
        headers,
        [
            vec![param("region", "us-west1")],
            vec![param("where", "=?base64?Z3LDtsOfZQ==?=")],
            vec![],
            vec![],
            vec![]
        ]
    );
    // They are signed, like all headers of MCP.
    assert!(requests[2].header("authorization").unwrap().contains("mcp-param-region"));
}

#[test]
fn tools_with_broken_marks_are_removed_and_reported() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    let good = r#"{"name":"good", "n":12345678901234567890.10,"inputSchema":{"x":"\u00e9"}}"#;
    let bad =
        r#"{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#;
    let answer =
        |tools: &str| format!(r#"{{"jsonrpc":"2.0","result":{{"tools":[{tools}]}}, "id":1}}"#);
    for _ in 0..2 {
        server.reply_next("tools/list", json_reply(200, &answer(&format!("{bad},{good}"))));
        program.write(&modern(1, "tools/list", ""));
        assert_eq!(program.read_line(), answer(good));
    }
    // Servers before 2026-07-28 know no marks: nothing is touched.
    server.reply_next("tools/list", json_reply(200, &answer(bad)));
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert_eq!(program.read_line(), answer(bad));
    let ended = program.close();
    let reported = ended.log.lines().filter(|line| line.contains("\"bad\" is omitted")).count();
    assert_eq!(reported, 1, "{}", ended.log);
}

#[test]
fn missing_headers_are_learned_and_the_call_repeated_once() {
    let (server, mut program) = started();
    // The client has not listed the tools; the mark is on the second page.
    program.write(&modern(1, "tools/call", r#""name":"region","arguments":{"region":"eu"},"#));
    let answer = program.read();
    assert_eq!((text_of(&answer), &answer["id"]), ("eu", &json!(1)));
    let requests = server.requests();
    assert_eq!(labels(&requests), ["tools/call", "tools/list", "tools/list", "tools/call"]);
    assert_eq!(mirrored(&requests[3]), [param("region", "eu")]);
    // The proxy's own requests name the client, and have ids of their own.
    for own in [requests[1].json(), requests[2].json()] {
        assert!(own["id"].as_str().unwrap().starts_with("sigv4-proxy-"));
        let meta = &own["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
        assert_eq!(meta["progressToken"], Value::Null);
    }
    assert_eq!(requests[1].header("mcp-method"), Some("tools/list"));
    // From now on it is known.
    program.ask(&modern(2, "tools/call", r#""name":"region","arguments":{"region":"us"},"#));
    assert_eq!(server.requests().len(), 5);

    // Another attempt would be the same: the client gets the server's error.
    let mismatch =
        r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32020,"message":"header mismatch"}}"#;
    server.reply_next("tools/call", json_reply(400, mismatch));
    let answer = program.ask(&modern(3, "tools/call", r#""name":"add","arguments":{"a":1},"#));
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(3), &json!(-32020)));
    assert_eq!(labels(&server.requests()[5..]), ["tools/call", "tools/list", "tools/list"]);
    program.silent_for(Duration::from_millis(50));
}

#[test]
fn a_cancelled_call_closes_its_connection_and_gets_no_response() {
    let (server, mut program) = started();
    program.write(&modern(1, "tools/call", r#""name":"slow","arguments":{"ms":8000},"#));
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    let asked = Instant::now();
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    while server.connections() > 0 {
        assert!(asked.elapsed() < Duration::from_secs(2), "the connection stays open");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    program.silent_for(Duration::from_millis(100));
    assert_eq!(server.requests().len(), 1, "nothing is forwarded");

    // In one write with its request: never sent, or cut off; nothing is written either way.
    let both = [
        modern(2, "tools/call", r#""name":"slow","arguments":{"ms":200},"#),
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#.into(),
        String::new(),
    ]
    .join("\n");
    program.write_raw(both.as_bytes());
    program.silent_for(Duration::from_millis(400));
    // "3" and 3 are different ids.
    program.write(&modern(3, "tools/call", r#""name":"slow","arguments":{"ms":200},"#));
    program.write(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"3"}}"#,
    );
    assert_eq!(text_of(&program.read()), "done");
    // A cancellation of an unknown request is not forwarded.
    assert!(!labels(&server.requests()).contains(&"notifications/cancelled".to_owned()));
}

#[test]
fn a_lost_stream_is_an_error_and_never_taken_up() {
    let (server, mut program) = started();
    server.reply_next(
        "tools/call",
        stream_reply(
            "id: 1\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n",
        ),
    );
    program.write(&modern(1, "tools/call", r#""name":"add","#));
    assert_eq!(program.read()["method"], "notifications/x");
    assert_error(&program.read(), &json!(1), &["ended before the response"]);
    program.silent_for(Duration::from_millis(100));
    assert_eq!(labels(&server.requests()), ["tools/call"]);
    assert_eq!(server.requests().len(), 1, "no GET");
}

#[test]
fn no_session_no_get_no_delete() {
    let server = Server::start(ServerOptions { get_stream: true, ..ServerOptions::default() });
    let mut program = Launch::to(&server.url("/mcp")).start();
    let reply = Reply::Status {
        code: 200,
        headers: vec![
            ("Content-Type".into(), "application/json".into()),
            ("Mcp-Session-Id".into(), "s-1".into()),
        ],
        body: r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.into(),
    };
    server.reply_next("ping", reply);
    program.ask(&modern(1, "ping", ""));
    program.ask(&modern(2, "ping", ""));
    assert_eq!(program.close().code, Some(0));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|r| r.header("mcp-session-id").is_none()));
}

#[test]
fn errors_of_the_protocol_pass_unchanged() {
    let (server, mut program) = started();
    for (status, code) in
        [(400, -32021), (400, -32022), (400, -32602), (404, -32601), (400, -32020)]
    {
        let error = format!(r#"{{"code":{code}, "message":"m","data":{{"n":1.00}}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
        server.reply_next("server/discover", json_reply(status, &body));
        program.write(&modern(1, "server/discover", ""));
        assert_eq!(program.read_line(), body);
    }
    assert_eq!(server.requests().len(), 5, "each was sent once, and nothing else");
}

#[test]
fn both_eras_in_one_process() {
    let (server, mut program) = started();
    // A server of an earlier revision does not know the method.
    let answer = program.ask(&modern(1, "server/discover", ""));
    assert_eq!(answer["error"]["code"], -32601);
    program.shake_hands();
    let sum = program.ask(&call("2", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&sum), "2");
    program.ask(&modern(3, "ping", ""));
    let requests = server.requests();
    let version = |label: &str| {
        let request = requests.iter().find(|r| r.label() == label).unwrap();
        request.header("mcp-protocol-version")
    };
    assert_eq!(version("server/discover"), Some("2026-07-28"));
    assert_eq!(version("initialize"), None);
    assert_eq!(version("tools/call"), Some("2025-11-25"));
    assert_eq!(version("ping"), Some("2026-07-28"));

    // A response of HTML or 4xx does not come from a server of 2026-07-28, and must not look like one.
    for reply in [
        Reply::Status { code: 404, headers: vec![], body: "<html>".into() },
        Reply::aws_error(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ),
    ] {
        server.reply_next("server/discover", reply);
        assert_eq!(program.ask(&modern(4, "server/discover", ""))["error"]["code"], -32603);
    }
}

fn subscribed(pieces: Vec<(Duration, Vec<u8>)>) -> (Server, Program) {
    let (server, mut program) = started();
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: keep-alive\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"}\n\n";
    let mut all = vec![(Duration::ZERO, head.to_vec())];
    all.extend(pieces);
    server.reply_next("subscriptions/listen", Reply::RawPieces(all));
    program.write(&modern(1, "subscriptions/listen", ""));
    assert_eq!(program.read()["method"], "notifications/subscriptions/acknowledged");
    (server, program)
}

#[test]
fn the_abrupt_end_of_a_subscription_is_reported() {
    let event = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n".to_vec();
    let (_server, mut program) = subscribed(vec![(Duration::from_millis(100), event)]);
    assert_eq!(program.read()["method"], "notifications/x");
    let sent = program.read();
    assert_eq!(sent["method"], "notifications/cancelled", "{sent}");
    assert_eq!(sent["params"]["requestId"], 1);
    program.silent_for(Duration::from_millis(100));

    // Refused at once it is an error like any other.
    let (server, mut program) = started();
    server.reply_next("subscriptions/listen", Reply::aws_error(403, "AccessDeniedException", "no"));
    assert_error(&program.ask(&modern(1, "subscriptions/listen", "")), &json!(1), &["no"]);
}

#[test]
fn a_subscription_ends_in_order_with_its_result() {
    let result = b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n".to_vec();
    let (_server, mut program) = subscribed(vec![(Duration::from_millis(50), result)]);
    assert_eq!(program.read()["id"], 1);
    program.silent_for(Duration::from_millis(100));
}

#[test]
fn a_subscription_stays_open_during_other_work_and_does_not_delay_the_end() {
    let silence = vec![(Duration::from_secs(30), Vec::new())];
    let (server, mut program) = subscribed(silence);
    for id in 2..100 {
        let answer =
            program.ask(&modern(id, "tools/call", r#""name":"add","arguments":{"a":1,"b":1},"#));
        assert_eq!(text_of(&answer), "2");
    }
    assert_eq!(server.requests().len(), 99);
    let ended = program.close();
    assert_eq!(ended.code, Some(0));
    assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
}

#[test]
fn limits_of_time_do_not_touch_a_subscription() {
    let server = Server::start(ServerOptions::default());
    let mut program =
        Launch::to(&server.url("/mcp")).arg("--timeout=300ms").arg("--read-timeout=300ms").start();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"}\n\n";
    let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n";
    server.reply_next(
        "subscriptions/listen",
        Reply::RawPieces(vec![
            (Duration::ZERO, head.into()),
            (Duration::from_millis(900), event.into()),
            (Duration::from_secs(20), Vec::new()),
        ]),
    );
    program.write(&modern(1, "subscriptions/listen", ""));
    assert_eq!(program.read()["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(program.read()["method"], "notifications/x");
    program.silent_for(Duration::from_millis(500));
}

#[test]
fn requests_that_speak_for_themselves_have_headers_of_their_own_and_no_session() {
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    // Two eras in one process: the session of the first does not affect the second.
    for _ in 0..2 {
        server.reply_next("tools/call", json_reply(200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
        program.write(&modern(1, "tools/call", r#""name":"größe","#));
        assert_eq!(program.read()["id"], 1);
    }
    let requests = server.requests();
    let call = requests.iter().find(|r| r.label() == "tools/call").unwrap();
    assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(call.header("mcp-method"), Some("tools/call"));
    assert_eq!(call.header("mcp-name"), Some("=?base64?Z3LDtsOfZQ==?="));
    assert_eq!(call.header("mcp-session-id"), None);
    assert!(
        call.header("authorization")
            .unwrap()
            .contains(";mcp-method;mcp-name;mcp-protocol-version;")
    );
    assert_all_verified(&requests);
}
