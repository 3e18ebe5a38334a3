//! A program on stdio that relays to the server, as a client drives it; or, without a program, the client's own HTTP.

use crate::relay;
use crate::server::nanoseconds;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How a peer is started; `{url}` in its words stands for the server. No words: directly.
#[derive(Clone)]
pub struct Peer {
    pub name: String,
    pub words: Vec<String>,
}

/// Time that a slow peer gets for one measurement.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls that were made, and the time that they took.
pub struct Load {
    pub calls: f64,
    pub seconds: f64,
}

/// One started peer, or the direct way.
pub struct Running {
    child: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
    port: u16,
    target: String,
    next_id: u64,
}

impl Peer {
    /// Whether it takes part over TLS: neither the direct way nor the bare relay does.
    pub fn speaks_tls(&self) -> bool {
        !self.words.is_empty() && self.words.get(1).is_none_or(|word| word != "relay")
    }

    pub fn new(name: &str, words: &[&str]) -> Peer {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Peer { name: name.to_owned(), words }
    }

    /// `[NAME=]COMMAND`: without a name the command's is shown, and without `{url}` the server's URL is its last argument.
    pub fn named(text: &str) -> Peer {
        let is_name = |name: &str| !name.contains([' ', '/', '{']);
        let (name, command) = text.split_once('=').filter(|(name, _)| is_name(name)).unzip();
        let mut words: Vec<&str> = command.unwrap_or(text).split_whitespace().collect();
        if !words.iter().any(|word| word.contains("{url}")) {
            words.push("{url}");
        }
        let program = words[0].rsplit('/').next().unwrap();
        Peer::new(name.unwrap_or(program), &words)
    }

    /// Starts the program for this server, in an environment that `configure` completes.
    pub fn spawn(
        &self,
        url: &str,
        configure: impl FnOnce(&mut Command),
    ) -> (Child, ChildStdin, ChildStdout) {
        let words: Vec<String> = self.words.iter().map(|word| word.replace("{url}", url)).collect();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "us-east-1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        configure(&mut command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", words[0]));
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (child, stdin, stdout)
    }

    /// Starts it and waits for the response to `initialize`. Returns the milliseconds that it took.
    pub fn start(&self, port: u16, query: &str) -> (Running, f64) {
        let started = Instant::now();
        let child = (!self.words.is_empty()).then(|| {
            let url = format!("http://127.0.0.1:{port}/mcp?{query}");
            let (child, stdin, stdout) = self.spawn(&url, |command| {
                command
                    .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
                    .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
                    // Reading a bundle of authorities is not what is measured.
                    .env_remove("AWS_CA_BUNDLE")
                    .env_remove("SSL_CERT_FILE");
            });
            (child, stdin, BufReader::with_capacity(256 * 1024, stdout))
        });
        let mut running = Running { child, port, target: format!("/mcp?{query}"), next_id: 1 };
        let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}"#;
        running.ask("initialize", params);
        (running, started.elapsed().as_secs_f64() * 1e3)
    }
}

