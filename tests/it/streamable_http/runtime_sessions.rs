//! The runtime session of AgentCore: one micro-VM for all requests of 2026-07-28.

use crate::credentials::chain::Home;
use crate::harness::messages::{assert_all_verified, json_reply, labels, modern};
use crate::harness::program::{KEY_ID, Launch, PATIENCE, Program, SECRET};
use crate::support::aws::Aws;
use crate::support::http::{Connection, Response};
use crate::support::tls::connect_proxy;
use crate::support::{Key, Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use sigv4_proxy::clock;
use std::net::TcpListener;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

const RUNTIME: &str = "http://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fa-1/invocations?qualifier=DEFAULT";
const CANCEL_1: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;

fn server(options: ServerOptions) -> Server {
    Server::start(ServerOptions { service: "bedrock-agentcore".into(), ..options })
}

/// The program for this URL, whose host leads to the server.
fn launch(server: &Server, url: &str) -> Launch {
    launch_to(server.url("").rsplit(':').next().unwrap().parse().unwrap(), url)
}

fn launch_to(port: u16, url: &str) -> Launch {
    let (proxy, _) = connect_proxy(port);
    Launch::bare(&["--allow-http", url, "--region=us-east-1", "--bridge=off"])
        .env("http_proxy", &format!("http://127.0.0.1:{proxy}"))
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
}

fn started() -> (Server, Program) {
    let server = server(ServerOptions::default());
    let program = launch(&server, RUNTIME).start();
    (server, program)
}

/// A JSON response with these additional headers.
fn naming(code: u16, headers: &[(&str, &str)], body: &Value) -> Reply {
    let json = [("Content-Type", "application/json")];
    let headers = json.iter().chain(headers);
    let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Reply::Status { code, headers, body: body.to_string().into_bytes() }
}

fn result(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {}})
}

fn error(id: u32, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// A result in a response that names this session.
fn named(id: u32, session: &str) -> Reply {
    naming(200, &[("Mcp-Session-Id", session)], &result(id))
}

/// A response that names a session and starts after a pause.
fn named_late(id: u32, session: &str, pause: Duration) -> Reply {
    let (body, json) = (result(id).to_string(), "Content-Type: application/json");
    let length = body.len();
    let headers = format!(
        "{json}\r\nMcp-Session-Id: {session}\r\nContent-Length: {length}\r\nConnection: close"
    );
    Reply::RawPieces(vec![(
        pause,
        format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}").into_bytes(),
    )])
}

fn sessions(requests: &[Recorded]) -> Vec<Option<&str>> {
    requests.iter().map(|request| request.header("mcp-session-id")).collect()
}

fn ping(id: u32) -> String {
    modern(id, "ping", "")
}

