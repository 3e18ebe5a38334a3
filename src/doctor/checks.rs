//! `Doctor`: runs all checks, in the order in which the proxy needs them, and makes those of the configuration and the credentials.
//!
//! The checks use the parts of the proxy itself; only the connection is opened step by step. The report is safe to share: it
//! holds no secrets.

use crate::assembly::Connection;
use crate::cli::{Options, ServerChecks};
use crate::clock;
use crate::credentials::{CredentialCache, Credentials};
use crate::doctor::latency::Latency;
use crate::doctor::listener;
use crate::doctor::network;
use crate::doctor::report::{Check, Finding, Report, Style, Verdict};
use crate::doctor::session::Session;
use crate::doctor::sign_in;
use crate::error::{Error, Kind};
use crate::redact::Redactor;
use crate::sync::cancel::Cancel;
use crate::sync::{channel, spawn};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

const NOT_CONFIGURED: &str = "the configuration is incomplete";
const INVALID: &str = "sigv4-proxy only starts with a valid configuration";
const NO_CREDENTIALS: &str = "no credentials";

/// The parts to check.
#[derive(Debug)]
pub struct Doctor<'a> {
    pub options: &'a Options,
    /// Configuration errors found while the options were read.
    pub problems: &'a [Error],
    pub server_checks: ServerChecks,
    /// Configuration errors of proxy variables.
    pub proxy_problems: &'a [Error],
    /// One for each profile. The session is checked with the first.
    pub connections: &'a [Connection],
    pub redactor: &'a Redactor,
}

