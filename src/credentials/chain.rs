//! The chain: who is asked for credentials, in which order, and the asking.
//!
//! A source that is switched on answers or fails; it is never passed over because it failed, for the next one
//! could sign as somebody else. Only the last, instance metadata, may end in "nothing found".

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::credentials::config::profile::{
    BaseProvider, CredentialSource, Files, Plan, Profile, Role, Selection, WebIdentity,
};
use crate::credentials::expiry;
use crate::credentials::sources::container;
use crate::credentials::sources::endpoints::{Endpoints, Service, is_region};
use crate::credentials::sources::imds;
use crate::credentials::sources::login;
use crate::credentials::sources::process;
use crate::credentials::sources::request::Network;
use crate::credentials::sources::sso;
use crate::credentials::sources::sts::{CallerIdentity, Sts};
use crate::credentials::types::{Credentials, Settings, Source, access_key, sendable};
use crate::credentials::watch::{self, Location, Watch};
use crate::environment::Environment;
use crate::error::{Error, Kind};

/// What asking brings up beside the answer.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    /// The files the answer depends on.
    pub(crate) watch: Watch,
    /// What a person should know although it works.
    pub(crate) warnings: Vec<String>,
    /// The sources that were not asked, in their order, and why.
    pub(crate) passed_over: Vec<String>,
    /// Why a file that may hold profiles is not read.
    pub(crate) unreadable: Option<Error>,
}

/// The source that is being asked, for callers that do not wait for its answer. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Option<String>>>);

impl Progress {
    pub(crate) fn source(&self) -> String {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        source.unwrap_or_else(|| "AWS credentials".to_owned())
    }

    fn asks(&self, source: impl Display) {
        let source = format!("AWS credentials from {source}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }
}

/// Asks the sources, and remembers what makes asking again cheaper.
pub(crate) struct Chain {
    environment: Environment,
    settings: Settings,
    files: [Location; 2],
    network: Network,
    progress: Progress,
    /// For roles that name no session: the same for the life of the process, so that a server that ties a
    /// session to the full name of its caller goes on knowing us.
    session_name: String,
    /// What each step of the plan but the last gave, and when to ask it again.
    steps: Vec<(Credentials, Option<OffsetDateTime>)>,
    imds: imds::Imds,
    sso_failure: sso::LastFailure,
    region_of_instance: Option<String>,
}

/// What one walk through the chain works with.
struct Walk<'a> {
    profile: Option<Profile<'a>>,
    selected: &'a Selection,
    endpoints: Endpoints,
    now: OffsetDateTime,
}

/// Where a walk begins.
enum Start {
    Credentials(Credentials),
    WebIdentity(WebIdentity),
    Profile(BaseProvider),
    Container,
    Instance,
}

impl Chain {
    pub(crate) fn new(
        environment: Environment,
        settings: Settings,
        started: OffsetDateTime,
        network: Network,
        progress: Progress,
    ) -> Chain {
        Chain {
            files: [Location::config(&environment), Location::credentials(&environment)],
            network,
            progress,
            session_name: format!("sigv4-proxy-{}", started.unix_timestamp()),
            environment,
            settings,
            steps: Vec::new(),
            imds: imds::Imds::default(),
            sso_failure: None,
            region_of_instance: None,
        }
    }

    /// Walks the chain from its beginning. `force`: nothing of what was remembered counts any more.
    pub(crate) fn resolve(
        &mut self,
        force: bool,
        now: OffsetDateTime,
        notes: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        if force {
            self.steps.clear();
            self.sso_failure = None;
        }
        // First of all, whoever answers: a variable that cannot be read, a mistyped profile or a broken file must not
        // pass unseen.
        if let Some(problem) = self.environment.problems().into_iter().next() {
            return Err(problem);
        }
        let files = read(&self.files, notes)?;
        let selected = Selection::new(&self.environment, self.settings.profile.as_deref());
        let found = files.profile(&selected);
        let profile = found.map_err(|missing| notes.unreadable.clone().unwrap_or(missing))?;
        let allow_http = self.settings.allow_http;
        let endpoints = Endpoints::new(&self.environment, profile.as_ref(), allow_http);
        let walk = Walk { profile, selected: &selected, endpoints, now };

        let behind = self.network.skew.behind();
        let (start, mut roles) = self.start(&walk, notes)?;
        roles.extend(self.settings.role.clone());
        let found = self
            .base(start, &walk, roles.is_empty(), notes)
            .and_then(|found| self.assume(found, &roles, &walk));
        if let Some(behind) = self.network.skew.behind().filter(|now| Some(*now) != behind) {
            let (seconds, side) = (behind.abs(), if behind < 0 { "ahead of" } else { "behind" });
            notes.warnings.push(format!(
                "local clock is {seconds} s {side} AWS; signing with AWS time (sync the clock with NTP)"
            ));
        }
        found
    }

