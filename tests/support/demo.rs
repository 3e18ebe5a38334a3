//! `make demo`: a whole MCP session through the real program, seen from both of its ends.
//!
//! The first argument is the program; without one it is looked for where cargo puts it, one folder up. Fails, saying
//! why, when anything is not as it should be.

#![allow(clippy::print_stdout, reason = "the demo is what it prints")]

#[path = "mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::http::Request;
use support::{Algorithm, Mode, Recorded, Server, ServerOptions, Verdict};

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const WRONG_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEZ";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer texts are shown by their beginning.
const SHOWN: usize = 230;

const INTRODUCTION: &str = "\
An MCP client writes JSON-RPC lines to sigv4-proxy's stdin. The proxy signs each one and sends it to a
remote MCP server, here one on this machine that verifies every signature with AWS's own signer. What
the server answers comes back on stdout. The keys are the examples of AWS's documentation.
";

const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
    r#""capabilities":{"elicitation":{}},"clientInfo":{"name":"demo","version":"1.0.0"}}}"#
);

type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            println!("\nEverything was as it should be.");
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

struct Scene {
    algorithm: Algorithm,
    /// The secret the proxy is given.
    secret: &'static str,
    /// Whether every message is shown, or a line for each step.
    full: bool,
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

    client.step("It says that it is ready, which no one answers");
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)?;
    client.server_verified("notifications/initialized")?;

    client.step("It asks which tools there are");
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
    client.step("A tool asks the user something before it answers");
    client.write(&call(5, r#""name":"ask","arguments":{}"#))?;
    client.server_verified("tools/call")?;
    let question = client.read()?;
    expect(question["method"] == "elicitation/create", "the server's question arrives", &question)?;
    let (id, result) = (&question["id"], r#"{"action":"accept","content":{"name":"Ada"}}"#);
    client.write(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))?;
    client.server_verified("response")?;
    let answer = client.read()?;
    let right = answer["id"] == 5 && text(&answer).contains("Ada");
    expect(right, "the tool had the user's answer", &answer)?;

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
    let told = answer["id"] == 1 && !message.is_empty();
    expect(told, "the client is answered with an error", &answer)?;
    expect(!answer.to_string().contains(WRONG_SECRET), "no secret is shown", &answer)?;
    let wrong = Verdict::Refused("InvalidSignatureException");
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

/// The MCP client: the proxy's two ends, and an eye on the server.
struct Client<'a> {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
    server: &'a Server,
    wrote: Instant,
    /// How many of the server's requests have been shown.
    seen: usize,
    steps: usize,
    full: bool,
}

impl<'a> Client<'a> {
    fn launch(program: &Path, scene: &Scene, server: &'a Server) -> Outcome<Client<'a>> {
        let url = server.url("/mcp");
        let mut arguments =
            vec!["--target-url", &url, "--region", "us-east-1", "--service-name", "execute-api"];
        if scene.algorithm == Algorithm::V4a {
            arguments.extend(["--sig-version", "v4a"]);
        }
        if scene.full {
            println!("\n$ sigv4-proxy {}", arguments.join(" "));
        }
        #[expect(clippy::disallowed_methods, reason = "the child gets a stdin of its own")]
        let mut command = Command::new(program);
        // Nothing of this machine's AWS configuration may take part.
        command.args(arguments).env_clear();
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", scene.secret);
        let environment = sigv4_proxy::environment::Environment::of_process();
        if let Some(folder) = environment.get("SystemRoot") {
            command.env("SystemRoot", folder); // Windows has no sockets without it
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", program.display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (lines, log) = (lines_of(stdout), Some(text_of(stderr)));
        Ok(Client {
            child,
            stdin,
            lines,
            log,
            server,
            wrote: Instant::now(),
            seen: 0,
            steps: 0,
            full: scene.full,
        })
    }

    fn step(&mut self, title: &str) {
        self.steps += 1;
        let line_end = if self.full { "\n" } else { "" };
        println!("{line_end}{}. {title}", self.steps);
    }

    fn write(&mut self, line: &str) -> Outcome<()> {
        self.show("client writes", line);
        self.wrote = Instant::now();
        let stdin = self.stdin.as_mut().ok_or("stdin is closed")?;
        writeln!(stdin, "{line}").map_err(|error| format!("the proxy does not read: {error}"))
    }

    fn read(&mut self) -> Outcome<Value> {
        let line = self.lines.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => "the proxy does not answer".to_owned(),
            RecvTimeoutError::Disconnected => "the proxy has closed its stdout".to_owned(),
        })?;
        let after = self.wrote.elapsed().as_millis();
        self.show("client reads", &format!("{}   [after {after} ms]", shortened(&line)));
        serde_json::from_str(&line).map_err(|_| format!("the proxy wrote what is not JSON: {line}"))
    }

    /// Waits for the next request of that label, and demands that all up to it were signed rightly.
    fn server_verified(&mut self, label: &str) -> Outcome<()> {
        match self.server_received(label)?.iter().find(|r| r.verdict != Verdict::Verified) {
            Some(wrong) => {
                Err(format!("the signature of {} was {:?}", wrong.label(), wrong.verdict))
            }
            None => Ok(()),
        }
    }

    fn server_received(&mut self, label: &str) -> Outcome<Vec<Recorded>> {
        let place = |all: &[Recorded]| {
            all.iter().skip(self.seen).position(|request| request.label() == label)
        };
        let all = self.server.wait_for(PATIENCE, |all| place(all).is_some());
        let count = 1 + place(&all).ok_or(format!("the server never received {label}"))?;
        let new = all[self.seen..self.seen + count].to_vec();
        self.seen += count;
        for request in &new {
            self.show_request(request);
        }
        Ok(new)
    }

    fn show(&self, who: &str, message: &str) {
        if self.full {
            println!("   {who:<15}{message}");
        }
    }

    fn show_request(&self, received: &Recorded) {
        let verdict = match received.verdict {
            Verdict::Verified => "yes".to_owned(),
            Verdict::Refused(code) => format!("NO, refused with {code}"),
            Verdict::Unchecked => "not checked".to_owned(),
        };
        let authorization = received.header("authorization").unwrap_or("(none)");
        if !self.full {
            let algorithm = authorization.split(' ').next().unwrap_or_default();
            println!("   {:<28}{algorithm}, signature verified: {verdict}", received.label());
            return;
        }
        let what = match received.label().as_str() {
            "GET" => "is there a stream for the server's own messages? (here: no, 405)".to_owned(),
            "DELETE" => "the session is over".to_owned(),
            "response" => "the answer to the server's question".to_owned(),
            method => method.to_owned(),
        };
        let Request { method, target, .. } = &received.request;
        println!("   server gets    {method} {target}: {what}");
        let (rest, signature) =
            authorization.split_once("Signature=").unwrap_or((authorization, ""));
        let rest = rest.trim_end().replace(", ", ",\n                     ");
        println!("                  Authorization: {rest}");
        println!(
            "                     Signature={}… ({} hex digits)",
            signature.get(..12).unwrap_or(signature),
            signature.len()
        );
        println!("                  signature verified: {verdict}");
    }

    fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The proxy must end by itself once its stdin has ended, with nothing more to say.
    fn leave(&mut self) -> Outcome<()> {
        self.close_stdin();
        match self.lines.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => return Err("the proxy does not end".to_owned()),
            Ok(line) => return Err(format!("the proxy wrote one line too many: {line}")),
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("the proxy ended with {status}"));
        }
        self.show("proxy ends", "exit code 0");
        Ok(())
    }

    fn end_and_read_log(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log.take().and_then(|log| log.join().ok()).unwrap_or_default()
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Read all the time, or the proxy would wait for room in the pipe.
fn text_of(mut stderr: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &message[..end], message.len()),
        None => message.to_owned(),
    }
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
