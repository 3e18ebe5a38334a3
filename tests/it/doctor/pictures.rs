//! The pictures of docs/doctor.svg and docs/doctor-fails.svg show what the program prints. `make pictures` draws them.

use crate::credentials::chain::Home;
use crate::doctor::checks::{launch, sts, text};
use crate::harness::program::Launch;
use crate::support::{Server, ServerOptions};
use std::collections::BTreeMap;

/// A report, taken apart: the words of each check by its name, and of the summary, which has none.
type Words = BTreeMap<String, Vec<String>>;

const VERDICTS: [&str; 4] = ["pass", "warn", "fail", "skip"];

fn words(lines: &[String]) -> Words {
    let mut found = Words::new();
    let mut check = String::new();
    for line in lines {
        let words: Vec<String> = line.split_whitespace().map(without_digits).collect();
        match &words[..] {
            [] => check.clear(),
            [verdict, name, ..] if VERDICTS.contains(&verdict.as_str()) => check.clone_from(name),
            _ => {}
        }
        found.entry(check.clone()).or_default().extend(words);
    }
    found
}

/// Numbers and times differ from run to run.
fn without_digits(word: &str) -> String {
    let mut word: Vec<char> =
        word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    word.dedup_by(|a, b| *a == '0' && *b == '0');
    word.into_iter().collect()
}

/// The lines of a picture, after the one with the command.
fn shown(picture: &str) -> Vec<String> {
    let mut lines = BTreeMap::<u32, String>::new();
    for text in picture.split("<text ").skip(1) {
        let (_, y) = text.split_once(" y=\"").unwrap();
        let y = y.split('"').next().unwrap().parse().unwrap();
        let text = text.split_once('>').unwrap().1.split("</text>").next().unwrap();
        let text = text.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&");
        let line = lines.entry(y).or_default();
        line.push(' ');
        line.push_str(&text);
    }
    // An empty line is not drawn: it is where rows are further apart.
    let mut all = Vec::new();
    let mut last = 0;
    for (y, line) in lines {
        if y - last > 30 {
            all.push(String::new());
        }
        last = y;
        all.push(line);
    }
    all.split_off(1)
}

/// The words of a picture, which must be of this version.
fn words_of(picture: &str) -> Words {
    let lines = shown(picture);
    let title = concat!("sigv4-proxy ", env!("CARGO_PKG_VERSION"), " doctor");
    assert_eq!(lines[0].trim(), title, "make pictures draws it again");
    words(&lines)
}

#[test]
fn the_picture_of_a_run_that_passes_shows_the_words_of_one() {
    let server = Server::start(ServerOptions { get_stream: true, ..ServerOptions::default() });
    let run = launch(&server.url("/mcp"), &sts()).run("");
    let picture = words_of(include_str!("../../../docs/doctor.svg"));
    let run_words = words(&run.lines);
    assert!(picture.keys().eq(run_words.keys()), "{picture:?}");
    // The others name the host, its certificate, or the identity.
    for check in ["", "proxy", "clock", "initialize", "server", "tools"] {
        assert_eq!(picture[check], run_words[check], "{check}: {}", text(&run));
    }
    let passed = picture.values().filter(|words| words[0] == "pass").count();
    assert_eq!(passed, picture.len() - 1);
}

#[test]
fn the_picture_of_a_run_that_fails_shows_the_words_of_one() {
    let home = Home::new("doctor-picture");
    home.write(
        ".aws/config",
        "[profile work]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = Developer\nregion = us-east-1\n\
         [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n\
         sso_registration_scopes = sso:account:access\n",
    );
    // SHA-1 of the session's name.
    home.write(
        ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
        r#"{"startUrl":"https://corp.awsapps.com/start","region":"us-east-1","accessToken":"t","expiresAt":"2020-01-01T00:00:00Z"}"#,
    );
    let server = Server::start(ServerOptions::default());
    let run = Launch::bare(&["doctor", &server.url("/mcp"), "--service-name=execute-api"])
        .env("AWS_PROFILE", "work")
        .env("HOME", home.0.to_str().unwrap())
        .run("");
    let picture = words_of(include_str!("../../../docs/doctor-fails.svg"));
    let run_words = words(&run.lines);
    for check in ["", "credentials", "identity", "proxy", "initialize", "server", "tools"] {
        assert_eq!(picture[check], run_words[check], "{check}: {}", text(&run));
    }
    assert_eq!(picture["credentials"][0], "fail");
}
