//! What passes between a client and the server, and how it looks to either.

use crate::credentials::chain::Home;
use crate::harness::listening::Listening;
use crate::harness::messages::{
    assert_all_verified, assert_error, call, json_reply, labels, modern, stream_reply,
};
use crate::harness::program::{KEY_ID, Launch, PATIENCE, SECRET};
use crate::support::{HttpClient, Key, Mode, Recorded, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

const SESSION: &str = "Mcp-Session-Id";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"test","version":"1"}}}"#;

fn with_sessions() -> Server {
    Server::start(ServerOptions::with_sessions_and_stream())
}

/// A client without a session, before a server that has none.
fn begun(server: &Server) -> (Listening, HttpClient) {
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let client = listening.client();
    (listening, client)
}

/// The same before a server of the older transport.
fn begun_with_http_sse() -> (Server, Listening, HttpClient) {
    let options =
        ServerOptions { mode: Mode::HttpSse, get_stream: true, ..ServerOptions::default() };
    let server = Server::start(options);
    let listening = Listening::open(Launch::to(&server.url("/sse")));
    let client = listening.client();
    (server, listening, client)
}

fn last(server: &Server) -> Recorded {
    server.requests().pop().expect("a request has arrived")
}

fn wait_until_closed(server: &Server, connection: u64) {
    let deadline = Instant::now() + PATIENCE;
    while server.is_open(connection) {
        assert!(Instant::now() < deadline, "the request at the server goes on");
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn json_stays_json_and_events_stay_events_byte_for_byte() {
    let server = Server::start(ServerOptions::default());
    let (_listening, mut client) = begun(&server);
    let request = r#"{ "id":1, "jsonrpc":"2.0",  "method":"tools/call","params":{"name":"x","big":12345678901234567890.0} }"#;
    let body = "{ \"jsonrpc\":\"2.0\",\"id\":1,\n \"result\":{\"x\":1.0} }";
    server.reply_next("tools/call", json_reply(200, body));
    let answer = client.post(request);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(String::from_utf8_lossy(&answer.body), body);
    assert_eq!(last(&server).request.body, request.as_bytes());
    let events = "id: 1\ndata: \n\n\
                  event: message\nid: 2\nretry: 1500\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n\
                  :\n\n\
                  event: heartbeat\nid: 3\ndata: not\ndata: JSON\n\n\
                  data: {\"jsonrpc\":\"2.0\",\"id\":1,\ndata:  \"result\":{}}\n\n";
    server.reply_next("tools/call", stream_reply(events));
    let answer = client.post(request);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(String::from_utf8_lossy(&answer.body), events);
}

#[cfg_attr(windows, ignore = "clients that disconnect are not noticed")]
#[test]
fn a_stream_is_open_as_soon_as_the_server_has_opened_it() {
    let server = Server::start(ServerOptions::default());
    let (_listening, mut client) = begun(&server);
    server.reply_next("tools/call", Reply::OpenStream(String::new()));
    let head = client.begin("POST", &[], call("1", "x", &json!({})).as_bytes()).unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    // A client that leaves takes the request with it.
    let connection = last(&server).connection;
    assert!(server.is_open(connection));
    client.vanish();
    wait_until_closed(&server, connection);
}

#[test]
fn a_session_id_for_a_client_without_a_session_is_not_used_for_others() {
    let server = Server::start(ServerOptions::default());
    let (_listening, mut client) = begun(&server);
    let reply = Reply::Status {
        code: 200,
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("mcp-session-id".into(), "unasked".into()),
        ],
        body: br#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_vec(),
    };
    server.reply_next("tools/call", reply);
    assert_eq!(client.post(&call("1", "x", &json!({}))).status, 200);
    assert_eq!(client.call(2, "add", &json!({"a": 1, "b": 2})), "3");
    assert_eq!(last(&server).header("mcp-session-id"), None);
}

/// Clients without a session cannot be distinguished, so one that has many requests of the server takes none from another.
#[test]
fn requests_of_the_server_are_limited_for_a_client_with_a_session() {
    let server = with_sessions();
    let (_listening, mut client) = begun(&server);
    let requests = |count: usize| -> String {
        let one = |id| format!(r#"{{"jsonrpc":"2.0","id":"s-{id}","method":"roots/list"}}"#);
        (0..count).map(|id| format!("data: {}\n\n", one(id))).collect::<Vec<_>>().concat()
    };
    let events = requests(66) + "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    let relayed = |client: &mut HttpClient| {
        server.reply_next("tools/call", stream_reply(&events));
        let answer = client.post(&call("1", "x", &json!({})));
        String::from_utf8_lossy(&answer.body).matches("roots/list").count()
    };
    assert_eq!(relayed(&mut client), 66);
    client.initialize();
    assert_eq!(relayed(&mut client), 64);
    let refusals = |requests: &[Recorded]| -> Vec<Value> {
        let posted = requests.iter().filter(|recorded| recorded.request.method == "POST");
        posted.map(Recorded::json).filter(|body| body["error"].is_object()).collect()
    };
    let requests = server.wait_for(PATIENCE, |requests| refusals(requests).len() == 2);
    for refusal in refusals(&requests) {
        assert_error(&refusal, &refusal["id"], &["too many requests"]);
        assert!(refusal["id"] == "s-64" || refusal["id"] == "s-65", "{refusal}");
    }
}

#[test]
fn headers_of_mcp_pass_in_both_directions_and_others_do_not() {
    let server = Server::start(ServerOptions::default());
    let (_listening, mut client) = begun(&server);
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "=?base64?eA==?="),
        ("Mcp-Param-Place", "Wien"),
        ("Accept", "application/json,text/event-stream;q=0.5"),
        ("Cookie", "theirs=1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Amz-Date", "20000101T000000Z"),
    ];
    let reply = Reply::Status {
        code: 200,
        headers: [
            ("content-type", "application/json"),
            ("mcp-extra", "of the server"),
            ("mcp-extra", "and again"),
            ("x-secret", "of the server"),
            ("set-cookie", "own=1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        body: br#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_vec(),
    };
    server.reply_next("tools/call", reply);
    let message = modern(1, "tools/call", r#""name":"x","#);
    let answer = client.ask("POST", &headers, message.as_bytes()).unwrap();
    assert_eq!(answer.all("mcp-extra").collect::<Vec<_>>(), ["of the server", "and again"]);
    assert_eq!((answer.header("x-secret"), answer.header("set-cookie")), (None, None));
    let sent = last(&server);
    for (name, value) in &headers[..5] {
        assert_eq!(sent.request.all(name).collect::<Vec<_>>(), [*value], "{name}");
    }
    assert_eq!((sent.header("x-forwarded-for"), sent.header("cookie")), (None, None));
    assert_all_verified(&server.requests());
    // What the client leaves out stays out.
    server.reply_next("tools/call", json_reply(200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    let answer = client.ask("POST", &[("Accept", "*/*")], message.as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
    let sent = last(&server);
    assert_eq!(sent.header("accept"), Some("application/json, text/event-stream"));
    assert_eq!((sent.header("mcp-method"), sent.header("mcp-protocol-version")), (None, None));
}

#[test]
fn a_session_is_replaced_without_the_client_noticing() {
    let server = with_sessions();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    let hello = client.initialize();
    let session = hello.header(SESSION).expect("a session").to_owned();
    assert_eq!(last(&server).header(SESSION), Some(&*session));
    server.end_sessions();
    assert_eq!(client.call(1, "add", &json!({"a": 1, "b": 2})), "3");
    let sent = last(&server);
    assert_ne!(sent.header(SESSION), Some(&*session), "another session");
    assert_eq!(client.call(2, "add", &json!({"a": 1, "b": 2})), "3");
    let ended = client.ask("DELETE", &[], b"").unwrap();
    assert_eq!(ended.status, 200);
    assert_eq!(last(&server).header(SESSION), sent.header(SESSION));
    assert_eq!(client.post(&call("3", "add", &json!({}))).status, 404, "it is forgotten");
}

#[test]
fn a_session_from_before_this_process_goes_on_and_an_unknown_one_is_the_servers_404() {
    let server = with_sessions();
    let first = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = first.client();
    client.initialize();
    drop(first);
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut again = listening.client();
    again.headers.extend(client.headers.clone());
    assert_eq!(again.call(1, "add", &json!({"a": 1, "b": 2})), "3");
    for id in ["unknown", "sigv4-proxy-00000000000000000000000000000000"] {
        let headers = [(SESSION, id)];
        let answer = again.ask("POST", &headers, call("7", "add", &json!({})).as_bytes()).unwrap();
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.json()["id"], 7);
    }
}

#[test]
fn every_client_has_a_session_of_its_own() {
    let server = with_sessions();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let (mut one, mut other) = (listening.client(), listening.client());
    let sessions = [&mut one, &mut other].map(|client| {
        let hello = client.initialize();
        hello.header(SESSION).expect("a session").to_owned()
    });
    assert_ne!(sessions[0], sessions[1]);
    for (client, session) in [(&mut one, &sessions[0]), (&mut other, &sessions[1])] {
        client.call(1, "add", &json!({"a": 1, "b": 2}));
        assert_eq!(last(&server).header(SESSION), Some(&**session));
    }
    assert_eq!(one.ask("DELETE", &[], b"").unwrap().status, 200);
    assert_eq!(other.call(2, "add", &json!({"a": 1, "b": 2})), "3");
}

#[test]
fn the_standing_stream_is_the_servers_with_its_ids_its_end_and_its_refusal() {
    let server = with_sessions();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    client.initialize();
    let mut stream = client.standing_stream();
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
    let event = stream.event().unwrap().expect("an event");
    assert_eq!(event, r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
    let text = "id: 8\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n";
    server.reply_next("GET", stream_reply(text));
    let answer = client.ask("GET", &[("Last-Event-ID", "7")], b"").unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.body), text);
    assert_eq!(last(&server).header("last-event-id"), Some("7"));
    let refusal = Reply::Status {
        code: 405,
        headers: vec![("allow".into(), "POST".into())],
        body: b"no".to_vec(),
    };
    server.reply_next("GET", refusal);
    let answer = client.ask("GET", &[], b"").unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(answer.json()["error"]["data"]["source"], "sigv4-proxy");
}

/// As the standard advises servers, a line alone keeps the connection alive.
#[test]
fn a_comment_of_the_server_reaches_the_client_at_once() {
    let server = with_sessions();
    let (_listening, mut client) = begun(&server);
    client.initialize();
    server.reply_next("GET", Reply::OpenStream(": alive\n".to_owned()));
    let mut stream = client.standing_stream();
    assert_eq!(stream.piece().unwrap().as_deref(), Some(&b":\n\n"[..]));
}

#[test]
fn a_stream_that_the_client_resumes_has_the_responses_that_it_missed() {
    let server = with_sessions();
    let result = r#"{ "jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    let error = r#"{"jsonrpc":"2.0","id":"8","error":{"code":-1,"message":"failed"}}"#;
    let tools = r#"{"jsonrpc":"2.0","id":9,"result":{"tools":[{"name":"a"},{"name":"b"}]}}"#;
    let missed = format!("id: 1\ndata: {result}\n\ndata: {error}\n\ndata: {tools}\n\n");
    for (option, expected) in
        [("--retries=0", missed.clone()), ("--deny-tool=b", missed.replace(r#",{"name":"b"}"#, ""))]
    {
        let listening = Listening::open(Launch::to(&server.url("/mcp")).arg(option));
        let mut client = listening.client();
        client.initialize();
        server.reply_next("GET", stream_reply(&missed));
        let answer = client.ask("GET", &[("Last-Event-ID", "0")], b"").unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.body), expected, "{option}");
    }
}

/// The client may have lost its connection without anyone having noticed, so the old stream may be open.
#[test]
fn a_stream_that_the_client_resumes_has_the_requests_that_it_missed() {
    let server = with_sessions();
    let (_listening, mut client) = begun(&server);
    client.initialize();
    let asks = "id: 2\ndata: {\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"roots/list\"}\n\n";
    let stream_of = |headers: &[(&str, &str)]| {
        server.reply_next("GET", stream_reply(asks));
        let answer = client.twin().ask("GET", headers, b"").unwrap();
        String::from_utf8_lossy(&answer.body).into_owned()
    };
    for label in ["GET", "tools/call"] {
        server.reply_next(label, Reply::OpenStream(asks.to_owned()));
        let mut old = client.twin();
        if label == "GET" {
            old.begin("GET", &[], b"").unwrap();
        } else {
            old.begin("POST", &[], call("1", "x", &json!({})).as_bytes()).unwrap();
        }
        assert!(old.event().unwrap().expect("an event").contains("roots/list"));
        assert!(!stream_of(&[]).contains("roots/list"), "the client has it already");
        assert_eq!(stream_of(&[("Last-Event-ID", "1")]), asks, "{label}");
        assert_eq!(stream_of(&[("Last-Event-ID", "1")]), asks, "it is lost again");
    }
}

/// A gateway may name the same session for every client.
#[test]
fn a_refused_initialize_leaves_the_session_that_it_names_to_its_client() {
    let server = with_sessions();
    let (listening, mut client) = begun(&server);
    let hello = client.initialize();
    let session = hello.header(SESSION).expect("a session");
    let mut stream = client.standing_stream();
    for code in [400, 200] {
        let headers = [("content-type", "application/json"), ("mcp-session-id", session)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let body = br#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}}"#.to_vec();
        server.reply_next("initialize", Reply::Status { code, headers, body });
        let refused = listening.client().post(INITIALIZE);
        assert_eq!((refused.status, refused.header(SESSION)), (code, None), "{refused:?}");
        server.push(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
        assert!(stream.event().unwrap().expect("an event").contains("notifications/message"));
    }
}

#[test]
fn a_server_may_ask_before_it_responds_to_initialize() {
    let server = Server::start(ServerOptions {
        mode: Mode::Sse,
        ..ServerOptions::with_sessions_and_stream()
    });
    let (_listening, mut client) = begun(&server);
    server.reply_next("initialize", Reply::AskFirst(Duration::ZERO));
    let head = client.begin("POST", &[], INITIALIZE.as_bytes()).unwrap();
    let session = head.header(SESSION).expect("a session").to_owned();
    let asks: Value = serde_json::from_str(&client.event().unwrap().unwrap()).unwrap();
    let response = json!({"jsonrpc": "2.0", "id": asks["id"], "result": {"roots": []}});
    let mut answering = client.twin().with(SESSION, &session);
    assert_eq!(answering.post(&response.to_string()).status, 202);
    assert!(client.event().unwrap().expect("an event").contains("protocolVersion"));
    assert_eq!(answering.call(1, "add", &json!({"a": 1, "b": 2})), "3");
}

#[test]
fn the_standing_stream_goes_on_in_another_session() {
    let server = with_sessions();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    client.initialize();
    let mut stream = client.standing_stream();
    server.end_sessions();
    client.call(1, "add", &json!({"a": 1, "b": 2}));
    let gets = |requests: &[Recorded]| requests.iter().filter(|r| r.label() == "GET").count();
    let requests = server.wait_for(PATIENCE, |requests| gets(requests) == 2);
    assert_eq!(gets(&requests), 2);
    let first = requests.iter().find(|r| r.label() == "GET").expect("the first").connection;
    wait_until_closed(&server, first);
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
    assert!(stream.event().unwrap().expect("an event").contains("notifications/message"));
}

#[test]
fn failures_are_statuses_with_the_error_that_stdio_has() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--retries=0").arg("--deny-tool=denied");
    let listening = Listening::open(launch);
    let mut client = listening.client();
    let error = |body: &str| json_reply(400, body);
    let own = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;
    let null = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}"#;
    for (reply, status, kind) in [
        (error(own), 400, None),
        (error(null), 400, None),
        (json_reply(200, own), 200, None),
        (json_reply(401, own), 502, None),
        (json_reply(403, own), 403, None),
        (json_reply(404, "nothing"), 404, Some("refused")),
        (json_reply(500, "nothing"), 500, Some("refused")),
        (Reply::aws_error(403, "AccessDeniedException", "no"), 502, Some("refused")),
        (Reply::Close, 502, Some("unreachable")),
        (json_reply(200, "{}"), 502, Some("bad_answer")),
    ] {
        let shown = format!("{reply:?}");
        server.reply_next("tools/call", reply);
        let answer = client.post(&call("1", "x", &json!({})));
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let body = answer.json();
        assert_eq!(
            (&body["id"], &body["error"]["data"]["kind"]),
            (&json!(1), &json!(kind)),
            "{body}"
        );
    }
    let not_a_stream = json_reply(200, "{}");
    server.reply_next("GET", not_a_stream);
    let answer = client.ask("GET", &[], b"").unwrap();
    assert_eq!(answer.status, 502);
    let message = answer.json()["error"]["message"].to_string();
    assert!(
        message.contains("HTTP 200 with application/json instead of an event stream"),
        "{message}"
    );
    let busy = Reply::Status {
        code: 429,
        headers: vec![("retry-after".into(), "100".into())],
        body: b"busy".to_vec(),
    };
    server.reply_next("tools/call", busy);
    let answer = client.post(&call("1", "x", &json!({})));
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("100")));
    for (body, status, code) in [
        ("{oops", 400, -32700),
        (r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
        ("[]", 400, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"denied"}}"#,
            403,
            -32603,
        ),
    ] {
        let before = server.requests().len();
        let answer = client.post(body);
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (status, &json!(code)),
            "{body}"
        );
        assert_eq!(server.requests().len(), before, "nothing is sent");
    }
}

