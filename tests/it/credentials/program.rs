//! Credentials in the real program: the number of requests to AWS, the texts of errors, and files and processes that remain.

#[cfg(target_os = "linux")]
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigv4_proxy::clock;

use crate::credentials::chain::Home;
use crate::harness::messages::{assert_all_verified, assert_error};
#[cfg(target_os = "linux")]
use crate::harness::program::PATIENCE;
use crate::harness::program::{Ended, Launch, SECRET};
use crate::support::aws::Aws;
use crate::support::{Key, Server, ServerOptions};

const ROLE: &str = "arn:aws:iam::123456789012:role/A";
const ROLE_KEY: &str = "ASIAIOSFODNN7EXAMPLE";

fn assumed(wait_ms: u64, times: u64) -> Value {
    json!({
        "ask": "POST /",
        "signed": ["AKIDBASE", "base-secret", "", "us-east-1"],
        "form": { "Action": "AssumeRole", "RoleArn": ROLE },
        "times": times,
        "wait_ms": wait_ms,
        "answer": format!(
            "<r><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/A/s</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{ROLE_KEY}</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>\
             <SessionToken>role-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></r>"
        ),
    })
}

/// A server that accepts the role's key, and a home whose profile `a` assumes the role.
fn server_of_the_role() -> Server {
    let key = Key::new(ROLE_KEY, "role-secret").with_token("role-token");
    Server::start(ServerOptions { keys: vec![key], ..ServerOptions::default() })
}

fn home_of_the_role(name: &str) -> Home {
    let home = Home::new(name);
    home.write(".aws/config", format!("[profile a]\nrole_arn = {ROLE}\nsource_profile = base\n"));
    let base = "[base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = base-secret\n";
    home.write(".aws/credentials", base);
    home
}

fn launch(url: &str, home: &Home, aws: &Aws) -> Launch {
    let launch = Launch::bare(&["--target-url", url, "--region=us-east-1"]);
    launch
        .arg("--service-name=execute-api")
        .env("HOME", home.0.to_str().unwrap())
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_ENDPOINT_URL", &aws.url)
}

#[test]
fn fifty_calls_at_once_ask_for_the_role_once() {
    let (server, home) = (server_of_the_role(), home_of_the_role("program-fifty"));
    let aws = Aws::start(vec![assumed(300, 9)], clock::now());
    let mut program = launch(&server.url("/mcp"), &home, &aws).arg("--profile=a").start();
    for id in 0..50 {
        program.write(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
    }
    for _ in 0..50 {
        let answer = program.read();
        assert!(answer["result"].is_object(), "{answer}");
    }
    assert_eq!(aws.counts(), [1]);
    let ended = program.close();
    let line = format!(
        "INFO: credentials: key ASIA****MPLE from role {ROLE} (profile a), account 123456789012, until 2099-01-01T00:00:00Z"
    );
    assert_eq!(ended.log.matches(&line).count(), 1, "{}", ended.log);
    assert_eq!(aws.unexpected(), [""; 0]);
}

#[test]
fn a_role_on_top_of_the_environment() {
    let (server, home) = (server_of_the_role(), Home::new("program-role-arn"));
    let mut assumed = assumed(0, 1);
    assumed["form"]["RoleSessionName"] = json!("me");
    let aws = Aws::start(vec![assumed], clock::now());
    let launch = launch(&server.url("/mcp"), &home, &aws)
        .arg(&format!("--role-arn={ROLE}"))
        .env("AWS_ROLE_SESSION_NAME", "me")
        .env("AWS_ACCESS_KEY_ID", "AKIDBASE")
        .env("AWS_SECRET_ACCESS_KEY", "base-secret");
    let answer = launch.start().ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert!(answer["result"].is_object(), "{answer}");
    assert_eq!(aws.unexpected(), [""; 0]);
}

/// Each takes a hundred bytes, not kilobytes.
#[test]
#[cfg(target_os = "linux")]
fn tens_of_thousands_of_profiles_take_little_memory() {
    let (server, home) = (server_of_the_role(), Home::new("program-many"));
    let mut config = String::new();
    for at in 0..40_000 {
        let _ = write!(config, "[profile p{at:06}]\nregion = us-east-1\n");
    }
    let _ = write!(
        config,
        "[profile last]\naws_access_key_id = {ROLE_KEY}\naws_secret_access_key = role-secret\n\
         aws_session_token = role-token\n"
    );
    home.write(".aws/config", config);
    let aws = Aws::start(Vec::new(), clock::now());
    let mut program = launch(&server.url("/mcp"), &home, &aws).arg("--profile=last").start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert!(answer["result"].is_object(), "{answer}");
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 70 << 10, "{peak} KiB");
}

