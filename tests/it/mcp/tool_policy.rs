//! Restrictions and additions of the user: tools, metadata, profiles of calls, `--skip-auth`, `--lazy`.

use crate::credentials::chain::Home;
use crate::harness::messages::{
    assert_all_verified, assert_error, call, json_reply, labels, modern, text_of,
};
use crate::harness::program::{KEY_ID, Launch, PATIENCE, Program, SECRET};
use crate::support::{Key, Mode, Recorded, Reply, Server, ServerOptions, Verdict};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LIST: &str = r#"{"jsonrpc":"2.0","id":"list","method":"tools/list"}"#;

fn server() -> Server {
    Server::start(ServerOptions { sessions: true, ..ServerOptions::default() })
}

fn begun(launch: &Launch) -> Program {
    let mut program = launch.start();
    program.shake_hands();
    program
}

fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("{list}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

fn count(server: &Server, label: &str) -> usize {
    labels(&server.requests()).iter().filter(|known| *known == label).count()
}

#[test]
fn globs_hold_for_lists_and_calls_alike() {
    let server = server();
    let launch = Launch::to(&server.url("/mcp"))
        .arg("--allow-tool=e*")
        .arg("--allow-tool=add")
        .arg("--ignore-tool=?dd");
    let mut program = begun(&launch);
    assert_eq!(names(&program.ask(LIST)), ["echo"]);
    let answer = program.ask(&call("1", "echo", &json!({"text": "x"})));
    assert_eq!(text_of(&answer), "x");
    for (tool, words) in [("add", "--deny-tool ?dd"), ("slow", "blocked by --allow-tool e* add")] {
        let answer = program.ask(&call("2", tool, &json!({})));
        assert_error(&answer, &json!(2), &[tool, words]);
        assert_eq!(answer["error"]["data"]["kind"], "denied");
    }
    // A name that is there twice is read differently by different parsers.
    let answer = program.ask(
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","name":"add"}}"#,
    );
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    let words = answer["error"]["message"].as_str().unwrap();
    assert!(words.contains("params is ambiguous"), "{words}");
    assert_eq!(count(&server, "tools/call"), 1, "denied calls never leave");
    let ended = program.close();
    assert!(!ended.log.contains("ERROR"), "{}", ended.log);
}

#[test]
fn a_batch_cannot_get_around_it() {
    let server = server();
    let mut program = begun(&Launch::to(&server.url("/mcp")).arg("--deny-tool=add"));
    let batch = format!("[{},{}]", call("1", "add", &json!({})), call("2", "echo", &json!({})));
    let answers = program.ask(&batch);
    for (answer, id) in answers.as_array().unwrap().iter().zip(1..=2) {
        assert_error(answer, &json!(id), &["batches cannot be used with"]);
    }
    assert_eq!(count(&server, "tools/call"), 0);
    assert!(labels(&server.requests()).len() <= 3, "{:?}", labels(&server.requests()));
}

/// Nothing is guessed of a tool that is not known.
#[test]
fn read_only_asks_the_server_what_a_tool_does() {
    let server = server();
    let mut program = begun(&Launch::to(&server.url("/mcp")).arg("--read-only"));
    // The client has not listed the tools yet.
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 2})))), "3");
    let answer = program.ask(&call("2", "slow", &json!({})));
    assert_error(&answer, &json!(2), &["slow", "does not mark it as read-only"]);
    assert_eq!(count(&server, "tools/list"), 1, "the list is kept");
    let answer = program.ask(&call("3", "no-such-tool", &json!({})));
    assert_error(&answer, &json!(3), &["no-such-tool"]);
    assert_eq!(names(&program.ask(LIST)), ["add", "echo", "raw"]);
    assert_eq!(count(&server, "tools/call"), 1);
    assert_all_verified(&server.requests());
}

