//! `make demo`: a whole MCP session through the real program, seen from both of its ends.
//!
//! The first argument is the program; without one it is looked for where cargo puts it, one folder up. Fails, saying
//! why, when anything is not as it should be.

#![allow(clippy::print_stdout, reason = "the demo is what it prints")]

mod demo_client;
#[path = "mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use demo_client::{Client, Outcome, Scene};
use serde_json::Value;
use support::{Algorithm, Mode, Server, ServerOptions, Verdict};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const WRONG_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEZ";

const INTRODUCTION: &str = "\
An MCP client writes JSON-RPC lines to sigv4-proxy's stdin. The proxy signs each one and sends it to a
remote MCP server, here a local one that verifies every signature with AWS's own signer. Responses come
back on stdout. The keys are the examples of AWS's documentation.
";

const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
    r#""capabilities":{"elicitation":{}},"clientInfo":{"name":"demo","version":"1.0.0"}}}"#
);

fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            println!("\nAll of it as expected.");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("\nThe demo failed: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let program = program()?;
    println!("{INTRODUCTION}");
    println!("=== A session signed with SigV4 ===");
    demonstrate(
        &program,
        &Scene { algorithm: Algorithm::V4, secret: SECRET, full: true },
        session,
    )?;
    println!("\n=== The same session signed with SigV4a, in brief ===\n");
    demonstrate(
        &program,
        &Scene { algorithm: Algorithm::V4a, secret: SECRET, full: false },
        session,
    )?;
    println!("\n=== A wrong secret ===");
    let scene = Scene { algorithm: Algorithm::V4, secret: WRONG_SECRET, full: true };
    demonstrate(&program, &scene, refused)
}

fn demonstrate(
    program: &Path,
    scene: &Scene,
    act: fn(&mut Client<'_>) -> Outcome<()>,
) -> Outcome<()> {
    let options = ServerOptions { mode: Mode::Sse, sessions: true, ..ServerOptions::default() };
    let server = Server::start(options);
    let mut client = Client::launch(program, scene, &server)?;
    let outcome = act(&mut client).and_then(|()| client.leave());
    outcome.map_err(|why| format!("{why}\n\nWhat the proxy logged:\n{}", client.end_and_read_log()))
}

fn session(client: &mut Client<'_>) -> Outcome<()> {
    client.step("The client introduces itself");
    client.write(INITIALIZE)?;
    client.server_verified("initialize")?;
    let answer = client.read()?;
    expect(answer["result"]["protocolVersion"] == "2025-11-25", "the version is agreed", &answer)?;

    client.step("It says that it is ready, a notification without a response");
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)?;
    client.server_verified("notifications/initialized")?;

    client.step("It lists the tools");
    client.write(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#)?;
    client.server_verified("tools/list")?;
    let answer = client.read()?;
    expect(answer["result"]["tools"][0]["name"] == "add", "the tools are listed", &answer)?;

    client.step("It calls a tool");
    client.write(&call(3, r#""name":"add","arguments":{"a":2,"b":3}"#))?;
    client.server_verified("tools/call")?;
    let answer = client.read()?;
    expect(answer["id"] == 3 && text(&answer) == "5", "2 + 3 is 5", &answer)?;

    progress(client)?;
    question(client)
}

/// Each number must come when it was counted, not with the result.
fn progress(client: &mut Client<'_>) -> Outcome<()> {
    client.step("A slow tool reports its progress, which arrives as it happens");
    let count = r#""name":"count","arguments":{"to":3,"delay_ms":250}"#;
    client.write(&call(4, &format!(r#"{count},"_meta":{{"progressToken":"count-token"}}"#)))?;
    client.server_verified("tools/call")?;
    let mut first = None;
    for number in 1..=3 {
        let event = client.read()?;
        first.get_or_insert_with(Instant::now);
        let params = &event["params"];
        let right = params["progress"] == number && params["progressToken"] == "count-token";
        expect(right, "progress comes in order under the client's token", &event)?;
    }
    let answer = client.read()?;
    expect(text(&answer) == "counted to 3", "the count ends", &answer)?;
    let spread = first.map(|first| first.elapsed()).unwrap_or_default();
    expect(spread > Duration::from_millis(400), "progress is not held back", &answer)
}

fn question(client: &mut Client<'_>) -> Outcome<()> {
    client.step("A tool asks the user a question before it returns");
    client.write(&call(5, r#""name":"ask","arguments":{}"#))?;
    client.server_verified("tools/call")?;
    let question = client.read()?;
    expect(question["method"] == "elicitation/create", "the server's question arrives", &question)?;
    let (id, result) = (&question["id"], r#"{"action":"accept","content":{"name":"Ada"}}"#);
    client.write(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))?;
    client.server_verified("response")?;
    let answer = client.read()?;
    let right = answer["id"] == 5 && text(&answer).contains("Ada");
    expect(right, "the tool got the user's answer", &answer)?;

    client.step("The client closes stdin, and the proxy ends the session");
    client.close_stdin();
    client.server_verified("DELETE")
}

fn refused(client: &mut Client<'_>) -> Outcome<()> {
    client.step("The proxy was given a secret that is not the key's");
    client.write(INITIALIZE)?;
    client.server_received("initialize")?;
    let answer = client.read()?;
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    println!("\n   What the client shows its user:\n");
    for line in message.lines() {
        println!("      {line}");
    }
    println!();
    let reported = answer["id"] == 1 && !message.is_empty();
    expect(reported, "the client gets an error", &answer)?;
    expect(!answer.to_string().contains(WRONG_SECRET), "no secret is shown", &answer)?;
    let wrong = Verdict::HttpStatus("InvalidSignatureException");
    let refused = client.server.requests().iter().all(|request| request.verdict == wrong);
    expect(refused, "the server refuses every request", &answer)
}

fn call(id: u32, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{params}}}}}"#)
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

fn expect(right: bool, what: &str, read: &Value) -> Outcome<()> {
    if right { Ok(()) } else { Err(format!("expected that {what}; the client read\n{read}")) }
}

fn program() -> Outcome<PathBuf> {
    if let Some(given) = std::env::args_os().nth(1) {
        return Ok(PathBuf::from(given));
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = own.parent().and_then(Path::parent).ok_or("this program is in no folder")?;
    let program = folder.join(format!("sigv4-proxy{}", std::env::consts::EXE_SUFFIX));
    if program.exists() {
        Ok(program)
    } else {
        Err(format!("{} is not there; build it first: cargo build", program.display()))
    }
}
