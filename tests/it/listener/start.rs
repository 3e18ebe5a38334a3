//! The start of a listener: addresses, token files, sockets in files, options that exclude each other.

use crate::harness::listening::Listening;
use crate::harness::program::Launch;
#[cfg(unix)]
use crate::harness::program::PATIENCE;
#[cfg(unix)]
use crate::listener::raw::Raw;
use crate::listener::raw::{exchange, ping, statuses};
use crate::support::{Server, ServerOptions};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

/// An empty folder for one test.
fn folder(test: &str) -> PathBuf {
    let name = format!("sigv4-proxy-{}-listener-{test}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    folder
}

fn with(arguments: &[&str]) -> Launch {
    let launch = Launch::to("http://127.0.0.1:9/mcp").arg("--listen");
    arguments.iter().fold(launch, |launch, argument| launch.arg(argument))
}

/// Expects that the program refuses to start.
fn refused(arguments: &[&str], why: &str) {
    let ended = with(arguments).start().wait();
    assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.log);
    assert!(ended.log.contains(why), "{arguments:?}: {}", ended.log);
    assert!(!ended.log.contains("listening on"), "{arguments:?}: {}", ended.log);
}

#[test]
fn other_machines_may_connect_only_if_that_is_said_and_with_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0", "[::ffff:0.0.0.0]:0"] {
        refused(&[address], "can be reached from other machines");
        refused(&[address, "--no-listen-token"], "can be reached from other machines");
        refused(&[address, "--listen-anyone", "--no-listen-token"], "requires a bearer token");
    }
    refused(&["127.0.0.1:0", "--listen-anyone", "--no-listen-token"], "requires a bearer token");
    let mut program = with(&["0.0.0.0:0", "--listen-anyone", "--allow-host", "proxy"]).start();
    program.logged(|line| line.contains("WARN: --listen 0.0.0.0:0 can be").then_some(()));
    let port = program.logged(|line| {
        let (_, rest) = line.split_once("listening on http://0.0.0.0:")?;
        rest.split('/').next()?.parse::<u16>().ok()
    });
    let address = format!("127.0.0.1:{port}");
    for (host, status) in [
        (&*address, 401),
        ("localhost", 401),
        ("proxy:80", 401),
        // As in the URL that is printed.
        (&format!("0.0.0.0:{port}"), 401),
        ("0.0.0.0", 403),
        ("0.0.0.0:1", 403),
        ("10.0.0.1", 403),
    ] {
        let response = exchange(&address, ping("").replace("localhost", host));
        assert_eq!(statuses(&response), [status], "{host}");
    }
    program.kill();
}

#[cfg(unix)]
#[test]
fn a_token_that_cannot_be_written_is_to_be_provided() {
    let launch = with(&["127.0.0.1:0"]).env("TMPDIR", "/nowhere").env("XDG_RUNTIME_DIR", "");
    let ended = launch.start().wait();
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    assert!(ended.log.contains("cannot create the file /nowhere/sigv4-proxy-"), "{}", ended.log);
    assert!(ended.log.contains("(provide a token with --listen-token-file)"), "{}", ended.log);
}

#[test]
fn options_that_exclude_each_other() {
    for (arguments, why) in [
        (&["8080"][..], "--listen: not an address to listen on: 8080"),
        (&["example.com:80"], "not an address to listen on"),
        (&["127.0.0.1:0", "--listen-path", "mcp"], "--listen-path: not a path to listen on: mcp"),
        (&["127.0.0.1:0", "--listen-path", "/healthz"], "not a path to listen on"),
        (&["127.0.0.1:0", "--allow-origin", "*"], "--allow-origin: not an origin: *"),
        (&["127.0.0.1:0", "--allow-origin", "null"], "not an origin: null"),
        (&["127.0.0.1:0", "--allow-host=http://a"], "--allow-host: not a host name: http://a"),
        (&["127.0.0.1:0", "--no-listen-token", "--listen-token-file", "x"], "exclude each other"),
    ] {
        refused(arguments, why);
    }
    for option in [
        "--listen-path=/a",
        "--listen-anyone",
        "--allow-origin=https://a",
        "--allow-host=a",
        "--listen-token-file=a",
        "--no-listen-token",
    ] {
        let ended = Launch::to("http://127.0.0.1:9/mcp").arg(option).run("");
        assert_eq!(ended.code, Some(2), "{option}: {}", ended.log);
        assert!(ended.log.contains("is only for --listen"), "{option}: {}", ended.log);
    }
}

