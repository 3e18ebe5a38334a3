//! `Network`: HTTP requests of credential sources, with their time limits and retries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;

use crate::aws::clock_skew::{ClockSkew, explains_refusal};
use crate::aws::error_body::AwsErrorBody;
use crate::aws::error_cause::Cause;
use crate::aws::{hostname, interception};
use crate::credentials::expiry;
use crate::error::{Error, Kind, quoted};
use crate::http::url::Endpoint;
use crate::http::{CaBundle, HttpClient, Limits, ProxySettings, Request};
use crate::random;
use crate::redact::Redactor;
use crate::signing::Header;
use crate::sync::cancel::Cancel;

/// The largest response of a credential source, in bytes.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// Access to the network. Clones share the clock skew, the redactor and the cancellation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) ca_bundle: CaBundle,
    pub(crate) proxies: ProxySettings,
    /// The difference between the local clock and AWS's.
    pub(crate) skew: Arc<ClockSkew>,
    /// Receives every secret before it is sent.
    pub(crate) redactor: Redactor,
    /// Ends requests when the process ends.
    pub(crate) cancel: Arc<Cancel>,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) headers: &'a [Header<'a>],
    pub(crate) body: &'a [u8],
}

/// A response. It implements no `Debug`, because its body may hold secrets.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// `x-aws-ec2-metadata-token-ttl-seconds`.
    pub(crate) token_ttl: Option<String>,
    /// `x-amzn-ErrorType`.
    pub(crate) error_type: Option<String>,
    /// `Location`.
    pub(crate) location: Option<String>,
    /// `Date`, unless the response comes from a cache.
    pub(crate) date: Option<OffsetDateTime>,
    /// Something in the network has sent it in place of the service.
    pub(crate) intercepted: Option<Error>,
}

/// Time limits, retries and the way of requests to one kind of endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) attempts: u32,
    /// The pause before the second attempt; it doubles with each further attempt.
    pub(crate) wait: Duration,
    /// Whether pauses are random, up to that length.
    pub(crate) jitter: bool,
    /// False for endpoints of this machine and network, which no proxy leads to.
    pub(crate) uses_proxy: bool,
    /// The endpoint may send pages and redirect to other hosts.
    pub(crate) may_send_pages: bool,
    /// Whether another attempt may succeed.
    pub(crate) should_retry: fn(&Result<Reply, Error>) -> bool,
}

impl RetryPolicy {
    /// STS, IAM Identity Center, OIDC and sign-in.
    pub(crate) const SERVICE: RetryPolicy = RetryPolicy {
        connect: Duration::from_secs(3),
        read: Duration::from_secs(10),
        attempts: 3,
        wait: Duration::from_secs(1),
        jitter: true,
        uses_proxy: true,
        may_send_pages: false,
        should_retry: |outcome| match outcome {
            Ok(reply) => {
                matches!(reply.status, 429 | 500 | 502 | 503 | 504)
                    || (reply.status >= 400 && reply.is_throttled())
            }
            Err(error) => !matches!(error.kind(), Kind::Cancelled | Kind::Usage),
        },
    };

    /// One attempt, for callers that repeat requests themselves.
    pub(crate) const ONCE: RetryPolicy = RetryPolicy { attempts: 1, ..RetryPolicy::SERVICE };

    /// The start URL of IAM Identity Center, which is a page for people.
    pub(crate) const PAGE: RetryPolicy =
        RetryPolicy { attempts: 1, may_send_pages: true, ..RetryPolicy::SERVICE };

    /// The container's credential endpoint.
    pub(crate) const CONTAINER: RetryPolicy = RetryPolicy {
        connect: Duration::from_secs(2),
        read: Duration::from_secs(5),
        attempts: 3,
        wait: Duration::from_millis(500),
        jitter: false,
        uses_proxy: false,
        may_send_pages: true,
        should_retry: |outcome| match outcome {
            Ok(reply) => match reply.status {
                200 => reply.json().is_none(),
                status => status == 429 || status >= 500,
            },
            Err(error) => error.kind() != Kind::Cancelled,
        },
    };
}

impl Network {
    /// AWS's time when it is `now` here, as far as it is known.
    pub(crate) fn time_of_aws(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.skew.at(now)
    }

    /// Calls `send` with AWS's time when it is `now` here. If the request is refused because of its time, the clock skew is
    /// set from the response and the request is sent once more.
    pub(crate) fn send_dated(
        &self,
        now: OffsetDateTime,
        send: impl Fn(OffsetDateTime) -> Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        let started = Instant::now();
        let signed_at = self.time_of_aws(now);
        let reply = send(signed_at)?;
        let Cause::Clock { server_time } = reply.error().oauth_cause(reply.status) else {
            return Ok(reply);
        };
        let mut times = [server_time, reply.date].into_iter().flatten();
        let Some(server_time) = times.find(|time| explains_refusal(*time, signed_at)) else {
            return Ok(reply);
        };
        self.skew.set(expiry::after(now, started.elapsed()), server_time);
        send(server_time)
    }

