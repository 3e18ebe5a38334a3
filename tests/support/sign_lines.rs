//! Signs vectors from stdin, one JSON object a line, and answers one JSON object a line: any vectors can be
//! judged with it. The members are listed in `vectors.rs`.
//!
//!     cargo run --example sign-lines < test-vectors/signing/v4.jsonl
#![allow(clippy::print_stdout, reason = "its answers are what it is for")]

mod vectors;

use serde_json::{Value, json};

fn main() {
    for line in
        std::io::stdin().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty())
    {
        let answer = match serde_json::from_str::<Value>(&line) {
            Ok(vector) => vectors::answer(&vector),
            Err(error) => json!({ "id": null, "refused": error.to_string() }),
        };
        println!("{answer}");
    }
}
