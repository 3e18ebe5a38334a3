//! The verifying server as a program, for clients in other languages: prints its URL, serves until stdin ends, and fails if
//! a request had a wrong signature, or none came.

#![allow(clippy::print_stdout, reason = "the URL is what it is asked for")]

#[path = "mod.rs"]
mod support;

use std::io::Read;
use std::process::ExitCode;
use support::{Key, Mode, Server, ServerOptions, Verdict};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn main() -> ExitCode {
    let server = Server::start(ServerOptions {
        mode: Mode::Sse,
        sessions: true,
        get_stream: true,
        keys: vec![
            Key::new("AKIAIOSFODNN7EXAMPLE", SECRET),
            Key::new("ASIAIOSFODNN7EXAMPLE", SECRET).with_token("session-token-of-the-example"),
        ],
        ..ServerOptions::default()
    });
    println!("{}", server.url("/mcp"));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let requests = server.requests();
    let wrong = requests.iter().filter(|request| request.verdict != Verdict::Verified).count();
    println!("{} requests, {wrong} of them not verified", requests.len());
    if wrong == 0 && !requests.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
