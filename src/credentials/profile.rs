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

#[cfg(test)]
mod tests {
    use super::*;

    fn files(config: &str, credentials: &str) -> Files {
        let (config, credentials) = (config.as_bytes(), credentials.as_bytes());
        Files::parse((Path::new("config"), config), (Path::new("credentials"), credentials))
            .unwrap()
    }

    fn named(name: &str) -> Selection {
        Selection { name: name.into(), named_by: Some("--profile") }
    }

    /// The plan of `default` in a few words.
    fn plan(config: &str, credentials: &str) -> String {
        let files = files(&format!("[default]\n{config}"), &format!("[default]\n{credentials}"));
        match files.profile(&named("default")).unwrap().unwrap().plan() {
            Ok(Some(Plan::Keys { key, file })) => {
                let token = key.token.as_ref().map_or("", Secret::expose);
                format!("{} {} {token}@{}", key.id, key.secret.expose(), file.display())
            }
            Ok(plan) => format!("{plan:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn sources_in_order() {
        const KEYS: &str = "aws_access_key_id=A\naws_secret_access_key=S\n";
        const TOKEN: &str = "aws_session_token=T\n";
        const ROLE: &str = "role_arn=r\nsource_profile=default\n";
        const WEB: &str = "web_identity_token_file=/t\n";
        const SSO: &str = "sso_account_id=1\n";
        const LOGIN: &str = "login_session=l\n";
        const PROCESS: &str = "credential_process=p\n";
        for (config, credentials, expected) in [
            (vec![], vec![], "None"),
            (vec!["sso_session=s\nregion=x\nsource_profile=y"], vec![], "None"),
            (vec![ROLE, SSO, KEYS], vec![KEYS], "Some(AssumeRole)"),
            (vec![ROLE, WEB, SSO], vec![KEYS], "Some(WebIdentity)"),
            (vec![WEB], vec![], "Some(WebIdentity)"),
            (vec![SSO, LOGIN, KEYS], vec![KEYS], "Some(Sso)"),
            (vec!["sso_role_name=R"], vec![], "Some(Sso)"),
            (vec![LOGIN, PROCESS, KEYS], vec![KEYS], "A S @credentials"),
            (vec![LOGIN, PROCESS, KEYS], vec![], "Some(Login)"),
            (vec![PROCESS, KEYS], vec![], "Some(Process)"),
            (vec![KEYS, TOKEN], vec![], "A S T@config"),
            (vec![KEYS, TOKEN], vec![KEYS], "A S @credentials"),
            (vec![KEYS], vec![TOKEN], "A S @config"),
        ] {
            assert_eq!(plan(&config.concat(), &credentials.concat()), expected, "{config:?}");
        }
    }

    #[test]
    fn half_a_pair_is_an_error_and_is_not_completed() {
        let both = "aws_access_key_id=A\naws_secret_access_key=S";
        let no_secret =
            "profile \"default\": aws_secret_access_key is missing beside aws_access_key_id";
        let no_id =
            "profile \"default\": aws_access_key_id is missing beside aws_secret_access_key";
        assert_eq!(plan("", "aws_access_key_id=A"), no_secret);
        assert_eq!(plan("", "aws_access_key_id=A\naws_secret_access_key="), no_secret);
        assert_eq!(plan("aws_secret_access_key=S", ""), no_id);
        assert_eq!(plan(both, "aws_secret_access_key=S"), no_id);
    }

    #[test]
    fn credentials_overlay_config_setting_by_setting() {
        let files = files("[default]\na=1\nb=1\nc=1", "[default]\nb=2\nc=");
        let selected = named("default");
        let profile = files.profile(&selected).unwrap().unwrap();
        let values = ["a", "b", "c", "d"].map(|setting| profile.get(setting));
        assert_eq!(values, [Some("1"), Some("2"), Some("1"), None]);
    }

    #[test]
    fn selection() {
        for (pairs, flag, expected) in [
            (&[][..], None, ("default", None)),
            (&[("AWS_DEFAULT_PROFILE", "b")], None, ("b", Some("AWS_DEFAULT_PROFILE"))),
            (
                &[("AWS_PROFILE", "a"), ("AWS_DEFAULT_PROFILE", "b")],
                None,
                ("a", Some("AWS_PROFILE")),
            ),
            (&[("AWS_PROFILE", "")], None, ("default", None)),
            (&[("AWS_PROFILE", "a")], Some("c"), ("c", Some("--profile"))),
        ] {
            let environment = Environment::from_pairs(pairs.iter().copied());
            let selection = Selection::new(&environment, flag);
            assert_eq!((selection.name.as_str(), selection.named_by), expected);
        }
    }

    #[test]
    fn a_missing_profile() {
        let nobody = Selection { named_by: None, ..named("default") };
        assert!(files("", "").profile(&nobody).unwrap().is_none());

        let missing = |config, credentials| {
            let files = files(config, credentials);
            let error = files.profile(&named("x")).unwrap_err().to_string();
            let rest =
                error.strip_prefix("profile \"x\" could not be found in config or credentials (");
            rest.unwrap_or(&error).to_owned()
        };
        assert_eq!(missing("", ""), "no profiles there)");
        assert_eq!(missing("[profile b]\n[default]", "[a]\n[b]"), "profiles there: a, b, default)");
        assert_eq!(
            missing("[x]", ""),
            "no profiles there); write [profile x] instead of [x] in config"
        );
        assert_eq!(
            missing("", "[profile x]"),
            "no profiles there); write [x] instead of [profile x] in credentials"
        );
        let many: Vec<String> = (0..25).map(|number| format!("[p{number:02}]\n")).collect();
        let many = many.concat();
        assert!(missing("", &many).ends_with("p18, p19 and 5 more)"));
    }

    #[test]
    fn quotes_are_warned_of() {
        let files =
            files("[default]\nregion='eu'\nrole_arn=x", "[default]\naws_access_key_id=\"A\"");
        let selected = named("default");
        let warnings: Vec<_> = files.profile(&selected).unwrap().unwrap().warnings().collect();
        assert_eq!(
            warnings,
            [
                "profile \"default\": aws_access_key_id begins with a quote, which is part of its value",
                "profile \"default\": region begins with a quote, which is part of its value"
            ]
        );
    }
}
