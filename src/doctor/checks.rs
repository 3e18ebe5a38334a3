//! `sigv4-proxy doctor`: everything that has to be right, looked at in the order in which it is needed.
//!
//! What the proxy does is looked at through the proxy's own parts; only the way to the server is gone step by step.
//! What is printed may be shown to anybody: no secret is in it.

use crate::cli::Options;
use crate::clock;
use crate::credentials::{CredentialCache, Credentials};
use crate::doctor::report::Style;
use crate::doctor::report::{Check, Finding, Report, Verdict};
use crate::error::{Error, Kind};
use crate::http::Handshake;
use crate::mcp::message::Message;
use crate::redact::Redactor;
use crate::streamable_http::exchange::Exchanger;
use crate::streamable_http::relayed::Relayed;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use time::format_description::well_known::Rfc3339;

/// AWS takes signatures that are off by less than five minutes, some services less than fifteen.
const CLOCK_FAILS: i64 = 5 * 60;
const CLOCK_WARNS: i64 = 60;

/// A certificate that ends sooner is worth a word.
const CERTIFICATE_WARNS: Duration = Duration::from_secs(7 * 24 * 3600);

/// Clients wait about so long for the first answer.
const SLOW_START: Duration = Duration::from_secs(10);

/// How long the end of the session may take.
const SESSION_DELETE_TIMEOUT: Duration = Duration::from_millis(500);

/// Lists are read up to so many pages.
const MOST_PAGES: usize = 50;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"doctor-1","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"sigv4-proxy doctor","version":"VERSION"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"sigv4-proxy doctor","version":"VERSION"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// The parts that are looked at.
#[derive(Debug)]
pub struct Doctor<'a> {
    pub options: &'a Options,
    /// What is wrong with the options already.
    pub problems: &'a [Error],
    /// What is wrong with the variables that name proxies.
    pub proxy_problems: &'a [Error],
    pub credentials: &'a CredentialCache,
    /// Knows what must not be printed.
    pub redactor: &'a Redactor,
    pub exchanger: &'a Arc<Exchanger>,
    /// Exchanges that may still be under way: the stream of an old server lasts as long as its session.
    pub under_way: Mutex<Vec<Arc<Cancel>>>,
}

/// How hard an answer is tried for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    Once,
    AsTheProxyDoes,
}

/// The server, as far as it has answered.
struct Server {
    /// The result of `initialize` or `server/discover`.
    hello: Value,
    /// It takes no session (2026-07-28).
    is_modern: bool,
}

/// How long the steps took.
#[derive(Default)]
struct Times {
    lookup: Option<Duration>,
    connect: Option<Duration>,
    handshake: Option<Duration>,
    initialize: Option<Duration>,
    list: Option<Duration>,
}

