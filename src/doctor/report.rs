//! `Report`: findings as lines of text or as one JSON document.

use crate::cli::wrapped;
use crate::error::Error;
use crate::redact::Redactor;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Colours of a terminal (ECMA-48).
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD_RED: &str = "1;31";
const DIM: &str = "2";
const CYAN: &str = "36";

/// Column of everything that follows the name of a check.
const INDENT: usize = 21;

/// Minimum number of columns for text.
const MIN_COLUMNS: usize = 30;

/// Maximum width of a report on a terminal, for lines that are easy to read.
const MAX_COLUMNS: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// It works, but something should be noticed or fixed.
    Warn,
    Fail,
    /// Not checked.
    Skip,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
            Verdict::Skip => "skip",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Verdict::Pass => GREEN,
            Verdict::Warn => YELLOW,
            Verdict::Fail => BOLD_RED,
            Verdict::Skip => DIM,
        }
    }
}

/// Result of one check.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) verdict: Verdict,
    /// The result in one line.
    pub(crate) found: String,
    /// Further lines.
    pub(crate) details: Vec<String>,
    /// Reason why it matters, if it differs from that of the check.
    pub(crate) why: Option<&'static str>,
    /// The command or setting that fixes it.
    pub(crate) fix: Option<String>,
}

impl Finding {
    pub(crate) fn new(check: Check, verdict: Verdict, found: impl Into<String>) -> Finding {
        Finding { check, verdict, found: found.into(), details: Vec::new(), why: None, fix: None }
    }

    pub(crate) fn of_error(check: Check, verdict: Verdict, error: &Error) -> Finding {
        let fix = error.hint_text().map(str::to_owned);
        Finding { fix, ..Finding::new(check, verdict, error.message()) }
    }

    /// A check that is not made, and the reason.
    pub(crate) fn skipped(check: Check, why: &str) -> Finding {
        Finding::new(check, Verdict::Skip, why)
    }

    pub(crate) fn details(self, details: Vec<String>) -> Finding {
        Finding { details, ..self }
    }

    pub(crate) fn fix(self, fix: impl Into<String>) -> Finding {
        Finding { fix: Some(fix.into()), ..self }
    }

    pub(crate) fn why(self, why: &'static str) -> Finding {
        Finding { why: Some(why), ..self }
    }

    /// Names the profile that it is about, where there are several.
    pub(crate) fn of_profile(self, name: &str) -> Finding {
        Finding { found: format!("profile {name:?}: {}", self.found), ..self }
    }

    fn shown_why(&self) -> &'static str {
        self.why.unwrap_or_else(|| self.check.why())
    }

    /// Whether the reason and the fix are shown.
    fn is_bad(&self) -> bool {
        matches!(self.verdict, Verdict::Warn | Verdict::Fail)
    }
}

/// The checks, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Configuration,
    Credentials,
    Identity,
    Proxy,
    Dns,
    Tcp,
    Tls,
    Clock,
    Initialize,
    Server,
    Tools,
    Latency,
    Token,
    Listener,
    Access,
}

impl Check {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Check::Configuration => "configuration",
            Check::Credentials => "credentials",
            Check::Identity => "identity",
            Check::Proxy => "proxy",
            Check::Dns => "DNS",
            Check::Tcp => "TCP",
            Check::Tls => "TLS",
            Check::Clock => "clock",
            Check::Initialize => "initialize",
            Check::Server => "server",
            Check::Tools => "tools",
            Check::Latency => "latency",
            Check::Token => "token",
            Check::Listener => "listener",
            Check::Access => "access",
        }
    }

    fn why(self) -> &'static str {
        match self {
            Check::Configuration => "requests are signed and sent as it says",
            Check::Credentials => "every request is signed with them",
            Check::Identity => "policies allow or deny this identity",
            Check::Proxy => "a wrong proxy setting makes the server unreachable",
            Check::Dns | Check::Tcp => "requests cannot be sent without a connection",
            Check::Tls => "requests are only sent over TLS, to a server with a trusted certificate",
            Check::Clock => "AWS rejects signatures that are more than 5 minutes off",
            Check::Initialize => "every session starts with it",
            Check::Server => "features depend on the protocol revision",
            Check::Tools => "most clients use nothing else",
            Check::Latency => "clients give up on servers that start slowly",
            Check::Token => "anyone who has it can use your credentials",
            Check::Listener => "clients connect there",
            Check::Access => "clients that get access use your credentials",
        }
    }
}

