//! `sigv4-proxy doctor`: findings and fixes.

use crate::credentials::chain::Home;
use crate::harness::messages::{assert_all_verified, labels, not_found};
use crate::harness::program::{Ended, KEY_ID, Launch, SECRET};
use crate::support::aws::Aws;
use crate::support::tls::{TlsServer, connect_proxy, localhost};
use crate::support::{Key, Mode, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use sigv4_proxy::clock;

const IDENTITY: &str = "arn:aws:iam::123456789012:user/ann";

pub(crate) fn sts() -> Aws {
    let answer = format!(
        "<R xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>{IDENTITY}</Arn>\
         <UserId>AIDA</UserId><Account>123456789012</Account></GetCallerIdentityResult></R>"
    );
    let entry = json!({
        "ask": "POST /",
        "signed": [KEY_ID, SECRET, "", "us-east-1"],
        "form": { "Action": "GetCallerIdentity", "Version": "2011-06-15" },
        "times": "any",
        "answer": answer,
    });
    let refused = json!({
        "ask": "POST /",
        "times": "any",
        "status": 403,
        "answer": "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>",
    });
    Aws::start(vec![entry, refused], clock::now())
}

pub(crate) fn launch(url: &str, sts: &Aws) -> Launch {
    Launch::bare(&["doctor", url, "--region=us-east-1", "--service-name=execute-api"])
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_ENDPOINT_URL_STS", &sts.url)
}

pub(crate) fn text(ended: &Ended) -> String {
    ended.lines.join("\n")
}

/// The verdict and the words of one check.
fn check<'a>(ended: &'a Ended, name: &str) -> (&'a str, String) {
    let begins = |line: &str| line.get(6..).is_some_and(|rest| rest.starts_with(name));
    let at = ended.lines.iter().skip(1).position(|line| begins(line)).map(|at| at + 1);
    let at = at.unwrap_or_else(|| panic!("{name} is not in {}", text(ended)));
    let more = ended.lines[at + 1..].iter().take_while(|line| line.starts_with("       "));
    let words: Vec<&str> =
        std::iter::once(&ended.lines[at]).chain(more).map(|line| line.trim()).collect();
    (&ended.lines[at][..4], words.join("\n"))
}

