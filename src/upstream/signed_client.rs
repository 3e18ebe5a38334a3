//! `SignedClient`: one HTTP request to the server, signed; and what every such request needs.

use crate::aws::clock_skew::ClockSkew;
use crate::aws::error_cause::Cause;
use crate::aws::hostname::{self, Inferred};
use crate::aws::refusal::{ErrorResponse, SignedWith};
use crate::aws::signature_diff::SigningSteps;
use crate::cli::Options;
use crate::clock;
use crate::credentials::{CredentialCache, Credentials};
use crate::error::{Error, Kind};
use crate::http::url::Endpoint;
use crate::http::{HttpClient, Probe, Request, Response, parse_date};
use crate::log::Log;
use crate::mcp::client_info;
use crate::mcp::message::{Message, MessageKind};
use crate::mcp::session::Session;
use crate::signing::{
    self, Algorithm, CanonicalTarget, Header, Payload, PayloadSigning, Signer, UriEncoding,
};
use crate::sync::cancel::Cancel;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// An error body is read up to this size.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// A notification holds up what follows it, so it may not take forever.
const NOTIFICATION_LIMIT: Duration = Duration::from_secs(30);

/// The user's headers with these names are sent but not signed: hops between us and AWS may change them.
const CHANGED_ON_THE_WAY: [&str; 7] =
    ["cache-control", "cookie", "forwarded", "origin", "pragma", "referer", "via"];

/// The server, and everything that is needed to send it one signed request.
#[derive(Debug)]
pub struct SignedClient {
    http: Arc<HttpClient>,
    credentials: CredentialCache,
    algorithm: Algorithm,
    scope: RwLock<Arc<Scope>>,
    /// What the server may still correct of it.
    corrections: Mutex<Corrections>,
    endpoint: Endpoint,
    place: SignedTarget,
    path_rule: UriEncoding,
    payload_rule: PayloadSigning,
    /// The user's own headers: first those that are signed, then those that are not.
    signed_headers: Vec<crate::cli::Header>,
    unsigned_headers: Vec<crate::cli::Header>,
    skip_auth: bool,
    is_agentcore: bool,
    /// `None`: the user does not want the client named.
    user_agent: Option<RwLock<String>>,
    timeout: Option<Duration>,
    tool_timeout: Option<Duration>,
    session: RwLock<Arc<Session>>,
    /// What the server's refusals say of its clock. It changes signatures and nothing else.
    skew: ClockSkew,
    /// What the `Date` of its answers says, where somebody wants to see that. Nothing is done with it.
    shown_skew: OnceLock<ClockSkew>,
    log: Log,
}

/// What a server may have us change in the scope, each once at most: it cannot have us sign for whatever it likes.
#[derive(Debug)]
struct Corrections {
    /// Service and region that the host itself names, if it is one of AWS's.
    of_host: Inferred,
    /// The user has not named the service, and a host can be misread: the server may name any.
    any_service: bool,
    /// Not corrected yet.
    service: bool,
    region: bool,
}

/// What is signed for.
#[derive(Debug)]
pub(crate) struct Scope {
    signer: Signer,
    pub(crate) service: String,
    pub(crate) region: String,
}

/// A URL of the server, as it is sent and as it is signed.
#[derive(Debug)]
pub(crate) struct SignedTarget {
    url: String,
    target: CanonicalTarget,
}

/// A request before it is signed.
#[derive(Debug)]
pub(crate) struct SignedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) place: &'a SignedTarget,
    pub(crate) headers: &'a [Header<'a>],
    pub(crate) body: &'a [u8],
    pub(crate) payload: &'a Payload,
    pub(crate) deadline: Option<Instant>,
    /// Silence is normal on it.
    pub(crate) is_stream: bool,
    /// Sending it twice does no harm.
    pub(crate) is_idempotent: bool,
}

/// An answer to a signed request.
#[derive(Debug)]
pub(crate) struct SignedResponse<'a> {
    pub(crate) answer: Response<'a>,
    /// Of a refusal: what had been signed.
    steps: Option<SigningSteps>,
}

