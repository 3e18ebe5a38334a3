//! The report on a terminal: colours, and lines that fit.

use std::process::{Command, Stdio};

use crate::doctor::checks::sts;
use crate::harness::program::{KEY_ID, SECRET};
use crate::support::{Server, ServerOptions};

/// Output of a doctor that finds a wrong service, on a terminal of this width.
#[expect(clippy::disallowed_methods, reason = "script(1) gets an empty stdin, and its own PATH")]
fn screen(columns: usize, variables: &[(&str, &str)]) -> String {
    let server = Server::start(ServerOptions::default());
    let program = env!("CARGO_BIN_EXE_sigv4-proxy");
    let flags = "--region=us-east-1 --service-name=lambda";
    let doctor = format!("stty cols {columns}; {program} doctor {} {flags}", server.url("/mcp"));
    let output = Command::new("script")
        .args(["-qec", &doctor, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("TERM", "xterm")
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_ENDPOINT_URL_STS", &sts().url)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

#[test]
fn verdicts_and_labels_have_colours_unless_they_are_not_wanted() {
    let shown = screen(80, &[]);
    for coloured in [
        "\u{1b}[32mpass\u{1b}[0m  identity",
        "\u{1b}[1;31mfail\u{1b}[0m  initialize",
        "\u{1b}[2mwhy:\u{1b}[0m every session",
        "\u{1b}[36mfix:\u{1b}[0m set --service-name",
    ] {
        assert!(shown.contains(coloured), "{coloured:?} is not in {shown}");
    }
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = screen(80, &[variable]);
        assert!(shown.contains("fail  initialize") && !shown.contains('\u{1b}'), "{shown}");
    }
}

#[test]
fn lines_wrap_at_the_width_of_the_terminal_with_a_hanging_indent() {
    for (columns, widest) in [(60, 60), (90, 90), (300, 100)] {
        let shown = screen(columns, &[("NO_COLOR", "1")]);
        let lines: Vec<&str> = shown.lines().collect();
        // A URL is never broken.
        let wrapped = lines.iter().filter(|line| !line.contains("://"));
        let longest = wrapped.map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= widest && longest > widest * 3 / 4, "{longest} of {widest}: {shown}");
        let fix = lines.iter().position(|line| line.trim_start().starts_with("fix: ")).unwrap();
        let failed = lines.iter().position(|line| line.starts_with("fail  initialize")).unwrap();
        assert!(lines[failed + 1].starts_with(&" ".repeat(23)), "{shown}");
        // Further lines begin further right than any paragraph.
        let begin = |line: &str| line.len() - line.trim_start().len();
        assert_eq!((begin(lines[fix]), lines[fix].find("set --service-name")), (21, Some(26)));
        assert!(
            lines[failed + 1..fix].iter().all(|line| [21, 23].contains(&begin(line))),
            "{shown}"
        );
        if widest == 60 {
            assert_eq!(begin(lines[fix + 1]), 26, "{shown}");
        }
    }
}
