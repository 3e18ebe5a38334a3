//! `credential_process`: a command that prints credentials as JSON.
//!
//! In the proxy it has no terminal and its stdin is the null device, because the proxy's belongs to the client. Its stdout
//! holds secrets and is never quoted; the end of its stderr is part of the error.

use std::time::Duration;

use serde_json::Value;

use crate::credentials::expiry;
use crate::credentials::settings::Terminal;
use crate::credentials::source::Source;
use crate::credentials::sources::command::{self, End, Ended, KEPT_STDERR_BYTES, MAX_STDOUT_BYTES};
use crate::credentials::sources::request::Network;
use crate::credentials::types::Credentials;
use crate::error::{Error, Kind, quoted};
use crate::redact::Redactor;
use crate::signing::AccessKey;
use crate::suggest::shell_word;

/// The time limit of the command, which may ask the user to sign in in a browser.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn credentials(
    command: &str,
    profile: &str,
    terminal: Terminal,
    network: &Network,
) -> Result<Credentials, Error> {
    let ended = command::run(command, terminal, TIMEOUT, &network.cancel)
        .map_err(|error| Error::new(Kind::Credentials, format!("cannot be started: sh: {error}")));
    let output = ended.and_then(|ended| output(ended, &network.redactor));
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

/// The stdout of a command that has succeeded.
fn output(ended: Ended, redactor: &Redactor) -> Result<Vec<u8>, Error> {
    let wrong = |what: String| Error::new(Kind::Credentials, what);
    let Ended { how, stdout, stderr } = ended;
    // A verbose command may repeat its stdout on stderr, so the secrets in that are registered.
    if let Some(Ok(printed)) = stdout.as_deref().map(serde_json::from_slice) {
        add_secrets(&printed, redactor);
    }
    let stderr = stderr_text(&stderr);
    match how {
        End::Cancelled => Err(Error::new(Kind::Cancelled, "the process is ending")),
        End::TimedOut => Err(wrong(format!("timed out after {} s{stderr}", TIMEOUT.as_secs()))),
        End::Exited(status) if status.success() => stdout
            .ok_or_else(|| wrong("exited, but a child process keeps its stdout open".to_owned())),
        End::Exited(status) => Err(wrong(match status.code() {
            Some(code) => format!("exited with status {code}{stderr}"),
            None => format!("was ended by a signal{stderr}"),
        })),
    }
}

/// `: ` and the end of stderr; empty if nothing was written there.
fn stderr_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
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
        redactor.add_temporary(output.get(name).and_then(Value::as_str).unwrap_or_default());
    }
}

fn parse(output: &[u8], profile: &str, redactor: &Redactor) -> Result<Credentials, Error> {
    let wrong = |what: &str| Error::new(Kind::Credentials, what);
    if output.len() > MAX_STDOUT_BYTES {
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
                "printed an unsupported Version: must be 1, got {version}"
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
                .ok_or_else(|| wrong("printed an invalid Expiration"))?,
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::sync::cancel::Cancel;

    #[test]
    fn failures_end_with_stderr() {
        let error = |command: &str| {
            let limit = Duration::from_millis(300);
            let ended = command::run(command, Terminal::Background, limit, &Cancel::default());
            output(ended.unwrap(), &Redactor::default()).unwrap_err().message().to_owned()
        };
        assert_eq!(error("echo a  b >&2; exit 3"), "exited with status 3: a b");
        assert_eq!(error("kill -9 $$"), "was ended by a signal");
        assert_eq!(error("echo wait >&2; sleep 9"), "timed out after 60 s: wait");
        assert_eq!(error("printf '%09999d' 1 >&2; exit 1"), "exited with status 1");
    }

    #[test]
    fn output_must_be_version_1_with_keys() {
        let parse = |output: &str| parse(output.as_bytes(), "p", &Redactor::default());
        let error = |output: &str| parse(output).unwrap_err().to_string();
        for (output, message) in [
            ("hush", "did not print JSON"),
            ("[]", "did not print JSON"),
            ("{}", "printed no Version, which must be 1"),
            (r#"{"Version":"1"}"#, "printed an unsupported Version: must be 1, got \"1\""),
            (r#"{"Version":1,"AccessKeyId":"A"}"#, "printed no SecretAccessKey"),
            (
                r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hush","Expiration":"soon"}"#,
                "printed an invalid Expiration",
            ),
        ] {
            assert_eq!(error(output), message);
        }
        let found = r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":null}"#;
        let found = parse(found).unwrap();
        assert_eq!((found.key.session_token, found.expires), (None, None));
    }
}
