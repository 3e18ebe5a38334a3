//! The config and the credentials file → the selected profile → where its credentials come from. Pure.

use std::path::{Path, PathBuf};

use super::ini::{self, Dialect, Section, Sections};
use super::sendable;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::signing::{AccessKey, Secret};

/// Which profile is meant, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub name: String,
    /// `--profile` or the variable. `None`: nobody named one, and `default` need not exist.
    pub named_by: Option<&'static str>,
}

impl Selection {
    /// `--profile`, `AWS_PROFILE`, `AWS_DEFAULT_PROFILE`, `default`.
    pub fn new(environment: &Environment, flag: Option<&str>) -> Selection {
        let named = flag
            .map(|name| ("--profile", name))
            .or_else(|| environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]));
        match named {
            Some((by, name)) => Selection { name: name.to_owned(), named_by: Some(by) },
            None => Selection { name: "default".to_owned(), named_by: None },
        }
    }
}

/// Both files, parsed.
#[derive(Debug)]
pub struct Files {
    config: File,
    credentials: File,
}

#[derive(Debug)]
struct File {
    /// As it is shown in messages.
    path: PathBuf,
    sections: Sections,
}

impl Files {
    /// Each file as its name in messages and its bytes.
    pub fn parse(config: (&Path, &[u8]), credentials: (&Path, &[u8])) -> Result<Files, Error> {
        let parse = |(path, bytes): (&Path, &[u8]), dialect| {
            let sections = ini::parse(bytes, dialect).map_err(|e| e.context(path.display()))?;
            Ok(File { path: path.to_owned(), sections })
        };
        Ok(Files {
            config: parse(config, Dialect::Config)?,
            credentials: parse(credentials, Dialect::Credentials)?,
        })
    }

    /// The profile, from one file or both. One that somebody named must exist.
    pub fn profile<'a>(&'a self, selected: &'a Selection) -> Result<Option<Profile<'a>>, Error> {
        let name = selected.name.as_str();
        let config = self.config.sections.profiles.get(name);
        let credentials = self.credentials.sections.profiles.get(name);
        if config.is_some() || credentials.is_some() {
            return Ok(Some(Profile { name, config, credentials, files: self }));
        }
        match selected.named_by {
            Some(_) => Err(self.missing(name)),
            None => Ok(None),
        }
    }

    fn missing(&self, name: &str) -> Error {
        let (config, credentials) = (self.config.path.display(), self.credentials.path.display());
        let advice = if self.config.sections.misnamed.contains(name) {
            format!("; write [profile {name}] instead of [{name}] in {config}")
        } else if self.credentials.sections.misnamed.contains(name) {
            format!("; write [{name}] instead of [profile {name}] in {credentials}")
        } else {
            String::new()
        };
        let names = self.names();
        let message = format!(
            "profile {name:?} could not be found in {config} or {credentials} ({names}){advice}"
        );
        Error::new(Kind::Credentials, message)
    }

    /// The profiles there are, the first twenty by name.
    fn names(&self) -> String {
        const SHOWN: usize = 20;
        let (config, credentials) = (&self.config.sections, &self.credentials.sections);
        let mut names: Vec<&str> =
            config.profiles.keys().chain(credentials.profiles.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        match names.len() {
            0 => "no profiles there".to_owned(),
            count if count > SHOWN => {
                format!("profiles there: {} and {} more", names[..SHOWN].join(", "), count - SHOWN)
            }
            _ => format!("profiles there: {}", names.join(", ")),
        }
    }
}

/// One profile: its section in the config file under its section in the credentials file.
#[derive(Debug)]
pub struct Profile<'a> {
    pub name: &'a str,
    config: Option<&'a Section>,
    credentials: Option<&'a Section>,
    files: &'a Files,
}

/// Where a profile's credentials come from. The order of the variants is the order in which they are looked
/// for: the AWS CLI's.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// `role_arn`, on top of `source_profile` or `credential_source`.
    AssumeRole,
    /// `web_identity_token_file`.
    WebIdentity,
    /// `sso_account_id`, `sso_role_name`.
    Sso,
    /// Keys in the credentials file, or, after all others, in the config file.
    Keys { key: AccessKey, file: PathBuf },
    /// `login_session`, written by `aws login`.
    Login,
    /// `credential_process`.
    Process,
}

impl<'a> Profile<'a> {
    pub fn get(&self, setting: &str) -> Option<&'a str> {
        let of = |section: Option<&'a Section>| section.and_then(|section| section.get(setting));
        of(self.credentials).or_else(|| of(self.config))
    }

    /// `None` when the profile holds settings but no credentials.
    pub fn plan(&self) -> Result<Option<Plan>, Error> {
        let has = |setting| self.get(setting).is_some();
        Ok(if has("role_arn") && !has("web_identity_token_file") {
            Some(Plan::AssumeRole)
        } else if has("web_identity_token_file") {
            Some(Plan::WebIdentity)
        } else if has("sso_account_id") || has("sso_role_name") {
            Some(Plan::Sso)
        } else if let Some(keys) = self.keys(self.credentials, &self.files.credentials)? {
            Some(keys)
        } else if has("login_session") {
            Some(Plan::Login)
        } else if has("credential_process") {
            Some(Plan::Process)
        } else {
            self.keys(self.config, &self.files.config)?
        })
    }

    /// What looks like a mistake but is none for certain.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        ["aws_access_key_id", "aws_secret_access_key", "role_arn", "region"]
            .into_iter()
            .filter(|setting| self.get(setting).is_some_and(|v| v.starts_with(['"', '\''])))
            .map(|setting| {
                let name = self.name;
                format!(
                    "profile {name:?}: {setting} begins with a quote, which is part of its value"
                )
            })
    }

    /// Id, secret and token of one file: a token must never be joined to another file's keys.
    fn keys(&self, section: Option<&Section>, file: &File) -> Result<Option<Plan>, Error> {
        let setting = |name| section.and_then(|section| section.get(name));
        let (id, secret) = (setting("aws_access_key_id"), setting("aws_secret_access_key"));
        let fault = |message: String| {
            let error = Error::new(Kind::Credentials, message);
            Err(error.context(format_args!("profile {:?}", self.name)))
        };
        let (id, secret) = match (id, secret) {
            (Some(id), Some(secret)) => (id, secret),
            (Some(_), None) => {
                return fault("aws_secret_access_key is missing beside aws_access_key_id".into());
            }
            (None, Some(_)) => {
                return fault("aws_access_key_id is missing beside aws_secret_access_key".into());
            }
            (None, None) => return Ok(None),
        };
        let token = setting("aws_session_token");
        for (name, value) in [("aws_access_key_id", Some(id)), ("aws_session_token", token)] {
            if !value.is_none_or(sendable) {
                return fault(format!("{name} holds a character that cannot be sent"));
            }
        }
        let key = AccessKey {
            id: id.to_owned(),
            secret: Secret::new(secret),
            token: token.map(Secret::new),
        };
        Ok(Some(Plan::Keys { key, file: file.path.clone() }))
    }
}