/// Prints findings as they are added; JSON at the end.
pub(crate) struct Report<'a> {
    out: &'a mut dyn Write,
    style: Style,
    redactor: &'a Redactor,
    findings: Vec<Finding>,
}

/// Format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Text {
        /// Width of the terminal. `None`: lines are not wrapped.
        columns: Option<usize>,
        has_colours: bool,
    },
    Json,
}

impl<'a> Report<'a> {
    pub(crate) fn begin(
        out: &'a mut dyn Write,
        style: Style,
        redactor: &'a Redactor,
    ) -> io::Result<Report<'a>> {
        if style != Style::Json {
            writeln!(out, "sigv4-proxy {} doctor\n", env!("CARGO_PKG_VERSION"))?;
        }
        Ok(Report { out, style, redactor, findings: Vec::new() })
    }

    /// Adds a finding, without the secrets in its texts.
    pub(crate) fn add(&mut self, mut finding: Finding) -> io::Result<()> {
        let details = finding.details.iter_mut();
        for text in details.chain([&mut finding.found]).chain(&mut finding.fix) {
            *text = self.redactor.safe(text);
        }
        if self.style != Style::Json {
            self.print(&finding)?;
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Adds findings of several checks that are skipped for the same reason.
    pub(crate) fn skip(&mut self, checks: &[Check], why: &str) -> io::Result<()> {
        checks.iter().try_for_each(|check| self.add(Finding::skipped(*check, why)))
    }

    fn print(&mut self, finding: &Finding) -> io::Result<()> {
        let word = self.coloured(finding.verdict.word(), finding.verdict.colour());
        write!(self.out, "{word}  {:<13}  ", finding.check.name())?;
        self.print_wrapped(&finding.found, INDENT, INDENT + 2)?;
        for detail in &finding.details {
            write!(self.out, "{:INDENT$}", "")?;
            self.print_wrapped(detail, INDENT, INDENT + 2)?;
        }
        if finding.is_bad() {
            self.print_labelled("why:", DIM, finding.shown_why())?;
            if let Some(fix) = &finding.fix {
                self.print_labelled("fix:", CYAN, fix)?;
            }
        }
        self.out.flush()
    }

    fn print_labelled(&mut self, label: &str, colour: &str, text: &str) -> io::Result<()> {
        let shown = self.coloured(label, colour);
        write!(self.out, "{:INDENT$}{shown} ", "")?;
        let indent = INDENT + label.len() + 1;
        self.print_wrapped(text, indent, indent)
    }

    /// Prints text that begins at the column `at`; its further lines begin at `indent`.
    fn print_wrapped(&mut self, text: &str, at: usize, indent: usize) -> io::Result<()> {
        let Style::Text { columns: Some(columns), .. } = self.style else {
            return writeln!(self.out, "{text}");
        };
        let end = columns.clamp(indent + MIN_COLUMNS, MAX_COLUMNS);
        writeln!(self.out, "{}", wrapped(text, at, indent, end))
    }

    fn coloured(&self, text: &str, colour: &str) -> String {
        match self.style {
            Style::Text { has_colours: true, .. } => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }

    /// Prints the summary. Returns whether no check failed.
    pub(crate) fn end(self) -> io::Result<bool> {
        let count = |verdict| self.findings.iter().filter(|f| f.verdict == verdict).count();
        let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
        if self.style == Style::Json {
            let findings: Vec<Value> = self.findings.iter().map(as_json).collect();
            let report = json!({
                "version": env!("CARGO_PKG_VERSION"),
                "ok": failed == 0,
                "checks": findings,
            });
            writeln!(self.out, "{report:#}")?;
        } else {
            let all = self.findings.len();
            match (failed, warned) {
                (0, 0) => writeln!(self.out, "\nAll checks passed.")?,
                (0, 1) => writeln!(self.out, "\nIt works, with 1 warning.")?,
                (0, _) => writeln!(self.out, "\nIt works, with {warned} warnings.")?,
                _ => writeln!(self.out, "\n{failed} of {all} checks failed.")?,
            }
        }
        self.out.flush()?;
        Ok(failed == 0)
    }
}

fn as_json(finding: &Finding) -> Value {
    let mut json = json!({
        "check": finding.check.name().to_lowercase(),
        "verdict": finding.verdict.word(),
        "found": finding.found,
        "details": finding.details,
    });
    if finding.is_bad() {
        json["why"] = finding.shown_why().into();
    }
    if let Some(fix) = finding.fix.as_ref().filter(|_| finding.is_bad()) {
        json["fix"] = fix.as_str().into();
    }
    json
}
