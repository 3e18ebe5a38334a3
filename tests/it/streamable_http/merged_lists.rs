//! `--merge-lists`: lists in pages reach the client as one.

use crate::harness::messages::{assert_all_verified, assert_error, labels, modern};
use crate::harness::program::{Launch, Program};
use crate::support::http::Response;
use crate::support::{Mode, Reply, Server, ServerOptions};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn server() -> Server {
    Server::start(ServerOptions { sessions: true, ..ServerOptions::default() })
}

fn begun(server: &Server, arguments: &[&str]) -> Program {
    let launch = Launch::to(&server.url("/mcp")).arg("--merge-lists").arg("--no-sse");
    let launch = arguments.iter().fold(launch, |launch, argument| launch.arg(argument));
    let mut program = launch.start();
    program.shake_hands();
    program
}

fn response(rest: &str) -> Reply {
    Reply::Echo(Response::json(200, format!(r#"{{"jsonrpc":"2.0","id":REQUEST_ID,{rest}}}"#)))
}

fn result(result: &str) -> Reply {
    response(&format!("\"result\":{result}"))
}

fn list(id: u32, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

/// The cursors with which a list was requested.
fn cursors(server: &Server, method: &str) -> Vec<Value> {
    let requests = server.requests();
    assert_all_verified(&requests);
    let of_method = requests.iter().filter(|request| request.label() == method);
    of_method.map(|request| request.json()["params"]["cursor"].clone()).collect()
}

#[test]
fn the_pages_of_every_list_become_one_and_keep_their_bytes() {
    let server = server();
    let mut program = begun(&server, &[]);
    for (method, items) in [
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        for (items, cursor) in [
            ("{\"name\":\"a\", \"n\":1.0}", "\"p\\n2\""),
            ("", "3"),
            ("{\"name\":\"\\u0062\"}", "null"),
        ]
        .map(|(item, cursor)| (format!("\"{items}\": [ {item} ]"), cursor))
        {
            server.reply_next(method, result(&format!("{{{items},\"nextCursor\": {cursor}}}")));
        }
        let params = r#""x": 1e0,"_meta":{"progressToken":7,"k": [ ]}"#;
        program.write(&list(1, method, params));
        let expected = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"{items}": [{{"name":"a", "n":1.0}},{{"name":"\u0062"}}]}}}}"#
        );
        assert_eq!(program.read_line(), expected);
        assert_eq!(cursors(&server, method), [Value::Null, json!("p\n2"), json!(3)]);
        let requests = server.requests();
        let pages: Vec<_> = requests.iter().filter(|request| request.label() == method).collect();
        let body = |page: usize| String::from_utf8_lossy(&pages[page].request.body).into_owned();
        assert_eq!(body(0), list(1, method, params), "the first as the client wrote it");
        for page in 1..3 {
            let sent = body(page);
            assert!(sent.contains(r#","x": 1e0,"_meta":{"k": [ ]}}"#), "{sent}");
            assert_ne!(pages[page].json()["id"], pages[page - 1].json()["id"]);
        }
    }
}

#[test]
fn a_client_gets_the_page_that_it_asks_for_and_a_list_of_one_page_as_it_is() {
    let server = server();
    let mut program = begun(&server, &[]);
    server.reply_next("tools/list", result(r#"{"tools":[1],"nextCursor":"3"}"#));
    let page = program.ask(&list(1, "tools/list", r#""cursor":"2""#));
    assert_eq!(page["result"], json!({"tools": [1], "nextCursor": "3"}));
    assert_eq!(cursors(&server, "tools/list"), [json!("2")]);
    server.reply_next("tools/list", result(r#"{ "tools" : [ ],"nextCursor":null }"#));
    program.write(&list(2, "tools/list", ""));
    let line = program.read_line();
    assert!(line.ends_with(r#""result":{ "tools" : [ ],"nextCursor":null }}"#), "{line}");
    // Without the option nothing is merged.
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    server.reply_next("tools/list", result(r#"{"tools":[1],"nextCursor":"2"}"#));
    assert_eq!(program.ask(&list(3, "tools/list", ""))["result"]["nextCursor"], "2");
}

#[test]
fn hints_of_freshness_are_the_strictest_of_all_pages() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--merge-lists").arg("--bridge=off");
    let mut program = launch.start();
    let pages = [
        r#"{"resultType":"complete","tools":[{"name":"a"}],"ttlMs":500,"cacheScope":"public","nextCursor":"2"}"#,
        r#"{"resultType":"complete","tools":[{"name":"b"}],"ttlMs":20,"cacheScope":"private"}"#,
    ];
    for page in &pages {
        server.reply_next("tools/list", result(page));
    }
    let merged = program.ask(&modern(1, "tools/list", ""));
    let tools = json!([{"name": "a"}, {"name": "b"}]);
    let expected =
        json!({"resultType": "complete", "tools": tools, "ttlMs": 20, "cacheScope": "private"});
    assert_eq!(merged["result"], expected);
    let requests = server.requests();
    assert_eq!(requests[1].header("mcp-method"), Some("tools/list"), "each says what it is");
    // The arguments that the second page marks are known.
    let mut tools = program.ask(&modern(2, "tools/list", ""))["result"]["tools"].take();
    assert_eq!(tools.as_array_mut().unwrap().pop().unwrap()["name"], "region");
    program.ask(&modern(3, "tools/call", r#""name":"region","arguments":{"region":"r1"},"#));
    assert_eq!(server.requests().last().unwrap().header("mcp-param-region"), Some("r1"));
}

#[test]
fn an_error_of_a_page_is_the_response() {
    let server = server();
    let mut program = begun(&server, &["--retries=0"]);
    let first = || server.reply_next("tools/list", result(r#"{"tools":[1],"nextCursor":"2"}"#));
    first();
    let error = r#"{"code":-32602,"message":"no such page","data":{"a":1.0}}"#;
    server.reply_next("tools/list", response(&format!("\"error\":{error}")));
    program.write(&list(1, "tools/list", ""));
    let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
    assert_eq!(program.read_line(), expected);
    first();
    server.reply_next("tools/list", Reply::Close);
    let answer = program.ask(&list(2, "tools/list", ""));
    assert_error(&answer, &json!(2), &["the server"]);
    first();
    server.reply_next("tools/list", result(r#"{"prompts":[]}"#));
    let answer = program.ask(&list(3, "tools/list", ""));
    assert_error(&answer, &json!(3), &["page 2 of the list has no tools"]);
    // The session continues.
    assert!(program.ask(&list(4, "tools/list", ""))["result"]["tools"].is_array());
}

#[test]
fn a_page_that_is_throttled_or_whose_session_is_lost_is_requested_again() {
    let server = server();
    let mut program = begun(&server, &[]);
    server.reply_next("tools/list", result(r#"{"tools":[1],"nextCursor":"2"}"#));
    let busy = Response::json(429, "{}".to_owned()).with("retry-after", "0");
    server.reply_next("tools/list", Reply::Echo(busy));
    server.reply_next("tools/list", Reply::Echo(Response::json(404, "{}".to_owned())));
    server.reply_next("tools/list", result(r#"{"tools":[2]}"#));
    let merged = program.ask(&list(1, "tools/list", ""));
    assert_eq!(merged["result"], json!({"tools": [1, 2]}));
    let initialized = labels(&server.requests());
    assert_eq!(initialized.iter().filter(|label| *label == "initialize").count(), 2);
}

#[test]
fn a_list_that_goes_round_in_circles_ends() {
    let server = server();
    let mut program = begun(&server, &[]);
    for (item, next) in [(1, "a"), (2, "b"), (3, "a")] {
        server.reply_next(
            "tools/list",
            result(&format!(r#"{{"tools":[{item}],"nextCursor":"{next}"}}"#)),
        );
    }
    let merged = program.ask(&list(1, "tools/list", ""));
    assert_eq!(merged["result"], json!({"tools": [1, 2, 3]}));
    let ended = program.close();
    let warning = "WARN: tools/list ends after 3 pages: the server returned the same page twice";
    assert_eq!(ended.log.matches(warning).count(), 1, "{}", ended.log);
}

/// The client may continue where the limit was reached.
#[test]
fn a_list_that_is_too_large_is_returned_in_part() {
    let server = server();
    let mut program = begun(&server, &["--max-message-bytes=4K"]);
    let page = |next: u32| {
        result(&format!(r#"{{"tools":["{}"],"nextCursor":"{next}"}}"#, "x".repeat(1000)))
    };
    (2..9).for_each(|next| server.reply_next("tools/list", page(next)));
    let merged = program.ask(&list(1, "tools/list", ""));
    assert_eq!(merged["result"]["tools"].as_array().unwrap().len(), 4);
    assert_eq!(merged["result"]["nextCursor"], "5");
}

#[test]
fn a_stream_that_stays_open_after_a_page_is_not_waited_for() {
    let server = server();
    let mut program = begun(&server, &[]);
    let event = |result: &str| {
        let note =
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#;
        let response = format!(r#"{{"jsonrpc":"2.0","id":REQUEST_ID,"result":{result}}}"#);
        Reply::OpenStream(format!("data: {note}\n\ndata: {response}\n\n"))
    };
    server.reply_next("tools/list", event(r#"{"tools":[1],"nextCursor":"2"}"#));
    server.reply_next("tools/list", event(r#"{"tools":[2]}"#));
    let started = Instant::now();
    program.write(&list(1, "tools/list", ""));
    for _ in 0..2 {
        assert_eq!(program.read()["method"], "notifications/message");
    }
    assert_eq!(program.read()["result"], json!({"tools": [1, 2]}));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn a_cancelled_list_requests_no_further_page() {
    let server = server();
    let mut program = begun(&server, &[]);
    server.reply_next("tools/list", result(r#"{"tools":[1],"nextCursor":"2"}"#));
    server.reply_next("tools/list", Reply::Hang);
    program.write(&list(1, "tools/list", ""));
    server.wait_for(Duration::from_secs(10), |requests| {
        requests.iter().filter(|request| request.label() == "tools/list").count() == 2
    });
    program
        .write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    // The slot is free at once, and nothing of the cancelled list is written.
    assert_eq!(program.ask(&list(2, "ping", ""))["id"], 2);
    let ended = program.close();
    assert_eq!(ended.lines, [""; 0]);
    assert_eq!(cursors(&server, "tools/list").len(), 2);
}

#[test]
fn a_list_ends_with_the_limit_of_its_request() {
    let server = server();
    let mut program = begun(&server, &["--timeout=500ms", "--retries=0"]);
    server.reply_next("tools/list", result(r#"{"tools":[1],"nextCursor":"2"}"#));
    server.reply_next("tools/list", Reply::Hang);
    let started = Instant::now();
    let answer = program.ask(&list(1, "tools/list", ""));
    assert!(answer["error"]["data"]["kind"] == "timed_out", "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Filters, `--lazy` and the older transport see every page as they would without merging.
#[test]
fn filters_and_lazy_sessions_hold_for_every_page() {
    let server = Server::start(ServerOptions {
        mode: Mode::Sse,
        sessions: true,
        ..ServerOptions::default()
    });
    let mut program = begun(&server, &["--lazy", "--read-only", "--deny-tool=c*"]);
    let tool = |name: &str| format!(r#"{{"name":"{name}","annotations":{{"readOnlyHint":true}}}}"#);
    let page = |tools: [String; 2], next: &str| {
        result(&format!(r#"{{"tools":[{}],"nextCursor":{next}}}"#, tools.join(",")))
    };
    server.reply_next("tools/list", page([tool("a"), tool("c1")], "\"2\""));
    server.reply_next("tools/list", page([r#"{"name":"w"}"#.to_owned(), tool("b")], "null"));
    program.write(&list(1, "tools/list", ""));
    let mut merged = program.read();
    while merged["id"] != 1 {
        assert!(merged["method"].as_str().unwrap().ends_with("list_changed"), "{merged}");
        merged = program.read();
    }
    let names: Vec<_> = merged["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(names, ["a", "b"]);
    // The whole list is known, so nothing is listed for a call.
    let before = cursors(&server, "tools/list").len();
    program.write(&list(2, "tools/call", r#""name":"w","arguments":{}"#));
    let mut answer = program.read();
    while answer["id"] != 2 {
        answer = program.read();
    }
    assert_eq!(answer["error"]["data"]["kind"], "denied", "{answer}");
    assert_eq!(cursors(&server, "tools/list").len(), before);
}
