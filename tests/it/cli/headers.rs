//! The user's own headers: their sources, and the default headers that they replace.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::credentials::chain::Home;
use crate::harness::messages::{assert_all_verified, not_found};
use crate::harness::program::Launch;
use crate::support::{Server, ServerOptions};

const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

/// A file that only its owner can read.
fn private_file(home: &Home, text: impl AsRef<[u8]>) -> PathBuf {
    let file = home.0.join("headers");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[test]
fn accept_content_type_and_user_agent_of_the_user_replace_those_of_the_program() {
    let server = Server::start(ServerOptions { get_stream: true, ..ServerOptions::default() });
    let mut program = Launch::to(&server.url("/mcp"))
        .arg("--header=Accept: application/json;q=1, text/event-stream, x/y")
        .arg("--header=content-type=application/json; charset=utf-8")
        .arg("--header=User-Agent: team/1")
        .arg("--sse")
        .start();
    program.shake_hands();
    let requests = server.wait_for(std::time::Duration::from_secs(10), |requests| {
        requests.iter().any(|request| request.label() == "GET")
    });
    let ended = program.close();
    assert_eq!(ended.log.matches("WARN").count(), 0, "{}", ended.log);
    assert_all_verified(&requests);
    for request in &requests {
        for (name, value) in [
            ("accept", "application/json;q=1, text/event-stream, x/y"),
            ("content-type", "application/json; charset=utf-8"),
            ("user-agent", "team/1"),
        ] {
            let sent =
                request.request.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
            let sent: Vec<&str> = sent.map(|(_, value)| value.as_str()).collect();
            assert_eq!(sent, [value], "{}", request.label());
        }
        let authorization = request.header("authorization").unwrap();
        assert!(
            authorization.contains("SignedHeaders=accept;content-type;host;"),
            "{authorization}"
        );
    }
}

/// The user may omit what the protocol needs.
#[test]
fn an_accept_that_leaves_out_what_mcp_needs_is_sent_and_warned_of() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--header=accept: application/json");
    let ended = launch.run(PING);
    assert!(ended.lines[0].contains("Not Acceptable"), "what the server says: {:?}", ended.lines);
    assert_eq!(server.requests()[0].header("accept"), Some("application/json"));
    let warning = "WARN: the header accept lacks text/event-stream";
    assert_eq!(ended.log.matches(warning).count(), 1, "{}", ended.log);
}

#[test]
fn headers_from_a_file_rank_between_the_list_and_single_ones() {
    let home = Home::new("headers-file");
    let text = "\u{feff}# comment\r\n\r\n  X-Team: search: a=b  \nX-Key=${TEAM_KEY}\nX-A: file\nX-B: file\n";
    let file = private_file(&home, text);
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp"))
        .env("MCP_HEADERS", "x-a=list,x-list=1")
        .env("TEAM_KEY", "hush-hush")
        .arg("--header=x-b: single")
        .arg(&format!("--header-file={}", file.display()));
    let ended = launch.run(PING);
    assert_eq!(ended.log.matches("WARN").count(), 0, "{}", ended.log);
    let request = &server.requests()[0];
    for (name, value) in [
        ("x-team", "search: a=b"),
        ("x-key", "hush-hush"),
        ("x-list", "1"),
        ("x-a", "file"),
        ("x-b", "single"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_all_verified(&server.requests());

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = launch.run("");
    let warning = format!("WARN: --header-file {}: other users can read it", file.display());
    assert_eq!(ended.log.matches(&warning).count(), 1, "{}", ended.log);
}

#[test]
fn errors_in_a_file_of_headers_name_lines_and_no_values() {
    let home = Home::new("headers-errors");
    let lines =
        "X-A: 1\n#\nhush-hush\nhush hush: 1\nHost: hush\nX-B: ${NONE}\nX-C: ${hush\nX-D: hu\u{1}sh";
    let file = private_file(&home, lines);
    let named = format!("--header-file {}", file.display());
    let check = |file: &str, expected: &[String]| {
        let launch = Launch::to("https://localhost:1/").arg(&format!("--header-file={file}"));
        let ended = launch.env("MCP_HEADERS", "").run("");
        assert_eq!(ended.code, Some(2), "{}", ended.log);
        let expected: Vec<String> =
            expected.iter().map(|text| format!("ERROR: configuration error: {text}")).collect();
        let shown: Vec<&str> = ended.log.lines().collect();
        assert_eq!(shown, expected);
    };
    let how = "(write NAME: VALUE or NAME=VALUE)";
    let expected = [
        format!("{named}: line 3: the line has a header without a value {how}"),
        format!("{named}: line 4: the line has a header with an empty or invalid name {how}"),
        format!(
            "{named}: line 5: the header Host cannot be set: it belongs to HTTP (remove it from the line)"
        ),
        format!(
            "{named}: line 6: the header X-B uses the variable NONE, which is not set (set NONE or remove the header)"
        ),
        format!(
            "{named}: line 7: the value of the header X-C has a ${{ that is not the start of a variable (write ${{VARIABLE}}, with letters, digits and _)"
        ),
        format!(
            "{named}: line 8: the value of the header X-D has a line break or another control character (write it on one line)"
        ),
    ];
    check(file.to_str().unwrap(), &expected);
    fs::write(&file, b"X-A: \xff").unwrap();
    check(file.to_str().unwrap(), &[format!("{named}: the file is not UTF-8 (write it in UTF-8)")]);
    fs::write(&file, vec![b'#'; 65 * 1024]).unwrap();
    let readable = "(name a readable regular file, 64 KiB at most)";
    check(file.to_str().unwrap(), &[format!("{named}: larger than 65536 bytes {readable}")]);
    check(
        "/nonexistent",
        &[format!("--header-file /nonexistent: {} {readable}", not_found("/nonexistent"))],
    );
    check("/dev/stdin", &[format!("--header-file /dev/stdin: not a regular file {readable}")]);
}

#[test]
fn headers_of_the_user_are_sent_and_signed() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp"))
        .arg("--header=X-Team: a=b,  c")
        .arg("--header=X-Key=${TEAM_KEY}")
        .arg("--header=Cookie: not signed")
        .env("TEAM_KEY", "hush-hush")
        .env("MCP_LOG_LEVEL", "DEBUG")
        .start();
    program.shake_hands();
    let ended = program.close();
    let request = &server.requests()[0];
    assert_eq!(
        (request.header("x-team"), request.header("x-key")),
        (Some("a=b,  c"), Some("hush-hush"))
    );
    assert_eq!(request.header("cookie"), Some("not signed"));
    let authorization = request.header("authorization").unwrap();
    assert!(
        authorization.contains(";x-key;x-team,") && !authorization.contains("cookie"),
        "{authorization}"
    );
    assert_all_verified(&server.requests());
    assert!(ended.log.contains("DEBUG: ") && !ended.log.contains("hush"), "{}", ended.log);
}
