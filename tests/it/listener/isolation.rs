//! Many clients at a time, all with the same ids: no client receives a message of another.

use crate::bridge::downward::peer::{Answer, Peer};
use crate::harness::listening::Listening;
use crate::harness::program::Launch;
use crate::listener::tagged_server::TaggedServer;
use crate::support::HttpClient;
use serde_json::{Value, json};
use std::thread;

/// Runs these clients at the same time.
fn at_once(clients: impl IntoIterator<Item = HttpClient>, run: impl Fn(usize, HttpClient) + Sync) {
    let run = &run;
    thread::scope(|scope| {
        for (number, client) in clients.into_iter().enumerate() {
            scope.spawn(move || run(number, client));
        }
    });
}

fn message(id: u64, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

/// One call, whose every event must be the client's own. Responds to the server's question.
fn call(client: &mut HttpClient, answers: &mut HttpClient, id: u64, name: &str) {
    let params = json!({"name": "x", "arguments": {"name": name}, "_meta": {"progressToken": id}});
    let head = client.begin("POST", &[], message(id, &params).as_bytes()).unwrap();
    assert_eq!(head.status, 200, "{head:?}");
    let mut seen = Vec::new();
    while let Some(event) = client.event().unwrap() {
        let event: Value = serde_json::from_str(&event).unwrap();
        let params = &event["params"];
        if event["method"] == "elicitation/create" {
            assert_eq!(params["message"], name, "{event}");
            let result = json!({"action": "accept", "content": {"name": name}});
            let answer = json!({"jsonrpc": "2.0", "id": event["id"], "result": result});
            assert_eq!(answers.post(&answer.to_string()).status, 202);
        } else if event["method"] == "notifications/progress" {
            assert_eq!((&params["message"], &params["progressToken"]), (&json!(name), &json!(id)));
        } else {
            assert_eq!(event["id"], id, "{event}");
            assert_eq!(event["result"]["content"][0]["text"], name, "{event}");
        }
        seen.push(event["method"].as_str().unwrap_or("result").to_owned());
    }
    assert_eq!(seen.last().unwrap(), "result", "{seen:?}");
    assert!(seen.contains(&"elicitation/create".to_owned()), "{seen:?}");
}

#[test]
fn sessions_share_nothing() {
    let server = TaggedServer::start();
    let listening = Listening::start(Launch::to(&server.url));
    let clients: Vec<_> = (0..16).map(|_| listening.client()).collect();
    at_once(clients, |_, mut client| {
        let hello = client.initialize();
        let session = hello.header("mcp-session-id").unwrap();
        assert_eq!(hello.json()["result"]["serverInfo"]["name"], session);
        let mut stream = client.standing_stream();
        thread::scope(|scope| {
            for lane in [0, 100] {
                let (mut client, mut answers) = (client.twin(), client.twin());
                scope.spawn(move || {
                    (1..=8).for_each(|id| call(&mut client, &mut answers, lane + id, session));
                });
            }
            for _ in 0..10 {
                let event = stream.event().unwrap().expect("the stream goes on");
                let event: Value = serde_json::from_str(&event).unwrap();
                assert_eq!(event["params"]["data"], session, "{event}");
            }
        });
        assert_eq!(client.ask("DELETE", &[], b"").unwrap().status, 200);
    });
    assert_eq!(server.leaks(), Vec::<String>::new());
}

/// Clients of 2026-07-28 have no sessions, and these have the same name: only their requests differ.
#[test]
fn clients_that_are_translated_for_share_nothing() {
    let server = TaggedServer::start();
    let listening = Listening::open(Launch::to(&server.url));
    let clients: Vec<_> = (0..12).map(|_| listening.client()).collect();
    at_once(clients, |number, client| {
        let mut client = client
            .with("MCP-Protocol-Version", "2026-07-28")
            .with("Mcp-Method", "tools/call")
            .with("Mcp-Name", "x");
        let name = format!("client {number}");
        for id in 1..=5 {
            let mut params = json!({
                "name": "x",
                "arguments": {"name": name},
                "_meta": {
                    "progressToken": id,
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "same", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
                },
            });
            let answer = client.post(&message(id, &params)).json();
            assert_eq!(answer["id"], id, "{answer}");
            assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
            let requests = answer["result"]["inputRequests"].as_object().unwrap();
            let (key, question) = requests.iter().next().unwrap();
            assert_eq!(question["params"]["message"], *name, "{answer}");
            params["requestState"] = answer["result"]["requestState"].clone();
            params["inputResponses"] =
                json!({key: {"action": "accept", "content": {"name": name}}});
            let answer = client.post(&message(id, &params)).json();
            assert_eq!(answer["id"], id, "{answer}");
            assert_eq!(answer["result"]["content"][0]["text"], *name, "{answer}");
        }
    });
    assert_eq!(server.leaks(), Vec::<String>::new());
}

/// Older clients before a server of 2026-07-28, which has no sessions.
#[test]
fn older_clients_before_a_newer_server_share_nothing() {
    let server = Peer::modern(r#"{"tools":{}}"#, |arrived| {
        let name = &arrived.params()["arguments"]["name"];
        let Some(responses) = arrived.params().get("inputResponses") else {
            let asks = json!({"method": "elicitation/create", "params": {"message": name, "requestedSchema": {}}});
            return Answer::Result(
                json!({"resultType": "input_required", "inputRequests": {"q": asks}}).to_string(),
            );
        };
        // Which question does it respond to?
        let text = if responses["q"]["content"]["name"] == *name { name } else { responses };
        let content = json!([{"type": "text", "text": text}]);
        Answer::Result(json!({"resultType": "complete", "content": content}).to_string())
    });
    let listening = Listening::open(Launch::to(&server.url()));
    let clients: Vec<_> = (0..12).map(|_| listening.client()).collect();
    at_once(clients, |number, mut client| {
        client.initialize();
        let mut answers = client.twin();
        let name = format!("client {number}");
        for id in 1..=5 {
            call(&mut client, &mut answers, id, &name);
        }
    });
}
