//! Tells the program its target and its commit. The same sources give the same text, with and without git.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo passes settings to build scripts in variables"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Replaced by `git archive` (`.gitattributes`).
const OF_ARCHIVE: &str = "$Format:%H$";

/// Digits of the commit that are shown.
const SHOWN_DIGITS: usize = 12;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    set("rerun-if-changed", ".github/release/commit.rs");
    set("rustc-env=SIGV4_PROXY_TARGET", &env::var("TARGET").expect("cargo sets it"));
    let commit = commit(OF_ARCHIVE)
        .or_else(|| of_package(&root))
        .or_else(|| of_repository(&root.join(".git")));
    if let Some(commit) = commit {
        set("rustc-env=SIGV4_PROXY_COMMIT", &commit);
    }
}

#[expect(clippy::print_stdout, reason = "this is how a build script talks to cargo")]
fn set(name: &str, value: &str) {
    println!("cargo:{name}={value}");
}

/// What `cargo package` notes.
fn of_package(root: &Path) -> Option<String> {
    let noted = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = noted.split_once("\"sha1\"")?;
    commit(rest.split('"').nth(1)?)
}

/// The commit that is checked out. Git itself is not needed, and its rules about owners do not apply.
fn of_repository(git: &Path) -> Option<String> {
    // In a worktree, `.git` is a file that names a folder, which names the repository.
    let folder = match fs::read_to_string(git) {
        Ok(file) => git.parent()?.join(file.strip_prefix("gitdir: ")?.trim_end()),
        Err(_) => git.to_owned(),
    };
    let common = match fs::read_to_string(folder.join("commondir")) {
        Ok(path) => folder.join(path.trim_end()),
        Err(_) => folder.clone(),
    };
    let head = watched(&folder.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ").map(str::trim_end) else { return commit(&head) };
    if let Some(commit) = watched(&common.join(name)).and_then(|text| commit(&text)) {
        return Some(commit);
    }
    let packed = watched(&common.join("packed-refs"))?;
    commit(packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' '))?)
}

/// The text of a file. A release build follows its changes; in a development build that would rebuild everything after each
/// commit.
fn watched(path: &Path) -> Option<String> {
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        // A file that does not exist would count as changed in every build.
        let existing = if path.exists() { path } else { path.parent()? };
        set("rerun-if-changed", existing.to_str()?);
    }
    fs::read_to_string(path).ok()
}

fn commit(text: &str) -> Option<String> {
    let commit = text.trim_end();
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| commit[..SHOWN_DIGITS].to_owned())
}
