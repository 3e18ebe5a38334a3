//! AWS credentials: where they are looked for, in which order, and `CredentialCache`, which remembers them.
//!
//! `ini` and `profile` turn the text of the two files into a plan and touch nothing; this file asks the
//! sources. Those of this version are the environment's keys and a profile's keys. Whoever asks for another
//! one is told so: falling on to the next source could sign as somebody else.

mod files;
pub mod ini;
pub mod profile;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::signing::{AccessKey, Secret};
use files::{Location, Stamp};
use profile::{Files, Plan, Profile, Selection};

/// What AWS signs with, how long it lasts and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub key: AccessKey,
    /// `None`: they do not say.
    pub expires: Option<OffsetDateTime>,
    pub source: Source,
}

/// Who answered. The order of the variants is the order of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `AWS_ACCESS_KEY_ID` and its companions.
    Environment,
    /// Keys written in a profile; the file as a person writes it.
    Profile { name: String, file: PathBuf },
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Environment => out.write_str("environment"),
            Source::Profile { name, file } => write!(out, "profile {name} ({})", file.display()),
        }
    }
}

/// The current credentials. Any thread may ask; one at a time goes and looks.
#[derive(Debug)]
pub struct CredentialCache {
    environment: Environment,
    /// From `--profile`.
    profile: Option<String>,
    files: [Location; 2],
    /// Held by the thread that asks the sources, so that the others wait for what it finds.
    flight: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was found last, unless it was rejected since.
    found: Option<Result<Arc<Credentials>, Error>>,
    /// What the files looked like just before.
    seen: Option<[Stamp; 2]>,
    /// How often the sources were asked.
    turn: u64,
    /// Not taken yet.
    warnings: Vec<String>,
    /// Said before, and not to be said again while it lasts.
    said: Vec<String>,
}

impl CredentialCache {
    /// Reads nothing yet.
    pub fn new(environment: Environment, profile: Option<String>) -> CredentialCache {
        let files = [Location::config(&environment), Location::credentials(&environment)];
        CredentialCache {
            environment,
            profile,
            files,
            flight: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// The credentials to sign with now. Those found before, until they expire, are rejected, or a file they
    /// depend on changes. A change that cannot be used, such as a file half written, is a warning while the
    /// old credentials last.
    pub fn get(&self, now: OffsetDateTime) -> Result<Arc<Credentials>, Error> {
        let (turn, found, seen) = {
            let state = self.state();
            (state.turn, state.valid(now), state.seen.clone())
        };
        if let Some(found) = found
            && (found.source == Source::Environment || self.unchanged(seen.as_ref(), now))
        {
            return Ok(found);
        }
        let _flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let state = self.state();
            if state.turn != turn
                && let Some(found) = &state.found
            {
                return found.clone();
            }
        }
        // Before reading: what changes in between shows at the next call.
        let seen = self.files.each_ref().map(Location::stamp);
        let mut warnings = Vec::new();
        let found =
            resolve(&self.environment, self.profile.as_deref(), &self.files, now, &mut warnings);
        self.state().settle(found.map(Arc::new), seen, warnings, now)
    }

    /// After a refusal that blames the key: forgets exactly this one, so that the next call looks again.
    pub fn reject(&self, bad: &Arc<Credentials>) {
        let mut state = self.state();
        if matches!(&state.found, Some(Ok(found)) if Arc::ptr_eq(found, bad)) {
            state.found = None;
        }
    }

    /// What a person should know although it works, each once; for the log.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state().warnings)
    }

