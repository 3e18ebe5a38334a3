//! MFA codes, which are entered in the terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::harness::program::PATIENCE;
use crate::sign_in::{Rig, SECRETS, mode};

const SERIAL: &str = "arn:aws:iam::444455556666:mfa/ann";

const CONFIG: &str = "\
[profile mfa]
role_arn = arn:aws:iam::111122223333:role/Dev
mfa_serial = arn:aws:iam::444455556666:mfa/ann
source_profile = base
region = us-east-1
[profile on-mfa]
role_arn = arn:aws:iam::111122223333:role/Top
mfa_serial = arn:aws:iam::444455556666:mfa/top
external_id = ext-1
duration_seconds = 7200
source_profile = mfa
region = us-east-1
[profile base]
aws_access_key_id = AKIDBASE
aws_secret_access_key = base-secret
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = base-secret
mfa_serial = arn:aws:iam::444455556666:mfa/ann
duration_seconds = 3600
region = us-east-1
";

/// `login` on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    shown: String,
    stderr: std::path::PathBuf,
}

impl Terminal {
    pub(crate) fn start(rig: &Rig, arguments: &str) -> Terminal {
        let program = env!("CARGO_BIN_EXE_sigv4-proxy");
        let stderr = rig.home.0.join("stderr");
        let line = format!("{program} {arguments} 2>{}", stderr.display());
        let mut command = rig.command("script");
        let mut child =
            command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).spawn().unwrap();
        let (keyboard, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut chunk = [0; 1024];
            while let Ok(count) = stdout.read(&mut chunk) {
                if count == 0 || sender.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keyboard, screen, shown: String::new(), stderr }
    }

    pub(crate) fn wait_for(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let chunk = self.screen.recv_timeout(PATIENCE);
            let chunk =
                chunk.unwrap_or_else(|_| panic!("{text}: {} {}", self.shown, self.stderr()));
            self.shown.push_str(&String::from_utf8_lossy(&chunk));
        }
        self.shown.clear();
    }

    pub(crate) fn enter(&mut self, line: &str) {
        writeln!(self.keyboard, "{line}").unwrap();
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The exit code and the text on stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        while let Ok(chunk) = self.screen.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&chunk));
        }
        let code = self.child.wait().unwrap().code();
        let stderr = self.stderr();
        for secret in SECRETS {
            assert!(
                !stderr.contains(secret) && !self.shown.contains(secret),
                "{secret}: {stderr} {}",
                self.shown
            );
        }
        (code, stderr)
    }
}

fn answer(id: &str, arn: &str) -> String {
    format!(
        "<r><AssumedRoleUser><Arn>{arn}</Arn></AssumedRoleUser><Credentials><AccessKeyId>{id}</AccessKeyId>\
         <SecretAccessKey>canary-secret-key</SecretAccessKey><SessionToken>canary-session-token</SessionToken>\
         <Expiration>2099-01-01T00:00:00+00:00</Expiration></Credentials></r>"
    )
}

fn assumed(role: &str, serial: &str, code: &str, with: [&str; 3]) -> Value {
    let [key, secret, token] = with;
    let arn = format!("arn:aws:sts::111122223333:assumed-role/{role}/s");
    json!({
        "ask": "POST /",
        "signed": [key, secret, token, "us-east-1"],
        "form": {
            "Action": "AssumeRole", "RoleArn": format!("arn:aws:iam::111122223333:role/{role}"),
            "SerialNumber": serial, "TokenCode": code,
        },
        "answer": answer(&format!("ASIAIOSFODNN7{}", role.to_uppercase()), &arn),
    })
}

fn wrong_code() -> Value {
    json!({
        "ask": "POST /", "status": 403,
        "answer": "<E><Error><Code>AccessDenied</Code><Message>MultiFactorAuthentication failed with invalid MFA one time pass code.</Message></Error></E>",
    })
}

const BASE: [&str; 3] = ["AKIDBASE", "base-secret", ""];
const FILE: &str = ".aws/cli/cache/b58ec78b788a89bfc117b1d7c3588eab24be468f.json";

#[test]
fn a_code_is_exchanged_for_credentials_that_the_aws_cli_uses_too() {
    let rig = Rig::new("mfa", CONFIG, vec![assumed("Dev", SERIAL, "123456", BASE)]);
    let mut terminal = Terminal::start(&rig, "login --profile mfa");
    terminal.wait_for(&format!("MFA code for {SERIAL}: "));
    terminal.enter(" 123 456 ");
    let (code, text) = terminal.end();
    let expected = "signed in until 2099-01-01 00:00 UTC: key ASIA****7DEV from role \
                    arn:aws:iam::111122223333:role/Dev (profile mfa), account 111122223333\n";
    assert_eq!((code, text.as_str(), rig.aws.unexpected()), (Some(0), expected, vec![]));
    let expected = json!({ "Credentials": {
        "AccessKeyId": "ASIAIOSFODNN7DEV", "SecretAccessKey": "canary-secret-key",
        "SessionToken": "canary-session-token", "Expiration": "2099-01-01T00:00:00Z",
        "AccountId": "111122223333",
    } });
    assert_eq!((rig.json(FILE), mode(&rig, FILE)), (expected, "600".to_owned()));
}

