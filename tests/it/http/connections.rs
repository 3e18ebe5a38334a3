//! Improper responses, and connections that are no longer needed.

use crate::harness::messages::{assert_error, call, text_of};
use crate::harness::program::{Launch, PATIENCE, SECRET};
use crate::support::tls::{TlsServer, localhost};
use crate::support::{Reply, Server, ServerOptions};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ROOTS: &str = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;

/// A call that fills every buffer on its way.
fn large_call(mebibytes: usize) -> String {
    call("7", "add", &json!({"text": "z".repeat(mebibytes << 20)}))
}

/// Refuses requests of more than a megabyte before it has read them, and then calls `then`.
fn refusing_server(then: fn(TcpStream)) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let mut length = 0;
                let reader = BufReader::with_capacity(512, stream.try_clone().unwrap());
                for line in reader.lines().map_while(Result::ok).take_while(|l| !l.is_empty()) {
                    let lower = line.to_lowercase();
                    if let Some(value) = lower.strip_prefix("content-length: ") {
                        length = value.parse().unwrap();
                    }
                }
                assert!(length > 1_000_000, "only large requests come here");
                count.fetch_add(1, Ordering::SeqCst);
                let head = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\n";
                stream.write_all(format!("{head}too large").as_bytes()).unwrap();
                then(stream);
            });
        }
    });
    (url, refused)
}

#[test]
fn a_refusal_that_comes_while_the_request_is_sent_is_reported() {
    let reads_nothing_more = |stream: TcpStream| {
        std::thread::park_timeout(PATIENCE);
        drop(stream);
    };
    let reads_on = |mut stream: TcpStream| drop(std::io::copy(&mut stream, &mut std::io::sink()));
    let closes = |stream: TcpStream| drop(stream);
    for then in [reads_nothing_more as fn(TcpStream), reads_on, closes] {
        let (url, refused) = refusing_server(then);
        let mut program = Launch::to(&url).start();
        let begun = Instant::now();
        let answer = program.ask(&large_call(16));
        assert_error(&answer, &json!(7), &["413", "too large"]);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(refused.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn the_same_over_tls() {
    let authority = crate::http::tls::authority("early CA");
    let server = TlsServer::start(&authority.sign(&localhost()));
    let pem = authority.pem.to_str().unwrap();
    let mut program = Launch::to(&server.url()).arg("--ca-bundle").arg(pem).start();
    // The first is on a new connection: tickets of the session come while it is sent.
    for mebibytes in [12, 12, 20, 20] {
        assert_error(&program.ask(&large_call(mebibytes)), &json!(7), &["413", "too large"]);
    }
    assert!(program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)["result"].is_object());
    // One that is taken is sent to its end.
    let text = "y".repeat(3 << 20);
    let whole = program.ask(&call("2", "add", &json!({ "text": text })));
    assert!(whole["result"].is_object(), "{whole}");
}

#[test]
fn messages_without_a_response_do_not_wait_for_one() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let pieces = |head: String, piece: &str, count: usize| {
        let first = (Duration::ZERO, head.into_bytes());
        let more = (Duration::from_millis(100), piece.as_bytes().to_vec());
        Reply::RawPieces(std::iter::once(first).chain(std::iter::repeat_n(more, count)).collect())
    };
    let stream = "HTTP/1.1 202 Accepted\r\nContent-Type: text/event-stream\r\n\r\n";
    for reply in [
        // Shorter than announced.
        pieces(format!("{head}Content-Length: 500\r\n\r\n{{"), "", 100),
        // Dribbles.
        pieces(format!("{head}Content-Length: 4000\r\n\r\n"), "x", 100),
        pieces(stream.to_owned(), ": beat\n\n", 100),
        // Without end.
        pieces(format!("{head}Transfer-Encoding: chunked\r\n\r\n"), "5\r\nxxxxx\r\n", 100),
        // Until the connection ends.
        pieces("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "x", 100),
        // Where there cannot be one.
        pieces("HTTP/1.1 204 No Content\r\nContent-Length: 4000\r\n\r\nx".to_owned(), "x", 100),
    ] {
        let server = Server::start(ServerOptions::default());
        let mut program = Launch::to(&server.url("/mcp")).start();
        program.shake_hands();
        for _ in 0..3 {
            server.reply_next("notifications/roots/list_changed", reply.clone());
            program.write(ROOTS);
        }
        server.reply_next("response", reply);
        program.write(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#);
        let begun = Instant::now();
        assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 1})))), "2");
        assert_eq!(program.close().code, Some(0));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_connection_with_an_unread_response_is_reused_if_it_is_complete_soon() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    let status = |body: &str| Reply::Status { code: 202, headers: vec![], body: body.into() };
    for reply in [status(""), status("Accepted"), status(&"x".repeat(2000))] {
        server.reply_next("notifications/roots/list_changed", reply);
        program.write(ROOTS);
        assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 1})))), "2");
    }
    let requests = server.requests();
    let first = requests[0].connection;
    assert!(requests.iter().all(|request| request.connection == first));
}

