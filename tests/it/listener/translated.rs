//! What the program does for a client in addition to relaying: translation, sign-ins, profiles, policies.

use crate::bridge::downward;
use crate::bridge::upward;
use crate::harness::listening::Listening;
use crate::harness::messages::call;
use crate::harness::program::Launch;
use crate::mcp::profile_argument::Accounts;
use crate::prompt::scene::{Scene, TAKES_URLS, add, sum};
use crate::support::{HttpClient, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than an automatic reply takes.
const HUMAN: Duration = Duration::from_millis(1100);

fn event(stream: &mut HttpClient) -> Value {
    let event = stream.event().unwrap().expect("an event");
    serde_json::from_str(&event).unwrap_or_else(|error| panic!("{error}: {event}"))
}

/// A server of 2026-07-28 whose every call has a question.
fn asking_server() -> downward::peer::Peer {
    downward::peer::Peer::modern(r#"{"tools":{}}"#, |arrived| {
        downward::peer::Answer::Result(match arrived.params().get("inputResponses") {
            None => json!({"resultType": "input_required", "inputRequests": {"q": {"method": "roots/list"}}}).to_string(),
            Some(_) => json!({"resultType": "complete", "content": []}).to_string(),
        })
    })
}

/// An older client with these capabilities, after its handshake.
fn older_client(listening: &Listening, capabilities: &str) -> (HttpClient, String) {
    let mut client = listening.client();
    let answer = client.post(&format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"clientInfo":{{"name":"test","version":"1"}}}}}}"#
    ));
    assert_eq!(answer.json()["result"]["protocolVersion"], "2025-11-25", "{answer:?}");
    let session = answer.header("mcp-session-id").expect("a session").to_owned();
    let mut client = client.with("Mcp-Session-Id", &session);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(client.post(initialized).status, 202);
    (client, session)
}

#[test]
fn questions_of_a_newer_server_come_on_the_clients_stream_or_that_of_the_call() {
    let server = asking_server();
    let listening = Listening::open(Launch::to(&server.url()));
    let (client, session) = older_client(&listening, r#"{"roots":{}}"#);
    assert!(session.starts_with("sigv4-proxy-") && session.len() > 40, "{session}");
    let ask = |calling: &mut HttpClient, stream: Option<&mut HttpClient>, id: &str| {
        calling.send("POST", &[], call(id, "x", &json!({})).as_bytes()).unwrap();
        let question = if let Some(stream) = stream {
            event(stream)
        } else {
            assert_eq!(calling.head().unwrap().status, 200);
            event(calling)
        };
        assert_eq!(question["method"], "roots/list", "{question}");
        let response = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}});
        assert_eq!(client.twin().post(&response.to_string()).status, 202);
    };
    let mut calling = client.twin();
    ask(&mut calling, None, "1");
    assert_eq!(event(&mut calling)["result"]["content"], json!([]));
    let mut stream = client.standing_stream();
    let mut calling = client.twin();
    ask(&mut calling, Some(&mut stream), "2");
    let answer = calling.answer().unwrap();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["id"], 2);
    assert_eq!(client.twin().ask("DELETE", &[], b"").unwrap().status, 204);
    assert_eq!(stream.event().unwrap(), None, "the stream ends with the session");
    assert_eq!(client.twin().post(&call("3", "x", &json!({}))).status, 404);
}

