//! Clients hand over pipes that do not block: the program waits, loses nothing, and uses no processor time meanwhile.

#![cfg(target_os = "linux")]

use crate::harness::messages::{call, json_reply, text_of};
use crate::harness::program::{KEY_ID, PATIENCE, SECRET};
use crate::support::{Server, ServerOptions};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;

/// A program whose standard streams are pipes that do not block at its ends.
struct Started {
    child: Child,
    stdin: PipeWriter,
    stdout: BufReader<PipeReader>,
    stderr: PipeReader,
}

impl Started {
    fn with(server: &Server) -> Started {
        let (input, stdin) = pipe().unwrap();
        let (stdout, output) = pipe().unwrap();
        let (stderr, log) = pipe().unwrap();
        for descriptor in [input.as_fd(), output.as_fd(), log.as_fd()] {
            let flags = fcntl_getfl(descriptor).unwrap();
            fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).unwrap();
        }
        #[expect(clippy::disallowed_methods, reason = "the child gets a stdin of its own")]
        let child = Command::new(env!("CARGO_BIN_EXE_sigv4-proxy"))
            .args(["--region", "us-east-1", "--service-name", "execute-api"])
            .arg(server.url("/mcp"))
            .env_clear()
            .envs([("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)])
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        Started { child, stdin, stdout: BufReader::new(stdout), stderr }
    }

    /// Writes in pieces, with pauses in which stdin is empty.
    fn trickle(&mut self, line: &str) {
        for piece in format!("{line}\n").as_bytes().chunks(60) {
            self.stdin.write_all(piece).unwrap();
            park_timeout(Duration::from_millis(5));
        }
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Processor time so far, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum()
    }
}

#[test]
fn non_blocking_standard_streams_are_waited_for() {
    let server = Server::start(ServerOptions::default());
    let large = "x".repeat(300_000);
    let reply = json!({"jsonrpc": "2.0", "id": 2, "result": {"content": [{"type": "text", "text": large}]}});
    let mut program = Started::with(&server);
    program.trickle(INITIALIZE);
    assert!(program.read()["result"].is_object());
    program.trickle(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    server.reply_next("tools/call", json_reply(200, &reply.to_string()));
    let before = program.ticks();
    program.trickle(&call("2", "echo", &json!({"text": "é".repeat(100)})));
    // stdin is empty and stdout is full.
    park_timeout(Duration::from_millis(500));
    let used = program.ticks() - before;
    assert!(used < 20, "{used} ticks in half a second of waiting");
    assert_eq!(text_of(&program.read()), large);

    program.trickle(&call("3", "add", &json!({"a": 2, "b": 40})));
    drop(program.stdin);
    let mut rest = String::new();
    program.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(text_of(&serde_json::from_str(&rest).unwrap()), "42");
    let mut log = String::new();
    program.stderr.read_to_string(&mut log).unwrap();
    assert!(log.contains("ready to accept"), "{log}");
    let ended = Instant::now();
    while program.child.try_wait().unwrap().is_none() {
        assert!(ended.elapsed() < PATIENCE, "the program does not end");
        park_timeout(Duration::from_millis(2));
    }
    assert!(program.child.wait().unwrap().success());
}
