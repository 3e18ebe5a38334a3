//! The config and the credentials file → the selected profile → where its credentials come from. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::credentials::config::ini::{self, Dialect, Section, Sections};
use crate::credentials::types::{access_key, sendable};
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::signing::AccessKey;
use crate::suggest::nearest;

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
            let sections = ini::parse(bytes, dialect).map_err(|error| {
                let file = path.display();
                let hint = error.hint_text().unwrap_or_default();
                let hint = hint.replacen("FILE", &file.to_string(), 1);
                error.context(file).hint(hint)
            })?;
            Ok(File { path: path.to_owned(), sections })
        };
        Ok(Files {
            config: parse(config, Dialect::Config)?,
            credentials: parse(credentials, Dialect::Credentials)?,
        })
    }

    /// The profile, from one file or both. One that somebody named must exist.
    pub fn profile<'a>(&'a self, selected: &'a Selection) -> Result<Option<Profile<'a>>, Error> {
        match (self.find(&selected.name), selected.named_by) {
            (None, Some(_)) => Err(self.missing(&selected.name)),
            (found, _) => Ok(found),
        }
    }

    fn find<'a>(&'a self, name: &'a str) -> Option<Profile<'a>> {
        let config = self.config.sections.profiles.get(name);
        let credentials = self.credentials.sections.profiles.get(name);
        let exists = config.is_some() || credentials.is_some();
        exists.then_some(Profile { name, config, credentials, files: self })
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
        let names = self.shown_names();
        let message = format!(
            "profile {name:?} could not be found in {config} or {credentials} ({names}){advice}"
        );
        let error = Error::new(Kind::Credentials, message);
        match nearest(name, self.names()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        }
    }

    /// The profiles there are, by name.
    fn names(&self) -> Vec<&str> {
        let (config, credentials) = (&self.config.sections, &self.credentials.sections);
        let mut names: Vec<&str> =
            config.profiles.keys().chain(credentials.profiles.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The first twenty of them.
    fn shown_names(&self) -> String {
        const SHOWN: usize = 20;
        let names = self.names();
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
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    pub name: &'a str,
    config: Option<&'a Section>,
    credentials: Option<&'a Section>,
    files: &'a Files,
}

/// Where credentials come from: first the base answers, then each role is assumed with what came before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub base: BaseProvider,
    pub roles: Vec<Role>,
}

/// The beginning of a plan.
#[derive(Debug, PartialEq, Eq)]
pub enum BaseProvider {
    /// `credential_source`.
    NamedSource {
        source: CredentialSource,
        profile: String,
    },
    /// Keys in the credentials file, or, after all others, in the config file.
    Keys {
        key: AccessKey,
        account: Option<String>,
        profile: String,
        file: PathBuf,
    },
    /// `login_session`, written by `aws login`.
    Login {
        session: String,
        profile: String,
    },
    /// `credential_process`.
    Process {
        command: String,
        profile: String,
    },
    Sso(Sso),
    WebIdentity(WebIdentity),
}

/// What `credential_source` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    Environment,
    EcsContainer,
    Ec2InstanceMetadata,
}

impl CredentialSource {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            CredentialSource::Environment => "Environment",
            CredentialSource::EcsContainer => "EcsContainer",
            CredentialSource::Ec2InstanceMetadata => "Ec2InstanceMetadata",
        }
    }
}

/// A role for `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    /// Whose `role_arn` it is; `None` for `--role-arn`.
    pub profile: Option<String>,
    pub external_id: Option<String>,
    pub session_name: Option<String>,
    pub duration_seconds: Option<u32>,
}

/// A role for `sts:AssumeRoleWithWebIdentity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    pub token_file: PathBuf,
    pub role_arn: String,
    pub session_name: Option<String>,
    /// `None`: the environment asks for it.
    pub profile: Option<String>,
}

/// An account and a role of IAM Identity Center.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sso {
    pub profile: String,
    /// `sso_session`; `None` in the older form, whose tokens cannot be refreshed.
    pub session: Option<String>,
    pub start_url: String,
    pub region: String,
    pub account: String,
    pub role: String,
}

