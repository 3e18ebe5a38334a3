//! The checks of an MCP session: clock, initialize, server, tools.

use crate::bridge::facts::MODERN_VERSION;
use crate::cli::BridgeMode;
use crate::doctor::latency::{Latency, milliseconds};
use crate::doctor::report::{Check, Finding, Report, Verdict};
use crate::error::{Error, Kind};
use crate::mcp::message::Message;
use crate::streamable_http::exchange::Exchanger;
use crate::streamable_http::relayed::Relayed;
use crate::sync::cancel::Cancel;
use crate::sync::{channel, spawn};
use serde_json::Value;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Clock skew in seconds from which AWS refuses signatures; some services allow 15 minutes.
const CLOCK_FAILURE: i64 = 5 * 60;

/// Clock skew in seconds from which the check warns.
const CLOCK_WARNING: i64 = 60;

/// Timeout for the end of the session.
const SESSION_DELETE_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum number of pages of `tools/list`.
const MAX_PAGES: usize = 50;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"doctor-1","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"sigv4-proxy doctor","version":"VERSION"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"sigv4-proxy doctor","version":"VERSION"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A session with the server.
pub(crate) struct Session<'a> {
    exchanger: &'a Arc<Exchanger>,
    bridge: BridgeMode,
    /// Exchanges that may still be in progress: the stream of HTTP+SSE lasts as long as its session.
    exchanges: Vec<Arc<Cancel>>,
    /// Some response came in an event stream.
    has_streams: bool,
}

/// Handling of failures of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    Once,
    /// Retries and recovers as the proxy does.
    LikeProxy,
}

