//! The instance metadata service of EC2, version 2 only: a token, then the role's name, then its credentials.
//!
//! Other clouds, CI runners and captive portals have servers at the same address. Any response that EC2 would not
//! send counts as "no credentials here"; only the service's own errors are errors.

use std::time::Duration;

use time::OffsetDateTime;

use crate::aws::region::looks_like_region;
use crate::credentials::config::profile::Profile;
use crate::credentials::expiry;
use crate::credentials::header_value::is_header_value;
use crate::credentials::source::Source;
use crate::credentials::sources::container::parse_metadata;
use crate::credentials::sources::request::{Call, Network, Reply, RetryPolicy};
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind, quoted};
use crate::http::url::Endpoint;
use crate::random;

/// The requested lifetime of a token, in seconds.
const TOKEN_LIFETIME: &str = "21600";

/// A token that expires sooner is replaced before it is used.
const TOKEN_MARGIN: Duration = Duration::from_secs(120);

/// State that is kept from one request to the next.
#[derive(Default)]
pub(crate) struct Imds {
    token: Option<(String, OffsetDateTime)>,
    last: Option<Credentials>,
}

/// Why there are no credentials.
pub(crate) enum Failure {
    /// There is no instance or no role, or the service is switched off. For the last source, that means "nothing found".
    NotFound(String),
    Broken(Error),
}

/// The service's URL and time limits.
pub(crate) struct Service {
    base: String,
    policy: RetryPolicy,
}

