//! `SignedClient`: signs requests, sends them, and reads error responses.

use crate::aws::clock_skew::ClockSkew;
use crate::aws::error_body::AwsErrorBody;
use crate::aws::error_cause::Cause;
use crate::aws::error_response::ErrorResponse;
use crate::aws::hint::SignedWith;
use crate::aws::interception;
use crate::aws::service_facts::ServiceFacts;
use crate::aws::signature_diff::SigningSteps;
use crate::clock;
use crate::credentials::Services;
use crate::credentials::{CredentialCache, Credentials};
use crate::error::{Error, Kind};
use crate::http::url::Endpoint;
use crate::http::{CookieJar, HttpClient, Intermediary, Probe, Request, Response};
use crate::log::Log;
use crate::signing::{self, BodyHash, Header, Payload, PayloadSigning, Secret};
use crate::sync;
use crate::sync::cancel::Cancel;
use crate::upstream::request::{RequestTarget, UnsignedRequest};
use crate::upstream::response::{ErrorReport, SignedResponse, error_body, request_id};
use crate::upstream::settings::{Settings, Unsigned};
use crate::upstream::signing_scope::SigningScope;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Instant;
use time::OffsetDateTime;

/// Maximum size of an error body that is read.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// User headers that are sent but not signed: proxies and gateways between here and AWS may change them.
const CHANGED_IN_TRANSIT: [&str; 8] =
    ["cache-control", "cookie", "forwarded", "origin", "pragma", "referer", "user-agent", "via"];

/// Headers of requests that the user's own replace.
const REPLACEABLE: [&str; 2] = ["accept", "content-type"];

/// The way to the server: target, scope, credentials and HTTP client of every request, and the headers that identify the
/// client to the server.
#[derive(Debug)]
pub struct SignedClient {
    shared: Arc<Shared>,
    /// The cookies of the server for this identity; `None` if the user sends a cookie of their own.
    cookies: Option<CookieJar>,
    /// `None`: the HTTP client's default.
    user_agent: RwLock<Option<Arc<str>>>,
}

/// State that all clients of this program share.
#[derive(Debug)]
struct Shared {
    http: Arc<HttpClient>,
    credentials: CredentialCache,
    unsigned: Unsigned,
    /// The log has the line that requests are sent unsigned.
    has_reported_unsigned: AtomicBool,
    scope: SigningScope,
    /// The URL that the user gave.
    endpoint: Endpoint,
    target: RequestTarget,
    /// The `Host` header, if it is not that of the URL.
    host_header: Option<String>,
    /// The user's own headers that are signed.
    signed_headers: Vec<(String, Secret)>,
    /// The user's own headers that are not signed.
    unsigned_headers: Vec<(String, Secret)>,
    /// Names of headers of requests in whose place the user sends others.
    replaced: Vec<&'static str>,
    /// The server's clock according to its error responses. It changes the time of signatures and nothing else.
    skew: ClockSkew,
    /// The server's clock according to the `Date` of its responses, after `watch_clock`; for display only.
    observed_skew: OnceLock<ClockSkew>,
    log: Log,
}

impl SignedClient {
    pub(crate) fn new(
        settings: Settings,
        http: Arc<HttpClient>,
        credentials: CredentialCache,
        log: Log,
    ) -> SignedClient {
        let scope = SigningScope::new(&settings);
        let (unsigned_headers, signed_headers): (Vec<_>, Vec<_>) =
            settings.headers.into_iter().partition(|(name, _)| is_changed_in_transit(name));
        let is_replaced = |name: &&str| {
            signed_headers.iter().any(|(own, _): &(String, Secret)| own.eq_ignore_ascii_case(name))
        };
        let replaced = REPLACEABLE.into_iter().filter(is_replaced).collect();
        let is_cookie = |(name, _): &(String, Secret)| name.eq_ignore_ascii_case("cookie");
        let cookies = (!unsigned_headers.iter().any(is_cookie)).then(CookieJar::default);
        let shared = Shared {
            http,
            credentials,
            unsigned: settings.unsigned,
            has_reported_unsigned: AtomicBool::new(false),
            scope,
            target: RequestTarget::new(&settings.endpoint),
            host_header: settings.endpoint.signed_authority(),
            endpoint: settings.endpoint,
            signed_headers,
            unsigned_headers,
            replaced,
            skew: ClockSkew::default(),
            observed_skew: OnceLock::new(),
            log,
        };
        SignedClient { shared: Arc::new(shared), cookies, user_agent: RwLock::default() }
    }