#[test]
fn the_id_that_a_response_names_goes_with_every_later_request() {
    let server = server(ServerOptions::default());
    let mut program = launch(&server, RUNTIME).env("MCP_LOG_LEVEL", "debug").start();
    server.reply_next("server/discover", named(1, "first-of-the-sessions"));
    let mut lines = vec![program.ask(&modern(1, "server/discover", ""))];
    lines.push(program.ask(&modern(2, "tools/list", "")));
    // Another id takes its place, also that of an error.
    let refusal = error(3, -32602, "no session of ours: first-of-the-sessions");
    let reply = naming(400, &[("Mcp-Session-Id", "second-of-the-sessions")], &refusal);
    server.reply_next("resources/read", reply);
    lines.push(program.ask(&modern(3, "resources/read", r#""uri":"a:b","#)));
    server.reply_next("subscriptions/listen", Reply::Hang);
    program.write(&modern(4, "subscriptions/listen", ""));
    server.wait_for(PATIENCE, |requests| requests.len() == 4);
    // The tools are listed by a request of the program's own.
    lines.push(program.ask(&modern(
        5,
        "tools/call",
        r#""name":"region","arguments":{"region":"x"},"#,
    )));
    let ended = program.close();
    let requests = server.requests();
    let (first, second) = (Some("first-of-the-sessions"), Some("second-of-the-sessions"));
    assert_eq!(
        sessions(&requests),
        [None, first, first, second, second, second, second, second],
        "{:?}",
        labels(&requests)
    );
    assert!(!labels(&requests).contains(&"DELETE".to_owned()));
    assert_all_verified(&requests);
    let signed = requests[1].header("authorization").unwrap();
    assert!(signed.contains("mcp-session-id"), "{signed}");
    let shown = format!("{lines:?}{}", ended.log);
    assert!(!shown.contains("of-the-sessions"), "{shown}");
}

#[test]
fn an_id_goes_back_by_the_header_it_came_with() {
    const RUNTIME_HEADER: &str = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id";
    let large = "x".repeat(1025);
    let largest = "x".repeat(1024);
    for (headers, expected) in [
        (&[("Mcp-Session-Id", "a"), (RUNTIME_HEADER, "b")][..], (Some("a"), None)),
        (&[(RUNTIME_HEADER, "b")], (None, Some("b"))),
        (&[("Mcp-Session-Id", "")], (None, None)),
        (&[("Mcp-Session-Id", "a b")], (None, None)),
        (&[("Mcp-Session-Id", "é"), (RUNTIME_HEADER, "b~!")], (None, Some("b~!"))),
        (&[("Mcp-Session-Id", &large)], (None, None)),
        (&[("Mcp-Session-Id", &largest)], (Some(&largest[..]), None)),
    ] {
        let (server, mut program) = started();
        server.reply_next("ping", naming(200, headers, &result(1)));
        program.ask(&ping(1));
        program.ask(&ping(2));
        let last = &server.requests()[1];
        let sent = (last.header("mcp-session-id"), last.header(RUNTIME_HEADER));
        assert_eq!(sent, expected, "{headers:?}");
    }
    // The same id in the other header is the same session.
    let (server, mut program) = started();
    server.reply_next("ping", named(1, "a"));
    server.reply_next("ping", naming(200, &[(RUNTIME_HEADER, "a")], &result(2)));
    for id in 1..=3 {
        program.ask(&ping(id));
    }
    assert_eq!(sessions(&server.requests()), [None, Some("a"), Some("a")]);
}

#[test]
fn requests_that_come_at_once_start_one_session() {
    let (server, mut program) = started();
    let lists = ["tools/list", "prompts/list", "resources/list"];
    let pause = Duration::from_millis(300);
    server.script(vec![named_late(1, "of-the-first", pause)]);
    for list in lists {
        program.write(&modern(1, list, ""));
    }
    // One that is cancelled while it waits is never sent.
    program.write(&ping(9));
    program.write(&CANCEL_1.replace('1', "9"));
    for _ in lists {
        program.read();
    }
    let requests = server.requests();
    let of_first = Some("of-the-first");
    assert_eq!(sessions(&requests), [None, of_first, of_first]);
    assert!(requests[1].at - requests[0].at >= pause);
    program.silent_for(Duration::from_millis(50));
}

#[test]
fn another_request_leads_after_one_that_failed_or_was_cancelled() {
    let (server, mut program) = started();
    server.reply_next("tools/list", Reply::Late(Duration::from_secs(20)));
    server.reply_next("prompts/list", Reply::aws_error(403, "AccessDeniedException", "no"));
    server.reply_next("resources/list", named(3, "of-the-third"));
    program.write(&modern(1, "tools/list", ""));
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    program.write(&modern(2, "prompts/list", ""));
    program.write(CANCEL_1);
    assert_eq!(program.read()["id"], 2);
    program.ask(&modern(3, "resources/list", ""));
    program.ask(&ping(4));
    assert_eq!(sessions(&server.requests()), [None, None, None, Some("of-the-third")]);
}

#[test]
fn nothing_waits_for_a_server_that_names_no_session() {
    let (server, mut program) = started();
    program.ask(&ping(1));
    server.reply_next("tools/list", Reply::Late(Duration::from_secs(20)));
    program.write(&modern(2, "tools/list", ""));
    server.wait_for(PATIENCE, |requests| requests.len() == 2);
    assert_eq!(program.ask(&ping(3))["id"], 3, "it does not wait for the list");
    server.reply_next("ping", named(4, "later"));
    program.ask(&ping(4));
    program.ask(&ping(5));
    assert_eq!(sessions(&server.requests())[4], Some("later"));
}

#[test]
fn a_session_that_is_gone_is_replaced_once() {
    let gone = |code: i32, text: &str| error(2, code, text);
    for (status, body, is_gone) in [
        (404, json!({"message": "not here"}), true),
        (404, gone(-32000, "?"), true),
        (404, gone(-32601, "Method not found"), false),
        (400, gone(-32000, "Bad Request: Session not found"), true),
        (400, gone(-32001, "?"), true),
        (400, gone(-32602, "Invalid params"), false),
        (400, gone(-32000, "The browser session has expired"), false),
        (200, gone(-30001, "?"), true),
        (200, gone(-32001, "Session not found"), true),
        (200, gone(-32001, "Request timed out"), false),
        (500, json!({"message": "?"}), false),
    ] {
        let (server, mut program) = started();
        server.reply_next("ping", named(1, "old"));
        program.ask(&ping(1));
        server.reply_next("tools/call", naming(status, &[("Mcp-Session-Id", "old")], &body));
        server.reply_next("tools/call", named(2, "new"));
        let answer = program.ask(&modern(2, "tools/call", r#""name":"add","#));
        assert_eq!(answer["error"].is_null(), is_gone, "{status} {body}: {answer}");
        server.forget_script();
        program.ask(&ping(3));
        let expected = if is_gone {
            vec![None, Some("old"), None, Some("new")]
        } else {
            vec![None, Some("old"), Some("old")]
        };
        assert_eq!(sessions(&server.requests()), expected, "{status} {body}");
    }

    // A second refusal is the client's to see.
    let (server, mut program) = started();
    server.reply_next("ping", named(1, "old"));
    program.ask(&ping(1));
    for _ in 0..2 {
        let refusal = gone(-32001, "Session not found");
        server.reply_next("ping", naming(404, &[("Mcp-Session-Id", "refused")], &refusal));
    }
    assert_eq!(program.ask(&ping(2))["error"]["code"], -32001);
    assert_eq!(sessions(&server.requests()), [None, Some("old"), None]);
}

/// A runtime that ends its first session once `count` requests in it are under way. Returns its port and the sessions of the
/// requests that came.
fn ending_its_session(count: usize) -> (u16, Arc<Mutex<Vec<Option<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (all, under_way) =
        (Arc::<Mutex<Vec<Option<String>>>>::default(), Arc::new(Barrier::new(count)));
    let seen = Arc::clone(&all);
    let serve = move |mut connection: Connection| {
        while let Ok(Some(request)) = connection.read_request() {
            let session = request.header("mcp-session-id").map(str::to_owned);
            all.lock().unwrap().push(session.clone());
            let message: Value = serde_json::from_slice(&request.body).unwrap();
            let id = u32::try_from(message["id"].as_u64().unwrap()).unwrap();
            let name = if id == 0 { "old" } else { "new" };
            let response = if session.as_deref() == Some("old") {
                under_way.wait();
                Response::json(404, error(id, -32001, "?").to_string())
            } else {
                Response::json(200, result(id).to_string()).with("mcp-session-id", name)
            };
            connection.respond(&response).unwrap();
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(Connection::new(stream).unwrap()));
        }
    });
    (port, seen)
}

#[test]
fn many_requests_that_find_their_session_gone_begin_one() {
    let (port, seen) = ending_its_session(8);
    let mut program = launch_to(port, RUNTIME).start();
    program.ask(&ping(0));
    for id in 1..=8 {
        program.write(&ping(id));
    }
    for _ in 1..=8 {
        assert!(program.read()["result"].is_object());
    }
    let sent = seen.lock().unwrap();
    let count = |session| sent.iter().filter(|sent| sent.as_deref() == session).count();
    assert_eq!((count(None), count(Some("old")), count(Some("new"))), (2, 8, 7), "{sent:?}");
}

#[test]
fn sessions_of_mcp_and_of_the_runtime_are_two() {
    let server = server(ServerOptions { sessions: true, ..ServerOptions::default() });
    let mut program = launch(&server, RUNTIME).arg("--no-sse").start();
    // The id in a refused `initialize` is not an MCP session.
    for status in [400, 200] {
        let refusal = error(1, -32022, "unsupported");
        let reply = naming(status, &[("Mcp-Session-Id", &format!("of-{status}"))], &refusal);
        server.reply_next("initialize", reply);
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
        assert_eq!(program.ask(initialize)["error"]["code"], -32022);
        server.reply_next("server/discover", json_reply(200, &result(2).to_string()));
        program.ask(&modern(2, "server/discover", ""));
    }
    program.shake_hands();
    program.ask(r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#);
    server.reply_next("ping", json_reply(200, &result(4).to_string()));
    program.ask(&ping(4));
    program.close();
    let requests = server.requests();
    let (of_mcp, of_runtime) = (Some("session-1"), Some("of-200"));
    assert_eq!(
        sessions(&requests),
        [None, Some("of-400"), None, of_runtime, None, of_mcp, of_mcp, of_runtime, of_mcp],
        "{:?}",
        labels(&requests)
    );
}

#[test]
fn only_runtimes_are_routed_by_session() {
    let gateway = "http://gw-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp";
    let own_domain =
        RUNTIME.replace("bedrock-agentcore.us-east-1.amazonaws.com", "mcp.example.com");
    let service = "--service-name=bedrock-agentcore";
    for (url, arguments, expected) in [
        (RUNTIME, &[][..], Some("named")),
        (RUNTIME, &["--runtime-session=off"], None),
        (RUNTIME, &["--header=X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: mine"], None),
        (gateway, &[], None),
        (&own_domain, &[service], Some("named")),
        ("http://mcp.example.com/mcp", &[service], None),
    ] {
        let server = server(ServerOptions::default());
        let launch = arguments.iter().fold(launch(&server, url), |l, argument| l.arg(argument));
        let mut program = launch.start();
        server.reply_next("ping", named(1, "named"));
        program.ask(&ping(1));
        program.ask(&ping(2));
        assert_eq!(sessions(&server.requests()), [None, expected], "{url} {arguments:?}");
    }
}

#[test]
fn every_profile_has_its_own_and_another_account_another() {
    let home = Home::new("runtime-sessions");
    let profile = |name: &str, id: &str, account: &str| {
        format!(
            "[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\naws_account_id = {account}\n"
        )
    };
    let other = "AKIAI44QH8DHBEXAMPLE";
    let write = |of_a: String| {
        home.write(".aws/credentials", of_a + &profile("b", other, "444455556666"));
    };
    write(profile("a", KEY_ID, "111122223333"));
    let server = server(ServerOptions::default());
    server.set_keys(vec![Key::new(KEY_ID, SECRET), Key::new(other, SECRET)]);
    let port = server.url("").rsplit(':').next().unwrap().parse().unwrap();
    let (proxy, _) = connect_proxy(port);
    let mut program = Launch::bare(&["--allow-http", RUNTIME, "--region=us-east-1"])
        .arg("--profile=a")
        .arg("--profile=b")
        .arg("--profile-tools=*")
        .env("http_proxy", &format!("http://127.0.0.1:{proxy}"))
        .env("HOME", home.0.to_str().unwrap())
        .start();
    let call = |id: u32, profile: &str| {
        let arguments = format!(r#""name":"add","arguments":{{"aws_profile":"{profile}"}},"#);
        modern(id, "tools/call", &arguments)
    };
    server.reply_next("tools/call", named(1, "of-a"));
    server.reply_next("tools/call", named(2, "of-b"));
    for (id, profile) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
        program.ask(&call(id, profile));
    }
    assert_eq!(sessions(&server.requests()), [None, None, Some("of-a"), Some("of-b")]);
    // Another length, too: the files of these tests all have one time.
    write(profile("a", other, "444455556666\n"));
    program.ask(&call(5, "a"));
    assert_eq!(sessions(&server.requests())[4], None);
}

#[test]
fn an_id_of_the_users_own_is_sent_from_the_first_request_on_to_any_server() {
    let id = "my-session_0123456789-0123456789-0123456789";
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let mut program = Launch::to(&server.url("/mcp"))
        .arg("--bridge=off")
        .env("MCP_RUNTIME_SESSION", id)
        .env("MCP_LOG_LEVEL", "debug")
        .arg("--no-sse")
        .start();
    // Neither another id nor a refusal changes it.
    server.reply_next("ping", named(1, "another"));
    program.ask(&ping(1));
    let echo = error(2, -32001, &format!("Session {id} not found"));
    server.reply_next("ping", json_reply(404, &echo.to_string()));
    let refused = program.ask(&ping(2));
    assert_eq!(refused["error"]["code"], -32001);
    server.reply_next("ping", json_reply(200, &result(3).to_string()));
    program.ask(&ping(3));
    // A session of MCP is the server's to name.
    program.shake_hands();
    let ended = program.close();
    let requests = server.requests();
    let (own, of_server) = (Some(id), Some("session-1"));
    assert_eq!(sessions(&requests), [own, own, own, None, of_server, of_server]);
    assert!(!format!("{refused}{}", ended.log).contains(id), "{}", ended.log);
}

fn sts(arn: &str) -> Aws {
    let answer = format!(
        "<R><GetCallerIdentityResult><Arn>{arn}</Arn><Account>123456789012</Account></GetCallerIdentityResult></R>"
    );
    let form = json!({"Action": "GetCallerIdentity", "Version": "2011-06-15"});
    let entry =
        json!({"ask": "POST /", "form": form, "times": "any", "answer": answer, "wait_ms": 50});
    Aws::start(vec![entry], clock::now())
}

#[test]
fn processes_of_one_caller_share_the_session_of_their_identity() {
    let asked = |arn: &str| {
        let sts = sts(arn);
        let server = server(ServerOptions::default());
        let mut program = launch(&server, RUNTIME)
            .arg("--runtime-session=identity")
            .env("AWS_ENDPOINT_URL_STS", &sts.url)
            .start();
        for id in 1..=3 {
            program.write(&ping(id));
        }
        for _ in 1..=3 {
            program.read();
        }
        let requests = server.requests();
        let ids = sessions(&requests);
        let id = ids[0].unwrap().to_owned();
        assert_eq!(ids, [Some(&id[..]); 3], "all requests have it");
        assert_eq!(sts.counts(), [1], "STS is asked once");
        id
    };
    let role = "arn:aws:sts::123456789012:assumed-role/Dev";
    let id = asked(&format!("{role}/ada"));
    assert_eq!(id, asked(&format!("{role}/ada")));
    assert_ne!(id, asked(&format!("{role}/bob")));

    // Without STS the session is the one that responses name.
    let server = server(ServerOptions::default());
    let mut program = launch(&server, RUNTIME)
        .arg("--runtime-session=identity")
        .env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
        .start();
    server.reply_next("ping", named(1, "named"));
    program.ask(&ping(1));
    program.ask(&ping(2));
    assert_eq!(sessions(&server.requests()), [None, Some("named")]);
    let log = program.close().log;
    assert_eq!(log.matches("the caller is unknown").count(), 1, "{log}");
}

#[test]
fn a_call_waits_for_sts_until_its_own_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = server(ServerOptions::default());
    let mut program = launch(&server, RUNTIME)
        .arg("--runtime-session=identity")
        .arg("--timeout=1")
        .env("AWS_ENDPOINT_URL_STS", &format!("http://{}", silent.local_addr().unwrap()))
        .start();
    let started = Instant::now();
    let late = program.ask(&ping(1));
    assert_eq!(late["error"]["data"]["kind"], "timed_out", "{late}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}