    /// Sends a request, with retries, and returns the last attempt's response with any status. Redirects are not
    /// followed. Fails if something in the network responded in place of the service.
    pub(crate) fn send(&self, call: &Call<'_>, policy: &RetryPolicy) -> Result<Reply, Error> {
        let mut attempt = 1;
        loop {
            let outcome = self.once(call, policy);
            if attempt >= policy.attempts || !(policy.should_retry)(&outcome) {
                let mut reply = outcome?;
                return reply.intercepted.take().map_or(Ok(reply), Err);
            }
            let wait = policy.wait * 2_u32.pow(attempt - 1);
            if self.cancel.sleep(if policy.jitter { random::up_to(wait) } else { wait }) {
                return Err(Error::new(Kind::Cancelled, "the process is ending"));
            }
            attempt += 1;
        }
    }

    fn once(&self, call: &Call<'_>, policy: &RetryPolicy) -> Result<Reply, Error> {
        let limits = Limits {
            connect: Some(policy.connect),
            read: Some(policy.read),
            write: Some(policy.read),
        };
        let direct = ProxySettings::default();
        let proxies = if policy.uses_proxy { &self.proxies } else { &direct };
        let http = HttpClient::new(call.endpoint, limits, &self.ca_bundle, proxies);
        let url = call.endpoint.to_string();
        let request = Request {
            body: call.body,
            deadline: Instant::now().checked_add(policy.connect + 2 * policy.read),
            ..Request::new(call.method, &url, call.headers)
        };
        let send = || {
            let mut response = http.send(&request, &self.cancel)?;
            let body = match response.read_whole(MAX_RESPONSE_BYTES) {
                // The status of an error counts, even if its body is encoded.
                Err(error) if response.status() >= 300 && error.kind() == Kind::InvalidResponse => {
                    error.message().into()
                }
                body => body?,
            };
            let intermediary = || http.intermediary();
            let in_place =
                || interception::in_place_of_service(&response, &body, intermediary, call.endpoint);
            Ok(Reply {
                intercepted: if policy.may_send_pages { None } else { in_place() },
                status: response.status(),
                token_ttl: response
                    .header("x-aws-ec2-metadata-token-ttl-seconds")
                    .map(str::to_owned),
                error_type: response.header("x-amzn-errortype").map(str::to_owned),
                location: response.header("location").map(str::to_owned),
                date: response.own_date(),
                body,
            })
        };
        send().map_err(|error: Error| {
            let plain = Error::new(error.kind(), error.message());
            let of_network = error.hint_text().filter(|_| is_of_network(&error));
            let of_region = hostname::region_hint(call.endpoint.host());
            match of_region.or(of_network.map(str::to_owned)) {
                Some(hint) => plain.hint(hint),
                None => plain,
            }
        })
    }
}

/// Whether an error is about the way to the service: network, proxy or certificate. The hints of others name options that do
/// not apply to these requests.
fn is_of_network(error: &Error) -> bool {
    error.is_unsent() || error.kind() == Kind::InvalidResponse
}

impl Reply {
    /// The body as a JSON object.
    pub(crate) fn json(&self) -> Option<serde_json::Map<String, Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The contents of an error response.
    pub(crate) fn error(&self) -> AwsErrorBody {
        AwsErrorBody::parse(self.error_type.as_deref(), &self.body)
    }

    /// `status 403: TYPE: MESSAGE`, without parts that the response does not have.
    pub(crate) fn refusal(&self) -> String {
        let status = self.status;
        match status {
            // It may hold the secrets that were requested, though not in a form that can be read.
            200..300 => return format!("status {status} with an unusable body"),
            300..400 => return format!("status {status} (redirects are not followed)"),
            _ => {}
        }
        let AwsErrorBody { error_type, oauth_error, message, .. } = self.error();
        let parts = [error_type.or(oauth_error), message].into_iter().flatten();
        parts.fold(format!("status {status}"), |text, part| format!("{text}: {}", quoted(&part)))
    }

    fn is_throttled(&self) -> bool {
        let error = self.error();
        // STS could not reach the identity provider; another attempt may succeed.
        error.error_type.as_deref().is_some_and(|name| name.starts_with("IDPCommunicationError"))
            || error.oauth_cause(self.status) == Cause::Throttled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    #[test]
    fn a_misspelt_region_or_the_proxy_explains_why_a_service_cannot_be_reached() {
        // Nothing listens there; with a proxy the service's name is not resolved.
        let environment = Environment::from_pairs([("https_proxy", "http://127.0.0.1:9")]);
        let network = Network { proxies: ProxySettings::new(&environment), ..Network::default() };
        let policy = RetryPolicy { attempts: 1, ..RetryPolicy::SERVICE };
        let hint = |url: &str| {
            let endpoint = Endpoint::parse(url).unwrap();
            let call = Call { method: "GET", endpoint: &endpoint, headers: &[], body: b"" };
            let error = network.send(&call, &policy).err().expect("no proxy is there");
            error.hint_text().map(str::to_owned)
        };
        let expected = "us-east-1a is an availability zone; did you mean its region us-east-1?";
        assert_eq!(hint("https://sts.us-east-1a.amazonaws.com/").as_deref(), Some(expected));
        let of_proxy = hint("https://sts.us-east-1.amazonaws.com/");
        assert_eq!(
            of_proxy.as_deref(),
            Some(if cfg!(windows) { "check HTTPS_PROXY" } else { "check https_proxy" })
        );
    }
}
