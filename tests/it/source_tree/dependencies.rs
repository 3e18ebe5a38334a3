//! Compiled dependencies: only licences compatible with this project's, no crate twice.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// A list in `.github/deny.toml`, which `cargo deny` checks, too.
fn rules(begin: &str) -> Vec<&'static str> {
    let rules = include_str!("../../../.github/deny.toml");
    let (_, rest) = rules.split_once(begin).expect("the list is there");
    let (list, _) = rest.split_once("\n]").expect("the list ends");
    list.lines().map(|line| line.split('"').nth(1).expect("one entry a line")).collect()
}

/// `ring` uses older versions of the first two, `win32job` (Windows only) of the others.
const TWICE: [&str; 4] = ["getrandom", "windows-sys", "syn", "windows-link"];

/// The crates of the program itself, without dev-dependencies, on these platforms; on every one if there are none. `without`:
/// crates that are left out with all that they use.
fn packages(targets: &[&str], without: impl Fn(&Value) -> bool) -> Vec<Value> {
    #[expect(clippy::disallowed_methods, reason = "it asks for nothing on stdin")]
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version=1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .args(targets.iter().map(|target| format!("--filter-platform={target}")))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let all = metadata["packages"].as_array().unwrap();
    let is_left_out = |id: &str| all.iter().any(|package| package["id"] == id && without(package));
    let mut wanted = vec![metadata["resolve"]["root"].as_str().unwrap()];
    let mut at = 0;
    while let Some(id) = wanted.get(at).copied() {
        at += 1;
        let node = nodes.iter().find(|node| node["id"] == id).unwrap();
        for dependency in node["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            let package = dependency["pkg"].as_str().unwrap();
            let is_compiled = kinds.iter().any(|kind| kind["kind"].is_null());
            if is_compiled && !wanted.contains(&package) && !is_left_out(package) {
                wanted.push(package);
            }
        }
    }
    all.iter()
        .filter(|package| wanted.contains(&package["id"].as_str().unwrap()))
        .cloned()
        .collect()
}

#[test]
#[cfg_attr(windows, ignore = "cargo runs on the system that builds")]
fn licences_go_together_and_nothing_is_there_twice() {
    let (packages, licences) = (packages(&[], |_| false), rules("[licenses]\nallow = [\n"));
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

#[test]
#[cfg_attr(windows, ignore = "cargo runs on the system that builds")]
fn the_libraries_in_the_binaries_are_named_with_their_licences() {
    let text = include_str!("../../../.github/release/third-party.txt");
    let (lists, _) = text.split_once("\n---").expect("the licences follow");
    let listed = lists.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(", "));
    let mut listed: Vec<&str> = listed.map(|(library, _)| library).collect();
    listed.retain(|library| !["the standard library of Rust", "musl (Linux)"].contains(library));
    listed.sort_unstable();
    // Macros run in the compiler.
    let is_macro = |package: &Value| package["targets"][0]["kind"][0] == "proc-macro";
    let linked = packages(&rules("[graph]\ntargets = [\n"), is_macro);
    let mut expected: Vec<String> = linked
        .iter()
        .map(|package| format!("{} {}", package["name"], package["version"]).replace('"', ""))
        .filter(|library| !library.starts_with(env!("CARGO_PKG_NAME")))
        .collect();
    expected.sort_unstable();
    assert_eq!(listed, expected, "run `make licences`");
}