#[test]
fn read_only_reads_every_page_and_both_eras() {
    let server = server();
    let mut program = begun(&Launch::to(&server.url("/mcp")).arg("--read-only"));
    let page = |tools: &str, more: &str| {
        json_reply(
            200,
            &format!(r#"{{"jsonrpc":"2.0","id":"list","result":{{"tools":[{tools}]{more}}}}}"#),
        )
    };
    // Each page that the client requests is changed separately; the cursor stays.
    let one = r#"{"name":"a","annotations":{"readOnlyHint":true},"inputSchema":{}}"#;
    let two = r#"{"name":"b","inputSchema":{}}"#;
    server.reply_next("tools/list", page(&format!("{two}, {one}"), r#","nextCursor":"p2""#));
    program.write(LIST);
    let line = program.read_line();
    assert!(line.contains(&format!(r#"{{"tools":[{one}],"nextCursor":"p2"}}"#)), "{line}");

    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--read-only").start();
    let arguments = |tool: &str| format!(r#""name":"{tool}","arguments":{{"region":"r"}},"#);
    // `region` is on the second page of a server of 2026-07-28, and has no hint.
    let answer = program.ask(&modern(1, "tools/call", &arguments("region")));
    assert_error(&answer, &json!(1), &["region", "--read-only"]);
    let answer =
        program.ask(&modern(2, "tools/call", r#""name":"echo","arguments":{"text":"y"},"#));
    assert_eq!(text_of(&answer), "y");
    assert_eq!(names(&program.ask(&modern(3, "tools/list", ""))), ["add", "echo", "raw"]);
}

#[test]
fn a_list_that_was_asked_for_in_the_session_before_teaches_nothing() {
    let server = server();
    let mut program = begun(&Launch::to(&server.url("/mcp")).arg("--read-only"));
    let list = r#"{"jsonrpc":"2.0","id":"list","result":{"tools":[{"name":"slow","annotations":{"readOnlyHint":true}}]}}"#;
    let late = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{list}",
        list.len()
    );
    let pause = Duration::from_millis(700);
    server.reply_next("tools/list", Reply::RawPieces(vec![(pause, late.into_bytes())]));
    program.write(LIST);
    server
        .wait_for(PATIENCE, |requests| labels(requests).iter().any(|label| label == "tools/list"));
    program.shake_hands();
    assert_eq!(names(&program.read()), ["slow"]);
    let answer = program.ask(&call("2", "slow", &json!({})));
    assert_error(&answer, &json!(2), &["slow", "does not mark it as read-only"]);
    assert_eq!(count(&server, "tools/call"), 0);
}

#[test]
fn a_page_alone_allows_nothing() {
    let server = server();
    let mut program = begun(&Launch::to(&server.url("/mcp")).arg("--read-only"));
    let page = r#"{"jsonrpc":"2.0","id":"list","result":{"tools":[{"name":"slow","annotations":{"readOnlyHint":true}}],"nextCursor":"2"}}"#;
    server.reply_next("tools/list", json_reply(200, page));
    assert_eq!(names(&program.ask(LIST)), ["slow"]);
    let answer = program.ask(&call("2", "slow", &json!({})));
    assert_error(&answer, &json!(2), &["slow", "does not mark it as read-only"]);
    assert_eq!(count(&server, "tools/call"), 0);
}

/// A list that cannot be had is an error and no verdict.
#[test]
fn a_throttled_list_is_no_empty_list() {
    let server = server();
    let launch = Launch::to(&server.url("/mcp")).arg("--read-only").arg("--retries=0");
    let mut program = begun(&launch);
    let throttled = || Reply::aws_error(429, "ThrottlingException", "Rate exceeded");
    server.reply_next("tools/list", throttled());
    let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 2})));
    assert_error(
        &answer,
        &json!(1),
        &["cannot be listed, which --read-only requires", "Rate exceeded"],
    );
    server.reply_next("tools/list", throttled());
    assert_error(&program.ask(LIST), &json!("list"), &["Rate exceeded"]);
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"Too many requests"}}"#;
    server.reply_next("tools/list", json_reply(200, error));
    let answer = program.ask(&call("2", "add", &json!({"a": 1, "b": 2})));
    assert!(answer["error"].is_object(), "{answer}");
    assert_eq!(text_of(&program.ask(&call("3", "add", &json!({"a": 1, "b": 2})))), "3");
}

#[test]
fn changed_tools_are_listed_again() {
    let server = Server::start(ServerOptions {
        sessions: true,
        get_stream: true,
        ..ServerOptions::default()
    });
    let mut program = begun(&Launch::to(&server.url("/mcp")).arg("--read-only"));
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 2})))), "3");
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    let harmful =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add","inputSchema":{}}]}}"#;
    server.reply_next("tools/list", json_reply(200, harmful).clone());
    program.write(&call("2", "add", &json!({"a": 1, "b": 2})));
    // The scripted response has another id than the proxy's request and does not count; the next list does.
    let answer = program.read();
    assert_eq!(answer["id"], 2);
    assert!(count(&server, "tools/list") >= 2, "{:?}", labels(&server.requests()));
}