impl Service {
    /// # Errors
    /// `Failure::NotFound` if the service is switched off.
    pub(crate) fn new(
        environment: &Environment,
        profile: Option<&Profile<'_>>,
    ) -> Result<Service, Failure> {
        let is_off = |value: &str| value.eq_ignore_ascii_case("true");
        if environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(is_off) {
            return Err(Failure::NotFound("disabled by AWS_EC2_METADATA_DISABLED".to_owned()));
        }
        let configured = |variable: &'static str, setting: &'static str| {
            let of_profile = || Some((setting, profile?.get(setting)?));
            environment.get(variable).map(|value| (variable, value)).or_else(of_profile)
        };
        let endpoint =
            configured("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
        let mode = configured(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
            "ec2_metadata_service_endpoint_mode",
        );
        let base = match (endpoint, mode) {
            (Some((_, url)), _) => url.trim_end_matches('/'),
            (None, None) => "http://169.254.169.254",
            (None, Some((_, mode))) if mode.eq_ignore_ascii_case("ipv4") => {
                "http://169.254.169.254"
            }
            (None, Some((_, mode))) if mode.eq_ignore_ascii_case("ipv6") => {
                "http://[fd00:ec2::254]"
            }
            (None, Some((by, mode))) => {
                let message = format!("{by}: {mode:?} must be IPv4 or IPv6");
                return Err(Failure::Broken(Error::new(Kind::Credentials, message)));
            }
        };
        let number = |variable, setting| {
            configured(variable, setting).and_then(|(_, text)| text.parse::<u32>().ok())
        };
        let timeout = number("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout");
        let timeout = Duration::from_secs(u64::from(timeout.unwrap_or(1).clamp(1, 60)));
        let attempts = number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts");
        Ok(Service {
            base: base.to_owned(),
            policy: RetryPolicy {
                connect: timeout,
                read: timeout,
                attempts: attempts.unwrap_or(3).clamp(1, 10),
                wait: Duration::from_millis(100),
                jitter: false,
                uses_proxy: false,
                may_send_pages: true,
                // Without a response, this is not EC2, and repeating the request would only take longer.
                should_retry: |outcome| matches!(outcome, Ok(reply) if reply.status >= 500),
            },
        })
    }
}

impl Imds {
    /// Once fetched, credentials stay in use while the service fails or returns expired ones, and are requested again some
    /// minutes later. AWS calls that static stability.
    pub(crate) fn credentials(
        &mut self,
        service: &Service,
        network: &Network,
        now: OffsetDateTime,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials, Failure> {
        let found = match (self.fetch(service, network, now), &self.last) {
            (Ok(found), _) => found,
            (Err(failure), Some(last)) => {
                let why = match failure {
                    Failure::NotFound(why) => why,
                    Failure::Broken(error) => error.to_string(),
                };
                warnings.push(format!("{}: {why}; the previous keys stay in use", last.source));
                last.clone()
            }
            (Err(failure), None) => return Err(failure),
        };
        self.last = Some(found.clone());
        let there = network.time_of_aws(now);
        let is_expired = found.expires.is_some_and(|expires| expires <= there);
        // Five minutes of this are the margin for refreshing.
        let more = Duration::from_secs(15 * 60) + random::up_to(Duration::from_secs(5 * 60));
        let extended = expiry::after(there, more);
        Ok(Credentials {
            expires: if is_expired { Some(extended) } else { found.expires },
            ..found
        })
    }

    /// The region of this instance, requested in a single attempt.
    pub(crate) fn region(
        &mut self,
        service: &Service,
        network: &Network,
        now: OffsetDateTime,
    ) -> Option<String> {
        let once = Service {
            base: service.base.clone(),
            policy: RetryPolicy { attempts: 1, ..service.policy },
        };
        let reply = self.get(&once, network, "placement/region", now).ok()?;
        let region = String::from_utf8(reply.body).ok()?.trim().to_owned();
        (reply.status == 200 && looks_like_region(&region)).then_some(region)
    }

    fn fetch(
        &mut self,
        service: &Service,
        network: &Network,
        now: OffsetDateTime,
    ) -> Result<Credentials, Failure> {
        const ROLES: &str = "iam/security-credentials/";
        let roles = self.get(service, network, ROLES, now)?;
        let names = String::from_utf8_lossy(&roles.body);
        let role = names.lines().next().unwrap_or_default().trim();
        if roles.status == 404 || (roles.status == 200 && role.is_empty()) {
            return Err(Failure::NotFound("no IAM role on this instance".to_owned()));
        }
        if roles.status != 200 || !is_role_name(role) {
            return Err(unusable("role", &roles));
        }
        let reply = self.get(service, network, &format!("{ROLES}{role}"), now)?;
        let body = reply.json().filter(|_| reply.status == 200);
        let body = body.ok_or_else(|| unusable("credentials", &reply))?;
        let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
        let code = text("Code");
        if let Some(code) = code.filter(|code| !code.eq_ignore_ascii_case("success")) {
            let message = text("Message").map(|message| format!(": {}", quoted(message)));
            let advice = if code == "AssumeRoleUnauthorizedAccess" {
                "; check the role's trust policy for ec2.amazonaws.com"
            } else {
                ""
            };
            let message = message.unwrap_or_default();
            return Err(broken(format!("{}{message}{advice}", quoted(code))));
        }
        let source = Source::Instance { role: role.to_owned() };
        let found = parse_metadata(&body, source).map_err(|error| error.message().to_owned());
        // The keys of a role have a token, those that other servers return need not.
        let found = found.and_then(|found| match found.key.session_token {
            Some(_) => Ok(found),
            None => Err("no Token in the response".to_owned()),
        });
        found.map_err(|what| match code {
            Some(_) => broken(what),
            None => not_ec2("credentials", &what),
        })
    }

    /// Sends a GET with the token. If the token is refused, it is replaced once.
    fn get(
        &mut self,
        service: &Service,
        network: &Network,
        path: &str,
        now: OffsetDateTime,
    ) -> Result<Reply, Failure> {
        let url = format!("{}/latest/meta-data/{path}", service.base);
        let endpoint = endpoint(&url)?;
        let mut is_retry = false;
        loop {
            let token = self.token(service, network, now)?;
            let headers = [("x-aws-ec2-metadata-token", token.as_str())];
            let call = Call { method: "GET", endpoint: &endpoint, headers: &headers, body: b"" };
            let reply = network
                .send(&call, &service.policy)
                .map_err(|error| no_response("no response to the request", &error))?;
            if reply.status != 401 || is_retry {
                return Ok(reply);
            }
            self.token = None;
            is_retry = true;
        }
    }

    fn token(
        &mut self,
        service: &Service,
        network: &Network,
        now: OffsetDateTime,
    ) -> Result<String, Failure> {
        if let Some((token, ends)) = &self.token
            && *ends > now
        {
            return Ok(token.clone());
        }
        let endpoint = endpoint(&format!("{}/latest/api/token", service.base))?;
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_LIFETIME)];
        let call = Call { method: "PUT", endpoint: &endpoint, headers: &headers, body: b"" };
        let reply = network.send(&call, &service.policy).map_err(|error| {
            let what =
                "no response to the token request (in a container, raise the hop limit to 2)";
            no_response(what, &error)
        })?;
        let token = String::from_utf8_lossy(&reply.body).trim().to_owned();
        match reply.status {
            200 if is_token(&token) => {}
            403 => {
                let why = "token refused (403): IMDS is disabled, or this is not EC2";
                return Err(Failure::NotFound(why.to_owned()));
            }
            status @ (404 | 405) => {
                let why = format!("IMDSv2 not available ({status})");
                return Err(Failure::NotFound(why));
            }
            _ => return Err(unusable("token", &reply)),
        }
        network.redactor.add_temporary(&token);
        let lifetime = reply.token_ttl.and_then(|seconds| seconds.trim().parse::<u32>().ok());
        let lifetime = Duration::from_secs(u64::from(lifetime.unwrap_or(21_600)));
        self.token =
            Some((token.clone(), expiry::after(now, lifetime.saturating_sub(TOKEN_MARGIN))));
        Ok(token)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && is_header_value(text) && !text.contains([' ', '<'])
}

fn is_role_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(is_allowed)
}

/// The failure of a request without a response. The peer that accepts the connection need not be EC2.
fn no_response(what: &str, error: &Error) -> Failure {
    match error.kind() {
        Kind::Cancelled => Failure::Broken(error.clone()),
        _ => Failure::NotFound(format!("{what}: {}", error.message())),
    }
}

/// The failure that a response without the expected content means: the service itself fails, or this is not EC2.
fn unusable(what: &str, reply: &Reply) -> Failure {
    let is_html = reply.body.trim_ascii_start().starts_with(b"<");
    if reply.status >= 500 && !is_html {
        return broken(format!("{what}: {}", reply.refusal()));
    }
    let found = if is_html { "HTML, " } else { "" };
    not_ec2(what, &format!("{found}{}", reply.refusal()))
}

fn not_ec2(what: &str, found: &str) -> Failure {
    Failure::NotFound(format!("{what}: not an EC2 response ({found})"))
}

fn broken(what: String) -> Failure {
    Failure::Broken(Error::new(Kind::Credentials, what).context("IMDS"))
}

fn endpoint(url: &str) -> Result<Endpoint, Failure> {
    Endpoint::parse_as("the URL", url).map_err(|error| {
        let message = format!("AWS_EC2_METADATA_SERVICE_ENDPOINT: {}", error.message());
        Failure::Broken(Error::new(Kind::Credentials, message))
    })
}
