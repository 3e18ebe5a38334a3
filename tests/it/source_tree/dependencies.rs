//! What is compiled in: licences that this project's allows, no crate twice.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    // Mozilla's list of roots, as data.
    "CDLA-Permissive-2.0",
    "MPL-2.0",
];

/// `ring` is behind with these two.
const TWICE: [&str; 2] = ["getrandom", "windows-sys"];

/// The crates of the program itself, without what only tests need, on every platform.
fn packages() -> Vec<Value> {
    #[expect(clippy::disallowed_methods, reason = "it asks for nothing on stdin")]
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version=1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let mut wanted = vec![metadata["resolve"]["root"].as_str().unwrap()];
    let mut at = 0;
    while let Some(id) = wanted.get(at).copied() {
        at += 1;
        let node = nodes.iter().find(|node| node["id"] == id).unwrap();
        for dependency in node["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            let package = dependency["pkg"].as_str().unwrap();
            if kinds.iter().any(|kind| kind["kind"].is_null()) && !wanted.contains(&package) {
                wanted.push(package);
            }
        }
    }
    let all = metadata["packages"].as_array().unwrap();
    all.iter()
        .filter(|package| wanted.contains(&package["id"].as_str().unwrap()))
        .cloned()
        .collect()
}

#[test]
#[cfg_attr(windows, ignore = "cargo runs on the system that builds")]
fn licences_go_together_and_nothing_is_there_twice() {
    let packages = packages();
    assert!(packages.len() > 30, "{}", packages.len());
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        versions.entry(name).or_default().push(package["version"].as_str().unwrap());
        let licence = package["license"].as_str().unwrap_or_default();
        // `A OR B`, the older `A/B`, and `A AND B` with brackets.
        let needed = licence.replace(['(', ')'], "");
        for all in needed.split(" AND ") {
            let one = all.split(" OR ").flat_map(|one| one.split('/')).map(str::trim);
            assert!(one.clone().any(|one| LICENCES.contains(&one)), "{name}: {licence}");
        }
    }
    let twice: Vec<_> = versions
        .iter()
        .filter(|(name, versions)| versions.len() > 1 && !TWICE.contains(name))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}
