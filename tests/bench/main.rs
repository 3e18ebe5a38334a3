//! `make bench`: what signing costs, and what the whole program costs compared with no proxy, with the least a proxy can
//! be and with other programs, in one run, interleaved. Prints tables, and writes their figures to target/bench/results.json.
//!
//! Arguments: `--rounds N`; `--only signing|program|listener|link`, and `--rows TEXT` for the rows whose names contain it;
//! `--static PATH` for the static binary; `--peer '[NAME=]COMMAND [{url}]; …'` for other programs on stdio.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    unreachable_pub,
    reason = "a bench prints, fails by panicking, and has a clock"
)]

mod listener;
mod long_link;
mod peer;
mod relay;
mod server;
mod signing;
#[path = "../support/tls.rs"]
#[expect(dead_code, reason = "the certificates are enough here")]
mod tls;

use peer::Peer;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// One line of a table: what was measured, and each contender's figure.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub figures: Vec<(String, f64)>,
}

/// What is compared with something else: the release build, the static one, the signer, the listener.
const OURS: [&str; 3] = ["sigv4-proxy", "static", "listener"];

struct Arguments {
    rounds: usize,
    only: Option<String>,
    rows: String,
    static_binary: Option<String>,
    peers: Vec<Peer>,
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench").peekable();
    if words.peek().is_some_and(|word| word == "relay") {
        let url = words.nth(1).unwrap();
        let (port, query) = url.split_once("127.0.0.1:").unwrap().1.split_once("/mcp?").unwrap();
        return relay::run(port.parse().unwrap(), query);
    }
    let arguments = read_arguments(words);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let mut tables = Vec::new();
    println!("{}", machine());
    let is_wanted = |what: &str| arguments.only.as_deref().is_none_or(|only| only == what);
    if is_wanted("signing") {
        let rows = signing::measure(arguments.rounds);
        tables.push(table("Signing, µs a request (less is better)", &rows, "aws-sigv4"));
    }
    if is_wanted("program") {
        let rows = program(&arguments);
        tables.extend(rows.iter().map(|(title, rows)| table(title, rows, "relay-floor")));
    }
    if is_wanted("listener") {
        let rows = listener::measure(server::start(), &built("sigv4-proxy"), arguments.rounds);
        tables.push(table("Through a listener (goal: 60 µs more; 100 MB)", &rows, "direct"));
    }
    if is_wanted("link") {
        let peers = peers(&arguments);
        let (title, rows) = long_link::measure(&peers, arguments.rounds, &folder);
        tables.push(table(&title, &rows, long_link::FLOOR));
    }
    let report = json!({ "machine": machine(), "tables": tables });
    fs::write(folder.join("results.json"), format!("{report:#}\n")).unwrap();
    println!("\nwritten: target/bench/results.json");
}

fn read_arguments(mut words: impl Iterator<Item = String>) -> Arguments {
    let mut arguments = Arguments {
        rounds: 3,
        only: None,
        rows: String::new(),
        static_binary: None,
        peers: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--rounds" => arguments.rounds = value().parse().expect("a number"),
            "--only" => arguments.only = Some(value()),
            "--rows" => arguments.rows = value(),
            "--static" => arguments.static_binary = Some(value()),
            "--peer" => {
                for peer in value().split(';').map(str::trim).filter(|peer| !peer.is_empty()) {
                    arguments.peers.push(Peer::named(peer));
                }
            }
            other => panic!(
                "{other}: write --rounds N, --only signing|program|listener|link, --rows TEXT, --static PATH or --peer '[NAME=]COMMAND [{{url}}]'"
            ),
        }
    }
    arguments
}

/// The contenders: no proxy, the floor, this program in the builds that users get, and the other programs that were named.
fn peers(arguments: &Arguments) -> Vec<Peer> {
    let own = std::env::current_exe().unwrap();
    let ours = built("sigv4-proxy");
    let build = |name: &str, path: &str| {
        Peer::new(name, &[path, "{url}", "--region=us-east-1", "--service-name=execute-api"])
    };
    let mut peers = vec![
        Peer::new("direct", &[]),
        Peer::new("relay-floor", &[own.to_str().unwrap(), "relay", "{url}"]),
        build(OURS[0], ours.to_str().unwrap()),
    ];
    peers.extend(arguments.static_binary.as_deref().map(|path| build(OURS[1], path)));
    peers.extend_from_slice(&arguments.peers);
    peers
}

fn built(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sigv4-proxy")).with_file_name(name)
}

