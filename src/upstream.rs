//! `Upstream::exchange`: one message out, signed; its messages back, in order, as they arrive.

use crate::answer::{Refusal, SignedWith};
use crate::clock;
use crate::credentials::{CredentialCache, Credentials};
use crate::endpoint::Endpoint;
use crate::envelope::Envelope;
use crate::error::{Error, Kind};
use crate::event_stream::EventStream;
use crate::http::{Answer, Cancel, Http, Request, read_error};
use crate::log::Log;
use crate::message::{Id, Incoming, Message, Sort, one_line};
use crate::options::{self, Options};
use crate::relay::{Deliver, Interruption, Line, Progress, Relay, is_event_stream};
use crate::session::Session;
use crate::signing::{self, Header, PathRule, Payload, PayloadRule, Signer, Target};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// An error body is read up to this size.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// A notification holds up what follows it, so it may not take forever.
const NOTIFICATION_LIMIT: Duration = Duration::from_secs(30);

/// A stream that was interrupted is taken up after this time, unless the server asks for another.
const RESUME_WAIT: Duration = Duration::from_secs(1);
const LONGEST_RESUME_WAIT: Duration = Duration::from_secs(60);

/// After so many attempts in a row that brought nothing, the answer is given up.
const RESUME_PATIENCE: u32 = 5;

/// What the end of the session may cost when the process ends.
const FAREWELL_LIMIT: Duration = Duration::from_millis(500);

/// The user's headers with these names are sent but not signed: hops between us and AWS may change them.
const CHANGED_ON_THE_WAY: [&str; 7] =
    ["cache-control", "cookie", "forwarded", "origin", "pragma", "referer", "via"];

/// How a standing stream ended.
#[derive(Debug)]
pub enum Listened {
    /// The server has no such stream (any 4xx, 501).
    NotOffered,
    /// The stream ended; what it asked for.
    Ended { last_id: Option<String>, retry: Option<Duration>, any_event: bool },
}

/// The server, and everything that is needed to talk to it.
#[derive(Debug)]
pub struct Upstream {
    http: Http,
    credentials: CredentialCache,
    signer: Signer,
    url: String,
    target: Target,
    payload_rule: PayloadRule,
    /// The user's own headers: first those that are signed, then those that are not.
    signed_headers: Vec<options::Header>,
    unsigned_headers: Vec<options::Header>,
    service: String,
    region: String,
    timeout: Option<Duration>,
    tool_timeout: Option<Duration>,
    max_message_bytes: usize,
    session: RwLock<Session>,
    log: Log,
}

impl Upstream {
    pub fn new(options: &Options, http: Http, credentials: CredentialCache, log: Log) -> Upstream {
        let endpoint: &Endpoint = &options.endpoint;
        let (unsigned_headers, signed_headers) =
            options.headers.iter().cloned().partition(|header| is_changed_on_the_way(&header.name));
        let path_rule = PathRule::of_service(&options.service);
        let payload_rule = match PayloadRule::of_service(&options.service) {
            _ if options.unsigned_payload => PayloadRule::Unsigned,
            PayloadRule::Unsigned => PayloadRule::HashedInHeader,
            rule => rule,
        };
        Upstream {
            http,
            credentials,
            signer: Signer::new(options.algorithm, &options.region, &options.service),
            url: endpoint.to_string(),
            target: Target::new(
                &endpoint.authority(),
                endpoint.path(),
                endpoint.query(),
                path_rule,
            ),
            payload_rule,
            signed_headers,
            unsigned_headers,
            service: options.service.clone(),
            region: options.region.clone(),
            timeout: options.timeout,
            tool_timeout: options.tool_timeout,
            max_message_bytes: options.max_message_bytes,
            session: RwLock::default(),
            log,
        }
    }

    /// Sends the message and hands out what comes back. For a request `Ok` means that its answer was among it.
    pub fn exchange(
        &self,
        message: &Message,
        cancel: &Cancel,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let payload = Payload::of(message.body(), self.payload_rule);
        let is_initialize = message.id().is_some() && message.method() == Some("initialize");
        // A request that speaks for itself has no session; nor has the one that begins it.
        let has_session = !is_initialize && message.envelope().is_none();
        let session = if has_session { self.session() } else { Session::default() };
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        headers.extend(session_headers(&session));
        headers.extend(message.envelope().into_iter().flat_map(Envelope::headers));

        let credentials = self.credentials()?;
        let outgoing = Outgoing {
            method: "POST",
            headers: &headers,
            body: message.body(),
            payload: &payload,
            deadline: self.limit(message).and_then(|limit| started.checked_add(limit)),
            is_stream: false,
        };
        let answer = self.send(&outgoing, &credentials, cancel)?;
        self.log.debug(format_args!(
            "{} {}: HTTP {} after {} ms",
            message.method().unwrap_or("response"),
            message.id().map_or("", Id::as_json),
            answer.status(),
            started.elapsed().as_millis()
        ));
        if !(200..300).contains(&answer.status()) {
            return self.refused(message, answer, &credentials, deliver);
        }
        if message.envelope().is_none() {
            self.session_mut(|session| {
                session.learn_id(answer.header("mcp-session-id"), is_initialize);
            });
        }
        match message.sort() {
            Sort::Request { id, .. } => {
                let new_session = is_initialize.then_some(&self.session);
                let mut relay = self.relay(Some(id), new_session, deliver);
                let result = relay.take_answer(answer);
                // Since 2026-07-28 a broken stream has lost its request.
                if message.envelope().is_some() {
                    return result;
                }
                self.resume(result, &mut relay, outgoing.deadline, cancel)
            }
            Sort::Notification { .. } | Sort::Response => {
                // What a server sends here says nothing; read, so that the connection can serve again.
                let mut answer = answer;
                answer.read_beginning(4096);
                Ok(())
            }
        }
    }

