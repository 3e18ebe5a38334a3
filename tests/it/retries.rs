//! What is tried again, through the real binary: as often as it helps, and never what may have run.

use crate::messages::{assert_error, call, json_reply, labels, text_of};
use crate::program::{KEY_ID, Launch, Program, SECRET};
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

/// A11: whatever breaks after the server has read a call, it is not sent again.
#[test]
fn a11_a_call_that_may_have_run_is_never_sent_again() {
    let (server, mut program) = started(&["--read-timeout=400ms"]);
    // Said, since whether a close is seen before the next call is a race, which this is not about.
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
fn what_does_no_harm_twice_is_sent_again() {
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

#[test]
fn a10_throttled_calls_wait_as_long_as_the_server_asks() {
    let (server, mut program) = started(&["--timeout=20s"]);
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
    let slow_down = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"Rate exceeded"}}"#;
    for throttled in [
        Reply::aws_error(400, "ThrottlingException", "Rate exceeded"),
        json_reply(200, slow_down),
        json_reply(429, slow_down),
    ] {
        server.reply_next("tools/call", throttled);
        assert_eq!(text_of(&program.ask(&add(1))), "2");
    }
    // An hour does not fit into the time of the request: the answer comes now.
    server.reply_next("tools/call", status(429, &[("Retry-After", "3600")], "later"));
    let begun = Instant::now();
    assert_error(&program.ask(&add(1)), &json!(1), &["429", "later"]);
    assert!(begun.elapsed() < Duration::from_secs(2));
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
    let (server, mut program) = started(&["--timeout=30s"]);
    let starting = || Reply::aws_error(424, "RuntimeClientError", "the runtime is starting");
    for _ in 0..2 {
        server.reply_next("tools/call", starting());
    }
    assert_eq!(text_of(&program.ask(&add(1))), "2");
    assert_eq!(calls(&server).len(), 3);
}

#[test]
fn a1_a_server_that_is_gone_is_told_soon() {
    let (server, mut program) = started(&[]);
    drop(server);
    // Nothing was sent, so it is tried again; but nobody is kept waiting.
    let begun = Instant::now();
    assert_error(&program.ask(&add(1)), &json!(1), &["connection refused"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn h5_a_wrong_clock_is_noticed_and_corrected_once() {
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
    let told: Vec<&str> = ended.log.lines().filter(|line| line.contains("clock")).collect();
    assert_eq!(told.len(), 1, "{}", ended.log);
    assert!(told[0].starts_with("WARN: ") && told[0].contains("behind") && told[0].contains("NTP"));
}

#[test]
fn d3_expired_credentials_are_looked_for_again() {
    let home = crate::credentials::Home::new("retry-expired");
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
    // A process hands out keys, so that no file of ours shows that they have changed.
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

    // The same keys again are no better: one error, and it names the mend.
    server.reply_next("tools/call", Reply::aws_error(403, "ExpiredTokenException", "is expired"));
    assert_error(&program.ask(&add(3)), &json!(3), &["ExpiredTokenException"]);
    assert_eq!(calls(&server).len(), 4);
}

#[test]
fn a_service_that_aws_names_is_signed_for() {
    let server =
        Server::start(ServerOptions { service: "lambda".into(), ..ServerOptions::default() });
    let (server, mut program) = started_at(server, &[]);
    assert_eq!(text_of(&program.ask(&add(1))), "2");
    let refused = server.requests().iter().filter(|r| r.verdict != Verdict::Verified).count();
    assert_eq!(refused, 1, "it is kept");
    let ended = program.close();
    assert!(
        ended.log.contains("WARN: ") && ended.log.contains("--service-name lambda"),
        "{}",
        ended.log
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

/// A12: connections that the server closed while they were idle are not used.
#[test]
fn a12_idle_connections_that_were_closed_cost_nothing() {
    let (server, mut program) = started(&[]);
    for id in 0..30 {
        assert_eq!(text_of(&program.ask(&add(id))), "2");
        server.drop_connections();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(calls(&server).len(), 30);
}

/// The same when the server hangs up so late that the next request is under way: only what can be sent again finds out.
#[test]
fn a12_a_server_that_hangs_up_without_a_word_costs_no_call() {
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