/// Its table, its name, and how it is made.
type Measure = (&'static str, String, Box<dyn Fn(&Peer) -> f64>);

fn program(arguments: &Arguments) -> Vec<(String, Vec<Row>)> {
    let port = server::start();
    let peers = peers(arguments);
    let mut measures = latency(port);
    measures.extend(throughput(port));
    measures.extend(large_messages(port));
    measures.extend(cost(port));
    measures.retain(|(_, name, _)| name.contains(&arguments.rows));
    run(&peers, &measures, arguments.rounds)
}

/// Zero, which is shown as a dash, if nothing was measured: some programs deliver no events.
fn percentile(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * part) as usize).copied().unwrap_or_default()
}

fn latency(port: u16) -> Vec<Measure> {
    let mut measures: Vec<Measure> = Vec::new();
    let time = "Latency (less is better)";
    measures.push((
        time,
        "start to the response to initialize, ms".into(),
        Box::new(move |peer| {
            median(&mut (0..10).map(|_| peer.start(port, "").1).collect::<Vec<f64>>())
        }),
    ));
    for (name, part) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        measures.push((
            time,
            format!("sequential call, {name}, µs"),
            Box::new(move |peer| {
                let (mut running, _) = peer.start(port, "");
                running.sequential(300);
                percentile(&mut running.sequential(3000), part)
            }),
        ));
    }
    measures.push((
        time,
        "event of a stream, p50, µs".into(),
        Box::new(move |peer| {
            let (mut running, _) = peer.start(port, "events=300&gap=1000");
            percentile(&mut running.events(), 0.5)
        }),
    ));
    measures.push((
        time,
        "list of 200 tools (40 KB), p50, µs".into(),
        Box::new(move |peer| {
            let (mut running, _) = peer.start(port, "bytes=40000");
            running.sequential(100);
            percentile(&mut running.sequential(1000), 0.5)
        }),
    ));
    measures
}

fn throughput(port: u16) -> Vec<Measure> {
    let mut measures: Vec<Measure> = Vec::new();
    for delay in [0, 20] {
        let title = if delay == 0 {
            "Calls a second, the server responds at once (more is better)"
        } else {
            "Calls a second, the server responds after 20 ms (more is better)"
        };
        for in_flight in [1_usize, 16, 64, 256] {
            let count = if delay == 0 { 20_000 } else { (in_flight * 60).min(8000) };
            measures.push((
                title,
                format!("{in_flight} in flight"),
                Box::new(move |peer| {
                    let (mut running, _) = peer.start(port, &format!("delay={delay}"));
                    running.load(in_flight, count / 10);
                    let load = running.load(in_flight, count);
                    load.calls / load.seconds
                }),
            ));
        }
    }
    measures
}

