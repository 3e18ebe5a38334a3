//! `--sign-host`: the URL is the way, another host is named and signed for.

use crate::harness::messages::{assert_all_verified, assert_error};
use crate::harness::program::{KEY_ID, Launch, Program, SECRET};
use crate::http::tls::authority;
use crate::support::tls::TlsServer;
use crate::support::{Mode, Server, ServerOptions};
use rcgen::CertificateParams;
use serde_json::json;

const API: &str = "abc.execute-api.eu-west-1.amazonaws.com";
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A launch with the example key, without service and region.
fn launch(url: &str, flags: &[&str]) -> Launch {
    Launch::bare(&[flags, &[url]].concat())
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
}

fn server(options: ServerOptions) -> Server {
    Server::start(ServerOptions { region: "eu-west-1".into(), sessions: true, ..options })
}

/// Every request of a session, its stream and its end included, has the other host in header and signature.
#[test]
fn requests_name_the_host_that_they_are_signed_for() {
    let options = ServerOptions { get_stream: true, ..ServerOptions::default() };
    for host in [API, "ABC.execute-api.eu-west-1.amazonaws.com:443", &format!("https://{API}/mcp")]
    {
        for flag in ["--sign-host", "--signing-endpoint"] {
            let server = server(options.clone());
            let mut program = launch(&server.url("/mcp"), &[flag, host, "--sse"]).start();
            program.shake_hands();
            server.wait_for(std::time::Duration::from_secs(10), |requests| {
                requests.iter().any(|request| request.label() == "GET")
            });
            assert_eq!(program.ask(PING)["result"], json!({}));
            let ended = program.close();
            let requests = server.requests();
            assert_all_verified(&requests);
            for request in &requests {
                let all: Vec<_> = request.request.all("host").collect();
                assert_eq!(all, [API], "{}", request.label());
            }
            assert!(requests.iter().any(|request| request.label() == "DELETE"));
            assert_eq!(ended.log.matches("WARN").count(), 0, "{}", ended.log);
            let url = server.url("/mcp");
            let reported = format!(
                "signing for execute-api in eu-west-1 with SigV4, relaying to {url} as {API}\n"
            );
            assert!(ended.log.contains(&reported), "{}", ended.log);
        }
    }
}

#[test]
fn a_port_is_part_of_the_host() {
    let server = server(ServerOptions::default());
    let host = format!("{API}:8443");
    let mut program = launch(&server.url("/mcp"), &["--sign-host", &host]).start();
    program.shake_hands();
    assert_eq!(program.ask(PING)["result"], json!({}));
    assert_all_verified(&server.requests());
    assert_eq!(server.requests()[0].header("host"), Some(host.as_str()));
}

#[test]
fn the_other_host_counts_wherever_a_host_decides() {
    // The older transport's second URL.
    let options = ServerOptions { mode: Mode::Sse, ..ServerOptions::default() };
    let server = server(ServerOptions { service: "lambda".into(), ..options });
    let host = "x.lambda-url.eu-west-1.on.aws";
    let flags = ["--sign-host", host, "--service=lambda", "--region=eu-west-1", "--read-only"];
    let mut program = launch(&server.url("/mcp"), &flags).start();
    program.shake_hands();
    assert!(program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#)["result"].is_object());
    assert_all_verified(&server.requests());
    // A flag that contradicts it is warned of by its name.
    let flags = ["--sign-host", API, "--region=us-east-1", "--service=lambda"];
    let ended = launch("https://localhost:1/", &flags).run("");
    for warning in [
        "--region us-east-1 is used; --sign-host names eu-west-1",
        "--service lambda is used; --sign-host belongs to the service execute-api",
    ] {
        assert!(ended.log.contains(&format!("WARN: {warning}\n")), "{}", ended.log);
    }
    let flags = ["--signing-endpoint", "https://abc.execute-api.eu-west-1.amazonaws.com/v1/mcp"];
    let ended = launch("https://localhost:1/mcp", &flags).run("");
    let warning = "WARN: the path of --sign-host is ignored: the path of the URL is signed";
    assert!(ended.log.contains(warning), "{}", ended.log);
    // The URL's own host is allowed.
    let ended = launch(&format!("https://{API}/mcp"), &["--sign-host", API]).run("");
    assert!(ended.log.contains(&format!("relaying to https://{API}/mcp\n")), "{}", ended.log);
}

fn over_tls(names: &[&str], host: &str) -> (TlsServer, Program) {
    // The authority's name is that of its file, and `*` is in no file name of Windows.
    let authority = authority(&format!("sign-host {}", names.join(" ")).replace('*', "any"));
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let server = TlsServer::start(&authority.sign(&CertificateParams::new(names).unwrap()));
    let bundle = authority.pem.to_str().unwrap();
    let flags = ["--sign-host", host, "--ca-bundle", bundle, "--retries=0"];
    let program = launch(&server.url(), &flags).start();
    (server, program)
}

/// Through a tunnel or a CNAME the certificate is AWS's, at a gateway the gateway's.
#[test]
fn the_certificate_may_be_for_either_host_and_the_other_one_is_asked_for() {
    for certificate in [API, "*.execute-api.eu-west-1.amazonaws.com", "localhost"] {
        let (server, mut program) = over_tls(&[certificate], API);
        assert_eq!(program.ask(PING)["result"], json!({}), "{certificate}");
        assert_eq!(server.hosts(), [[API, API].map(str::to_owned)]);
    }
    let (server, mut program) = over_tls(&["mcp.example"], API);
    assert_error(&program.ask(PING), &json!(1), &["not valid for name", API]);
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_host_of_aws_leads_to_no_other_and_http_stays_on_this_machine() {
    for (url, flags, problem) in [
        (
            "https://xyz.execute-api.eu-west-1.amazonaws.com/mcp",
            &["--sign-host", API][..],
            "--sign-host differs from the host of the URL, which is an AWS endpoint",
        ),
        (
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a",
            &["--sign-host", API],
            "--sign-host differs from the host of the URL",
        ),
        ("http://mcp.example.com/mcp", &["--sign-host", API], "target URL must use https"),
        ("http://mcp.example.com/mcp", &["--sign-host", "localhost"], "target URL must use https"),
        (
            "https://localhost/",
            &["--sign-host", "a b"],
            "--sign-host: the host to sign for has an invalid character",
        ),
        ("https://localhost/", &["--sign-host", "https://ann:hush@a/"], "a user name or password"),
    ] {
        let ended = launch(url, flags).run("");
        assert_eq!(ended.code, Some(2), "{}", ended.log);
        assert!(ended.log.contains(problem) && !ended.log.contains("hush"), "{}", ended.log);
    }
    for url in [
        "https://vpce-0a-1b.execute-api.eu-west-1.vpce.amazonaws.com/prod/mcp",
        "https://my-nlb-1234.elb.eu-west-1.amazonaws.com/prod/mcp",
        "https://mcp.example.com/prod/mcp",
    ] {
        let ended = launch(url, &["--sign-host", API]).run("");
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert!(ended.log.contains("signing for execute-api in eu-west-1"), "{}", ended.log);
    }
}
