//! Signs vectors from stdin, one JSON object per line, and prints one JSON object per line. `vectors.rs` lists the members.
//!
//!     cargo run --example sign-lines < test-vectors/signing/v4.jsonl
#![allow(clippy::print_stdout, reason = "its results go to stdout")]

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
