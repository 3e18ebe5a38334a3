//! Compiled dependencies: only licences compatible with this project's, no crate twice.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// `licenses.allow` of `.github/deny.toml`, which `cargo deny` checks, too.
fn licences() -> Vec<&'static str> {
    let rules = include_str!("../../../.github/deny.toml");
    let (_, rest) = rules.split_once("[licenses]\nallow = [\n").expect("the list is there");
    let (list, _) = rest.split_once("\n]").expect("the list ends");
    list.lines().map(|line| line.split('"').nth(1).expect("one licence a line")).collect()
}

/// `ring` uses older versions of the first two, `win32job` (Windows only) of the others.
const TWICE: [&str; 4] = ["getrandom", "windows-sys", "syn", "windows-link"];

/// The crates of the program itself, without dev-dependencies, on every platform.
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
    let (packages, licences) = (packages(), licences());
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
            assert!(one.clone().any(|one| licences.contains(&one)), "{name}: {licence}");
        }
    }
    let twice: Vec<_> = versions
        .iter()
        .filter(|(name, versions)| versions.len() > 1 && !TWICE.contains(name))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}