    /// Takes up a stream that ended before the answer came, as often as it takes and is of use.
    fn resume(
        &self,
        mut result: Result<(), Error>,
        relay: &mut Relay<'_, '_>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let mut in_vain = 0;
        let mut waiting = relay.interruption();
        while let Some(interruption) = waiting.take() {
            in_vain = if interruption.any_event { 0 } else { in_vain + 1 };
            let wait = interruption.retry.unwrap_or(RESUME_WAIT).min(LONGEST_RESUME_WAIT);
            let is_too_late = deadline.is_some_and(|deadline| Instant::now() + wait >= deadline);
            if in_vain > RESUME_PATIENCE || is_too_late {
                break;
            }
            if cancel.sleep(wait) {
                return Err(Error::new(Kind::Cancelled, "the call was cancelled"));
            }
            match self.get_stream(Some(&interruption.last_id), deadline, false, cancel) {
                Ok(answer) if answer.status() == 200 && is_event_stream(&answer) => {
                    result = relay.take_answer(answer);
                    waiting = relay.interruption();
                }
                Ok(answer) if answer.status() < 500 => break,
                Ok(_) | Err(_) => waiting = Some(Interruption { any_event: false, ..interruption }),
            }
        }
        result
    }

    /// Opens the standing stream of servers before 2026-07-28 and hands out its messages until it ends.
    pub fn listen(
        &self,
        last_id: Option<&str>,
        cancel: &Cancel,
        deliver: &mut Deliver<'_>,
    ) -> Result<Listened, Error> {
        let answer = self.get_stream(last_id, None, true, cancel)?;
        let status = answer.status();
        self.log.debug(format_args!("GET stream: HTTP {status}"));
        if (400..500).contains(&status) || status == 501 {
            return Ok(Listened::NotOffered);
        }
        if status != 200 || !is_event_stream(&answer) {
            return Err(Error::new(
                Kind::Refused(status),
                format!("the GET stream was answered with HTTP {status}"),
            ));
        }
        let mut relay = self.relay(None, None, deliver);
        let mut events = EventStream::new(answer, self.max_message_bytes, read_error);
        let mut any_event = false;
        // A stream that breaks has ended: what it asked for still counts.
        while let Ok(Some(event)) = events.next_event() {
            any_event = true;
            if event.name.is_empty() || event.name == "message" {
                relay.take_event(event.data)?;
            }
        }
        if cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "the stream was closed"));
        }
        let last_id = events.last_id().or(last_id).map(str::to_owned);
        Ok(Listened::Ended { last_id, retry: events.retry(), any_event })
    }

    fn get_stream<'a>(
        &'a self,
        last_id: Option<&str>,
        deadline: Option<Instant>,
        is_stream: bool,
        cancel: &'a Cancel,
    ) -> Result<Answer<'a>, Error> {
        let session = self.session();
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(session_headers(&session));
        headers.extend(last_id.map(|id| ("last-event-id", id)));
        let payload = Payload::of(b"", self.payload_rule);
        let outgoing = Outgoing {
            method: "GET",
            headers: &headers,
            body: b"",
            payload: &payload,
            deadline,
            is_stream,
        };
        self.send(&outgoing, &*self.credentials()?, cancel)
    }

    /// Tells the server that the session is over, if there is one. Best effort.
    pub fn end_session(&self) {
        let session = self.session();
        if session.id().is_none() {
            return;
        }
        let Ok(credentials) = self.credentials() else { return };
        let headers: Vec<Header<'_>> = session_headers(&session).collect();
        let payload = Payload::of(b"", self.payload_rule);
        let outgoing = Outgoing {
            method: "DELETE",
            headers: &headers,
            body: b"",
            payload: &payload,
            deadline: Instant::now().checked_add(FAREWELL_LIMIT),
            is_stream: false,
        };
        match self.send(&outgoing, &credentials, &Cancel::default()) {
            Ok(answer) => self.log.debug(format_args!("DELETE session: HTTP {}", answer.status())),
            Err(error) => self.log.debug(format_args!("DELETE session: {error}")),
        }
    }

    /// Whether a server before 2026-07-28 has answered `initialize`.
    pub fn has_session(&self) -> bool {
        self.session().version().is_some()
    }

    /// The credentials to sign with now, or why there are none.
    pub fn credentials(&self) -> Result<Arc<Credentials>, Error> {
        let credentials = self.credentials.get(clock::now());
        for warning in self.credentials.take_warnings() {
            self.log.warn(warning);
        }
        credentials.map_err(|error| {
            if error.kind() == Kind::Cancelled {
                return error;
            }
            Error::new(Kind::Credentials, format!("failed to load AWS credentials: {error}")).hint(
                "ensure AWS credentials are configured via environment variables, ~/.aws/credentials, or IAM role",
            )
        })
    }

    fn send<'a>(
        &'a self,
        outgoing: &Outgoing<'_>,
        credentials: &Credentials,
        cancel: &'a Cancel,
    ) -> Result<Answer<'a>, Error> {
        let mut headers = outgoing.headers.to_vec();
        headers.extend(self.signed_headers.iter().map(as_header));
        let request = signing::Request {
            method: outgoing.method,
            target: &self.target,
            headers: &headers,
            payload: outgoing.payload,
        };
        // The clock is read once, at the last moment: date and scope must agree also around midnight.
        let signed = self.signer.sign(&request, &credentials.key, clock::now());
        headers.extend(self.unsigned_headers.iter().map(as_header));
        headers.extend(signed.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let request = Request {
            method: outgoing.method,
            url: &self.url,
            headers: &headers,
            body: outgoing.body,
            deadline: outgoing.deadline,
            is_stream: outgoing.is_stream,
        };
        self.http.send(&request, cancel)
    }

    /// A JSON-RPC error body is the server's answer; anything else is put into words.
    fn refused(
        &self,
        message: &Message,
        mut answer: Answer<'_>,
        credentials: &Credentials,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), Error> {
        let body = answer.read_beginning(MAX_ERROR_BYTES);
        let body = without_secrets(&String::from_utf8_lossy(&body), credentials);
        if let Some(id) = message.id()
            && let Some(line) = Incoming::error_body(&body, id)
        {
            return deliver(Line {
                bytes: one_line(line.into_bytes()),
                is_answer: true,
                is_last: true,
            });
        }
        let request_id =
            ["x-amzn-requestid", "x-amzn-request-id", "x-amz-request-id", "apigw-requestid"]
                .iter()
                .find_map(|name| answer.header(name));
        let refusal = Refusal {
            status: answer.status(),
            error_type: answer.header("x-amzn-errortype"),
            request_id,
            location: answer.header("location"),
            body: body.as_bytes(),
        };
        let identity = format!("key {} from {}", credentials.key.masked_id(), credentials.source);
        let signed =
            SignedWith { service: &self.service, region: &self.region, identity: &identity };
        Err(refusal.in_words(&signed))
    }

    fn relay<'a, 'd>(
        &'a self,
        id: Option<&'a Id>,
        new_session: Option<&'a RwLock<Session>>,
        deliver: &'a mut Deliver<'d>,
    ) -> Relay<'a, 'd> {
        let (max_message_bytes, log) = (self.max_message_bytes, &self.log);
        Relay { id, new_session, max_message_bytes, log, deliver, progress: Progress::default() }
    }

    fn limit(&self, message: &Message) -> Option<Duration> {
        match message.sort() {
            Sort::Request { method, .. } if method == "tools/call" => {
                [self.timeout, self.tool_timeout].into_iter().flatten().min()
            }
            Sort::Request { .. } => self.timeout,
            Sort::Notification { .. } | Sort::Response => Some(NOTIFICATION_LIMIT),
        }
    }

    fn session(&self) -> Session {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn session_mut(&self, change: impl FnOnce(&mut Session)) {
        change(&mut self.session.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A request before it is signed.
struct Outgoing<'a> {
    method: &'a str,
    headers: &'a [Header<'a>],
    body: &'a [u8],
    payload: &'a Payload,
    deadline: Option<Instant>,
    is_stream: bool,
}

fn as_header(header: &options::Header) -> Header<'_> {
    (&header.name, header.value.expose())
}

fn is_changed_on_the_way(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CHANGED_ON_THE_WAY.contains(&name.as_str())
        || name.starts_with("x-forwarded-")
        || name.starts_with("sec-")
}

fn session_headers(session: &Session) -> impl Iterator<Item = Header<'_>> {
    let id = session.id().map(|id| ("mcp-session-id", id));
    let version = session.version().map(|version| ("mcp-protocol-version", version));
    id.into_iter().chain(version)
}

/// AWS echoes what it was sent in some of its errors.
fn without_secrets(text: &str, credentials: &Credentials) -> String {
    let mut text = text.to_owned();
    let key = &credentials.key;
    for secret in std::iter::once(&key.secret).chain(&key.token) {
        if text.contains(secret.expose()) {
            text = text.replace(secret.expose(), "…");
        }
    }
    text
}
