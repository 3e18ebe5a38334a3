//! `sigv4-proxy doctor --listen`: before a listener is started, and while one runs.

use crate::credentials::chain::Home;
use crate::doctor::checks::{assert_check, launch, sts, text};
use crate::harness::listening::Listening;
use crate::harness::program::{Ended, Launch};
use crate::support::{Server, ServerOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// Without a server's URL.
fn doctor(arguments: &[&str]) -> Ended {
    arguments.iter().fold(Launch::bare(&["doctor"]), |launch, word| launch.arg(word)).run("")
}

/// A file that only its owner can read.
fn private_file(home: &Home, name: &str, content: &str) -> String {
    home.write(name, content);
    let path = home.0.join(name);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn without_a_server_nothing_else_is_checked() {
    let ended = doctor(&["--listen=127.0.0.1:0"]);
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert_check(&ended, "token", "skip", &["not checked without --listen-token-file"]);
    assert_check(&ended, "listener", "pass", &["127.0.0.1:0: any free port"]);
    assert_check(&ended, "access", "skip", &["no listener runs there"]);
    assert!(!text(&ended).contains("credentials") && !text(&ended).contains("configuration"));

    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let ended = doctor(&["--listen", &address, "--no-listen-token"]);
    assert_check(&ended, "token", "skip", &["none is required [--no-listen-token]"]);
    // As the probe of a container, whose listener has to run.
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    let words = &[&format!("none runs at {address}: ")[..], "fix: start it; "];
    assert_check(&ended, "listener", "fail", words);

    // With one, these come last.
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server.url("/mcp"), &sts()).arg("--listen=127.0.0.1:0").run("");
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert_check(&ended, "latency", "pass", &[]);
    assert_check(&ended, "listener", "pass", &[]);
    let ended = launch(&server.url("/mcp"), &sts()).arg("--listen").arg(&address).run("");
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert_check(&ended, "listener", "pass", &[&format!("{address} is free")]);
}

#[test]
fn an_address_that_cannot_be_listened_on() {
    // An address for documentation (RFC 5737), which no machine has.
    let server = Server::start(ServerOptions::default());
    let launch_with =
        |words: [&str; 2]| words.into_iter().fold(launch(&server.url("/mcp"), &sts()), Launch::arg);
    let ended = launch_with(["--listen=192.0.2.1:8080", "--listen-anyone"]).run("");
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    let words = &["cannot listen on 192.0.2.1:8080: ", "why: ", "fix: use an address of this"];
    assert_check(&ended, "listener", "fail", words);
    #[cfg(unix)]
    {
        let ended = doctor(&["--listen=unix:/nonexistent/mcp.sock"]);
        assert_check(&ended, "listener", "fail", &["none runs at unix:/nonexistent/mcp.sock: "]);
        let ended = launch_with(["--listen=unix:/nonexistent/mcp.sock", "--verbose"]).run("");
        let words = &["cannot listen on /nonexistent/mcp.sock: ", "fix: create the directory"];
        assert_check(&ended, "listener", "fail", words);
        let home = Home::new("doctor-socket");
        let file = private_file(&home, "file", "");
        let socket = |path: &str| format!("--listen=unix:{path}");
        let ended = launch_with([&socket(&file), "--verbose"]).run("");
        let words = &["cannot listen on ", "the file exists and is not a socket"];
        assert_check(&ended, "listener", "fail", words);
        let long = socket(&format!("/tmp/{}", "a".repeat(200)));
        let ended = launch_with([&long, "--verbose"]).run("");
        assert_check(&ended, "listener", "fail", &["cannot listen on ", "fix: use a shorter path"]);
        let free = home.0.join("free");
        let ended = launch_with([&socket(free.to_str().unwrap()), "--verbose"]).run("");
        assert_check(&ended, "listener", "pass", &["free is free"]);
        assert!(!free.exists(), "nothing is left");
    }
    let ended = doctor(&["--listen=0.0.0.0:8080"]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    assert_check(&ended, "configuration", "fail", &["other machines", "add --listen-anyone"]);
}

#[test]
fn an_address_that_cannot_be_read_comes_first_and_stops_no_check_of_the_server() {
    let problem = &["--listen: not an address to listen on: 8080\n", "fix: write 127.0.0.1:PORT"];
    // Alone there is nothing else to check.
    let ended = doctor(&["--listen=8080"]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    assert_check(&ended, "configuration", "fail", problem);
    assert_check(&ended, "listener", "skip", &["the configuration is incomplete"]);
    assert!(!text(&ended).contains("initialize"), "{}", text(&ended));
    assert!(ended.lines.last().is_some_and(|end| end == "1 of 4 checks failed."));
    // It does not decide what is sent to the server; nor does a log format.
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server.url("/mcp"), &sts()).arg("--listen=8080").run("");
    assert_check(&ended, "configuration", "fail", problem);
    assert_check(&ended, "initialize", "pass", &[]);
    let ended =
        launch(&server.url("/mcp"), &sts()).arg("--log-format=x").arg("--timeout=x").run("");
    assert_check(&ended, "configuration", "fail", &["2 problems", "unknown log format: x"]);
    assert_check(&ended, "initialize", "pass", &[]);
    let ended = launch(&server.url("/mcp"), &sts()).arg("--sig-version=v5").run("");
    assert_check(&ended, "initialize", "skip", &["the configuration is incomplete"]);
}

#[test]
fn another_program_at_the_address() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in other.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let ended = doctor(&["--listen", &address]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    let found = format!("another program listens at {address}");
    assert_check(&ended, "listener", "fail", &[&found, "fix: end that program"]);
    assert_check(&ended, "access", "skip", &[]);
}

#[test]
fn a_listener_that_runs() {
    let server = Server::start(ServerOptions::default());
    let home = Home::new("doctor-listener");
    let token = private_file(&home, "token", "a-token-of-the-test-0123456789abcdef\n");
    let listening = Listening::with_token_file(Launch::to(&server.url("/mcp")), &token);
    let address = listening.address();

    let ended = doctor(&["--listen", address]);
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert_check(&ended, "listener", "pass", &[&format!("one runs at {address}")]);
    let refused = [
        "unauthorized clients are refused",
        "a web page of another host: HTTP 403",
        "another Host: HTTP 403",
        "no token: HTTP 401",
    ];
    assert_check(&ended, "access", "pass", &refused);

    let ended = doctor(&["--listen", address, "--listen-token-file", &token]);
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert_check(&ended, "token", "pass", &[&format!("read from {token}")]);
    assert_check(&ended, "access", "pass", &["the token: accepted"]);

    let other = private_file(&home, "other", "another-token-0123456789abcdefghij\n");
    let ended = doctor(&["--listen", address, "--listen-token-file", &other]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    assert_check(
        &ended,
        "access",
        "fail",
        &["the token: HTTP 401", "fix: start it again: it reads"],
    );
    assert!(!text(&ended).contains("another-token"), "{}", text(&ended));

    // Nothing of this was the server's business.
    assert_eq!(server.requests().len(), 0);
    // Who reads the log sees whose request it was.
    #[cfg(unix)]
    let log = listening.end().log;
    #[cfg(unix)]
    assert!(log.contains("origin https://sigv4-proxy-doctor.invalid are not allowed"), "{log}");
}

#[test]
fn a_listener_that_is_more_open_than_it_should_be() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--allow-host=sigv4-proxy-doctor.invalid");
    let listening = Listening::open(launch);
    let ended = doctor(&["--listen", listening.address()]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    let words = &["another Host: HTTP 400", "no token: HTTP 400", "why: ", "fix: "];
    assert_check(&ended, "access", "fail", words);
}

#[cfg(unix)]
#[test]
fn a_token_that_others_can_read_or_that_is_missing() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new("doctor-token");
    let path = private_file(&home, "token", "a-token-of-the-test-0123456789abcdef\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = doctor(&["--listen=127.0.0.1:0", "--listen-token-file", &path]);
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    let found = format!("{path}: other users can read it; chmod 600 prevents that");
    let words = &[&found[..], "why: ", "fix: (umask 077; openssl rand -hex 32 > "];
    assert_check(&ended, "token", "warn", words);
    let ended = doctor(&["--listen=127.0.0.1:0", "--listen-token-file=/nowhere/token"]);
    assert_eq!(ended.code, Some(1), "{}", text(&ended));
    assert_check(&ended, "token", "fail", &["/nowhere/token: ", "fix: "]);
}
