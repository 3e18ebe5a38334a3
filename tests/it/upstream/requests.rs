//! Requests as the server receives them: unsigned with `--skip-auth`, and their `User-Agent`.

use crate::harness::messages::{assert_all_verified, assert_error, call, text_of};
use crate::harness::program::{KEY_ID, Launch};
use crate::support::{Server, ServerOptions, Verdict};
use serde_json::json;

fn server() -> Server {
    Server::start(ServerOptions { sessions: true, ..ServerOptions::default() })
}

#[test]
fn nothing_is_signed_where_there_is_nothing_to_sign_with() {
    let server = Server::start(ServerOptions { verify: false, ..ServerOptions::default() });
    let bare = |url: &str| {
        Launch::bare(&[url, "--region=us-east-1", "--service-name=execute-api", "--skip-auth"])
    };
    let mut program = bare(&server.url("/mcp")).begin();
    assert_eq!(text_of(&program.ask(&call("1", "echo", &json!({"text": "x"})))), "x");
    for request in server.requests() {
        for name in ["authorization", "x-amz-date", "x-amz-security-token"] {
            assert_eq!(request.header(name), None);
        }
    }
    let ended = program.close();
    assert!(ended.log.contains("requests are sent unsigned"), "{}", ended.log);

    // With credentials it signs.
    let signed = self::server();
    let launch = Launch::to(&signed.url("/mcp")).arg("--skip-auth");
    launch.begin();
    assert!(signed.requests().iter().all(|request| request.verdict == Verdict::Verified));
    // Credentials that cannot be used are still an error.
    let mut program = bare(&server.url("/mcp")).env("AWS_ACCESS_KEY_ID", KEY_ID).start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_error(&answer, &json!(1), &["AWS_SECRET_ACCESS_KEY is not"]);
    // A refusal of an unsigned request differs from one of a signed request.
    let mut program = bare(&signed.url("/mcp")).start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    let reported = ["[not signed]", "there are no usable AWS credentials"];
    assert_error(&answer, &json!(1), &reported);
}

#[test]
fn the_client_is_named_unless_that_is_not_wanted() {
    let agents = |arguments: &[&str]| {
        let server = server();
        let launch = arguments.iter().fold(Launch::to(&server.url("/mcp")), |l, a| l.arg(a));
        let mut program = launch.begin();
        program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        drop(program);
        let requests = server.requests();
        assert_all_verified(&requests);
        let mut agents: Vec<String> =
            requests.iter().map(|r| r.header("user-agent").unwrap().to_owned()).collect();
        agents.dedup();
        agents
    };
    let ours = concat!("sigv4-proxy/", env!("CARGO_PKG_VERSION"));
    assert_eq!(agents(&[]), [format!("{ours} (test/1)")]);
    assert_eq!(agents(&["--disable-telemetry"]), [ours]);
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"new","version":"2"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    program
        .ask(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{meta}}}}}"#));
    let last = server.requests().pop().unwrap();
    assert_eq!(last.header("user-agent"), Some(format!("{ours} (new/2)").as_str()));
}