pub(crate) fn assert_check(ended: &Ended, name: &str, verdict: &str, words: &[&str]) {
    let (found, text) = check(ended, name);
    assert_eq!(found, verdict, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

/// Arguments of a doctor that reaches the server under this name.
fn under_name(server: &Server, name: &str) -> Launch {
    let port = server.url("").rsplit_once(':').unwrap().1.parse().unwrap();
    let (proxy, _) = connect_proxy(port);
    Launch::bare(&["doctor", &format!("http://{name}"), "--allow-http"])
        .env("http_proxy", &format!("http://127.0.0.1:{proxy}"))
}

#[test]
fn a_gateway_that_does_not_stream_is_pointed_out() {
    const GATEWAY: &str = "gw-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp";
    const NOTE: &str = "require enableResponseStreaming";
    for (name, service, mode, is_noted) in [
        (GATEWAY, "bedrock-agentcore", Mode::Json, true),
        (GATEWAY, "bedrock-agentcore", Mode::Sse, false),
        ("abc.lambda-url.us-east-1.on.aws/mcp", "lambda", Mode::Json, false),
        ("abc.lambda-web.global.on.aws/mcp", "lambda", Mode::Json, false),
    ] {
        let service = service.into();
        let server = Server::start(ServerOptions { service, mode, ..ServerOptions::default() });
        let ended = under_name(&server, name)
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_ENDPOINT_URL_STS", &sts().url)
            .run("");
        assert_check(&ended, "identity", "pass", &[IDENTITY]);
        assert_check(&ended, "tools", "pass", &[]);
        assert_eq!(text(&ended).contains(NOTE), is_noted, "{name}: {}", text(&ended));
    }
}

#[test]
fn a_server_that_needs_no_credentials_passes_without_them() {
    let home = Home::new("doctor-unsigned");
    for (config, verdict, words) in [
        ("", "pass", &["requests are sent unsigned", "no AWS credentials found"]),
        (
            "[default]\ncredential_process = /nonexistent/helper\n",
            "warn",
            &["requests are sent unsigned", "credential_process"],
        ),
    ] {
        home.write(".aws/config", config);
        let server = Server::start(ServerOptions { verify: false, ..ServerOptions::default() });
        let ended = under_name(&server, "knowledge-mcp.global.api.aws/")
            .env("HOME", home.0.to_str().unwrap())
            .run("");
        assert_eq!(ended.code, Some(0), "{}", text(&ended));
        assert_check(&ended, "configuration", "pass", &["us-east-1 [the URL's default region]"]);
        assert_check(&ended, "credentials", verdict, words);
        assert_check(&ended, "identity", "skip", &["requests are sent unsigned"]);
        assert_check(&ended, "tools", "pass", &[]);
        assert!(server.requests().iter().all(|request| request.header("authorization").is_none()));
    }
}

#[test]
fn a_working_setup_passes_every_check() {
    for (mode, sessions) in [(Mode::Json, true), (Mode::Sse, false)] {
        let server = Server::start(ServerOptions { mode, sessions, ..ServerOptions::default() });
        let ended = launch(&server.url("/mcp"), &sts()).run("");
        assert_eq!(ended.code, Some(0), "{}", text(&ended));
        let url = server.url("/mcp");
        assert_check(&ended, "configuration", "pass", &[&url, "execute-api [--service-name]"]);
        assert_check(&ended, "credentials", "pass", &["AKIA****MPLE from environment"]);
        assert_check(&ended, "identity", "pass", &[IDENTITY, "account 123456789012"]);
        assert_check(&ended, "proxy", "pass", &["none"]);
        assert_check(&ended, "DNS", "pass", &["127.0.0.1"]);
        assert_check(&ended, "TCP", "pass", &["connected to 127.0.0.1:"]);
        assert_check(&ended, "TLS", "skip", &["http"]);
        assert_check(&ended, "clock", "pass", &["in sync"]);
        assert_check(&ended, "initialize", "pass", &["responded in"]);
        assert_check(&ended, "server", "pass", &["MCP 2025-11-25", "offers: ", "tools"]);
        assert_check(&ended, "tools", "pass", &["listed in"]);
        assert_check(
            &ended,
            "latency",
            "pass",
            &["TCP ", "initialize (new connection)", "tools/list (kept connection)"],
        );
        assert!(text(&ended).ends_with("All checks passed."), "{}", text(&ended));
        let requests = server.requests();
        assert_all_verified(&requests);
        let mut expected =
            vec!["initialize", "notifications/initialized", "server/discover", "tools/list"];
        expected.extend(sessions.then_some("DELETE"));
        assert_eq!(labels(&requests), expected, "one session, and it is ended");
    }
}

#[test]
fn a_wrong_secret_is_distinguished_from_a_changed_request() {
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server.url("/mcp"), &sts())
        .env("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-this-key")
        .run("");
    assert_eq!(ended.code, Some(1));
    assert_check(
        &ended,
        "identity",
        "fail",
        &["InvalidClientTokenId", "fix: check the access key"],
    );
    let words = &[
        "InvalidSignatureException",
        "fix: configure the access key ID and the secret access key again",
    ];
    assert_check(&ended, "initialize", "fail", words);
    assert_check(&ended, "tools", "skip", &["initialize failed"]);

    // The effect of a gateway that rewrites the path.
    let canonical = |path: &str| {
        format!(
            "no match\n\nThe Canonical String for this request should have been\n'POST\n{path}\n\nhost:x\n\nhost\nh'\n\n\
             The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20300101T000000Z\ns\nh'\n"
        )
    };
    let error = Reply::aws_error(403, "InvalidSignatureException", &canonical("/stage/mcp"));
    server.script(vec![error.clone(), error]);
    let ended = launch(&server.url("/mcp"), &sts()).run("");
    let words = &[
        "differs in line 2, the path: signed \"/mcp\", AWS received \"/stage/mcp\"",
        "fix: find what changes the request",
    ];
    assert_check(&ended, "initialize", "fail", words);
    assert!(ended.log.is_empty() || !ended.log.contains("ERROR"), "{}", ended.log);
}

#[test]
fn a_wrong_service_names_the_flag() {
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server.url("/mcp"), &sts()).arg("--service-name=lambda").run("");
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    let words = &[
        "scoped to correct service: 'execute-api'",
        "fix: set --service-name execute-api: the request was signed for service lambda",
    ];
    assert_check(&ended, "initialize", "fail", words);
}