    /// A copy for another client, without the state that the server gave to this one.
    pub(crate) fn for_another_client(&self) -> SignedClient {
        SignedClient {
            shared: Arc::clone(&self.shared),
            cookies: self.cookies.is_some().then(CookieJar::default),
            user_agent: RwLock::default(),
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    pub(crate) fn credential_cache(&self) -> &CredentialCache {
        &self.shared.credentials
    }

    pub(crate) fn target(&self) -> &RequestTarget {
        &self.shared.target
    }

    pub(crate) fn scope(&self) -> &SigningScope {
        &self.shared.scope
    }

    /// Whether signatures cover the bodies of requests.
    pub(crate) fn signs_bodies(&self) -> bool {
        self.shared.scope.current().payload_signing != PayloadSigning::Unsigned
    }

    /// The part of the signature that covers this body; `hash` is the body's hash, if it is known already.
    pub(crate) fn payload(&self, body: &[u8], hash: Option<&BodyHash>) -> Payload {
        let signing = self.shared.scope.current().payload_signing;
        match hash {
            Some(hash) => Payload::of_hashed(hash.clone(), signing),
            None => Payload::of(body, signing),
        }
    }

    pub(crate) fn set_user_agent(&self, user_agent: String) {
        let mut current = sync::write(&self.user_agent);
        *current = Some(user_agent.into());
    }

    /// The credentials to sign with now. Waits for them until `deadline` or `cancel`.
    ///
    /// # Errors
    /// `Credentials`: none were found, or they could not be loaded, and the settings do not allow unsigned requests then.
    pub fn credentials(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Credentials>, Error> {
        self.credentials_or_wait(deadline, cancel, || ())
    }

    /// The credentials to sign a request with that is sent next. While they are looked up, a connection for it is opened.
    pub(crate) fn credentials_for_request(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Credentials>, Error> {
        self.credentials_or_wait(deadline, cancel, || self.shared.http.open_connection())
    }

    fn credentials_or_wait(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
        on_wait: impl FnOnce(),
    ) -> Result<Arc<Credentials>, Error> {
        let credentials =
            self.shared.credentials.get_or_wait(clock::now(), deadline, cancel, on_wait);
        for warning in self.shared.credentials.take_warnings() {
            self.shared.log.warn(warning);
        }
        if let Err(error) = &credentials
            && self.may_send_unsigned(error)
        {
            return Ok(Arc::new(Credentials::anonymous()));
        }
        credentials.map_err(|error| {
            if error.kind() == Kind::Cancelled {
                return error;
            }
            let what = format!("failed to load AWS credentials: {}", error.message());
            let summary = Error::new(Kind::Credentials, what).advice(
                "ensure AWS credentials are configured via environment variables, ~/.aws/credentials, or IAM role",
            );
            let summary = summary.sign_in(error.needed_sign_in().cloned());
            match error.own_hint() {
                Some(hint) => summary.hint(hint),
                None => summary,
            }
        })
    }

    /// AWS's credential services as the profile configures them.
    ///
    /// # Errors
    /// The configuration cannot be read.
    pub(crate) fn credential_services(&self, now: OffsetDateTime) -> Result<Services, Error> {
        self.shared.credentials.services(now)
    }

    /// Has the next request look for credentials, although that has just failed.
    pub(crate) fn forget_credential_failure(&self) {
        self.shared.credentials.forget_failure();
    }

    /// Whether requests may be sent unsigned after this failure to get credentials. Logs that the first time.
    fn may_send_unsigned(&self, error: &Error) -> bool {
        let is_absent = error.kind() == Kind::NoCredentials;
        let is_allowed = match error.kind() {
            Kind::NoCredentials => self.shared.unsigned != Unsigned::Never,
            Kind::Cancelled | Kind::TimedOut => false,
            _ => self.shared.unsigned == Unsigned::WithoutUsableCredentials,
        };
        if is_allowed && !self.shared.has_reported_unsigned.swap(true, Ordering::Relaxed) {
            if is_absent {
                self.shared
                    .log
                    .debug(format_args!("requests are sent unsigned: {}", error.message()));
            } else {
                self.shared.log.warn(format_args!(
                    "requests are sent unsigned, which this server accepts: AWS credentials are not usable: {error}"
                ));
            }
        }
        is_allowed
    }

    /// Invalidates refused credentials and looks for others. Returns whether there are any.
    pub(crate) fn replace_credentials(
        &self,
        refused: &Arc<Credentials>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        self.invalidate_credentials(refused);
        Ok(self.credentials_for_request(deadline, cancel)?.key != refused.key)
    }

    /// Has the next request look for other credentials than the refused ones.
    pub(crate) fn invalidate_credentials(&self, refused: &Arc<Credentials>) {
        self.shared.credentials.invalidate(refused, clock::now());
    }

    /// Cancels the credential look-up and the processes it started; no look-up starts from now on. Does not wait.
    pub(crate) fn cancel_credentials(&self) {
        self.shared.credentials.cancel();
    }

    /// Signs the request, sends it and reads the head of the response.
    pub(crate) fn send<'a>(
        &'a self,
        request: &UnsignedRequest<'_>,
        credentials: &Credentials,
        cancel: &'a Cancel,
    ) -> Result<SignedResponse<'a>, Error> {
        let mut headers = Vec::with_capacity(request.headers.len() + 16);
        headers.extend(
            request.headers.iter().filter(|(name, _)| !self.shared.replaced.contains(name)),
        );
        headers.extend(self.shared.signed_headers.iter().map(as_header));
        // The clock is read once, at the last moment: date and scope must agree also around midnight.
        let now = clock::now();
        let signed_at = self.server_time(now);
        let signed = (!credentials.is_anonymous()).then(|| {
            let scope = self.shared.scope.current();
            let computed;
            let payload = match request.payload {
                Some(payload) if payload.is_treated(scope.payload_signing) => payload,
                // The server has corrected the service since.
                Some(_) | None => {
                    computed = Payload::of(request.body, scope.payload_signing);
                    &computed
                }
            };
            let to_sign = signing::Request {
                method: request.method,
                target: request.target.canonical(scope.uri_encoding),
                headers: &headers,
                payload,
            };
            scope.signer.sign(&to_sign, &credentials.key, signed_at)
        });
        let user_agent = sync::read(&self.user_agent).clone();
        headers.extend(user_agent.as_deref().map(|user_agent| ("user-agent", user_agent)));
        headers.extend(self.shared.host_header.as_deref().map(|host| ("host", host)));
        headers.extend(self.shared.unsigned_headers.iter().map(as_header));
        let path = &request.target.path;
        let cookies = self.cookies.as_ref().and_then(|cookies| cookies.header(path));
        headers.extend(cookies.as_ref().map(|cookies| ("cookie", cookies.expose())));
        let signed = signed.as_ref();
        if let Some(signed) = signed {
            self.shared.log.redactor().add_signature(&signed.signature);
        }
        headers.extend(
            signed
                .iter()
                .flat_map(|signed| &signed.headers)
                .map(|(name, value)| (*name, value.as_str())),
        );
        let request = Request {
            body: request.body,
            deadline: request.deadline,
            is_stream: request.is_stream,
            is_idempotent: request.is_idempotent,
            ..Request::new(request.method, &request.target.url, &headers)
        };
        let response = self.shared.http.send(&request, cancel)?;
        self.keep_cookies(&response, path);
        if let Some(observed) = self.shared.observed_skew.get()
            && let Some(date) = response.own_date()
        {
            observed.set(clock::now(), date);
        }
        let steps =
            signed.filter(|_| (400..500).contains(&response.status())).map(|signed| SigningSteps {
                canonical_request: signed.canonical_request.clone(),
                string_to_sign: signed.string_to_sign.clone(),
            });
        Ok(SignedResponse { response, signed_at, steps })
    }

    fn keep_cookies(&self, response: &Response<'_>, path: &str) {
        let Some(cookies) = &self.cookies else { return };
        for set_cookie in response.headers("set-cookie") {
            let server_time = response.own_date().unwrap_or_else(clock::now);
            cookies.set(set_cookie, &self.shared.endpoint, path, server_time, |old, new| {
                self.shared.log.redactor().replace_cookie(old.as_ref(), new);
            });
        }
    }

    /// Reads and interprets the body of an error response.
    pub(crate) fn read_error(
        &self,
        response: &mut SignedResponse<'_>,
        credentials: &Credentials,
    ) -> ErrorReport {
        let SignedResponse { response, steps, .. } = response;
        let unreadable = response.check_coding().err();
        let body = error_body(response, MAX_ERROR_BYTES);
        let status = response.status();
        let mut parsed = AwsErrorBody::parse(response.header("x-amzn-errortype"), &body);
        parsed.message = parsed.message.or(unreadable.map(|error| error.message().to_owned()));
        let error_response = ErrorResponse {
            status,
            request_id: request_id(response),
            lambda_error: response.header("lambda-web-error-type"),
            location: response.header("location"),
            challenge: response.header("www-authenticate"),
            body: &parsed,
        };
        let identity = if credentials.is_anonymous() {
            "not signed".to_owned()
        } else {
            format!("key {} from {}", credentials.key.masked_id(), credentials.source)
        };
        let scope = self.shared.scope.current();
        let cause = parsed.cause(status);
        let is_denied = matches!(status, 401 | 403);
        let intermediary = match cause {
            Cause::WrongSignature => self.shared.http.intermediary(),
            Cause::Other if is_denied => self.shared.http.intermediary(),
            _ => None,
        };
        let issuer = match intermediary {
            Some(Intermediary::TlsInspection { issuer }) => Some(issuer),
            _ => None,
        };
        let is_wordless = is_denied && parsed == AwsErrorBody::default();
        let intercepted = self.interception(response, is_wordless || response.is_page(&body));
        let signed = SignedWith {
            service: &scope.service,
            region: &scope.region,
            host: self.shared.endpoint.service_host(),
            path: self.shared.endpoint.path(),
            identity: &identity,
            steps: steps.as_ref(),
            private_issuer: issuer.as_deref(),
            intercepted: intercepted.as_deref(),
        };
        let mistakes = match cause {
            Cause::UnknownCredentials | Cause::WrongSignature => credentials.likely_mistakes(),
            Cause::Other if is_denied => credentials.likely_mistakes(),
            _ => Vec::new(),
        };
        let error = match error_response.to_error(&signed) {
            error if error_response.requires_oauth() => error,
            error if !mistakes.is_empty() => error.hint(mistakes.join("; ")),
            error if credentials.is_anonymous() && is_denied => error.hint(
                "run sigv4-proxy login, aws sso login or aws configure: there are no usable AWS credentials, so requests are sent unsigned",
            ),
            error => error,
        };
        if let (true, Some(ours)) = (self.shared.log.is_debug(), steps)
            && let Some(aws) = parsed.message.as_deref().and_then(SigningSteps::of_aws)
        {
            self.shared
                .log
                .debug(format_args!("canonical request, signed: {}", ours.canonical_request));
            self.shared.log.debug(format_args!(
                "canonical request, received by AWS: {}",
                aws.canonical_request
            ));
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        ErrorReport { cause, server_time: response.own_date(), body, error }
    }

    /// How to fix it if the response was probably not sent by the server. `is_foreign`: its body is not one of the service.
    fn interception(&self, response: &Response<'_>, is_foreign: bool) -> Option<String> {
        let intermediary = || self.shared.http.intermediary();
        interception::advice(response, is_foreign, intermediary, &self.shared.endpoint)
    }

    /// The error of a page in place of messages, and what may have sent it.
    pub(crate) fn explain_page(&self, response: &Response<'_>, error: Error) -> Error {
        match (self.interception(response, true), error.hint_text()) {
            (Some(fix), Some(hint)) => {
                let hint = format!("{hint}; or {fix}");
                error.hint(hint)
            }
            _ => error,
        }
    }

    /// The facts about the service that is signed for.
    pub(crate) fn facts(&self) -> &'static ServiceFacts {
        ServiceFacts::of(
            &self.shared.scope.current().service,
            self.shared.endpoint.service_host(),
            self.shared.endpoint.path(),
        )
    }

    /// The error of a response that broke off, with the limits of the service as a hint.
    pub(crate) fn explain_cut(&self, error: Error) -> Error {
        match (self.facts().cut, error.hint_text()) {
            (Some(cut), Some(hint)) => {
                let hint = format!("{hint}; {cut}");
                error.hint(hint)
            }
            (Some(cut), None) => error.hint(cut),
            (None, _) => error,
        }
    }

    /// The server's time when the local clock shows `now`: by its own error responses, else as AWS showed it when
    /// credentials were requested.
    fn server_time(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.shared.skew.known_at(now).unwrap_or_else(|| self.shared.credentials.time_of_aws(now))
    }

    /// Signs with the server's time from now on, which is `server_time` now. Returns by how many seconds the local clock
    /// is behind.
    pub(crate) fn set_clock(&self, server_time: OffsetDateTime) -> i64 {
        let now = clock::now();
        self.shared.skew.set(now, server_time);
        (server_time - now).whole_seconds()
    }

    /// Compares the `Date` of each response with the local clock from now on, for `clock_behind`.
    pub(crate) fn watch_clock(&self) {
        let _ = self.shared.observed_skew.set(ClockSkew::default());
    }

    /// Seconds by which the local clock is behind the server's, if a response since `watch_clock` had a `Date`.
    pub(crate) fn clock_behind(&self) -> Option<i64> {
        self.shared.observed_skew.get()?.behind()
    }

    /// The way to the server step by step, for diagnosis.
    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe::new(&self.shared.http, &self.shared.endpoint)
    }
}

fn as_header((name, value): &(String, Secret)) -> Header<'_> {
    (name, value.expose())
}

fn is_changed_in_transit(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CHANGED_IN_TRANSIT.contains(&name.as_str())
        || name.starts_with("x-forwarded-")
        || name.starts_with("sec-")
}
