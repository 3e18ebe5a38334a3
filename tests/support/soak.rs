//! `make soak`: the real program against a server with random faults, from a seed.
//!
//! `soak PROGRAM COUNT SEED` sends COUNT requests, up to 64 at a time. Each must get exactly one response, its own, and the
//! process must be alive and healthy at the end; its use of resources is reported.
//! A second part runs against a server that multiplies what it can: half as many streams that stay open, half as many pings,
//! and a twentieth as many idle connections, all of which it closes at once.

#![allow(clippy::print_stdout, reason = "the report is what it prints")]

#[path = "hostile_server.rs"]
mod hostile_server;
#[path = "mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hostile_server::HostileServer;
use serde_json::Value;
use support::{Mode, Reply, Server, ServerOptions};

const MOST_IN_FLIGHT: usize = 64;
/// Longer than any limit of the program as it is started here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pseudo-random numbers from a seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A fault instead of the normal response, and its name in the report.
fn fault(dice: &mut Dice) -> (&'static str, Reply) {
    let raw = |text: &str| Reply::Raw(text.as_bytes().to_vec());
    let status = |code, headers: &[(&str, &str)], body: &str| Reply::Status {
        code,
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        body: body.into(),
    };
    let json = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let events = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n";
    let note = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";
    match dice.roll(26) {
        0 => ("closed", Reply::Close),
        1 => ("cut in the head", raw("HTTP/1.1 200 OK\r\nContent-Ty")),
        2 => ("cut in the body", raw(&format!("{json}Content-Length: 99\r\n\r\n{{\"jsonrpc\""))),
        3 => ("bad chunk", raw(&format!("{json}Transfer-Encoding: chunked\r\n\r\nzz\r\n"))),
        4 => ("garbage", raw("\u{1}\u{2}garbage\r\n\r\n")),
        5 => ("HTML", status(200, &[("Content-Type", "text/html")], "<html>")),
        6 => ("not JSON", status(200, &[("Content-Type", "application/json")], "{oops")),
        7 => {
            let other = r#"{"jsonrpc":"2.0","id":"not yours","result":{}}"#;
            ("another's answer", status(200, &[("Content-Type", "application/json")], other))
        }
        8 => ("202", status(202, &[], "")),
        9 => ("stream without answer", raw(&format!("{events}{note}"))),
        10 => ("stream cut in an event", raw(&format!("{events}{note}data: {{\"jsonr"))),
        11 => ("stream of garbage", raw(&format!("{events}data: [[[[\n\n:\n\ndata: \u{7}\n\n"))),
        12 => ("redirect", Reply::Redirect("https://elsewhere.example/".to_owned())),
        13 => ("400", status(400, &[], "bad")),
        14 => ("403", Reply::aws_error(403, "AccessDeniedException", "no")),
        15 => ("expired token", Reply::aws_error(403, "ExpiredTokenException", "expired")),
        16 => ("429", status(429, &[("x-amz-retry-after", "20")], "")),
        17 => ("503", status(503, &[("x-amz-retry-after", "20")], "")),
        18 => ("500", status(500, &[], "it broke")),
        19 => ("502", status(502, &[("Content-Type", "text/html")], "<html>")),
        20 => ("504", status(504, &[], "")),
        21 => ("session lost", status(404, &[], "")),
        22 if dice.roll(20) == 0 => ("silence", Reply::Hang),
        23 => {
            let slow = vec![
                (Duration::ZERO, format!("{events}{note}").into_bytes()),
                (Duration::from_millis(30), note.as_bytes().to_vec()),
            ];
            ("slow stream without answer", Reply::RawPieces(slow))
        }
        24 => ("endless head", raw(&format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(20_000)))),
        _ => ("truncated at once", raw("H")),
    }
}

struct Proxy {
    child: Child,
    stdin: std::process::ChildStdin,
    lines: Receiver<String>,
}

impl Proxy {
    fn start(program: &str, url: &str, more: &[String]) -> Proxy {
        #[expect(clippy::disallowed_methods, reason = "the child gets a stdin of its own")]
        let mut child = Command::new(program)
            .args(["--target-url", url, "--region=us-east-1", "--service-name=execute-api"])
            .args(["--log-level=silent", "--read-timeout=2s", "--timeout=20s"])
            .args(more)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Proxy { child, stdin, lines }
    }