/// The first request gets the error within two seconds, with the profile and the command that fixes it.
#[test]
fn each_failure_has_its_words() {
    let expired = r#"{"accessToken":"x","expiresAt":"2020-01-01T00:00:00Z"}"#;
    let sso = "[profile p]\nsso_start_url = u\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = R\n";
    let cache = ".aws/sso/cache/51e69892ab49df85c6230ccc57f8e1d1606caccc.json";
    let then = if cfg!(windows) { "&" } else { ";" };
    let failing = format!("[profile p]\ncredential_process = echo log in first>&2{then} exit 2\n");
    let no_files: &[(&str, &str)] = &[];
    for (at, (files, env, words)) in [
        (
            &[(".aws/config", sso), (cache, expired)][..],
            &[("AWS_PROFILE", "p")][..],
            r#"profile "p": SSO token expired; run "sigv4-proxy login --profile p" or "aws sso login --profile p""#,
        ),
        (
            &[(".aws/config", "[profile p]\nlogin_session = x\n")],
            &[("AWS_PROFILE", "p")],
            r#"profile "p": login session missing"#,
        ),
        (no_files, &[], "no AWS credentials found (environment variables: AWS_ACCESS_KEY_ID is not set; "),
        (no_files, &[("AWS_PROFILE", "p")], r#"profile "p" could not be found in ~/.aws/config"#),
        (
            &[(".aws/config", "[profile p]\nrole_arn = r\nsource_profile = p\nmfa_serial = m\naws_access_key_id = A\naws_secret_access_key = B\n")],
            &[("AWS_PROFILE", "p")],
            r#"profile "p" requires an MFA code (mfa_serial); run "sigv4-proxy login --profile p" in a terminal"#,
        ),
        (
            &[(".aws/config", &failing)],
            &[("AWS_PROFILE", "p")],
            r#"profile "p": credential_process exited with status 2: log in first"#,
        ),
        (
            no_files,
            &[("AWS_EC2_METADATA_DISABLED", "false")],
            "IMDS: no response to the token request (in a container, raise the hop limit to 2)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let home = Home::new(&format!("program-words-{at}"));
        for (path, content) in files {
            home.write(path, content);
        }
        let aws = Aws::start(vec![], clock::now());
        let mut launch = launch("http://127.0.0.1:9/", &home, &aws)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
            .env("MCP_LOGIN", "off");
        for (name, value) in env {
            launch = launch.env(name, value);
        }
        let mut program = launch.start();
        for method in ["initialize", "tools/call"] {
            let started = Instant::now();
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{}}}}"#);
            let error = program.ask(&line)["error"].clone();
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(words), "{method}: {words} is not in {message}");
            assert_eq!(
                (&error["code"], &error["data"]["kind"]),
                (&json!(-32603), &json!("credentials"))
            );
            if let Some((_, rest)) = words.split_once("run \"sigv4-proxy login --profile ") {
                let profile = rest.split('"').next().unwrap();
                let hint = format!("run \"sigv4-proxy login --profile {profile}\"");
                assert_eq!(error["data"]["hint"], hint, "{words}");
            }
            assert!(started.elapsed() < Duration::from_secs(2), "{words}");
        }
        let Ended { code, log, .. } = program.close();
        assert_eq!(code, Some(0));
        assert_eq!(log.matches(words).count(), 1, "said once: {log}");
        assert!(log.contains("ERROR: failed to load AWS credentials: "), "{log}");
    }
}

#[test]
fn a_login_takes_effect_in_a_running_process() {
    let server = server_of_the_role();
    let home = Home::new("program-fixed");
    let aws = Aws::start(vec![assumed(0, 1)], clock::now());
    let mut program = launch(&server.url("/mcp"), &home, &aws).env("AWS_PROFILE", "a").start();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert!(program.ask(ping)["error"].is_object());
    let later = home_of_the_role("program-fixed-later");
    for file in ["config", "credentials"] {
        let file = Path::new(".aws").join(file);
        fs::copy(later.0.join(&file), home.0.join(&file)).unwrap();
    }
    let answer = program.ask(ping);
    assert!(answer["result"].is_object(), "{answer}");
}

