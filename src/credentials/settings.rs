//! `Settings`: the user's settings for credentials in addition to the environment and the files.

use crate::credentials::config::plan::Role;
use crate::http::CaBundle;
use crate::redact::Redactor;

/// Settings of a [`CredentialCache`](crate::credentials::CredentialCache).
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--profile`. It takes precedence over keys in the environment.
    pub profile: Option<String>,
    /// `--region`, for requests to credential services too; of a region set its first region.
    pub region: Option<String>,
    /// The region or region set that requests to the target are signed for. Its first region is used for requests to
    /// credential services if nothing else names one.
    pub target_region: Option<String>,
    /// `--role-arn`: a role to assume with the credentials that the chain finds.
    pub role: Option<Role>,
    /// `--role-session-name`: the session name of every role that is assumed, in place of `AWS_ROLE_SESSION_NAME` and the
    /// names in profiles and in `role`.
    pub session_name: Option<String>,
    pub ca_bundle: CaBundle,
    /// Receives every secret that is found or sent.
    pub redactor: Redactor,
    /// Whether endpoints on other machines may be reached over http.
    pub allow_http: bool,
    /// Access of `credential_process` commands to the terminal.
    pub terminal: Terminal,
}

/// The terminal of this process, and commands of `credential_process`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terminal {
    /// Commands run in the background. One that reads the terminal is stopped until its time limit.
    #[default]
    Background,
    /// Commands have no terminal, so that a prompt fails at once. Requires a `main` that begins with
    /// [`become_other_program`](crate::process::become_other_program).
    Withheld,
    /// Commands keep the terminal, so that they can ask the user there. If there is none, as `Withheld`.
    Kept,
}
