//! The `ERROR:` lines of docs/troubleshooting.md are what the program prints, word for word.

use crate::credentials::chain::Home;
use crate::harness::program::Launch;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

/// Whether `line` is `text`, in which `…` matches any text.
fn is_line(line: &str, text: &str) -> bool {
    match text.split_once('…') {
        None => line == text,
        Some((before, after)) => {
            line.len() >= before.len() + after.len()
                && line.starts_with(before)
                && line.ends_with(after)
        }
    }
}

/// A launch that prints a line of the page: words that identify the line, and replacements for what differs here.
struct Case {
    known_by: &'static str,
    launch: Launch,
    other: Vec<(&'static str, String)>,
}

fn cases(silent_port: u16) -> Vec<Case> {
    let case = |known_by, launch| Case { known_by, launch, other: Vec::new() };
    let custom = "https://mcp.example.com/mcp";
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = closed.local_addr().unwrap().to_string();
    drop(closed);
    let home = Home::new("troubleshooting");
    home.write(".aws/config", "[profile test]\n[profile work]\n");
    let to = |url: &str| Launch::to(url).arg("--retries=0").arg("--drain-timeout=20s");
    vec![
        case("target URL is required", Launch::bare(&["--region=us-east-1"])),
        case("region is required", Launch::bare(&[custom, "--service=execute-api"])),
        case("service name is required", Launch::bare(&[custom, "--region=us-east-1"])),
        case("got: ftp", Launch::bare(&["ftp://mcp.example.com/mcp"])),
        case("unsupported signature version", Launch::bare(&[custom, "--sig-version=v5"])),
        case(
            "could not be found",
            Launch::bare(&[custom, "--region=us-east-1", "--service=execute-api"])
                .arg("--profile=work")
                .arg("--profile=tets")
                .env("HOME", home.0.to_str().unwrap()),
        ),
        case(
            "failed to load AWS credentials",
            Launch::bare(&[custom, "--region=us-east-1", "--service=execute-api"]),
        ),
        Case {
            known_by: "lookup abc123",
            launch: to("https://no-such-host.invalid/mcp"),
            other: vec![(
                "abc123.execute-api.us-east-1.amazonaws.com",
                "no-such-host.invalid".to_owned(),
            )],
        },
        Case {
            known_by: "(the proxy): no such host",
            launch: to(custom).env("HTTPS_PROXY", "http://no-such-proxy.invalid:8080"),
            other: vec![("proxy.example.com", "no-such-proxy.invalid".to_owned())],
        },
        Case {
            known_by: "connection refused",
            launch: to(&format!("http://{refused}/mcp")),
            other: vec![("127.0.0.1:8080", refused)],
        },
        Case {
            known_by: "TLS handshake timeout",
            launch: to(&format!("https://localhost:{silent_port}/")).arg("--connect-timeout=0.5"),
            other: vec![("20 s", "0.5 s".to_owned())],
        },
    ]
}

#[test]
fn the_lines_are_what_the_program_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let page = fs::read_to_string(page).unwrap();
    let lines: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| line.starts_with("ERROR: ")).collect();
    // Accepts connections and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = cases(silent.local_addr().unwrap().port());
    for line in &lines {
        let case = cases.iter().find(|case| line.contains(case.known_by));
        let case = case.unwrap_or_else(|| panic!("nothing here brings this about: {line}"));
        let expected = case
            .other
            .iter()
            .fold((*line).to_owned(), |line, (page, here)| line.replace(page, here));
        let ended = case.launch.run(PING);
        let is_said = ended.log.lines().any(|line| is_line(line, &expected));
        assert!(is_said, "{expected}\nis not in\n{}", ended.log);
    }
    assert_eq!(lines.len(), cases.len());
}
