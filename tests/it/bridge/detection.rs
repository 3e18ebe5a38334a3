//! The revisions of a server are detected from its refusals only.

use crate::bridge::downward::peer::{
    A_WHILE, Answer, Peer, UNSUPPORTED, acknowledgement, call, cancel, complete, discovered,
    initialize, request,
};
use crate::harness::messages::{labels, modern};
use crate::harness::program::Launch;
use crate::support::{Server, ServerOptions};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

const NO_SESSION: &str = r#"{"code":-32000,"message":"Bad Request: No valid session ID provided"}"#;

/// A server that responds to `initialize` with this refusal and supports `server/discover`.
fn refusing(refusal: Answer) -> Peer {
    Peer::scripted(move |arrived| match &*arrived.label {
        "initialize" => refusal.clone(),
        "server/discover" => Answer::Result(discovered("{}")),
        "GET" => Answer::Status(405, ""),
        _ => complete(),
    })
}

#[test]
fn every_refusal_of_initialize_leads_to_discover() {
    let error = |text: &str| Answer::Error(400, text.to_owned());
    for (refusal, looks_for_streams) in [
        (error(UNSUPPORTED), false),
        (
            error(
                r#"{"code":-32022,"message":"m","data":{"supported":["2026-07-28","2025-06-18"]}}"#,
            ),
            false,
        ),
        (error(NO_SESSION), false),
        (error(r#"{"code":-32020,"message":"no Mcp-Method"}"#), false),
        (Answer::Error(200, r#"{"code":-32601,"message":"Method not found"}"#.to_owned()), false),
        (Answer::Error(404, r#"{"code":-32601,"message":"Method not found"}"#.to_owned()), false),
        (Answer::Status(400, "no"), true),
        (Answer::Status(404, "Not Found"), true),
        (Answer::Status(405, ""), true),
        (Answer::Status(501, ""), false),
    ] {
        let peer = refusing(refusal.clone());
        let mut program = peer.launch(&[]);
        let answer = program.ask(&initialize("2025-06-18", "{}"));
        assert_eq!(answer["result"]["protocolVersion"], "2025-06-18", "{refusal:?}: {answer}");
        let get: &[&str] = if looks_for_streams { &["GET"] } else { &[] };
        let expected = [&["initialize"], get, &["server/discover"]].concat();
        assert_eq!(peer.labels(), expected, "{refusal:?}");
        // The response to a second one comes from the first detection.
        let answer = program.ask(&initialize("2026-07-28", "{}"));
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        assert_eq!(peer.labels(), expected, "{refusal:?}");
        let log = program.close().log;
        assert_eq!(log.matches("translating between the client (MCP ").count(), 1, "{log}");
    }
}

#[test]
fn failures_are_no_evidence_and_are_asked_about_again() {
    for failure in [
        Answer::Status(401, ""),
        Answer::Status(403, ""),
        Answer::Status(500, ""),
        Answer::Error(403, UNSUPPORTED.to_owned()),
        Answer::Close,
    ] {
        let is_up = Arc::new(AtomicBool::new(false));
        let (up, failing) = (Arc::clone(&is_up), failure.clone());
        let peer = Peer::scripted(move |arrived| match &*arrived.label {
            "initialize" if !up.load(Ordering::SeqCst) => failing.clone(),
            "initialize" => Answer::Error(400, UNSUPPORTED.to_owned()),
            _ => Answer::Result(discovered("{}")),
        });
        let mut program = peer.launch(&["--retries", "0"]);
        let answer = program.ask(&initialize("2025-11-25", "{}"));
        assert!(answer["error"].is_object(), "{failure:?}: {answer}");
        assert_eq!(peer.labels(), ["initialize"], "{failure:?}");
        is_up.store(true, Ordering::SeqCst);
        let answer = program.ask(&initialize("2025-11-25", "{}"));
        assert!(answer["result"].is_object(), "{failure:?}: {answer}");
    }
}

#[test]
fn if_nothing_is_found_the_first_refusal_is_the_response() {
    for discover in [
        Answer::Status(503, ""),
        Answer::Status(404, ""),
        Answer::Error(400, NO_SESSION.to_owned()),
        Answer::Error(
            400,
            r#"{"code":-32022,"message":"m","data":{"supported":["2027-03-01"]}}"#.to_owned(),
        ),
        Answer::Result(r#"{"supportedVersions":["2025-06-18"]}"#.to_owned()),
        Answer::Result("{}".to_owned()),
    ] {
        let answer = discover.clone();
        let peer = Peer::scripted(move |arrived| match &*arrived.label {
            "initialize" => Answer::Error(400, UNSUPPORTED.to_owned()),
            _ => answer.clone(),
        });
        let mut program = peer.launch(&["--retries", "0"]);
        program.write(&initialize("2025-11-25", "{}"));
        let expected = format!(r#"{{"jsonrpc":"2.0","id":"init","error":{UNSUPPORTED}}}"#);
        assert_eq!(program.read_line(), expected, "{discover:?}");
        assert_eq!(peer.labels(), ["initialize", "server/discover"], "{discover:?}");
    }
}

#[test]
fn a_server_of_later_revisions_alone_is_not_translated_for() {
    let unknown = r#"{"code":-32022,"message":"m","data":{"supported":["2027-03-01"]}}"#;
    let peer = Peer::scripted(move |_| Answer::Error(400, unknown.to_owned()));
    let mut program = peer.launch(&[]);
    program.write(&initialize("2025-11-25", "{}"));
    let expected = format!(r#"{{"jsonrpc":"2.0","id":"init","error":{unknown}}}"#);
    assert_eq!(program.read_line(), expected);
    let log = program.close().log;
    assert!(log.contains("2027-03-01") && log.contains("2026-07-28"), "{log}");
}

#[test]
fn switched_off_every_refusal_passes() {
    let peer = refusing(Answer::Error(400, UNSUPPORTED.to_owned()));
    let mut program = peer.launch(&["--bridge", "off"]);
    program.write(&initialize("2025-11-25", "{}"));
    let expected = format!(r#"{{"jsonrpc":"2.0","id":"init","error":{UNSUPPORTED}}}"#);
    assert_eq!(program.read_line(), expected);
    let answer = program.ask(&request("7", "ping", "{}"));
    assert_eq!(answer["id"], 7);
    assert_eq!(peer.labels(), ["initialize", "ping"]);
}

#[test]
fn clients_and_servers_that_understand_each_other_are_left_alone() {
    let exchange = |bridge: &str| {
        let server = Server::start(ServerOptions::default());
        let launch = Launch::to(&server.url("/mcp")).arg("--no-sse").env("MCP_BRIDGE", bridge);
        let mut program = launch.start();
        program.shake_hands();
        let called = program.ask(&request("2", "tools/list", "{}"));
        let modern = program.ask(&modern(3, "tools/list", ""));
        let requests = server.requests();
        let bodies: Vec<_> = requests.iter().map(|r| r.request.body.clone()).collect();
        (called, modern, labels(&requests), bodies)
    };
    assert_eq!(exchange("auto"), exchange("off"));
    assert_eq!(exchange("always"), exchange("off"));
    let peer = Peer::modern("{}", |_| complete());
    let mut program = peer.launch(&[]);
    assert!(program.ask(&modern(1, "server/discover", ""))["result"].is_object());
    assert!(program.ask(&modern(2, "tools/list", ""))["result"].is_object());
    assert_eq!(peer.labels(), ["server/discover", "tools/list"]);
}

#[test]
fn a_client_that_initializes_after_a_discover_is_translated_for() {
    let peer = Peer::modern("{}", |_| complete());
    let mut program = peer.launch(&[]);
    assert!(program.ask(&modern(1, "server/discover", ""))["result"].is_object());
    let answer = program.ask(&initialize("2025-11-25", "{}"));
    assert_eq!(answer["result"]["serverInfo"]["name"], "peer", "{answer}");
    assert_eq!(peer.labels(), ["server/discover", "initialize"]);
    // Its modern requests still pass as they are.
    assert_eq!(program.ask(&modern(3, "tools/list", ""))["result"]["resultType"], "complete");
}

#[test]
fn an_initialize_of_the_new_era_is_no_handshake() {
    let unknown = r#"{"code":-32601,"message":"Method not found"}"#;
    let peer = Peer::scripted(move |arrived| match &*arrived.label {
        "server/discover" => Answer::Result(discovered("{}")),
        _ => Answer::Error(404, unknown.to_owned()),
    });
    let mut program = peer.launch(&[]);
    let answer = program.ask(&modern(1, "initialize", ""));
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    assert_eq!(peer.labels(), ["initialize", "server/discover"]);
}

#[test]
fn a_lazy_client_is_notified_once_the_server_turns_out_to_be_modern() {
    let peer = Peer::modern(r#"{"tools":{},"logging":{}}"#, |_| {
        Answer::Result(r#"{"resultType":"complete","tools":[]}"#.to_owned())
    });
    let mut program = peer.launch(&["--lazy"]);
    let answer = program.ask(&initialize("2025-11-25", "{}"));
    assert_eq!(answer["result"]["serverInfo"]["name"], "sigv4-proxy", "{answer}");
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert_eq!(peer.labels(), [""; 0]);
    program.write(&request("1", "tools/list", "{}"));
    let mut reported: Vec<Value> = (0..3).map(|_| program.read()["method"].clone()).collect();
    reported.sort_by_key(ToString::to_string);
    let lists = ["prompts", "resources", "tools"];
    let expected = lists.map(|list| json!(format!("notifications/{list}/list_changed")));
    assert_eq!(reported, expected);
    assert_eq!(program.read()["result"], json!({"tools": []}));
    assert_eq!(peer.labels(), ["initialize", "server/discover", "tools/list"]);
    // Logging works although it was not declared.
    let answer = program.ask(&request("2", "logging/setLevel", r#"{"level":"info"}"#));
    assert_eq!(answer["result"], json!({}));
    assert_eq!(program.ask(&request("3", "ping", "{}"))["result"], json!({}));
    assert_eq!(peer.labels().len(), 3);
}

#[test]
fn a_server_that_was_replaced_by_a_modern_one_is_translated_for() {
    check_replaced(404, r#"{"code":-32001,"message":"Session not found"}"#);
    // Official servers do not look for the session of a revision that they do not speak.
    check_replaced(400, UNSUPPORTED);
}

/// `status`, `error`: how the new server refuses a request in the session of the old one.
#[track_caller]
fn check_replaced(status: u16, error: &'static str) {
    let is_new = Arc::new(AtomicBool::new(false));
    let new = Arc::clone(&is_new);
    let tools = Arc::new(AtomicUsize::new(0));
    let listed = Arc::clone(&tools);
    let peer = Peer::scripted(move |arrived| {
        match &*arrived.label {
        "initialize" if new.load(Ordering::SeqCst) => Answer::Error(400, UNSUPPORTED.to_owned()),
        "initialize" => Answer::Session(
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"old","version":"1"}}"#.to_owned(),
        ),
        "server/discover" => Answer::Result(discovered("{}")),
        "subscriptions/listen" => Answer::Stream(vec![acknowledgement(&json!({}))]),
        "GET" => Answer::Status(405, ""),
        "tools/list" if arrived.request.header("mcp-method").is_none() && new.load(Ordering::SeqCst) => {
            Answer::Error(status, error.to_owned())
        }
        method => {
            listed.fetch_add(usize::from(method == "tools/list"), Ordering::SeqCst);
            Answer::Result(r#"{"resultType":"complete","tools":[]}"#.to_owned())
        }
    }
    });
    let mut program = peer.launch(&[]);
    program.shake_hands();
    assert!(program.ask(&request("1", "tools/list", "{}"))["result"].is_object());
    is_new.store(true, Ordering::SeqCst);
    program.write(&request("2", "tools/list", "{}"));
    let mut lines: Vec<Value> = (0..4).map(|_| program.read()).collect();
    let answer = lines.pop().unwrap();
    assert!(lines.iter().all(|line| line["method"].is_string()), "{lines:?}");
    assert_eq!((&answer["id"], &answer["result"]), (&json!(2), &json!({"tools": []})));
    assert_eq!(tools.load(Ordering::SeqCst), 2, "each was run once");
    assert_eq!(program.ask(&call("3", "t"))["result"]["tools"], json!([]));
    program.silent_for(A_WHILE.min(Duration::from_millis(50)));
}

#[test]
fn a_server_that_was_replaced_by_an_older_one_is_left_to_the_client() {
    let is_old = Arc::new(AtomicBool::new(false));
    let old = Arc::clone(&is_old);
    let peer = Peer::scripted(move |arrived| {
        match &*arrived.label {
        "initialize" if old.load(Ordering::SeqCst) => Answer::Session(
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"old","version":"1"}}"#.to_owned(),
        ),
        "initialize" => Answer::Error(400, UNSUPPORTED.to_owned()),
        "server/discover" => Answer::Result(discovered("{}")),
        "GET" => Answer::Status(405, ""),
        _ if arrived.request.header("mcp-method").is_some() && old.load(Ordering::SeqCst) => {
            Answer::Error(400, NO_SESSION.to_owned())
        }
        _ => Answer::Result(r#"{"tools":[]}"#.to_owned()),
    }
    });
    let mut program = peer.client("{}", &[]);
    program.ask(&request("1", "tools/list", "{}"));
    is_old.store(true, Ordering::SeqCst);
    program.write(&request("2", "tools/list", "{}"));
    let mut lines: Vec<Value> = (0..4).map(|_| program.read()).collect();
    let answer = lines.pop().unwrap();
    assert!(lines.iter().all(|line| line["method"].is_string()), "{lines:?}");
    assert_eq!((&answer["id"], &answer["result"]), (&json!(2), &json!({"tools": []})));
    program.ask(&request("3", "tools/list", "{}"));
    let last = peer.arrived().pop().unwrap();
    assert_eq!(last.request.header("mcp-session-id"), Some("s-1"));
    assert_eq!(last.request.header("mcp-method"), None);
}

/// The requests that a server refuses after it was replaced, all at the same moment except the last.
const REFUSED: [u32; 6] = [4, 5, 6, 7, 8, 9];

/// A server that speaks the modern era alone, or the legacy one, and the other one after the change. It takes its time for
/// everything by which that is found. `refusal`: of the requests of the wrong era.
fn replaced(is_modern: bool, has_changed: Arc<AtomicBool>, refusal: (u16, &'static str)) -> Peer {
    let (all_are_here, arrivals) = (Barrier::new(REFUSED.len()), AtomicUsize::new(0));
    Peer::scripted(move |arrived| {
        let has_changed = has_changed.load(Ordering::SeqCst);
        let is_modern = is_modern != has_changed;
        let is_of_modern = arrived.request.header("mcp-method").is_some();
        let is_first = || arrivals.fetch_add(1, Ordering::SeqCst) < REFUSED.len();
        let pause = |milliseconds| std::thread::park_timeout(Duration::from_millis(milliseconds));
        match &*arrived.label {
            "tools/list" if has_changed && is_modern != is_of_modern && is_first() => {
                all_are_here.wait();
                pause(if arrived.json["id"] == REFUSED[5] { 900 } else { 0 });
                return Answer::Error(refusal.0, refusal.1.to_owned());
            }
            "initialize" | "server/discover" | "DELETE" if has_changed => pause(300),
            _ => {}
        }
        match &*arrived.label {
            "GET" | "DELETE" => Answer::Status(405, ""),
            "subscriptions/listen" => Answer::Stream(vec![acknowledgement(&json!({}))]),
            "initialize" if !is_modern => Answer::Session(
                r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"old","version":"1"}}"#.to_owned(),
            ),
            "server/discover" if is_modern => Answer::Result(discovered("{}")),
            _ if is_modern == is_of_modern => {
                Answer::Result(r#"{"resultType":"complete","tools":[]}"#.to_owned())
            }
            _ => Answer::Error(400, if is_modern { UNSUPPORTED } else { NO_SESSION }.to_owned()),
        }
    })
}

#[test]
fn requests_that_a_replaced_server_refuses_at_once_share_one_detection() {
    const LOST: (u16, &str) = (404, r#"{"code":-32001,"message":"Session not found"}"#);
    for (is_legacy_client, was_modern, refusal, initializes, discovers) in [
        (true, false, (400, UNSUPPORTED), 2, 1),
        (true, false, LOST, 2, 1),
        (true, true, (400, NO_SESSION), 2, 1),
        (false, false, (400, UNSUPPORTED), 1, 1),
        (false, false, LOST, 2, 1),
    ] {
        let case = (is_legacy_client, was_modern, refusal);
        let list = |id: u32| {
            if is_legacy_client {
                request(&id.to_string(), "tools/list", "{}")
            } else {
                modern(id, "tools/list", "")
            }
        };
        let has_changed = Arc::new(AtomicBool::new(false));
        let peer = replaced(was_modern, Arc::clone(&has_changed), refusal);
        let mut program = if is_legacy_client { peer.client("{}", &[]) } else { peer.launch(&[]) };
        assert!(program.ask(&list(1))["result"].is_object(), "{case:?}");
        has_changed.store(true, Ordering::SeqCst);
        for id in REFUSED {
            program.write(&list(id));
        }
        let mut answers = Vec::new();
        while answers.len() < REFUSED.len() {
            answers.extend(Some(program.read()).filter(|line| line["id"].is_number()));
        }
        assert!(
            answers.iter().all(|answer| answer["result"]["tools"] == json!([])),
            "{case:?}: {answers:?}"
        );
        let count = |label: &str| peer.labels().iter().filter(|known| *known == label).count();
        let counts = (count("initialize"), count("server/discover"));
        assert_eq!(counts, (initializes, discovers), "{case:?}: {:?}", peer.labels());
    }
}

/// A server of before 2026-07-28 that takes its time to refuse `server/discover`.
fn slow_to_refuse() -> Peer {
    Peer::scripted(|arrived| {
        match &*arrived.label {
        "server/discover" => {
            std::thread::park_timeout(Duration::from_millis(300));
            Answer::Error(400, NO_SESSION.to_owned())
        }
        "initialize" => Answer::Session(
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"old","version":"1"}}"#.to_owned(),
        ),
        "GET" | "DELETE" => Answer::Status(405, ""),
        _ if arrived.request.header("mcp-session-id").is_some() => {
            Answer::Result(r#"{"tools":[]}"#.to_owned())
        }
        _ => Answer::Error(400, NO_SESSION.to_owned()),
    }
    })
}

#[test]
fn many_refusals_cause_one_question_and_one_session() {
    let peer = slow_to_refuse();
    let mut program = peer.launch(&[]);
    for id in 1..=16 {
        program.write(&modern(id, "tools/list", ""));
    }
    let answers: Vec<Value> = (1..=16).map(|_| program.read()).collect();
    assert!(answers.iter().all(|answer| answer["result"]["tools"] == json!([])), "{answers:?}");
    let count = |label: &str| peer.labels().iter().filter(|known| *known == label).count();
    assert_eq!((count("server/discover"), count("initialize")), (1, 1), "{:?}", peer.labels());
}

#[test]
fn a_request_that_is_cancelled_before_the_verdict_is_not_sent_again() {
    let peer = slow_to_refuse();
    let mut program = peer.launch(&[]);
    program.write(&modern(1, "tools/list", ""));
    program.write(&modern(2, "prompts/list", ""));
    peer.wait_for("server/discover", 1);
    peer.wait_for("prompts/list", 1);
    std::thread::park_timeout(Duration::from_millis(50));
    program.write(&cancel("2"));
    assert_eq!(program.read()["id"], 1);
    program.silent_for(A_WHILE);
    let count = |label: &str| peer.labels().iter().filter(|known| *known == label).count();
    assert_eq!((count("tools/list"), count("prompts/list")), (2, 1));
}

#[test]
fn the_refusal_of_a_discover_is_the_clients_to_deal_with() {
    for (mode, is_translated) in [("auto", false), ("always", true)] {
        let peer = slow_to_refuse();
        let mut program = peer.launch(&["--bridge", mode]);
        let answer = program.ask(&modern(1, "server/discover", ""));
        assert_eq!(answer["result"].is_object(), is_translated, "{mode}: {answer}");
        assert_eq!(answer["error"]["code"] == -32000, !is_translated, "{mode}: {answer}");
        let log = program.close().log;
        assert_eq!(log.contains("need --bridge always"), !is_translated, "{log}");
    }
}
