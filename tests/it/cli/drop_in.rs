//! Command lines and environments of other proxies, taken as they are (docs/migrating.md).

use sigv4_proxy::aws::runtime_session::RuntimeSession;
use sigv4_proxy::cli::{self, Command, GetStream, Options, ProfileSettings};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::log::Level;
use sigv4_proxy::signing::Algorithm;
use std::ffi::OsString;
use std::time::Duration;

use crate::harness::program::Launch;

const URL: &str = "https://abc.execute-api.us-east-1.amazonaws.com/prod/mcp";
const RUNTIME: &str = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a";
const AWS_MCP: &str = "https://aws-mcp.us-east-1.api.aws/mcp";

fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Options {
    let environment = Environment::from_pairs(environment.iter().copied());
    let arguments = arguments.iter().map(OsString::from);
    match cli::parse(arguments, &environment, |_| Ok(ProfileSettings::default())) {
        Ok(Command::Run(options)) => *options,
        other => panic!("{other:?}"),
    }
}

/// Arguments and variables of another proxy, and a check of their meaning here.
type Case =
    (&'static [&'static str], &'static [(&'static str, &'static str)], fn(&Options) -> bool);

fn working_region(options: &Options) -> Option<&str> {
    options.working_region.as_ref()?.name()
}

fn seconds(time: Option<Duration>) -> u64 {
    time.unwrap_or_default().as_secs()
}

const MCP_PROXY_FOR_AWS: &[Case] = &[
    (&[URL], &[], |o| o.endpoint.to_string() == URL && o.service == "execute-api"),
    (&[URL, "--service", "s3"], &[], |o| o.service == "s3"),
    (&[URL, "--region", "eu-west-1"], &[], |o| o.region == "eu-west-1"),
    (&[URL, "--profile", "a"], &[], |o| o.profile() == Some("a")),
    (&[URL, "--profile", "a", "b", "c"], &[], |o| o.profiles == ["a", "b", "c"]),
    (&["--profile", "a", "b", URL], &[], |o| o.profiles == ["a", "b"] && o.endpoint.is_https()),
    (&[URL], &[("AWS_MCP_PROXY_PROFILES", "a b")], |o| o.profiles == ["a", "b"]),
    (&[URL, "--profile", "a"], &[("AWS_MCP_PROXY_PROFILES", "b c")], |o| o.profiles == ["b", "c"]),
    (&["--profile", "a", "b", "--metadata", "--", URL], &[], |o| o.profiles == ["a", "b"]),
    (&[URL, "--metadata"], &[], |o| o.metadata.is_empty()),
    (&["--metadata", "--read-only", URL], &[], |o| o.metadata.is_empty() && o.read_only),
    (&[URL, "--metadata", "A=1", "--metadata", "B=2"], &[], |o| o.metadata.len() == 2),
    (&[URL, "--metadata", "A=1", "B=x=y"], &[], |o| {
        o.metadata == [("A".into(), "1".into()), ("B".into(), "x=y".into())]
    }),
    (&[URL, "--metadata", "a=", "AWS_REGION="], &[], |o| {
        o.working_region.is_none() && o.metadata == [("a".to_owned(), String::new())]
    }),
    (&[URL, "--metadata", "AWS_REGION=eu-west-1"], &[], |o| {
        o.working_region.is_none() && o.region == "us-east-1" && o.metadata.len() == 1
    }),
    (&[AWS_MCP], &[("AWS_REGION", "eu-west-1")], |o| {
        working_region(o) == Some("eu-west-1") && o.region == "us-east-1"
    }),
    (&[URL], &[("AWS_REGION", "eu-west-1")], |o| o.working_region.is_none()),
    (&[URL, "--metadata"], &[("AWS_REGION", "eu-west-1")], |o| {
        working_region(o) == Some("eu-west-1") && o.metadata.is_empty()
    }),
    (&[URL, "--metadata", "--sig-version=v4a"], &[("AWS_REGION", "*")], |o| {
        working_region(o) == Some("us-east-1")
    }),
    (&[URL, "--metadata="], &[("AWS_REGION", "eu-west-1")], |o| o.working_region.is_none()),
    (&[URL, "--header", "X-A=1", "X-B=a=b"], &[], |o| {
        o.headers
            .iter()
            .map(|h| (h.name.as_str(), h.value.expose()))
            .eq([("X-A", "1"), ("X-B", "a=b")])
    }),
    (&[URL, "--read-only"], &[], |o| o.read_only),
    (&[URL, "--skip-auth"], &[], |o| o.skip_auth),
    (&[URL, "--disable-telemetry"], &[], |o| !o.names_client),
    (&[URL, "--retries", "10"], &[], |o| o.retries == 10),
    (&[URL, "--timeout", "180"], &[], |o| seconds(o.timeout) == 180),
    (&[URL, "--timeout", "180.5"], &[], |o| o.timeout == Some(Duration::from_millis(180_500))),
    (&[URL, "--connect-timeout", "60"], &[], |o| seconds(o.connect_timeout) == 60),
    (&[URL, "--read-timeout", "120"], &[], |o| seconds(o.read_timeout) == 120),
    (&[URL, "--write-timeout", "180"], &[], |o| seconds(o.write_timeout) == 180),
    (&[URL, "--tool-timeout", "300"], &[], |o| seconds(o.tool_timeout) == 300),
    (&[URL, "--log-level", "DEBUG"], &[], |o| o.log_level == Level::Debug),
    (&[URL, "--log-level", "WARNING"], &[], |o| o.log_level == Level::Warn),
    (&[URL, "--log-level", "CRITICAL"], &[], |o| o.log_level == Level::Error),
];