/// An answer that is an error: its body as it came, the words in it, and what is said to a person.
#[derive(Debug)]
pub(crate) struct HttpStatus {
    pub(crate) body: String,
    /// The server's own.
    pub(crate) words: String,
    pub(crate) cause: Cause,
    /// Its `Date`, if it was made just now for this request.
    pub(crate) server_time: Option<OffsetDateTime>,
    pub(crate) in_words: Error,
}

impl SignedClient {
    pub fn new(
        options: &Options,
        http: Arc<HttpClient>,
        credentials: CredentialCache,
        log: Log,
    ) -> SignedClient {
        let (unsigned_headers, signed_headers) =
            options.headers.iter().cloned().partition(|header| is_changed_on_the_way(&header.name));
        let user_agent = options.names_client.then(|| client_info::OURS.to_owned());
        let path_rule = UriEncoding::for_service(&options.service);
        let payload_rule = match PayloadSigning::for_service(&options.service) {
            _ if options.unsigned_payload => PayloadSigning::Unsigned,
            PayloadSigning::Unsigned => PayloadSigning::HashedInHeader,
            rule => rule,
        };
        let of_host = hostname::of_host(options.endpoint.host());
        let is_agentcore = [Some(&options.service), of_host.service.as_ref()]
            .into_iter()
            .flatten()
            .any(|service| service == "bedrock-agentcore");
        SignedClient {
            http,
            credentials,
            algorithm: options.algorithm,
            scope: RwLock::new(Scope::new(options.algorithm, &options.service, &options.region)),
            corrections: Mutex::new(Corrections {
                any_service: options.service_is_inferred,
                of_host,
                service: true,
                region: true,
            }),
            endpoint: options.endpoint.clone(),
            place: SignedTarget::new(&options.endpoint, path_rule),
            path_rule,
            payload_rule,
            signed_headers,
            unsigned_headers,
            skip_auth: options.skip_auth,
            is_agentcore,
            user_agent: user_agent.map(RwLock::new),
            timeout: options.timeout,
            tool_timeout: options.tool_timeout,
            session: RwLock::default(),
            skew: ClockSkew::default(),
            shown_skew: OnceLock::new(),
            log,
        }
    }