#[test]
fn an_error_that_the_proxy_recovers_from_is_a_warning() {
    let server = Server::start(ServerOptions::default());
    let throttled = || Reply::aws_error(429, "ThrottlingException", "Rate exceeded");
    server.script(vec![throttled(), throttled()]);
    let ended = launch(&server.url("/mcp"), &sts()).run("");
    assert_check(&ended, "initialize", "warn", &["HTTP 429 ThrottlingException: Rate exceeded"]);
    server.script(vec![throttled(), throttled()]);
    let ended = launch(&server.url("/mcp"), &sts()).arg("--retries=0").run("");
    assert_eq!(ended.code, Some(1));
    assert_check(&ended, "initialize", "fail", &["HTTP 429", "fix: too many requests at once"]);
}

#[test]
fn a_wrong_region_names_the_flag() {
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server.url("/mcp"), &sts()).arg("--region=eu-west-1").run("");
    assert_eq!(ended.code, Some(1));
    let words = &[
        "scoped to a valid region",
        "set --region to the region of the server: the request was signed for region eu-west-1",
    ];
    assert_check(&ended, "initialize", "fail", words);
}

#[test]
fn a_clock_that_is_off() {
    for (minutes, verdict, words, code) in [
        (17, "fail", "1020 s behind", 1),
        (-17, "fail", "1020 s ahead of", 1),
        (2, "warn", "120 s behind", 0),
    ] {
        let clock_ahead = time::Duration::minutes(minutes);
        let server = Server::start(ServerOptions { clock_ahead, ..ServerOptions::default() });
        let ended = launch(&server.url("/mcp"), &sts()).run("");
        assert_eq!(ended.code, Some(code), "{}", text(&ended));
        let (found, shown) = check(&ended, "clock");
        assert_eq!(found, verdict, "{shown}");
        // `Date` has whole seconds, and one may pass between two readings of the clock.
        let near = ["19 s", "20 s", "21 s"].map(|seconds| words.replace("20 s", seconds));
        assert!(near.iter().any(|words| shown.contains(words.as_str())), "{shown}");
        assert!(shown.contains("fix: sync it with NTP"), "{shown}");
        assert_check(&ended, "tools", "pass", &[]);
    }
}

#[test]
fn the_fix_for_an_expired_token_is_to_renew_it() {
    let token = "the-session-token-of-the-test";
    let key = Key::new(KEY_ID, SECRET).with_token(token);
    let server = Server::start(ServerOptions { keys: vec![key], ..ServerOptions::default() });
    let expired = || {
        let text = "The security token included in the request is expired";
        Reply::aws_error(403, "ExpiredTokenException", text)
    };
    server.script(vec![expired(), expired(), expired()]);
    let ended = launch(&server.url("/mcp"), &sts()).env("AWS_SESSION_TOKEN", token).run("");
    assert_eq!(ended.code, Some(1));
    let words = &["ExpiredTokenException", "fix: renew the session token", "aws sso login"];
    assert_check(&ended, "initialize", "fail", words);
}

#[test]
fn the_way_to_the_server() {
    let sts = sts();
    // Nothing listens.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let ended = launch(&format!("http://127.0.0.1:{port}/mcp"), &sts).run("");
    assert_eq!(ended.code, Some(1));
    let words = &[
        &format!("connect to 127.0.0.1:{port}: connection refused")[..],
        "fix: check that the server is running",
    ];
    assert_check(&ended, "TCP", "fail", words);
    assert!(!text(&ended).contains("os error"), "{}", text(&ended));
    for name in ["TLS", "clock", "initialize", "server", "tools", "latency"] {
        assert_check(&ended, name, "skip", &["the server is unreachable"]);
    }
    // The host does not exist.
    let ended = launch("https://mcp.invalid/", &sts).run("");
    let words = &["lookup mcp.invalid: no such host", "fix: check the URL, DNS"];
    assert_check(&ended, "DNS", "fail", words);
    assert_check(&ended, "initialize", "skip", &["the host was not found"]);

    // It is not the server that is dead, but the proxy.
    let through = |proxy: &str| {
        launch("https://mcp.example/", &sts)
            .env("HTTPS_PROXY", proxy)
            .env("NO_PROXY", "127.0.0.1")
            .run("")
    };
    let ended = through(&format!("http://127.0.0.1:{port}"));
    let words = &[
        &format!("connect to 127.0.0.1:{port} (the proxy): connection refused")[..],
        "fix: check HTTPS_PROXY",
    ];
    assert_check(&ended, "TCP", "fail", words);
    let ended = through("http://no-such-proxy.invalid:3128");
    let words = &["lookup no-such-proxy.invalid:3128 (the proxy)", "fix: check HTTPS_PROXY"];
    assert_check(&ended, "DNS", "fail", words);
    let ended = through("socks5://127.0.0.1:9");
    assert_eq!(ended.code, Some(1));
    let words = &["HTTPS_PROXY: socks5 is not supported", "fix: use an http:// proxy"];
    assert_check(&ended, "proxy", "fail", words);
    assert_check(&ended, "TCP", "skip", &["the proxy cannot be used"]);
}

