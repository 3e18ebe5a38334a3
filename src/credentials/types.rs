//! AWS credentials: every source the AWS SDKs know, in their order, and `CredentialCache`, which remembers.
//!
//! `ini`, `profile`, `endpoints` and `expiry` are pure: text in, plan or address out. `chain` walks the sources, of which
//! each has a file: `sts`, `sso`, `login`, `process`, `container`, `imds`.

use crate::credentials::config::profile;
use std::fmt;
use std::path::PathBuf;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::http::CaBundle;
use crate::redact::Redactor;
use crate::signing::{AccessKey, Secret};

/// What AWS signs with, how long it lasts and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub key: AccessKey,
    /// `None`: they do not say.
    pub expires: Option<OffsetDateTime>,
    /// The twelve digits, where the source tells them.
    pub account: Option<String>,
    pub source: Source,
}

impl Credentials {
    /// Those of nobody: nothing is signed with them.
    pub fn anonymous() -> Credentials {
        let key = access_key("", "", None);
        Credentials { key, expires: None, account: None, source: Source::Anonymous }
    }

    pub fn is_anonymous(&self) -> bool {
        self.source == Source::Anonymous
    }

    /// What may be told of them: `key AKIA****MPLE from …, account …, until …`.
    pub fn summary(&self) -> String {
        if self.is_anonymous() {
            return "there are none, so requests are sent without a signature (--skip-auth)"
                .to_owned();
        }
        let account = self.account.as_ref().map(|account| format!(", account {account}"));
        let expires = self.expires.and_then(|time| time.format(&Rfc3339).ok());
        let expires = expires.map(|time| format!(", until {time}"));
        let rest = [account, expires].into_iter().flatten().collect::<String>();
        format!("key {} from {}{rest}", self.key.masked_id(), self.source)
    }
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `AWS_ACCESS_KEY_ID` and its companions.
    Environment,
    /// `sts:AssumeRoleWithWebIdentity`, asked for by a profile or else by the environment.
    WebIdentity { role: String, profile: Option<String> },
    /// `sts:AssumeRole`, asked for by a profile or else by `--role-arn`.
    AssumedRole { role: String, profile: Option<String> },
    /// IAM Identity Center.
    Sso { profile: String, role: String },
    /// Keys written in a profile; the file as a person writes it.
    Profile { name: String, file: PathBuf },
    /// `aws login`.
    Login { profile: String },
    /// `credential_process`.
    Process { profile: String },
    /// The credential endpoint of ECS, EKS or a local helper.
    Container,
    /// EC2 instance metadata.
    Instance { role: String },
    /// There are none, and none are needed.
    Anonymous,
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Environment => out.write_str("environment"),
            Source::WebIdentity { role, profile: None } => {
                write!(out, "web identity role {role} (environment)")
            }
            Source::WebIdentity { role, profile: Some(profile) } => {
                write!(out, "web identity role {role} (profile {profile})")
            }
            Source::AssumedRole { role, profile: None } => write!(out, "role {role} (--role-arn)"),
            Source::AssumedRole { role, profile: Some(profile) } => {
                write!(out, "role {role} (profile {profile})")
            }
            Source::Sso { profile, role } => write!(out, "SSO role {role} (profile {profile})"),
            Source::Profile { name, file } => write!(out, "profile {name} ({})", file.display()),
            Source::Login { profile } => write!(out, "aws login (profile {profile})"),
            Source::Process { profile } => write!(out, "credential_process (profile {profile})"),
            Source::Container => out.write_str("container credentials"),
            Source::Anonymous => out.write_str("nobody"),
            Source::Instance { role } => write!(out, "instance metadata (role {role})"),
        }
    }
}

/// What the user decides about credentials beyond the environment and the files.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--profile`: looked at instead of the environment's keys.
    pub profile: Option<String>,
    /// `--region`: for the chain's own calls too.
    pub region: Option<String>,
    /// The region the target is signed for: where nothing else names one for the chain's own calls.
    pub target_region: Option<String>,
    /// `--role-arn`: assumed with whatever the chain finds.
    pub role: Option<profile::Role>,
    pub ca_bundle: CaBundle,
    /// Told of every secret that is found or sent.
    pub redactor: Redactor,
    /// Whether an endpoint beyond this machine may be asked over http.
    pub allow_http: bool,
}

/// Whether a text may travel in a header, where a line break would start another one.
pub(crate) fn sendable(value: &str) -> bool {
    value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}

pub(crate) fn access_key(id: &str, secret: &str, token: Option<&str>) -> AccessKey {
    AccessKey {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::new(secret),
        session_token: token.map(Secret::new),
    }
}

/// A text as a shell reads it back: the name of a profile is any text.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_sent_in_a_header() {
        assert!(sendable("AKIA/+=-_. x"));
        assert!(!sendable("a\r\nb") && !sendable("a\tb") && !sendable("ä") && !sendable("\u{7f}"));
    }

    #[test]
    fn names_in_commands_are_single_words() {
        for (name, word) in [
            ("dev-1_a.b/c@d", "dev-1_a.b/c@d"),
            ("my team", "'my team'"),
            ("$(rm)", "'$(rm)'"),
            ("a'b", r"'a'\''b'"),
        ] {
            assert_eq!(shell_word(name), word);
        }
    }
}
