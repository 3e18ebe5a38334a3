//! The config and the credentials file, and the profiles in them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::credentials::config::ini::{self, Dialect, Section, Sections};
use crate::credentials::config::location::Location;
use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::header_value::check_setting;
use crate::credentials::source::Source;
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::signing::AccessKey;
use crate::suggest::{flaw, nearest, shell_word};

/// The profile to use, and the setting that selects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub name: String,
    /// `--profile` or the variable. `None`: it is the default, which need not exist.
    pub named_by: Option<&'static str>,
}

impl Selection {
    /// The first of `--profile`, `AWS_PROFILE`, `AWS_DEFAULT_PROFILE` and `default`.
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
    /// Why there is neither of them.
    absence: Option<String>,
}

#[derive(Debug)]
struct File {
    /// As messages show it.
    path: PathBuf,
    sections: Sections,
}

impl Files {
    /// Reads and parses both files. A file that cannot be read counts as empty and is noted in the diagnostics: whether that
    /// is an error depends on what the files are needed for.
    ///
    /// # Errors
    /// A file is not in AWS's format.
    pub(crate) fn read(
        environment: &Environment,
        diagnostics: &mut Diagnostics,
    ) -> Result<Files, Error> {
        let (config, credentials) =
            (Location::config(environment), Location::credentials(environment));
        let (config_bytes, credentials_bytes) =
            (config.read(diagnostics), credentials.read(diagnostics));
        let mut files =
            Files::parse((&config.shown, &config_bytes), (&credentials.shown, &credentials_bytes))?;
        // In a container or under a desktop program the home directory is easily another one.
        if files.names().is_empty() && diagnostics.absent.is_empty() {
            files.absence = config.absence().filter(|_| credentials.absence().is_some());
        }
        Ok(files)
    }

