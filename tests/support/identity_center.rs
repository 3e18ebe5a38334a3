//! A fake of IAM Identity Center: OIDC service and portal, with a user who approves when the test wants it.

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Connection, Request, Response};

/// Values that no output may hold.
pub const CLIENT_SECRET: &str = "canary-client-secret";
pub const DEVICE_CODE: &str = "canary-device-code";
pub const ACCESS_TOKEN: &str = "canary-access-token";
pub const REFRESH_TOKEN: &str = "canary-refresh-token";

/// The token of the keys that the portal gives out.
pub const SESSION_TOKEN: &str = "canary-session-token";

pub const SECRETS: [&str; 5] =
    [CLIENT_SECRET, DEVICE_CODE, ACCESS_TOKEN, REFRESH_TOKEN, SESSION_TOKEN];

/// The key id that the portal returns; the secret is that of AWS's example.
pub const KEY_ID: &str = "ASIAIOSFODNN7EXAMPLE";

/// Serves until the test's process ends.
#[derive(Clone)]
pub struct IdentityCenter {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    requests: Vec<(String, Value)>,
    /// Whether the user has approved the last code.
    is_approved: bool,
    /// Responses to polls before the usual one.
    polls: VecDeque<(u16, Value)>,
    /// Responses to other requests before the usual one, by path.
    refusals: VecDeque<(String, u16, Value)>,
    codes: u32,
    tokens: u32,
    interval: u64,
    expires_in: u64,
    delay: Duration,
}

impl IdentityCenter {
    pub fn start() -> IdentityCenter {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let state = State {
            requests: Vec::new(),
            is_approved: false,
            polls: VecDeque::new(),
            refusals: VecDeque::new(),
            codes: 0,
            tokens: 0,
            interval: 1,
            expires_in: 600,
            delay: Duration::ZERO,
        };
        let center = IdentityCenter { url, state: Arc::new(Mutex::new(state)) };
        let serving = center.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let center = serving.clone();
                thread::spawn(move || center.serve(stream));
            }
        });
        center
    }

    /// The user approves the code.
    pub fn approve(&self) {
        self.state().is_approved = true;
    }

    /// The file of a token that was just granted to another program.
    pub fn token_file(&self) -> String {
        let mut state = self.state();
        state.tokens += 1;
        let token = format!("{ACCESS_TOKEN}-{}", state.tokens);
        json!({ "accessToken": token, "expiresAt": "2090-01-01T00:00:00Z" }).to_string()
    }

    /// No token counts any more.
    pub fn revoke(&self) {
        self.state().tokens += 1;
    }

    /// Sets the response to the next poll.
    pub fn next_poll(&self, status: u16, body: Value) {
        self.state().polls.push_back((status, body));
    }

    /// Sets the response to the next request of this path.
    pub fn refuse_next(&self, path: &str, status: u16, body: Value) {
        self.state().refusals.push_back((path.to_owned(), status, body));
    }

    /// How long codes live, in seconds.
    pub fn set_lifetime(&self, seconds: u64) {
        self.state().expires_in = seconds;
    }

    /// Delays every response.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// How many requests of this path there were.
    pub fn count(&self, path: &str) -> usize {
        self.state().requests.iter().filter(|(asked, _)| asked == path).count()
    }

    /// The bodies of the requests of this path.
    pub fn bodies(&self, path: &str) -> Vec<Value> {
        let state = self.state();
        let of_path = state.requests.iter().filter(|(asked, _)| asked == path);
        of_path.map(|(_, body)| body.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this")
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(mut connection) = Connection::new(stream) else { return };
        while let Ok(Some(request)) = connection.read_request() {
            let delay = self.state().delay;
            thread::park_timeout(delay);
            let (status, body) = self.answer(&request);
            if connection.respond(&Response::json(status, body.to_string())).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut state = self.state();
        state.requests.push((path.clone(), body.clone()));
        if let Some(at) = state.refusals.iter().position(|(refused, ..)| *refused == path) {
            let (_, status, body) = state.refusals.remove(at).expect("it is there");
            return (status, body);
        }
        match path.as_str() {
            "/client/register" => (
                200,
                json!({
                    "clientId": "client-1", "clientSecret": CLIENT_SECRET,
                    "clientIdIssuedAt": 1, "clientSecretExpiresAt": 4_000_000_000_u64,
                }),
            ),
            "/device_authorization" => {
                state.codes += 1;
                state.is_approved = false;
                let code = format!("CODE-{:04}", state.codes);
                let link = "https://corp.awsapps.com/start/#/device";
                (
                    200,
                    json!({
                        "deviceCode": format!("{DEVICE_CODE}-{}", state.codes), "userCode": code,
                        "verificationUri": link, "verificationUriComplete": format!("{link}?user_code={code}"),
                        "expiresIn": state.expires_in, "interval": state.interval,
                    }),
                )
            }
            "/token" => {
                if let Some(poll) = state.polls.pop_front() {
                    return poll;
                }
                let is_current = body["deviceCode"] == format!("{DEVICE_CODE}-{}", state.codes);
                let is_granted = state.is_approved && is_current;
                if !is_granted && body["grantType"] != "authorization_code" {
                    return (400, json!({ "error": "authorization_pending" }));
                }
                state.tokens += 1;
                let token = format!("{ACCESS_TOKEN}-{}", state.tokens);
                (
                    200,
                    json!({
                        "accessToken": token, "refreshToken": REFRESH_TOKEN,
                        "expiresIn": 28800, "tokenType": "Bearer",
                    }),
                )
            }
            "/federation/credentials" => {
                let token = request.header("x-amz-sso_bearer_token").unwrap_or_default();
                if token != format!("{ACCESS_TOKEN}-{}", state.tokens) {
                    return (401, json!({ "message": "Session token not found or invalid" }));
                }
                (
                    200,
                    json!({ "roleCredentials": {
                        "accessKeyId": KEY_ID,
                        "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                        "sessionToken": SESSION_TOKEN, "expiration": 4_000_000_000_000_u64,
                    }}),
                )
            }
            _ => (404, json!({})),
        }
    }
}