#[test]
fn metadata_is_added_to_that_of_the_client() {
    let server = server();
    let launch = Launch::to(&server.url("/mcp"))
        .arg("--metadata")
        .arg("team=search")
        .arg("token=from-us")
        .env("AWS_REGION", "eu-central-1");
    let mut program = begun(&launch);
    let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"raw","arguments":{"n":1.10},"_meta":{"token":"mine"}}}"#;
    let sent: Value = serde_json::from_str(text_of(&program.ask(line))).unwrap();
    let meta = json!({"team": "search", "token": "mine", "AWS_REGION": "eu-central-1"});
    assert_eq!(sent["params"]["_meta"], meta);
    program.ask(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#);
    let requests = server.requests();
    assert_all_verified(&requests);
    let of = |label: &str| requests.iter().find(|r| r.label() == label).unwrap().json();
    for label in ["initialize", "ping"] {
        assert_eq!(of(label)["params"]["_meta"]["team"], "search", "{label}");
    }
    assert!(of("notifications/initialized")["params"].is_null());
    // The region to work in is not the one that is signed for.
    let raw = requests.iter().find(|r| r.label() == "tools/call").unwrap();
    assert!(String::from_utf8_lossy(&raw.request.body).contains("1.10"));
    assert!(raw.header("authorization").unwrap().contains("/us-east-1/execute-api/"));

    // The caller may leave the region out, and without the flag nothing is touched.
    let launch =
        Launch::to(&server.url("/mcp")).arg("--metadata=AWS_REGION=").arg("--metadata=a=b");
    let mut program = begun(&launch);
    let sent: Value = serde_json::from_str(text_of(&program.ask(line))).unwrap();
    assert_eq!(sent["params"]["_meta"], json!({"a": "b", "token": "mine"}));
    let mut program = begun(&Launch::to(&server.url("/mcp")));
    assert_eq!(text_of(&program.ask(line)), line);
}

/// Two accounts that share one server.
pub(crate) struct Accounts {
    server: Server,
    home: Home,
}

impl Accounts {
    pub(crate) fn new(name: &str, options: ServerOptions) -> Accounts {
        let keys = vec![
            Key::new("AKIAAAAAAAAAAAAAAAAA", "secret-of-a"),
            Key::new("AKIABBBBBBBBBBBBBBBB", "secret-of-b"),
        ];
        let home = Home::new(name);
        home.write(
            ".aws/config",
            "[profile a]\naws_access_key_id = AKIAAAAAAAAAAAAAAAAA\naws_secret_access_key = secret-of-a\nregion = eu-west-1\n\
             [profile b]\naws_access_key_id = AKIABBBBBBBBBBBBBBBB\naws_secret_access_key = secret-of-b\nregion = ap-south-1\n",
        );
        Accounts { server: Server::start(ServerOptions { keys, ..options }), home }
    }