/// As behind a gateway that names a session in every response.
#[test]
fn a_session_that_a_newer_server_names_in_its_refusal_is_not_the_clients() {
    for status in [400, 200] {
        let server = downward::peer::Peer::scripted(move |arrived| match &*arrived.label {
            "initialize" => {
                let error = downward::peer::UNSUPPORTED.to_owned();
                downward::peer::Answer::SessionError(status, error)
            }
            "server/discover" => {
                downward::peer::Answer::Result(downward::peer::discovered(r#"{"tools":{}}"#))
            }
            _ => downward::peer::complete(),
        });
        let listening = Listening::open(Launch::to(&server.url()));
        let (first, one) = older_client(&listening, "{}");
        let mut stream = first.standing_stream();
        let (second, other) = older_client(&listening, "{}");
        for id in [&one, &other] {
            assert!(id.starts_with("sigv4-proxy-"), "{status}: {id}");
        }
        assert_ne!(one, other);
        for client in [&first, &second] {
            assert_eq!(client.twin().post(&call("1", "x", &json!({}))).status, 200);
        }
        assert_eq!(first.twin().ask("DELETE", &[], b"").unwrap().status, 204);
        assert_eq!(stream.event().unwrap(), None, "it was open until now");
        assert_eq!(second.twin().post(&call("2", "x", &json!({}))).status, 200);
    }
}

#[test]
fn errors_of_a_newer_server_come_as_an_older_one_sends_them() {
    let server = downward::peer::Peer::modern(r#"{"tools":{}}"#, |arrived| {
        let status = arrived.params()["arguments"]["status"].as_u64().unwrap();
        let error = json!({"code": -32601, "message": "Method not found"});
        downward::peer::Answer::Error(u16::try_from(status).unwrap(), error.to_string())
    });
    let listening = Listening::open(Launch::to(&server.url()));
    let (client, _) = older_client(&listening, "{}");
    for (sent, expected) in [(404, 200), (400, 200), (500, 200), (401, 502), (403, 403)] {
        let answer = client.twin().post(&call("1", "x", &json!({"status": sent})));
        assert_eq!(answer.status, expected, "{sent}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], -32601, "{sent}: {answer:?}");
    }
}

#[test]
fn a_version_that_no_session_has_is_refused_before_a_newer_server() {
    let server = asking_server();
    let listening = Listening::open(Launch::to(&server.url()));
    let (client, _) = older_client(&listening, "{}");
    let ask = |method: &str, version: &str, body: &str| {
        let headers = [("MCP-Protocol-Version", version)];
        client.twin().begin(method, &headers, body.as_bytes()).unwrap().status
    };
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    for version in ["1999-01-01", "2026-07-28", "x", ""] {
        for (method, body) in [("POST", ping), ("POST", changed), ("GET", ""), ("DELETE", "")] {
            assert_eq!(ask(method, version, body), 400, "{method} {version:?} {body}");
        }
    }
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        assert_eq!(ask("POST", version, ping), 200, "{version}");
        assert_eq!(ask("POST", version, changed), 202, "{version}");
        assert_eq!(ask("GET", version, ""), 200, "{version}");
    }
}

#[test]
fn a_newer_client_hears_what_an_older_server_says_between_calls() {
    let server = upward::peer::Peer::start(json!({"tools": {"listChanged": true}}));
    let listening = Listening::open(Launch::to(&server.url()));
    let mut client = listening.client();
    let listen = upward::peer::modern(
        "1",
        "subscriptions/listen",
        r#""notifications":{"toolsListChanged":true},"#,
        "",
    );
    assert_eq!(client.begin("POST", &[], listen.as_bytes()).unwrap().status, 200);
    assert_eq!(event(&mut client)["method"], "notifications/subscriptions/acknowledged");
    server.push(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    assert_eq!(event(&mut client)["method"], "notifications/tools/list_changed");
}

/// A newer client that calls a tool with these members of `_meta`.
fn newer_call(listening: &Listening, id: &str, meta: &str) -> HttpClient {
    let mut client = listening.client();
    let call = upward::peer::modern(id, "tools/call", r#""name":"t","#, meta);
    client.send("POST", &[], call.as_bytes()).unwrap();
    client
}

/// Clients that state the same about themselves share the session with an older server.
#[test]
fn newer_clients_with_one_progress_token_get_their_own_progress() {
    let server = upward::peer::Peer::start(json!({"tools": {}}));
    let listening = Listening::open(Launch::to(&server.url()));
    let token = json!("job/7");
    let meta = format!(r#""progressToken":{token},"#);
    let calls: Vec<_> =
        (0..2).map(|_| (newer_call(&listening, "1", &meta), server.next())).collect();
    let progress = |token: &Value, n: usize| json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": n}});
    // Nothing but the token says whose it is.
    for (n, (_, asked)) in calls.iter().enumerate() {
        server.push(&progress(&asked.progress_token(), n));
    }
    for (n, (mut client, asked)) in calls.into_iter().enumerate() {
        assert_eq!(client.head().unwrap().status, 200);
        assert_eq!(event(&mut client), progress(&token, n));
        asked.result(&json!({}));
        assert_eq!(event(&mut client)["id"], 1);
    }
}

#[test]
fn a_newer_client_gets_log_messages_only_if_it_wants_them() {
    let server = upward::peer::Peer::start(json!({"tools": {}}));
    let listening = Listening::open(Launch::to(&server.url()));
    let meta = r#""io.modelcontextprotocol/logLevel":"debug","#;
    let (mut wanting, asked) = (newer_call(&listening, "1", meta), server.next());
    let (mut quiet, mut other) = (newer_call(&listening, "2", ""), server.next());
    let message = |text: &str| json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "debug", "data": text}});
    server.push(&message("of the session"));
    other.send(&message("of the other call"));
    other.result(&json!({}));
    assert_eq!(quiet.answer().unwrap().json()["id"], 2);
    assert_eq!(wanting.head().unwrap().status, 200);
    assert_eq!(event(&mut wanting), message("of the session"));
    asked.result(&json!({}));
    assert_eq!(event(&mut wanting)["id"], 1);
}

/// Capabilities are those of each request.
#[test]
fn a_newer_client_may_declare_other_capabilities_when_it_answers() {
    let server = upward::peer::Peer::start(json!({"tools": {}}));
    let listening = Listening::open(Launch::to(&server.url()));
    let (mut client, mut asked) = (newer_call(&listening, "1", ""), server.next());
    asked.send(&upward::peer::elicit(70));
    let question = client.answer().unwrap().json();
    let (state, answers) =
        (&question["result"]["requestState"], json!({"q1": {"action": "accept"}}));
    let retry = upward::peer::retry("2", "t", state, &answers).replace("listChanged", "x");
    let mut client = listening.client();
    client.send("POST", &[], retry.as_bytes()).unwrap();
    server.wait_for("response", 1);
    asked.result(&json!({"n": 1}));
    assert_eq!(client.answer().unwrap().json()["result"]["n"], 1);
}

#[test]
fn a_revision_that_is_not_translated_is_a_bad_request() {
    let server = upward::peer::Peer::start(json!({"tools": {}}));
    let listening = Listening::open(Launch::to(&server.url()));
    let call = upward::peer::call("1").replace("2026-07-28", "2099-01-01");
    let answer = listening.client().post(&call);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], -32022);
}

