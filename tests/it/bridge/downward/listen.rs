//! The stream of a modern server's own notifications, for a legacy client.

use crate::bridge::downward::peer::{
    A_WHILE, Answer, Peer, UNSUPPORTED, acknowledgement, complete, discovered, initialize, request,
};
use serde_json::{Value, json};

const CAPABILITIES: &str = r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"listChanged":true,"subscribe":true}}"#;

fn updated(uri: &str, meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"{meta}}}}}"#
    )
}

const MARK: &str = r#","_meta":{"io.modelcontextprotocol/subscriptionId":"sigv4-proxy-listen-1"}"#;

fn filters(peer: &Peer, count: usize) -> Vec<Value> {
    let arrived = peer.wait_for("subscriptions/listen", count);
    let listens = arrived.iter().filter(|arrived| arrived.label == "subscriptions/listen");
    listens.map(|listen| listen.params()["notifications"].clone()).collect()
}

#[test]
fn one_stream_brings_what_the_server_offers_and_the_client_asked_for() {
    let peer = Peer::modern(CAPABILITIES, |_| complete());
    let mut program = peer.client("{}", &[]);
    let lists = json!({"toolsListChanged": true, "resourcesListChanged": true});
    assert_eq!(filters(&peer, 1), [lists]);
    let subscribed = program.ask(&request("1", "resources/subscribe", r#"{"uri":"a:b"}"#));
    assert_eq!(subscribed["result"], json!({}), "{subscribed}");
    let with = json!({"toolsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["a:b"]});
    assert_eq!(filters(&peer, 2)[1], with);
    // The old stream ends when the new one is acknowledged.
    peer.wait_for_closed(1);
    peer.push(&updated("a:b", MARK));
    assert_eq!(program.read_line(), updated("a:b", ""));
    let again = program.ask(&request("2", "resources/subscribe", r#"{"uri":"a:b"}"#));
    assert_eq!(again["result"], json!({}));
    assert_eq!(filters(&peer, 2).len(), 2, "nothing has changed");
    let ended = program.ask(&request("3", "resources/unsubscribe", r#"{"uri":"a:b"}"#));
    assert_eq!(ended["result"], json!({}));
    assert_eq!(filters(&peer, 3)[2], filters(&peer, 3)[0]);
    let took = program.close().took;
    assert!(took.as_secs() < 3, "{took:?}");
}

#[test]
fn unacknowledged_subscriptions_are_refused() {
    let peer = Peer::scripted(|arrived| match &*arrived.label {
        "initialize" => Answer::Error(400, UNSUPPORTED.to_owned()),
        "server/discover" => Answer::Result(discovered(r#"{"resources":{"subscribe":true}}"#)),
        "subscriptions/listen" => {
            let all = &arrived.params()["notifications"]["resourceSubscriptions"];
            let honored: Vec<&Value> =
                all.as_array().unwrap().iter().filter(|uri| **uri != "bad:uri").collect();
            Answer::Stream(vec![acknowledgement(&json!({"resourceSubscriptions": honored}))])
        }
        _ => complete(),
    });
    let mut program = peer.client("{}", &[]);
    let good = program.ask(&request("1", "resources/subscribe", r#"{"uri":"good:uri"}"#));
    assert_eq!(good["result"], json!({}), "{good}");
    let bad = program.ask(&request("2", "resources/subscribe", r#"{"uri":"bad:uri"}"#));
    assert_eq!(bad["error"]["code"], -32602, "{bad}");
    assert!(bad["error"]["message"].as_str().unwrap().contains("bad:uri"), "{bad}");
}

#[test]
fn a_refused_resource_does_not_spoil_those_that_are_subscribed_to_with_it() {
    for uris in [["a:1", "bad:uri", "a:2"], ["bad:uri", "a:1", "a:2"], ["a:1", "a:2", "bad:uri"]] {
        let peer = Peer::scripted(|arrived| match &*arrived.label {
            "initialize" => Answer::Error(400, UNSUPPORTED.to_owned()),
            "server/discover" => Answer::Result(discovered(r#"{"resources":{"subscribe":true}}"#)),
            "subscriptions/listen" => {
                let filter = &arrived.params()["notifications"];
                let all = filter["resourceSubscriptions"].as_array().unwrap();
                if all.contains(&json!("bad:uri")) {
                    let error = r#"{"code":-32602,"message":"unknown resource"}"#;
                    return Answer::Error(400, error.to_owned());
                }
                if *all == [json!("first:uri")] {
                    // Until the others have been read.
                    std::thread::park_timeout(A_WHILE * 2);
                }
                Answer::Stream(vec![acknowledgement(filter)])
            }
            _ => complete(),
        });
        let mut program = peer.client("{}", &[]);
        let subscribe = |uri| {
            let params = json!({ "uri": uri }).to_string();
            request(&json!(uri).to_string(), "resources/subscribe", &params)
        };
        program.write(&subscribe("first:uri"));
        peer.wait_for("subscriptions/listen", 1);
        for uri in uris {
            program.write(&subscribe(uri));
        }
        for _ in 0..=uris.len() {
            let answer = program.read();
            let is_refused = answer["error"]["code"] == -32602;
            assert_eq!(is_refused, answer["id"] == "bad:uri", "{uris:?}: {answer}");
        }
        let last = filters(&peer, 2).into_iter().rfind(|filter| {
            !filter["resourceSubscriptions"].as_array().unwrap().contains(&json!("bad:uri"))
        });
        let mut last = last.unwrap()["resourceSubscriptions"].as_array().unwrap().clone();
        last.sort_by_key(ToString::to_string);
        assert_eq!(last, ["a:1", "a:2", "first:uri"], "{uris:?}");
    }
}

#[test]
fn an_ended_stream_is_reopened_and_the_client_notified() {
    let peer = Peer::modern(CAPABILITIES, |_| complete());
    let mut program = peer.client("{}", &[]);
    peer.wait_for("subscriptions/listen", 1);
    program.ask(&request("1", "resources/subscribe", r#"{"uri":"a:b"}"#));
    peer.wait_for_closed(1);
    peer.end_streams();
    let reported: Vec<Value> = (0..3).map(|_| program.read()).collect();
    let methods: Vec<&str> = reported.iter().map(|line| line["method"].as_str().unwrap()).collect();
    assert_eq!(
        methods,
        [
            "notifications/tools/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated"
        ]
    );
    assert_eq!(reported[2]["params"], json!({"uri": "a:b"}));
    let filters = filters(&peer, 3);
    assert_eq!(filters[2], filters[1]);
}

/// The wait for the next stream ends with the session that it belongs to.
#[test]
fn a_new_session_has_one_stream_although_the_old_one_waited_for_another() {
    let peer = Peer::modern(CAPABILITIES, |_| complete());
    let mut program = peer.client("{}", &[]);
    peer.wait_for("subscriptions/listen", 1);
    program.silent_for(A_WHILE);
    peer.end_streams();
    peer.wait_for_closed(1);
    program.silent_for(A_WHILE);
    let begun = program.ask(&initialize("2025-11-25", "{}"));
    assert_eq!(begun["result"]["protocolVersion"], "2025-11-25", "{begun}");
    program.silent_for(A_WHILE);
    assert_eq!(filters(&peer, 1).len(), 1, "it is not initialized yet");
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    filters(&peer, 2);
    program.silent_for(A_WHILE * 2);
    assert_eq!(filters(&peer, 2).len(), 2);
}

#[test]
fn a_stream_that_is_refused_is_not_asked_for_until_the_filter_changes() {
    let peer = Peer::scripted(|arrived| match &*arrived.label {
        "initialize" => Answer::Error(400, UNSUPPORTED.to_owned()),
        "server/discover" => Answer::Result(discovered(CAPABILITIES)),
        "subscriptions/listen" => {
            Answer::Error(404, r#"{"code":-32601,"message":"Method not found"}"#.to_owned())
        }
        _ => complete(),
    });
    let mut program = peer.client("{}", &[]);
    peer.wait_for("subscriptions/listen", 1);
    program.silent_for(A_WHILE * 8);
    assert_eq!(filters(&peer, 1).len(), 1);
    let refused = program.ask(&request("1", "resources/subscribe", r#"{"uri":"a:b"}"#));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(filters(&peer, 2).len(), 2);
}

#[test]
fn no_stream_is_opened_where_there_is_nothing_to_hear() {
    for (capabilities, arguments) in [(r#"{"tools":{}}"#, &[][..]), (CAPABILITIES, &["--no-sse"])] {
        let peer = Peer::modern(capabilities, |_| complete());
        let mut program = peer.client("{}", arguments);
        program.ask(&request("1", "tools/list", "{}"));
        program.silent_for(A_WHILE);
        let opened = |label: &String| label == "subscriptions/listen" || label == "GET";
        assert!(!peer.labels().iter().any(opened), "{:?}", peer.labels());
    }
}