#[test]
fn an_untrusted_certificate_names_its_issuer_and_what_trusts_it() {
    let sts = sts();
    let authority = crate::http::tls::authority("doctor CA");
    let server = TlsServer::start(&authority.sign(&localhost()));
    let ended = launch(&server.url(), &sts).run("");
    assert_eq!(ended.code, Some(1));
    let words = &[
        "UnknownIssuer",
        "issued by doctor CA",
        "fix: if the network inspects TLS",
        "--ca-bundle",
    ];
    assert_check(&ended, "TLS", "fail", words);
    assert_check(&ended, "initialize", "skip", &["no TLS connection"]);
    assert_eq!(server.requests(), 0);

    let trusting =
        |url: &str| launch(url, &sts).arg("--ca-bundle").arg(authority.pem.to_str().unwrap());
    let ended = trusting(&server.url()).run("");
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    let words = &["TLSv1_3", "certificate until ", "doctor CA", "a private authority"];
    assert_check(&ended, "TLS", "pass", words);
    assert_check(&ended, "server", "pass", &["over TLS 1, MCP 2025-11-25"]);
    assert_check(&ended, "tools", "skip", &["the server offers no tools"]);

    let mut soon = localhost();
    let tomorrow = clock::now() + time::Duration::days(2);
    soon.not_after = rcgen::date_time_ymd(tomorrow.year(), tomorrow.month().into(), tomorrow.day());
    let ends_soon = TlsServer::start(&authority.sign(&soon));
    let ended = trusting(&ends_soon.url()).run("");
    assert_check(&ended, "TLS", "warn", &["fix: renew the server's certificate"]);

    // Through a proxy it is the proxy that is looked up and connected to.
    let (proxy, asked) = connect_proxy(server.port);
    let through = trusting("https://mcp.example/mcp")
        .env("HTTPS_PROXY", &format!("http://user:pass@127.0.0.1:{proxy}"));
    let ended = through.run("");
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    let words = [&format!("127.0.0.1:{proxy}")[..], "with user name and password"];
    assert_check(&ended, "proxy", "pass", &words);
    assert_check(&ended, "TCP", "pass", &["(the proxy)"]);
    assert_check(&ended, "TLS", "pass", &["doctor CA"]);
    assert!(!text(&ended).contains("user:pass"));
    assert!(asked.lock().unwrap().iter().all(|head| head.starts_with("CONNECT mcp.example:443")));
}

#[test]
fn a_named_file_that_is_absent_is_reported_though_other_keys_are_found() {
    let (server, sts) = (Server::start(ServerOptions::default()), sts());
    for variable in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        let ended = launch(&server.url("/mcp"), &sts).env(variable, "/nowhere/file").run("");
        let why = not_found("/nowhere/file");
        let words = format!("warning: {variable}: /nowhere/file: {why}");
        assert_check(&ended, "credentials", "warn", &["key AKIA****MPLE", &words]);
        assert_eq!(ended.code, Some(0));
    }
}

