//! Cookies of the MCP server, by which load balancers bind a session to one of several servers.

use crate::harness::messages::{assert_all_verified, call};
use crate::harness::program::{Launch, PATIENCE, SECRET};
use crate::support::{Recorded, Reply, Server, ServerOptions};
use serde_json::json;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":2}}}"#;

fn sets(code: u16, cookies: &[&str], body: &str) -> Reply {
    let cookies = cookies.iter().map(|cookie| ("set-cookie".to_owned(), (*cookie).to_owned()));
    let media_type = ("content-type".to_owned(), "application/json".to_owned());
    Reply::Status { code, headers: cookies.chain([media_type]).collect(), body: body.into() }
}

fn result() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}).to_string()
}

/// The cookie header of each request so far.
fn sent(server: &Server) -> Vec<Option<String>> {
    let cookie =
        |recorded: &crate::support::Recorded| recorded.request.header("cookie").map(str::to_owned);
    server.requests().iter().map(cookie).collect()
}

#[test]
fn the_load_balancers_cookie_goes_with_every_later_request_and_is_not_signed() {
    let options = ServerOptions::with_sessions_and_stream();
    let server = Server::start(options);
    let cookie = "AWSALB=Ab+/c9==; Expires=Tue, 01 Jan 2030 00:00:00 GMT; Path=/";
    server.reply_next("notifications/initialized", sets(202, &[cookie], ""));
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    assert!(program.ask(CALL)["result"].is_object());
    let has_get = |requests: &[Recorded]| requests.iter().any(|r| r.request.method == "GET");
    server.wait_for(PATIENCE, has_get);
    program.close();
    let requests = server.requests();
    let later = &requests[2..];
    for method in ["GET", "POST", "DELETE"] {
        assert!(later.iter().any(|recorded| recorded.request.method == method), "{method}");
    }
    for recorded in later {
        assert_eq!(recorded.request.header("cookie"), Some("AWSALB=Ab+/c9=="));
        let authorization = recorded.request.header("authorization").unwrap();
        assert!(!authorization.contains("cookie"), "{authorization}");
    }
    assert_eq!(requests[0].request.header("cookie"), None);
    assert_all_verified(&requests);
}

#[test]
fn a_cookie_is_replaced_and_deleted_also_by_an_error() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    for (code, cookies) in [
        (200, &["a=1; Path=/", "b=2"][..]),
        (200, &["a=3; Path=/; HttpOnly; SameSite=None", "c=4; Path=/elsewhere"]),
        (400, &["a=; Path=/; Max-Age=0", "d=5; Domain=other.example"]),
        (200, &[]),
    ] {
        server.reply_next("tools/call", sets(code, cookies, &result()));
        program.ask(CALL);
    }
    let sent = sent(&server);
    let expected = [None, Some("a=1; b=2"), Some("b=2; a=3"), Some("b=2")];
    assert_eq!(sent[2..], expected.map(|cookies| cookies.map(str::to_owned)));
}

#[test]
fn the_users_own_cookie_wins() {
    let server = Server::start(ServerOptions::default());
    let mut program =
        Launch::to(&server.url("/mcp")).arg("--no-sse").arg("--header=Cookie: mine=1").start();
    program.shake_hands();
    server.reply_next("tools/call", sets(200, &["AWSALB=theirs"], &result()));
    program.ask(CALL);
    program.ask(CALL);
    assert!(sent(&server).iter().all(|cookie| cookie.as_deref() == Some("mine=1")));
}

#[test]
fn no_cookie_is_logged_or_in_an_error_that_repeats_it() {
    let server = Server::start(ServerOptions::default());
    // A stream opened late would be the last request.
    let launch = Launch::to(&server.url("/mcp")).arg("--no-sse");
    let mut program = launch.arg("--log-level=debug").start();
    program.shake_hands();
    let (old, new) = ("OldStickyCookie/01234", "NewStickyCookie/01234");
    for value in [old, new] {
        let cookie = format!("AWSALB={value}; Path=/");
        server.reply_next("tools/call", sets(200, &[&cookie], &result()));
        program.ask(CALL);
    }
    let words = json!({ "message": format!("no target for AWSALB={new}") }).to_string();
    server.reply_next("tools/call", sets(400, &[], &words));
    let answer = program.ask(&call("1", "add", &json!({})));
    let text = answer.to_string();
    assert!(text.contains("no target for AWSALB=…"), "{text}");
    let ended = program.close();
    assert!(!ended.log.contains("StickyCookie"), "{}", ended.log);
    assert_eq!(sent(&server).last().unwrap().as_deref(), Some(&format!("AWSALB={new}")[..]));
}

#[test]
fn each_profile_has_its_own() {
    let home = crate::credentials::chain::Home::new("cookies of profiles");
    let keys = |name| {
        format!("[{name}]\naws_access_key_id = AKIA{name}\naws_secret_access_key = {SECRET}\n")
    };
    home.write(".aws/credentials", keys("one") + &keys("two"));
    let server = Server::start(ServerOptions { verify: false, ..ServerOptions::default() });
    let url = server.url("/mcp");
    let arguments =
        ["--target-url", &url, "--no-sse", "--region=us-east-1", "--service-name=execute-api"];
    let launch = Launch::bare(&arguments).arg("--profile").arg("one").arg("two");
    let mut program = launch.env("HOME", home.0.to_str().unwrap()).start();
    server.reply_next("notifications/initialized", sets(202, &["session=of-one"], ""));
    program.shake_hands();
    for profile in ["one", "two", "one"] {
        program.ask(&call("1", "aws___call_aws", &json!({ "aws_profile": profile })));
    }
    for recorded in server.requests().iter().skip(2) {
        let is_of_one = recorded.header("authorization").unwrap().contains("AKIAone");
        let expected = is_of_one.then_some("session=of-one");
        assert_eq!(recorded.header("cookie"), expected, "{:?}", recorded.header("authorization"));
    }
}
