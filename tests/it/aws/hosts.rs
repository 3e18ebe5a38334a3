//! Behaviour without flags for each kind of AWS host. The server verifies the signatures.

use crate::credentials::chain::Home;
use crate::harness::messages::{assert_all_verified, assert_error, call, text_of};
use crate::harness::program::{KEY_ID, Launch, Program, SECRET};
use crate::support::{Algorithm, Server, ServerOptions, Verdict};
use serde_json::json;

fn server(service: &str, region: &str, algorithm: Algorithm) -> Server {
    Server::start(ServerOptions {
        service: service.into(),
        region: region.into(),
        algorithms: vec![algorithm],
        ..ServerOptions::default()
    })
}

fn add(program: &mut Program) {
    let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(text_of(&answer), "2");
}

#[test]
fn each_host_is_signed_for_what_it_is() {
    const V4: Algorithm = Algorithm::V4;
    const V4A: Algorithm = Algorithm::V4a;
    for (name, service, region, algorithm) in [
        ("abc.g1.lambda-web.eu-west-1.on.aws/mcp", "lambda", "eu-west-1", V4),
        ("ABC.Lambda-Web.EU-West-1.ON.AWS./mcp", "lambda", "eu-west-1", V4),
        ("abc.lambda-web.us-gov-west-1.on.aws:8443/mcp", "lambda", "us-gov-west-1", V4),
        ("a.lambda-web.cn-north-1.on.amazonwebservices.com.cn/", "lambda", "cn-north-1", V4),
        ("a.lambda-web.eusc-de-east-1.on.amazonwebservices.eu/", "lambda", "eusc-de-east-1", V4),
        ("abc.lambda-web.global.on.aws/mcp", "lambda", "ap-southeast-2", V4A),
        ("a.lambda-web.global.on.amazonwebservices.com.cn/", "lambda", "cn-north-1", V4A),
        ("connect.aidevops.us-east-1.api.aws/mcp", "aidevops", "us-east-1", V4),
        ("aws-mcp.eu-central-1.api.aws/mcp", "aws-mcp", "eu-central-1", V4),
        ("knowledge-mcp.global.api.aws/", "knowledge-mcp", "us-east-1", V4),
        ("docs.global.api.amazonwebservices.com.cn/", "docs", "cn-northwest-1", V4),
    ] {
        let server = server(service, region, algorithm);
        let mut program = Launch::under_name(&server, name).start();
        program.shake_hands();
        add(&mut program);
        assert_eq!(program.close().code, Some(0), "{name}");
        let requests = server.requests();
        assert_all_verified(&requests);
        for request in requests {
            let set = request.header("x-amz-region-set");
            assert_eq!(set, (algorithm == V4A).then_some("*"), "{name}");
            assert_eq!(request.header("expect"), None);
        }
    }
}

/// A tunnel to a multi-region endpoint: the host that is signed for decides, not the one that is connected to.
#[test]
fn the_host_that_is_signed_for_decides() {
    let server = server("lambda", "eu-west-1", Algorithm::V4a);
    let url = server.url("/mcp");
    let mut program = Launch::bare(&[&url, "--sign-host=abc.lambda-web.global.on.aws"])
        .arg("--no-sse")
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .start();
    program.shake_hands();
    drop(program);
    assert_all_verified(&server.requests());
    assert_eq!(server.requests()[0].header("x-amz-region-set"), Some("*"));
}

/// Flag and variable for region sets, and the version that the user chooses, count for more than the host.
#[test]
fn a_multi_region_host_can_be_signed_for_fewer_regions() {
    for (flags, variable, set) in [
        (&["--region=us-*,eu-west-1"][..], "", "us-*,eu-west-1"),
        (&[], "us-east-1", "us-east-1"),
        (&["--sig-version=v4a"], "", "*"),
    ] {
        let server = server("lambda", "us-east-1", Algorithm::V4a);
        let launch = Launch::under_name(&server, "abc.lambda-web.global.on.aws/mcp")
            .env("AWS_REGION", "eu-central-1");
        let launch = match variable {
            "" => launch,
            set => launch.env("AWS_SIGV4A_SIGNING_REGION_SET", set),
        };
        let mut program = flags.iter().fold(launch, |launch, flag| launch.arg(flag)).start();
        program.shake_hands();
        let ended = program.close();
        assert!(!ended.log.contains("WARN: "), "{}", ended.log);
        assert_all_verified(&server.requests());
        assert_eq!(server.requests()[0].header("x-amz-region-set"), Some(set));
    }

    let server = server("lambda", "us-east-1", Algorithm::V4);
    let mut program = Launch::under_name(&server, "abc.lambda-web.global.on.aws/mcp")
        .arg("--sig-version=v4")
        .arg("--region=us-east-1")
        .start();
    program.shake_hands();
    let ended = program.close();
    assert!(ended.log.contains("which accept SigV4a only"), "{}", ended.log);
    assert_all_verified(&server.requests());
}

