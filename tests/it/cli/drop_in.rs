//! Command lines and environments of other proxies, taken as they are (docs/migrating.md).

use sigv4_proxy::cli::{self, Command, GetStream, Options, ProfileSettings};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::log::Level;
use sigv4_proxy::signing::Algorithm;
use std::ffi::OsString;
use std::time::Duration;

const URL: &str = "https://abc.execute-api.us-east-1.amazonaws.com/prod/mcp";
const AWS_MCP: &str = "https://aws-mcp.us-east-1.api.aws/mcp";

fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Options {
    let environment = Environment::from_pairs(environment.iter().copied());
    let arguments = arguments.iter().map(OsString::from);
    match cli::parse(arguments, &environment, |_| Ok(ProfileSettings::default())) {
        Ok(Command::Run(options)) => *options,
        other => panic!("{other:?}"),
    }
}

/// What other proxies take, and whether it then means here what it means there.
type Case =
    (&'static [&'static str], &'static [(&'static str, &'static str)], fn(&Options) -> bool);

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
        o.working_region.as_deref() == Some("eu-west-1") && o.region == "us-east-1"
    }),
    (&[URL], &[("AWS_REGION", "eu-west-1")], |o| o.working_region.is_none()),
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
    (
        &[
            "--runtime-arn",
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a",
            "--qualifier",
            "v2",
        ],
        &[],
        |o| o.endpoint.query() == "qualifier=v2" && o.service == "bedrock-agentcore",
    ),
    (&[URL, "--no-server-stream"], &[], |o| o.sse == GetStream::Off),
    (&[URL, "--protocol-version", "2025-06-18", "--retry-empty-response"], &[], |o| {
        o.ignored == ["--protocol-version", "--retry-empty-response"]
    }),
];

#[test]
fn what_other_proxies_take_is_taken_and_means_the_same() {
    for (peer, cases) in
        [("mcp-proxy-for-aws", MCP_PROXY_FOR_AWS), ("Go", GO_ORIGINAL), ("npm", NPM)]
    {
        for (arguments, environment, means_the_same) in cases {
            let options = read(arguments, environment);
            assert!(means_the_same(&options), "{peer}: {arguments:?} {environment:?}");
        }
    }
}

/// The page that tells of it names each of these.
#[test]
fn the_page_names_every_flag_and_variable() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migrating.md");
    let page = std::fs::read_to_string(path).unwrap();
    for (arguments, environment, _) in MCP_PROXY_FOR_AWS.iter().chain(GO_ORIGINAL).chain(NPM) {
        let flags = arguments.iter().filter(|argument| argument.starts_with('-'));
        let flags = flags.map(|flag| flag.trim_start_matches('-').split('=').next().unwrap());
        for name in flags.chain(environment.iter().map(|(name, _)| *name)) {
            assert!(page.contains(name), "{name}");
        }
    }
}

/// What means nothing is said once, at info.
#[test]
fn what_means_nothing_is_told() {
    let ended = crate::harness::program::Launch::to("https://localhost:1/")
        .arg("--retry-empty-response")
        .env("MCP_SIGN_TIMEOUT", "10")
        .run("");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for name in ["--retry-empty-response", "MCP_SIGN_TIMEOUT"] {
        let line = format!("INFO: {name} means nothing here and is left out");
        assert_eq!(ended.log.matches(&line).count(), 1, "{}", ended.log);
    }
}