#[test]
fn several_roles_ask_one_after_the_other_and_the_source_comes_first() {
    let with = ["ASIAIOSFODNN7DEV", "canary-secret-key", "canary-session-token"];
    let top = "arn:aws:iam::444455556666:mfa/top";
    let mut second = assumed("Top", top, "654321", with);
    second["form"]["ExternalId"] = json!("ext-1");
    second["form"]["DurationSeconds"] = json!("7200");
    let rig = Rig::new("mfa-chain", CONFIG, vec![assumed("Dev", SERIAL, "123456", BASE), second]);
    let mut terminal = Terminal::start(&rig, "login --profile on-mfa");
    terminal.wait_for(&format!("MFA code for {SERIAL}: "));
    terminal.enter("123456");
    terminal.wait_for(&format!("MFA code for {top}: "));
    terminal.enter("654321");
    let (code, text) = terminal.end();
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    assert!(text.contains("role/Top (profile on-mfa)"), "{text}");
    // Now only the expired entry needs a code.
    fs::remove_file(rig.home.0.join(FILE)).unwrap();
    let (code, text) = rig.run(&["login", "--if-needed", "--profile", "on-mfa"]);
    assert!(code == Some(0) && text.starts_with("profile \"on-mfa\" needs no sign-in: "), "{text}");
}

#[test]
fn a_code_that_is_refused_or_mistyped_is_asked_for_again() {
    let rig =
        Rig::new("mfa-again", CONFIG, vec![wrong_code(), assumed("Dev", SERIAL, "123456", BASE)]);
    let mut terminal = Terminal::start(&rig, "login --profile mfa");
    terminal.wait_for(&format!("MFA code for {SERIAL}: "));
    terminal.enter("12345");
    terminal.wait_for(&format!("a code has six digits; MFA code for {SERIAL}: "));
    terminal.enter("111111");
    terminal.wait_for(&format!(
        "not accepted; a code works once, wait for the next; MFA code for {SERIAL}: "
    ));
    terminal.enter("123456");
    let (code, text) = terminal.end();
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");

    let mut never = wrong_code();
    never["times"] = json!(3);
    rig.aws.expect(vec![never]);
    let mut terminal = Terminal::start(&rig, "login --profile mfa");
    for _ in 0..3 {
        terminal.wait_for(&format!("MFA code for {SERIAL}: "));
        terminal.enter("111111");
    }
    let (code, text) = terminal.end();
    let expected = format!("ERROR: MFA codes for {SERIAL} were not accepted");
    assert!(code == Some(1) && text.starts_with(&expected), "{text}");
    assert_eq!(rig.aws.counts(), [3]);
}

#[test]
fn keys_are_exchanged_for_a_session() {
    let session = json!({
        "ask": "POST /",
        "signed": ["AKIAIOSFODNN7EXAMPLE", "base-secret", "", "us-east-1"],
        "form": { "Action": "GetSessionToken", "SerialNumber": SERIAL, "TokenCode": "123456", "DurationSeconds": "3600" },
        "form_without": ["RoleArn"],
        "answer": answer("ASIAIOSFODNN7KEYS", ""),
    });
    let rig = Rig::new("mfa-keys", CONFIG, vec![session]);
    let mut terminal = Terminal::start(&rig, "login --profile keys");
    terminal.wait_for(&format!("MFA code for {SERIAL}: "));
    terminal.enter("123456");
    let (code, text) = terminal.end();
    let expected =
        "signed in until 2099-01-01 00:00 UTC: key ASIA****KEYS from MFA session (profile keys)\n";
    assert_eq!((code, text.as_str(), rig.aws.unexpected()), (Some(0), expected, vec![]));
    let file = rig.json(".aws/cli/cache/b8d16ffe7c4f16d7f0b9ffcd625d613a827c0e48.json");
    assert_eq!(file["ProviderType"], "sts-session-token");
    assert!(file["Credentials"].get("AccountId").is_none(), "{file}");
}

#[test]
fn without_a_terminal_or_another_permission() {
    let rig = Rig::new("mfa-no-terminal", CONFIG, vec![]);
    let mut command = rig.command("setsid");
    let output =
        command.args(["-w", env!("CARGO_BIN_EXE_sigv4-proxy"), "login", "--profile", "mfa"]);
    let output = output.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("cannot ask for MFA code for {SERIAL}: ")), "{text}");
    assert!(text.contains("run it in a terminal"), "{text}");

    let denied = json!({
        "ask": "POST /", "status": 403,
        "answer": "<E><Error><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></E>",
    });
    rig.aws.expect(vec![denied]);
    let mut terminal = Terminal::start(&rig, "login --profile mfa");
    terminal.wait_for(&format!("MFA code for {SERIAL}: "));
    terminal.enter("123456");
    let (code, text) = terminal.end();
    assert!(
        code == Some(1) && text.contains("not authorized to perform: sts:AssumeRole"),
        "{text}"
    );
}

#[test]
fn ctrl_c_at_the_prompt() {
    let rig = Rig::new("mfa-ctrl-c", CONFIG, vec![]);
    let mut terminal = Terminal::start(&rig, "login --profile mfa");
    terminal.wait_for(&format!("MFA code for {SERIAL}: "));
    terminal.keyboard.write_all(b"\x03").unwrap();
    assert_eq!(terminal.end(), (Some(130), String::new()));
}

#[test]
fn a_prompt_cannot_control_the_terminal() {
    let config = CONFIG.replace(SERIAL, &format!("{SERIAL}\u{1b}]0;title\u{7}\u{9b}2J\u{202e}"));
    let rig = Rig::new("mfa-escapes", &config, vec![]);
    let mut terminal = Terminal::start(&rig, "login --profile mfa");
    terminal
        .wait_for(&format!(r"MFA code for {SERIAL}\u{{1b}}]0;title\u{{7}}\u{{9b}}2J\u{{202e}}: "));
    terminal.keyboard.write_all(b"\x03").unwrap();
    assert_eq!(terminal.end(), (Some(130), String::new()));
}
