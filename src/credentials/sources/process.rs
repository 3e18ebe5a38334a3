//! `credential_process`: a command that prints credentials as JSON.
//!
//! Its stdin is the null device, because the proxy's belongs to the client. Its stdout holds secrets and is never quoted;
//! the end of its stderr is part of the error.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::credentials::expiry;
use crate::credentials::shell_word::shell_word;
use crate::credentials::source::Source;
use crate::credentials::sources::request::Network;
use crate::credentials::types::Credentials;
use crate::error::{Error, Kind, io_message, quoted};
use crate::redact::Redactor;
use crate::signing::AccessKey;
use crate::sync::cancel::Cancel;

/// The time limit of the command.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit of reading its output after it has exited: a child process may keep the pipe open.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
const KEPT_STDERR_BYTES: usize = 4096;

pub(crate) fn credentials(
    command: &str,
    profile: &str,
    network: &Network,
) -> Result<Credentials, Error> {
    let output = run(command, TIMEOUT, &network.cancel, &network.redactor);
    output.and_then(|output| parse(&output, profile, &network.redactor)).map_err(|error| {
        let what = error.message();
        // The command may hold a secret, so the hint names one that runs it.
        let hint = format!(
            "run it in a terminal: aws sts get-caller-identity --profile {}",
            shell_word(profile)
        );
        Error::new(error.kind(), format!("profile {profile:?}: credential_process {what}"))
            .hint(hint)
    })
}

/// Runs the command and returns its stdout.
fn run(
    command: &str,
    limit: Duration,
    cancel: &Cancel,
    redactor: &Redactor,
) -> Result<Vec<u8>, Error> {
    let mut child = shell(command).spawn().map_err(|error| {
        Error::new(Kind::Credentials, format!("could not be started: sh: {error}"))
    })?;
    let stdout =
        child.stdout.take().map(|pipe| read_in_background(pipe, Keep::Beginning)).transpose();
    let stderr = child.stderr.take().map(|pipe| read_in_background(pipe, Keep::End)).transpose();
    let (stdout, stderr) = match (stdout, stderr) {
        (Ok(stdout), Ok(stderr)) => (stdout, stderr),
        (Err(error), _) | (_, Err(error)) => {
            kill(&mut child);
            let message = format!("could not be read: no thread: {}", io_message(&error));
            return Err(Error::new(Kind::Credentials, message));
        }
    };

    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => {
                kill(&mut child);
                return Err(Error::new(Kind::Credentials, error.to_string()));
            }
        }
        if cancel.sleep(pause) {
            kill(&mut child);
            return Err(Error::new(Kind::Cancelled, "the process is ending"));
        }
        if started.elapsed() >= limit {
            kill(&mut child);
            let stderr = stderr_text(stderr.as_ref(), stdout.as_ref(), redactor);
            let message = format!("timed out after {} s{stderr}", limit.as_secs_f64());
            return Err(Error::new(Kind::Credentials, message));
        }
        pause = (pause * 2).min(Duration::from_millis(25));
    };
    if !status.success() {
        let how = match status.code() {
            Some(code) => format!("exited with status {code}"),
            None => "was ended by a signal".to_owned(),
        };
        let stderr = stderr_text(stderr.as_ref(), stdout.as_ref(), redactor);
        return Err(Error::new(Kind::Credentials, format!("{how}{stderr}")));
    }
    let output = stdout.and_then(|output| output.recv_timeout(OUTPUT_TIMEOUT).ok());
    output.ok_or_else(|| {
        Error::new(Kind::Credentials, "ended, but a child process keeps its stdout open")
    })
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    use std::os::unix::process::CommandExt;
    #[expect(clippy::disallowed_methods, reason = "its stdin is the null device")]
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).process_group(0);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    use std::os::windows::process::CommandExt;
    #[expect(clippy::disallowed_methods, reason = "its stdin is the null device")]
    let mut shell = Command::new("cmd.exe");
    shell.arg("/C").raw_arg(format!("\"{command}\""));
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Kills the command, on Unix with its whole process group.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        // The group's id cannot have been reused, since the command has not been waited for.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[derive(Clone, Copy)]
enum Keep {
    Beginning,
    End,
}

/// Reads to the end on a separate thread, so that the command is never blocked. What is kept is bounded.
fn read_in_background(mut pipe: impl Read + Send + 'static, keep: Keep) -> io::Result<Output> {
    let (sender, receiver) = channel();
    thread::Builder::new().spawn(move || {
        let mut kept = VecDeque::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.extend(&buffer[..count]);
            match keep {
                // One byte more than allowed shows that there was too much.
                Keep::Beginning => kept.truncate(MAX_OUTPUT_BYTES + 1),
                Keep::End => drop(kept.drain(..kept.len().saturating_sub(KEPT_STDERR_BYTES))),
            }
        }
        let _ = sender.send(kept.into());
    })?;
    Ok(receiver)
}

type Output = Receiver<Vec<u8>>;

