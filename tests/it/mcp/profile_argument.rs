//! Several profiles: the argument `aws_profile`, and a session for each.

use crate::credentials::chain::Home;
use crate::harness::messages::{
    LIST_TOOLS, assert_all_verified, assert_error, call, json_reply, modern, text_of,
};
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::{Key, Mode, Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::Duration;

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
    let mut program = accounts.launch().arg("--metadata=x=y").begin();
    let list = program.ask(LIST_TOOLS);
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
fn a_profile_without_a_region_works_in_that_of_the_environment_or_none() {
    let keys = |name: &str, id: char| {
        let id = id.to_string().repeat(16);
        format!(
            "[profile {name}]\naws_access_key_id = AKIA{id}\naws_secret_access_key = secret-of-{name}\n"
        )
    };
    let accounts = Accounts::new("policies-regions", ServerOptions::default());
    let config = format!("{}region = eu-west-1\n{}", keys("a", 'A'), keys("b", 'B'));
    accounts.home.write(".aws/config", config);
    let regions = |launch: Launch| {
        let mut program = launch.arg("--metadata=x=y").begin();
        ["a", "b"].map(|profile| {
            let answer = program.ask(&call("1", "raw", &json!({"aws_profile": profile})));
            let sent: Value = serde_json::from_str(text_of(&answer)).unwrap();
            sent["params"]["_meta"]["AWS_REGION"].as_str().map(str::to_owned)
        })
    };
    let [west, south] = ["eu-west-1", "ap-south-1"].map(|region| Some(region.to_owned()));
    assert_eq!(regions(accounts.launch()), [west.clone(), None]);
    let launch = accounts.launch().env("AWS_REGION", "ap-south-1");
    assert_eq!(regions(launch), [west.clone(), south]);
    // The first profile decides nothing for the others.
    let launch = accounts.launch().env("AWS_MCP_PROXY_PROFILES", "b a");
    assert_eq!(regions(launch), [west, None]);
}

#[test]
fn questions_and_cancellations_find_their_session() {
    let options = ServerOptions { mode: Mode::Sse, sessions: true, ..ServerOptions::default() };
    let accounts = Accounts::new("policies-questions", options);
    let mut program = accounts.launch().begin();
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
    let mut program = accounts.launch_with("aws___*").begin();
    let profile = || json!({"aws_profile": "b", "text": "x"});
    let arguments = |program: &mut Program, id: &str| {
        let sent: Value =
            serde_json::from_str(text_of(&program.ask(&call(id, "raw", &profile())))).unwrap();
        sent["params"]["arguments"].clone()
    };
    assert_eq!(arguments(&mut program, "1"), json!({"text": "x"}), "before any list");
    assert!(program.ask(LIST_TOOLS)["result"].is_object());
    assert_eq!(arguments(&mut program, "2"), json!({"text": "x"}));
    // The server's own argument stays, even with a value that is not a profile.
    let schema = json!({"type": "object", "properties": {"aws_profile": {"type": "string"}}});
    let tools = json!([{"name": "raw", "inputSchema": schema}, {"name": "aws___own", "inputSchema": schema}]);
    let list = json!({"jsonrpc": "2.0", "id": 3, "result": {"tools": tools}}).to_string();
    accounts.server.reply_next("tools/list", json_reply(200, &list));
    let listed = program.ask(&LIST_TOOLS.replace("\"list\"", "3"));
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
    let mut program = accounts.launch().begin();
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
    let mut program = accounts.launch().begin();
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
    let mut program = accounts.launch().begin();
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