#[test]
fn a_call_that_needs_a_sign_in_shows_the_link_on_its_stream() {
    let scene = Scene::new("listener");
    let listening = Listening::open(scene.launch());
    let (mut client, _) = older_client(&listening, TAKES_URLS);
    let mut calling = client.twin();
    assert_eq!(calling.begin("POST", &[], add(1).as_bytes()).unwrap().status, 200);
    let question = event(&mut calling);
    assert_eq!(
        question["params"]["url"],
        "https://corp.awsapps.com/start/#/device?user_code=CODE-0001"
    );
    std::thread::park_timeout(HUMAN);
    let response = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}});
    assert_eq!(client.post(&response.to_string()).status, 202);
    scene.center.approve();
    let mut result = event(&mut calling);
    while result["method"] != Value::Null {
        result = event(&mut calling);
    }
    assert_eq!(sum(&result), "2");
    assert_eq!(scene.responses(), 0, "the response is not for the server");
    let other = listening.client().post(&add(2)).json();
    assert_eq!(sum(&other), "3", "the credentials are those of all clients");
}

#[test]
fn a_call_without_credentials_is_an_error_that_says_how_to_sign_in() {
    let scene = Scene::new("listener-link");
    let listening = Listening::open(scene.launch().arg("--login=off"));
    let answer = listening.client().post(&add(1));
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(answer.json()["error"]["data"]["kind"], "credentials");
}

#[test]
fn a_call_chooses_its_profile_in_each_clients_session() {
    let accounts = Accounts::new(
        "listener-profiles",
        ServerOptions { sessions: true, ..ServerOptions::default() },
    );
    let listening = Listening::open(accounts.launch());
    for _ in 0..2 {
        let (mut client, _) = older_client(&listening, "{}");
        for (id, profile) in [(1, "a"), (2, "b")] {
            let arguments = json!({"a": id, "b": 1, "aws_profile": profile});
            client.call(id, "add", &arguments);
        }
    }
    let sent = accounts.sent("tools/call");
    assert_eq!(sent.iter().map(|(key, _)| *key).collect::<String>(), "abab");
    let sessions: std::collections::BTreeSet<_> = sent.iter().map(|(_, session)| session).collect();
    assert_eq!(sessions.len(), 4, "one for each client and profile");
}

/// The client goes on in the session of the first profile, whose id it has, and cannot in the other one.
#[cfg(unix)]
#[test]
fn a_session_that_the_client_does_not_know_ends_with_the_process() {
    let accounts = Accounts::new(
        "listener-sessions",
        ServerOptions { sessions: true, ..ServerOptions::default() },
    );
    let listening = Listening::open(accounts.launch());
    let (mut client, _) = older_client(&listening, "{}");
    for (id, profile) in [(1, "a"), (2, "b")] {
        client.call(id, "add", &json!({"a": id, "b": 1, "aws_profile": profile}));
    }
    assert_eq!(listening.end().code, Some(0));
    let keys: Vec<_> = accounts.sent("DELETE").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ['b']);
}

#[test]
fn headers_cannot_call_another_tool_than_the_message() {
    let server = Server::start(ServerOptions::default());
    let listening = Listening::open(Launch::to(&server.url("/mcp")).arg("--deny-tool=delete"));
    let message = call("1", "add", &json!({"a": 1, "b": 2}));
    let ask = |name: &str| {
        let headers = [("Mcp-Method", "tools/call"), ("Mcp-Name", name)];
        listening.client().ask("POST", &headers, message.as_bytes()).unwrap()
    };
    assert_eq!(ask("add").status, 200);
    let refused = ask("delete");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.body).contains("mcp-name differs"), "{refused:?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_tool_that_changes_something_is_refused_under_read_only() {
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let listening = Listening::open(Launch::to(&server.url("/mcp")).arg("--read-only"));
    let (mut client, _) = older_client(&listening, "{}");
    let answer = client.post(&call("1", "nothing", &json!({})));
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.json()["error"]["data"]["kind"], "denied");
    assert!(server.requests().iter().all(|request| request.label() != "tools/call"));
}
