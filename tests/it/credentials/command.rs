//! The command of a `credential_process`: its terminal, its input, its children.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use sigv4_proxy::clock;

use crate::credentials::chain::Home;
use crate::harness::program::{Launch, PATIENCE};
use crate::support::aws::Aws;
use crate::support::{Key, Server, ServerOptions};

const KEYS: &str =
    r#"echo '{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "hush-hush"}'"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A home whose default profile runs a script.
fn home_with_script(name: &str, script: &str) -> Home {
    let home = Home::new(name);
    home.write("keys.sh", format!("{script}\n{KEYS}\n"));
    let script = home.0.join("keys.sh");
    let config = format!("[default]\ncredential_process = sh {}\n", script.display());
    home.write(".aws/config", config);
    home
}

fn server() -> Server {
    Server::start(ServerOptions {
        keys: vec![Key::new("AKIDPROCESS", "hush-hush")],
        ..ServerOptions::default()
    })
}

fn launch(arguments: &[&str], home: &Home) -> Launch {
    Launch::bare(arguments).env("HOME", home.0.to_str().unwrap())
}

fn proxy(url: &str, home: &Home) -> Launch {
    launch(&["--target-url", url, "--region=us-east-1", "--service-name=execute-api"], home)
}

/// The launch on a terminal of script(1), whose keyboard is stdin and whose screen is stdout.
fn on_terminal(launch: Launch) -> Launch {
    let command = r#"exec script -qec "$(printf "'%s' " "$0" "$@")" /dev/null"#;
    launch.env("SHELL", "/bin/sh").after(command)
}

#[test]
fn in_the_proxy_it_has_a_session_of_its_own_without_terminal_and_input() {
    let script = r#"cd "$HOME"; cut -d' ' -f6,7 /proc/self/stat > seen; wc -c >> seen
                    ( : < /dev/tty ) 2> /dev/null && echo terminal >> seen"#;
    let (server, home) = (server(), home_with_script("command-session", script));
    let mut program = on_terminal(proxy(&server.url("/mcp"), &home)).start();
    program.write(PING);
    let started = Instant::now();
    let seen = home.0.join("seen");
    let seen = loop {
        match fs::read_to_string(&seen) {
            Ok(seen) if seen.lines().count() >= 2 => break seen,
            _ => assert!(started.elapsed() < PATIENCE, "the command was not run"),
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let seen: Vec<&str> = seen.split_whitespace().collect();
    let [session, "0", "0"] = seen[..] else { panic!("{seen:?}") };
    let own = fs::read_to_string("/proc/self/stat").unwrap();
    assert_ne!(own.split_whitespace().nth(5), Some(session));
}

#[test]
fn in_the_proxy_a_prompt_fails_at_once() {
    for prompt in ["read code < /dev/tty || exit 3", "read code || exit 3"] {
        let (server, home) = (server(), home_with_script("command-prompt", prompt));
        let mut program = on_terminal(proxy(&server.url("/mcp"), &home)).start();
        let asked = Instant::now();
        program.write(PING);
        let answer = loop {
            let line = program.read_line();
            if line.contains("\"error\"") {
                break line;
            }
        };
        assert!(answer.contains("credential_process exited with status 3"), "{answer}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
}

#[test]
fn without_a_shell_the_error_names_it() {
    let (server, home) = (server(), home_with_script("command-shell", ""));
    let mut program = proxy(&server.url("/mcp"), &home).env("PATH", "/nowhere").start();
    let error = program.ask(PING)["error"]["message"].to_string();
    assert!(error.contains("sh: No such file or directory"), "{error}");
}

#[test]
fn in_doctor_on_a_terminal_it_may_ask_there() {
    let identity =
        "<r><Arn>arn:aws:iam::123456789012:user/ann</Arn><Account>123456789012</Account></r>";
    let sts = Aws::start(
        vec![json!({ "ask": "POST /", "times": "any", "answer": identity })],
        clock::now(),
    );
    for prompt in [
        r#"printf 'Code: ' > /dev/tty; read code < /dev/tty; [ "$code" = 123456 ] || exit 9"#,
        r#"printf 'Code: ' >&2; read code; [ "$code" = 123456 ] || exit 9"#,
    ] {
        let (server, home) = (server(), home_with_script("command-doctor", prompt));
        let arguments =
            ["doctor", &server.url("/mcp"), "--region=us-east-1", "--service-name=execute-api"];
        let doctor = launch(&arguments, &home).env("AWS_ENDPOINT_URL_STS", &sts.url);
        let shown = on_terminal(doctor).run("123456\n").lines.join("\n");
        assert!(
            shown.contains("Code: ") && shown.contains("from credential_process (profile default)"),
            "{shown}"
        );
    }
}

#[test]
fn without_a_terminal_doctor_gives_it_none() {
    let home = home_with_script("command-doctor-alone", "read code || exit 3");
    let arguments =
        ["doctor", "http://127.0.0.1:9/", "--region=us-east-1", "--service-name=execute-api"];
    let shown = launch(&arguments, &home).run("123456\n").lines.join("\n");
    assert!(shown.contains("credential_process exited with status 3"), "{shown}");
}
