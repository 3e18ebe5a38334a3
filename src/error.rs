//! The one error type: what kind of failure, what happened, and how to fix it.
//!
//! Deep code creates an error, each layer prefixes what it was doing (`context`), and two exits convert it:
//! `error_line` into a JSON-RPC error, `main` into a line on stderr and an exit code.

use std::fmt;
use std::io;

/// The kind of a failure, by who can fix it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server's response is not a valid response.
    InvalidResponse,
    /// The client cancelled its request, or the process is ending.
    Cancelled,
    /// There are no usable AWS credentials.
    Credentials,
    /// The configuration of this process does not allow it.
    PolicyDenied,
    /// A bug in this program.
    Internal,
    /// The client's message is ambiguous, or has no place for what must be written into it.
    InvalidRequest,
    /// No source has AWS credentials, as opposed to credentials that cannot be used.
    NoCredentials,
    /// The server, or AWS in front of it, refused the request with this HTTP status.
    HttpStatus(u16),
    /// A message or a queue is larger than its bound.
    TooLarge,
    /// A time limit passed.
    TimedOut,
    /// No connection to the server: DNS, TCP, TLS, or a connection that broke.
    Unreachable,
    /// The command line or the environment is wrong.
    Usage,
}

impl Kind {
    /// The word that stands for the kind in a JSON-RPC error's `data.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::InvalidResponse => "bad_answer",
            Kind::Cancelled => "cancelled",
            Kind::Credentials | Kind::NoCredentials => "credentials",
            Kind::PolicyDenied => "denied",
            Kind::Internal => "internal",
            Kind::InvalidRequest => "invalid_request",
            Kind::HttpStatus(_) => "refused",
            Kind::TooLarge => "too_large",
            Kind::TimedOut => "timed_out",
            Kind::Unreachable => "unreachable",
            Kind::Usage => "usage",
        }
    }
}

/// A failure in words: lower case, one line, no full stop, the outermost context first. Quoted text may hold secrets, so
/// errors leave the process through `redact` only.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    advice: Option<&'static str>,
    aws: Option<Box<AwsError>>,
    is_unsent: bool,
}

/// AWS's own name and id of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsError {
    /// `x-amzn-ErrorType`, `__type` or `<Code>`, cut at the first `:`.
    pub error_type: Option<String>,
    pub request_id: Option<String>,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
            hint: None,
            advice: None,
            aws: None,
            is_unsent: false,
        }
    }

    /// Adds how to fix it, as an imperative.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Adds general advice for errors of this kind; a hint, which is specific, comes first.
    #[must_use]
    pub fn advice(mut self, advice: &'static str) -> Error {
        self.advice = Some(advice);
        self
    }

    /// Prefixes what was being done: `context("reading x")` makes `reading x: …`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Keeps AWS's own name for the failure and its request id.
    #[must_use]
    pub fn aws(mut self, aws: AwsError) -> Error {
        self.aws = Some(Box::new(aws));
        self
    }

    /// Marks a request that cannot have reached the server.
    #[must_use]
    pub fn unsent(mut self) -> Error {
        self.is_unsent = true;
        self
    }

    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened, without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref().or(self.advice)
    }

    pub fn aws_error(&self) -> Option<&AwsError> {
        self.aws.as_deref()
    }
}

/// The message, then the hint and the advice in brackets.
impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        let mends = [self.hint.as_deref(), self.advice];
        mends.into_iter().flatten().try_for_each(|mend| write!(out, " ({mend})"))
    }
}

impl std::error::Error for Error {}

/// Foreign text as part of a message: one line, shortened.
pub(crate) fn quoted(text: &str) -> String {
    const MOST_CHARS: usize = 500;
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > 4 * MOST_CHARS {
            break;
        }
    }
    if let Some((end, _)) = line.char_indices().nth(MOST_CHARS) {
        line.truncate(end);
        // The mark tells the redactor that the beginning of a secret may precede it.
        line.push('…');
    }
    line
}

/// The system's text of a failure, without the redundant number.
pub fn io_message(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}