#[test]
fn an_address_is_used_by_one_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&[&address], &format!("cannot listen on {address}: "));
    refused(&["192.0.2.1:0", "--listen-anyone"], "cannot listen on 192.0.2.1:0: ");
}

#[test]
fn the_flag_or_the_variable_opens_a_port_and_nothing_else_does() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp"));
    let mut program = launch.env("MCP_LISTEN", "localhost:0").arg("--no-listen-token").start();
    let url = program.logged(|line| Some(line.split_once("listening on ")?.1.trim().to_owned()));
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/mcp"), "{url}");
    program.kill();
    let ended = Launch::to(&server.url("/mcp")).run(crate::listener::raw::PING);
    assert_eq!(ended.lines.len(), 1);
    assert!(!ended.log.contains("listening"), "{}", ended.log);
}

#[test]
fn other_paths_and_addresses_of_ipv6() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--listen-path").arg("/a/b");
    // Some machines have no IPv6.
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let listening = Listening::open_at(launch, "[::1]:0");
    assert!(listening.url.starts_with("http://[::1]:") && listening.url.ends_with("/a/b"));
    let address = listening.address();
    for (host, path, status) in [
        (address, "/a/b", 200),
        ("[0:0:0:0:0:0:0:1]", "/a/b", 200),
        ("localhost", "/a/b", 200),
        ("127.0.0.1", "/a/b", 403),
        ("[::2]", "/a/b", 403),
        (address, "/mcp", 404),
    ] {
        let request = ping("").replace("localhost", host).replace("/mcp", path);
        assert_eq!(statuses(&exchange(address, request)), [status], "{host}{path}");
    }
}

#[cfg(unix)]
#[test]
fn refused_clients_are_named_by_the_log_from_time_to_time() {
    let listening = Listening::start(Launch::to("http://127.0.0.1:9/mcp"));
    for _ in 0..20 {
        let request = ping("").replace("localhost", "evil.example");
        assert_eq!(statuses(&exchange(listening.address(), request)), [403]);
    }
    let log = listening.end().log;
    assert!(
        log.contains("WARN: refused with HTTP 403: the host evil.example is not allowed"),
        "{log}"
    );
    assert!(log.matches("WARN: refused").count() < 5, "{log}");
}

