//! Retries through the real binary: of everything that is safe, and never of a call that may have run.

use crate::harness::messages::{
    assert_error, call, json_reply, labels, modern, stream_reply, text_of,
};
use crate::harness::program::{KEY_ID, Launch, Program, SECRET};
use crate::support::{Key, Recorded, Reply, Server, ServerOptions, Verdict};
use serde_json::json;
use std::time::{Duration, Instant};

fn started(arguments: &[&str]) -> (Server, Program) {
    started_at(Server::start(ServerOptions::default()), arguments)
}

fn started_at(server: Server, arguments: &[&str]) -> (Server, Program) {
    let mut launch = Launch::to(&server.url("/mcp")).arg("--no-sse");
    for argument in arguments {
        launch = launch.arg(argument);
    }
    let mut program = launch.start();
    program.shake_hands();
    program.ask(r#"{"jsonrpc":"2.0","id":"ready","method":"ping"}"#);
    (server, program)
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

fn add(id: u32) -> String {
    call(&id.to_string(), "add", &json!({"a": 1, "b": 1}))
}

fn calls(server: &Server) -> Vec<Recorded> {
    server.requests().into_iter().filter(|request| request.label() == "tools/call").collect()
}

fn status(code: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Reply::Status { code, headers, body: body.into() }
}

/// A call that the server has read is not sent again, for every kind of fault.
#[test]
fn a_call_that_may_have_run_is_never_sent_again() {
    let (server, mut program) = started(&["--read-timeout=400ms"]);
    // Announced: otherwise it would be a race whether the close is seen before the next call.
    let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let events = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n";
    let raw = |text: &str| Reply::Raw(text.as_bytes().to_vec());
    let mut faults = vec![
        Reply::Close,
        Reply::Hang,
        raw("HTTP/1.1"),
        raw(ok),
        raw(&format!("{ok}Content-Length: 90\r\n\r\n{{\"jsonrpc\"")),
        raw(&format!("{ok}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"jso")),
        raw(&format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n")),
        raw(&format!("{ok}Content-Length: -5\r\n\r\n")),
        raw(&format!("{ok}Content-Length: 2\r\n\r\n{{}}")),
        raw(events),
        raw(&format!("{events}: waiting\n\n")),
        raw(&format!("{events}data: {{\"jsonrpc\":\"2.0\",\"method\":\"n\"}}\n\n")),
        raw("garbage\r\n\r\n"),
    ];
    for code in
        [202, 204, 301, 307, 308, 400, 402, 405, 408, 409, 413, 418, 500, 501, 502, 503, 504]
    {
        faults.push(status(code, &[("Location", "/elsewhere")], ""));
        faults.push(status(
            code,
            &[("Content-Type", "application/json")],
            r#"{"message":"it broke"}"#,
        ));
    }
    let count = u32::try_from(faults.len()).unwrap();
    for (id, fault) in (1..).zip(faults) {
        server.reply_next("tools/call", fault.clone());
        program.write(&add(id));
        let mut answer = program.read();
        if answer["method"] == "n" {
            answer = program.read();
        }
        assert_error(&answer, &json!(id), &[]);
        assert_eq!(calls(&server).len(), usize::try_from(id).unwrap(), "{fault:?}");
    }
    assert!(count >= 45, "{count}");
    assert_eq!(text_of(&program.ask(&add(999))), "2");
}

#[test]
fn a_tool_that_says_it_may_run_twice_is_called_again() {
    let (server, mut program) = started(&[]);
    let list = |annotations: &str| {
        let tool = format!(r#"{{"name":"add","inputSchema":{{}},"annotations":{annotations}}}"#);
        json_reply(200, &format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tool}]}}}}"#))
    };
    let faults = [
        Reply::Close,
        status(500, &[], ""),
        status(502, &[], "<html>"),
        json_reply(200, ""),
        stream_reply(": cut off\n\n"),
    ];
    // Whether a call is sent again after each of them.
    let assert_repeated = |program: &mut Program, is_repeated: bool| {
        for fault in &faults {
            let before = calls(&server).len();
            server.reply_next("tools/call", fault.clone());
            let answer = program.ask(&add(1));
            assert_eq!(answer["result"].is_object(), is_repeated, "{fault:?}: {answer}");
            assert_eq!(calls(&server).len(), before + 1 + usize::from(is_repeated), "{fault:?}");
        }
    };
    assert_repeated(&mut program, false);
    for (annotations, is_repeated) in [
        (r#"{"idempotentHint":true}"#, true),
        (r#"{"readOnlyHint":true}"#, true),
        (r#"{"idempotentHint":"true","readOnlyHint":[true]}"#, false),
        (r#"{"idempotentHint":false}"#, false),
    ] {
        server.reply_next("tools/list", list(annotations));
        program.ask(LIST);
        assert_repeated(&mut program, is_repeated);
    }
    // Hints are valid until the tools change or the session ends.
    server.reply_next("tools/list", list(r#"{"idempotentHint":true}"#));
    program.ask(LIST);
    let changed = r#"{"jsonrpc":"2.0","method":"notifications\/tools\/list_changed"}"#;
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"2"}]}}"#;
    server
        .reply_next("tools/call", stream_reply(&format!("data: {changed}\n\ndata: {result}\n\n")));
    program.write(&add(1));
    program.read();
    assert_eq!(text_of(&program.read()), "2");
    assert_repeated(&mut program, false);
    server.reply_next("tools/list", list(r#"{"idempotentHint":true}"#));
    program.ask(LIST);
    program.shake_hands();
    assert_repeated(&mut program, false);
}

#[test]
fn idempotent_requests_are_sent_again() {
    for fault in [
        Reply::Close,
        Reply::Raw(b"HTTP/1.1 200 OK\r\nConten".to_vec()),
        status(500, &[], "broken"),
        status(502, &[], "<html>"),
        status(503, &[], ""),
        status(504, &[], ""),
    ] {
        let (server, mut program) = started(&[]);
        server.reply_next("tools/list", fault.clone());
        let answer = program.ask(LIST);
        assert!(answer["result"]["tools"].is_array(), "{fault:?}: {answer}");
        // Not more often than allowed.
        for _ in 0..5 {
            server.reply_next("tools/list", fault.clone());
        }
        assert_error(&program.ask(LIST), &json!(1), &[]);
        let sent = labels(&server.requests()).iter().filter(|l| *l == "tools/list").count();
        assert_eq!(sent, 2 + 4, "{fault:?}");
        for request in server.requests() {
            assert_eq!(request.verdict, Verdict::Verified, "each attempt is signed");
        }
    }
}

/// Responses that ended before they were complete.
fn broken_off() -> Vec<Reply> {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let begun = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#;
    let raw = |text: String| Reply::Raw(text.into_bytes());
    vec![
        raw(format!("{head}Content-Length: 900\r\n\r\n")),
        raw(format!("{head}Content-Length: 900\r\n\r\n{begun}")),
        raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n999\r\n{begun}")),
        raw(format!("{head}\r\n{begun}")),
        json_reply(200, begun),
        stream_reply(""),
        stream_reply(": comment\n\n"),
        stream_reply(&format!("data: {begun}")),
    ]
}

/// Responses without a byte.
fn empty() -> Vec<Reply> {
    vec![json_reply(200, ""), json_reply(200, " \n"), status(200, &[], ""), status(204, &[], "")]
}

#[test]
fn a_response_that_is_broken_off_or_empty_is_requested_again_where_that_does_no_harm() {
    let (server, mut program) = started(&["--retries=1"]);
    let prompts = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list"}"#;
    let begin = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    for fault in broken_off().into_iter().chain(empty()) {
        for (method, line) in
            [("tools/list", LIST), ("prompts/list", prompts), ("initialize", begin)]
        {
            let count = || labels(&server.requests()).iter().filter(|l| *l == method).count();
            let before = count();
            server.reply_next(method, fault.clone());
            if method == "prompts/list" {
                server
                    .reply_next(method, json_reply(200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
            }
            let answer = program.ask(line);
            assert!(answer["result"].is_object(), "{method} after {fault:?}: {answer}");
            assert_eq!(count(), before + 2, "{method} after {fault:?}");
        }
        server.reply_next("tools/list", fault.clone());
        server.reply_next("tools/list", fault);
        assert_error(&program.ask(LIST), &json!(1), &[]);
    }
    // A complete body that is not a response is not retried.
    let before = labels(&server.requests()).len();
    for wrong in [
        json_reply(200, r#"{"jsonrpc":"2.0","id":7,"result":{}}"#),
        json_reply(200, "no JSON"),
        status(200, &[("Content-Type", "text/html")], "<html>"),
    ] {
        server.reply_next("tools/list", wrong);
        assert_error(&program.ask(LIST), &json!(1), &[]);
    }
    assert_eq!(labels(&server.requests()).len(), before + 3);
}

#[test]
fn a_request_of_2026_07_28_is_not_sent_again_once_its_response_was_broken_off() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    let count = || labels(&server.requests()).iter().filter(|l| *l == "tools/list").count();
    let list = modern(1, "tools/list", "");
    for fault in broken_off() {
        let before = count();
        server.reply_next("tools/list", fault.clone());
        assert_error(&program.ask(&list), &json!(1), &[]);
        assert_eq!(count(), before + 1, "{fault:?}");
    }
    for fault in empty() {
        server.reply_next("tools/list", fault.clone());
        let answer = program.ask(&list);
        assert!(answer["result"].is_object(), "{fault:?}: {answer}");
    }
}

#[test]
fn throttling_of_what_does_no_harm_twice_is_waited_out() {
    let (server, mut program) = started(&[]);
    for throttled in [
        status(429, &[("x-amz-retry-after", "10")], ""),
        status(
            400,
            &[("Content-Type", "application/json"), ("x-amz-retry-after", "10")],
            r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
        ),
    ] {
        for _ in 0..5 {
            server.reply_next("tools/list", throttled.clone());
        }
        let begun = Instant::now();
        assert!(program.ask(LIST)["result"].is_object());
        let waited = begun.elapsed();
        assert!(
            waited > Duration::from_millis(950),
            "not faster than the server stands: {waited:?}"
        );
        // Other calls are sent again `--retries` times.
        for _ in 0..4 {
            server.reply_next("tools/call", throttled.clone());
        }
        assert_error(&program.ask(&call("1", "unlisted", &json!({}))), &json!(1), &[]);
    }
}

#[test]
fn throttled_calls_wait_as_long_as_the_server_asks() {
    let (server, mut program) = started(&["--timeout=100s"]);
    for throttled in [
        status(429, &[("Retry-After", "1")], ""),
        status(503, &[("Retry-After", "1")], ""),
        status(429, &[("x-amz-retry-after", "1000")], ""),
    ] {
        server.reply_next("tools/call", throttled);
        let begun = Instant::now();
        assert_eq!(text_of(&program.ask(&add(1))), "2");
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    // An hour, or an invalid time, does not fit into the time limit: the error comes at once.
    for longer in ["3600", "61", "9223372036854775808", "99999999999999999999999999999"] {
        for header in ["Retry-After", "x-amz-retry-after"] {
            let wait =
                if header == "Retry-After" { longer.to_owned() } else { format!("{longer}000") };
            server.reply_next("tools/call", status(429, &[(header, &wait)], "later"));
            let begun = Instant::now();
            let answer = program.ask(&add(1));
            assert_error(&answer, &json!(1), &["429", "later"]);
            let hint = answer["error"]["data"]["hint"].as_str().unwrap_or_default();
            assert!(hint.starts_with("try again in "), "{hint}");
            assert!(longer != "3600" || hint.contains("60 min"), "{hint}");
            assert!(begun.elapsed() < Duration::from_secs(2));
        }
    }
    // An error of the server's own names the wait as well.
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"data":[1.0],"message":"later","code":-5}}"#;
    server.reply_next("tools/call", status(429, &[("Retry-After", "3600")], error));
    let expected = r#"{"jsonrpc":"2.0","id":1,"error":{"data":[1.0],"message":"later (try again in 60 min (Retry-After: 3600 s))","code":-5}}"#;
    program.write(&add(1));
    assert_eq!(program.read_line(), expected);
}

#[test]
fn retries_can_be_switched_off() {
    let (server, mut program) = started(&["--retries=0"]);
    server.reply_next("tools/list", status(429, &[], ""));
    assert_error(&program.ask(LIST), &json!(1), &["429"]);
    server.reply_next("tools/list", Reply::Close);
    assert_error(&program.ask(LIST), &json!(1), &[]);
    assert_eq!(labels(&server.requests()).iter().filter(|l| *l == "tools/list").count(), 2);
}

#[test]
fn a_runtime_that_is_starting_is_waited_for() {
    let (server, mut program) = agentcore();
    let starting =
        "Runtime initialization time exceeded. Please make sure that it completes in 30s.";
    server.reply_next("tools/call", Reply::aws_error(424, "RuntimeClientError", starting));
    server.reply_next("tools/call", Reply::aws_error(424, "", starting));
    assert_eq!(text_of(&program.ask(&add(1))), "2");
    assert_eq!(calls(&server).len(), 3);
}

/// An AgentCore server, whose JSON-RPC errors and statuses tell which calls did not run.
fn agentcore() -> (Server, Program) {
    let service = "bedrock-agentcore";
    let server =
        Server::start(ServerOptions { service: service.into(), ..ServerOptions::default() });
    started_at(server, &[&format!("--service-name={service}"), "--timeout=30s"])
}

/// Responses to calls that certainly have not run, and whether only AgentCore uses them in this way.
fn not_run() -> Vec<(Reply, bool)> {
    let json = |code, headers: &[(&str, &str)], body: &str| {
        let json = [("Content-Type", "application/json")];
        status(code, &[&json[..], headers].concat(), body)
    };
    let of_mcp = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"Rate exceeded"}}"#;
    let xml =
        "<ErrorResponse><Error><Code>SlowDown</Code><Message>x</Message></Error></ErrorResponse>";
    let conflict = "RetryableConflictException";
    vec![
        (json(429, &[], r#"{"message":"Too Many Requests"}"#), false),
        (status(429, &[], "<html>"), false),
        (json(429, &[], of_mcp), false),
        (Reply::aws_error(400, "ThrottlingException", "Rate exceeded"), false),
        (Reply::aws_error(500, "Throttling", "Rate exceeded"), false),
        (Reply::aws_error(503, "RequestThrottledException", ""), false),
        (json(400, &[], r#"{"__type":"com.amazon#TooManyRequestsException"}"#), false),
        (json(400, &[], r#"{"code":"RequestLimitExceeded","message":"x"}"#), false),
        (status(503, &[], xml), false),
        (json(503, &[("Retry-After", "0")], "{}"), false),
        (Reply::aws_error(503, "ServiceUnavailableException", ""), false),
        (Reply::aws_error(409, conflict, "x"), true),
        (json(409, &[], &format!(r#"{{"__type":"{conflict}"}}"#)), true),
        (json_reply(200, of_mcp), true),
    ]
}

#[test]
fn a_call_that_has_not_run_is_sent_again() {
    let (server, mut program) = started(&[]);
    let (agentcore, mut of_agentcore) = agentcore();
    for (reply, needs_agentcore) in not_run() {
        agentcore.reply_next("tools/call", reply.clone());
        assert_eq!(text_of(&of_agentcore.ask(&add(1))), "2", "{reply:?}");
        let before = calls(&server).len();
        server.reply_next("tools/call", reply.clone());
        let answer = program.ask(&add(1));
        assert_eq!(answer["error"].is_object(), needs_agentcore, "{reply:?}: {answer}");
        let sent = if needs_agentcore { 1 } else { 2 };
        assert_eq!(calls(&server).len(), before + sent, "{reply:?}");
        server.forget_script();
    }
    assert_eq!(calls(&agentcore).len(), 2 * not_run().len());
}

#[test]
fn words_about_throttling_or_keys_are_no_reason_to_send_a_call_again() {
    let json = |code, body: &str| json_reply(code, body);
    let error = |code: i32, text: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": text}}).to_string()
    };
    let expired = "The security token included in the request is expired";
    for (mut started, is_agentcore) in [(started(&[]), false), (agentcore(), true)] {
        let (server, program) = (&started.0, &mut started.1);
        let mut replies = vec![
            json(500, r#"{"message":"ThrottlingException: Rate exceeded, SlowDown"}"#),
            status(400, &[], "ThrottlingException: Rate exceeded"),
            status(409, &[], "RetryableConflictException: try again"),
            Reply::aws_error(409, "ConflictException", "RetryableConflictException"),
            json(424, r#"{"message":"a dependency of the tool failed"}"#),
            Reply::aws_error(424, "RuntimeClientError", "Received error (500) from runtime."),
            Reply::aws_error(503, "InternalServerException", "ServiceUnavailable"),
            Reply::aws_error(500, "InternalServerException", "x"),
            json(400, &json!({"message": expired}).to_string()),
            json(403, &json!({"message": format!("upstream said: {expired}")}).to_string()),
            json(500, &json!({"message": expired}).to_string()),
            Reply::aws_error(403, "AccessDeniedException", expired),
            json(200, &error(-32603, "ThrottlingException: Rate exceeded")),
            json(200, &error(-32002, expired)),
        ];
        if !is_agentcore {
            replies.push(json(200, &error(-32001, "the access token has expired")));
            replies.push(Reply::aws_error(
                424,
                "RuntimeClientError",
                "Runtime initialization time exceeded.",
            ));
        }
        for reply in replies {
            let before = calls(server).len();
            server.reply_next("tools/call", reply.clone());
            let answer = program.ask(&add(1));
            assert!(answer["error"].is_object(), "{reply:?}: {answer}");
            assert_eq!(calls(server).len(), before + 1, "{reply:?}");
        }
        assert_eq!(text_of(&program.ask(&add(2))), "2");
    }
}

#[test]
fn a_server_that_is_gone_is_reported_soon() {
    let (server, mut program) = started(&[]);
    drop(server);
    // Nothing was sent, so it is retried, but only for a short time.
    let begun = Instant::now();
    assert_error(&program.ask(&add(1)), &json!(1), &["connection refused"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_wrong_clock_is_noticed_and_corrected_once() {
    let server = Server::start(ServerOptions {
        clock_ahead: time::Duration::hours(1),
        ..ServerOptions::default()
    });
    let (server, mut program) = started_at(server, &[]);
    assert_eq!(text_of(&program.ask(&add(1))), "2");
    let requests = server.requests();
    let refused: Vec<String> = requests
        .iter()
        .filter(|request| request.verdict != Verdict::Verified)
        .map(Recorded::label)
        .collect();
    assert_eq!(refused, ["initialize"], "what was learned lasts");
    let ended = program.close();
    let reported: Vec<&str> = ended.log.lines().filter(|line| line.contains("clock")).collect();
    assert_eq!(reported.len(), 1, "{}", ended.log);
    assert!(
        reported[0].starts_with("WARN: ")
            && reported[0].contains("behind")
            && reported[0].contains("NTP")
    );
}

#[test]
#[cfg_attr(windows, ignore = "the command is a script for sh")]
fn expired_credentials_are_looked_for_again() {
    let home = crate::credentials::chain::Home::new("retry-expired");
    let write = |id: &str, more: &str| {
        home.write(
            ".aws/credentials",
            format!("[default]\naws_access_key_id={id}\naws_secret_access_key={SECRET}\n{more}"),
        );
    };
    write(KEY_ID, "");
    let other = "AKIAI44QH8DHBEXAMPLE";
    let server = Server::start(ServerOptions::default());
    server.set_keys(vec![Key::new(KEY_ID, SECRET), Key::new(other, SECRET)]);
    let url = server.url("/mcp");
    // The keys come from a process, so that no file shows that they have changed.
    home.write("keys.sh", format!("#!/bin/sh\ncat {}/keys.json\n", home.0.display()));
    home.make_executable("keys.sh");
    let keys = |id: &str| {
        let json = json!({"Version": 1, "AccessKeyId": id, "SecretAccessKey": SECRET});
        home.write("keys.json", json.to_string());
    };
    keys(KEY_ID);
    home.write(
        ".aws/config",
        format!("[profile p]\ncredential_process = {}/keys.sh\n", home.0.display()),
    );
    let mut program = Launch::bare(&[
        &url,
        "--region=us-east-1",
        "--service=execute-api",
        "--profile=p",
        "--no-sse",
    ])
    .env("HOME", home.0.to_str().unwrap())
    .env("PATH", "/usr/bin:/bin")
    .start();
    program.shake_hands();
    program.ask(&add(1));
    keys(other);
    server.reply_next(
        "tools/call",
        Reply::aws_error(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
    );
    assert_eq!(text_of(&program.ask(&add(2))), "2");
    let sent = calls(&server);
    assert!(sent[1].header("authorization").unwrap().contains(KEY_ID));
    assert!(sent[2].header("authorization").unwrap().contains(other));

    // The same keys are not tried again: one error, which names the fix.
    server.reply_next("tools/call", Reply::aws_error(403, "ExpiredTokenException", "is expired"));
    assert_error(&program.ask(&add(3)), &json!(3), &["ExpiredTokenException"]);
    assert_eq!(calls(&server).len(), 4);
}

fn wants_service(name: &str) -> Reply {
    let text = format!("Credential should be scoped to correct service: '{name}'. ");
    Reply::aws_error(403, "InvalidSignatureException", &text)
}

/// The scopes that the requests were signed for: `us-east-1/execute-api`.
fn scopes(server: &Server) -> Vec<String> {
    let mut scopes: Vec<String> = server
        .requests()
        .iter()
        .map(|request| {
            let authorization = request.header("authorization").unwrap();
            let scope = authorization.split('/').skip(2).take(2).collect::<Vec<_>>();
            scope.join("/")
        })
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

#[test]
fn a_service_read_off_the_host_is_corrected_once() {
    let server = Server::start(ServerOptions { service: "new".into(), ..ServerOptions::default() });
    let mut program = Launch::under_name(&server, "new-mcp.us-east-1.api.aws/mcp").start();
    program.shake_hands();
    assert_eq!(text_of(&program.ask(&add(1))), "2");
    let refused = server.requests().iter().filter(|r| r.verdict != Verdict::Verified).count();
    assert_eq!(refused, 1, "it is kept");
    for name in ["sts", "iam"] {
        server.reply_next("tools/call", wants_service(name));
        let advice = format!("set --service-name {name}");
        assert_error(&program.ask(&add(1)), &json!(1), &["403", &advice]);
    }
    assert_eq!(scopes(&server), ["us-east-1/new", "us-east-1/new-mcp"]);
    let ended = program.close();
    assert!(
        ended.log.contains("WARN: ") && ended.log.contains("--service-name new"),
        "{}",
        ended.log
    );
}

/// Only VPC Lattice wants bodies that are not signed.
#[test]
fn the_rules_for_bodies_follow_a_corrected_service() {
    for (host, service) in [
        ("abc.execute-api.us-east-1.amazonaws.com", "vpc-lattice-svcs"),
        ("svc-0a.7d67968.vpc-lattice-svcs.us-east-1.on.aws", "execute-api"),
    ] {
        let server =
            Server::start(ServerOptions { service: service.into(), ..ServerOptions::default() });
        let mut program = Launch::under_name(&server, &format!("{host}/mcp")).start();
        program.shake_hands();
        assert_eq!(text_of(&program.ask(&add(1))), "2");
        for request in &server.requests()[1..] {
            assert_eq!(request.verdict, Verdict::Verified);
            let hash = request.header("x-amz-content-sha256");
            assert_eq!(hash == Some("UNSIGNED-PAYLOAD"), service == "vpc-lattice-svcs");
        }
    }
}

#[test]
fn the_users_scope_is_not_changed_by_the_server() {
    let (server, mut program) = started(&[]);
    for (code, text) in [
        (403, "Credential should be scoped to correct service: 'sts'."),
        (400, "Credential should be scoped to correct service: 'iam'."),
        (401, "Credential should be scoped to a valid region, not 'us-east-1'."),
    ] {
        server.reply_next("tools/call", Reply::aws_error(code, "SignatureDoesNotMatch", text));
        server.reply_next("tools/list", Reply::aws_error(code, "SignatureDoesNotMatch", text));
        assert_error(
            &program.ask(&add(1)),
            &json!(1),
            &[text, "(set --", "the request was signed for "],
        );
        assert_error(&program.ask(LIST), &json!(1), &[text]);
    }
    assert_eq!(text_of(&program.ask(&add(1))), "2");
    assert_eq!(scopes(&server), ["us-east-1/execute-api"]);

    // A flag that the host contradicts gives way to the host, and to nothing else.
    let server = Server::start(ServerOptions::default());
    let host = "abc.execute-api.us-east-1.amazonaws.com";
    let flags = ["--service-name=lambda", "--region=eu-west-1"];
    let launch = Launch::under_name(&server, &format!("{host}/mcp"));
    let mut program = flags.iter().fold(launch, |launch, flag| launch.arg(flag)).start();
    program.shake_hands();
    server.reply_next("tools/call", wants_service("secretsmanager"));
    assert_error(&program.ask(&add(1)), &json!(1), &["secretsmanager"]);
    assert_eq!(text_of(&program.ask(&add(1))), "2");
    assert_eq!(
        scopes(&server),
        ["eu-west-1/execute-api", "eu-west-1/lambda", "us-east-1/execute-api"]
    );
}

#[test]
fn no_access_is_no_reason_to_try_again() {
    let (server, mut program) = started(&[]);
    for (code, kind, text) in [
        (403, "AccessDeniedException", "User is not authorized to perform: x"),
        (403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        (403, "", "Forbidden"),
        (402, "ServiceQuotaExceededException", "quota"),
        (400, "ValidationException", "bad"),
    ] {
        server.reply_next("tools/list", Reply::aws_error(code, kind, text));
        let before = server.requests().len();
        assert_error(&program.ask(LIST), &json!(1), &[text]);
        assert_eq!(server.requests().len(), before + 1, "{text}");
    }
}

/// Connections that the server closed while they were idle are not used.
#[test]
fn idle_connections_that_were_closed_cost_nothing() {
    let (server, mut program) = started(&[]);
    for id in 0..30 {
        assert_eq!(text_of(&program.ask(&add(id))), "2");
        server.drop_connections();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(calls(&server).len(), 30);
}

/// A server that closes connections while the next request is being sent is noticed by idempotent requests only.
#[test]
fn a_server_that_hangs_up_without_a_word_costs_no_call() {
    let (server, mut program) = started(&[]);
    // A kept connection dies under a list.
    server.reply_next("tools/list", Reply::Close);
    assert!(program.ask(LIST)["result"].is_object());
    let before = server.requests().len();
    for id in 0..10 {
        assert_eq!(text_of(&program.ask(&add(id))), "2");
    }
    let connections: std::collections::BTreeSet<u64> =
        server.requests()[before..].iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 10, "each call has a connection of its own");
}
