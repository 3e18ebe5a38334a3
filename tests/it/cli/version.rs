//! `--version`.

use crate::harness::program::Launch;

#[test]
fn the_version_names_commit_target_and_libc() {
    let ended = Launch::bare(&["--version"]).run("");
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 1));
    let start = format!("sigv4-proxy {} (", env!("CARGO_PKG_VERSION"));
    let facts = ended.lines[0].strip_prefix(&start).and_then(|rest| rest.strip_suffix(')'));
    let facts: Vec<&str> = facts.unwrap_or_default().split(", ").collect();
    // Without git and outside an archive made by it there is no commit.
    let [commit @ .., target, libc] = &facts[..] else { panic!("{:?}", ended.lines) };
    let is_commit = |text: &&str| {
        let digits = text.strip_prefix("commit ").unwrap_or_default();
        digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    assert!(commit.len() <= 1 && commit.iter().all(is_commit), "{facts:?}");
    assert!(target.starts_with(std::env::consts::ARCH) && !libc.is_empty(), "{facts:?}");
    assert_eq!(Launch::bare(&["version"]).run("").lines, ended.lines);
}