#[cfg_attr(windows, ignore = "a command line takes 32 kB")]
#[test]
fn a_response_that_is_too_large_is_the_servers_fault_and_headers_are_the_clients() {
    let server = Server::start(ServerOptions::default());
    let header = format!("--header=X-Long: {}", "x".repeat(70_000));
    let launch = Launch::to(&server.url("/mcp")).arg("--max-message-bytes=2000").arg(&header);
    let listening = Listening::open(launch);
    let mut client = listening.client();
    let text = "x".repeat(3000);
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":"{text}"}}}}"#);
    for reply in [json_reply(200, &large), json_reply(200, &large[..2500])] {
        server.reply_next("tools/call", reply);
        let answer = client.post(&call("1", "x", &json!({})));
        assert_eq!(answer.status, 502, "{answer:?}");
        assert_eq!(answer.json()["error"]["data"]["kind"], "too_large");
    }
    let argument = "x".repeat(64_900);
    let headers = [("Mcp-Param-X", &*argument)];
    let before = server.requests().len();
    let answer = client.ask("POST", &headers, call("1", "x", &json!({})).as_bytes()).unwrap();
    assert_eq!(
        (answer.status, &answer.json()["error"]["data"]["kind"]),
        (431, &json!("too_large"))
    );
    assert_eq!(server.requests().len(), before);
}

