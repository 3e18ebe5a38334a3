//! A fake of AWS's credential services: it responds according to a list of expectations, and records the requests.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;
use time::OffsetDateTime;

use super::authorization::Algorithm;
use super::http::{Connection, Request, Response};
use super::verify::{Expected, Key, verify};

/// An expected request with its response. `test-vectors/README.md` lists the members.
type Entry = Value;

/// Serves until the test's process ends.
#[derive(Clone)]
pub struct Aws {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    entries: Vec<(Entry, u64)>,
    /// Requests that matched no entry, with reasons.
    unexpected: Vec<String>,
    session_names: Vec<String>,
    /// The JSON bodies of requests that matched, with the request lines.
    bodies: Vec<(String, Value)>,
    now: OffsetDateTime,
}

impl Aws {
    /// The first entry that matches and may still be used provides the response.
    pub fn start(entries: Vec<Entry>, now: OffsetDateTime) -> Aws {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let entries = entries.into_iter().map(|entry| (entry, 0)).collect();
        let state = State {
            entries,
            unexpected: Vec::new(),
            session_names: Vec::new(),
            bodies: Vec::new(),
            now,
        };
        let aws = Aws { url, state: Arc::new(Mutex::new(state)) };
        let serving = aws.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let aws = serving.clone();
                thread::spawn(move || aws.serve(stream));
            }
        });
        aws
    }

    /// Replaces the expectations.
    pub fn expect(&self, entries: Vec<Entry>) {
        self.state().entries = entries.into_iter().map(|entry| (entry, 0)).collect();
    }

    pub fn set_now(&self, now: OffsetDateTime) {
        self.state().now = now;
    }

    pub fn unexpected(&self) -> Vec<String> {
        self.state().unexpected.clone()
    }

    /// The `RoleSessionName` of each call to STS.
    pub fn session_names(&self) -> Vec<String> {
        self.state().session_names.clone()
    }

    /// The JSON bodies of the requests that were expected and begin with this line.
    pub fn bodies(&self, ask: &str) -> Vec<Value> {
        let state = self.state();
        let bodies = state.bodies.iter().filter(|(asked, _)| asked == ask);
        bodies.map(|(_, body)| body.clone()).collect()
    }

    /// The number of responses from each entry.
    pub fn counts(&self) -> Vec<u64> {
        self.state().entries.iter().map(|(_, count)| *count).collect()
    }

    /// The expected requests that did not come.
    pub fn left(&self) -> Vec<String> {
        let state = self.state();
        let left = state
            .entries
            .iter()
            .filter(|(entry, count)| *count == 0 && !entry["optional"].as_bool().unwrap_or(false));
        left.map(|(entry, _)| entry["ask"].to_string()).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this")
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(mut connection) = Connection::new(stream) else { return };
        while let Ok(Some(request)) = connection.read_request() {
            let (response, wait) = self.answer(&request);
            if let Some(wait) = wait
                && connection.pause(wait).is_err()
            {
                return;
            }
            if connection.respond(&response).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> (Response, Option<std::time::Duration>) {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut reasons = Vec::new();
        let (url, now) = (self.url.clone(), state.now);
        if let Some(name) = form(request).into_iter().find(|(name, _)| name == "RoleSessionName") {
            state.session_names.push(name.1);
        }
        for (entry, count) in &mut state.entries {
            let times = entry["times"].as_u64().unwrap_or(1);
            if entry["times"] != "any" && *count >= times {
                continue;
            }
            if let Some(why) = mismatch(entry, request, &url, now) {
                reasons.push(why);
                continue;
            }
            *count += 1;
            if let Ok(body) = serde_json::from_slice(&request.body) {
                state.bodies.push((format!("{} {}", request.method, request.target), body));
            }
            let wait = entry["wait_ms"].as_u64().map(std::time::Duration::from_millis);
            return (response(entry), wait);
        }
        let line = format!("{} {}: {reasons:?}", request.method, request.target);
        state.unexpected.push(line);
        (Response::empty(404), None)
    }
}

fn response(entry: &Entry) -> Response {
    let status =
        entry["status"].as_u64().map_or(200, |status| u16::try_from(status).expect("a status"));
    let mut response = match &entry["answer"] {
        Value::String(text) => {
            Response { body: text.clone().into_bytes(), ..Response::empty(status) }
        }
        Value::Null => Response::empty(status),
        json => Response::json(status, json.to_string()),
    };
    for (name, value) in entry["answer_headers"].as_object().into_iter().flatten() {
        response = response.with(name, value.as_str().expect("a text"));
    }
    response
}

/// Why the request is not the one the entry expects.
fn mismatch(entry: &Entry, request: &Request, url: &str, now: OffsetDateTime) -> Option<String> {
    let asked = format!("{} {}", request.method, request.target);
    if entry["ask"] != Value::String(asked) {
        return Some(format!("not {}", entry["ask"]));
    }
    for (name, value) in entry["headers"].as_object().into_iter().flatten() {
        if request.header(name) != value.as_str() {
            return Some(format!("{name} is {:?}", request.header(name)));
        }
    }
    for name in strings(&entry["headers_without"]) {
        if request.header(name).is_some() {
            return Some(format!("{name} is there"));
        }
    }
    let form = form(request);
    let field = |name: &str| form.iter().find(|(given, _)| given == name).map(|(_, v)| v.as_str());
    for (name, value) in entry["form"].as_object().into_iter().flatten() {
        if field(name) != value.as_str() {
            return Some(format!("{name} is {:?}", field(name)));
        }
    }
    for name in strings(&entry["form_without"]) {
        if field(name).is_some() {
            return Some(format!("{name} is there"));
        }
    }
    if let Some(expected) = entry["json"].as_object() {
        let given: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if expected.iter().any(|(name, value)| given[name] != *value) {
            return Some("another body".into());
        }
    }
    if !entry["body"].is_null() {
        let given: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if given != entry["body"] {
            return Some(format!("the body is {given}"));
        }
    }
    if let [id, secret, token, region] = &strings(&entry["signed"])[..] {
        let key = Key::new(id, secret);
        let key = if token.is_empty() { key } else { key.with_token(token) };
        let expected = Expected {
            service: "sts".into(),
            region: (*region).into(),
            algorithms: vec![Algorithm::V4],
        };
        if let Err(refusal) = verify(request, &[key], &expected, now) {
            return Some(format!("{}: {}", refusal.code, refusal.message));
        }
    }
    let proof = request.header("dpop").unwrap_or_default();
    let proved =
        |key: Option<&str>, now| is_proof(proof, key, &format!("{url}{}", request.target), now);
    if let Some(key) = entry["dpop"].as_str()
        && !proved(Some(key), Some(now))
    {
        return Some("no proof of the key".into());
    }
    if entry["dpop_any"].as_bool() == Some(true) && !proved(None, None) {
        return Some("no proof of a key".into());
    }
    None
}

/// RFC 9449: `key` is the public point in hex.
fn is_proof(proof: &str, key: Option<&str>, url: &str, now: Option<OffsetDateTime>) -> bool {
    let [header, claims, signature] = proof.split('.').collect::<Vec<_>>()[..] else {
        return false;
    };
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    let json = |part: &str| serde_json::from_slice::<Value>(&read(part)).unwrap_or_default();
    let jwk = &json(header)["jwk"];
    let coordinate = |name: &str| hex::encode(read(jwk[name].as_str().unwrap_or_default()));
    let point = format!("04{}{}", coordinate("x"), coordinate("y"));
    let verifying = hex::decode(&point).ok().and_then(|p| VerifyingKey::from_sec1_bytes(&p).ok());
    let signature = Signature::from_slice(&read(signature));
    let (Some(verifying), Ok(signature)) = (verifying, signature) else { return false };
    let signed = proof.rsplit_once('.').map_or("", |(signed, _)| signed);
    let (header, claims) = (json(header), json(claims));
    key.is_none_or(|key| point == key)
        && verifying.verify(signed.as_bytes(), &signature).is_ok()
        && (header["typ"] == "dpop+jwt" && header["alg"] == "ES256")
        && (jwk["kty"] == "EC" && jwk["crv"] == "P-256")
        && (claims["htm"] == "POST" && claims["htu"] == url)
        && now.is_none_or(|now| claims["iat"] == now.unix_timestamp())
        && claims["jti"].as_str().is_some_and(|id| id.len() == 36)
}

fn form(request: &Request) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let bytes = sigv4_proxy::percent::decode(&text.replace('+', " "));
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let body = String::from_utf8_lossy(&request.body);
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
