//! A profile of IAM Identity Center without a token, a server that wants its credentials, and clients.

use crate::credentials::chain::Home;
use crate::harness::messages::call;
use crate::harness::program::{Launch, PATIENCE, Program};
use crate::support::identity_center::{IdentityCenter, KEY_ID, SESSION_TOKEN};
use crate::support::{Key, Server, ServerOptions};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) const TAKES_URLS: &str = r#"{"elicitation":{"url":{}}}"#;

const CONFIG: &str = "\
[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
[profile ops]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Ops
[profile other]
sso_session = other
sso_account_id = 111122223333
sso_role_name = Dev
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.awsapps.com/start
[sso-session other]
sso_region = eu-west-1
sso_start_url = https://other.awsapps.com/start
[profile mfa]
role_arn = arn:aws:iam::111122223333:role/Dev
mfa_serial = arn:aws:iam::111122223333:mfa/ann
source_profile = keys
[profile console]
login_session = arn:aws:iam::111122223333:user/ann
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
";

pub(crate) struct Scene {
    pub(crate) center: IdentityCenter,
    pub(crate) server: Server,
    pub(crate) home: Home,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Scene {
        let home = Home::new(&format!("prompt-{name}"));
        home.write(".aws/config", CONFIG);
        let key = Key::new(KEY_ID, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let keys = vec![key.with_token(SESSION_TOKEN)];
        let server = Server::start(ServerOptions { keys, ..ServerOptions::default() });
        Scene { center: IdentityCenter::start(), server, home }
    }

    /// The program with the profile `dev`.
    pub(crate) fn launch(&self) -> Launch {
        self.launch_with(&["--profile=dev"])
    }

    pub(crate) fn launch_with(&self, arguments: &[&str]) -> Launch {
        let url = self.server.url("/mcp");
        let target = ["--target-url", &url, "--region=us-east-1", "--service-name=execute-api"];
        self.with_services(Launch::bare(&[&target, arguments].concat()))
    }

    /// The doctor with this profile.
    pub(crate) fn doctor(&self, profile: &str) -> Launch {
        let url = self.server.url("/mcp");
        let launch = Launch::bare(&["doctor", &url, "--region=us-east-1", "--service=execute-api"]);
        self.with_services(launch.arg(&format!("--profile={profile}")))
            .env("AWS_ENDPOINT_URL_STS", &self.center.url)
    }

    fn with_services(&self, launch: Launch) -> Launch {
        launch
            .env("HOME", self.home.0.to_str().unwrap())
            .env("AWS_ENDPOINT_URL_SSO_OIDC", &self.center.url)
            .env("AWS_ENDPOINT_URL_SSO", &self.center.url)
    }

    /// A client of 2025-11-25 that has declared these capabilities.
    pub(crate) fn client(&self, capabilities: &str) -> Program {
        let mut program = self.launch().start();
        shake_hands(&mut program, "2025-11-25", capabilities);
        program
    }

    /// A file next to the token of `corp`.
    pub(crate) fn file(&self, extension: &str) -> PathBuf {
        let name = format!("ee0bfd2552fbd840c02cc48b6e823320543c450f.{extension}");
        self.home.0.join(".aws/sso/cache").join(name)
    }

    /// Waits until the token is written.
    pub(crate) fn wait_for_token(&self) {
        let started = Instant::now();
        while !self.file("json").exists() {
            assert!(started.elapsed() < PATIENCE, "there is no token");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// The responses that clients gave and the server received.
    pub(crate) fn responses(&self) -> usize {
        self.server.requests().iter().filter(|request| request.label() == "response").count()
    }
}

pub(crate) fn shake_hands(program: &mut Program, version: &str, capabilities: &str) {
    let answer = program.ask(&format!(
        r#"{{"jsonrpc":"2.0","id":"init","method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{{"name":"test","version":"1"}}}}}}"#
    ));
    assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
}

pub(crate) fn add(id: u32) -> String {
    call(&id.to_string(), "add", &json!({"a": id, "b": 1}))
}

/// Reads until the response to this request; notifications that lists have changed may come before it.
pub(crate) fn response(program: &mut Program, id: u32) -> Value {
    loop {
        let line = program.read();
        if line["id"] == id && line["method"].is_null() {
            return line;
        }
        let method = line["method"].as_str().unwrap_or_default();
        assert!(method.ends_with("/list_changed"), "{line}");
    }
}

/// The text result of a call of `add`.
pub(crate) fn sum(response: &Value) -> &str {
    response["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{response}"))
}

/// Asserts that a call failed with the link of this code.
pub(crate) fn assert_link(response: &Value, code: &str) {
    let error = &response["error"];
    let link = format!("https://corp.awsapps.com/start/#/device?user_code={code}");
    assert_eq!(error["code"], -32603, "{response}");
    let message = error["message"].as_str().unwrap();
    let words = ["profile \"dev\": SSO token missing; ", &link, " UTC", "try again"];
    for word in words.iter().copied().chain([code]) {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    let data = &error["data"];
    assert_eq!((&data["source"], &data["kind"]), (&json!("sigv4-proxy"), &json!("credentials")));
    assert!(data["hint"].as_str().unwrap().contains("sigv4-proxy login --profile dev"));
    let shown = &data["signIn"];
    assert_eq!((&shown["url"], &shown["userCode"]), (&json!(link), &json!(code)));
    let expires = shown["expiresAt"].as_str().unwrap();
    assert_eq!((expires.len(), &shown["profile"]), ("2026-11-28T12:10:00Z".len(), &json!("dev")));
}
