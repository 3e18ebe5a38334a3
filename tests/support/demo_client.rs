//! The MCP client of the demo: launches the real program, and shows what passes on both sides of it.

#![allow(unreachable_pub, reason = "a module of a program")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::http::Request;
use super::support::{Algorithm, Recorded, Server, Verdict};

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer messages are shown by their beginning.
const SHOWN: usize = 230;

pub type Outcome<T> = Result<T, String>;

pub struct Scene {
    pub algorithm: Algorithm,
    /// The secret the proxy is given.
    pub secret: &'static str,
    /// Whether every message is shown, or a line for each step.
    pub full: bool,
}

/// The MCP client: the proxy's two ends, and an eye on the server.
pub struct Client<'a> {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
    pub server: &'a Server,
    wrote: Instant,
    /// How many of the server's requests have been shown.
    seen: usize,
    steps: usize,
    full: bool,
}

impl<'a> Client<'a> {
    pub fn launch(program: &Path, scene: &Scene, server: &'a Server) -> Outcome<Client<'a>> {
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

    pub fn step(&mut self, title: &str) {
        self.steps += 1;
        let line_end = if self.full { "\n" } else { "" };
        println!("{line_end}{}. {title}", self.steps);
    }

    pub fn write(&mut self, line: &str) -> Outcome<()> {
        self.show("client writes", line);
        self.wrote = Instant::now();
        let stdin = self.stdin.as_mut().ok_or("stdin is closed")?;
        writeln!(stdin, "{line}").map_err(|error| format!("the proxy does not read: {error}"))
    }

    pub fn read(&mut self) -> Outcome<Value> {
        let line = self.lines.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => "the proxy does not respond".to_owned(),
            RecvTimeoutError::Disconnected => "the proxy has closed its stdout".to_owned(),
        })?;
        let after = self.wrote.elapsed().as_millis();
        self.show("client reads", &format!("{}   [after {after} ms]", shortened(&line)));
        serde_json::from_str(&line).map_err(|_| format!("the proxy wrote what is not JSON: {line}"))
    }

    /// Waits for the next request with this label. Fails if it, or one before it, had a wrong signature.
    pub fn server_verified(&mut self, label: &str) -> Outcome<()> {
        match self.server_received(label)?.iter().find(|r| r.verdict != Verdict::Verified) {
            Some(wrong) => {
                Err(format!("the signature of {} was {:?}", wrong.label(), wrong.verdict))
            }
            None => Ok(()),
        }
    }

    pub fn server_received(&mut self, label: &str) -> Outcome<Vec<Recorded>> {
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
            Verdict::HttpStatus(code) => format!("NO, refused with {code}"),
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
            "response" => "the response to the server's request".to_owned(),
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

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Closes stdin. Fails if the proxy does not exit, or prints anything more.
    pub fn leave(&mut self) -> Outcome<()> {
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

    pub fn end_and_read_log(&mut self) -> String {
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
