//! docs/listener.md: its commands, sent as curl would send them, get the responses that the page speaks of.

use crate::docs::pages::{assert_accepted, words};
use crate::harness::listening::Listening;
use crate::harness::program::Launch;
use crate::support::http_client::Answer;
use crate::support::{HttpClient, Mode, Server, ServerOptions, Verdict};
use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../docs/listener.md");

/// The commands of the page, in their order.
fn commands() -> Vec<String> {
    let blocks = PAGE.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks
        .filter(|block| block.starts_with("curl "))
        .map(|block| block.replace("\\\n", ""))
        .collect()
}

/// What curl would do with this command.
fn curl(command: &str) -> Answer {
    let (mut method, mut url, mut headers, mut body) = (None, None, Vec::new(), None);
    let words = words(command.trim_end());
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-i" | "-N" => {}
            "-X" => method = words.next(),
            "-d" => body = words.next(),
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                headers.push((name.to_owned(), value.to_owned()));
            }
            _ => url = Some(word),
        }
    }
    let mut add = |name: &str, value: &str| {
        if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    };
    add("Accept", "*/*");
    if body.is_some() {
        add("Content-Type", "application/x-www-form-urlencoded");
    }
    let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut client = HttpClient::new(&url.unwrap(), None);
    client.ask(&method, &headers, body.unwrap_or_default().as_bytes()).unwrap()
}

/// The number in each match of the source between these texts, if it is an error status.
fn statuses(source: &str, before: &str, after: &str) -> BTreeSet<u16> {
    let found = source.split(before).skip(1).filter_map(|rest| rest.split(after).next());
    found.filter_map(|status| status.parse().ok()).filter(|status| *status >= 400).collect()
}

/// Every error status of a listener has a reason phrase and is on the page.
#[test]
fn the_statuses_of_the_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/listener");
    let response = std::fs::read_to_string(folder.join("response.rs")).unwrap();
    let known = statuses(&response, "\n        ", " => \"");
    assert!(known.len() > 15, "{known:?}");
    let (_, table) = PAGE.split_once("| status | what happened |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let listed: BTreeSet<u16> = table
        .lines()
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split(','))
        .filter_map(|status| status.trim().parse().ok())
        .collect();
    assert_eq!(known, listed, "src/listener/response.rs, and docs/listener.md");
    for file in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for (before, after) in
            [("status: ", ","), (" => ", ","), ("send(", ","), ("\", ", ", Kind::")]
        {
            let used = statuses(source, before, after);
            assert!(used.is_subset(&known), "{used:?}: without a reason phrase");
        }
    }
}

#[test]
fn the_commands_of_the_page() {
    let options = ServerOptions { mode: Mode::Sse, sessions: true, ..ServerOptions::default() };
    let server = Server::start(options);
    let listening = Listening::start(Launch::to(&server.url("/mcp")));
    let mut session = String::new();
    let run = |command: &String, session: &str| {
        let command = command.replace("127.0.0.1:8080", listening.address());
        let command = command.replace("$(cat token)", listening.token.as_ref().unwrap());
        curl(&command.replace("$SESSION", session))
    };
    let commands = commands();
    let [health, initialize, list, delete] = &commands[..] else { panic!("{commands:?}") };

    let answer = run(health, &session);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.requests().len(), 0);

    let answer = run(initialize, &session);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["result"]["serverInfo"]["name"], "verifying-server");
    session = answer.header("mcp-session-id").unwrap().to_owned();

    let answer = run(list, &session);
    assert_eq!(answer.json()["result"]["tools"][0]["name"], "add", "{answer:?}");

    assert_eq!(run(delete, &session).status, 200);
    assert_eq!(run(list, &session).status, 404);
    assert!(server.requests().iter().all(|request| request.verdict == Verdict::Verified));
}

/// Containers and probes: lists of arguments, perhaps with the program's name before them.
#[test]
fn sidecars_start_the_program() {
    let mut count = 0;
    for block in PAGE.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let lists = block.split('[').skip(1).map(|rest| rest.split(']').next().unwrap());
        for list in lists.filter(|list| list.contains("--listen")) {
            let words: Vec<String> = serde_json::from_str(&format!("[{list}]")).unwrap();
            let is_name = |word: &&String| ["CMD", "/sigv4-proxy"].contains(&word.as_str());
            let words: Vec<String> = words.iter().skip_while(is_name).cloned().collect();
            assert_accepted(&words, "docs/listener.md".as_ref());
            count += 1;
        }
    }
    assert_eq!(count, 5, "two sidecars and three probes");
}