    fn write(&mut self, line: &str) -> Result<(), String> {
        let written = self.stdin.write_all(format!("{line}\n").as_bytes());
        written.map_err(|error| format!("the program is gone: {error}"))
    }

    fn shake_hands(&mut self) -> Result<(), String> {
        self.write(r#"{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"soak","version":"1"}}}"#)?;
        self.read()?;
        self.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
    }

    fn read(&mut self) -> Result<Value, String> {
        let line = self.lines.recv_timeout(PATIENCE).map_err(|_| "no answer came".to_owned())?;
        serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))
    }

    /// Calls the tool so often, each call with its own text, which is to come back if calls succeed.
    fn call_side_by_side(
        &mut self,
        tool: &str,
        calls: u64,
        at_once: usize,
        count: u64,
        succeed: bool,
    ) -> Result<(), String> {
        let (mut open, mut sent, mut peak) = (0, 0, [0; 3]);
        while sent < calls || open > 0 {
            while sent < calls && open < at_once {
                let arguments = format!(r#"{{"text":"{tool} {sent}","count":{count}}}"#);
                self.write(&format!(
                    r#"{{"jsonrpc":"2.0","id":"{tool} {sent}","method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
                ))?;
                sent += 1;
                open += 1;
            }
            let message = self.read()?;
            if message["method"].is_string() {
                continue;
            }
            if succeed != (message["result"]["content"][0]["text"] == message["id"]) {
                return Err(format!("{tool}: an answer that was not expected: {message}"));
            }
            open -= 1;
            if open == 0 || sent % 100 == 0 {
                let now = self.usage();
                peak = std::array::from_fn(|at| peak[at].max(now[at]));
            }
        }
        println!("{tool}, at most: {} KiB, {} threads, {} descriptors", peak[0], peak[1], peak[2]);
        Ok(())
    }

    fn report(&self, when: &str) {
        let [resident, threads, descriptors] = self.usage();
        println!("{when}: {resident} KiB, {threads} threads, {descriptors} descriptors");
    }

    /// Resident KiB, threads, descriptors (where they may be counted).
    fn usage(&self) -> [u64; 3] {
        let folder = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        let descriptors = std::fs::read_dir(format!("{folder}/fd"));
        let descriptors = descriptors.map_or(0, |entries| entries.count() as u64);
        [number("VmRSS:"), number("Threads:"), descriptors]
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, count, seed] = &arguments[..] else {
        println!("usage: soak PROGRAM COUNT SEED");
        return ExitCode::from(2);
    };
    let (Ok(count), Ok(seed)) = (count.parse::<u64>(), seed.parse()) else {
        println!("COUNT and SEED are numbers");
        return ExitCode::from(2);
    };
    // More connections would need more descriptors than `make soak` allows.
    let connections = (count / 20).min(1000);
    match soak(program, count, seed).and_then(|()| multiply(program, count / 2, connections)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("FAILED (seed {seed}): {why}");
            ExitCode::FAILURE
        }
    }
}