impl Doctor<'_> {
    /// Looks at everything and prints what it finds. Whether nothing failed.
    pub fn run(&self, out: &mut dyn Write, style: Style) -> io::Result<bool> {
        let mut report = Report::begin(out, style, self.redactor)?;
        report.add(self.configuration())?;
        let (finding, credentials) = self.look_for_credentials();
        report.add(finding)?;
        report.add(match &credentials {
            Some(credentials) => self.identity(credentials),
            None => skipped(Check::Identity, "there are no credentials"),
        })?;
        let moot = (!self.problems.is_empty()).then_some("the configuration is not complete");
        let mut times = Times::default();
        let moot = match moot {
            Some(why) => {
                for check in [Check::Proxy, Check::Dns, Check::Tcp, Check::Tls] {
                    report.add(skipped(check, why))?;
                }
                Some(why)
            }
            None => self.way(&mut report, &mut times)?,
        };
        let moot = moot.or(credentials.is_none().then_some("there are no credentials"));
        let server = self.session(&mut report, moot, &mut times)?;
        report.add(match (&server, moot) {
            (_, Some(why)) => skipped(Check::Latency, why),
            (_, None) => latency(&times),
        })?;
        self.exchanger.end_session(Instant::now() + SESSION_DELETE_TIMEOUT);
        for cancel in lock(&self.under_way).drain(..) {
            cancel.cancel();
        }
        report.end()
    }

    fn configuration(&self) -> Finding {
        let Options { origins, .. } = self.options;
        if !self.problems.is_empty() {
            let count = self.problems.len();
            let plural = if count == 1 { "" } else { "s" };
            let found = format!("{count} problem{plural}");
            let details = self.problems.iter().map(ToString::to_string).collect();
            let finding = Finding::new(Check::Configuration, Verdict::Fail, found)
                .details(details)
                .mend("see sigv4-proxy --help and docs/configuration.md");
            let has_target = !origins.endpoint.is_empty();
            return if has_target {
                finding
            } else {
                finding.why("nothing can be sent without it")
            };
        }
        let options = self.options;
        let mut details = vec![format!(
            "{}: service {} [{}], region {} [{}]",
            options.algorithm.name(),
            options.service,
            origins.service,
            options.region,
            origins.region
        )];
        if !options.profiles.is_empty() {
            details.push(format!("profiles: {}", options.profiles.join(", ")));
        }
        if let Some(role) = &options.role {
            details.push(format!("role to assume: {}", role.arn));
        }
        if !options.headers.is_empty() {
            let names: Vec<&str> = options.headers.iter().map(|h| h.name.as_str()).collect();
            details.push(format!("headers of yours: {}", names.join(", ")));
        }
        if let Some((path, named_by)) = &options.ca_bundle {
            details.push(format!("CA bundle: {} [{named_by}]", path.display()));
        }
        let found = format!("{} [{}]", options.endpoint, origins.endpoint);
        if options.notes.is_empty() && options.warnings.is_empty() {
            return Finding::new(Check::Configuration, Verdict::Pass, found).details(details);
        }
        details.extend(options.notes.iter().map(|note| format!("note: {note}")));
        details.extend(options.warnings.iter().map(|warning| format!("warning: {warning}")));
        Finding::new(Check::Configuration, Verdict::Warn, found)
            .details(details)
            .mend("if this is not intended, correct the flag, the variable or the setting")
    }

    fn look_for_credentials(&self) -> (Finding, Option<std::sync::Arc<Credentials>>) {
        let deadline = self.options.timeout.and_then(|limit| Instant::now().checked_add(limit));
        let found = self.exchanger.client().credentials(deadline, &Cancel::default());
        let passed_over = self.credentials.passed_over();
        let before = |told: &str| -> Vec<String> {
            let new = passed_over.iter().filter(|why| !told.contains(why.as_str()));
            new.map(|why| format!("before that, {why}")).collect()
        };
        let warnings = self.credentials.warnings();
        let warned = warnings.iter().map(|warning| format!("warning: {warning}"));
        match found {
            Ok(credentials) => {
                let verdict = if warnings.is_empty() { Verdict::Pass } else { Verdict::Warn };
                let finding = Finding::new(Check::Credentials, verdict, credentials.summary());
                let details = before("").into_iter().chain(warned).collect();
                (finding.details(details), Some(credentials))
            }
            Err(error) => {
                let finding = Finding::of_error(Check::Credentials, Verdict::Fail, &error);
                let details = before(error.message()).into_iter().chain(warned).collect();
                (finding.details(details), None)
            }
        }
    }

    fn identity(&self, credentials: &Arc<Credentials>) -> Finding {
        let (told, answer) = channel();
        let (cache, credentials) = (self.credentials.clone(), Arc::clone(credentials));
        thread::spawn(move || told.send(cache.caller_identity(&credentials, clock::now())));
        let late = |_| Err(Error::new(Kind::TimedOut, "there is no answer within --timeout"));
        let identity = match self.options.timeout {
            Some(limit) => answer.recv_timeout(limit).unwrap_or_else(late),
            None => answer.recv().unwrap_or_else(|_| late(RecvTimeoutError::Disconnected)),
        };
        match identity {
            Ok(identity) => {
                let found = format!("{}, account {}", identity.arn, identity.account);
                Finding::new(Check::Identity, Verdict::Pass, found)
            }
            // Only an answer of STS says something of the key.
            Err(error) if matches!(error.kind(), Kind::HttpStatus(400..=499)) => {
                Finding::of_error(Check::Identity, Verdict::Fail, &error.context("STS"))
            }
            Err(error) => {
                let error = error.context("STS cannot be asked");
                Finding::of_error(Check::Identity, Verdict::Warn, &error).mend(
                    "none is needed where STS is out of reach by intent; AWS_ENDPOINT_URL_STS names another endpoint",
                )
            }
        }
    }

    /// From here to an encrypted connection. Why there is none, in the words for later checks.
    fn way(&self, report: &mut Report<'_>, times: &mut Times) -> io::Result<Option<&'static str>> {
        let probe = self.exchanger.client().probe();
        let route = self.proxy_problems.first().map_or_else(|| probe.route(), |e| Err(e.clone()));
        match route {
            Ok(route) => report.add(Finding::new(Check::Proxy, Verdict::Pass, route))?,
            Err(error) => {
                report.add(Finding::of_error(Check::Proxy, Verdict::Fail, &error))?;
                for check in [Check::Dns, Check::Tcp, Check::Tls] {
                    report.add(skipped(check, NO_SUCH_PROXY))?;
                }
                return Ok(Some(NO_SUCH_PROXY));
            }
        }

        let started = Instant::now();
        let addresses = match probe.addresses() {
            Ok(addresses) => addresses,
            Err(error) => {
                report.add(Finding::of_error(Check::Dns, Verdict::Fail, &error))?;
                report.add(skipped(Check::Tcp, NOT_FOUND))?;
                report.add(skipped(Check::Tls, NOT_FOUND))?;
                return Ok(Some(NOT_FOUND));
            }
        };
        times.lookup = Some(started.elapsed());
        let (host, _) = probe.next_hop();
        let shown: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
        let found = format!("{host} is {}", shown.join(", "));
        report.add(Finding::new(Check::Dns, Verdict::Pass, found))?;

        let started = Instant::now();
        let stream = match probe.connect(&addresses) {
            Ok((stream, address)) => {
                times.connect = Some(started.elapsed());
                let what = if probe.is_through_proxy() { " (the proxy)" } else { "" };
                let found = format!("connected to {address}{what}");
                report.add(Finding::new(Check::Tcp, Verdict::Pass, found))?;
                stream
            }
            Err(error) => {
                report.add(Finding::of_error(Check::Tcp, Verdict::Fail, &error))?;
                report.add(skipped(Check::Tls, NOT_REACHED))?;
                return Ok(Some(NOT_REACHED));
            }
        };

        let started = Instant::now();
        match probe.handshake(stream) {
            Ok(Some(handshake)) => {
                times.handshake = Some(started.elapsed());
                report.add(tls(&handshake))?;
                Ok(None)
            }
            Ok(None) => {
                report.add(if self.options.endpoint.is_https() {
                    skipped(Check::Tls, "the proxy is reached in a way that is not looked into")
                } else {
                    skipped(Check::Tls, "the URL is http")
                })?;
                Ok(None)
            }
            Err(error) => {
                report.add(Finding::of_error(Check::Tls, Verdict::Fail, &error))?;
                Ok(Some(NOT_TRUSTED))
            }
        }
    }

    /// The first message, what the server says of itself, its tools.
    fn session(
        &self,
        report: &mut Report<'_>,
        moot: Option<&'static str>,
        times: &mut Times,
    ) -> io::Result<Option<Server>> {
        if let Some(why) = moot {
            for check in [Check::Clock, Check::Initialize, Check::Server, Check::Tools] {
                report.add(skipped(check, why))?;
            }
            return Ok(None);
        }
        self.exchanger.client().watch_clock();
        let (initialize, server) = self.initialize(times);
        report.add(match self.exchanger.client().clock_behind() {
            Some(behind) => clock_finding(behind),
            None => skipped(Check::Clock, "the server does not tell its time"),
        })?;
        report.add(initialize)?;
        let Some(server) = server else {
            report.add(skipped(Check::Server, "initialize failed"))?;
            report.add(skipped(Check::Tools, "initialize failed"))?;
            return Ok(None);
        };
        report.add(server.finding())?;
        report.add(self.tools(&server, times))?;
        Ok(Some(server))
    }

    /// Once without any help; if that fails, the way the proxy does it.
    fn initialize(&self, times: &mut Times) -> (Finding, Option<Server>) {
        let started = Instant::now();
        let first_error = match self.ask(INITIALIZE, Effort::Once) {
            Ok(hello) => {
                times.initialize = Some(started.elapsed());
                let found = format!("answered after {}", shown(started.elapsed()));
                let finding = Finding::new(Check::Initialize, Verdict::Pass, found);
                return (finding, Some(self.begun(hello)));
            }
            Err(error) => error,
        };
        if let Ok(hello) = self.ask(INITIALIZE, Effort::AsTheProxyDoes) {
            let mut finding = Finding::of_error(Check::Initialize, Verdict::Warn, &first_error);
            finding.details.push("the proxy found out by itself what to do about it".to_owned());
            return (finding, Some(self.begun(hello)));
        }
        let discover = format!(
            r#"{{"jsonrpc":"2.0","id":"doctor-2","method":"server/discover","params":{{{META}}}}}"#
        );
        // A server that takes any method for its own would answer as well, but without a version.
        if first_error.kind() == Kind::InvalidResponse
            && let Ok(hello) = self.ask(&discover, Effort::Once)
            && hello["supportedVersions"].as_array().is_some_and(|versions| !versions.is_empty())
        {
            let found = "no session is needed: the server answers server/discover (2026-07-28)";
            let finding = Finding::new(Check::Initialize, Verdict::Pass, found);
            return (finding, Some(Server { hello, is_modern: true }));
        }
        (Finding::of_error(Check::Initialize, Verdict::Fail, &first_error), None)
    }

    fn begun(&self, hello: Value) -> Server {
        // What it could bring is seen at the next request.
        let (initialized, cancel) = (message(INITIALIZED), Cancel::default());
        let deadline = self.exchanger.deadline(&initialized);
        let _ = self.exchanger.exchange(&initialized, deadline, &cancel, &mut |_| Ok(()));
        Server { hello, is_modern: false }
    }

    fn tools(&self, server: &Server, times: &mut Times) -> Finding {
        if server.hello["capabilities"]["tools"].is_null() {
            return skipped(Check::Tools, "the server offers none");
        }
        let meta = if server.is_modern { META } else { r#""_meta":{}"# };
        let started = Instant::now();
        let mut count = 0;
        let mut cursor = Value::Null;
        for page in 0..MOST_PAGES {
            let cursor_member =
                if cursor.is_null() { String::new() } else { format!(r#""cursor":{cursor},"#) };
            let list = format!(
                r#"{{"jsonrpc":"2.0","id":"doctor-list-{page}","method":"tools/list","params":{{{cursor_member}{meta}}}}}"#
            );
            match self.ask(&list, Effort::AsTheProxyDoes) {
                Ok(mut listed) => {
                    count += listed["tools"].as_array().map_or(0, Vec::len);
                    cursor = listed["nextCursor"].take();
                }
                Err(error) => return Finding::of_error(Check::Tools, Verdict::Fail, &error),
            }
            times.list.get_or_insert_with(|| started.elapsed());
            if cursor.is_null() {
                break;
            }
        }
        let found = format!("{count} listed in {}", shown(started.elapsed()));
        Finding::new(Check::Tools, Verdict::Pass, found)
    }

    /// The result of a request, as soon as it is there.
    fn ask(&self, line: &str, effort: Effort) -> Result<Value, Error> {
        let (told, answer) = channel();
        let cancel = Cancel::new();
        lock(&self.under_way).push(Arc::clone(&cancel));
        let (exchanger, message) = (Arc::clone(self.exchanger), message(line));
        thread::spawn(move || {
            let mut deliver = |delivery| {
                // Answers count; what the server says beside them does not.
                if let Relayed::Line(line) = delivery
                    && !line.answers.is_empty()
                {
                    let _ = told.send(result_of(&line.bytes));
                }
                Ok(())
            };
            let result = match effort {
                Effort::Once => exchanger.try_once(&message, &cancel, &mut deliver),
                Effort::AsTheProxyDoes => {
                    let deadline = exchanger.deadline(&message);
                    exchanger.exchange(&message, deadline, &cancel, &mut deliver)
                }
            };
            if let Err(error) = result {
                let _ = told.send(Err(error));
            }
        });
        answer.recv().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "there is no answer")))
    }
}