#[test]
fn notifications_and_responses_are_accepted_and_refused_as_the_server_does() {
    let server = Server::start(ServerOptions { mode: Mode::Sse, ..ServerOptions::default() });
    let (_listening, mut client) = begun(&server);
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    let answer = client.post(notification);
    assert_eq!((answer.status, &*answer.body), (202, &b""[..]));
    server.reply_next("notifications/roots/list_changed", json_reply(400, "no"));
    let answer = client.post(notification);
    assert_eq!((answer.status, &answer.json()["id"]), (400, &Value::Null));
    let refusal =
        r#"{ "jsonrpc":"2.0","id":"server","error":{"code":-32600,"message":"no roots"}}"#;
    server.reply_next("notifications/roots/list_changed", json_reply(409, refusal));
    let answer = client.post(notification);
    assert_eq!((answer.status, String::from_utf8_lossy(&answer.body)), (409, refusal.into()));
    // A question of the server in the middle of a call.
    let mut asking = client.twin();
    asking.begin("POST", &[], call("1", "ask", &json!({})).as_bytes()).unwrap();
    let question: Value = loop {
        let event = asking.event().unwrap().expect("a question");
        let event: Value = serde_json::from_str(&event).unwrap();
        if event["id"] != Value::Null {
            break event;
        }
    };
    let response = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}});
    assert_eq!(client.post(&response.to_string()).status, 202);
    let result = asking.event().unwrap().expect("the result");
    assert_eq!(serde_json::from_str::<Value>(&result).unwrap()["id"], 1, "{result}");
}

