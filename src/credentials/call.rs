//! One HTTP call of a credential source: its time limits, and which failures are worth another attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::{CaBundle, Cancel, Http, Limits, Request};
use crate::random;
use crate::signing::Header;

/// No answer of a credential source is larger.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How the sources reach the network.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) ca_bundle: CaBundle,
    /// It may name a proxy.
    pub(super) environment: Environment,
    /// Ends what is going on when the process ends.
    pub(super) cancel: Arc<Cancel>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    pub(super) endpoint: &'a Endpoint,
    pub(super) headers: &'a [Header<'a>],
    pub(super) body: &'a [u8],
}

/// What came back. Its body may hold secrets, so it does not print.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// `x-aws-ec2-metadata-token-ttl-seconds`, the one header that matters to anybody.
    pub(super) token_ttl: Option<String>,
}

/// Time limits and repetitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) connect: Duration,
    pub(super) read: Duration,
    pub(super) attempts: u32,
    /// Before the second attempt; twice as long before each later one.
    pub(super) wait: Duration,
    /// Whether the waits are random between zero and that.
    pub(super) jitter: bool,
    pub(super) again: fn(&Result<Reply, Error>) -> bool,
}

impl Policy {
    /// STS, IAM Identity Center, OIDC and sign-in.
    pub(super) const SERVICE: Policy = Policy {
        connect: Duration::from_secs(3),
        read: Duration::from_secs(10),
        attempts: 3,
        wait: Duration::from_secs(1),
        jitter: true,
        again: |outcome| match outcome {
            Ok(reply) => {
                matches!(reply.status, 429 | 500 | 502 | 503 | 504)
                    || (reply.status >= 400 && reply.names_throttling())
            }
            Err(error) => error.kind() != Kind::Cancelled,
        },
    };

    /// The container's credential endpoint.
    pub(super) const CONTAINER: Policy = Policy {
        connect: Duration::from_secs(2),
        read: Duration::from_secs(5),
        attempts: 3,
        wait: Duration::from_millis(500),
        jitter: false,
        again: |outcome| match outcome {
            Ok(reply) => match reply.status {
                200 => reply.json().is_none(),
                status => status == 429 || status >= 500,
            },
            Err(error) => error.kind() != Kind::Cancelled,
        },
    };
}

impl Network {
    /// The last attempt's outcome, whatever its status. Redirects are never followed.
    pub(super) fn send(&self, call: &Call<'_>, policy: &Policy) -> Result<Reply, Error> {
        let mut attempt = 1;
        loop {
            let outcome = self.once(call, policy);
            if attempt >= policy.attempts || !(policy.again)(&outcome) {
                return outcome;
            }
            let wait = policy.wait * 2_u32.pow(attempt - 1);
            if self.cancel.sleep(if policy.jitter { random::up_to(wait) } else { wait }) {
                return Err(Error::new(Kind::Cancelled, "the process is ending"));
            }
            attempt += 1;
        }
    }

    fn once(&self, call: &Call<'_>, policy: &Policy) -> Result<Reply, Error> {
        let limits = Limits {
            connect: Some(policy.connect),
            read: Some(policy.read),
            write: Some(policy.read),
        };
        let http =
            Http::new(call.endpoint, limits, &self.ca_bundle, &self.environment).for_one_request();
        let url = call.endpoint.to_string();
        let request = Request {
            method: call.method,
            url: &url,
            headers: call.headers,
            body: call.body,
            deadline: Instant::now().checked_add(policy.connect + 2 * policy.read),
            is_stream: false,
            is_idempotent: true,
        };
        let whole = || {
            let mut answer = http.send(&request, &self.cancel)?;
            Ok(Reply {
                status: answer.status(),
                token_ttl: answer.header("x-aws-ec2-metadata-token-ttl-seconds").map(str::to_owned),
                body: answer.read_whole(MAX_ANSWER_BYTES)?,
            })
        };
        // The hints of `http` name flags that do not govern these calls.
        whole().map_err(|error: Error| Error::new(error.kind(), error.message()))
    }
}

impl Reply {
    /// The body as a JSON object.
    pub(super) fn json(&self) -> Option<serde_json::Map<String, Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// `status 403: CODE: MESSAGE`, as far as a JSON body tells.
    pub(super) fn refusal(&self) -> String {
        let status = self.status;
        if (300..400).contains(&status) {
            return format!("status {status} (redirects are not followed)");
        }
        let body = self.json().unwrap_or_default();
        let first = |names: &[&str]| {
            let text = names.iter().find_map(|name| body.get(*name)?.as_str());
            text.map(|text| format!(": {}", shown(text))).unwrap_or_default()
        };
        let code = first(&["code", "Code", "__type", "error"]);
        format!("status {status}{code}{}", first(&["message", "Message", "error_description"]))
    }

    fn names_throttling(&self) -> bool {
        let text = String::from_utf8_lossy(&self.body);
        ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "IDPCommunicationError"]
            .iter()
            .any(|code| text.contains(code))
    }
}

/// What somebody else wrote, in one line of bounded length.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 500;
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut line: String = words.join(" ").chars().take(MOST).collect();
    if words.iter().map(|word| word.len() + 1).sum::<usize>() > 4 * MOST {
        line.push('…');
    }
    line
}