    pub(crate) fn launch(&self) -> Launch {
        self.launch_with("*")
    }

    fn launch_with(&self, profile_tools: &str) -> Launch {
        Launch::bare(&["--profile", "a", "b", &self.server.url("/mcp"), "--region=us-east-1"])
            .arg("--service-name=execute-api")
            .arg(&format!("--profile-tools={profile_tools}"))
            .env("HOME", self.home.0.to_str().unwrap())
    }

    /// The key and the session that each request of this label was sent with.
    pub(crate) fn sent(&self, label: &str) -> Vec<(char, String)> {
        let requests = self.server.requests();
        assert_all_verified(&requests);
        let of = |request: &Recorded| {
            let key = request.header("authorization").unwrap().contains("Credential=AKIAA");
            let session = request.header("mcp-session-id").unwrap_or("none").to_owned();
            (if key { 'a' } else { 'b' }, session)
        };
        requests.iter().filter(|request| request.label() == label).map(of).collect()
    }
}

#[test]
fn a_call_chooses_its_profile() {
    let options = ServerOptions { sessions: true, ..ServerOptions::default() };
    let accounts = Accounts::new("policies-profiles", options);
    let mut program = begun(&accounts.launch().arg("--metadata=x=y"));
    let list = program.ask(LIST);
    for tool in list["result"]["tools"].as_array().unwrap() {
        let argument = &tool["inputSchema"]["properties"]["aws_profile"];
        assert_eq!(argument["enum"], json!(["a", "b"]), "{tool}");
    }
    let raw = |id: &str, profile: &str| {
        let profile = if profile.is_empty() { json!({}) } else { json!({"aws_profile": profile}) };
        call(id, "raw", &profile)
    };
    for (id, profile) in [("1", ""), ("2", "b"), ("3", "a"), ("4", "b")] {
        let answer = program.ask(&raw(id, profile));
        let sent: Value = serde_json::from_str(text_of(&answer)).unwrap();
        assert_eq!(sent["params"]["arguments"], json!({}), "the argument is ours");
        let region = if profile == "b" { "ap-south-1" } else { "eu-west-1" };
        assert_eq!(sent["params"]["_meta"]["AWS_REGION"], region);
    }
    let [a, b] = ["session-1", "session-2"].map(str::to_owned);
    let calls = [('a', a.clone()), ('b', b.clone()), ('a', a.clone()), ('b', b.clone())];
    assert_eq!(accounts.sent("tools/call"), calls, "each profile has its own session");
    assert_eq!(accounts.sent("initialize").len(), 2);
    assert_eq!(accounts.sent("notifications/initialized"), [('a', a.clone()), ('b', b.clone())]);

    let answer = program.ask(&raw("5", "c"));
    assert_error(&answer, &json!(5), &["unknown profile \"c\"", "use one of: a, b"]);
    assert_eq!(accounts.sent("tools/call").len(), 4);
    let ended = program.close();
    assert_eq!(ended.code, Some(0));
    let mut ended = accounts.sent("DELETE");
    ended.sort();
    assert_eq!(ended, [('a', a), ('b', b)], "both sessions are ended");
}

#[test]
fn questions_and_cancellations_find_their_session() {
    let options = ServerOptions { mode: Mode::Sse, sessions: true, ..ServerOptions::default() };
    let accounts = Accounts::new("policies-questions", options);
    let mut program = begun(&accounts.launch());
    program.write(&call("1", "ask", &json!({"aws_profile": "b"})));
    let question = program.read();
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
    program.write(&answer.to_string());
    let answer = program.read();
    assert!(text_of(&answer).contains("decline"), "{answer}");
    assert_eq!(accounts.sent("response"), [('b', "session-2".to_owned())]);

    program.write(&call("2", "slow", &json!({"aws_profile": "b", "ms": 3000})));
    accounts
        .server
        .wait_for(PATIENCE, |all| all.iter().filter(|r| r.label() == "tools/call").count() == 2);
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    accounts
        .server
        .wait_for(PATIENCE, |all| all.iter().any(|r| r.label() == "notifications/cancelled"));
    assert_eq!(accounts.sent("notifications/cancelled"), [('b', "session-2".to_owned())]);
    program.silent_for(Duration::from_millis(100));
}

