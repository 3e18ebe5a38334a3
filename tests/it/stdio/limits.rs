//! A call gets a response at its own limit, and the process ends in time, even if something hangs.

use crate::credentials::chain::Home;
use crate::harness::messages::{assert_error, call, count, text_of};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Mode, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const KEYS: &str = r#"{"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"ping","method":"ping"}"#;

/// With credentials from a command that counts its runs in a file `runs` and then does `after`.
fn with_process(home: &Home, url: &str, after: &str) -> Launch {
    let runs = home.0.join("runs");
    let script = format!("echo run >>{}\n{after}\necho '{KEYS}'\n", runs.display());
    home.write("keys.sh", script);
    let command = format!("sh {}", home.0.join("keys.sh").display());
    home.write(".aws/config", format!("[default]\ncredential_process = {command}\n"));
    Launch::bare(&["--target-url", url, "--region=us-east-1", "--service-name=execute-api"])
        .env("HOME", home.0.to_str().unwrap())
        .env("PATH", "/usr/bin:/bin")
}

fn runs(home: &Home) -> usize {
    fs::read_to_string(home.0.join("runs")).unwrap_or_default().lines().count()
}

fn wait_for_runs(home: &Home, count: usize) {
    let started = Instant::now();
    while runs(home) < count {
        assert!(started.elapsed() < PATIENCE, "the command was not run");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
#[cfg_attr(windows, ignore = "the command is a script for sh")]
fn a_call_ends_at_its_limit_and_the_search_for_credentials_continues() {
    let (server, home) = (Server::start(ServerOptions::default()), Home::new("waits-process"));
    let launch = with_process(&home, &server.url("/mcp"), "sleep 1");
    let mut program = launch.arg("--tool-timeout=200ms").start();
    let started = Instant::now();
    program.write(PING);
    let error = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    let words = ["AWS credentials from credential_process of profile \"default\"", "timed out"];
    assert_error(&error, &json!(1), &words);
    assert!(error["error"]["data"]["hint"].as_str().unwrap().contains("--tool-timeout"));
    let pong = program.read();
    assert_eq!((&pong["id"], pong["result"].is_object()), (&json!("ping"), true), "{pong}");
    assert_eq!(text_of(&program.ask(&call("2", "add", &json!({"a": 1, "b": 1})))), "2");
    assert_eq!(runs(&home), 1);
}

#[test]
fn the_wait_for_its_turn_counts_for_a_request() {
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    for (method, first, flag) in [
        ("initialize", initialize, "--max-in-flight=9"),
        ("notifications/roots/list_changed", notification, "--max-in-flight=9"),
        ("ping", PING, "--max-in-flight=1"),
    ] {
        let server = Server::start(ServerOptions::default());
        server.reply_next(method, Reply::Hang);
        let launch = Launch::to(&server.url("/mcp")).arg("--tool-timeout=300ms").arg(flag);
        let mut program = launch.start();
        program.write(first);
        let started = Instant::now();
        program.write(&call("1", "add", &json!({"a": 1, "b": 1})));
        program.write(&call("2", "add", &json!({"a": 1, "b": 1})));
        for _ in 0..2 {
            let error = program.read();
            assert_error(&error, &error["id"], &["timed out", "queued"]);
            assert_eq!(error["error"]["data"]["kind"], "timed_out");
        }
        let took = started.elapsed();
        assert!(took > Duration::from_millis(290) && took < Duration::from_secs(2), "{took:?}");
        assert!(server.requests().iter().all(|request| request.label() != "tools/call"));
    }
}

#[test]
fn what_was_queued_after_a_request_that_timed_out_is_sent() {
    let changed = "notifications/roots/list_changed";
    let server = Server::start(ServerOptions::default());
    server.reply_next("ping", Reply::Hang);
    let launch = Launch::to(&server.url("/mcp")).arg("--tool-timeout=300ms");
    let mut program = launch.arg("--max-in-flight=1").start();
    program.write(PING);
    program.write(&call("1", "add", &json!({"a": 1, "b": 1})));
    program.write(&format!(r#"{{"jsonrpc":"2.0","method":"{changed}"}}"#));
    assert_error(&program.read(), &json!(1), &["timed out", "queued"]);
    server.wait_for(PATIENCE, |all| all.iter().any(|request| request.label() == changed));
}

#[test]
fn a_source_that_does_not_respond_does_not_hold_a_call() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let role = "--role-arn=arn:aws:iam::123456789012:role/A";
    let home = Home::new("waits-silent");
    let launch = |limit: &str| {
        Launch::to("http://127.0.0.1:9/mcp").env("HOME", home.0.to_str().unwrap()).arg(limit)
    };
    let sts = launch("--timeout=200ms").arg(role).env("AWS_ENDPOINT_URL_STS", &silent);
    let metadata = Launch::bare(&["http://127.0.0.1:9/mcp", "--region=us-east-1"])
        .arg("--service-name=execute-api")
        .arg("--timeout=200ms")
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_METADATA_SERVICE_TIMEOUT", "5")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &silent);
    for (launch, source) in [(sts, "STS (role arn"), (metadata, "instance metadata (IMDS)")] {
        let mut program = launch.start();
        let started = Instant::now();
        assert_error(&program.ask(PING), &json!("ping"), &[source, "timed out"]);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[test]
fn the_doctor_waits_for_sts_until_its_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let server = Server::start(ServerOptions::default());
    let role = "--role-arn=arn:aws:iam::123456789012:role/A";
    for (argument, words) in [
        (role, "timed out while waiting for AWS credentials from STS"),
        ("--no-sse", "no response within --timeout"),
    ] {
        let launch = Launch::to(&server.url("/mcp")).arg("--timeout=300ms").arg(argument);
        let ended = launch.arg("doctor").env("AWS_ENDPOINT_URL_STS", &silent).run("");
        let report = ended.lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(report.contains(words), "{report}");
        assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_process_within_a_second_even_if_something_hangs() {
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let home = Home::new("waits-signal");
    // The second time, after AWS has refused the keys, with a child that ignores signals.
    let hang = "[ $(wc -l <$(dirname $0)/runs) = 1 ] || { trap '' TERM; sleep 60 & sleep 60; }";
    let mut program = with_process(&home, &server.url("/mcp"), hang).arg("--no-sse").start();
    program.shake_hands();
    program.ask(PING);
    server.reply_next("ping", Reply::aws_error(403, "ExpiredTokenException", "expired"));
    server.reply_next("DELETE", Reply::Hang);
    program.write(PING);
    wait_for_runs(&home, 2);
    let started = Instant::now();
    program.signal("-TERM");
    let ended = program.wait();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 1), "{ended:?}");
}

#[test]
#[cfg_attr(windows, ignore = "the command is a script for sh")]
fn the_end_of_stdin_waits_for_credentials_as_long_as_for_calls() {
    let home = Home::new("waits-eof");
    let launch = with_process(&home, "http://127.0.0.1:9/mcp", "sleep 60");
    let program = launch.arg("--drain-timeout=300ms").start();
    wait_for_runs(&home, 1);
    let ended = program.close();
    assert!(ended.took >= Duration::from_millis(250), "{:?}", ended.took);
    assert!(ended.took < Duration::from_millis(1300), "{:?}", ended.took);
    assert_eq!(ended.code, Some(0));
}

/// A server whose sessions have ids, and a client with these profiles.
fn with_profiles(name: &str, names: &[&str]) -> (Server, Program) {
    let options = ServerOptions { sessions: true, verify: false, ..ServerOptions::default() };
    let (server, home) = (Server::start(options), Home::new(name));
    let profiles = names.iter().map(|name| {
        format!(
            "[{name}]\naws_access_key_id = AKIA{name}\naws_secret_access_key = secret-of-{name}\n"
        )
    });
    home.write(".aws/credentials", profiles.collect::<String>());
    let mut arguments = vec!["--profile"];
    arguments.extend(names);
    let url = server.url("/mcp");
    arguments.extend([&url[..], "--region=us-east-1", "--service-name=execute-api"]);
    let launch = Launch::bare(&arguments).arg("--profile-tools=*").arg("--no-sse");
    let mut program = launch
        .arg("--timeout=10s")
        .arg("--tool-timeout=1s")
        .env("HOME", home.0.to_str().unwrap())
        .start();
    program.shake_hands();
    program.ask(PING);
    (server, program)
}

fn of_profile(id: &str, name: &str) -> String {
    call(id, "add", &json!({"a": 1, "b": 1, "aws_profile": name}))
}

fn wait_for(server: &Server, label: &str, count: usize) {
    server.wait_for(PATIENCE, |all| {
        all.iter().filter(|request| request.label() == label).count() >= count
    });
}

#[test]
fn a_slow_handshake_of_one_profile_holds_up_no_other() {
    let (server, mut program) = with_profiles("waits-profiles", &["a", "b", "c"]);
    server.reply_next("initialize", Reply::Late(Duration::from_millis(1600)));
    let started = Instant::now();
    program.write(&of_profile("1", "b"));
    wait_for(&server, "initialize", 2);
    program.write(&of_profile("2", "b"));
    for (id, profile) in [("3", "a"), ("4", "c")] {
        let sum = program.ask(&of_profile(id, profile));
        assert_eq!((text_of(&sum), sum["id"].to_string()), ("2", id.to_owned()));
    }
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    // They get errors at their limit, and the handshake continues for the next.
    for _ in 0..2 {
        let error = program.read();
        let words = ["the session could not be initialized", "timed out"];
        assert_error(&error, &error["id"], &words);
    }
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    let sum = program.ask(&of_profile("5", "b"));
    assert_eq!((text_of(&sum), &sum["id"]), ("2", &json!(5)));
    assert_eq!(count(&server, "initialize"), 3, "one for each profile");
}

#[test]
fn a_server_gets_responses_before_its_session_has_started() {
    let (server, mut program) = with_profiles("waits-questions", &["a", "b"]);
    server.reply_next("initialize", Reply::AskFirst(Duration::from_millis(100)));
    for id in ["1", "2", "3"] {
        program.write(&of_profile(id, "b"));
    }
    let question = program.read();
    assert_eq!(question["method"], "roots/list", "{question}");
    program.write(
        &json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}).to_string(),
    );
    for _ in 0..3 {
        let sum = program.read();
        assert_eq!(text_of(&sum), "2");
    }
    assert_eq!(count(&server, "initialize"), 2);
}

/// Requests of the server during the handshake reach the client even if no call waits any more.
#[test]
fn a_handshake_continues_without_the_call_that_needed_it() {
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let launch = Launch::to(&server.url("/mcp")).arg("--no-sse").arg("--tool-timeout=300ms");
    let mut program = launch.start();
    program.shake_hands();
    program.ask(PING);
    server.end_sessions();
    server.reply_next("initialize", Reply::AskFirst(Duration::from_millis(600)));
    let add = |id: &str| call(id, "add", &json!({"a": 1, "b": 1}));
    let words = ["the session has expired, and a new one could not be initialized", "timed out"];
    assert_error(&program.ask(&add("1")), &json!(1), &words);
    let question = program.read();
    program.write(
        &json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}).to_string(),
    );
    wait_for(&server, "notifications/initialized", 2);
    let answer =
        server.requests().into_iter().find(|request| request.label() == "response").unwrap();
    assert_eq!(answer.header("mcp-session-id"), Some("session-2"), "the new session asked");
    assert_eq!(text_of(&program.ask(&add("2"))), "2");
    assert_eq!(count(&server, "initialize"), 2);
}

