//! The real program as a client launches it: stdin, stdout, stderr, exit code.

use crate::support::Server;
use crate::support::identity_center;
use crate::support::tls::connect_proxy;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A start of the program. Its environment is empty except for the variables given here.
pub(crate) struct Launch {
    arguments: Vec<String>,
    environment: Vec<(String, OsString)>,
    /// Commands of a shell that then becomes the program.
    shell: Option<String>,
    reads_stderr: bool,
}

impl Launch {
    /// With the example key, for a server of execute-api in us-east-1.
    pub(crate) fn to(url: &str) -> Launch {
        Launch::bare(&[
            "--target-url",
            url,
            "--region",
            "us-east-1",
            "--service-name",
            "execute-api",
        ])
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    /// A start with these arguments only, without home folder and metadata service.
    pub(crate) fn bare(arguments: &[&str]) -> Launch {
        Launch {
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            environment: Vec::new(),
            shell: None,
            reads_stderr: true,
        }
        .env("HOME", "/nonexistent")
        // Otherwise Windows makes temporary files in the home folder.
        .env("TEMP", env!("CARGO_TARGET_TMPDIR"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        // The whole log is searched for secrets; tests see it without the debug lines.
        .env("MCP_LOG_LEVEL", "debug")
    }

    /// With the example key, for a server that is reached as this host and path. Nothing else is named.
    pub(crate) fn under_name(server: &Server, name: &str) -> Launch {
        let port = server.url("").rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let (proxy, _) = connect_proxy(port.expect("a port"));
        Launch::bare(&[&format!("http://{name}"), "--allow-http", "--no-sse"])
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("http_proxy", &format!("http://127.0.0.1:{proxy}"))
    }

    pub(crate) fn without_env(mut self, name: &str) -> Launch {
        self.environment.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn arg(mut self, argument: &str) -> Launch {
        self.arguments.push(argument.to_owned());
        self
    }

    pub(crate) fn env(self, name: &str, value: &str) -> Launch {
        self.env_os(name, value)
    }

    /// The value need not be UTF-8. `HOME` is the home folder on every system.
    pub(crate) fn env_os(mut self, name: &str, value: impl AsRef<OsStr>) -> Launch {
        let names =
            if cfg!(windows) && name == "HOME" { &["HOME", "USERPROFILE"][..] } else { &[name] };
        for name in names {
            self.environment.push(((*name).to_owned(), value.as_ref().to_owned()));
        }
        self
    }

    /// By a shell that runs these commands first, and becomes the program.
    #[cfg(unix)]
    pub(crate) fn after(mut self, commands: &str) -> Launch {
        self.shell = Some(format!("{commands}; exec \"$0\" \"$@\""));
        self
    }

    /// As a client that never reads stderr.
    pub(crate) fn without_reading_stderr(mut self) -> Launch {
        self.reads_stderr = false;
        self
    }

    pub(crate) fn start(&self) -> Program {
        let mut program = self.start_unread();
        let stdout = program.unread.take().expect("it is piped");
        let (sender, lines) = channel();
        let secrets = self.secrets();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                assert_no_secret(&line, &secrets);
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        program.lines = Some(lines);
        program
    }

    /// A start followed by the handshake.
    pub(crate) fn begin(&self) -> Program {
        let mut program = self.start();
        program.shake_hands();
        program
    }

    /// As a client that does not read.
    pub(crate) fn start_unread(&self) -> Program {
        let program = env!("CARGO_BIN_EXE_sigv4-proxy");
        #[expect(clippy::disallowed_methods, reason = "the child gets a stdin of its own")]
        let mut command = Command::new(self.shell.as_ref().map_or(program, |_| "/bin/sh"));
        if let Some(commands) = &self.shell {
            command.args(["-c", commands, program]);
        }
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdin = child.stdin.take();
        let unread = child.stdout.take();
        let stderr = child.stderr.take().expect("it is piped");
        let (mut log, mut log_lines, mut unread_stderr) = (None, None, None);
        if self.reads_stderr {
            let (sender, receiver) = channel();
            log_lines = Some(receiver);
            log = Some(std::thread::spawn(move || {
                let (mut text, mut stderr) = (String::new(), BufReader::new(stderr));
                let mut line = Vec::new();
                while stderr.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                    let read = String::from_utf8_lossy(&line).into_owned();
                    line.clear();
                    text += &read;
                    let _ = sender.send(read);
                }
                text
            }));
        } else {
            unread_stderr = Some(stderr);
        }
        let shows_debug = self.arguments.iter().any(|argument| argument.contains("debug"))
            || self.environment.iter().filter(|(name, _)| name == "MCP_LOG_LEVEL").count() > 1;
        Program {
            child,
            stdin,
            unread,
            lines: None,
            log,
            log_lines,
            _unread_stderr: unread_stderr,
            secrets: self.secrets(),
            shows_debug,
        }
    }

    fn secrets(&self) -> Vec<String> {
        let given = self.environment.iter().filter(|(name, value)| {
            let is_secret = ["SECRET", "TOKEN", "TEAM_KEY"].iter().any(|word| name.contains(word));
            is_secret && value.len() > 5 && !name.ends_with("FILE")
        });
        let given = given.map(|(_, value)| value.to_string_lossy().into_owned());
        let fixed = [SECRET, "Signature="].into_iter().chain(identity_center::SECRETS);
        given.chain(fixed.map(str::to_owned)).collect()
    }

    /// Runs it with this input to its end.
    pub(crate) fn run(&self, input: &str) -> Ended {
        let mut program = self.start();
        program.write_raw(input.as_bytes());
        program.close()
    }
}

pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    unread: Option<ChildStdout>,
    lines: Option<Receiver<String>>,
    log: Option<JoinHandle<String>>,
    /// Its lines on stderr as they come.
    log_lines: Option<Receiver<String>>,
    /// Open, and full.
    _unread_stderr: Option<ChildStderr>,
    secrets: Vec<String>,
    /// The test wants debug lines.
    shows_debug: bool,
}

/// The outcome of a program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// The lines after the last one that was read.
    pub lines: Vec<String>,
    pub log: String,
    pub took: Duration,
}

impl Program {
    #[cfg(unix)]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn write(&mut self, line: &str) {
        self.write_raw(format!("{line}\n").as_bytes());
    }