impl Doctor<'_> {
    /// Runs the checks and prints their findings. Returns whether none failed. If the listener alone is checked, it has to run.
    pub fn run(&self, out: &mut dyn Write, style: Style) -> io::Result<bool> {
        let mut report = Report::begin(out, style, self.redactor)?;
        let has_server = self.server_checks != ServerChecks::None;
        if has_server || !self.problems.is_empty() {
            report.add(self.configuration())?;
        }
        if has_server {
            self.check_server(&mut report)?;
        }
        match &self.options.listen {
            Some(listen) => listener::check(listen, has_server, self.redactor, &mut report)?,
            None if has_server => {}
            None => {
                report.skip(&[Check::Token, Check::Listener, Check::Access], NOT_CONFIGURED)?;
            }
        }
        report.end()
    }

    /// Checks the way to the server.
    fn check_server(&self, report: &mut Report<'_>) -> io::Result<()> {
        let exchanger = &self.connections[0].exchanger;
        let (finding, credentials) = self.look_up_credentials(&self.connections[0]);
        report.add(finding)?;
        report.add(match &credentials {
            Some(credentials) => self.identity(&self.connections[0], credentials),
            None => Finding::skipped(Check::Identity, NO_CREDENTIALS),
        })?;
        for (name, connection) in self.options.profiles.iter().zip(self.connections).skip(1) {
            let (finding, credentials) = self.look_up_credentials(connection);
            report.add(finding.of_profile(name))?;
            if let Some(credentials) = credentials {
                report.add(self.identity(connection, &credentials).of_profile(name))?;
            }
        }
        let mut latency = Latency::default();
        let obstacle = if self.server_checks == ServerChecks::All {
            let probe = exchanger.client().probe();
            let is_https = self.options.endpoint.is_https();
            let proxy_problem = self.proxy_problems.first();
            network::check(&probe, proxy_problem, is_https, report, &mut latency)?
        } else {
            let checks = [Check::Proxy, Check::Dns, Check::Tcp, Check::Tls];
            report.skip(&checks, NOT_CONFIGURED)?;
            Some(NOT_CONFIGURED)
        };
        let obstacle = obstacle.or(credentials.is_none().then_some(NO_CREDENTIALS));
        if let Some(why) = obstacle {
            let checks =
                [Check::Clock, Check::Initialize, Check::Server, Check::Tools, Check::Latency];
            report.skip(&checks, why)
        } else {
            let mut session = Session::new(exchanger, self.options.bridge);
            session.check(report, &mut latency)?;
            report.add(latency.finding())?;
            session.end();
            Ok(())
        }
    }

    fn configuration(&self) -> Finding {
        let options = self.options;
        let origins = &options.origins;
        match self.problems {
            [] => {}
            [problem] => {
                let finding = Finding::of_error(Check::Configuration, Verdict::Fail, problem);
                let found = finding.found.trim_start_matches("configuration error: ").to_owned();
                return Finding { found, ..finding }.why(INVALID);
            }
            problems => {
                let found = format!("{} problems", problems.len());
                return Finding::new(Check::Configuration, Verdict::Fail, found)
                    .details(problems.iter().map(ToString::to_string).collect())
                    .why(INVALID)
                    .fix("see sigv4-proxy --help");
            }
        }
        let mut details = vec![format!(
            "{}: service {} [{}], region {} [{}]",
            options.algorithm.name(),
            options.service,
            origins.service,
            options.region,
            origins.region
        )];
        if let Some(host) = options.endpoint.signed_authority() {
            details.push(format!("host in requests and signatures: {host} [--sign-host]"));
        }
        if !options.profiles.is_empty() {
            details.push(format!("profiles: {}", options.profiles.join(", ")));
        }
        if let Some(role) = &options.role {
            details.push(format!("role to assume: {}", role.arn));
        }
        if !options.headers.is_empty() {
            let names: Vec<&str> = options.headers.iter().map(|h| h.name.as_str()).collect();
            details.push(format!("your headers: {}", names.join(", ")));
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
            .fix("if this is not intended, correct the flag, the variable or the setting")
    }

    fn look_up_credentials(&self, connection: &Connection) -> (Finding, Option<Arc<Credentials>>) {
        let Connection { exchanger, credentials: cache } = connection;
        let deadline = self.options.timeout.and_then(|limit| Instant::now().checked_add(limit));
        let found = exchanger.client().credentials(deadline, &Cancel::default());
        let passed_over = cache.passed_over();
        let before = |message: &str| -> Vec<String> {
            let new = passed_over.iter().filter(|why| !message.contains(why.as_str()));
            new.map(|why| format!("also tried: {why}")).collect()
        };
        let warnings = cache.warnings();
        // A look-up that continues after the time limit still holds the provider that reads the sign-ins.
        let now = Some(Instant::now());
        let again = cache.get_until(clock::now(), now, &Cancel::default());
        let goes_on = again.as_ref().is_err_and(|error| error.kind() == Kind::TimedOut);
        let sign_ins =
            if goes_on { Vec::new() } else { sign_in::details(cache, self.options.login) };
        let warned = warnings.iter().map(|warning| format!("warning: {warning}"));
        match found {
            Ok(credentials) if credentials.is_anonymous() => {
                (unsigned(cache, &credentials, deadline), Some(credentials))
            }
            Ok(credentials) => {
                let verdict = if warnings.is_empty() { Verdict::Pass } else { Verdict::Warn };
                let finding = Finding::new(Check::Credentials, verdict, credentials.summary());
                let details = before("").into_iter().chain(sign_ins).chain(warned).collect();
                (finding.details(details), Some(credentials))
            }
            Err(error) => {
                let finding = Finding::of_error(Check::Credentials, Verdict::Fail, &error);
                let of_chain = again.as_ref().err().and_then(Error::hint_text);
                let finding = match (error.needed_sign_in(), of_chain) {
                    (Some(sign_in), _) => finding.fix(format!("run {}", sign_in.command())),
                    (None, Some(hint)) => finding.fix(hint),
                    (None, None) => finding,
                };
                let details = before(error.message()).into_iter().chain(sign_ins).chain(warned);
                let details = details.collect();
                (finding.details(details), None)
            }
        }
    }

    fn identity(&self, connection: &Connection, credentials: &Arc<Credentials>) -> Finding {
        if credentials.is_anonymous() {
            return Finding::skipped(Check::Identity, "requests are sent unsigned");
        }
        let (results, result) = channel();
        let (cache, credentials) = (connection.credentials.clone(), Arc::clone(credentials));
        let _ = spawn("identity", move || {
            drop(results.send(cache.caller_identity(&credentials, clock::now())));
        });
        let late = |_| Err(Error::new(Kind::TimedOut, "no response within --timeout"));
        let identity = match self.options.timeout {
            Some(limit) => result.recv_timeout(limit).unwrap_or_else(late),
            None => result.recv().unwrap_or_else(|_| late(RecvTimeoutError::Disconnected)),
        };
        match identity {
            Ok(identity) => {
                let found = format!("{}, account {}", identity.arn, identity.account);
                Finding::new(Check::Identity, Verdict::Pass, found)
            }
            // Only a response of STS proves that the key is invalid.
            Err(error) if matches!(error.kind(), Kind::HttpStatus(400..=499)) => {
                Finding::of_error(Check::Identity, Verdict::Fail, &error.context("STS"))
            }
            Err(error) => {
                let error = error.context("STS is unreachable");
                let way = error.hint_text().map(|hint| format!("{hint}; or ")).unwrap_or_default();
                Finding::of_error(Check::Identity, Verdict::Warn, &error).fix(format!(
                    "{way}ignore this if STS is blocked on purpose; AWS_ENDPOINT_URL_STS selects another endpoint",
                ))
            }
        }
    }
}

/// Why there are no credentials, although none are needed.
fn unsigned(
    cache: &CredentialCache,
    credentials: &Credentials,
    deadline: Option<Instant>,
) -> Finding {
    let looked_up = cache.get_until(clock::now(), deadline, &Cancel::default());
    let verdict = match &looked_up {
        Err(error) if error.kind() != Kind::NoCredentials => Verdict::Warn,
        _ => Verdict::Pass,
    };
    let finding = Finding::new(Check::Credentials, verdict, credentials.summary());
    let Err(error) = looked_up else { return finding };
    let finding = finding.details(vec![error.message().to_owned()]);
    match error.hint_text() {
        Some(fix) => finding.fix(fix),
        None => finding,
    }
}