#[test]
fn several_profiles_share_the_connections() {
    let home = crate::credentials::chain::Home::new("shared connections");
    let keys = |name| {
        format!("[{name}]\naws_access_key_id = AKIA{name}\naws_secret_access_key = {SECRET}\n")
    };
    home.write(".aws/credentials", keys("one") + &keys("two"));
    let server = Server::start(ServerOptions { verify: false, ..ServerOptions::default() });
    let url = server.url("/mcp");
    let service = ["--region", "us-east-1", "--service-name", "execute-api"];
    let mut launch = Launch::bare(&["--target-url", &url, "--no-sse", "--profile", "one", "two"]);
    for argument in service {
        launch = launch.arg(argument);
    }
    let mut program = launch.env("HOME", home.0.to_str().unwrap()).start();
    program.shake_hands();
    for profile in ["one", "two", "one"] {
        program.ask(&call("1", "aws___call_aws", &json!({ "aws_profile": profile })));
    }
    let requests = server.requests();
    let signers =
        requests.iter().filter(|r| r.header("authorization").unwrap().contains("AKIAtwo"));
    assert!(signers.count() >= 2, "the second profile has a session of its own");
    assert!(requests.iter().all(|request| request.connection == requests[0].connection));
}

#[test]
#[cfg_attr(windows, ignore = "command lines are shorter there")]
fn large_heads_are_sent_and_too_large_ones_are_reported() {
    let server = Server::start(ServerOptions::default());
    let header = format!("X-Large: {}", "h".repeat(45_000));
    let mut program = Launch::to(&server.url("/mcp"))
        .env("AWS_SESSION_TOKEN", &"t".repeat(16_000))
        .arg("--header")
        .arg(&header)
        .start();
    program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let requests = server.requests();
    assert_eq!(requests[0].header("x-large").map(str::len), Some(45_000));
    assert_eq!(requests[0].header("x-amz-security-token").map(str::len), Some(16_000));

    let mut launch = Launch::to(&server.url("/mcp"));
    for number in 0..3 {
        launch = launch.arg("--header").arg(&format!("X-{number}: {}", "h".repeat(45_000)));
    }
    let answer = launch.start().ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_error(&answer, &json!(1), &["the request headers are larger than"]);
    assert_eq!(server.requests().len(), requests.len());
}

#[test]
fn idle_connections_that_the_server_closes_are_closed_here_too() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    for id in 0..20 {
        program.write(&call(&id.to_string(), "slow", &json!({"ms": 300})));
    }
    (0..20).for_each(|_| drop(program.read()));
    assert!(server.connections() > 1);
    // At most 16 stay.
    let wait_until = |enough: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !enough() {
            assert!(begun.elapsed() < PATIENCE, "{} connections", server.connections());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    };
    wait_until(&|| server.connections() <= 16);
    #[cfg(target_os = "linux")]
    {
        let sockets = || {
            let descriptors = std::fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap();
            let links = descriptors.flatten().filter_map(|d| std::fs::read_link(d.path()).ok());
            links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
        };
        let before = sockets();
        server.drop_connections();
        wait_until(&|| sockets() + 10 < before);
    }
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 1})))), "2");
}

#[cfg(target_os = "linux")]
#[test]
fn a_call_for_which_there_is_no_descriptor_says_so() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap().count() as u64;
    let limit = Rlimit { current: Some(open + 3), maximum: Some(4096) };
    let pid = Pid::from_raw(program.pid().try_into().unwrap());
    prlimit(pid, Resource::Nofile, limit).unwrap();
    for id in 0..12 {
        program.write(&call(&id.to_string(), "slow", &json!({"ms": 1000})));
    }
    let answers: Vec<_> = (0..12).map(|_| program.read()).collect();
    let errors: Vec<_> = answers.iter().filter(|answer| answer["error"].is_object()).collect();
    assert!(!errors.is_empty() && errors.len() < 12, "{} errors", errors.len());
    for error in errors {
        assert_error(error, &error["id"], &["out of file descriptors"]);
        assert!(!error.to_string().contains("may have reached"), "{error}");
    }
    // Those that got through are over: there is room again.
    assert_eq!(text_of(&program.ask(&call("99", "add", &json!({"a": 1, "b": 1})))), "2");
}

/// A load balancer or peer that vanishes is noticed even while the stream is idle.
#[cfg(target_os = "linux")]
#[test]
fn connections_have_tcp_keepalive() {
    let server = Server::start(ServerOptions::default());
    let port = server.url("").rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.shake_hands();
    program.write(&call("1", "slow", &json!({"ms": 1000})));
    let remote = format!("0100007F:{port:04X}");
    let begun = Instant::now();
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let timers: Vec<&str> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<&str>>())
            .filter(|fields| fields[2] == remote && fields[3] == "01")
            .map(|fields| &fields[5][..2])
            .collect();
        // 02 is the keepalive timer; 01 means that data waits to be acknowledged.
        if !timers.is_empty() && timers.iter().all(|timer| *timer == "02") {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{timers:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