/// An event stream with these messages.
fn event_stream(messages: &[Value]) -> Reply {
    let events: Vec<String> = messages.iter().map(|m| format!("data: {m}\n\n")).collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    Reply::Raw([head, &events.concat()].concat().into_bytes())
}

fn question(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"})
}

/// A model may write the argument on any tool, once it has seen it on some.
#[test]
fn the_profile_of_a_call_is_removed_where_the_tool_has_no_such_argument() {
    let accounts = Accounts::new("policies-stray-profile", ServerOptions::default());
    let mut program = begun(&accounts.launch_with("aws___*"));
    let profile = || json!({"aws_profile": "b", "text": "x"});
    let arguments = |program: &mut Program, id: &str| {
        let sent: Value =
            serde_json::from_str(text_of(&program.ask(&call(id, "raw", &profile())))).unwrap();
        sent["params"]["arguments"].clone()
    };
    assert_eq!(arguments(&mut program, "1"), json!({"text": "x"}), "before any list");
    assert!(program.ask(LIST)["result"].is_object());
    assert_eq!(arguments(&mut program, "2"), json!({"text": "x"}));
    // The server's own argument stays, even with a value that is not a profile.
    let schema = json!({"type": "object", "properties": {"aws_profile": {"type": "string"}}});
    let tools = json!([{"name": "raw", "inputSchema": schema}, {"name": "aws___own", "inputSchema": schema}]);
    let list = json!({"jsonrpc": "2.0", "id": 3, "result": {"tools": tools}}).to_string();
    accounts.server.reply_next("tools/list", json_reply(200, &list));
    let listed = program.ask(&LIST.replace("\"list\"", "3"));
    assert_eq!(listed["result"]["tools"], tools);
    assert_eq!(arguments(&mut program, "4"), profile());
    let own = json!({"aws_profile": "not-one-of-ours"});
    program.ask(&call("5", "aws___own", &own));
    let requests = accounts.server.requests();
    assert_eq!(requests.last().unwrap().json()["params"]["arguments"], own);
    assert!(accounts.sent("tools/call").iter().all(|(key, _)| *key == 'a'));
}

fn cancellation(id: u32) -> Value {
    let params = json!({"requestId": id, "reason": "no longer needed"});
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
}

#[test]
fn a_server_of_any_profile_cancels_its_questions() {
    let options = ServerOptions { mode: Mode::Sse, sessions: true, ..ServerOptions::default() };
    let accounts = Accounts::new("policies-cancelled-questions", options);
    let mut program = begun(&accounts.launch());
    // During the handshake they belong to no call: more of them than may wait for the client at a time.
    let asked: Vec<Value> = (0..70).flat_map(|id| [question(id), cancellation(id)]).collect();
    accounts.server.reply_next("initialize", event_stream(&asked));
    program.write(&call("1", "echo", &json!({"text": "x", "aws_profile": "b"})));
    for _ in 0..70 {
        let question = program.read();
        assert_eq!(question["method"], "roots/list", "{question}");
        let cancelled = program.read();
        assert_eq!(cancelled["params"]["requestId"], question["id"], "{cancelled}");
        assert_eq!(cancelled["params"]["reason"], "no longer needed");
    }
    // The handshake without a response is repeated.
    assert_eq!(text_of(&program.read()), "x");
    // During a call, also in a batch; a request unknown to the client is not cancelled.
    let batch = json!([cancellation(8), question(9)]);
    let result = json!({"jsonrpc": "2.0", "id": 2, "result": {"content": []}});
    let messages = [question(7), cancellation(7), question(8), batch, cancellation(77), result];
    accounts.server.reply_next("tools/call", event_stream(&messages));
    program.write(&call("2", "echo", &json!({"text": "x", "aws_profile": "b"})));
    let lines: Vec<Value> = (0..6).map(|_| program.read()).collect();
    assert_eq!(lines[1]["params"]["requestId"], lines[0]["id"]);
    assert_eq!(lines[3]["params"]["requestId"], lines[2]["id"]);
    assert_eq!(lines[4]["method"], "roots/list");
    assert_eq!(lines[5]["id"], 2, "{lines:?}");
}

