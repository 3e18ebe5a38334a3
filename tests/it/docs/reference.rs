//! docs/configuration.md agrees with the program: its tables are generated or checked here.

use crate::harness::program::Launch;
use sigv4_proxy::aws::hostname;
use sigv4_proxy::cli;
use sigv4_proxy::environment::Environment;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- generated from the table of options; renew with: UPDATE_DOCS=1 cargo test --test it docs -->\n";
const END: &str = "<!-- end of the generated part -->\n";

#[test]
fn the_options_are_those_of_the_table() {
    let text = std::fs::read_to_string(page()).expect("docs/configuration.md is there");
    let (before, rest) = text.split_once(BEGIN).expect("the first marker is there");
    let (_, after) = rest.split_once(END).expect("the second marker is there");
    let renewed = format!("{before}{BEGIN}\n{}\n{END}{after}", cli::markdown());
    if Environment::of_process().get("UPDATE_DOCS").is_some() {
        std::fs::write(page(), &renewed).expect("docs/configuration.md can be written");
        return;
    }
    assert!(
        text == renewed,
        "docs/configuration.md lags behind; renew it: UPDATE_DOCS=1 cargo test --test it docs"
    );
}

#[test]
fn the_manual_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sigv4-proxy.1");
    let page = cli::man_page();
    if Environment::of_process().get("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/sigv4-proxy.1 can be written");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == page,
        "docs/sigv4-proxy.1 lags behind: UPDATE_DOCS=1 cargo test --test it docs"
    );
    // Lines that `man` would take for commands.
    let known = ["TH", "SH", "SS", "TP", "PP", "B", "br"];
    for line in page.lines().filter_map(|line| line.strip_prefix('.')) {
        assert!(known.contains(&line.split(' ').next().unwrap_or_default()), "{line}");
    }
}

/// The packages bring the completions, so they are files of the repository.
#[test]
fn the_completions_are_those_of_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/completions");
    for (shell, name) in [
        ("bash", "sigv4-proxy.bash"),
        ("fish", "sigv4-proxy.fish"),
        ("powershell", "sigv4-proxy.ps1"),
        ("zsh", "_sigv4-proxy"),
    ] {
        let printed = Launch::bare(&["completions", shell]).run("").lines.join("\n") + "\n";
        if Environment::of_process().get("UPDATE_DOCS").is_some() {
            std::fs::write(folder.join(name), &printed).unwrap();
        }
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            text == printed,
            "docs/completions/{name} lags behind: UPDATE_DOCS=1 cargo test --test it docs"
        );
    }
}

/// Rows whose first cell is a host: `| API Gateway | `host` | `service` | `region` |`.
#[test]
fn the_hosts_are_read_as_the_page_says() {
    let text = std::fs::read_to_string(page()).expect("docs/configuration.md is there");
    let (_, section) =
        text.split_once("## Service and region from the URL").expect("the section is there");
    let mut rows = 0;
    for line in section.lines().skip(1).take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, _, host, service, region, _] = cells[..] else { continue };
        if !host.contains('.') {
            continue;
        }
        let facts = hostname::of_host(host);
        assert_eq!(facts.service.as_deref().unwrap_or("nothing"), service, "{host}");
        assert_eq!(facts.region.as_deref().unwrap_or("nothing"), region, "{host}");
        rows += 1;
    }
    assert!(rows > 10, "only {rows} hosts were found");
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")
}