impl Server {
    fn finding(&self) -> Finding {
        let hello = &self.hello;
        let info = if hello["serverInfo"].is_object() {
            &hello["serverInfo"]
        } else {
            &hello["_meta"]["io.modelcontextprotocol/serverInfo"]
        };
        let text = |value: &Value| value.as_str().unwrap_or("unnamed").to_owned();
        let version = match &hello["protocolVersion"] {
            Value::String(version) => version.clone(),
            _ => hello["supportedVersions"]
                .as_array()
                .map(|versions| versions.iter().map(text).collect::<Vec<_>>().join(", "))
                .unwrap_or_default(),
        };
        let found = format!("{} {}, MCP {version}", text(&info["name"]), text(&info["version"]));
        let offers: Vec<&str> = hello["capabilities"]
            .as_object()
            .map(|members| members.keys().map(String::as_str).collect())
            .unwrap_or_default();
        if version.is_empty() {
            return Finding::new(
                Check::Server,
                Verdict::Warn,
                "its answer names no version of MCP",
            )
            .mend("is this the URL of an MCP endpoint?");
        }
        let finding = Finding::new(Check::Server, Verdict::Pass, found);
        finding.details(vec![format!("offers: {}", offers.join(", "))])
    }
}

const NO_SUCH_PROXY: &str = "the proxy cannot be used";
const NOT_FOUND: &str = "the host was not found";
const NOT_REACHED: &str = "the server is not reached";
const NOT_TRUSTED: &str = "there is no TLS connection";