#[test]
fn stdin_is_not_read() {
    let server = Server::start(ServerOptions::default());
    let mut listening = Listening::open(Launch::to(&server.url("/mcp")));
    listening.program().write(crate::listener::raw::PING);
    let address = listening.address().to_owned();
    assert_eq!(statuses(&exchange(&address, ping(""))), [200]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn files_that_cannot_be_trusted_with_a_token() {
    let folder = folder("tokens");
    for (name, content, why) in [
        ("empty", &b""[..], "contains no valid token"),
        ("newline", b"\n", "contains no valid token"),
        ("lines", b"one-token-of-some-length\nanother\n", "contains no valid token"),
        ("two-newlines", b"one-token-of-some-length\n\n", "contains no valid token"),
        ("spaces", b"one token of some length", "contains no valid token"),
        ("leading-space", b" one-token-of-some-length", "contains no valid token"),
        ("control", b"one-token-of-some\tlength", "contains no valid token"),
        ("zero", b"one-token-of-some\0length", "contains no valid token"),
        ("latin-1", b"one-token-of-some-l\xe4ngth", "contains no valid token"),
        ("unicode", "one-token-of-some-länge".as_bytes(), "contains no valid token"),
        ("mark", b"\xef\xbb\xbfone-token-of-some-length", "save it as ASCII"),
        ("utf-16", b"\xff\xfeo\0n\0e\0", "no valid token (save it as ASCII"),
        ("large", &[b'a'; 5000], "4 KiB"),
    ] {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        let path = path.to_str().unwrap();
        refused(&["127.0.0.1:0", "--listen-token-file", path], why);
    }
    let absent = folder.join("absent");
    refused(
        &["127.0.0.1:0", "--listen-token-file", absent.to_str().unwrap()],
        "--listen-token-file",
    );
    refused(
        &["127.0.0.1:0", "--listen-token-file", folder.to_str().unwrap()],
        "not a regular file",
    );
    fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    const TOKEN: &str = "e3b0c44298fc1c149afbf4c8996fb924";

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_token_of_a_file_with_or_without_a_newline() {
        let (server, folder) = (Server::start(ServerOptions::default()), folder("token"));
        let (file, link) = (folder.join("token"), folder.join("link"));
        symlink("token", &link).unwrap();
        for (content, mode, warning) in [
            (TOKEN.to_owned(), 0o600, None),
            (format!("{TOKEN}\n"), 0o400, None),
            (format!("{TOKEN}\r\n"), 0o644, Some("other users can read it")),
            (format!("{TOKEN}\n"), 0o640, Some("other users can read it")),
            ("short\n".to_owned(), 0o600, Some("short enough to be guessed")),
        ] {
            let _ = fs::remove_file(&file);
            fs::write(&file, &content).unwrap();
            chmod(&file, mode);
            let launch = Launch::to(&server.url("/mcp"));
            let listening = Listening::with_token_file(launch, link.to_str().unwrap());
            let header = format!("Authorization: Bearer {}\r\n", content.trim());
            assert_eq!(statuses(&exchange(listening.address(), ping(&header))), [200]);
            assert_eq!(statuses(&exchange(listening.address(), ping(""))), [401]);
            let ended = listening.end();
            let is_doubted = ended.log.contains("WARN: --listen-token-file")
                || ended.log.contains("WARN: the bearer token");
            assert_eq!(is_doubted, warning.is_some(), "{}", ended.log);
            assert!(ended.log.contains(warning.unwrap_or_default()), "{}", ended.log);
            assert!(!ended.log.contains(TOKEN), "{}", ended.log);
            assert!(file.exists(), "the user's own file stays");
        }
        chmod(&file, 0o602);
        let path = file.to_str().unwrap();
        refused(
            &["127.0.0.1:0", "--listen-token-file", path],
            "every user of this machine can write",
        );
        let pipe = folder.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        refused(
            &["127.0.0.1:0", "--listen-token-file", pipe.to_str().unwrap()],
            "not a regular file",
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_token_that_was_made_is_in_a_private_file_until_the_end() {
        let (server, folder) = (Server::start(ServerOptions::default()), folder("made"));
        let launch = || Launch::to(&server.url("/mcp")).arg("--log-level").arg("debug");
        let launch = || launch().env("XDG_RUNTIME_DIR", folder.to_str().unwrap());
        let one = Listening::start(launch());
        let files = || {
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let file = files().pop().unwrap();
        assert_eq!(mode(&file), 0o600);
        let token = fs::read_to_string(&file).unwrap();
        let header = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(statuses(&exchange(one.address(), ping(&header))), [200]);
        let other = Listening::start(launch());
        assert_ne!(other.token.as_deref(), Some(&*token));
        assert_eq!(files().len(), 2);
        for (ended, token) in
            [(one.token.clone().unwrap(), one), (other.token.clone().unwrap(), other)]
                .map(|(token, listening)| (listening.end(), token))
        {
            assert_eq!(ended.code, Some(0));
            assert!(!ended.log.contains(&token), "{}", ended.log);
        }
        assert_eq!(files().len(), 0);
        // A folder that others can change, or that is not there, is not used.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let temporary = std::env::temp_dir();
        let shared = Listening::start(launch().env("TMPDIR", temporary.to_str().unwrap()));
        assert_eq!(files().len(), 0);
        shared.end();
        fs::remove_dir(&folder).unwrap();
        let _elsewhere =
            Listening::start(launch().env("TMPDIR", std::env::temp_dir().to_str().unwrap()));
        let ended = launch()
            .env("TMPDIR", "/nonexistent")
            .arg("--listen")
            .arg("127.0.0.1:0")
            .start()
            .wait();
        assert_eq!(ended.code, Some(2));
        assert!(ended.log.contains("--listen-token-file"), "{}", ended.log);
    }

    #[test]
    fn a_token_file_is_removed_by_every_end_or_by_the_next_start() {
        let (server, folder) = (Server::start(ServerOptions::default()), folder("left"));
        let launch =
            || Launch::to(&server.url("/mcp")).env("XDG_RUNTIME_DIR", folder.to_str().unwrap());
        let names = || {
            let entries = fs::read_dir(&folder).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            names.sort();
            names
        };
        let make_old = |path: &Path| {
            let hour = std::time::Duration::from_secs(3600);
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(file.metadata().unwrap().modified().unwrap() - hour).unwrap();
        };
        for signal in ["-TERM", "-INT", "-HUP", "-QUIT"] {
            let mut one = Listening::start(launch());
            one.program().signal(signal);
            let deadline = std::time::Instant::now() + PATIENCE;
            while !names().is_empty() {
                // Shells let background jobs ignore some signals.
                if signal != "-TERM" && is_ignored(signal) {
                    one.program().signal("-TERM");
                }
                assert!(std::time::Instant::now() < deadline, "{signal}");
                std::thread::park_timeout(std::time::Duration::from_millis(10));
            }
        }
        let mut killed = Listening::start(launch());
        killed.program().kill();
        let file = names().pop().unwrap();
        let living = Listening::start(launch());
        assert_eq!(names().len(), 2, "it might be just starting");
        for path in names() {
            make_old(&path);
        }
        // Files that only look alike.
        let precious = folder.join("precious");
        fs::write(&precious, "x").unwrap();
        let link = folder.join(format!("sigv4-proxy-{}.token", "0".repeat(16)));
        symlink(&precious, &link).unwrap();
        let other = folder.join("sigv4-proxy-mine.token");
        fs::write(&other, "x").unwrap();
        for path in [&precious, &other] {
            make_old(path);
        }
        let last = Listening::start(launch());
        let left = names();
        assert!(!left.contains(&file), "{left:?}");
        assert!([&precious, &link, &other].iter().all(|path| left.contains(path)), "{left:?}");
        assert_eq!(left.len(), 5, "those of the living are kept: {left:?}");
        drop((living, last));
        fs::remove_dir_all(folder).unwrap();
    }

    /// Whether this test, and so the program, ignores a signal.
    fn is_ignored(signal: &str) -> bool {
        let number = match signal {
            "-HUP" => 1,
            "-INT" => 2,
            _ => 3,
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
    }

    fn through(path: &Path, request: &str) -> String {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    fn at(server: &Server, path: &Path, more: &[&str]) -> crate::harness::program::Program {
        let launch = Launch::to(&server.url("/mcp")).arg("--listen");
        let launch = launch.arg(&format!("unix:{}", path.display()));
        let mut program = more.iter().fold(launch, |launch, argument| launch.arg(argument)).start();
        program.logged(|line| line.contains("listening on unix:").then_some(()));
        program
    }

    #[test]
    fn a_socket_in_a_file_is_private_and_removed_at_the_end() {
        let (server, folder) = (Server::start(ServerOptions::default()), folder("socket"));
        let path = folder.join("s");
        // Abandoned by a process that was killed.
        drop(UnixListener::bind(&path).unwrap());
        let program = at(&server, &path, &["--no-listen-token"]);
        assert_eq!(mode(&path), 0o600);
        for (host, status) in [("localhost", 200), ("localhost:1234", 200), ("example.com", 403)] {
            let response = through(&path, &ping("").replace("localhost", host));
            assert_eq!(statuses(&response), [status], "{host}: {response}");
        }
        let name = format!("unix:{}", path.display());
        refused(&[&name], "cannot listen on");
        assert_eq!(statuses(&through(&path, &ping(""))), [200], "it is still there");
        program.signal("-TERM");
        let ended = program.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert!(ended.log.contains("WARN: --no-listen-token"), "{}", ended.log);
        assert!(!path.exists());

        let program = at(&server, &path, &["--listen-anyone"]);
        assert_eq!(mode(&path), 0o666);
        assert_eq!(statuses(&through(&path, &ping(""))), [401]);
        // What is not ours is not removed.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        program.signal("-INT");
        assert_eq!(program.wait().code, Some(0));
        assert!(path.exists());
        drop(other);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_a_socket_that_was_left_behind_is_replaced() {
        let folder = folder("replaced");
        let (file, link, socket) =
            (folder.join("file"), folder.join("link"), folder.join("socket"));
        fs::write(&file, "precious").unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        symlink(&socket, &link).unwrap();
        let missing = folder.join("a/b");
        let long = folder.join("a".repeat(200));
        for path in [&file, &link, &socket, &folder, &missing, &long] {
            refused(&[&format!("unix:{}", path.display())], "cannot listen on");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        assert!(socket.exists() && link.exists());
        let unused = folder.join("unused");
        let token = ["--listen-token-file", "/nonexistent"];
        let name = format!("unix:{}", unused.display());
        refused(&[&name, token[0], token[1]], "--listen-token-file /nonexistent: ");
        assert!(!unused.exists(), "nothing listens there");
        drop(listener);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_raw_connection_is_closed_at_the_end() {
        let server = Server::start(ServerOptions::default());
        let listening = Listening::open(Launch::to(&server.url("/mcp")));
        let mut silent = Raw::connect(listening.address());
        let mut partial = Raw::connect(listening.address());
        partial.write("POST /mcp HTTP/1.1\r\nHost: loc");
        let mut kept = Raw::connect(listening.address());
        kept.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        kept.read_until("ok\n");
        let ended = listening.end();
        assert_eq!(ended.code, Some(0));
        assert!(ended.took.as_millis() < 2000, "{:?}", ended.took);
        for raw in [&mut silent, &mut partial, &mut kept] {
            assert_eq!(raw.read_to_end(), "");
        }
    }
}