#[test]
fn a_repeated_question_is_asked_once_for_all_profiles() {
    let options = ServerOptions { mode: Mode::Sse, sessions: true, ..ServerOptions::default() };
    let accounts = Accounts::new("policies-repeated-questions", options);
    let mut program = begun(&accounts.launch());
    for (id, profile) in [("1", "a"), ("2", "b")] {
        let result = json!({"jsonrpc": "2.0", "id": json!(id.parse::<u32>().unwrap()), "result": {"content": []}});
        accounts.server.reply_next("tools/call", event_stream(&[question(7), question(7), result]));
        program.write(&call(id, "echo", &json!({"text": "x", "aws_profile": profile})));
        let (question, answer) = (program.read(), program.read());
        assert_eq!(question["method"], "roots/list", "{question}");
        assert_eq!(answer["id"].to_string(), id, "{answer}");
    }
}

#[test]
fn every_profile_has_its_own_session_over_http_sse() {
    let options =
        ServerOptions { mode: Mode::HttpSse, get_stream: true, ..ServerOptions::default() };
    let accounts = Accounts::new("policies-http-sse", options);
    let mut program = begun(&accounts.launch());
    // The server responds on its latest stream.
    for (id, profile) in [("1", "a"), ("2", "b"), ("3", "b")] {
        let arguments = json!({"text": profile, "aws_profile": profile});
        assert_eq!(text_of(&program.ask(&call(id, "echo", &arguments))), profile);
    }
    let signers = |label| accounts.sent(label).into_iter().map(|(signer, _)| signer);
    assert_eq!(signers("GET").collect::<String>(), "ab", "one stream each");
    assert_eq!(signers("tools/call").collect::<String>(), "abb");
}

#[test]
fn a_call_of_2026_07_28_chooses_its_profile() {
    let accounts = Accounts::new("policies-modern", ServerOptions::default());
    let mut program = accounts.launch().start();
    let answer = program.ask(&modern(
        1,
        "tools/call",
        r#""name":"echo","arguments":{"text":"z","aws_profile":"b"},"#,
    ));
    assert_eq!(text_of(&answer), "z");
    assert_eq!(accounts.sent("tools/call"), [('b', "none".to_owned())]);
    assert_eq!(accounts.sent("initialize"), []);
}

#[test]
fn nothing_is_signed_where_there_is_nothing_to_sign_with() {
    let server = Server::start(ServerOptions { verify: false, ..ServerOptions::default() });
    let bare = |url: &str| {
        Launch::bare(&[url, "--region=us-east-1", "--service-name=execute-api", "--skip-auth"])
    };
    let mut program = begun(&bare(&server.url("/mcp")));
    assert_eq!(text_of(&program.ask(&call("1", "echo", &json!({"text": "x"})))), "x");
    for request in server.requests() {
        for name in ["authorization", "x-amz-date", "x-amz-security-token"] {
            assert_eq!(request.header(name), None);
        }
    }
    let ended = program.close();
    assert!(ended.log.contains("requests are sent unsigned"), "{}", ended.log);

    // With credentials it signs.
    let signed = crate::mcp::tool_policy::server();
    let launch = Launch::to(&signed.url("/mcp")).arg("--skip-auth");
    begun(&launch);
    assert!(signed.requests().iter().all(|request| request.verdict == Verdict::Verified));
    // Credentials that cannot be used are still an error.
    let mut program = bare(&server.url("/mcp")).env("AWS_ACCESS_KEY_ID", KEY_ID).start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_error(&answer, &json!(1), &["AWS_SECRET_ACCESS_KEY is not"]);
    // A refusal of an unsigned request differs from one of a signed request.
    let mut program = bare(&signed.url("/mcp")).start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    let told = ["[not signed]", "there are no usable AWS credentials"];
    assert_error(&answer, &json!(1), &told);
}