impl<'a> Profile<'a> {
    pub fn get(&self, setting: &str) -> Option<&'a str> {
        let of = |section: Option<&'a Section>| section.and_then(|section| section.get(setting));
        of(self.credentials).or_else(|| of(self.config))
    }

    /// A setting for a service, in the `[services]` section that the profile names.
    pub fn of_services(&self, service: &str, setting: &str) -> Option<&'a str> {
        let section = self.files.config.sections.services.get(self.get("services")?)?;
        section.nested(service, setting)
    }

    /// Follows `role_arn` from profile to profile down to a base. `None` when the profile holds settings but
    /// no credentials.
    pub fn plan(&self, warnings: &mut Vec<String>) -> Result<Option<Plan>, Error> {
        let mut roles = Vec::new();
        let mut path = vec![self.name];
        let mut profile = *self;
        let base = loop {
            profile.warn_of_quotes(warnings);
            // The keys of a source profile come before its own role; those of the selected one do not.
            if path.len() > 1
                && let Some(keys) = profile.keys()?
            {
                break keys;
            }
            let Some(arn) = profile.role_arn() else {
                match (profile.base()?, path.as_slice()) {
                    (Some(base), _) => break base,
                    (None, [.., before, last]) => {
                        let message = format!(
                            "profile {last:?} (source_profile of {before:?}) has no credentials"
                        );
                        return Err(Error::new(Kind::Credentials, message));
                    }
                    (None, _) => return Ok(None),
                }
            };
            roles.push(profile.role(arn, warnings)?);
            match (profile.get("source_profile"), profile.get("credential_source")) {
                (Some(next), None) if next == profile.name => match profile.keys()? {
                    Some(keys) => break keys,
                    None => return Err(self.looped(&path, next)),
                },
                (Some(next), None) if path.contains(&next) => return Err(self.looped(&path, next)),
                (Some(next), None) => {
                    let found = self.files.find(next);
                    profile = found.ok_or_else(|| {
                        profile.fault(format_args!("source_profile {next:?} could not be found"))
                    })?;
                    path.push(profile.name);
                }
                (None, Some(source)) => {
                    let source = profile.credential_source(source)?;
                    break BaseProvider::NamedSource { source, profile: profile.name.to_owned() };
                }
                _ => {
                    return Err(profile.fault(
                        "role_arn needs exactly one of source_profile and credential_source",
                    ));
                }
            }
        };
        roles.reverse();
        Ok(Some(Plan { base, roles }))
    }

    fn looped(&self, path: &[&str], next: &str) -> Error {
        self.fault(format_args!("source_profile loop: {} -> {next}", path.join(" -> ")))
    }

    /// For `sts:AssumeRole`: with a token file it is another operation's.
    fn role_arn(&self) -> Option<&'a str> {
        self.get("role_arn").filter(|_| self.get("web_identity_token_file").is_none())
    }

    fn role(&self, arn: &str, warnings: &mut Vec<String>) -> Result<Role, Error> {
        if self.get("mfa_serial").is_some() {
            let message = "needs an MFA code (mfa_serial), which cannot be asked for here";
            let hint = "use a credential_process or SSO profile, or export session credentials";
            let message = format!("profile {:?} {message}", self.name);
            return Err(Error::new(Kind::Credentials, message).hint(hint));
        }
        let duration = self.get("duration_seconds");
        let duration_seconds = duration.and_then(|text| text.parse().ok());
        if duration.is_some() && duration_seconds.is_none() {
            let name = self.name;
            warnings
                .push(format!("profile {name:?}: duration_seconds is ignored: no whole number"));
        }
        let owned = |setting| self.get(setting).map(str::to_owned);
        Ok(Role {
            arn: arn.to_owned(),
            profile: Some(self.name.to_owned()),
            external_id: owned("external_id"),
            session_name: owned("role_session_name"),
            duration_seconds,
        })
    }

    fn credential_source(&self, text: &str) -> Result<CredentialSource, Error> {
        use CredentialSource::{Ec2InstanceMetadata, EcsContainer, Environment};
        let known = [Environment, Ec2InstanceMetadata, EcsContainer];
        known.into_iter().find(|source| source.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = known.map(CredentialSource::name).join(", ");
            self.fault(format_args!("unknown credential_source {text:?} ({names})"))
        })
    }

    /// Everything but `role_arn`, in the AWS CLI's order.
    fn base(&self) -> Result<Option<BaseProvider>, Error> {
        let profile = || self.name.to_owned();
        if let Some(token_file) = self.get("web_identity_token_file") {
            let role_arn = self
                .get("role_arn")
                .ok_or_else(|| self.fault("web_identity_token_file without role_arn"))?;
            return Ok(Some(BaseProvider::WebIdentity(WebIdentity {
                token_file: token_file.into(),
                role_arn: role_arn.to_owned(),
                session_name: self.get("role_session_name").map(str::to_owned),
                profile: Some(profile()),
            })));
        }
        if self.get("sso_account_id").is_some() || self.get("sso_role_name").is_some() {
            return Ok(Some(BaseProvider::Sso(self.sso()?)));
        }
        if let Some(keys) = self.keys_of(self.credentials, &self.files.credentials)? {
            return Ok(Some(keys));
        }
        if let Some(session) = self.get("login_session") {
            return Ok(Some(BaseProvider::Login {
                session: session.trim().to_owned(),
                profile: profile(),
            }));
        }
        if let Some(command) = self.get("credential_process") {
            // Lines of a continued value are one command.
            let command = command.replace('\n', " ");
            return Ok(Some(BaseProvider::Process { command, profile: profile() }));
        }
        self.keys_of(self.config, &self.files.config)
    }

    fn sso(&self) -> Result<Sso, Error> {
        let beside = |setting: &str, other: &str| {
            let missing = || self.fault(format_args!("{setting} is missing beside {other}"));
            self.get(setting).map(str::to_owned).ok_or_else(missing)
        };
        let account = beside("sso_account_id", "sso_role_name")?;
        let role = beside("sso_role_name", "sso_account_id")?;
        let profile = self.name.to_owned();
        let Some(name) = self.get("sso_session") else {
            let start_url = beside("sso_start_url", "sso_account_id")?;
            let region = beside("sso_region", "sso_account_id")?;
            return Ok(Sso { profile, session: None, start_url, region, account, role });
        };
        let session =
            self.files.config.sections.sso_sessions.get(name).ok_or_else(|| {
                self.fault(format_args!("sso_session {name:?} could not be found"))
            })?;
        let of_session = |setting: &str| {
            let value = session.get(setting).ok_or_else(|| {
                let message = format!("sso-session {name:?}: {setting} is missing");
                Error::new(Kind::Credentials, message)
            })?;
            if self.get(setting).is_some_and(|own| own != value) {
                return Err(self.fault(format_args!("{setting} differs from sso-session {name:?}")));
            }
            Ok(value.to_owned())
        };
        let (region, start_url) = (of_session("sso_region")?, of_session("sso_start_url")?);
        Ok(Sso { profile, session: Some(name.to_owned()), start_url, region, account, role })
    }

    /// What looks like a mistake but is none for certain.
    fn warn_of_quotes(&self, warnings: &mut Vec<String>) {
        let name = self.name;
        for setting in ["aws_access_key_id", "aws_secret_access_key", "role_arn", "region"] {
            if self.get(setting).is_some_and(|value| value.starts_with(['"', '\''])) {
                warnings.push(format!(
                    "profile {name:?}: {setting} begins with a quote, which is part of its value"
                ));
            }
        }
        if self.get("role_arn").is_none() {
            for setting in ["source_profile", "credential_source"] {
                if self.get(setting).is_some() {
                    warnings.push(format!(
                        "profile {name:?}: {setting} is ignored: there is no role_arn"
                    ));
                }
            }
        }
    }

    fn keys(&self) -> Result<Option<BaseProvider>, Error> {
        match self.keys_of(self.credentials, &self.files.credentials)? {
            Some(keys) => Ok(Some(keys)),
            None => self.keys_of(self.config, &self.files.config),
        }
    }

    /// Id, secret and token of one file: a token must never be joined to another file's keys.
    fn keys_of(
        &self,
        section: Option<&Section>,
        file: &File,
    ) -> Result<Option<BaseProvider>, Error> {
        let setting = |name| section.and_then(|section| section.get(name));
        let (id, secret) = match (setting("aws_access_key_id"), setting("aws_secret_access_key")) {
            (Some(id), Some(secret)) => (id, secret),
            (Some(_), None) => {
                return Err(self
                    .fault("aws_secret_access_key is missing beside aws_access_key_id")
                    .hint(format!(
                        "set aws_secret_access_key beside it in {}",
                        file.path.display()
                    )));
            }
            (None, Some(_)) => {
                return Err(self
                    .fault("aws_access_key_id is missing beside aws_secret_access_key")
                    .hint(format!("set aws_access_key_id beside it in {}", file.path.display())));
            }
            (None, None) => return Ok(None),
        };
        let token = setting("aws_session_token");
        for (name, value) in [("aws_access_key_id", Some(id)), ("aws_session_token", token)] {
            if !value.is_none_or(sendable) {
                return Err(
                    self.fault(format_args!("{name} holds a character that cannot be sent"))
                );
            }
        }
        let key = access_key(id, secret, token);
        let account = setting("aws_account_id").map(str::to_owned);
        let (profile, file) = (self.name.to_owned(), file.path.clone());
        Ok(Some(BaseProvider::Keys { key, account, profile, file }))
    }

    fn fault(&self, what: impl fmt::Display) -> Error {
        Error::new(Kind::Credentials, format!("profile {:?}: {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Secret;

    fn files(config: &str, credentials: &str) -> Files {
        let (config, credentials) = (config.as_bytes(), credentials.as_bytes());
        Files::parse((Path::new("config"), config), (Path::new("credentials"), credentials))
            .unwrap()
    }

    fn named(name: &str) -> Selection {
        Selection { name: name.into(), named_by: Some("--profile") }
    }

    /// The plan of a profile in a few words: the base, then the roles.
    fn plan_of(name: &str, config: &str, credentials: &str) -> String {
        let files = files(config, credentials);
        let plan = match files.profile(&named(name)).unwrap().unwrap().plan(&mut Vec::new()) {
            Ok(Some(plan)) => plan,
            Ok(None) => return "none".into(),
            Err(error) => return error.to_string(),
        };
        let base = match plan.base {
            BaseProvider::Keys { key, file, .. } => {
                let token = key.session_token.as_ref().map_or("", Secret::expose);
                format!(
                    "{} {} {token}@{}",
                    key.access_key_id,
                    key.secret_access_key.expose(),
                    file.display()
                )
            }
            BaseProvider::NamedSource { source, .. } => source.name().into(),
            BaseProvider::Login { session, .. } => format!("login {session}"),
            BaseProvider::Process { command, .. } => format!("process {command}"),
            BaseProvider::Sso(sso) => {
                format!("sso {:?} {} {}", sso.session, sso.region, sso.start_url)
            }
            BaseProvider::WebIdentity(identity) => format!("web {}", identity.role_arn),
        };
        let roles = plan.roles.into_iter().map(|role| role.arn);
        [base].into_iter().chain(roles).collect::<Vec<_>>().join(" > ")
    }

    /// That of `default`, which is in both files.
    fn plan(config: &str, credentials: &str) -> String {
        plan_of("default", &format!("[default]\n{config}"), &format!("[default]\n{credentials}"))
    }

    #[test]
    fn sources_in_order() {
        const KEYS: &str = "aws_access_key_id=A\naws_secret_access_key=S\n";
        const TOKEN: &str = "aws_session_token=T\n";
        const ROLE: &str = "role_arn=r\nsource_profile=default\n";
        const WEB: &str = "web_identity_token_file=/t\n";
        const SSO: &str = "sso_account_id=1\nsso_role_name=R\nsso_start_url=u\nsso_region=x\n";
        const LOGIN: &str = "login_session=l\n";
        const PROCESS: &str = "credential_process=p\n  q\n";
        for (config, credentials, expected) in [
            (vec![], vec![], "none"),
            (vec!["sso_session=s\nregion=x\nsource_profile=y"], vec![], "none"),
            (vec![ROLE, SSO, KEYS], vec![KEYS], "A S @credentials > r"),
            (vec![ROLE, WEB, SSO], vec![KEYS], "web r"),
            (vec![SSO, LOGIN, KEYS], vec![KEYS], "sso None x u"),
            (vec![LOGIN, PROCESS, KEYS], vec![KEYS], "A S @credentials"),
            (vec![LOGIN, PROCESS, KEYS], vec![], "login l"),
            (vec![PROCESS, KEYS], vec![], "process p q"),
            (vec![KEYS, TOKEN], vec![], "A S T@config"),
            (vec![KEYS, TOKEN], vec![KEYS], "A S @credentials"),
            (vec![KEYS], vec![TOKEN], "A S @config"),
        ] {
            assert_eq!(plan(&config.concat(), &credentials.concat()), expected, "{config:?}");
        }
    }

    #[test]
    fn roles_upon_roles() {
        const KEYS: &str = "[keys]\naws_access_key_id=A\naws_secret_access_key=S\n[b]\n";
        for (config, expected) in [
            ("[profile a]\nrole_arn=ra\nsource_profile=keys", "A S @credentials > ra"),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nrole_arn=rb\nsource_profile=keys",
                "A S @credentials > rb > ra",
            ),
            ("[profile a]\nrole_arn=ra\ncredential_source=ecscontainer", "EcsContainer > ra"),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nrole_arn=rb\nsource_profile=a",
                "profile \"a\": source_profile loop: a -> b -> a",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=a",
                "profile \"a\": source_profile loop: a -> a",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=gone",
                "profile \"a\": source_profile \"gone\" could not be found",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b",
                "profile \"b\" (source_profile of \"a\") has no credentials",
            ),
            (
                "[profile a]\nrole_arn=ra",
                "profile \"a\": role_arn needs exactly one of source_profile and credential_source",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\ncredential_source=Environment",
                "profile \"a\": role_arn needs exactly one of source_profile and credential_source",
            ),
            (
                "[profile a]\nrole_arn=ra\ncredential_source=X",
                "profile \"a\": unknown credential_source \"X\" (Environment, Ec2InstanceMetadata, EcsContainer)",
            ),
            (
                "[profile a]\nweb_identity_token_file=t",
                "profile \"a\": web_identity_token_file without role_arn",
            ),
        ] {
            assert_eq!(plan_of("a", config, KEYS), expected, "{config}");
        }
        let mfa = "[profile a]\nrole_arn=r\nsource_profile=keys\nmfa_serial=m";
        assert!(
            plan_of("a", mfa, KEYS).starts_with("profile \"a\" needs an MFA code (mfa_serial)")
        );
    }

    #[test]
    fn a_long_chain_of_roles() {
        let profile = |at| format!("[profile p{at}]\nrole_arn=r\nsource_profile=p{}\n", at + 1);
        let mut config = (0..3_000).map(profile).collect::<Vec<_>>().concat();
        config += "[profile p3000]\naws_access_key_id=A\naws_secret_access_key=S\n";
        let plan = plan_of("p0", &config, "");
        assert_eq!(plan.matches(" > r").count(), 3_000);
    }

    #[test]
    fn sso_in_both_forms() {
        const SESSION: &str = "[sso-session s]\nsso_region=x\nsso_start_url=u\n";
        let sso = |profile: &str, session: &str| {
            plan_of("a", &format!("[profile a]\n{profile}\n{session}"), "")
        };
        let of_session = "sso_session=s\nsso_account_id=1\nsso_role_name=R";
        assert_eq!(sso(of_session, SESSION), "sso Some(\"s\") x u");
        assert_eq!(sso(&format!("{of_session}\nsso_region=x"), SESSION), "sso Some(\"s\") x u");
        for (profile, session, message) in [
            (of_session, "", "profile \"a\": sso_session \"s\" could not be found"),
            (
                of_session,
                "[sso-session s]\nsso_start_url=u",
                "sso-session \"s\": sso_region is missing",
            ),
            (
                "sso_session=s\nsso_account_id=1",
                SESSION,
                "profile \"a\": sso_role_name is missing beside sso_account_id",
            ),
            (
                "sso_role_name=R",
                "",
                "profile \"a\": sso_account_id is missing beside sso_role_name",
            ),
            (
                "sso_session=s\nsso_account_id=1\nsso_role_name=R\nsso_region=y",
                SESSION,
                "profile \"a\": sso_region differs from sso-session \"s\"",
            ),
        ] {
            assert_eq!(sso(profile, session), message);
        }
    }

    #[test]
    fn half_a_pair_is_an_error_and_is_not_completed() {
        let both = "aws_access_key_id=A\naws_secret_access_key=S";
        let no_secret = "profile \"default\": aws_secret_access_key is missing beside aws_access_key_id \
             (set aws_secret_access_key beside it in credentials)";
        let no_id = |file| {
            format!(
                "profile \"default\": aws_access_key_id is missing beside aws_secret_access_key \
                 (set aws_access_key_id beside it in {file})"
            )
        };
        assert_eq!(plan("", "aws_access_key_id=A"), no_secret);
        assert_eq!(plan("", "aws_access_key_id=A\naws_secret_access_key="), no_secret);
        assert_eq!(plan("aws_secret_access_key=S", ""), no_id("config"));
        assert_eq!(plan(both, "aws_secret_access_key=S"), no_id("credentials"));
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
        assert_eq!(missing("[profile xy]", ""), "profiles there: xy) (did you mean xy?)");
        let many: Vec<String> = (0..25).map(|number| format!("[p{number:02}]\n")).collect();
        let many = many.concat();
        assert!(missing("", &many).ends_with("p18, p19 and 5 more)"));
    }

    #[test]
    fn what_looks_like_a_mistake_is_warned_of() {
        let files =
            files("[default]\nregion='eu'\nsource_profile=x", "[default]\naws_access_key_id=\"A\"");
        let selected = named("default");
        let mut warnings = Vec::new();
        let _ = files.profile(&selected).unwrap().unwrap().plan(&mut warnings);
        assert_eq!(
            warnings,
            [
                "profile \"default\": aws_access_key_id begins with a quote, which is part of its value",
                "profile \"default\": region begins with a quote, which is part of its value",
                "profile \"default\": source_profile is ignored: there is no role_arn",
            ]
        );
    }
}