#[test]
fn a_cancelled_call_gets_no_response_and_the_server_is_notified() {
    let server = with_sessions();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    client.initialize();
    let stream = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n";
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    for (cancel, label) in
        [(cancel.to_owned(), "notifications/cancelled"), (format!("[{cancel}]"), "response")]
    {
        server.reply_next("tools/call", Reply::OpenStream(stream.into()));
        let mut calling = client.twin();
        calling.begin("POST", &[], call("1", "x", &json!({})).as_bytes()).unwrap();
        assert!(calling.event().unwrap().is_some());
        let connection = last(&server).connection;
        server.reply_next(label, Reply::Status { code: 202, headers: vec![], body: vec![] });
        assert_eq!(client.post(&cancel).status, 202);
        assert!(server.is_open(connection), "the server has time to end the call itself");
        assert_eq!(labels(&server.requests()).last().unwrap(), label);
        assert_eq!(calling.event().unwrap(), None, "the stream ends");
    }
}

#[test]
fn calls_beyond_the_limit_wait() {
    let server = Server::start(ServerOptions { mode: Mode::Sse, ..ServerOptions::default() });
    let listening = Listening::open(Launch::to(&server.url("/mcp")).arg("--max-in-flight=1"));
    let (mut slow, mut other) = (listening.client(), listening.client());
    let pause = Duration::from_millis(200);
    server.reply_next("tools/call", Reply::Late(pause));
    slow.send("POST", &[], call("1", "add", &json!({"a": 1, "b": 2})).as_bytes()).unwrap();
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    assert_eq!(other.call(2, "add", &json!({"a": 1, "b": 2})), "3");
    let requests = server.requests();
    assert!(requests[1].at.duration_since(requests[0].at) >= pause, "one after the other");
}

