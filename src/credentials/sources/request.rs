//! One HTTP call of a credential source: its time limits, and which failures are worth another attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;

use crate::aws::clock_skew::{ClockSkew, explains_refusal};
use crate::aws::error_cause::{Cause, classify};
use crate::aws::refusal::ErrorResponse;
use crate::credentials::expiry;
use crate::environment::Environment;
use crate::error::{Error, Kind, quoted};
use crate::http::url::Endpoint;
use crate::http::{CaBundle, HttpClient, Limits, Request, parse_date};
use crate::random;
use crate::redact::Redactor;
use crate::signing::Header;
use crate::sync::cancel::Cancel;

/// No answer of a credential source is larger.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How the sources reach the network.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) ca_bundle: CaBundle,
    /// It may name a proxy.
    pub(crate) environment: Environment,
    /// How far the clock here is from that of AWS.
    pub(crate) skew: Arc<ClockSkew>,
    /// Is told of every secret before it is sent.
    pub(crate) redactor: Redactor,
    /// Ends what is going on when the process ends.
    pub(crate) cancel: Arc<Cancel>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) headers: &'a [Header<'a>],
    pub(crate) body: &'a [u8],
}

/// What came back. Its body may hold secrets, so it does not print.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// `x-aws-ec2-metadata-token-ttl-seconds`.
    pub(crate) token_ttl: Option<String>,
    /// `x-amzn-ErrorType`.
    pub(crate) error_type: Option<String>,
    /// `Date`, unless a cache has kept the answer.
    pub(crate) date: Option<OffsetDateTime>,
}

/// Time limits and repetitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) attempts: u32,
    /// Before the second attempt; twice as long before each later one.
    pub(crate) wait: Duration,
    /// Whether the waits are random between zero and that.
    pub(crate) jitter: bool,
    pub(crate) again: fn(&Result<Reply, Error>) -> bool,
}

impl Policy {
    /// STS, IAM Identity Center, OIDC and sign-in.
    pub(crate) const SERVICE: Policy = Policy {
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
    pub(crate) const CONTAINER: Policy = Policy {
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
    /// The time of AWS when it is `now` here, as far as it is known.
    pub(crate) fn time_of_aws(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.skew.at(now)
    }

    /// Sends what `ask` makes for the time of AWS, when it is `now` here. If that is refused because of its time, the
    /// time of the refusal is learned and it is sent once more.
    pub(crate) fn send_dated(
        &self,
        now: OffsetDateTime,
        ask: impl Fn(OffsetDateTime) -> Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        let started = Instant::now();
        let signed_at = self.time_of_aws(now);
        let reply = ask(signed_at)?;
        let Cause::Clock { server_time } = reply.cause() else { return Ok(reply) };
        let told = [server_time, reply.date].into_iter().flatten();
        let Some(there) = told.into_iter().find(|there| explains_refusal(*there, signed_at)) else {
            return Ok(reply);
        };
        self.skew.set(expiry::after(now, started.elapsed()), there);
        ask(there)
    }

    /// The last attempt's outcome, whatever its status. Redirects are never followed.
    pub(crate) fn send(&self, call: &Call<'_>, policy: &Policy) -> Result<Reply, Error> {
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
        let http = HttpClient::new(call.endpoint, limits, &self.ca_bundle, &self.environment)
            .for_one_request();
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
                error_type: answer.header("x-amzn-errortype").map(str::to_owned),
                date: answer
                    .header("date")
                    .filter(|_| answer.header("age").is_none())
                    .and_then(parse_date),
                body: answer.read_whole(MAX_ANSWER_BYTES)?,
            })
        };
        // The hints of `http` name flags that do not govern these calls.
        whole().map_err(|error: Error| Error::new(error.kind(), error.message()))
    }
}

impl Reply {
    /// The body as a JSON object.
    pub(crate) fn json(&self) -> Option<serde_json::Map<String, Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// `status 403: CODE: MESSAGE`, as far as a JSON body tells.
    pub(crate) fn refusal(&self) -> String {
        let status = self.status;
        if (300..400).contains(&status) {
            return format!("status {status} (redirects are not followed)");
        }
        let body = self.json().unwrap_or_default();
        let first = |names: &[&str]| {
            let text = names.iter().find_map(|name| body.get(*name)?.as_str());
            text.map(|text| format!(": {}", quoted(text))).unwrap_or_default()
        };
        let code = first(&["code", "Code", "__type", "error"]);
        format!("status {status}{code}{}", first(&["message", "Message", "error_description"]))
    }

    /// What AWS blames. OAuth's services put the error's type into `error`.
    fn cause(&self) -> Cause {
        let refusal = ErrorResponse {
            status: self.status,
            error_type: self.error_type.as_deref(),
            request_id: None,
            location: None,
            body: &self.body,
        };
        match (refusal.cause(), self.json()) {
            (Cause::Other, Some(body)) => {
                let text = |name: &str| body.get(name).and_then(Value::as_str);
                let message = text("error_description").or(text("message")).unwrap_or_default();
                classify(self.status, text("error").unwrap_or_default(), message)
            }
            (cause, _) => cause,
        }
    }

    fn names_throttling(&self) -> bool {
        let text = String::from_utf8_lossy(&self.body);
        ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "IDPCommunicationError"]
            .iter()
            .any(|code| text.contains(code))
    }
}