#[test]
fn the_list_of_tools_is_waited_for_until_the_limit_of_each_call() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--read-only").arg("--tool-timeout=500ms");
    let mut program = launch.arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("tools/list", Reply::Late(Duration::from_millis(800)));
    let add = |id: &str| call(id, "add", &json!({"a": 1, "b": 1}));
    let words = ["the tools cannot be listed, which --read-only requires", "timed out"];
    assert_error(&program.ask(&add("1")), &json!(1), &words);
    assert_eq!(text_of(&program.ask(&add("2"))), "2");
    assert_eq!(count(&server, "tools/list"), 1);
}

#[test]
fn a_call_that_waits_for_a_handshake_can_be_cancelled() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--lazy").arg("--no-sse").start();
    program.shake_hands();
    server.reply_next("initialize", Reply::Hang);
    program.write(&call("1", "add", &json!({"a": 1, "b": 1})));
    wait_for(&server, "initialize", 1);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    let ended = program.close();
    assert!(ended.took < Duration::from_secs(4), "{:?}", ended.took);
    assert!(ended.lines.is_empty(), "{:?}", ended.lines);
}

#[test]
fn the_sessions_of_all_profiles_end_side_by_side() {
    let names = ["a", "b", "c", "d", "e"];
    let (server, mut program) = with_profiles("waits-farewell", &names);
    for name in names {
        program.ask(&of_profile("1", name));
        server.reply_next("DELETE", Reply::Hang);
    }
    let ended = program.close();
    assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
    assert_eq!(count(&server, "DELETE"), 5);
}

