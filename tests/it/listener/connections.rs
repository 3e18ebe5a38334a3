//! Connections: their number, clients that leave, the end of the process.
#![cfg(unix)]

use crate::harness::listening::Listening;
use crate::harness::program::{Launch, PATIENCE};
use crate::listener::raw::{Raw, exchange, ping, statuses};
use crate::support::{Mode, Reply, Server, ServerOptions};
use std::time::{Duration, Instant};

fn server() -> Server {
    Server::start(ServerOptions { mode: Mode::Sse, get_stream: true, ..ServerOptions::default() })
}

fn kept(request: &str) -> String {
    request.replace("Connection: close\r\n", "")
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn the_connection_that_has_waited_longest_makes_room() {
    let server = server();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut waiting: Vec<Raw> = (0..256)
        .map(|_| {
            let mut raw = Raw::connect(listening.address());
            raw.write(HEALTH);
            raw.read_until("ok\n");
            raw
        })
        .collect();
    let others_ask_again = |waiting: &mut [Raw]| {
        for raw in &mut waiting[1..] {
            raw.write(HEALTH);
            raw.read_until("ok\n");
        }
    };
    // A thread may wait for the next request some time after the client has read the response.
    others_ask_again(&mut waiting);
    assert_eq!(statuses(&exchange(listening.address(), ping(""))), [200]);
    assert_eq!(waiting[0].read_to_end(), "");
    others_ask_again(&mut waiting);
}

#[test]
fn more_than_256_requests_are_turned_away_until_one_ends() {
    let server = server();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let request = ping("Expect: 100-continue\r\n");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut busy: Vec<Raw> = (0..256)
        .map(|_| {
            let mut raw = Raw::connect(listening.address());
            raw.write(format!("{head}\r\n\r\n"));
            raw.read_until("HTTP/1.1 100 Continue\r\n\r\n");
            raw
        })
        .collect();
    let response = Raw::connect(listening.address()).read_to_end();
    assert_eq!(statuses(&response), [503], "{response}");
    assert!(response.contains("Retry-After: 1\r\n"), "{response}");
    busy[0].write(body);
    assert_eq!(statuses(&busy[0].read_to_end()), [200]);
    let begun = Instant::now();
    while statuses(&exchange(listening.address(), ping(""))) != [200] {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_for_which_the_system_has_no_thread_is_turned_away() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let server = server();
    let mut listening = Listening::open(Launch::to(&server.url("/mcp")));
    let health = HEALTH.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&exchange(listening.address(), &health)), [200]);
    let pid = listening.program().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB"));
    let size = size.unwrap().trim().parse::<u64>().unwrap() * 1024;
    // Enough to go on, and not enough for many stacks.
    let limit = Some(size + 1_400_000);
    let pid = Pid::from_raw(pid.try_into().unwrap());
    prlimit(pid, Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
    let mut others = Vec::new();
    loop {
        assert!(others.len() < 256, "there is a thread for every client");
        let mut raw = Raw::connect(listening.address());
        raw.write(HEALTH);
        let status = raw.read_until("\r\n");
        others.push(raw);
        if status != "HTTP/1.1 200 OK\r\n" {
            assert_eq!(status, "HTTP/1.1 503 Service Unavailable\r\n");
            break;
        }
    }
}

#[test]
fn standing_streams_do_not_count_as_connections() {
    let server = server();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let streams: Vec<Raw> = (0..300)
        .map(|_| {
            let mut raw = Raw::connect(listening.address());
            raw.write("GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
            assert!(raw.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
            raw
        })
        .collect();
    assert_eq!(statuses(&exchange(listening.address(), ping(""))), [200]);
    // They are the first to end with the process.
    let ended = listening.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
    drop(streams);
}

#[test]
fn the_request_of_a_client_that_leaves_is_given_up() {
    let server = server();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    let mut others = Vec::new();
    // Soon after its beginning, and when nothing has happened for a while.
    for pause in [Duration::from_millis(5), Duration::from_millis(1400)] {
        let before = server.requests().len();
        server.script(vec![Reply::Hang, Reply::Hang]);
        let mut leaving = Raw::connect(listening.address());
        leaving.write(kept(&ping("")));
        let mut staying = Raw::connect(listening.address());
        staying.write(kept(&ping("")));
        let requests = server.wait_for(PATIENCE, |requests| requests.len() == before + 2);
        assert_eq!(requests.len(), before + 2);
        std::thread::park_timeout(pause);
        let open = || {
            requests[before..].iter().filter(|request| server.is_open(request.connection)).count()
        };
        assert_eq!(open(), 2);
        drop(leaving);
        let begun = Instant::now();
        while open() == 2 {
            assert!(begun.elapsed() < Duration::from_secs(5), "it is not given up");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert_eq!(open(), 1, "the other client waits on");
        others.push(staying);
    }
    #[cfg(target_os = "linux")]
    {
        // So is that of one that has sent more before.
        let before = server.requests().len();
        server.script(vec![Reply::Hang]);
        let mut leaving = Raw::connect(listening.address());
        leaving.write(format!("{}\r\n", kept(&ping(""))));
        let requests = server.wait_for(PATIENCE, |requests| requests.len() == before + 1);
        std::thread::park_timeout(Duration::from_millis(300));
        assert!(server.is_open(requests[before].connection));
        drop(leaving);
        let begun = Instant::now();
        while server.is_open(requests[before].connection) {
            assert!(begun.elapsed() < Duration::from_secs(5), "it is not given up");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    // A client that sends its next request meanwhile does not leave.
    server.script(vec![Reply::Late(Duration::from_millis(400))]);
    let both = format!("{}{}", kept(&ping("")), ping(""));
    assert_eq!(statuses(&exchange(listening.address(), both)), [200, 200]);
}

#[test]
fn running_requests_are_answered_before_the_end() {
    let server = server();
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    server.script(vec![Reply::Late(Duration::from_millis(600))]);
    let mut raw = Raw::connect(listening.address());
    raw.write(kept(&ping("")));
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    let address = listening.address().to_owned();
    let end = std::thread::spawn(move || listening.end());
    let response = raw.read_to_end();
    assert_eq!(statuses(&response), [200], "{response}");
    let ended = end.join().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn the_end_waits_no_longer_than_it_may() {
    let server = server();
    for (arguments, signals, least, most) in [
        (&["--drain-timeout", "500ms"][..], 1, 400, 2500),
        (&["--drain-timeout", "0"], 1, 0, 2000),
        (&[], 2, 0, 2500),
    ] {
        let launch = Launch::to(&server.url("/mcp"));
        let launch = arguments.iter().fold(launch, |launch, argument| launch.arg(argument));
        let mut listening = Listening::open(launch);
        server.script(vec![Reply::Hang]);
        let before = server.requests().len();
        let mut raw = Raw::connect(listening.address());
        raw.write(ping(""));
        server.wait_for(PATIENCE, |requests| requests.len() > before);
        for _ in 1..signals {
            listening.program().signal("-TERM");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let ended = listening.end();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        let range = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(range.contains(&ended.took), "{arguments:?}: {:?}", ended.took);
        let response = raw.read_to_end();
        assert!(matches!(statuses(&response)[..], [] | [503]), "{response}");
    }
}