#[test]
fn the_wait_for_its_turn_counts_for_a_request() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--max-in-flight=1");
    let listening = Listening::open(launch.arg("--tool-timeout=300ms"));
    server.reply_next("ping", Reply::Hang);
    let mut slow = listening.client();
    slow.send("POST", &[], br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap();
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    let answer = listening.client().post(&call("2", "add", &json!({"a": 1, "b": 2})));
    assert_eq!(answer.status, 504);
    assert_error(&answer.json(), &json!(2), &["timed out", "queued"]);
}

#[test]
fn one_request_of_a_batch_is_cancelled_and_the_other_has_its_response() {
    let server = Server::start(ServerOptions { sessions: true, ..ServerOptions::default() });
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    client.initialize();
    let batch =
        r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":"b","method":"b"}]"#;
    let body = r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#;
    let length = body.len();
    let late = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let before = server.requests().len();
    server.reply_next(
        "response",
        Reply::RawPieces(vec![(Duration::from_millis(300), late.into_bytes())]),
    );
    let mut calling = client.twin();
    calling.send("POST", &[], batch.as_bytes()).unwrap();
    server.wait_for(PATIENCE, |requests| requests.len() == before + 1);
    let cancelled =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"b"}}"#;
    assert_eq!(client.twin().post(cancelled).status, 202);
    let answer = calling.answer().unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(String::from_utf8_lossy(&answer.body), body);
}