#[test]
fn a_request_ends_with_an_error_at_its_time_limit() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--timeout=300ms").start();
    server.reply_next("ping", Reply::Hang);
    let started = Instant::now();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_error(&answer, &json!(1), &["timed out", "--timeout"]);
    assert!(started.elapsed() < Duration::from_millis(1300), "{:?}", started.elapsed());
    drop(program);

    let mut program = Launch::to(&server.url("/mcp")).arg("--tool-timeout").arg("0.2").start();
    let answer = program.ask(&call("2", "slow", &json!({"ms": 5000})));
    assert_error(&answer, &json!(2), &["timed out", "--tool-timeout"]);
    drop(program);

    // `--read-timeout` is an idle timeout: a stream that continues is not cut.
    let server = Server::start(ServerOptions { mode: Mode::Sse, ..ServerOptions::default() });
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-timeout=250ms").start();
    program.write(&call("3", "count", &json!({"to": 5, "delay_ms": 120})));
    for _ in 0..5 {
        assert_eq!(program.read()["method"], "notifications/progress");
    }
    assert_eq!(program.read()["id"], 3);
    let answer = program.ask(&call("4", "slow", &json!({"ms": 5000})));
    assert_error(&answer, &json!(4), &["sent nothing", "--read-timeout"]);
}