fn skipped(check: Check, why: &str) -> Finding {
    Finding::new(check, Verdict::Skip, why)
}

fn tls(handshake: &Handshake) -> Finding {
    let Handshake { version, cipher_suite, issuers, expires, is_public } = handshake;
    let until = expires.and_then(|time| time.format(&Rfc3339).ok());
    let found =
        format!("{version} {cipher_suite}, certificate until {}", until.unwrap_or_default());
    let trust = if *is_public {
        "trusted by Mozilla's roots"
    } else {
        "a private authority, trusted by the system's or your own CA bundle"
    };
    let details = vec![format!("issued by {}: {trust}", issuers.join(" ← "))];
    let ends_soon = expires.is_some_and(|time| time < clock::now() + CERTIFICATE_WARNS);
    if ends_soon {
        Finding::new(Check::Tls, Verdict::Warn, found)
            .details(details)
            .mend("the certificate ends soon: have the server's renewed")
    } else {
        Finding::new(Check::Tls, Verdict::Pass, found).details(details)
    }
}

fn clock_finding(behind: i64) -> Finding {
    let (seconds, side) = (behind.abs(), if behind < 0 { "ahead of" } else { "behind" });
    let verdict = match seconds {
        0..CLOCK_WARNS => Verdict::Pass,
        CLOCK_WARNS..CLOCK_FAILS => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let found = match seconds {
        0..=1 => "that of this machine and the server's agree".to_owned(),
        _ => format!("that of this machine is {seconds} s {side} the server's"),
    };
    let finding = Finding::new(Check::Clock, verdict, found);
    match verdict {
        Verdict::Pass => finding,
        _ => finding.mend(
            "set it by NTP: timedatectl set-ntp true (Linux), sudo sntp -sS time.apple.com (macOS), w32tm /resync (Windows)",
        ),
    }
}

fn latency(times: &Times) -> Finding {
    let steps = [
        ("DNS", times.lookup),
        ("TCP", times.connect),
        ("TLS", times.handshake),
        ("initialize (new connection)", times.initialize),
        ("tools/list (kept connection)", times.list),
    ];
    let steps: Vec<String> = steps
        .iter()
        .filter_map(|(name, time)| Some(format!("{name} {}", shown((*time)?))))
        .collect();
    let is_slow = times.initialize.is_some_and(|time| time > SLOW_START);
    let found = steps.join(", ");
    if is_slow {
        Finding::new(Check::Latency, Verdict::Warn, found)
            .mend("raise the client's time limit for starting servers (Claude Code: MCP_TIMEOUT)")
    } else {
        Finding::new(Check::Latency, Verdict::Pass, found)
    }
}

fn shown(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn message(line: &str) -> Message {
    let line = line.replace("VERSION", env!("CARGO_PKG_VERSION"));
    Message::parse(line.into_bytes()).expect("it is written here")
}

fn result_of(line: &[u8]) -> Result<Value, Error> {
    let mut answer: Value = serde_json::from_slice(line).unwrap_or_default();
    let error = &answer["error"];
    if error.is_null() {
        return Ok(answer["result"].take());
    }
    let text = error["message"].as_str().unwrap_or_default();
    let what = format!("the server answered with error {}: {text}", error["code"]);
    Err(Error::new(Kind::InvalidResponse, what))
}