    /// The URL that the user gave.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn place(&self) -> &SignedTarget {
        &self.place
    }

    /// Another URL of the same server.
    pub(crate) fn place_at(&self, endpoint: &Endpoint) -> SignedTarget {
        SignedTarget::new(endpoint, self.path_rule)
    }

    /// Whether signatures cover the bodies of messages.
    pub(crate) fn signs_bodies(&self) -> bool {
        self.payload_rule != PayloadSigning::Unsigned
    }

    pub(crate) fn payload_of(&self, message: &Message) -> Payload {
        match message.hash() {
            Some(hash) => Payload::of_hashed(hash.clone(), self.payload_rule),
            None => Payload::of(message.body(), self.payload_rule),
        }
    }

    pub(crate) fn scope(&self) -> Arc<Scope> {
        Arc::clone(&self.scope.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the service that the server says it is. False when the user has named another, or another was taken before.
    pub(crate) fn correct_service(&self, service: &str) -> bool {
        let mut corrections = self.corrections();
        let scope = self.scope();
        let is_of_host = corrections.of_host.service.as_deref() == Some(service);
        // Another call may have learned it meanwhile.
        if scope.service == service {
            return true;
        }
        if !corrections.service || !(is_of_host || corrections.any_service) {
            return false;
        }
        corrections.service = false;
        self.set_scope(service, &scope.region);
        true
    }

    /// Takes the region that the URL names. False when it names none, or had been taken for this call already.
    pub(crate) fn correct_region(&self) -> bool {
        let mut corrections = self.corrections();
        let scope = self.scope();
        let Some(region) = corrections.of_host.region.as_ref() else { return false };
        if *region == scope.region {
            return !corrections.region;
        }
        if !corrections.region {
            return false;
        }
        self.set_scope(&scope.service, region);
        corrections.region = false;
        true
    }

    fn set_scope(&self, service: &str, region: &str) {
        let scope = Scope::new(self.algorithm, service, region);
        *self.scope.write().unwrap_or_else(PoisonError::into_inner) = scope;
    }

    fn corrections(&self) -> MutexGuard<'_, Corrections> {
        self.corrections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server is a runtime or a gateway of Bedrock `AgentCore`: by its host, or because the user signs for it.
    pub(crate) fn is_agentcore(&self) -> bool {
        self.is_agentcore
    }

    /// When the message must be answered.
    pub(crate) fn deadline(&self, message: &Message) -> Option<Instant> {
        let limit = match message.sort() {
            MessageKind::Request { .. } if message.is_subscription() => None,
            MessageKind::Request { method, .. } if method == "tools/call" => {
                [self.timeout, self.tool_timeout].into_iter().flatten().min()
            }
            MessageKind::Batch { ids, .. } if !ids.is_empty() => self.timeout,
            MessageKind::Request { .. } => self.timeout,
            _ => [self.timeout, Some(NOTIFICATION_LIMIT)].into_iter().flatten().min(),
        };
        limit.and_then(|limit| Instant::now().checked_add(limit))
    }

    /// Asks for the standing stream, or for the rest of one.
    pub(crate) fn get<'a>(
        &'a self,
        session: &Session,
        last_id: Option<&str>,
        deadline: Option<Instant>,
        is_stream: bool,
        cancel: &'a Cancel,
    ) -> Result<Response<'a>, Error> {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(session_headers(session));
        headers.extend(last_id.map(|id| ("last-event-id", id)));
        let outgoing = SignedRequest {
            method: "GET",
            place: &self.place,
            headers: &headers,
            body: b"",
            payload: &Payload::of(b"", self.payload_rule),
            deadline,
            is_stream,
            is_idempotent: true,
        };
        let credentials = self.credentials(deadline, cancel)?;
        Ok(self.send(&outgoing, &credentials, cancel)?.answer)
    }

    /// Cancels the search for credentials, with the processes it started; none begins from now on. Does not wait.
    pub(crate) fn cancel_credentials(&self) {
        self.credentials.cancel();
    }

    /// Tells the server until `deadline` that the session is over, if there is one. Best effort.
    pub(crate) fn end_session(&self, deadline: Instant) {
        let session = self.session();
        if session.id().is_none() {
            return;
        }
        let (deadline, cancel) = (Some(deadline), Cancel::default());
        let Ok(credentials) = self.credentials(deadline, &cancel) else { return };
        let headers: Vec<Header<'_>> = session_headers(&session).collect();
        let outgoing = SignedRequest {
            method: "DELETE",
            place: &self.place,
            headers: &headers,
            body: b"",
            payload: &Payload::of(b"", self.payload_rule),
            deadline,
            is_stream: false,
            is_idempotent: true,
        };
        match self.send(&outgoing, &credentials, &cancel) {
            Ok(answer) => self.log.debug(format_args!("DELETE session: HTTP {}", answer.status())),
            Err(error) => self.log.debug(format_args!("DELETE session: {error}")),
        }
    }

    /// The credentials to sign with now, or why there are none. They are waited for until `deadline` or `cancel`.
    pub fn credentials(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Credentials>, Error> {
        let credentials = self.credentials.get_until(clock::now(), deadline, cancel);
        for warning in self.credentials.take_warnings() {
            self.log.warn(warning);
        }
        if self.skip_auth
            && let Err(error) = &credentials
            && error.kind() == Kind::NoCredentials
        {
            return Ok(Arc::new(Credentials::anonymous()));
        }
        credentials.map_err(|error| {
            if error.kind() == Kind::Cancelled {
                return error;
            }
            let what = format!("failed to load AWS credentials: {}", error.message());
            let told = Error::new(Kind::Credentials, what).advice(
                "ensure AWS credentials are configured via environment variables, ~/.aws/credentials, or IAM role",
            );
            match error.hint_text() {
                Some(hint) => told.hint(hint),
                None => told,
            }
        })
    }

    /// Whoever sends this request is named from now on.
    pub(crate) fn learn_client(&self, request: &[u8]) {
        if let Some(user_agent) = &self.user_agent
            && let Some(with_client) = client_info::with_client_of(request)
        {
            *user_agent.write().unwrap_or_else(PoisonError::into_inner) = with_client;
        }
    }

    /// Signs the request and sends it.
    pub(crate) fn send<'a>(
        &'a self,
        outgoing: &SignedRequest<'_>,
        credentials: &Credentials,
        cancel: &'a Cancel,
    ) -> Result<SignedResponse<'a>, Error> {
        let mut headers = Vec::with_capacity(outgoing.headers.len() + 16);
        headers.extend_from_slice(outgoing.headers);
        headers.extend(self.signed_headers.iter().map(as_header));
        let request = signing::Request {
            method: outgoing.method,
            target: &outgoing.place.target,
            headers: &headers,
            payload: outgoing.payload,
        };
        // The clock is read once, at the last moment: date and scope must agree also around midnight.
        let sent = clock::now();
        let signed = (!credentials.is_anonymous()).then(|| {
            let scope = self.scope.read().unwrap_or_else(PoisonError::into_inner);
            scope.signer.sign(&request, &credentials.key, self.time_there(sent))
        });
        let user_agent = self.user_agent.as_ref();
        let user_agent =
            user_agent.map(|agent| agent.read().unwrap_or_else(PoisonError::into_inner).clone());
        headers.extend(user_agent.as_deref().map(|agent| ("user-agent", agent)));
        headers.extend(self.unsigned_headers.iter().map(as_header));
        let signed = signed.as_ref();
        if let Some(signed) = signed {
            self.log.redactor().add_signature(&signed.signature);
        }
        headers.extend(
            signed
                .iter()
                .flat_map(|signed| &signed.headers)
                .map(|(name, value)| (*name, value.as_str())),
        );
        let request = Request {
            method: outgoing.method,
            url: &outgoing.place.url,
            headers: &headers,
            body: outgoing.body,
            deadline: outgoing.deadline,
            is_stream: outgoing.is_stream,
            is_idempotent: outgoing.is_idempotent,
        };
        let answer = self.http.send(&request, cancel)?;
        if let Some(shown) = self.shown_skew.get()
            && let Some(date) = own_date(&answer)
        {
            shown.set(clock::now(), date);
        }
        let steps =
            signed.filter(|_| (400..500).contains(&answer.status())).map(|signed| SigningSteps {
                canonical_request: signed.canonical_request.clone(),
                string_to_sign: signed.string_to_sign.clone(),
            });
        Ok(SignedResponse { answer, steps })
    }

    /// Reads an error answer.
    pub(crate) fn refused(
        &self,
        answered: &mut SignedResponse<'_>,
        credentials: &Credentials,
    ) -> HttpStatus {
        let SignedResponse { answer, steps } = answered;
        let body = answer.read_beginning(MAX_ERROR_BYTES);
        let body = String::from_utf8_lossy(&body).into_owned();
        let refusal = ErrorResponse {
            status: answer.status(),
            error_type: answer.header("x-amzn-errortype"),
            request_id: request_id(answer),
            location: answer.header("location"),
            body: body.as_bytes(),
        };
        let identity = format!("key {} from {}", credentials.key.masked_id(), credentials.source);
        let scope = self.scope();
        let signed = SignedWith {
            service: &scope.service,
            region: &scope.region,
            identity: &identity,
            steps: steps.as_ref(),
        };
        let in_words = match refusal.to_error(&signed) {
            error if credentials.is_anonymous() && matches!(refusal.status, 401 | 403) => error.hint(
                "nothing is signed, since there are no AWS credentials: run aws sso login, aws login or aws configure",
            ),
            error => error,
        };
        if let (true, Some(ours)) = (self.log.is_debug(), steps)
            && let Some(aws) = refusal.steps_of_aws()
        {
            self.log.debug(format_args!("canonical request, signed: {}", ours.canonical_request));
            self.log.debug(format_args!("canonical request, of AWS: {}", aws.canonical_request));
        }
        let (words, cause, server_time) = (refusal.words(), refusal.cause(), own_date(answer));
        HttpStatus { body, words, cause, server_time, in_words }
    }

    /// After a refusal that blames the key: whether there is another now.
    pub(crate) fn has_other_credentials(
        &self,
        refused: &Arc<Credentials>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        self.credentials.invalidate(refused, clock::now());
        Ok(self.credentials(deadline, cancel)?.key != refused.key)
    }

    /// The time to sign for.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.time_there(clock::now())
    }

    /// What the server said last; else what AWS said when credentials were asked for.
    fn time_there(&self, here: OffsetDateTime) -> OffsetDateTime {
        self.skew.known_at(here).unwrap_or_else(|| self.credentials.time_of_aws(here))
    }

    /// From now on it is what it is `there`. By how many seconds the clock here is behind.
    pub(crate) fn set_clock(&self, there: OffsetDateTime) -> i64 {
        let here = clock::now();
        self.skew.set(here, there);
        (there - here).whole_seconds()
    }

    /// From now on the `Date` of each answer is looked at, for `clock_behind`.
    pub(crate) fn watch_clock(&self) {
        let _ = self.shown_skew.set(ClockSkew::default());
    }

    /// By how many seconds the clock here is behind the server's, if an answer since `watch_clock` told its time.
    pub(crate) fn clock_behind(&self) -> Option<i64> {
        self.shown_skew.get()?.behind()
    }

    /// The way to the server, for looking at it.
    pub(crate) fn probe(&self) -> Probe<'_> {
        self.http.probe(&self.endpoint)
    }

    pub(crate) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn session_mut(&self, change: impl FnOnce(&mut Session)) {
        let mut session = self.session.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut session));
    }
}