    /// As whom AWS knows this key.
    pub(crate) fn caller_identity(
        &mut self,
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Result<CallerIdentity, Error> {
        let files = read(&self.files, &mut Diagnostics::default())?;
        let selected = Selection::new(&self.environment, self.settings.profile.as_deref());
        let profile = files.profile(&selected)?;
        let allow_http = self.settings.allow_http;
        let endpoints = Endpoints::new(&self.environment, profile.as_ref(), allow_http);
        let walk = Walk { profile, selected: &selected, endpoints, now };
        self.sts(&walk)?.caller_identity(credentials, now)
    }

    /// The region of this instance; for programs that have no other.
    pub(crate) fn region_of_instance(&mut self, now: OffsetDateTime) -> Option<String> {
        let files = read(&self.files, &mut Diagnostics::default()).ok()?;
        let selected = Selection::new(&self.environment, self.settings.profile.as_deref());
        let profile = files.profile(&selected).ok()?;
        self.ask_region(profile.as_ref(), now)
    }

    fn ask_region(&mut self, profile: Option<&Profile<'_>>, now: OffsetDateTime) -> Option<String> {
        if self.region_of_instance.is_none() {
            let service = imds::Service::new(&self.environment, profile).ok()?;
            self.region_of_instance = self.imds.region(&service, &self.network, now);
        }
        self.region_of_instance.clone()
    }

    fn start(&self, walk: &Walk<'_>, notes: &mut Diagnostics) -> Result<(Start, Vec<Role>), Error> {
        if self.settings.profile.is_some() {
            notes.passed_over.push("environment: not looked at beside --profile".to_owned());
        } else {
            let now = self.network.time_of_aws(walk.now);
            if let Some(found) = environment_keys(&self.environment, now, notes)? {
                if let Some(variable) = walk.selected.named_by {
                    let name = &walk.selected.name;
                    notes.warnings.push(format!(
                        "{variable} ({name}) is ignored: AWS_ACCESS_KEY_ID is set and wins; use --profile to prefer it"
                    ));
                }
                return Ok((Start::Credentials(found), Vec::new()));
            }
            notes.passed_over.push("environment: AWS_ACCESS_KEY_ID is not set".to_owned());
            if let Some(identity) = web_identity(&self.environment)? {
                return Ok((Start::WebIdentity(identity), Vec::new()));
            }
            let variable = "AWS_WEB_IDENTITY_TOKEN_FILE";
            notes.passed_over.push(format!("web identity: {variable} is not set"));
        }
        // What it holds might have signed, and the next source is somebody else.
        if let Some(error) = notes.unreadable.take() {
            return Err(error);
        }
        if let Some(profile) = &walk.profile
            && let Some(Plan { base, roles }) = profile.plan(&mut notes.warnings)?
        {
            return Ok((Start::Profile(base), roles));
        }
        let why = match (&walk.profile, self.environment.home()) {
            (Some(_), _) => "holds no credentials",
            (None, Some(_)) => "not there",
            (None, None) => "not there, and HOME is not set",
        };
        notes.passed_over.push(format!("profile {}: {why}", walk.selected.name));
        if self.environment.first(&container::VARIABLES).is_some() {
            return Ok((Start::Container, Vec::new()));
        }
        let variables = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI";
        notes.passed_over.push(format!("container: {variables} are not set"));
        Ok((Start::Instance, Vec::new()))
    }

    /// The credentials that the plan begins with. They are asked for again only when they are due, unless they
    /// are `all` there is to the plan.
    fn base(
        &mut self,
        start: Start,
        walk: &Walk<'_>,
        all: bool,
        notes: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        // Files and the environment cost nothing and are always current.
        let is_cheap =
            matches!(start, Start::Credentials(_) | Start::Profile(BaseProvider::Keys { .. }));
        if !all
            && !is_cheap
            && let Some(found) = self.remembered(0, walk.now)
        {
            return Ok(found);
        }
        let found = self.ask(start, walk, notes)?;
        self.network.redactor.add_key(&found.key);
        let found = checked(found, self.network.time_of_aws(walk.now))?;
        self.remember(0, &found, walk.now);
        Ok(found)
    }

    fn ask(
        &mut self,
        start: Start,
        walk: &Walk<'_>,
        notes: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        match &start {
            Start::WebIdentity(identity) | Start::Profile(BaseProvider::WebIdentity(identity)) => {
                self.progress.asks(format_args!("STS (role {})", identity.role_arn));
            }
            Start::Profile(BaseProvider::Process { profile, .. }) => {
                self.progress.asks(format_args!("credential_process of profile {profile:?}"));
            }
            Start::Profile(BaseProvider::Sso(_)) => self.progress.asks("IAM Identity Center"),
            Start::Profile(BaseProvider::Login { .. }) => self.progress.asks("AWS sign-in"),
            Start::Container => self.progress.asks("the container credential endpoint"),
            Start::Instance => self.progress.asks("instance metadata (IMDS)"),
            Start::Profile(BaseProvider::NamedSource { source, .. }) => {
                self.progress.asks(source.name());
            }
            Start::Credentials(_) | Start::Profile(BaseProvider::Keys { .. }) => {}
        }
        match start {
            Start::Credentials(found) => Ok(found),
            Start::WebIdentity(identity) => self.web_identity(&identity, walk),
            Start::Profile(base) => self.ask_profile(base, walk, notes),
            Start::Container => container::credentials(&self.environment, &self.network),
            Start::Instance => self.instance(walk, notes).map_err(|failure| match failure {
                imds::Failure::NotFound(why) => Chain::nothing_found(&notes.passed_over, &why),
                imds::Failure::Broken(error) => error,
            }),
        }
    }

    fn ask_profile(
        &mut self,
        base: BaseProvider,
        walk: &Walk<'_>,
        notes: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        let Diagnostics { watch, warnings, .. } = notes;
        match base {
            BaseProvider::Keys { key, account, profile, file } => {
                let source = Source::Profile { name: profile, file };
                Ok(Credentials { key, expires: None, account, source })
            }
            BaseProvider::WebIdentity(identity) => self.web_identity(&identity, walk),
            BaseProvider::Process { command, profile } => {
                process::credentials(&command, &profile, &self.network)
            }
            BaseProvider::Sso(sso) => sso::SsoProvider {
                sso: &sso,
                environment: &self.environment,
                endpoints: &walk.endpoints,
                network: &self.network,
                now: walk.now,
            }
            .credentials(&mut self.sso_failure, watch, warnings),
            BaseProvider::Login { session, profile } => {
                let region = self.region(walk);
                login::SsoProvider {
                    session: &session,
                    profile: &profile,
                    region: region.as_deref(),
                    environment: &self.environment,
                    endpoints: &walk.endpoints,
                    network: &self.network,
                    now: walk.now,
                }
                .credentials(watch, warnings)
            }
            BaseProvider::NamedSource { source, profile } => {
                self.elsewhere(source, walk, notes).map_err(|error| {
                    let asked = format!("profile {profile:?}: credential_source {}", source.name());
                    error.context(asked)
                })
            }
        }
    }

    fn elsewhere(
        &mut self,
        source: CredentialSource,
        walk: &Walk<'_>,
        notes: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        match source {
            CredentialSource::Environment => {
                let now = self.network.time_of_aws(walk.now);
                let found = environment_keys(&self.environment, now, notes)?;
                found.ok_or_else(|| Error::new(Kind::Credentials, "AWS_ACCESS_KEY_ID is not set"))
            }
            CredentialSource::EcsContainer => {
                container::credentials(&self.environment, &self.network)
            }
            CredentialSource::Ec2InstanceMetadata => {
                self.instance(walk, notes).map_err(|failure| match failure {
                    imds::Failure::NotFound(why) => {
                        Error::new(Kind::Credentials, why).context("IMDS")
                    }
                    imds::Failure::Broken(error) => error,
                })
            }
        }
    }

    fn instance(
        &mut self,
        walk: &Walk<'_>,
        notes: &mut Diagnostics,
    ) -> Result<Credentials, imds::Failure> {
        let service = imds::Service::new(&self.environment, walk.profile.as_ref())?;
        self.imds.credentials(&service, &self.network, walk.now, &mut notes.warnings)
    }

    /// The token file is read each time: Kubernetes replaces it.
    fn web_identity(
        &mut self,
        identity: &WebIdentity,
        walk: &Walk<'_>,
    ) -> Result<Credentials, Error> {
        let path = self.environment.path(&identity.token_file.to_string_lossy());
        let token = watch::token(&path).map_err(|error| {
            let message = format!("web identity token {}: {error}", path.display());
            Error::new(Kind::Credentials, message)
        })?;
        self.sts(walk)?.assume_role_with_web_identity(identity, token.trim_end(), walk.now)
    }

    /// Each role with the credentials before it.
    fn assume(
        &mut self,
        base: Credentials,
        roles: &[Role],
        walk: &Walk<'_>,
    ) -> Result<Credentials, Error> {
        let mut found = base;
        for (at, role) in roles.iter().enumerate() {
            let is_last = at + 1 == roles.len();
            if !is_last && let Some(remembered) = self.remembered(at + 1, walk.now) {
                found = remembered;
                continue;
            }
            self.progress.asks(format_args!("STS (role {})", role.arn));
            let assumed = self.sts(walk)?.assume_role(role, &found.key, walk.now)?;
            self.network.redactor.add_key(&assumed.key);
            found = checked(assumed, self.network.time_of_aws(walk.now))?;
            self.remember(at + 1, &found, walk.now);
        }
        Ok(found)
    }

    fn sts(&mut self, walk: &Walk<'_>) -> Result<Sts<'_>, Error> {
        let region = self.region(walk).ok_or_else(|| {
            let name = &walk.selected.name;
            let message = format!(
                "no region for STS: set AWS_REGION, --region or region in profile {name:?}"
            );
            Error::new(Kind::Credentials, message)
        })?;
        let (endpoint, region) = walk.endpoints.of(Service::Sts, &region, "/")?;
        Ok(Sts {
            network: &self.network,
            endpoint,
            region: region.to_owned(),
            session_name: &self.session_name,
        })
    }

    /// The region of the chain's own calls: `--region`, the environment, the selected profile, the target's
    /// region, that of this instance.
    fn region(&mut self, walk: &Walk<'_>) -> Option<String> {
        // With v4a a flag may name several regions, or all of them.
        let single = |set: &Option<String>| {
            let mut regions = set.iter().flat_map(|set| set.split(',')).map(str::trim);
            regions.find(|region| is_region(region)).map(str::to_owned)
        };
        let of_environment = || {
            let (_, region) = self.environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"])?;
            Some(region.to_owned())
        };
        let of_profile = || Some(walk.profile.as_ref()?.get("region")?.to_owned());
        single(&self.settings.region)
            .or_else(of_environment)
            .or_else(of_profile)
            .or_else(|| single(&self.settings.target_region))
            .or_else(|| self.ask_region(walk.profile.as_ref(), walk.now))
    }

    fn remembered(&self, step: usize, now: OffsetDateTime) -> Option<Credentials> {
        let (found, refresh_at) = self.steps.get(step)?;
        refresh_at.is_none_or(|refresh_at| now < refresh_at).then(|| found.clone())
    }

    fn remember(&mut self, step: usize, found: &Credentials, now: OffsetDateTime) {
        let is_same = self.steps.get(step).is_some_and(|(known, _)| known == found);
        if !is_same {
            // What was built on the old ones goes with them.
            self.steps.truncate(step);
            let there = self.network.time_of_aws(now);
            let left = found.expires.map(|expires| expiry::left(expires, there));
            self.steps.push((found.clone(), expiry::refresh_at(now, left)));
        }
    }

    fn nothing_found(passed_over: &[String], imds: &str) -> Error {
        let told = passed_over.iter().filter(|why| !why.starts_with("web identity"));
        let told: Vec<&str> = told.map(String::as_str).collect();
        let message = format!("no AWS credentials found ({}; IMDS: {imds})", told.join("; "));
        Error::new(Kind::NoCredentials, message).hint(
            "run \"aws sso login\", \"aws login\" or \"aws configure\", \
             or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
        )
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
    let mut notes = Diagnostics::default();
    let files = read(&locations, &mut notes)?;
    notes.unreadable.map_or(Ok(()), Err)?;
    let selected = Selection::new(environment, profile);
    let profile = files.profile(&selected)?;
    Ok(profile.and_then(|profile| profile.get(setting)).map(str::to_owned))
}

/// An error for each of `names` that no profile has. There is none where the files cannot be read, which looking for
/// credentials will tell.
pub fn unknown_profiles(environment: &Environment, names: &[String]) -> Vec<Error> {
    let locations = [Location::config(environment), Location::credentials(environment)];
    let mut notes = Diagnostics::default();
    match read(&locations, &mut notes) {
        Ok(files) if notes.unreadable.is_none() => {
            let selected = names.iter().map(|name| Selection::new(environment, Some(name)));
            selected.filter_map(|selected| files.profile(&selected).err()).collect()
        }
        _ => Vec::new(),
    }
}

/// Both files; of one that cannot be read nothing, and a note.
fn read(locations: &[Location; 2], notes: &mut Diagnostics) -> Result<Files, Error> {
    let [config, credentials] = locations;
    let Diagnostics { watch, warnings, unreadable, .. } = notes;
    let mut bytes = |location: &Location| {
        location.read(watch, warnings).unwrap_or_else(|error| {
            unreadable.get_or_insert(error);
            Vec::new()
        })
    };
    let (of_config, of_credentials) = (bytes(config), bytes(credentials));
    Files::parse((&config.shown, &of_config), (&credentials.shown, &of_credentials))
}

/// `AWS_ACCESS_KEY_ID` switches this source on. Half a pair is a mistake, not "no credentials".
fn environment_keys(
    environment: &Environment,
    now: OffsetDateTime,
    notes: &mut Diagnostics,
) -> Result<Option<Credentials>, Error> {
    let Some(id) = environment.get("AWS_ACCESS_KEY_ID") else { return Ok(None) };
    let Some(secret) = environment.get("AWS_SECRET_ACCESS_KEY") else {
        let message = "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not";
        let hint = "set AWS_SECRET_ACCESS_KEY as well, or unset AWS_ACCESS_KEY_ID";
        return Err(Error::new(Kind::Credentials, message).hint(hint));
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
        match expiry::parse(text) {
            Some(time) if time <= now => {
                let message = format!(
                    "environment credentials expired at {text} (AWS_CREDENTIAL_EXPIRATION)"
                );
                let hint = "set new ones and start again: a process cannot renew its environment";
                return Err(Error::new(Kind::Credentials, message).hint(hint));
            }
            Some(time) => expires = Some(time),
            None => notes.warnings.push(
                "AWS_CREDENTIAL_EXPIRATION is ignored: it is not a time like 2030-01-31T12:00:00Z"
                    .into(),
            ),
        }
    }
    let key = access_key(id, secret, token.map(|(_, token)| token));
    let account = environment.get("AWS_ACCOUNT_ID").map(str::to_owned);
    Ok(Some(Credentials { key, expires, account, source: Source::Environment }))
}

/// `AWS_WEB_IDENTITY_TOKEN_FILE` switches this source on.
fn web_identity(environment: &Environment) -> Result<Option<WebIdentity>, Error> {
    let Some(file) = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
    let role_arn = environment.get("AWS_ROLE_ARN").ok_or_else(|| {
        let message = "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not";
        Error::new(Kind::Credentials, message)
    })?;
    Ok(Some(WebIdentity {
        token_file: PathBuf::from(file),
        role_arn: role_arn.to_owned(),
        session_name: environment.get("AWS_ROLE_SESSION_NAME").map(str::to_owned),
        profile: None,
    }))
}

/// What a source hands out must be usable: still valid, and fit for a header.
fn checked(found: Credentials, now: OffsetDateTime) -> Result<Credentials, Error> {
    let Credentials { key, expires, source, .. } = &found;
    if let Some(expires) = expires
        && *expires <= now
    {
        let at = expires.format(&Rfc3339).unwrap_or_default();
        let message = format!("{source}: its credentials expired at {at}");
        return Err(Error::new(Kind::Credentials, message));
    }
    if sendable(&key.access_key_id)
        && key.session_token.as_ref().is_none_or(|token| sendable(token.expose()))
    {
        return Ok(found);
    }
    let message = format!("{source}: its key id or token holds a character that cannot be sent");
    Err(Error::new(Kind::Credentials, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Secret;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    fn keys(pairs: &[(&str, &str)]) -> Result<Option<Credentials>, Error> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        environment_keys(&environment, NOW, &mut Diagnostics::default())
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
            let found = key.map(|key| {
                (key.access_key_id.as_str(), key.session_token.as_ref().map(Secret::expose))
            });
            assert_eq!(found, expected, "{pairs:?}");
        }
        assert!(keys(&[ID]).unwrap_err().message().ends_with("AWS_SECRET_ACCESS_KEY is not"));
        let expiry = |time| keys(&[ID, SECRET, ("AWS_CREDENTIAL_EXPIRATION", time)]);
        assert!(expiry("2030-01-01T00:00:00Z").is_err());
        let found = expiry("2030-01-01T01:00:00+00:30").unwrap().unwrap();
        assert_eq!(found.expires, Some(datetime!(2030-01-01 00:30 UTC)));
    }
}