/// As argparse reads them.
const ABBREVIATIONS: &[Case] = &[
    (&["--prof", "a", "b", URL], &[], |o| o.profiles == ["a", "b"]),
    (&["--p", "a", "--", URL], &[], |o| o.profiles == ["a"]),
    (&[URL, "--m", "A=1"], &[], |o| o.metadata.len() == 1),
    (&[URL, "--c=7"], &[], |o| seconds(o.connect_timeout) == 7),
    (&[URL, "--serv", "s3"], &[], |o| o.service == "s3"),
    (&[URL, "--reg", "eu-west-1"], &[], |o| o.region == "eu-west-1"),
    (&[URL, "--reg=eu-west-1"], &[], |o| o.region == "eu-west-1"),
    (&[URL, "--meta", "A=1"], &[], |o| o.metadata.len() == 1),
    (&[URL, "--head", "X-A=1"], &[], |o| o.headers.len() == 1),
    (&[URL, "--read-o"], &[], |o| o.read_only),
    (&[URL, "--skip"], &[], |o| o.skip_auth),
    (&[URL, "--dis"], &[], |o| !o.names_client),
    (&[URL, "--ret", "10"], &[], |o| o.retries == 10),
    (&[URL, "--ti", "7"], &[], |o| seconds(o.timeout) == 7),
    (&[URL, "--conn", "7"], &[], |o| seconds(o.connect_timeout) == 7),
    (&[URL, "--read-t", "7"], &[], |o| seconds(o.read_timeout) == 7),
    (&[URL, "--w", "7"], &[], |o| seconds(o.write_timeout) == 7),
    (&[URL, "--tool", "7"], &[], |o| seconds(o.tool_timeout) == 7),
    (&[URL, "--log", "DEBUG"], &[], |o| o.log_level == Level::Debug),
];

const GO_AWS_MCP_PROXY: &[Case] = &[
    (&[URL, "--lazy-connect"], &[], |o| o.lazy),
    (&[URL, "--allow-empty-tools"], &[], |o| o.ignored == ["--allow-empty-tools"]),
    (&[URL, "--optional-auth"], &[], |o| o.skip_auth),
    (&[URL, "--ca-bundle", "/a.pem"], &[], |o| o.ca_bundle.is_some()),
];

const MCP_PROXY_SIGV4: &[Case] = &[
    (
        &[
            "--endpoint",
            "https://a.example/mcp",
            "--aws-service",
            "execute-api",
            "--aws-region",
            "eu-west-1",
            "--aws-profile",
            "p",
        ],
        &[],
        |o| {
            o.endpoint.to_string() == "https://a.example/mcp"
                && (o.service.as_str(), o.region.as_str()) == ("execute-api", "eu-west-1")
                && o.profile() == Some("p")
        },
    ),
    (&["--endpoint", URL, "--timeout", "30.0"], &[], |o| seconds(o.timeout) == 30),
    (&["--endpoint", URL, "--verbose"], &[], |o| o.log_level == Level::Debug),
];

const ROLE: &str = "arn:aws:iam::123456789012:role/A";