#[test]
fn more_messages_than_may_wait_get_errors() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp"))
        .arg("--max-in-flight=1")
        .arg("--max-message-bytes=1000")
        .start();
    program.write(&call("0", "slow", &json!({"ms": 300})));
    // Two of these fill the queue.
    for id in 1..=4 {
        program.write(&call(&id.to_string(), "echo", &json!({"text": "x".repeat(700)})));
    }
    let answers: Vec<Value> = (0..5).map(|_| program.read()).collect();
    let (refused, answered): (Vec<_>, Vec<_>) =
        answers.iter().partition(|a| a["error"].is_object());
    assert_eq!((refused.len(), answered.len()), (2, 3), "{refused:?}");
    for answer in refused {
        assert_error(answer, &answer["id"], &["already queued", "--max-in-flight"]);
    }
}

#[test]
fn messages_that_are_too_large_get_one_clear_error() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-message-bytes=10000").start();
    let answer = program.ask(&call("1", "big", &json!({"bytes": 20_000})));
    assert_error(&answer, &json!(1), &["larger than 10000 bytes", "--max-message-bytes"]);
    let answer = program.ask(&call("2", "echo", &json!({"text": "x".repeat(20_000)})));
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32600), &json!(2)), "{answer}");
    assert_eq!(program.ask(r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#)["id"], 3);
}

#[test]
fn responses_and_notifications_that_are_too_large_get_no_response() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--max-message-bytes=10000").start();
    program.shake_hands();
    let question = r#"data: {"jsonrpc":"2.0","id":5,"method":"roots/list"}"#;
    server.reply_next("tools/call", Reply::OpenStream(format!("{question}\n\n")));
    // A request of the client has the id of the server's.
    assert_eq!(program.ask(&call("5", "add", &json!({})))["method"], "roots/list");
    let large = "x".repeat(20_000);
    program.write(
        &json!({"jsonrpc": "2.0", "id": 5, "result": {"roots": [], "_meta": {"x": large}}})
            .to_string(),
    );
    program.write(
        &json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"x": large}}).to_string(),
    );
    let requests = server.wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "response"));
    let instead = requests.iter().find(|r| r.label() == "response").unwrap().json();
    assert_error(&instead, &json!(5), &["the client's response is larger than 10000 bytes"]);
    program.silent_for(Duration::from_millis(100));
    assert_eq!(count(&server, "notifications/x"), 0);
}