    pub(crate) fn write_raw(&mut self, bytes: &[u8]) {
        // If the program has ended already, its outcome shows it.
        let _ = self.stdin.as_mut().expect("stdin is open").write_all(bytes);
    }

    /// The next line, which must be JSON.
    pub(crate) fn read(&mut self) -> Value {
        let line = self.read_line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    pub(crate) fn read_line(&mut self) -> String {
        self.lines
            .as_ref()
            .expect("stdout is open")
            .recv_timeout(PATIENCE)
            .expect("a line on stdout")
    }

    /// Expects that no line arrives in this time.
    pub(crate) fn silent_for(&mut self, time: Duration) {
        match self.lines.as_ref().expect("stdout is open").recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("expected silence, got {other:?}"),
        }
    }

    /// Waits for the first line on stderr for which `find` returns a value.
    pub(crate) fn logged<T>(&mut self, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let lines = self.log_lines.as_ref().expect("stderr is read");
        loop {
            let line = lines.recv_timeout(PATIENCE).expect("a line on stderr");
            if let Some(found) = find(&line) {
                return found;
            }
        }
    }

    /// Writes a request and reads the next line.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.write(line);
        self.read()
    }

    /// Performs the handshake of a 2025-11-25 client.
    pub(crate) fn shake_hands(&mut self) -> Value {
        let answer = self.ask(
            r#"{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"test","version":"1"}}}"#,
        );
        assert!(answer["result"].is_object(), "{answer}");
        self.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        answer
    }

    pub(crate) fn close_stdout(&mut self) {
        // The thread that reads stdout goes with its receiver at the next line.
        self.lines = None;
    }

    /// Sends a signal, such as `-TERM`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: &str) {
        #[expect(clippy::disallowed_methods, reason = "kill(1) reads no stdin")]
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    /// Ends it at once. A program that does not read stdin outlives its tests otherwise.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Closes stdin and waits for the end.
    pub(crate) fn close(mut self) -> Ended {
        self.stdin = None;
        self.wait()
    }

    /// Waits for the end without closing stdin.
    pub(crate) fn wait(mut self) -> Ended {
        let started = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status.code();
            }
            assert!(started.elapsed() < PATIENCE, "the program does not end");
            std::thread::park_timeout(Duration::from_millis(2));
        };
        let took = started.elapsed();
        let lines = self.lines.take().map(|lines| lines.iter().collect()).unwrap_or_default();
        let log = self.checked_log();
        Ended { code, lines, log, took }
    }
}

impl Program {
    /// The text on stderr. Fails if it contains a secret or reports a bug.
    fn checked_log(&mut self) -> String {
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        assert_no_secret(&log, &self.secrets);
        assert!(!log.contains("bug in sigv4-proxy"), "{log}");
        if self.shows_debug {
            return log;
        }
        let shown = log.lines().filter(|line| !line.starts_with("DEBUG: "));
        shown.fold(String::new(), |text, line| text + line + "\n")
    }
}

/// In none of the forms in which a server could send it back.
pub(crate) fn assert_no_secret(text: &str, secrets: &[String]) {
    // Large texts are results of tools.
    let is_short = text.len() < 256 * 1024 && text.contains(['\\', '%']);
    let decoded = if is_short { decoded(text) } else { String::new() };
    for secret in secrets {
        let base64 = STANDARD_NO_PAD.encode(secret);
        let base64 = &base64[..base64.len() - 1];
        for text in [text, &decoded] {
            let is_shown = text.contains(secret.as_str()) || text.contains(base64);
            assert!(!is_shown, "a secret is shown: {text}");
        }
    }
}

/// Without the escapes of JSON, however often they were put on, and of URLs.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    let code = |digits: Option<&str>| char::from_u32(u32::from_str_radix(digits?, 16).ok()?);
    while let Some(c) = rest.chars().next() {
        let escaped = rest.trim_start_matches('\\');
        let escape = if rest.starts_with('%') {
            code(rest.get(1..3)).map(|c| (c, &rest[3..]))
        } else if rest.len() > escaped.len() && escaped.starts_with('u') {
            code(escaped.get(1..5)).map(|c| (c, &escaped[5..]))
        } else if rest.len() > escaped.len() {
            rest = escaped;
            continue;
        } else {
            None
        };
        let (c, after) = escape.unwrap_or((c, &rest[c.len_utf8()..]));
        decoded.push(c);
        rest = after;
    }
    decoded
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            self.checked_log();
        }
    }
}