const MCP_AGENTCORE_PROXY: &[Case] = &[
    (
        &[],
        &[
            ("AGENTCORE_AGENT_ARN", RUNTIME),
            ("AGENTCORE_ASSUME_ROLE_ARN", ROLE),
            ("AGENTCORE_ASSUME_ROLE_SESSION_NAME", "me"),
            ("AGENTCORE_CONNECT_TIMEOUT", "10"),
            ("AGENTCORE_READ_TIMEOUT", "300"),
        ],
        |o| {
            o.endpoint.path().contains("runtime%2Fa")
                && o.role.as_ref().is_some_and(|role| role.arn == ROLE)
                && o.role_session_name.as_deref() == Some("me")
                && (seconds(o.connect_timeout), seconds(o.read_timeout)) == (10, 300)
        },
    ),
    (&[URL], &[("RUNTIME_SESSION_MODE", "session")], |o| o.runtime_session == RuntimeSession::Auto),
    (&[URL], &[("RUNTIME_SESSION_MODE", "IDENTITY")], |o| {
        o.runtime_session == RuntimeSession::Identity
    }),
    (&[URL], &[("RUNTIME_SESSION_MODE", "request")], |o| o.runtime_session == RuntimeSession::Off),
    (&[], &[("AGENT_ARN", RUNTIME)], |o| o.service == "bedrock-agentcore"),
    (&[URL], &[("AGENTCORE_AGENT_ARN", RUNTIME)], |o| o.endpoint.to_string() == URL),
];

const GO_ORIGINAL: &[Case] = &[
    (&["--target-url", URL], &[], |o| o.endpoint.to_string() == URL),
    (&["-target-url", URL, "-region=eu-west-1"], &[], |o| o.region == "eu-west-1"),
    (&["-target-url=https://a.example/", "-region", "r-1", "-service-name", "s"], &[], |o| {
        o.service == "s" && o.region == "r-1"
    }),
    (&["-target-url", URL, "-profile", "p"], &[], |o| o.profile() == Some("p")),
    (&["-target-url", URL, "-headers", "A=1,B=2"], &[], |o| o.headers.len() == 2),
    (&["-target-url", URL, "-timeout", "1m30s"], &[], |o| seconds(o.timeout) == 90),
    (&["-target-url", URL, "-sse"], &[], |o| o.sse == GetStream::On),
    (&["-target-url", URL, "-sse=false"], &[], |o| o.sse == GetStream::Off),
    (&["-target-url", URL, "-sig-version", "v4a"], &[], |o| o.algorithm == Algorithm::V4a),
    (
        &[],
        &[
            ("MCP_TARGET_URL", "https://a.example/mcp"),
            ("AWS_REGION", "us-west-2"),
            ("AWS_SERVICE_NAME", "execute-api"),
            ("AWS_SIG_VERSION", "v4a"),
            ("MCP_HEADERS", "A=1"),
            ("MCP_TIMEOUT", "45s"),
            ("MCP_ENABLE_SSE", "true"),
        ],
        |o| {
            o.region == "us-west-2"
                && o.service == "execute-api"
                && o.algorithm == Algorithm::V4a
                && o.headers.len() == 1
                && seconds(o.timeout) == 45
                && o.sse == GetStream::On
        },
    ),
];

const NPM: &[Case] = &[
    // deotio/mcp-sigv4-proxy: the environment alone.
    (
        &[],
        &[
            ("MCP_SERVER_URL", URL),
            ("AWS_SERVICE", "execute-api"),
            ("AWS_PROFILE", "p"),
            ("MCP_TIMEOUT", "180"),
            ("MCP_RETRIES", "2"),
            ("MCP_LOG_LEVEL", "SILENT"),
        ],
        |o| {
            o.endpoint.to_string() == URL
                && o.service == "execute-api"
                && seconds(o.timeout) == 180
                && o.retries == 2
                && o.log_level == Level::Silent
                && o.profiles.is_empty()
        },
    ),
    (&[], &[("MCP_SERVER_URL", URL), ("MCP_WARM", "1")], |o| o.lazy),
    (
        &[],
        &[
            ("MCP_SERVER_URL", URL),
            ("MCP_SIGN_TIMEOUT", "10"),
            ("MCP_WARM_RETRIES", "5"),
            ("MCP_WARM_RETRY_DELAY", "10000"),
            ("MCP_WARM_TIMEOUT", "300000"),
        ],
        |o| o.ignored.len() == 4,
    ),
    // aws-sigv4-mcp-proxy
    (&["--url", URL, "--service", "execute-api"], &[], |o| o.endpoint.to_string() == URL),
    (&["--runtime-arn", RUNTIME, "--qualifier", "v2"], &[], |o| {
        o.endpoint.query() == "qualifier=v2" && o.service == "bedrock-agentcore"
    }),
    (&[URL, "--no-server-stream"], &[], |o| o.sse == GetStream::Off),
    (&[URL, "--protocol-version", "2025-06-18", "--retry-empty-response"], &[], |o| {
        o.ignored == ["--protocol-version", "--retry-empty-response"]
    }),
];

