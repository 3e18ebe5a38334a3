//! The one error type: what kind of failure, what happened, and how to fix it.
//!
//! Deep code creates an error, each layer prefixes what it was doing (`context`), and two exits convert it:
//! `error_line` into a JSON-RPC error, `main` into a line on stderr and an exit code.

use crate::suggest::shell_word;
use std::fmt;
use std::io;

/// Kind of a failure. It determines who can fix it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server's response is invalid.
    InvalidResponse,
    /// The client cancelled its request, or the process is ending.
    Cancelled,
    /// AWS credentials cannot be obtained or used.
    Credentials,
    /// The configuration of this process forbids it.
    PolicyDenied,
    /// A bug in this program.
    Internal,
    /// The client's message is ambiguous, or cannot hold what must be written into it.
    InvalidRequest,
    /// No source has AWS credentials.
    NoCredentials,
    /// The server, or AWS in front of it, refused the request with this HTTP status.
    HttpStatus(u16),
    /// A message is larger than its bound.
    TooLarge,
    /// As many messages, streams or clients wait or are open as may.
    TooMany,
    /// A time limit passed.
    TimedOut,
    /// No connection to the server: DNS, TCP or TLS failed, or the connection broke.
    Unreachable,
    /// The command line or the environment is wrong.
    Usage,
}

impl Kind {
    /// The name of the kind in a JSON-RPC error's `data.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::InvalidResponse => "bad_answer",
            Kind::Cancelled => "cancelled",
            Kind::Credentials | Kind::NoCredentials => "credentials",
            Kind::PolicyDenied => "denied",
            Kind::Internal => "internal",
            Kind::InvalidRequest => "invalid_request",
            Kind::HttpStatus(_) => "refused",
            Kind::TooLarge | Kind::TooMany => "too_large",
            Kind::TimedOut => "timed_out",
            Kind::Unreachable => "unreachable",
            Kind::Usage => "usage",
        }
    }
}

/// A failure. Its message is one lower-case line without a full stop, the outermost context first. Quoted text may hold
/// secrets, so errors leave the process through `redact` only.
#[derive(Clone, Debug)]
pub struct Error(Box<Failure>);

/// What an error holds, apart: errors are rare, and results that hold them are returned everywhere.
#[derive(Clone, Debug)]
struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
    advice: Option<&'static str>,
    aws: Option<Box<AwsError>>,
    sign_in: Option<Box<SignIn>>,
    is_unsent: bool,
    lacks_session: bool,
}

/// A sign-in by the user that would fix a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The profile whose settings require it.
    pub profile: String,
    /// What is wrong, as part of a message: `SSO token expired`.
    pub problem: String,
    pub method: SignInMethod,
}

impl SignIn {
    /// The command that signs in without a client.
    pub(crate) fn command(&self) -> String {
        format!("\"sigv4-proxy login --profile {}\"", shell_word(&self.profile))
    }
}

/// How a user signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInMethod {
    /// IAM Identity Center.
    Sso(SsoSession),
    /// A code of the MFA device, for this role, or for a session of the profile's keys.
    Mfa { serial: String, role_arn: Option<String> },
    /// `aws login`: a console sign-in as the identity with this ARN.
    Login { session: String },
}

/// A sign-in session of IAM Identity Center. All profiles that name it share one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsoSession {
    /// `sso_session`; `None` in the older form, whose tokens cannot be refreshed.
    pub name: Option<String>,
    pub start_url: String,
    pub region: String,
    /// Empty in the older form.
    pub scopes: Vec<String>,
}

/// Name and request id that AWS gave a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsError {
    /// `x-amzn-ErrorType`, `__type` or `<Code>`, cut at the first `:`.
    pub error_type: Option<String>,
    pub request_id: Option<String>,
}

impl Error {
    #[cold]
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error(Box::new(Failure {
            kind,
            message: message.into(),
            hint: None,
            advice: None,
            aws: None,
            sign_in: None,
            is_unsent: false,
            lacks_session: false,
        }))
    }

    /// Sets how to fix this failure, as an imperative.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets general advice for failures of this kind, shown after the hint.
    #[must_use]
    pub fn advice(mut self, advice: &'static str) -> Error {
        self.0.advice = Some(advice);
        self
    }

    /// Prefixes what was being done: `context("reading x")` makes `reading x: …`.
    #[must_use]
    #[cold]
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// Adds what failed then, and how to fix that unless there is a hint already.
    #[must_use]
    pub(crate) fn followed_by(mut self, next: &Error) -> Error {
        self.0.message = format!("{}; {}", self.0.message, next.0.message);
        self.0.hint = self.0.hint.or_else(|| next.0.hint.clone());
        self
    }

    /// Sets AWS's name for the failure and its request id.
    #[must_use]
    pub fn aws(mut self, aws: AwsError) -> Error {
        self.0.aws = Some(Box::new(aws));
        self
    }

    /// Sets the sign-in that would fix this failure.
    #[must_use]
    pub fn sign_in(mut self, sign_in: Option<SignIn>) -> Error {
        self.0.sign_in = sign_in.map(Box::new);
        self
    }

    /// Marks a request that cannot have reached the server.
    #[must_use]
    pub fn unsent(mut self) -> Error {
        self.0.is_unsent = true;
        self
    }

    /// Marks a message for which no session could be begun, so that the server did not run it.
    #[must_use]
    pub(crate) fn for_lack_of_session(mut self) -> Error {
        self.0.lacks_session = true;
        self
    }

    /// Whether no session could be begun for the message.
    pub(crate) fn lacks_session(&self) -> bool {
        self.0.lacks_session
    }

    /// Whether the request cannot have reached the server.
    pub fn is_unsent(&self) -> bool {
        self.0.is_unsent
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message, without hint and advice.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The hint, or else the advice.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref().or(self.0.advice)
    }

    /// How to fix this failure, without general advice.
    pub(crate) fn own_hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The sign-in that would fix this failure, if one would.
    pub fn needed_sign_in(&self) -> Option<&SignIn> {
        self.0.sign_in.as_deref()
    }

    pub fn aws_error(&self) -> Option<&AwsError> {
        self.0.aws.as_deref()
    }
}

/// The message, then the hint and the advice in brackets.
impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.message)?;
        let fixes = [self.0.hint.as_deref(), self.0.advice];
        fixes.into_iter().flatten().try_for_each(|fix| write!(out, " ({fix})"))
    }
}

impl std::error::Error for Error {}

/// The error of work for which the system has no thread. Nothing was sent.
pub(crate) fn out_of_threads() -> Error {
    let what = "out of threads: the system refused to start another one";
    Error::new(Kind::Unreachable, what)
        .hint("raise the limit (ulimit -u, TasksMax, the pids limit of the container) or lower --max-in-flight")
        .unsent()
}

/// Text from outside for use in a message: on one line, shortened.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 500;
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > 4 * MAX_CHARS {
            break;
        }
    }
    if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
        line.truncate(end);
        // The redactor also removes the beginning of a secret before this mark.
        line.push('…');
    }
    line
}

/// The system's message for an error, without the redundant number.
pub fn io_message(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}
