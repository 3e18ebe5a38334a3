//! `Source`: where credentials came from, as logs and the doctor's report name it.

use std::fmt;
use std::path::PathBuf;

/// The provider of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `AWS_ACCESS_KEY_ID` and its companions.
    Environment,
    /// `sts:AssumeRoleWithWebIdentity`, configured by a profile, or by the environment if there is none.
    WebIdentity { role: String, profile: Option<String> },
    /// `sts:AssumeRole`, configured by a profile, or by `--role-arn` if there is none.
    AssumedRole { role: String, profile: Option<String> },
    /// IAM Identity Center.
    Sso { profile: String, role: String },
    /// Keys in a profile, and the file they are in, as the user writes it.
    Profile { name: String, file: PathBuf },
    /// `sts:GetSessionToken` with the keys of a profile and a code of its MFA device.
    MfaSession { profile: String },
    /// `aws login`.
    Login { profile: String },
    /// `credential_process`.
    Process { profile: String },
    /// The credential endpoint of ECS, EKS or a local helper.
    Container,
    /// EC2 instance metadata.
    Instance { role: String },
    /// No credentials: requests are not signed.
    Anonymous,
}

impl Source {
    /// The names of key id, secret and session token there.
    pub(crate) fn setting_names(&self) -> [&'static str; 3] {
        match self {
            Source::Environment => {
                ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
            }
            Source::Profile { .. } => {
                ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"]
            }
            _ => ["AccessKeyId", "SecretAccessKey", "SessionToken"],
        }
    }
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
            Source::MfaSession { profile } => write!(out, "MFA session (profile {profile})"),
            Source::Login { profile } => write!(out, "aws login (profile {profile})"),
            Source::Process { profile } => write!(out, "credential_process (profile {profile})"),
            Source::Container => out.write_str("container credentials"),
            Source::Anonymous => out.write_str("no source"),
            Source::Instance { role } => write!(out, "instance metadata (role {role})"),
        }
    }
}