#[cfg(target_os = "linux")]
#[test]
fn no_child_outlives_the_process() {
    let home = Home::new("program-child");
    let mark = format!("85{:06}", std::process::id());
    let command = format!("sleep {mark} & sleep {mark}");
    home.write(".aws/config", format!("[default]\ncredential_process = {command}\n"));
    let aws = Aws::start(vec![], clock::now());
    let running = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| *line == format!("sleep\0{mark}\0").into_bytes()).count()
    };
    let launch = launch("http://127.0.0.1:9/", &home, &aws).arg("--drain-timeout=0");
    let mut program = launch.start();
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let started = Instant::now();
    while running() < 2 {
        assert!(started.elapsed() < PATIENCE, "the command was not started");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let ended = program.close();
    assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
    assert_eq!((ended.code, running()), (Some(0), 0));
}

#[test]
fn metadata_are_never_asked_through_a_proxy_and_services_are() {
    let server = server_of_the_role();
    let home = home_of_the_role("program-proxy");
    let container = json!({
        "ask": "GET /c",
        "answer": {
            "AccessKeyId": "AKIDBASE", "SecretAccessKey": "base-secret",
            "Token": "t", "Expiration": "2099-01-01T00:00:00Z",
        },
    });
    let aws = Aws::start(vec![container], clock::now());
    let tunnel = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", tunnel.local_addr().unwrap());
    let launch = launch(&server.url("/mcp"), &home, &aws)
        .arg(&format!("--role-arn={ROLE}"))
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/c", aws.url))
        .env("AWS_ENDPOINT_URL", "https://sts.example")
        .env("HTTP_PROXY", &proxy)
        .env("HTTPS_PROXY", &proxy);
    let _program = launch.start();
    assert_eq!(request_line(&tunnel), "CONNECT sts.example:443 HTTP/1.1");
    assert_eq!(aws.counts(), [1]);
}

#[test]
fn a_container_endpoint_on_another_host_is_asked_through_the_proxy() {
    let home = Home::new("program-container-proxy");
    let aws = Aws::start(vec![], clock::now());
    let tunnel = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut program = launch("http://127.0.0.1:9/", &home, &aws)
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://vault.example/keys")
        .env("HTTPS_PROXY", &format!("http://{}", tunnel.local_addr().unwrap()))
        .start();
    program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!(request_line(&tunnel), "CONNECT vault.example:443 HTTP/1.1");
}

/// The first line that a proxy receives.
fn request_line(proxy: &std::net::TcpListener) -> String {
    let (stream, _) = proxy.accept().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut line).unwrap();
    line.trim_end().to_owned()
}

/// Client and doctor get the specific fix as the hint; the log adds the general one.
#[test]
fn the_hint_is_of_the_mistake_that_was_made() {
    const ADVICE: &str = " (ensure AWS credentials are configured via environment variables, \
                          ~/.aws/credentials, or IAM role)";
    let server = Server::start(ServerOptions::default());
    let home = Home::new("program-hints");
    let then = if cfg!(windows) { "&" } else { ";" };
    let process = &format!(
        "[profile work]\ncredential_process = echo no>&2{then} exit 3{then} echo hush-hush\n"
    )[..];
    for (name, config, credentials, arguments, reported, hint) in [
        (
            "broken",
            "[default]\nhush",
            "",
            &[][..],
            "line 2: neither a setting nor a section header",
            "fix line 2 of ~/.aws/config: NAME = VALUE",
        ),
        (
            "half",
            "",
            "[default]\naws_access_key_id = A",
            &[],
            "aws_access_key_id is set but aws_secret_access_key is not",
            "set aws_secret_access_key as well in ~/.aws/credentials",
        ),
        ("misspelt", process, "", &["--profile=wrok"], "could not be found", "did you mean work?"),
        (
            "process",
            process,
            "",
            &["--profile=work"],
            "credential_process exited with status 3: no",
            "run it in a terminal: aws sts get-caller-identity --profile work",
        ),
    ] {
        home.write(".aws/config", config);
        home.write(".aws/credentials", credentials);
        let launched = |first: &[&str]| {
            let mut words = first.to_vec();
            let url = server.url("/mcp");
            words.extend([&url[..], "--region=us-east-1", "--service-name=execute-api"]);
            words.extend(arguments);
            let launch = Launch::bare(&words).env("HOME", home.0.to_str().unwrap());
            launch.env("PATH", "/usr/bin:/bin")
        };
        let ended = launched(&[]).run("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
        let line = ended.log.lines().find(|line| line.starts_with("ERROR: ")).unwrap();
        assert!(line.starts_with("ERROR: failed to load AWS credentials: "), "{name}: {line}");
        assert!(line.contains(reported) && line.ends_with(ADVICE), "{name}: {line}");
        let answer: Value = serde_json::from_str(&ended.lines[0]).unwrap();
        assert_eq!(answer["error"]["data"]["hint"], hint, "{name}: {answer}");
        let ended = launched(&["doctor"]).run("");
        let report = ended.lines.join("\n");
        assert!(report.contains(&format!("fix: {hint}\n")), "{name}: {report}");
        assert!(!(ended.log + &report).contains("hush"), "{name}: {report}");
    }
    // Without a region in the URL, the error names the file that should have it.
    home.write(".aws/config", "[default]\nhush");
    let ended = Launch::bare(&["https://mcp.example.com/", "--service-name=execute-api"])
        .env("HOME", home.0.to_str().unwrap())
        .run("");
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.log,
        "ERROR: configuration error: region is required, and the profile cannot be read: \
         ~/.aws/config: line 2: neither a setting nor a section header (fix line 2 of ~/.aws/config: NAME = VALUE)\n"
    );
}