/// `: ` and the end of stderr; empty if nothing was written there.
fn stderr_text(stderr: Option<&Output>, stdout: Option<&Output>, redactor: &Redactor) -> String {
    let bytes =
        stderr.and_then(|stderr| stderr.recv_timeout(OUTPUT_TIMEOUT).ok()).unwrap_or_default();
    // A verbose command may repeat its stdout there, so the secrets in that are registered.
    if let Some(printed) = stdout.and_then(|stdout| stdout.try_recv().ok())
        && let Ok(printed) = serde_json::from_slice(&printed)
    {
        add_secrets(&printed, redactor);
    }
    let text = String::from_utf8_lossy(&bytes);
    // A word whose beginning is cut off may be the end of a secret, so it is left out.
    let whole_words = match text.split_once(char::is_whitespace) {
        Some((_, rest)) if bytes.len() >= KEPT_STDERR_BYTES => rest,
        None if bytes.len() >= KEPT_STDERR_BYTES => "",
        _ => &text,
    };
    let words = quoted(whole_words);
    if words.is_empty() { words } else { format!(": {words}") }
}

/// Registers the secrets of an output before any of it is quoted, even if it turns out to be unusable.
fn add_secrets(output: &serde_json::Map<String, Value>, redactor: &Redactor) {
    for name in ["SecretAccessKey", "SessionToken"] {
        redactor.add(output.get(name).and_then(Value::as_str).unwrap_or_default());
    }
}

fn parse(output: &[u8], profile: &str, redactor: &Redactor) -> Result<Credentials, Error> {
    let wrong = |what: &str| Error::new(Kind::Credentials, what);
    if output.len() > MAX_OUTPUT_BYTES {
        return Err(wrong("printed more than 1 MiB"));
    }
    let output: serde_json::Map<String, Value> =
        serde_json::from_slice(output).map_err(|_| wrong("did not print JSON"))?;
    add_secrets(&output, redactor);
    match output.get("Version") {
        Some(version) if version.as_f64() == Some(1.0) => {}
        None => return Err(wrong("printed no Version, which must be 1")),
        Some(version) => {
            let version = quoted(&version.to_string());
            return Err(wrong(&format!(
                "printed a wrong version: Version must be 1, got {version}"
            )));
        }
    }
    let text = |name: &str| output.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    let required = |name| text(name).ok_or_else(|| wrong(&format!("printed no {name}")));
    let expires = match output.get("Expiration") {
        None | Some(Value::Null) => None,
        Some(time) => Some(
            time.as_str()
                .and_then(expiry::parse)
                .ok_or_else(|| wrong("printed an Expiration that is not a time"))?,
        ),
    };
    Ok(Credentials {
        key: AccessKey::new(
            required("AccessKeyId")?,
            required("SecretAccessKey")?,
            text("SessionToken"),
        ),
        expires,
        account: text("AccountId").map(str::to_owned),
        source: Source::Process { profile: profile.to_owned() },
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn quickly(command: &str) -> Result<String, String> {
        let output =
            run(command, Duration::from_millis(300), &Cancel::default(), &Redactor::default());
        output
            .map(|output| String::from_utf8_lossy(&output).into_owned())
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn output_and_errors() {
        assert_eq!(quickly("cat; echo done").unwrap(), "done\n");
        assert_eq!(quickly("echo a  b >&2; exit 3").unwrap_err(), "exited with status 3: a b");
        assert_eq!(quickly("kill -9 $$").unwrap_err(), "was ended by a signal");
        let many = quickly("head -c 3000000 /dev/zero").unwrap();
        assert_eq!(many.len(), MAX_OUTPUT_BYTES + 1);
        let long = quickly("head -c 99999 /dev/zero | tr '\\0' y >&2; echo end >&2; exit 1");
        assert!(long.unwrap_err().len() < 1000);
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let mark = format!("86{:06}", std::process::id());
        let error = quickly(&format!("echo wait >&2; sleep {mark} & sleep {mark}")).unwrap_err();
        assert_eq!(error, "timed out after 0.3 s: wait");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let left = processes.filter(|process| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            line.windows(mark.len()).any(|part| part == mark.as_bytes())
                && line.starts_with(b"sleep")
        });
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn cancelling_kills_it_at_once() {
        let cancel = Cancel::new();
        cancel.cancel();
        let error = run("sleep 60", TIMEOUT, &cancel, &Redactor::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
    }

    #[test]
    fn output_must_be_version_1_with_keys() {
        let parse = |output: &str| parse(output.as_bytes(), "p", &Redactor::default());
        let error = |output: &str| parse(output).unwrap_err().to_string();
        for (output, message) in [
            ("hush", "did not print JSON"),
            ("[]", "did not print JSON"),
            ("{}", "printed no Version, which must be 1"),
            (r#"{"Version":"1"}"#, "printed a wrong version: Version must be 1, got \"1\""),
            (r#"{"Version":1,"AccessKeyId":"A"}"#, "printed no SecretAccessKey"),
            (
                r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hush","Expiration":"soon"}"#,
                "printed an Expiration that is not a time",
            ),
        ] {
            assert_eq!(error(output), message);
        }
        let found = r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":null}"#;
        let found = parse(found).unwrap();
        assert_eq!((found.key.session_token, found.expires), (None, None));
    }
}