/// Response of the server to the first message.
struct Server {
    /// The result of `initialize` or `server/discover`.
    hello: Value,
    /// It has no sessions (2026-07-28).
    is_sessionless: bool,
    /// It supports requests of 2026-07-28.
    is_modern: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(exchanger: &'a Arc<Exchanger>, bridge: BridgeMode) -> Session<'a> {
        Session { exchanger, bridge, exchanges: Vec::new(), has_streams: false }
    }

    /// Adds the findings to the report.
    pub(crate) fn check(
        &mut self,
        report: &mut Report<'_>,
        latency: &mut Latency,
    ) -> io::Result<()> {
        self.exchanger.client().watch_clock();
        let (initialize, server) = self.initialize(latency);
        report.add(match self.exchanger.client().clock_behind() {
            Some(behind) => clock_finding(behind),
            None => Finding::skipped(Check::Clock, "the server sends no Date header"),
        })?;
        report.add(initialize)?;
        let Some(server) = server else {
            return report.skip(&[Check::Server, Check::Tools], "initialize failed");
        };
        report.add(server.finding(self.bridge))?;
        let tools = self.tools(&server, latency);
        report.add(self.with_note_on_streams(tools))
    }

    /// Ends the session and its exchanges.
    pub(crate) fn end(self) {
        self.exchanger.end_session(Instant::now() + SESSION_DELETE_TIMEOUT);
        for exchange in self.exchanges {
            exchange.cancel();
        }
    }

    /// Sends `initialize` once without retries and, if that fails, as the proxy does.
    fn initialize(&mut self, latency: &mut Latency) -> (Finding, Option<Server>) {
        let started = Instant::now();
        let first_error = match self.request(INITIALIZE, Effort::Once) {
            Ok(hello) => {
                latency.initialize = Some(started.elapsed());
                let found = format!("responded in {}", milliseconds(started.elapsed()));
                let finding = Finding::new(Check::Initialize, Verdict::Pass, found);
                return (finding, Some(self.finish_initialize(hello)));
            }
            Err(error) => error,
        };
        if let Ok(hello) = self.request(INITIALIZE, Effort::LikeProxy) {
            let mut finding = Finding::of_error(Check::Initialize, Verdict::Warn, &first_error);
            finding
                .details
                .push("sigv4-proxy corrects this automatically, but fix the cause".to_owned());
            return (finding, Some(self.finish_initialize(hello)));
        }
        if refuses(&first_error)
            && let Some(hello) = self.discover()
        {
            let found = "no session needed: the server supports server/discover (2026-07-28)";
            let finding = Finding::new(Check::Initialize, Verdict::Pass, found);
            return (finding, Some(Server { hello, is_sessionless: true, is_modern: true }));
        }
        (Finding::of_error(Check::Initialize, Verdict::Fail, &first_error), None)
    }

    /// The server's description of itself without a session (`server/discover`).
    fn discover(&mut self) -> Option<Value> {
        let discover = format!(
            r#"{{"jsonrpc":"2.0","id":"doctor-2","method":"server/discover","params":{{{META}}}}}"#
        );
        let hello = self.request(&discover, Effort::Once).ok()?;
        // A server that accepts any method would also respond, but without a version.
        let versions = hello["supportedVersions"].as_array();
        versions.is_some_and(|versions| !versions.is_empty()).then_some(hello)
    }

    /// Sends `notifications/initialized`. An error is ignored: it would recur with the next request.
    fn finish_initialize(&mut self, hello: Value) -> Server {
        let (initialized, cancel) = (message(INITIALIZED), Cancel::default());
        let deadline = self.exchanger.deadline(&initialized);
        let _ = self.exchanger.exchange(&initialized, deadline, &cancel, &mut |_| Ok(()));
        let is_modern = self.discover().is_some_and(|hello| {
            let versions = hello["supportedVersions"].as_array();
            versions
                .is_some_and(|versions| versions.iter().any(|version| version == MODERN_VERSION))
        });
        Server { hello, is_sessionless: false, is_modern }
    }

    fn tools(&mut self, server: &Server, latency: &mut Latency) -> Finding {
        if server.hello["capabilities"]["tools"].is_null() {
            return Finding::skipped(Check::Tools, "the server offers no tools");
        }
        let meta = if server.is_sessionless { META } else { r#""_meta":{}"# };
        let started = Instant::now();
        let mut count = 0;
        let mut cursor = Value::Null;
        for page in 0..MAX_PAGES {
            let cursor_member =
                if cursor.is_null() { String::new() } else { format!(r#""cursor":{cursor},"#) };
            let list = format!(
                r#"{{"jsonrpc":"2.0","id":"doctor-list-{page}","method":"tools/list","params":{{{cursor_member}{meta}}}}}"#
            );
            match self.request(&list, Effort::LikeProxy) {
                Ok(mut listed) => {
                    count += listed["tools"].as_array().map_or(0, Vec::len);
                    cursor = listed["nextCursor"].take();
                }
                Err(error) => return Finding::of_error(Check::Tools, Verdict::Fail, &error),
            }
            latency.list.get_or_insert_with(|| started.elapsed());
            if cursor.is_null() {
                break;
            }
        }
        let found = format!("{count} listed in {}", milliseconds(started.elapsed()));
        Finding::new(Check::Tools, Verdict::Pass, found)
    }

    /// Adds what it means if no response came in an event stream.
    fn with_note_on_streams(&self, tools: Finding) -> Finding {
        match self.exchanger.client().facts().without_streams {
            Some(note) if !self.has_streams && tools.verdict != Verdict::Fail => {
                tools.details(vec![format!("note: {note}")])
            }
            _ => tools,
        }
    }

    /// Sends a request and waits for its result, not for the end of its stream.
    fn request(&mut self, line: &str, effort: Effort) -> Result<Value, Error> {
        let (results, result) = channel();
        let cancel = Cancel::new();
        self.exchanges.push(Arc::clone(&cancel));
        let (exchanger, message) = (Arc::clone(self.exchanger), message(line));
        let _ = spawn("request", move || {
            let mut deliver = |relayed| {
                // Only the response counts, not the server's requests and notifications.
                if let Relayed::Line(line) = relayed
                    && !line.answers.is_empty()
                {
                    let _ = results.send((result_of(&line.bytes), !line.is_last));
                }
                Ok(())
            };
            let ended = match effort {
                Effort::Once => exchanger.try_once(&message, &cancel, &mut deliver),
                Effort::LikeProxy => {
                    let deadline = exchanger.deadline(&message);
                    exchanger.exchange(&message, deadline, &cancel, &mut deliver)
                }
            };
            if let Err(error) = ended {
                let _ = results.send((Err(error), false));
            }
        });
        let no_response = |_| (Err(Error::new(Kind::Internal, "no response")), false);
        let (result, is_stream) = result.recv().unwrap_or_else(no_response);
        self.has_streams |= is_stream;
        result
    }
}

impl Server {
    fn finding(&self, bridge: BridgeMode) -> Finding {
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
            return Finding::new(Check::Server, Verdict::Warn, "the response has no MCP version")
                .fix("check that the URL is an MCP endpoint");
        }
        let finding = Finding::new(Check::Server, Verdict::Pass, found);
        finding.details(vec![format!("offers: {}", offers.join(", ")), self.translation(bridge)])
    }

    /// Which clients the server does not understand, and whether they are translated for.
    fn translation(&self, bridge: BridgeMode) -> String {
        let clients = match (self.is_sessionless, self.is_modern) {
            (false, true) => {
                return "bridge: not needed, the server supports MCP 2026-07-28 and earlier revisions".into();
            }
            (true, _) => "clients of MCP before 2026-07-28",
            (false, false) => "clients of MCP 2026-07-28",
        };
        match bridge {
            BridgeMode::Off => format!("bridge: off, so {clients} cannot use this server"),
            BridgeMode::Auto if !self.is_sessionless => {
                format!(
                    "bridge: for {clients}; those that speak nothing older need --bridge always"
                )
            }
            BridgeMode::Auto | BridgeMode::Always => format!("bridge: for {clients}"),
        }
    }
}

/// Whether the server refused a request that it may not know.
fn refuses(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::InvalidResponse
            | Kind::HttpStatus(400 | 404 | 405 | 406 | 410 | 415 | 422 | 426 | 501)
    )
}

fn clock_finding(behind: i64) -> Finding {
    let (seconds, side) = (behind.abs(), if behind < 0 { "ahead of" } else { "behind" });
    let verdict = match seconds {
        0..CLOCK_WARNING => Verdict::Pass,
        CLOCK_WARNING..CLOCK_FAILURE => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let found = match seconds {
        0..=1 => "in sync with the server".to_owned(),
        _ => format!("local clock is {seconds} s {side} the server's"),
    };
    let finding = Finding::new(Check::Clock, verdict, found);
    match verdict {
        Verdict::Pass => finding,
        _ => finding.fix(
            "sync it with NTP: timedatectl set-ntp true (Linux), sudo sntp -sS time.apple.com (macOS), w32tm /resync (Windows)",
        ),
    }
}

fn message(line: &str) -> Message {
    let line = line.replace("VERSION", env!("CARGO_PKG_VERSION"));
    Message::parse(line.into_bytes()).expect("a valid constant")
}

fn result_of(line: &[u8]) -> Result<Value, Error> {
    let mut response: Value = serde_json::from_slice(line).unwrap_or_default();
    let error = &response["error"];
    if error.is_null() {
        return Ok(response["result"].take());
    }
    let text = error["message"].as_str().unwrap_or_default();
    let what = format!("the server returned error {}: {text}", error["code"]);
    Err(Error::new(Kind::InvalidResponse, what))
}