fn large_messages(port: u16) -> Vec<Measure> {
    let mut measures: Vec<Measure> = Vec::new();
    let large = "Large messages and bursts, MB or events a second (more is better)";
    for (name, bytes, count) in [("1 MB replies", 1_000_000, 60), ("16 MB replies", 16_000_000, 8)]
    {
        measures.push((
            large,
            name.into(),
            Box::new(move |peer| {
                let (mut running, _) = peer.start(port, &format!("bytes={bytes}"));
                running.sequential(2);
                let times = running.sequential(count);
                (bytes * times.len()) as f64 / times.iter().sum::<f64>()
            }),
        ));
    }
    for (name, bytes, count) in
        [("1 MB requests", 1_000_000, 60), ("16 MB requests", 16_000_000, 8)]
    {
        measures.push((
            large,
            name.into(),
            Box::new(move |peer| {
                let (mut running, _) = peer.start(port, "");
                let params =
                    format!(r#"{{"name":"x","arguments":{{"text":"{}"}}}}"#, "x".repeat(bytes));
                running.ask("tools/call", &params);
                let started = std::time::Instant::now();
                for _ in 0..count {
                    running.ask("tools/call", &params);
                }
                (bytes * count) as f64 / 1e6 / started.elapsed().as_secs_f64()
            }),
        ));
    }
    measures.push((
        large,
        "burst of 10,000 events".into(),
        Box::new(move |peer| {
            let (mut running, _) = peer.start(port, "events=10000");
            running.events();
            let started = std::time::Instant::now();
            let count = running.events().len();
            count as f64 / started.elapsed().as_secs_f64()
        }),
    ));
    measures
}

fn cost(port: u16) -> Vec<Measure> {
    let mut measures: Vec<Measure> = Vec::new();
    let cost = "Cost (less is better)";
    for in_flight in [1_usize, 16, 64, 256] {
        measures.push((
            cost,
            format!("processor ms for 1000 calls, {in_flight} in flight"),
            Box::new(move |peer| {
                let (mut running, _) = peer.start(port, "");
                running.load(in_flight, 2000);
                let before = running.cpu();
                let load = running.load(in_flight, 20_000);
                (running.cpu() - before) / load.calls * 1000.0
            }),
        ));
    }
    measures.push((
        cost,
        "resident when idle, MB".into(),
        Box::new(move |peer| {
            let (mut running, _) = peer.start(port, "");
            running.sequential(1);
            running.memory("VmRSS:")
        }),
    ));
    measures.push((
        cost,
        "resident after 2000 calls, MB".into(),
        Box::new(move |peer| {
            let (mut running, _) = peer.start(port, "");
            running.sequential(2000);
            running.memory("VmRSS:")
        }),
    ));
    for in_flight in [16_usize, 64, 256] {
        measures.push((
            cost,
            format!("peak with {in_flight} in flight, MB"),
            Box::new(move |peer| {
                let (mut running, _) = peer.start(port, "delay=20");
                running.load(in_flight, in_flight * 20);
                running.memory("VmHWM:")
            }),
        ));
    }
    measures.push((
        cost,
        "peak for a 16 MB reply, MB".into(),
        Box::new(move |peer| {
            let (mut running, _) = peer.start(port, "bytes=16000000");
            running.sequential(3);
            running.memory("VmHWM:")
        }),
    ));
    measures
}

/// Round after round, each measurement by every contender in turn.
fn run(peers: &[Peer], measures: &[Measure], rounds: usize) -> Vec<(String, Vec<Row>)> {
    let mut figures = vec![vec![Vec::new(); peers.len()]; measures.len()];
    for round in 1..=rounds {
        for ((_, name, measure), figures) in measures.iter().zip(&mut figures) {
            eprint_progress(round, rounds, name);
            for (peer, figures) in peers.iter().zip(figures) {
                figures.push(measure(peer));
            }
        }
    }
    let mut tables: Vec<(String, Vec<Row>)> = Vec::new();
    for ((title, name, _), figures) in measures.iter().zip(&mut figures) {
        let of_peers =
            peers.iter().zip(figures).map(|(peer, figures)| (peer.name.clone(), median(figures)));
        let row = Row { name: name.clone(), figures: of_peers.collect() };
        match tables.last_mut() {
            Some((last, rows)) if last == title => rows.push(row),
            _ => tables.push(((*title).to_owned(), vec![row])),
        }
    }
    tables
}

fn eprint_progress(round: usize, rounds: usize, name: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "round {round} of {rounds}: {name}");
}

pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Prints a table whose last columns are the ratios of our programs to `base`, and returns it as JSON.
fn table(title: &str, rows: &[Row], base: &str) -> Value {
    let Some(first) = rows.first() else { return Value::Null };
    let names: Vec<&str> = first.figures.iter().map(|(name, _)| name.as_str()).collect();
    let ours: Vec<&str> = names.iter().copied().filter(|name| OURS.contains(name)).collect();
    let ratios =
        ours.iter().fold(String::new(), |ratios, ours| ratios + &format!(" {ours} / {base} |"));
    println!(
        "\n### {title}\n\n| | {} |{ratios}\n|---|{}",
        names.join(" | "),
        "---:|".repeat(names.len() + ours.len())
    );
    for Row { name, figures } in rows {
        let mut line = format!("| {name} |");
        for (_, figure) in figures {
            let _ = write!(line, " {} |", shown(*figure));
        }
        let of = |wanted: &str| {
            figures.iter().find(|(name, _)| name == wanted).map(|(_, figure)| *figure)
        };
        for ours in &ours {
            let _ = match (of(ours), of(base)) {
                (Some(ours), Some(base)) if base > 0.0 => write!(line, " {:.2} × |", ours / base),
                _ => write!(line, " |"),
            };
        }
        println!("{line}");
    }
    let as_json = |row: &Row| json!({ "name": row.name, "figures": row.figures });
    json!({ "title": title, "base": base, "rows": rows.iter().map(as_json).collect::<Value>() })
}

fn shown(figure: f64) -> String {
    match figure {
        0.0 => "–".to_owned(),
        figure if figure < 10.0 => format!("{figure:.2}"),
        figure if figure < 1000.0 => format!("{figure:.1}"),
        figure => format!("{figure:.0}"),
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "sigv4-proxy {}, {cores} cores of {model}, Linux {}",
        env!("CARGO_PKG_VERSION"),
        kernel.trim()
    )
}