    /// Parses both files; each argument is the name that messages show and the bytes.
    ///
    /// # Errors
    /// A file is not in AWS's format.
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
            absence: None,
        })
    }

    /// The selected profile; `None` if it is the default and does not exist.
    ///
    /// # Errors
    /// The profile was named and does not exist.
    pub fn profile<'a>(&'a self, selected: &'a Selection) -> Result<Option<Profile<'a>>, Error> {
        match (self.find(&selected.name), selected.named_by) {
            (None, Some(_)) => Err(self.missing(&selected.name)),
            (found, _) => Ok(found),
        }
    }

    /// The profile of this name, from one file or both.
    pub(crate) fn find<'a>(&'a self, name: &'a str) -> Option<Profile<'a>> {
        let config = self.config.sections.profiles.get(name);
        let credentials = self.credentials.sections.profiles.get(name);
        let exists = config.is_some() || credentials.is_some();
        exists.then_some(Profile { name, config, credentials, files: self })
    }

    /// The `[sso-session]` section of this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn sso_session(&self, name: &str) -> Result<&Section, Error> {
        let sessions = &self.config.sections.sso_sessions;
        sessions.get(name).ok_or_else(|| {
            let file = self.config.path.display();
            let message = format!("sso-session {name:?} could not be found in {file}");
            let error = Error::new(Kind::Credentials, message);
            let near = nearest(name, sessions.keys().map(String::as_str));
            match near.map(|near| format!("did you mean {near}?")) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    fn missing(&self, name: &str) -> Error {
        let (config, credentials) = (self.config.path.display(), self.credentials.path.display());
        let advice = self.header_advice("profile", name);
        let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        let names = self.shown_names();
        let message = format!(
            "profile {name:?} could not be found in {config} or {credentials} ({names}){advice}"
        );
        let error = Error::new(Kind::Credentials, message);
        let known = self.names();
        let several: Vec<&str> = name.split([' ', ',']).filter(|name| !name.is_empty()).collect();
        if several.len() > 1 && several.iter().all(|name| known.contains(name)) {
            let values = several.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
            let values = values.join(", ");
            return error.hint(format!(
                "write each name as an argument: \"--profile\", {values}; AWS_MCP_PROXY_PROFILES separates them by spaces"
            ));
        }
        // Some copy the whole header of a section.
        let bare = name.trim_matches(['[', ']']);
        let bare = bare.strip_prefix("profile ").unwrap_or(bare);
        match (nearest(bare, known), flaw(name)) {
            (Some(near), _) => error.hint(format!("did you mean {near}?")),
            (None, Some(flaw)) => error.hint(format!("the name {flaw}")),
            (None, None) if advice.is_empty() => {
                error.hint(format!("add it to {config}, or use another profile"))
            }
            (None, None) => error,
        }
    }

    /// How to write the header of a section that was not found, if there is one that was probably meant to be it.
    fn header_advice(&self, kind: &str, name: &str) -> Option<String> {
        let (config, credentials) = (&self.config, &self.credentials);
        // `[NAME]`, or another word in the place of the kind, such as `[Profile NAME]`.
        let is_meant = |inside: &&String| {
            *inside == name || inside.split_once(' ').is_some_and(|(_, rest)| rest.trim() == name)
        };
        let is_profile = config.sections.profiles.contains_key(name);
        let written = match config.sections.misnamed.iter().find(is_meant) {
            Some(inside) => inside.clone(),
            None if kind != "profile" && is_profile => format!("profile {name}"),
            None if kind == "profile" && credentials.sections.misnamed.contains(name) => {
                let file = credentials.path.display();
                return Some(format!("write [{name}] instead of [profile {name}] in {file}"));
            }
            None => return None,
        };
        let (quoted, file) = (shell_word(name), config.path.display());
        Some(format!("write [{kind} {quoted}] instead of [{written}] in {file}"))
    }

    /// The names of all profiles, sorted.
    fn names(&self) -> Vec<&str> {
        let (config, credentials) = (&self.config.sections, &self.credentials.sections);
        let mut names: Vec<&str> =
            config.profiles.keys().chain(credentials.profiles.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The profiles, for messages, if there is one in addition to this one.
    pub(crate) fn others(&self, name: &str) -> Option<String> {
        self.names().iter().any(|known| *known != name).then(|| self.shown_names())
    }

    /// The names of the first twenty profiles, for messages.
    fn shown_names(&self) -> String {
        const SHOWN: usize = 20;
        let names = self.names();
        match names.len() {
            0 => match &self.absence {
                Some(why) => format!("no profiles: {why}"),
                None => "no profiles".to_owned(),
            },
            count if count > SHOWN => {
                format!("profiles: {} and {} more", names[..SHOWN].join(", "), count - SHOWN)
            }
            _ => format!("profiles: {}", names.join(", ")),
        }
    }
}

/// One profile. Settings in the credentials file take precedence over those in the config file.
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    pub name: &'a str,
    config: Option<&'a Section>,
    credentials: Option<&'a Section>,
    files: &'a Files,
}

impl<'a> Profile<'a> {
    pub fn get(&self, setting: &str) -> Option<&'a str> {
        let of = |section: Option<&'a Section>| section.and_then(|section| section.get(setting));
        of(self.credentials).or_else(|| of(self.config))
    }

    /// The role for `sts:AssumeRole`. With a token file, `role_arn` is for `AssumeRoleWithWebIdentity`.
    pub(crate) fn role_to_assume(&self) -> Option<&'a str> {
        let has_token_file = self.get("web_identity_token_file").is_some();
        self.get("role_arn").filter(|_| !has_token_file)
    }

    /// A setting of a service, in the `[services]` section that the profile names.
    pub fn service_setting(&self, service: &str, setting: &str) -> Option<&'a str> {
        let section = self.files.config.sections.services.get(self.get("services")?)?;
        section.nested(service, setting)
    }

    /// The profile of this name in the same files.
    pub(crate) fn sibling(&self, name: &'a str) -> Option<Profile<'a>> {
        self.files.find(name)
    }

    /// An error about a section that this profile names and that was not found, with a hint if a similar one exists.
    pub(crate) fn missing_section(&self, what: impl fmt::Display, kind: &str, name: &str) -> Error {
        let error = self.fault(what);
        let sessions = self.files.config.sections.sso_sessions.keys().map(String::as_str);
        let near = match kind {
            "profile" => nearest(name, self.files.names()),
            _ => nearest(name, sessions),
        };
        let advice = self.files.header_advice(kind, name);
        let advice = advice.or_else(|| near.map(|near| format!("did you mean {near}?")));
        error.hint(advice.unwrap_or_else(|| {
            format!("add [{kind} {name}] to {}", self.files.config.path.display())
        }))
    }

    /// The `[sso-session]` section of this name.
    pub(crate) fn sso_session(&self, name: &str) -> Option<&'a Section> {
        self.files.config.sections.sso_sessions.get(name)
    }

    /// The keys in the credentials file, otherwise those in the config file.
    pub(crate) fn keys(&self) -> Result<Option<Credentials>, Error> {
        match self.keys_in_credentials_file()? {
            Some(keys) => Ok(Some(keys)),
            None => self.keys_in_config_file(),
        }
    }

    pub(crate) fn keys_in_credentials_file(&self) -> Result<Option<Credentials>, Error> {
        self.keys_in(self.credentials, &self.files.credentials)
    }

    pub(crate) fn keys_in_config_file(&self) -> Result<Option<Credentials>, Error> {
        self.keys_in(self.config, &self.files.config)
    }

    /// Id, secret and token of one file: a token must never be joined to another file's keys.
    fn keys_in(
        &self,
        section: Option<&Section>,
        file: &File,
    ) -> Result<Option<Credentials>, Error> {
        let setting = |name| section.and_then(|section| section.get(name));
        let (id, secret) = match (setting("aws_access_key_id"), setting("aws_secret_access_key")) {
            (Some(id), Some(secret)) => (id, secret),
            (Some(_), None) => {
                return Err(self
                    .fault("aws_access_key_id is set but aws_secret_access_key is not")
                    .hint(format!(
                        "set aws_secret_access_key as well in {}",
                        file.path.display()
                    )));
            }
            (None, Some(_)) => {
                return Err(self
                    .fault("aws_secret_access_key is set but aws_access_key_id is not")
                    .hint(format!("set aws_access_key_id as well in {}", file.path.display())));
            }
            (None, None) => return Ok(None),
        };
        // The second name is that of older tools.
        let token = setting("aws_session_token").or_else(|| setting("aws_security_token"));
        for (name, value) in [("aws_access_key_id", Some(id)), ("aws_session_token", token)] {
            let checked = value.map_or(Ok(()), |value| check_setting(name, value));
            checked.map_err(|error| error.context(format_args!("profile {:?}", self.name)))?;
        }
        Ok(Some(Credentials {
            key: AccessKey::new(id, secret, token),
            expires: None,
            account: setting("aws_account_id").map(str::to_owned),
            source: Source::Profile { name: self.name.to_owned(), file: file.path.clone() },
        }))
    }

    /// An error that names the profile.
    pub(crate) fn fault(&self, what: impl fmt::Display) -> Error {
        Error::new(Kind::Credentials, format!("profile {:?}: {what}", self.name))
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
    fn several_profiles_in_one_value() {
        let files = files("[profile dev]\n[profile prod]", "");
        for value in ["dev prod", "dev,prod", "dev, prod"] {
            let error = files.profile(&named(value)).unwrap_err().to_string();
            let hint = "(write each name as an argument: \"--profile\", \"dev\", \"prod\"; AWS_MCP_PROXY_PROFILES separates them by spaces)";
            assert!(error.ends_with(hint), "{error}");
        }
        let error = files.profile(&named("dev test")).unwrap_err().to_string();
        assert!(!error.contains("each name"), "{error}");
    }

    #[test]
    fn a_missing_profile() {
        let default = Selection { named_by: None, ..named("default") };
        assert!(files("", "").profile(&default).unwrap().is_none());

        let missing = |config, credentials| {
            let files = files(config, credentials);
            let error = files.profile(&named("x")).unwrap_err().to_string();
            let rest =
                error.strip_prefix("profile \"x\" could not be found in config or credentials (");
            rest.unwrap_or(&error).to_owned()
        };
        let add = "(add it to config, or use another profile)";
        assert_eq!(missing("", ""), format!("no profiles) {add}"));
        assert_eq!(
            missing("[profile b]\n[default]", "[a]\n[b]"),
            format!("profiles: a, b, default) {add}")
        );
        assert_eq!(
            missing("[Profile x]", ""),
            "no profiles); write [profile x] instead of [Profile x] in config"
        );
        assert_eq!(missing("[x]", ""), "no profiles); write [profile x] instead of [x] in config");
        let team = files("[my team]", "").profile(&named("my team")).unwrap_err().to_string();
        let quoted = shell_word("my team");
        let fix = format!("; write [profile {quoted}] instead of [my team] in config");
        assert!(team.contains(&fix), "{team}");
        assert_eq!(
            missing("", "[profile x]"),
            "no profiles); write [x] instead of [profile x] in credentials"
        );
        assert_eq!(missing("[profile xy]", ""), "profiles: xy) (did you mean xy?)");
        for copied in ["profile xy", "[profile xy]", "[xy]"] {
            let error = files("[profile xy]", "").profile(&named(copied)).unwrap_err();
            assert_eq!(error.hint_text(), Some("did you mean xy?"));
        }
        let unexpanded = files("[profile x]", "").profile(&named("${AWS_PROFILE}")).unwrap_err();
        let hint = "(the name contains a placeholder such as ${…} that was not replaced)";
        assert!(unexpanded.to_string().ends_with(hint), "{unexpanded}");
        let mut none = files("", "");
        none.absence = Some("/home/user/.aws/config does not exist".to_owned());
        let error = none.profile(&named("x")).unwrap_err().to_string();
        assert!(error.contains("(no profiles: /home/user/.aws/config does not exist)"), "{error}");
        let many: Vec<String> = (0..25).map(|number| format!("[p{number:02}]\n")).collect();
        let many = many.concat();
        assert!(missing("", &many).contains("p18, p19 and 5 more)"));
    }
}
