//! `login` and `logout` as a user runs them: output, prompts, files.

mod console;
mod logout;
#[cfg(target_os = "linux")]
mod mfa;
mod sso;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};
use sigv4_proxy::clock;

use crate::credentials::chain::Home;
use crate::support::aws::Aws;

/// Secrets that the fakes hand out; none may be shown.
const SECRETS: [&str; 10] = [
    "canary-client-secret",
    "canary-device-code",
    "canary-access-token",
    "canary-refresh-token",
    "canary-secret-key",
    "canary-session-token",
    "canary-authorization-code",
    "canary-id-token",
    "EC PRIVATE KEY",
    "123456",
];

/// A home and the services that its profiles use.
struct Rig {
    home: Home,
    aws: Aws,
    env: Vec<(String, String)>,
}

impl Rig {
    fn new(test: &str, config: &str, entries: Vec<Value>) -> Rig {
        let home = Home::new(&format!("sign-in-{test}"));
        home.write(".aws/config", config);
        Rig { home, aws: Aws::start(entries, clock::now()), env: Vec::new() }
    }

    fn env(mut self, name: &str, value: &str) -> Rig {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, program: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "it gets an empty stdin")]
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.home.0).env("PATH", "/usr/bin:/bin");
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ENDPOINT_URL", &self.aws.url);
        command.envs(self.env.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(env!("CARGO_BIN_EXE_sigv4-proxy"));
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running { child, stderr, text: String::new() }
    }

    /// Runs a command to its end. Returns its exit code and output.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.start(arguments).end()
    }

    fn json(&self, path: &str) -> Value {
        let path = self.home.0.join(path);
        serde_json::from_slice(
            &fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
        )
        .unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.home.0.join(path).exists()
    }
}

struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    text: String,
}

impl Running {
    /// Reads up to and including the line that starts with `beginning`, and returns it.
    fn line(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "{beginning}: {}", self.text);
            self.text.push_str(&line);
            if line.starts_with(beginning) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        self.stderr.read_to_string(&mut self.text).unwrap();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code();
        assert_eq!(stdout, "", "{}", self.text);
        for secret in SECRETS {
            assert!(!self.text.contains(secret), "{secret}: {}", self.text);
        }
        (code, self.text)
    }
}

/// Sends a GET as a browser does and returns the response.
fn browse(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, target) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{target} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A parameter of a link, decoded.
fn parameter(link: &str, name: &str) -> String {
    let query = link.split_once('?').unwrap().1;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(given, _)| *given == name).map(|(_, value)| value).next();
    let value = value.unwrap_or_else(|| panic!("{name} is not in {link}"));
    String::from_utf8(sigv4_proxy::percent::decode(value)).unwrap()
}

/// The mode of a file; `600` everywhere else than on Unix.
fn mode(rig: &Rig, path: &str) -> String {
    let path = rig.home.0.join(path);
    #[cfg(unix)]
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777;
    #[cfg(not(unix))]
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    format!("{mode:o}")
}

/// The portal's credentials of a role.
fn role_credentials(status: u16) -> Value {
    let keys = json!({
        "accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": "canary-secret-key",
        "sessionToken": "canary-session-token", "expiration": 4_102_444_800_000_u64,
    });
    json!({
        "ask": "GET /federation/credentials?role_name=Dev&account_id=111122223333",
        "headers": { "x-amz-sso_bearer_token": "canary-access-token" },
        "headers_without": ["authorization"],
        "times": "any",
        "status": status,
        "answer": { "roleCredentials": keys, "message": "No access" },
    })
}