impl Running {
    fn request(&mut self, method: &str, params: &str) -> String {
        self.next_id += 1;
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"{method}\",\"params\":{params}}}\n",
            self.next_id
        )
    }

    /// Sends one request and reads its response.
    pub fn ask(&mut self, method: &str, params: &str) -> usize {
        let line = self.request(method, params);
        if let Some((_, stdin, stdout)) = &mut self.child {
            stdin.write_all(line.as_bytes()).unwrap();
            return read_answer(stdout);
        }
        let answer = Mutex::new(Vec::new());
        let mut connection = connect(self.port);
        relay::exchange(&mut connection, &self.target, "", &line, &answer);
        answer.into_inner().unwrap().len()
    }

    fn call(&mut self) -> String {
        self.request("tools/call", r#"{"name":"x","arguments":{}}"#)
    }

    /// Microseconds of each of a number of calls, one after another; of fewer if they take too long.
    pub fn sequential(&mut self, count: usize) -> Vec<f64> {
        let mut direct = self.child.is_none().then(|| connect(self.port));
        let mut times = Vec::with_capacity(count);
        let first = Instant::now();
        while times.len() < count && first.elapsed() < PATIENCE {
            let line = self.call();
            let started = Instant::now();
            match (&mut self.child, &mut direct) {
                (Some((_, stdin, stdout)), _) => {
                    stdin.write_all(line.as_bytes()).unwrap();
                    read_answer(stdout);
                }
                (None, Some(connection)) => {
                    let answer = Mutex::new(Vec::new());
                    relay::exchange(connection, &self.target, "", &line, &answer);
                }
                (None, None) => unreachable!("one of the two is there"),
            }
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        times
    }

    /// Makes a number of calls, or fewer if they take too long, with a number in flight.
    pub fn load(&mut self, in_flight: usize, count: usize) -> Load {
        let lines: Vec<String> = (0..count).map(|_| self.call()).collect();
        let started = Instant::now();
        let mut calls = count;
        if let Some((_, stdin, stdout)) = &mut self.child {
            let (mut sent, mut answered) = (0, 0);
            loop {
                if started.elapsed() > PATIENCE {
                    calls = sent;
                }
                if answered == calls {
                    break;
                }
                let more = (in_flight - (sent - answered)).min(calls - sent);
                if more > 0 {
                    stdin.write_all(lines[sent..sent + more].concat().as_bytes()).unwrap();
                    sent += more;
                }
                read_answer(stdout);
                answered += 1;
            }
        } else {
            let (port, target) = (self.port, self.target.as_str());
            thread::scope(|scope| {
                for part in lines.chunks(count.div_ceil(in_flight)) {
                    scope.spawn(move || {
                        let mut connection = connect(port);
                        for line in part {
                            let answer = Mutex::new(Vec::new());
                            relay::exchange(&mut connection, target, "", line, &answer);
                        }
                    });
                }
            });
        }
        Load { calls: calls as f64, seconds: started.elapsed().as_secs_f64() }
    }

    /// From the server's write to the client's read, microseconds, of each event of one call.
    pub fn events(&mut self) -> Vec<f64> {
        let line = self.request("tools/call", r#"{"name":"count","arguments":{}}"#);
        let mut times = Vec::new();
        let mut note = |event: &str| {
            if let Some((_, at)) = event.split_once("\"at\":") {
                let at: u128 = at.trim_end_matches(['}', '\n']).parse().unwrap();
                times.push(nanoseconds().saturating_sub(at) as f64 / 1e3);
                return true;
            }
            false
        };
        if let Some((_, stdin, stdout)) = &mut self.child {
            stdin.write_all(line.as_bytes()).unwrap();
            let mut event = String::new();
            loop {
                event.clear();
                stdout.read_line(&mut event).unwrap();
                if !note(&event) {
                    break;
                }
            }
        } else {
            let sink = Mutex::new(Noting(&mut note));
            relay::exchange(&mut connect(self.port), &self.target, "", &line, &sink);
        }
        times
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|(child, ..)| child.id())
    }

    /// Milliseconds of processor time so far.
    pub fn cpu(&self) -> f64 {
        let Some(pid) = self.pid() else { return 0.0 };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<f64>().unwrap_or(0.0))
            .sum();
        ticks * 10.0
    }

    /// A line of /proc/PID/status, in megabytes.
    pub fn memory(&self, line: &str) -> f64 {
        self.pid().map_or(0.0, |pid| memory(pid, line))
    }
}

/// A line of /proc/PID/status, in megabytes.
pub fn memory(pid: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|known| known.strip_prefix(line));
    let kilobytes = found.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0 / 1e6
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((mut child, stdin, stdout)) = self.child.take() {
            // One that still writes must not wait for a reader.
            drop((stdin, stdout));
            let _ = child.wait();
        }
    }
}

struct Noting<'a>(&'a mut dyn FnMut(&str) -> bool);

impl Write for Noting<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.0)(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn connect(port: u16) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::with_capacity(256 * 1024, stream)
}

/// The length of the next line.
fn read_answer(stdout: &mut BufReader<ChildStdout>) -> usize {
    let mut line = Vec::new();
    let count = stdout.read_until(b'\n', &mut line).unwrap();
    assert!(count > 0, "the peer has ended");
    count
}