#[test]
fn missing_credentials_and_a_missing_server_do_not_end_it() {
    let server = Server::start(ServerOptions::default());
    let url = server.url("/mcp");
    let mut program =
        Launch::bare(&["--target-url", &url, "--region=us-east-1", "--service-name=execute-api"])
            .start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#);
    assert_error(
        &answer,
        &json!(1),
        &[
            "failed to load AWS credentials: ",
            "(ensure AWS credentials are configured via environment variables, ~/.aws/credentials, or IAM role)",
        ],
    );
    assert_eq!(server.requests().len(), 0, "nothing is sent unsigned");
    drop(program);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut program = Launch::to(&format!("http://{closed}/mcp")).start();
    for id in 1..=2 {
        let answer =
            program.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize"}}"#));
        assert_error(&answer, &json!(id), &["connection refused"]);
    }
    let ended = program.close();
    let reported = format!("ERROR: proxy server error: connect to {closed}: connection refused");
    assert_eq!(ended.log.matches(&reported).count(), 1, "{}", ended.log);

    let mut program = Launch::to("https://no-such-host.invalid/mcp").start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#);
    assert_error(&answer, &json!(1), &["no-such-host.invalid: no such host"]);
}

#[test]
fn missing_credentials_are_reported_even_without_input() {
    let ended = Launch::bare(&["https://abc.execute-api.us-east-1.amazonaws.com/mcp"]).run("");
    assert_eq!(ended.code, Some(0));
    assert!(ended.log.contains("ERROR: failed to load AWS credentials: "), "{}", ended.log);
    assert!(ended.log.contains("Proxy is ready to accept MCP protocol messages"), "{}", ended.log);
}

#[test]
fn a_changed_credentials_file_counts_from_the_next_request() {
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("changed-credentials");
    let file = home.join(".aws/credentials");
    std::fs::create_dir_all(home.join(".aws")).unwrap();
    let write = |id: &str, secret: &str| {
        let text = format!(
            "# keys\n[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret} ; mine\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("AKIAFIRSTEXAMPLEKEY1", SECRET);
    let server = Server::start(ServerOptions::default());
    server.set_keys(vec![Key::new("AKIAFIRSTEXAMPLEKEY1", SECRET)]);
    let url = server.url("/mcp");
    let mut program = Launch::bare(&[&url, "--region=us-east-1", "--service-name=execute-api"])
        .env("HOME", home.to_str().unwrap())
        .start();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert!(program.ask(ping)["result"].is_object());
    write("AKIASECONDEXAMPLEKEY", "another/secret/of/the/same/length/EXAMPLE");
    server.set_keys(vec![Key::new(
        "AKIASECONDEXAMPLEKEY",
        "another/secret/of/the/same/length/EXAMPLE",
    )]);
    assert!(program.ask(ping)["result"].is_object());
    let ended = program.close();
    assert_all_verified(&server.requests());
    assert!(
        ended.log.contains("EY1 from profile default (~/.aws/credentials)")
            || ended.log.contains("EKEY from profile default (~/.aws/credentials)"),
        "{}",
        ended.log
    );
}