fn soak(program: &str, count: u64, seed: u64) -> Result<(), String> {
    let server = Server::start(ServerOptions {
        mode: Mode::Sse,
        sessions: true,
        get_stream: true,
        ..ServerOptions::default()
    });
    let mut dice = Dice(seed);
    let mut proxy = Proxy::start(program, &server.url("/mcp"), &[]);
    proxy.shake_hands()?;
    // Growth is measured against a healthy load with as many calls in flight.
    healthy(&mut proxy, 2000, "warm")?;
    let before = proxy.usage();
    let begun = Instant::now();

    let mut played: BTreeMap<&str, u64> = BTreeMap::new();
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut open: HashMap<u64, bool> = HashMap::new();
    let (mut sent, mut peak) = (0, before);
    while sent < count || !open.is_empty() {
        while sent < count && open.len() < MOST_IN_FLIGHT {
            let is_call = dice.roll(4) > 0;
            if dice.roll(10) < 4 {
                let (name, reply) = fault(&mut dice);
                *played.entry(name).or_default() += 1;
                server.reply_next(if is_call { "tools/call" } else { "tools/list" }, reply);
            } else {
                server.reply_next(if is_call { "tools/call" } else { "tools/list" }, Reply::Proper);
            }
            let line = if is_call { echo(&sent.to_string()) } else { list(sent) };
            open.insert(sent, is_call);
            proxy.write(&line)?;
            sent += 1;
            if dice.roll(500) == 0 {
                server.end_sessions();
            }
            if dice.roll(500) == 0 {
                server.drop_connections();
            }
        }
        let message = proxy.read()?;
        if message["method"].is_string() {
            continue;
        }
        let id = message["id"]
            .as_u64()
            .ok_or_else(|| format!("a response without a request: {message}"))?;
        let Some(is_call) = open.remove(&id) else {
            return Err(format!("a second response, or one without a request: {message}"));
        };
        let wanted = Value::from(id.to_string());
        let outcome = match message["error"]["data"]["kind"].as_str() {
            Some(kind) => format!("error: {kind}"),
            None if message["error"].is_object() => "error of the server".to_owned(),
            None if is_call && message["result"]["content"][0]["text"] != wanted => {
                return Err(format!("the answer to {id} is another's: {message}"));
            }
            None => "result".to_owned(),
        };
        *outcomes.entry(outcome).or_default() += 1;
        if sent % 1000 == 0 {
            let now = proxy.usage();
            peak = std::array::from_fn(|at| peak[at].max(now[at]));
        }
    }
    let took = begun.elapsed();
    // The faults that were not played are over.
    server.forget_script();
    healthy(&mut proxy, 1000, "after")?;
    let after = proxy.usage();
    if proxy.child.try_wait().map_err(|error| error.to_string())?.is_some() {
        return Err("the program has ended".to_owned());
    }
    println!(
        "{count} requests in {:.1} s, seed {seed}: one answer each, none invented",
        took.as_secs_f64()
    );
    println!("answers: {outcomes:?}");
    println!("faults planned: {played:?}");
    for (at, what) in ["resident KiB", "threads", "descriptors"].iter().enumerate() {
        println!("{what}: {} before, {} at most, {} after", before[at], peak[at], after[at]);
    }
    drop(proxy.stdin);
    let status = proxy.child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}

/// A server that multiplies streams, requests and connections.
fn multiply(program: &str, calls: u64, connections: u64) -> Result<(), String> {
    let server = HostileServer::start();
    let most = connections.max(64);
    let more =
        ["--no-sse".to_owned(), format!("--max-in-flight={most}"), "--timeout=5s".to_owned()];
    let mut proxy = Proxy::start(program, &server.url, &more);
    proxy.shake_hands()?;
    healthy(&mut proxy, 100, "warm")?;
    proxy.report("before");

    proxy.call_side_by_side("stays open", calls, MOST_IN_FLIGHT, 0, true)?;
    proxy.report(&format!("after {calls} calls whose streams stay open"));

    proxy.call_side_by_side("pings", 1, 1, calls, true)?;
    proxy.report(&format!("after {calls} pings without a response"));

    let all = usize::try_from(connections).map_err(|error| error.to_string())?;
    proxy.call_side_by_side("together", connections, all, connections, true)?;
    proxy.report(&format!("after {connections} connections side by side"));
    server.hang_up();
    // Idle connections are looked at once a second.
    std::thread::park_timeout(Duration::from_secs(3));
    proxy.report("after the server closed all of them");

    for fault in ["dribbles", "another's"] {
        proxy.call_side_by_side(fault, 20, 20, 0, false)?;
    }
    healthy(&mut proxy, 1000, "after")?;
    // Threads that have nothing to do end after 10 s.
    std::thread::park_timeout(Duration::from_secs(12));
    proxy.report("at last");
    drop(proxy.stdin);
    let status = proxy.child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}

/// Calls that all succeed.
fn healthy(proxy: &mut Proxy, count: u64, name: &str) -> Result<(), String> {
    let mut open = 0;
    let mut sent = 0;
    while sent < count || open > 0 {
        while sent < count && open < MOST_IN_FLIGHT {
            proxy.write(&echo(&format!("\"{name} {sent}\"")))?;
            sent += 1;
            open += 1;
        }
        let message = proxy.read()?;
        if message["method"].is_string() {
            continue;
        }
        if message["result"]["content"][0]["text"] != message["id"] {
            return Err(format!("a healthy call failed: {message}"));
        }
        open -= 1;
    }
    Ok(())
}

/// `id` is JSON; its text comes back.
fn echo(id: &str) -> String {
    let text = id.trim_matches('"');
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
    )
}

fn list(id: u64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)
}
