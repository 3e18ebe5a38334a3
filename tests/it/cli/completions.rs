//! Completion scripts for shells.

#[cfg(unix)]
use crate::credentials::chain::Home;
use crate::harness::program::Launch;
#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::process::{Command, Stdio};

fn script(shell: &str) -> String {
    let ended = Launch::bare(&["completions", shell]).run("");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    ended.lines.join("\n")
}

/// The completions that bash offers after these words.
#[cfg(unix)]
fn completed(words: &[&str]) -> Vec<String> {
    completed_at(Path::new("/nonexistent"), words)
}

/// The same with this home folder.
#[cfg(unix)]
fn completed_at(home: &Path, words: &[&str]) -> Vec<String> {
    let script = script("bash");
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let command = format!(
        "{script}\nCOMP_WORDS=(sigv4-proxy {}); COMP_CWORD={}; _sigv4_proxy; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len()
    );
    #[expect(clippy::disallowed_methods, reason = "the child gets a stdin of its own")]
    let output = Command::new("bash")
        .args(["--norc", "-c", &command])
        .env("HOME", home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn bash_completes_flags_and_values() {
    assert_eq!(completed(&["--reg"]), ["--region"]);
    assert_eq!(completed(&["--sig-version", "v4"]), ["v4", "v4a"]);
    assert_eq!(completed(&["doc"]), ["doctor"]);
    assert_eq!(completed(&["completions", ""]), ["bash", "fish", "powershell", "zsh"]);
    assert_eq!(completed(&["--log-level", "w"]), ["warn"]);
    assert_eq!(completed(&["--region", "us"]), [""; 0]);
    assert!(completed(&["doctor", "--"]).contains(&"--json".to_owned()));
}

#[cfg(unix)]
#[test]
fn no_profile_name_is_run_by_the_shell() {
    let home = Home::new("completions-profiles");
    let config = "[default]\n[profile $(touch${IFS}$HOME/made)]\n[profile `echo;echo`]\n[profile {a,b}]\n[profile a;b]\n\
        [profile dev-1.x/y@corp]\n";
    home.write(".aws/config", config);
    home.write(".aws/credentials", "[work]\n[$((1+1))]\n");
    assert_eq!(completed_at(&home.0, &["--profile", ""]), ["default", "dev-1.x/y@corp", "work"]);
    assert!(!home.0.join("made").exists());
}

#[test]
fn every_shell_learns_every_flag() {
    let help = Launch::bare(&["--help"]).run("").lines.join("\n");
    let flags: Vec<&str> = help
        .split([' ', ',', '\n'])
        .filter(|word| word.starts_with("--") && word.len() > 4 && *word != "--flag")
        .filter(|word| word.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()))
        .collect();
    assert!(flags.len() > 25, "{flags:?}");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = script(shell);
        for flag in &flags {
            let as_written =
                if shell == "fish" { format!("-l {}", &flag[2..]) } else { (*flag).to_owned() };
            assert!(script.contains(&as_written), "{shell} does not know {flag}");
        }
    }
    let ended = Launch::bare(&["completions", "tcsh"]).run("");
    assert_eq!(ended.code, Some(2));
    assert!(ended.log.contains("bash, fish, powershell and zsh"), "{}", ended.log);
}