const MCP_REMOTE: &[Case] = &[(
    &[URL, "--header", "x-team: orders", "--allow-http", "--ignore-tool", "delete*"],
    &[],
    |o| o.headers.len() == 1 && o.ignored.is_empty(),
)];

const PEERS: [(&str, &[Case]); 7] = [
    ("mcp-proxy-for-aws", MCP_PROXY_FOR_AWS),
    ("go-aws-mcp-proxy", GO_AWS_MCP_PROXY),
    ("mcp-proxy-sigv4", MCP_PROXY_SIGV4),
    ("mcp-agentcore-proxy", MCP_AGENTCORE_PROXY),
    ("Go", GO_ORIGINAL),
    ("npm", NPM),
    ("mcp-remote", MCP_REMOTE),
];

#[test]
fn flags_of_other_proxies_are_accepted_with_the_same_meaning() {
    for (peer, cases) in PEERS.into_iter().chain([("abbreviated", ABBREVIATIONS)]) {
        for (arguments, environment, means_the_same) in cases {
            let options = read(arguments, environment);
            assert!(means_the_same(&options), "{peer}: {arguments:?} {environment:?}");
        }
    }
}

/// docs/migrating.md names each of these.
#[test]
fn the_page_names_every_flag_and_variable() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migrating.md");
    let page = std::fs::read_to_string(path).unwrap();
    for (arguments, environment, _) in PEERS.iter().flat_map(|(_, cases)| *cases) {
        let flags = arguments.iter().filter(|argument| argument.starts_with('-'));
        let flags = flags.map(|flag| flag.trim_start_matches('-').split('=').next().unwrap());
        for name in flags.chain(environment.iter().map(|(name, _)| *name)) {
            assert!(page.contains(name), "{name}");
        }
    }
}

/// Ignored and abbreviated flags are logged once, at info.
#[test]
fn ignored_and_abbreviated_flags_are_logged() {
    let ended = Launch::bare(&["--serv", "execute-api", "https://localhost:1/", "--reg=us-east-1"])
        .arg("--retry-empty-response")
        .env("MCP_SIGN_TIMEOUT", "10")
        .run("");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for line in [
        "--retry-empty-response has no equivalent here and is ignored",
        "MCP_SIGN_TIMEOUT has no equivalent here and is ignored",
        "--serv is read as --service",
        "--reg is read as --region",
    ] {
        assert_eq!(ended.log.matches(&format!("INFO: {line}")).count(), 1, "{}", ended.log);
    }
}

/// A configuration in which only the command was changed gets an error that names the left-over words.
#[test]
fn words_of_the_old_command_are_named() {
    for (arguments, named) in [
        (&["mcp-proxy-for-aws@latest", URL][..], "mcp-proxy-for-aws@latest"),
        (&["mcp-proxy-for-aws-cli@2.0.0", URL, "--read-only"], "mcp-proxy-for-aws-cli@2.0.0"),
        (&["-y", "@deotio/mcp-sigv4-proxy"], "-y @deotio/mcp-sigv4-proxy"),
        (&["-y", "mcp-remote", URL, "--header", "x-team: orders"], "-y mcp-remote"),
        (&["--from", "mcp-proxy-for-aws", "mcp-proxy-for-aws", URL], "--from mcp-proxy-for-aws"),
        (
            &["run", "-i", "--rm", "-e", "A=hush", "images.example/a/b:latest", URL],
            "run -i --rm -e A=… images.example/a/b:latest:",
        ),
        (
            &["--python", "3.12", "--with", "boto3", "their-proxy", "mcp-remote", URL],
            "--python 3.12 --with boto3 their-proxy mcp-remote:",
        ),
    ] {
        let ended = Launch::bare(arguments).env("MCP_SERVER_URL", URL).run("");
        assert_eq!((ended.code, ended.log.lines().count()), (Some(2), 1), "{}", ended.log);
        let hint = format!("(remove {named}");
        assert!(ended.log.contains(&hint), "{hint}: {}", ended.log);
        assert!(ended.log.ends_with(": it belongs to the old command)\n"), "{}", ended.log);
        assert!(!ended.log.contains("hush"), "{}", ended.log);
    }
}