#[test]
fn the_client_is_named_unless_that_is_not_wanted() {
    let agents = |arguments: &[&str]| {
        let server = server();
        let launch = arguments.iter().fold(Launch::to(&server.url("/mcp")), |l, a| l.arg(a));
        let mut program = begun(&launch);
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

#[test]
fn a_lazy_session_begins_with_the_first_request_that_needs_it() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).arg("--lazy").start();
    let hello = program.shake_hands();
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(hello["result"]["capabilities"]["tools"]["listChanged"], true);
    program.silent_for(Duration::from_millis(200));
    assert_eq!(server.requests().len(), 0, "nothing is sent yet");

    program.write(LIST);
    let mut told = Vec::new();
    let list = loop {
        let line = program.read();
        if line["id"] == "list" {
            break line;
        }
        told.push(line["method"].as_str().unwrap().to_owned());
    };
    assert_eq!(names(&list).len(), 7);
    let changed = ["tools", "prompts", "resources"];
    assert_eq!(told, changed.map(|list| format!("notifications/{list}/list_changed")));
    let requests = server.requests();
    assert_eq!(labels(&requests), ["initialize", "notifications/initialized", "tools/list"]);
    let initialize = requests[0].json();
    assert_eq!(initialize["params"]["clientInfo"]["name"], "test", "what the client said is sent");
    assert_eq!(requests[2].header("mcp-session-id"), Some("session-1"));
    assert_eq!(text_of(&program.ask(&call("1", "echo", &json!({"text": "x"})))), "x");
    assert_eq!(count(&server, "initialize"), 1);
}

#[test]
fn a_lazy_session_waits_for_server_and_credentials() {
    let server = server();
    let home = Home::new("policies-lazy");
    let mut program = Launch::bare(&[&server.url("/mcp"), "--region=us-east-1", "--lazy"])
        .arg("--service-name=execute-api")
        .env("HOME", home.0.to_str().unwrap())
        .start();
    program.shake_hands();
    assert_error(&program.ask(LIST), &json!("list"), &["no AWS credentials found"]);
    home.write(
        ".aws/credentials",
        format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"),
    );
    // The client need not ask again to learn that there is something now.
    let started = Instant::now();
    assert_eq!(program.read()["method"], "notifications/tools/list_changed");
    assert!(started.elapsed() < Duration::from_secs(15));
    for _ in 0..2 {
        program.read();
    }
    assert_eq!(names(&program.ask(LIST)).len(), 7);

    // A cold start is waited for.
    let service = "bedrock-agentcore";
    let cold = Server::start(ServerOptions { service: service.into(), ..ServerOptions::default() });
    let starting =
        || Reply::aws_error(424, "RuntimeClientError", "Runtime initialization time exceeded.");
    cold.reply_next("initialize", starting());
    let mut program = Launch::to(&cold.url("/mcp"))
        .arg(&format!("--service-name={service}"))
        .env("MCP_WARM", "1")
        .start();
    program.shake_hands();
    program.write(&call("1", "echo", &json!({"text": "warm"})));
    let answer = loop {
        let line = program.read();
        if line["id"] == 1 {
            break line;
        }
    };
    assert_eq!(text_of(&answer), "warm");
    assert_eq!(count(&cold, "initialize"), 2);
}