#[test]
fn the_region_of_a_global_host_is_the_configured_one() {
    for (flags, variable, region) in [
        (&[][..], "", "us-east-1"),
        (&[], "eu-west-3", "eu-west-3"),
        (&["--region=ca-west-1"], "eu-west-3", "ca-west-1"),
    ] {
        let server = server("knowledge-mcp", region, Algorithm::V4);
        let launch = Launch::under_name(&server, "knowledge-mcp.global.api.aws/");
        let launch = match variable {
            "" => launch,
            region => launch.env("AWS_REGION", region),
        };
        let mut program = flags.iter().fold(launch, |launch, flag| launch.arg(flag)).start();
        program.shake_hands();
        drop(program);
        assert_all_verified(&server.requests());
    }
}

/// A program without keys, with the settings of this home.
fn without_keys(server: &Server, name: &str, home: &Home) -> Launch {
    Launch::under_name(server, name)
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .env("HOME", home.0.to_str().unwrap())
        .env("MCP_LOG_LEVEL", "debug")
}

#[test]
fn a_global_host_needs_no_credentials() {
    const BROKEN: &str = "[default]\ncredential_process = /nonexistent/helper\n";
    const EXPIRED: &str = "[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n\
                           [sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x.awsapps.com/start\n";
    let home = Home::new("global-host");
    let open = "knowledge-mcp.global.api.aws/";
    for (name, config, flags, log) in [
        (open, "", &[][..], Some("DEBUG: requests are sent unsigned: no AWS credentials found")),
        (open, EXPIRED, &[], Some("WARN: requests are sent unsigned, which this server accepts")),
        (open, "", &["--no-skip-auth"], None),
        (open, BROKEN, &[], Some("WARN: requests are sent unsigned, which this server accepts")),
        (open, BROKEN, &["--no-skip-auth"], None),
        // An identity that is named is meant.
        (open, BROKEN, &["--profile=default"], None),
        (open, "", &["--role-arn=arn:aws:iam::123456789012:role/r"], Some("sent unsigned: no AWS")),
        ("aws-mcp.us-east-1.api.aws/", "", &[], None),
        ("abc.lambda-web.global.on.aws/", "", &[], None),
    ] {
        let server = Server::start(ServerOptions { verify: false, ..ServerOptions::default() });
        home.write(".aws/config", config);
        let launch = without_keys(&server, name, &home);
        let mut program = flags.iter().fold(launch, |launch, flag| launch.arg(flag)).start();
        let Some(expected) = log else {
            let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
            let answer = program.ask(initialize);
            assert_error(&answer, &json!(1), &["failed to load AWS credentials"]);
            assert_eq!(server.requests().len(), 0, "{name} {flags:?}");
            continue;
        };
        program.shake_hands();
        add(&mut program);
        let ended = program.close();
        assert_eq!(ended.log.matches(expected).count(), 1, "{flags:?}: {}", ended.log);
        for request in server.requests() {
            assert_eq!(request.verdict, Verdict::Unchecked);
            assert_eq!(request.header("authorization"), None, "{flags:?}");
        }
    }
}

#[test]
fn vpc_lattice_is_never_sent_a_signed_body() {
    for (algorithm, flags) in [
        (Algorithm::V4, &[][..]),
        (Algorithm::V4a, &["--sig-version=v4a"]),
        (Algorithm::V4, &["--unsigned-payload"]),
    ] {
        let server = server("vpc-lattice-svcs", "us-west-2", algorithm);
        let name = "orders-0a.7d67968.vpc-lattice-svcs.us-west-2.on.aws/mcp";
        let launch = Launch::under_name(&server, name);
        let mut program = flags.iter().fold(launch, |launch, flag| launch.arg(flag)).start();
        program.shake_hands();
        add(&mut program);
        drop(program);
        assert_all_verified(&server.requests());
        for request in server.requests() {
            assert_eq!(request.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        }
    }
}

#[test]
fn vpc_lattice_gets_an_unsigned_payload_and_says_so() {
    let server = Server::start(ServerOptions {
        service: "vpc-lattice-svcs".into(),
        ..ServerOptions::default()
    });
    let mut program = Launch::to(&server.url("/mcp")).arg("--service=vpc-lattice-svcs").start();
    program.shake_hands();
    drop(program);
    let requests = server.requests();
    assert_eq!(requests[0].header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
    assert_all_verified(&requests);
}
