//! `credential_process`: a command of the user's that prints credentials as JSON.
//!
//! It gets no stdin of ours, which is the client's. Its stdout is secret and never quoted; the end of its
//! stderr is the error.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::credentials::expiry;
use crate::credentials::source::Source;
use crate::credentials::sources::request::Network;
use crate::credentials::sources::shell_word::shell_word;
use crate::credentials::types::Credentials;
use crate::error::{Error, Kind, io_message, quoted};
use crate::redact::Redactor;
use crate::signing::AccessKey;
use crate::sync::cancel::Cancel;

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How long its output may stay open after it has ended, which a child it left behind can cause.
const LAST_WORDS: Duration = Duration::from_millis(500);

const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
const KEPT_STDERR_BYTES: usize = 4096;

pub(crate) fn credentials(
    command: &str,
    profile: &str,
    network: &Network,
) -> Result<Credentials, Error> {
    let output = run(command, LIMIT, &network.cancel, &network.redactor);
    output.and_then(|output| understood(&output, profile)).map_err(|error| {
        let what = error.message();
        // The command itself is not shown: it may hold a secret. This one runs it, and shows none.
        let hint = format!(
            "run it in a terminal: aws sts get-caller-identity --profile {}",
            shell_word(profile)
        );
        Error::new(error.kind(), format!("profile {profile:?}: credential_process {what}"))
            .hint(hint)
    })
}

/// What the command prints on stdout.
fn run(
    command: &str,
    limit: Duration,
    cancel: &Cancel,
    redactor: &Redactor,
) -> Result<Vec<u8>, Error> {
    let mut child = shell(command).spawn().map_err(|error| {
        Error::new(Kind::Credentials, format!("could not be started: sh: {error}"))
    })?;
    let stdout = child.stdout.take().map(|pipe| read_aside(pipe, Keep::Beginning)).transpose();
    let stderr = child.stderr.take().map(|pipe| read_aside(pipe, Keep::End)).transpose();
    let (stdout, stderr) = match (stdout, stderr) {
        (Ok(stdout), Ok(stderr)) => (stdout, stderr),
        (Err(error), _) | (_, Err(error)) => {
            end(&mut child);
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
                end(&mut child);
                return Err(Error::new(Kind::Credentials, error.to_string()));
            }
        }
        if cancel.sleep(pause) {
            end(&mut child);
            return Err(Error::new(Kind::Cancelled, "the process is ending"));
        }
        if started.elapsed() >= limit {
            end(&mut child);
            let said = said(stderr.as_ref(), stdout.as_ref(), redactor);
            let message = format!("timed out after {} s{said}", limit.as_secs_f64());
            return Err(Error::new(Kind::Credentials, message));
        }
        pause = (pause * 2).min(Duration::from_millis(25));
    };
    if !status.success() {
        let how = match status.code() {
            Some(code) => format!("exited with status {code}"),
            None => "was ended by a signal".to_owned(),
        };
        let said = said(stderr.as_ref(), stdout.as_ref(), redactor);
        return Err(Error::new(Kind::Credentials, format!("{how}{said}")));
    }
    let output = stdout.and_then(|output| output.recv_timeout(LAST_WORDS).ok());
    output.ok_or_else(|| {
        Error::new(Kind::Credentials, "ended and left its stdout open to a child of its own")
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

/// Ends the command and what it started: on Unix all of its process group.
fn end(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        // The group is the command's own and cannot be another's, since the command has not been waited for.
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

/// Reads to the end on a thread of its own, so that the command never waits for us. What is kept has a bound.
fn read_aside(mut pipe: impl Read + Send + 'static, keep: Keep) -> io::Result<Output> {
    let (sender, receiver) = channel();
    thread::Builder::new().spawn(move || {
        let mut kept = VecDeque::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.extend(&buffer[..count]);
            match keep {
                // One byte more than allowed tells that it is too much.
                Keep::Beginning => kept.truncate(MAX_OUTPUT_BYTES + 1),
                Keep::End => drop(kept.drain(..kept.len().saturating_sub(KEPT_STDERR_BYTES))),
            }
        }
        let _ = sender.send(kept.into());
    })?;
    Ok(receiver)
}

type Output = Receiver<Vec<u8>>;

/// `: the last words on stderr`, if there are any.
fn said(stderr: Option<&Output>, stdout: Option<&Output>, redactor: &Redactor) -> String {
    let bytes = stderr.and_then(|stderr| stderr.recv_timeout(LAST_WORDS).ok()).unwrap_or_default();
    // A command that is told to be verbose repeats there what it prints.
    if let Some(printed) = stdout.and_then(|stdout| stdout.try_recv().ok())
        && let Ok(printed) = serde_json::from_slice::<serde_json::Map<String, Value>>(&printed)
    {
        for name in ["SecretAccessKey", "SessionToken"] {
            redactor.add(printed.get(name).and_then(Value::as_str).unwrap_or_default());
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    // Of a word whose beginning was lost nobody knows whether it is the end of a secret.
    let whole_words = match text.split_once(char::is_whitespace) {
        Some((_, rest)) if bytes.len() >= KEPT_STDERR_BYTES => rest,
        None if bytes.len() >= KEPT_STDERR_BYTES => "",
        _ => &text,
    };
    let words = quoted(whole_words);
    if words.is_empty() { words } else { format!(": {words}") }
}

fn understood(output: &[u8], profile: &str) -> Result<Credentials, Error> {
    let wrong = |what: &str| Error::new(Kind::Credentials, what);
    if output.len() > MAX_OUTPUT_BYTES {
        return Err(wrong("printed more than 1 MiB"));
    }
    let output: serde_json::Map<String, Value> =
        serde_json::from_slice(output).map_err(|_| wrong("did not print JSON"))?;
    match output.get("Version") {
        Some(version) if version.as_u64() == Some(1) => {}
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
                .ok_or_else(|| wrong("printed an Expiration that is no time"))?,
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
    fn what_takes_too_long_is_ended_with_its_children() {
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
    fn taking_back_ends_it_at_once() {
        let cancel = Cancel::new();
        cancel.cancel();
        let error = run("sleep 60", LIMIT, &cancel, &Redactor::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
    }

    #[test]
    fn what_it_must_print() {
        let error = |output: &str| understood(output.as_bytes(), "p").unwrap_err().to_string();
        for (output, message) in [
            ("hush", "did not print JSON"),
            ("[]", "did not print JSON"),
            ("{}", "printed no Version, which must be 1"),
            (r#"{"Version":"1"}"#, "printed a wrong version: Version must be 1, got \"1\""),
            (r#"{"Version":1,"AccessKeyId":"A"}"#, "printed no SecretAccessKey"),
            (
                r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hush","Expiration":"soon"}"#,
                "printed an Expiration that is no time",
            ),
        ] {
            assert_eq!(error(output), message);
        }
        let found = r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":null}"#;
        let found = understood(found.as_bytes(), "p").unwrap();
        assert_eq!((found.key.session_token, found.expires), (None, None));
    }
}