impl<'a> Deref for SignedResponse<'a> {
    type Target = Response<'a>;

    fn deref(&self) -> &Response<'a> {
        &self.answer
    }
}

impl DerefMut for SignedResponse<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.answer
    }
}

impl Scope {
    fn new(algorithm: Algorithm, service: &str, region: &str) -> Arc<Scope> {
        Arc::new(Scope {
            signer: Signer::new(algorithm, region, service),
            service: service.to_owned(),
            region: region.to_owned(),
        })
    }
}

impl SignedTarget {
    fn new(endpoint: &Endpoint, path_rule: UriEncoding) -> SignedTarget {
        let target = CanonicalTarget::new(
            &endpoint.authority(),
            endpoint.path(),
            endpoint.query(),
            path_rule,
        );
        SignedTarget { url: endpoint.to_string(), target }
    }
}

/// The `Date` of an answer that no cache has kept.
fn own_date(answer: &Response<'_>) -> Option<OffsetDateTime> {
    answer.header("date").filter(|_| answer.header("age").is_none()).and_then(parse_date)
}

fn as_header(header: &crate::cli::Header) -> Header<'_> {
    (&header.name, header.value.expose())
}

fn is_changed_on_the_way(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CHANGED_ON_THE_WAY.contains(&name.as_str())
        || name.starts_with("x-forwarded-")
        || name.starts_with("sec-")
}

/// What every request of a session repeats.
pub(crate) fn session_headers(session: &Session) -> impl Iterator<Item = Header<'_>> {
    let id = session.id().map(|id| ("mcp-session-id", id));
    let version = session.version().map(|version| ("mcp-protocol-version", version));
    id.into_iter().chain(version)
}

/// By which AWS finds the request again.
pub(crate) fn request_id<'a>(answer: &'a Response<'_>) -> Option<&'a str> {
    ["x-amzn-requestid", "x-amzn-request-id", "x-amz-request-id", "apigw-requestid"]
        .iter()
        .find_map(|name| answer.header(name))
}
