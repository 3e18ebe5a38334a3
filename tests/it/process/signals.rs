//! Signals that the process inherits.

use crate::credentials::chain::Home;
use crate::harness::messages::{call, text_of};
use crate::harness::program::{KEY_ID, Launch, SECRET};
use crate::support::{Server, ServerOptions};
use serde_json::json;
use std::fs;
use std::time::Duration;

/// Only Linux shows whether a signal is ignored; elsewhere SIGHUP counts as not ignored.
#[cfg(target_os = "linux")]
#[test]
fn signals_stay_as_they_were_but_for_that_of_children() {
    let home = Home::new("environment-signals");
    let keys = json!({ "Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET });
    let ignored = home.0.join("ignored");
    let command = format!(
        "[default]\ncredential_process = grep SigIgn /proc/self/status >{}; echo '{keys}'\n",
        ignored.display()
    );
    home.write(".aws/config", command);
    let server = Server::start(ServerOptions::default());
    let launch = Launch::bare(&["--target-url", &server.url("/mcp"), "--region=us-east-1"])
        .arg("--service-name=execute-api")
        .env_os("HOME", &home.0)
        .env("PATH", "/usr/bin:/bin");
    let mut program = launch.after("trap '' HUP INT QUIT CHLD").start();
    program.shake_hands();
    program.signal("-HUP");
    program.signal("-INT");
    assert_eq!(text_of(&program.ask(&call("1", "add", &json!({"a": 1, "b": 2})))), "3");
    program.signal("-TERM");
    let ended = program.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    let ignored = fs::read_to_string(&ignored).unwrap();
    let ignored = u64::from_str_radix(ignored.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(ignored >> 16 & 1, 0, "its children do not ignore SIGCHLD");
}