#[test]
fn batches_are_one_request_and_one_response() {
    let server = Server::start(ServerOptions::default());
    let (_listening, mut client) = begun(&server);
    let batch =
        r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":"b","method":"b"}]"#;
    let body = r#"[{"jsonrpc":"2.0","id":"b","result":{}},{"jsonrpc":"2.0","id":1,"result":{}}]"#;
    server.script(vec![json_reply(200, body), json_reply(500, "no")]);
    assert_eq!(String::from_utf8_lossy(&client.post(batch).body), body);
    let answer = client.post(batch);
    assert_eq!(answer.status, 500);
    let errors = answer.json();
    assert_eq!((&errors[0]["id"], &errors[1]["id"]), (&json!(1), &json!("b")), "{errors}");
    // An array is answered with an array.
    let one = r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#;
    let refusal = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#;
    for (reply, status) in [
        (json_reply(500, "no"), 500),
        (json_reply(400, refusal), 400),
        (json_reply(200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), 200),
    ] {
        server.script(vec![reply]);
        let answer = client.post(one);
        let array = answer.json();
        assert_eq!((answer.status, &array[0]["id"]), (status, &json!(1)), "{array}");
        assert_eq!(array.as_array().map(Vec::len), Some(1));
    }
    let notifications = r#"[{"jsonrpc":"2.0","method":"notifications/x"}]"#;
    let taken = Reply::Status { code: 202, headers: Vec::new(), body: Vec::new() };
    server.script(vec![taken]);
    let answer = client.post(notifications);
    assert_eq!((answer.status, &*answer.body), (202, &b""[..]));
    for (batch, count) in [("[1]", 1), ("[1,2]", 2), (r#"[{"jsonrpc":"2.0","id":1}]"#, 1)] {
        let answer = client.post(batch);
        let errors = answer.json();
        assert_eq!(
            (answer.status, errors.as_array().map(Vec::len)),
            (400, Some(count)),
            "{errors}"
        );
    }
}

#[test]
fn one_process_has_one_pool_for_all_clients() {
    let server = with_sessions();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    for _ in 0..4 {
        let mut client = listening.client();
        client.initialize();
        client.call(1, "add", &json!({"a": 1, "b": 2}));
    }
    let mut connections: Vec<u64> = server.requests().iter().map(|r| r.connection).collect();
    connections.dedup();
    assert_eq!(connections.len(), 1, "connections are kept and shared");
}

#[test]
fn a_client_that_leaves_takes_nothing_from_others() {
    let home = Home::new("listener-keys");
    let keys = |id: &str| {
        let text =
            format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n");
        home.write(".aws/credentials", &text);
    };
    keys(KEY_ID);
    let server = with_sessions();
    let launch = Launch::to(&server.url("/mcp"))
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .env("HOME", home.0.to_str().unwrap());
    let listening = Listening::open(launch);
    let (mut one, mut other) = (listening.client(), listening.client());
    one.initialize();
    other.initialize();
    assert_eq!(one.ask("DELETE", &[], b"").unwrap().status, 200);
    keys("AKIAI44QH8DHBEXAMPLE");
    server.set_keys(vec![Key::new("AKIAI44QH8DHBEXAMPLE", SECRET)]);
    assert_eq!(other.call(1, "add", &json!({"a": 1, "b": 2})), "3", "keys are still looked up");
}

#[test]
fn a_call_that_waits_for_its_turn_can_be_cancelled() {
    let server = with_sessions();
    let listening = Listening::open(Launch::to(&server.url("/mcp")).arg("--max-in-flight=1"));
    let mut client = listening.client();
    client.initialize();
    let count = server.requests().len();
    server.reply_next("tools/call", Reply::Hang);
    let (mut slow, mut waiting) = (client.twin(), client.twin());
    slow.send("POST", &[], call("1", "x", &json!({})).as_bytes()).unwrap();
    server.wait_for(PATIENCE, |requests| requests.len() == count + 1);
    waiting.send("POST", &[], call("2", "x", &json!({})).as_bytes()).unwrap();
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
    // It may not have come yet.
    thread::park_timeout(Duration::from_millis(50));
    assert_eq!(client.post(cancel).status, 202);
    assert_eq!(waiting.answer().unwrap().body, b"");
    assert_eq!(server.requests().len(), count + 1, "neither is sent");
}

#[cfg(target_os = "linux")]
#[test]
fn a_batch_that_cancels_a_call_many_times_takes_one_thread() {
    let server = with_sessions();
    let mut listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut client = listening.client();
    client.initialize();
    let stream = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n";
    server.reply_next("tools/call", Reply::OpenStream(stream.into()));
    let mut calling = client.twin();
    calling.begin("POST", &[], call("1", "x", &json!({})).as_bytes()).unwrap();
    assert!(calling.event().unwrap().is_some());
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    server.reply_next("response", Reply::Status { code: 202, headers: vec![], body: vec![] });
    assert_eq!(client.post(&format!("[{}]", vec![cancel; 500].join(","))).status, 202);
    let threads = format!("/proc/{}/task", listening.program().pid());
    assert!(std::fs::read_dir(threads).unwrap().count() < 50);
    assert_eq!(calling.event().unwrap(), None, "the stream ends");
}

#[test]
fn before_a_server_of_2024_11_05_a_client_has_a_session_and_a_stream_of_this_program() {
    let (server, _listening, mut client) = begun_with_http_sse();
    let hello = client.initialize();
    assert!(hello.header(SESSION).is_some_and(|id| id.starts_with("sigv4-proxy-")), "{hello:?}");
    assert_eq!(client.call(1, "add", &json!({"a": 1, "b": 2})), "3");
    let mut stream = client.standing_stream();
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
    assert!(stream.event().unwrap().expect("an event").contains("notifications/message"));
    assert_eq!(client.ask("DELETE", &[], b"").unwrap().status, 204);
}

#[test]
fn messages_that_wait_for_a_stream_do_not_take_the_status_of_an_error() {
    let (server, _listening, mut client) = begun_with_http_sse();
    client.initialize();
    server.push(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
    for (refusal, status) in [(403, 502), (400, 400), (500, 500)] {
        server.reply_next("tools/call", json_reply(refusal, "no"));
        let answer = client.post(&call("1", "x", &json!({})));
        let form = answer.header("content-type");
        assert_eq!((answer.status, form), (status, Some("application/json")), "{answer:?}");
    }
    // A response that succeeds brings them.
    let answer = client.post(&call("2", "add", &json!({"a": 1, "b": 2})));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let events = String::from_utf8_lossy(&answer.body).into_owned();
    let (message, response) = (events.find("notifications/message"), events.find("\"result\""));
    assert!(message.is_some() && message < response, "{events}");
    let answer = client.post(&call("3", "add", &json!({"a": 1, "b": 2})));
    assert_eq!(answer.header("content-type"), Some("application/json"), "once");
}
