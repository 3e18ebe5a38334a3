//! Many clients at a time, and that none gets what is another's.

use crate::harness::listening::Listening;
use crate::harness::program::Launch;
use crate::listener::tagged_server::TaggedServer;
use crate::support::HttpClient;
use serde_json::{Value, json};
use std::thread;

/// One call as a client sees it: every event must name the client's session, and the server's question is answered.
fn call(client: &mut HttpClient, answers: &mut HttpClient, id: u64, session: &str) {
    let arguments = json!({"session": session});
    let message = json!({
        "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "x", "arguments": arguments, "_meta": {"progressToken": id}},
    });
    let head = client.begin("POST", &[], message.to_string().as_bytes()).unwrap();
    assert_eq!(head.status, 200, "{head:?}");
    let mut seen = Vec::new();
    while let Some(event) = client.event().unwrap() {
        let event: Value = serde_json::from_str(&event).unwrap();
        let params = &event["params"];
        if event["method"] == "elicitation/create" {
            assert_eq!(params["message"], session, "{event}");
            let result = json!({"action": "accept", "content": {"session": session}});
            let answer = json!({"jsonrpc": "2.0", "id": event["id"], "result": result});
            assert_eq!(answers.post(&answer.to_string()).status, 202);
        } else if event["method"] == "notifications/progress" {
            assert_eq!(
                (&params["message"], &params["progressToken"]),
                (&json!(session), &json!(id))
            );
        } else {
            assert_eq!(event["id"], id, "{event}");
            assert_eq!(event["result"]["content"][0]["text"], session, "{event}");
        }
        seen.push(event["method"].as_str().unwrap_or("result").to_owned());
    }
    assert_eq!(seen, ["notifications/progress", "elicitation/create", "result"]);
}

/// All use the same ids, progress tokens and, at the server, ids of questions.
#[test]
fn no_message_reaches_another_client() {
    let server = TaggedServer::start();
    let listening = Listening::start(Launch::to(&server.url));
    let clients: Vec<_> = (0..16).map(|_| listening.client()).collect();
    thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    let hello = client.initialize();
                    let session = hello.header("mcp-session-id").unwrap().to_owned();
                    assert_eq!(hello.json()["result"]["serverInfo"]["name"], *session);
                    let mut stream = client.twin();
                    let mut events = 0;
                    assert_eq!(stream.begin("GET", &[], b"").unwrap().status, 200);
                    thread::scope(|scope| {
                        for lane in 0..2 {
                            let (mut client, mut answers) = (client.twin(), client.twin());
                            let session = &session;
                            scope.spawn(move || {
                                for id in 1..=8 {
                                    call(&mut client, &mut answers, lane * 100 + id, session);
                                }
                            });
                        }
                        while events < 10 {
                            let event = stream.event().unwrap().expect("the stream goes on");
                            let event: Value = serde_json::from_str(&event).unwrap();
                            assert_eq!(event["params"]["data"], *session, "{event}");
                            events += 1;
                        }
                    });
                    assert_eq!(client.ask("DELETE", &[], b"").unwrap().status, 200);
                })
            })
            .collect();
        running.into_iter().for_each(|client| client.join().unwrap());
    });
    assert_eq!(server.leaks(), Vec::<String>::new());
}
