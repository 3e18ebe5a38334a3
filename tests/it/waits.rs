//! No wait outlives its waiter: a call is answered at its own limit, and the process ends in time, whatever hangs.

use crate::credentials::Home;
use crate::messages::{assert_error, call, text_of};
use crate::program::{Launch, PATIENCE};
use crate::support::{Reply, Server, ServerOptions};
use serde_json::json;
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
fn a_call_at_its_limit_is_answered_and_the_search_for_credentials_goes_on() {
    let (server, home) = (Server::start(ServerOptions::default()), Home::new("waits-process"));
    let launch = with_process(&home, &server.url("/mcp"), "sleep 1");
    let mut program = launch.arg("--tool-timeout=200ms").start();
    let started = Instant::now();
    program.write(PING);
    let error = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    let words = ["AWS credentials from credential_process of profile \"default\"", "time limit"];
    assert_error(&error, &json!(1), &words);
    assert!(error["error"]["data"]["hint"].as_str().unwrap().contains("--tool-timeout"));
    let pong = program.read();
    assert_eq!((&pong["id"], pong["result"].is_object()), (&json!("ping"), true), "{pong}");
    assert_eq!(text_of(&program.ask(&call("2", "add", &json!({"a": 1, "b": 1})))), "2");
    assert_eq!(runs(&home), 1);
}

#[test]
fn a_source_that_is_silent_does_not_hold_a_call() {
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
        assert_error(&program.ask(PING), &json!("ping"), &[source, "time limit"]);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_process_within_a_second_whatever_hangs() {
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

#[test]
fn the_sessions_of_all_profiles_end_side_by_side() {
    let options = ServerOptions { sessions: true, verify: false, ..ServerOptions::default() };
    let (server, home) = (Server::start(options), Home::new("waits-farewell"));
    let names = ["a", "b", "c", "d", "e"];
    let profiles = names.map(|name| {
        format!(
            "[{name}]\naws_access_key_id = AKIA{name}\naws_secret_access_key = secret-of-{name}\n"
        )
    });
    home.write(".aws/credentials", profiles.concat());
    let launch = Launch::bare(&["--profile", "a", "b", "c", "d", "e", &server.url("/mcp")])
        .arg("--region=us-east-1")
        .arg("--service-name=execute-api")
        .arg("--profile-tools=*")
        .arg("--no-sse")
        .env("HOME", home.0.to_str().unwrap());
    let mut program = launch.start();
    program.shake_hands();
    for name in names {
        program.ask(&call("1", "add", &json!({"a": 1, "b": 1, "aws_profile": name})));
        server.reply_next("DELETE", Reply::Hang);
    }
    let ended = program.close();
    assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
    assert_eq!(server.requests().iter().filter(|request| request.label() == "DELETE").count(), 5);
}