#[test]
fn missing_settings_are_reported_and_the_other_checks_run() {
    let sts = sts();
    // Without URL and service the credentials are checked nevertheless.
    let ended = Launch::bare(&["doctor"])
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL_STS", &sts.url)
        .run("");
    assert_eq!(ended.code, Some(1));
    let words = &[
        "target URL is required\n",
        "why: sigv4-proxy only starts with a valid configuration",
        "fix: set MCP_TARGET_URL or --target-url",
    ];
    assert_check(&ended, "configuration", "fail", words);
    assert_check(&ended, "identity", "pass", &[IDENTITY]);
    assert_check(&ended, "DNS", "skip", &["the configuration is incomplete"]);
    assert_check(&ended, "initialize", "skip", &["the configuration is incomplete"]);

    // Without credentials the connection to the server is checked nevertheless.
    let server = Server::start(ServerOptions::default());
    let home = Home::new("doctor-nothing");
    let config = "[default]\noutput = json\n[profile work]\nregion = eu-west-1\n";
    home.write(".aws/config", config);
    let ended = Launch::bare(&["doctor", &server.url("/mcp"), "--region=us-east-1"])
        .arg("--service-name=execute-api")
        .env("HOME", home.0.to_str().unwrap())
        .run("");
    assert_eq!(ended.code, Some(1));
    let words = &[
        "no AWS credentials found",
        "environment variables: AWS_ACCESS_KEY_ID is not set",
        "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "profile default: has no credentials (profiles: default, work)",
        "container: ",
        "fix: ",
    ];
    assert_check(&ended, "credentials", "fail", words);
    assert_check(&ended, "TCP", "pass", &[]);
    assert_check(&ended, "initialize", "skip", &["no credentials"]);
    assert_eq!(server.requests().len(), 0);

    // A source that exists and does not respond: the sources tried before it are reported.
    home.write(".aws/config", "[profile p]\ncredential_process = /nonexistent/helper\n");
    let ended = launch(&server.url("/mcp"), &sts)
        .arg("--profile=p")
        .env("HOME", home.0.to_str().unwrap())
        .run("");
    let words =
        &["credential_process", "also tried: environment variables: not used with --profile"];
    assert_check(&ended, "credentials", "fail", words);

    // A contradiction.
    let ended = Launch::bare(&["doctor", "https://x.execute-api.eu-west-1.amazonaws.invalid/"])
        .arg("--service-name=iam")
        .env("AWS_REGION", "us-east-1")
        .run("");
    assert_check(&ended, "configuration", "warn", &["warning: the service name iam is for IAM"]);
    // What responds in place of STS proves nothing about the key, and the fixes are not those of an MCP server.
    for (status, body, verdict, word) in [
        (404, "not found", "warn", "fix: ignore this if STS is blocked on purpose; "),
        (302, "", "warn", "fix: ignore this if STS is blocked on purpose; "),
        (405, r#"{"__type":"Odd"}"#, "fail", "Odd"),
    ] {
        let answer = json!({"ask": "POST /", "times": "any", "status": status, "answer": body});
        let sts = Aws::start(vec![answer], clock::now());
        let ended = launch(&server.url("/mcp"), &sts).run("");
        assert_check(&ended, "identity", verdict, &[&status.to_string(), word]);
        let (_, text) = check(&ended, "identity");
        assert!(!text.contains("the URL") && !text.contains("--target-url"), "{text}");
    }
    // An unreachable STS is only a warning.
    let ended =
        launch(&server.url("/mcp"), &sts).env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9").run("");
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    let words =
        &["STS is unreachable", "fix: check that the server is running", "; or ignore this"];
    assert_check(&ended, "identity", "warn", words);
}

#[test]
fn the_credentials_of_every_profile_are_checked() {
    let server = Server::start(ServerOptions::default());
    let home = Home::new("doctor-profiles");
    let keys = format!("aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    home.write(".aws/credentials", format!("[good]\n{keys}[other]\n{keys}"));
    home.write(".aws/config", "[profile bad]\ncredential_process = exit 3\n");
    let doctor = |profiles: &[&str]| {
        let service = "--service-name=execute-api";
        let mut launch =
            Launch::bare(&["doctor", &server.url("/mcp"), "--region=us-east-1", service]);
        for profile in profiles {
            launch = launch.arg("--profile").arg(profile);
        }
        let sts = sts();
        launch.env("HOME", home.0.to_str().unwrap()).env("AWS_ENDPOINT_URL_STS", &sts.url).run("")
    };
    let ended = doctor(&["good", "other"]);
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    for line in
        ["profile \"other\": key AKIA****MPLE from profile other", "profile \"other\": arn:aws:iam"]
    {
        assert!(text(&ended).contains(line), "{line}: {}", text(&ended));
    }
    let ended = doctor(&["good", "bad"]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    let line = "fail  credentials    profile \"bad\": failed to load AWS credentials: ";
    assert!(text(&ended).contains(line), "{}", text(&ended));
    assert_check(&ended, "tools", "pass", &[]);
    // A profile that does not exist is reported once, and how to fix it once, even if the region is missing for that reason.
    let ended = doctor(&["good", "godo"]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    assert_eq!(text(&ended).matches("profile \"godo\" could not be found").count(), 1);
    assert_check(&ended, "tools", "pass", &[]);
    let launch = Launch::bare(&["doctor", "https://localhost:1", "--service=s3", "--profile=godo"]);
    let ended = launch.env("HOME", home.0.to_str().unwrap()).run("");
    let fix = "fix: set AWS_REGION or --region, or fix the profile";
    assert_check(&ended, "configuration", "fail", &["region is required, and the profile", fix]);
    assert_check(&ended, "credentials", "fail", &["fix: did you mean good?"]);
    assert_eq!(text(&ended).matches("did you mean").count(), 1, "{}", text(&ended));
}

#[test]
fn values_that_were_probably_not_meant_so_are_shown() {
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server.url("/mcp"), &sts())
        .env("AWS_ACCESS_KEY_ID", "${AWS_ACCESS_KEY_ID}")
        .env("AWS_REGION", "us-east1")
        .run("");
    let region = "warning: AWS_REGION: us-east1 is not an AWS region; did you mean us-east-1?";
    assert_check(&ended, "configuration", "warn", &[region]);
    let key = "AWS_ACCESS_KEY_ID contains a placeholder";
    assert_check(&ended, "credentials", "warn", &["warning: environment: ", key]);
    assert_check(&ended, "initialize", "fail", &[&format!("fix: environment: {key}")]);
}

#[test]
fn servers_of_other_revisions() {
    let sts = sts();
    let old = ServerOptions { mode: Mode::HttpSse, get_stream: true, ..ServerOptions::default() };
    let old = Server::start(old);
    let ended = launch(&old.url("/sse"), &sts).run("");
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert_check(&ended, "tools", "pass", &["listed"]);

    // One that takes no `initialize` any more.
    let new = Server::start(ServerOptions::default());
    let gone =
        r#"{"jsonrpc":"2.0","id":"doctor-1","error":{"code":-32601,"message":"Method not found"}}"#;
    let gone = || crate::harness::messages::json_reply(404, gone);
    for _ in 0..3 {
        new.reply_next("initialize", gone());
    }
    let hello = r#"{"jsonrpc":"2.0","id":"doctor-2","result":{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"new","version":"3"}}}}"#;
    new.reply_next("server/discover", crate::harness::messages::json_reply(200, hello));
    let ended = launch(&new.url("/mcp"), &sts).run("");
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert_check(&ended, "initialize", "pass", &["server/discover (2026-07-28)"]);
    assert_check(
        &ended,
        "server",
        "pass",
        &["new 3, MCP 2026-07-28", "bridge: for clients of MCP before 2026-07-28"],
    );
    assert_check(&ended, "tools", "pass", &["listed"]);
}

/// With `--lazy`, doctor checks the server's response to `initialize`, not the proxy's.
#[test]
fn a_refused_initialize_is_no_success_with_lazy_either() {
    let sts = sts();
    let server = Server::start(ServerOptions::default());
    let lazy = |server: &Server| launch(&server.url("/mcp"), &sts).env("MCP_LAZY", "true").run("");
    assert_eq!(lazy(&server).code, Some(0));
    let refusal = r#"{"jsonrpc":"2.0","id":"doctor-1","error":{"code":-32000,"message":"no"}}"#;
    for _ in 0..2 {
        server.reply_next("initialize", crate::harness::messages::json_reply(200, refusal));
    }
    // A server with the same response to every request.
    let empty = r#"{"jsonrpc":"2.0","id":"doctor-2","result":{}}"#;
    server.reply_next("server/discover", crate::harness::messages::json_reply(200, empty));
    let ended = lazy(&server);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    assert_check(&ended, "initialize", "fail", &["error -32000: no"]);
}

#[test]
fn with_json_the_report_is_one_document() {
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server.url("/mcp"), &sts()).arg("--json").arg("--region=eu-west-1").run("");
    assert_eq!(ended.code, Some(1));
    let report: Value = serde_json::from_str(&text(&ended)).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    let expected = [
        "configuration",
        "credentials",
        "identity",
        "proxy",
        "dns",
        "tcp",
        "tls",
        "clock",
        "initialize",
        "server",
        "tools",
        "latency",
    ];
    assert_eq!(names, expected);
    let initialize = &checks[8];
    assert_eq!(initialize["verdict"], "fail");
    assert!(initialize["fix"].as_str().unwrap().contains("set --region"), "{initialize}");
    // Without the doctor it means nothing.
    let ended = Launch::to(&server.url("/mcp")).arg("--json").run("");
    assert_eq!(ended.code, Some(2));
    assert!(ended.log.contains("--json is only for doctor"), "{}", ended.log);
}