    fn unchanged(&self, seen: Option<&[Stamp; 2]>, now: OffsetDateTime) -> bool {
        let current = self.files.each_ref().map(Location::stamp);
        seen == Some(&current) && current.iter().all(|stamp| stamp.is_settled(now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each value is valid between statements, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn valid(&self, now: OffsetDateTime) -> Option<Arc<Credentials>> {
        match &self.found {
            Some(Ok(found)) if found.expires.is_none_or(|expires| expires > now) => {
                Some(found.clone())
            }
            _ => None,
        }
    }

    /// Remembers what was found. The same credentials stay the same `Arc`.
    fn settle(
        &mut self,
        found: Result<Arc<Credentials>, Error>,
        seen: [Stamp; 2],
        mut warnings: Vec<String>,
        now: OffsetDateTime,
    ) -> Result<Arc<Credentials>, Error> {
        let found = match (self.valid(now), found) {
            (Some(old), Ok(new)) if old == new => Ok(old),
            (Some(old), Err(error)) => {
                let source = &old.source;
                warnings.push(format!(
                    "a change cannot be used, so the keys of {source} stay in use: {error}"
                ));
                Ok(old)
            }
            (_, found) => found,
        };
        self.warnings.extend(warnings.iter().filter(|text| !self.said.contains(text)).cloned());
        self.said = warnings;
        self.found = Some(found.clone());
        self.seen = Some(seen);
        self.turn += 1;
        found
    }
}

/// A setting of the selected profile, both files merged: its `region`, its `ca_bundle`. `profile` is what
/// `--profile` says.
pub fn profile_setting(
    environment: &Environment,
    profile: Option<&str>,
    setting: &str,
) -> Result<Option<String>, Error> {
    let locations = [Location::config(environment), Location::credentials(environment)];
    let files = read(&locations, &mut Vec::new())?;
    let selected = Selection::new(environment, profile);
    let profile = files.profile(&selected)?;
    Ok(profile.and_then(|profile| profile.get(setting)).map(str::to_owned))
}

/// Walks the chain. A source that is switched on answers or fails; it is never passed over because it failed.
fn resolve(
    environment: &Environment,
    flag: Option<&str>,
    locations: &[Location; 2],
    now: OffsetDateTime,
    warnings: &mut Vec<String>,
) -> Result<Credentials, Error> {
    // First of all, whoever answers: a mistyped profile or a broken file must not pass unseen.
    let files = read(locations, warnings)?;
    let selected = Selection::new(environment, flag);
    let profile = files.profile(&selected)?;

    if flag.is_none() {
        if let Some(credentials) = environment_keys(environment, now, warnings)? {
            if let Some(variable) = selected.named_by {
                warnings.push(format!(
                    "{variable} ({}) is ignored: AWS_ACCESS_KEY_ID is set and wins; use --profile to prefer it",
                    selected.name
                ));
            }
            return Ok(credentials);
        }
        if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            return Err(not_yet_of_environment("AWS_WEB_IDENTITY_TOKEN_FILE"));
        }
    }
    if let Some(profile) = &profile
        && let Some(plan) = profile.plan()?
    {
        warnings.extend(profile.warnings());
        return follow(plan, profile, flag.is_some());
    }
    let container =
        ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    if let Some((variable, _)) = environment.first(&container) {
        return Err(not_yet_of_environment(variable));
    }
    Err(nothing_found(environment, flag, &selected, profile.as_ref()))
}

fn read(locations: &[Location; 2], warnings: &mut Vec<String>) -> Result<Files, Error> {
    let [config, credentials] = locations;
    Files::parse(
        (&config.shown, &config.read(warnings)?),
        (&credentials.shown, &credentials.read(warnings)?),
    )
}

/// `AWS_ACCESS_KEY_ID` switches this source on. Half a pair is a mistake, not "no credentials".
fn environment_keys(
    environment: &Environment,
    now: OffsetDateTime,
    warnings: &mut Vec<String>,
) -> Result<Option<Credentials>, Error> {
    let Some(id) = environment.get("AWS_ACCESS_KEY_ID") else { return Ok(None) };
    let Some(secret) = environment.get("AWS_SECRET_ACCESS_KEY") else {
        let message = "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not";
        return Err(Error::new(Kind::Credentials, message));
    };
    let token = environment.first(&["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]);
    for (variable, value) in [("AWS_ACCESS_KEY_ID", id)].into_iter().chain(token) {
        if !sendable(value) {
            let message = format!("{variable} holds a character that cannot be sent");
            return Err(Error::new(Kind::Credentials, message));
        }
    }
    let mut expires = None;
    if let Some(text) = environment.get("AWS_CREDENTIAL_EXPIRATION") {
        match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(time) if time <= now => {
                let message = format!(
                    "environment credentials expired at {text} (AWS_CREDENTIAL_EXPIRATION)"
                );
                let hint = "set new ones and start again: a process cannot renew its environment";
                return Err(Error::new(Kind::Credentials, message).hint(hint));
            }
            Ok(time) => expires = Some(time),
            Err(_) => warnings.push(
                "AWS_CREDENTIAL_EXPIRATION is ignored: it is not a time like 2030-01-31T12:00:00Z"
                    .into(),
            ),
        }
    }
    let (id, secret) = (id.to_owned(), Secret::new(secret));
    let key = AccessKey { id, secret, token: token.map(|(_, token)| Secret::new(token)) };
    Ok(Some(Credentials { key, expires, source: Source::Environment }))
}

/// Key ids and tokens travel in headers, where a line break would start another one.
fn sendable(value: &str) -> bool {
    value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}

fn follow(plan: Plan, profile: &Profile<'_>, by_flag: bool) -> Result<Credentials, Error> {
    let name = profile.name;
    let setting = match plan {
        Plan::Keys { key, file } => {
            let source = Source::Profile { name: name.to_owned(), file };
            return Ok(Credentials { key, expires: None, source });
        }
        Plan::AssumeRole => "role_arn",
        Plan::WebIdentity => "web_identity_token_file",
        Plan::Sso => "sso_account_id or sso_role_name",
        Plan::Login => "login_session",
        Plan::Process => "credential_process",
    };
    let message = format!("profile {name:?} uses {setting}, which this version cannot resolve yet");
    let export = export_command(&format!(" --profile {}", shell_word(name)));
    let without = if by_flag { ", without --profile" } else { "" };
    Err(Error::new(Kind::Credentials, message)
        .hint(format!("run {export} and start again with these variables{without}")))
}

fn not_yet_of_environment(variable: &str) -> Error {
    let message =
        format!("{variable} is set, but this version cannot resolve such credentials yet");
    let export = export_command("");
    Error::new(Kind::Credentials, message)
        .hint(format!("run {export} and start again with these variables"))
}

fn export_command(profile: &str) -> String {
    format!("eval \"$(aws configure export-credentials{profile} --format env)\"")
}

/// A text as a shell reads it back: the name of a profile is any text.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn nothing_found(
    environment: &Environment,
    flag: Option<&str>,
    selected: &Selection,
    profile: Option<&Profile<'_>>,
) -> Error {
    let keys = match flag {
        None => "AWS_ACCESS_KEY_ID is not set",
        Some(_) => "not looked at beside --profile",
    };
    let name = &selected.name;
    let profile = match (profile, environment.home()) {
        (Some(_), _) => "holds no credentials",
        (None, Some(_)) => "not there",
        (None, None) => "not there, and HOME is not set",
    };
    let off = |value: &str| value.eq_ignore_ascii_case("true");
    let instance = match environment.get("AWS_EC2_METADATA_DISABLED") {
        Some(value) if off(value) => "switched off by AWS_EC2_METADATA_DISABLED",
        _ => "this version does not ask it yet",
    };
    Error::new(
        Kind::Credentials,
        format!(
            "no AWS credentials found (environment: {keys}; profile {name}: {profile}; \
             container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set; \
             IMDS: {instance})"
        ),
    )
    .hint(
        "run \"aws sso login\", \"aws login\" or \"aws configure\", \
         or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    fn keys(pairs: &[(&str, &str)]) -> Result<Option<Credentials>, Error> {
        environment_keys(&Environment::from_pairs(pairs.iter().copied()), NOW, &mut Vec::new())
    }

    #[test]
    fn keys_of_the_environment() {
        const ID: (&str, &str) = ("AWS_ACCESS_KEY_ID", "A");
        const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "S");
        for (pairs, expected) in [
            (&[][..], None),
            (&[SECRET, ("AWS_SESSION_TOKEN", "T")], None),
            (&[ID, SECRET], Some(("A", None))),
            (&[ID, SECRET, ("AWS_SECURITY_TOKEN", "O")], Some(("A", Some("O")))),
            (
                &[ID, SECRET, ("AWS_SECURITY_TOKEN", "O"), ("AWS_SESSION_TOKEN", "T")],
                Some(("A", Some("T"))),
            ),
        ] {
            let found = keys(pairs).unwrap();
            let key = found.as_ref().map(|found| &found.key);
            let found = key.map(|key| (key.id.as_str(), key.token.as_ref().map(Secret::expose)));
            assert_eq!(found, expected, "{pairs:?}");
        }
        assert!(keys(&[ID]).unwrap_err().message().ends_with("AWS_SECRET_ACCESS_KEY is not"));
        let expiry = |time| keys(&[ID, SECRET, ("AWS_CREDENTIAL_EXPIRATION", time)]);
        assert!(expiry("2030-01-01T00:00:00Z").is_err());
        let found = expiry("2030-01-01T01:00:00+00:30").unwrap().unwrap();
        assert_eq!(found.expires, Some(datetime!(2030-01-01 00:30 UTC)));
    }

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

    #[test]
    fn warnings_are_said_once_while_they_last() {
        let mut state = State::default();
        let stamps = || {
            [Location::config(&Environment::default()), Location::config(&Environment::default())]
                .map(|location| location.stamp())
        };
        let mut settle = |warnings: &[&str]| {
            let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
            let error = Error::new(Kind::Credentials, "none");
            state.settle(Err(error), stamps(), warnings, NOW).unwrap_err();
            std::mem::take(&mut state.warnings)
        };
        assert_eq!(settle(&["a"]), ["a"]);
        assert_eq!(settle(&["a", "b"]), ["b"]);
        assert_eq!(settle(&["b"]), [""; 0]);
        assert_eq!(settle(&["a"]), ["a"]);
    }
}
