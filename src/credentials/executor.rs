//! `Executor`: carries a plan out by asking its sources, and remembers what makes asking again cheaper.

use std::path::Path;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::aws::region::is_host_label;
use crate::credentials::config::plan::{BaseProvider, CredentialSource, Plan, Role};
use crate::credentials::config::profile::Profile;
use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::expiry;
use crate::credentials::header_value::check_setting;
use crate::credentials::progress::Progress;
use crate::credentials::services::Services;
use crate::credentials::settings::Settings;
use crate::credentials::shell_word::shell_word;
use crate::credentials::source::Source;
use crate::credentials::sources::cli_cache::{self, Cached};
use crate::credentials::sources::container;
use crate::credentials::sources::endpoints::{Endpoints, Service};
use crate::credentials::sources::environment;
use crate::credentials::sources::imds;
use crate::credentials::sources::login::LoginProvider;
use crate::credentials::sources::process;
use crate::credentials::sources::request::Network;
use crate::credentials::sources::sso::{LastFailure, SsoProvider};
use crate::credentials::sources::sts::{CallerIdentity, MfaCode, SessionNames, Sts};
use crate::credentials::sources::web_identity;
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind, SignIn, SignInMethod, io_message};
use crate::signing::Secret;

/// The sources, and the credentials of each step of the last plan.
pub(crate) struct Executor {
    environment: Environment,
    settings: Settings,
    network: Network,
    progress: Progress,
    session_names: SessionNames,
    /// The credentials of each step of the plan, and when to refresh them. Steps that are not needed have none.
    steps: Vec<Option<(Credentials, Option<OffsetDateTime>)>>,
    imds: imds::Imds,
    sso_failure: LastFailure,
    instance_region: Option<String>,
}

/// The circumstances of one look-up.
pub(crate) struct Lookup<'a> {
    profile: Option<Profile<'a>>,
    /// The name of the selected profile, which need not exist.
    profile_name: &'a str,
    endpoints: Endpoints,
    /// The local time.
    now: OffsetDateTime,
}

impl<'a> Lookup<'a> {
    pub(crate) fn profile_name(&self) -> &'a str {
        self.profile_name
    }
}

impl Executor {
    pub(crate) fn new(
        environment: Environment,
        settings: Settings,
        started: OffsetDateTime,
        network: Network,
        progress: Progress,
    ) -> Executor {
        let variable = environment.get("AWS_ROLE_SESSION_NAME");
        let session_names = SessionNames {
            named: settings.session_name.as_deref().or(variable).map(str::to_owned),
            default: format!("sigv4-proxy-{}", started.unix_timestamp()),
        };
        Executor {
            environment,
            settings,
            network,
            progress,
            session_names,
            steps: Vec::new(),
            imds: imds::Imds::default(),
            sso_failure: None,
            instance_region: None,
        }
    }

    pub(crate) fn lookup<'a>(
        &self,
        profile: Option<Profile<'a>>,
        profile_name: &'a str,
        now: OffsetDateTime,
    ) -> Lookup<'a> {
        let endpoints =
            Endpoints::new(&self.environment, profile.as_ref(), self.settings.allow_http);
        Lookup { profile, profile_name, endpoints, now }
    }

    pub(crate) fn services(&self, lookup: &Lookup<'_>) -> Services {
        Services {
            environment: self.environment.clone(),
            network: self.network.clone(),
            endpoints: lookup.endpoints.clone(),
            region: self.configured_region(lookup),
        }
    }

    /// AWS's time when it is `now` here.
    pub(crate) fn time_of_aws(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.network.time_of_aws(now)
    }

    /// Forgets the credentials of earlier steps, so that all sources of a plan are asked again.
    pub(crate) fn forget(&mut self) {
        self.steps.clear();
        self.sso_failure = None;
    }

    /// The credentials that a plan leads to.
    ///
    /// # Errors
    /// A source fails, or its credentials have expired or cannot be sent.
    pub(crate) fn execute(
        &mut self,
        plan: &Plan,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        let known_skew = self.network.skew.behind();
        let found = self.first(plan, lookup, diagnostics).and_then(|(steps, first)| {
            let mistakes = first.likely_mistakes();
            let found = self.assume(first, &plan.roles, steps, lookup);
            let found = found.map_err(|error| match mistakes.first() {
                Some(mistake) => error.hint(mistake),
                None => error,
            });
            diagnostics.warnings.extend(mistakes);
            found
        });
        if let Some(behind) = self.network.skew.behind().filter(|now| Some(*now) != known_skew) {
            let (seconds, side) = (behind.abs(), if behind < 0 { "ahead of" } else { "behind" });
            diagnostics.warnings.push(format!(
                "local clock is {seconds} s {side} AWS; signing with AWS time (sync the clock with NTP)"
            ));
        }
        found
    }

    /// The credentials that a code of an MFA device is exchanged with, and the role that it is for.
    pub(crate) fn credentials_before<'p>(
        &mut self,
        plan: &'p Plan,
        profile: &str,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<(Credentials, Option<&'p Role>), Error> {
        let is_it =
            |role: &Role| role.mfa_serial.is_some() && role.profile.as_deref() == Some(profile);
        match plan.roles.iter().position(is_it) {
            Some(at) => {
                let before = Plan { base: plan.base.clone(), roles: plan.roles[..at].to_vec() };
                let found = self.execute(&before, lookup, diagnostics)?;
                Ok((found, Some(&plan.roles[at])))
            }
            None => match &plan.base {
                BaseProvider::StaticWithMfa { keys, .. } => Ok((keys.clone(), None)),
                _ => {
                    let what = format!("profile {profile:?} needs no MFA code any more");
                    Err(Error::new(Kind::Credentials, what))
                }
            },
        }
    }

    /// Exchanges a code of an MFA device for credentials and writes them to the AWS CLI's cache.
    pub(crate) fn exchange_code(
        &mut self,
        plan: &Plan,
        profile: &str,
        code: MfaCode<'_>,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        let (source, role) = self.credentials_before(plan, profile, lookup, diagnostics)?;
        let sts = self.sts(lookup)?;
        let (found, path) = match (role, &plan.base) {
            (Some(role), _) => {
                let found = sts.assume_role(role, &source.key, Some(code), lookup.now)?;
                (found, cli_cache::role_file(&self.environment, role))
            }
            (None, base) => {
                let BaseProvider::StaticWithMfa { duration_seconds, profile, .. } = base else {
                    return Ok(source);
                };
                let duration = *duration_seconds;
                let found = sts.session_token(profile, duration, &source.key, code, lookup.now)?;
                let id = &source.key.access_key_id;
                (found, cli_cache::session_file(&self.environment, id, code.serial))
            }
        };
        self.network.redactor.add_key(&found.key);
        let path = path.ok_or_else(|| {
            Error::new(Kind::Credentials, "~/.aws/cli/cache is not known: HOME is not set")
        })?;
        let shown = path.display().to_string();
        cli_cache::write(path, &found).map_err(|error| {
            let what = format!("the credentials cannot be kept: {shown}: {}", io_message(&error));
            Error::new(Kind::Credentials, what).hint("make the folder writable")
        })?;
        Ok(found)
    }

    pub(crate) fn caller_identity(
        &mut self,
        credentials: &Credentials,
        lookup: &Lookup<'_>,
    ) -> Result<CallerIdentity, Error> {
        self.sts(lookup)?.caller_identity(credentials, lookup.now)
    }

    /// The region of this EC2 instance, requested once.
    pub(crate) fn instance_region(
        &mut self,
        profile: Option<&Profile<'_>>,
        now: OffsetDateTime,
    ) -> Option<String> {
        if self.instance_region.is_none() {
            let service = imds::Service::new(&self.environment, profile).ok()?;
            self.instance_region = self.imds.region(&service, &self.network, now);
        }
        self.instance_region.clone()
    }

    /// The first credentials of a plan that can be had without the user, and the number of roles that they include.
    fn first(
        &mut self,
        plan: &Plan,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<(usize, Credentials), Error> {
        let roles = &plan.roles;
        // A code cannot be asked for here. Nothing before the last role that requires one is needed.
        if let Some(at) = roles.iter().rposition(|role| role.mfa_serial.is_some()) {
            let found = self.cached_role(&roles[at], lookup, diagnostics);
            let found = found.ok_or_else(|| needs_code(&roles[at]))?;
            return Ok((at + 1, self.accept(at + 1, found, lookup.now)?));
        }
        let error = match self.base(&plan.base, lookup, roles.is_empty(), diagnostics) {
            Ok(found) => return Ok((0, found)),
            Err(error) => error,
        };
        let Some(sign_in) = error.needed_sign_in() else { return Err(error) };
        let cached = self.cached_sso(&plan.base, lookup, diagnostics).map(|found| (0, found));
        let cached = cached.or_else(|| {
            (1..).zip(roles).find_map(|(steps, role)| {
                Some((steps, self.cached_role(role, lookup, diagnostics)?))
            })
        });
        let Some((steps, found)) = cached else { return Err(error) };
        let until = found.expires.map(expiry::format).unwrap_or_default();
        let SignIn { profile, problem, .. } = sign_in;
        diagnostics.warnings.push(format!(
            "profile {profile:?}: {problem}; credentials in the AWS CLI's cache are used until {until}"
        ));
        Ok((steps, self.accept(steps, found, lookup.now)?))
    }

    /// The credentials of a role in the AWS CLI's cache.
    fn cached_role(
        &self,
        role: &Role,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Credentials> {
        let path = cli_cache::role_file(&self.environment, role)?;
        let source = Source::AssumedRole { role: role.arn.clone(), profile: role.profile.clone() };
        match self.cached(&path, source, lookup, diagnostics) {
            Cached::Valid(found) => Some(found),
            Cached::Expired(_) | Cached::Nothing => None,
        }
    }

    /// The credentials of IAM Identity Center in the AWS CLI's cache.
    fn cached_sso(
        &self,
        base: &BaseProvider,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Credentials> {
        let BaseProvider::Sso(sso) = base else { return None };
        let path = cli_cache::sso_file(&self.environment, sso)?;
        let source = Source::Sso { profile: sso.profile.clone(), role: sso.role.clone() };
        match self.cached(&path, source, lookup, diagnostics) {
            Cached::Valid(found) => {
                Some(Credentials { account: Some(sso.account.clone()), ..found })
            }
            Cached::Expired(_) | Cached::Nothing => None,
        }
    }

    fn cached(
        &self,
        path: &Path,
        source: Source,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Cached {
        let now = self.time_of_aws(lookup.now);
        cli_cache::read(path, source, now, &mut diagnostics.watch, &self.network.cancel)
    }

    /// The keys, or the session that a code was exchanged for while it lasts.
    fn session_or_keys(
        &self,
        keys: &Credentials,
        serial: &str,
        profile: &str,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Credentials {
        let id = &keys.key.access_key_id;
        let path = cli_cache::session_file(&self.environment, id, serial);
        let source = Source::MfaSession { profile: profile.to_owned() };
        match path.map(|path| self.cached(&path, source, lookup, diagnostics)) {
            Some(Cached::Valid(found)) => return found,
            Some(Cached::Expired(at)) => diagnostics.warnings.push(format!(
                "profile {profile:?}: its MFA session expired at {}, so its keys sign; run \"sigv4-proxy login --profile {}\"",
                expiry::format(at),
                shell_word(profile)
            )),
            Some(Cached::Nothing) | None => {}
        }
        keys.clone()
    }

    /// The credentials that a plan begins with. If roles follow, they are remembered until it is time to refresh them.
    fn base(
        &mut self,
        base: &BaseProvider,
        lookup: &Lookup<'_>,
        is_whole_plan: bool,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        // Keys in files and in the environment cost nothing to read and are always current.
        let is_static =
            matches!(base, BaseProvider::Static(_) | BaseProvider::StaticWithMfa { .. });
        if !is_whole_plan
            && !is_static
            && let Some(found) = self.remembered(0, lookup.now)
        {
            return Ok(found);
        }
        let found = self.provide(base, lookup, diagnostics)?;
        self.accept(0, found, lookup.now)
    }

    fn provide(
        &mut self,
        base: &BaseProvider,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        if let BaseProvider::StaticWithMfa { keys, serial, profile, .. } = base {
            return Ok(self.session_or_keys(keys, serial, profile, lookup, diagnostics));
        }
        let Diagnostics { watch, warnings, passed_over, .. } = diagnostics;
        match base {
            BaseProvider::Static(found) | BaseProvider::StaticWithMfa { keys: found, .. } => {
                Ok(found.clone())
            }
            BaseProvider::WebIdentity(identity) => {
                self.progress.set_source(format_args!("STS (role {})", identity.role_arn));
                let path = self.environment.path(&identity.token_file.to_string_lossy());
                let sts = self.sts(lookup)?;
                web_identity::credentials(identity, &path, &sts, lookup.now)
            }
            BaseProvider::Process { command, profile } => {
                self.progress.set_source(format_args!("credential_process of profile {profile:?}"));
                process::credentials(command, profile, self.settings.terminal, &self.network)
            }
            BaseProvider::Sso(sso) => {
                self.progress.set_source("IAM Identity Center");
                let provider = SsoProvider {
                    sso,
                    environment: &self.environment,
                    endpoints: &lookup.endpoints,
                    network: &self.network,
                    now: lookup.now,
                };
                provider.credentials(&mut self.sso_failure, watch, warnings)
            }
            BaseProvider::Login { session, profile } => {
                self.progress.set_source("AWS sign-in");
                let region = self.region(lookup);
                let provider = LoginProvider {
                    session,
                    profile,
                    region: region.as_deref(),
                    environment: &self.environment,
                    endpoints: &lookup.endpoints,
                    network: &self.network,
                    now: lookup.now,
                };
                provider.credentials(watch, warnings)
            }
            BaseProvider::Container => {
                self.progress.set_source("the container credential endpoint");
                container::credentials(&self.environment, &self.network)
            }
            BaseProvider::Instance => {
                self.progress.set_source("instance metadata (IMDS)");
                self.instance(lookup, warnings).map_err(|failure| match failure {
                    imds::Failure::NotFound(why) => nothing_found(passed_over, &why),
                    imds::Failure::Broken(error) => error,
                })
            }
            BaseProvider::NamedSource { source, profile } => {
                let name = source.name();
                self.progress.set_source(name);
                self.named_source(*source, lookup, warnings).map_err(|error| {
                    error.context(format_args!("profile {profile:?}: credential_source {name}"))
                })
            }
        }
    }

    fn named_source(
        &mut self,
        source: CredentialSource,
        lookup: &Lookup<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials, Error> {
        match source {
            CredentialSource::Environment => {
                let now = self.time_of_aws(lookup.now);
                let found = environment::credentials(&self.environment, now, warnings)?;
                found.ok_or_else(|| Error::new(Kind::Credentials, "AWS_ACCESS_KEY_ID is not set"))
            }
            CredentialSource::EcsContainer => {
                container::credentials(&self.environment, &self.network)
            }
            CredentialSource::Ec2InstanceMetadata => {
                self.instance(lookup, warnings).map_err(|failure| match failure {
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
        lookup: &Lookup<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials, imds::Failure> {
        let service = imds::Service::new(&self.environment, lookup.profile.as_ref())?;
        self.imds.credentials(&service, &self.network, lookup.now, warnings)
    }

    /// Assumes each role with the credentials before it, except the first `done`, which `first` includes. The credentials
    /// of all but the last are remembered until it is time to refresh them.
    fn assume(
        &mut self,
        first: Credentials,
        roles: &[Role],
        done: usize,
        lookup: &Lookup<'_>,
    ) -> Result<Credentials, Error> {
        let mut found = first;
        for (step, role) in (1..).zip(roles).skip(done) {
            if step < roles.len()
                && let Some(remembered) = self.remembered(step, lookup.now)
            {
                found = remembered;
                continue;
            }
            self.progress.set_source(format_args!("STS (role {})", role.arn));
            let assumed = self.sts(lookup)?.assume_role(role, &found.key, None, lookup.now)?;
            found = self.accept(step, assumed, lookup.now)?;
        }
        Ok(found)
    }

    fn sts(&mut self, lookup: &Lookup<'_>) -> Result<Sts<'_>, Error> {
        let region = self.region(lookup).ok_or_else(|| {
            let name = lookup.profile_name;
            let message = format!(
                "no region for STS: set AWS_REGION, --region or region in profile {name:?}"
            );
            Error::new(Kind::Credentials, message)
        })?;
        let (endpoint, region) = lookup.endpoints.of(Service::Sts, &region, "/")?;
        Ok(Sts {
            network: &self.network,
            endpoint,
            region: region.to_owned(),
            session_names: &self.session_names,
        })
    }

    /// The region of requests to credential services: the configured one, or that of this instance.
    fn region(&mut self, lookup: &Lookup<'_>) -> Option<String> {
        self.configured_region(lookup)
            .or_else(|| self.instance_region(lookup.profile.as_ref(), lookup.now))
    }

    /// The region of `--region`, the environment, the selected profile or the target.
    fn configured_region(&self, lookup: &Lookup<'_>) -> Option<String> {
        // With SigV4a, a region set may name several regions or all of them.
        let first_of_set = |set: &Option<String>| {
            let mut regions = set.iter().flat_map(|set| set.split(',')).map(str::trim);
            regions.find(|region| is_host_label(region)).map(str::to_owned)
        };
        let of_environment = || {
            let (_, region) = self.environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"])?;
            Some(region.to_owned())
        };
        let of_profile = || Some(lookup.profile.as_ref()?.get("region")?.to_owned());
        first_of_set(&self.settings.region)
            .or_else(of_environment)
            .or_else(of_profile)
            .or_else(|| first_of_set(&self.settings.target_region))
    }

    /// Registers the key with the redactor, checks the credentials and remembers them for this step.
    fn accept(
        &mut self,
        step: usize,
        found: Credentials,
        now: OffsetDateTime,
    ) -> Result<Credentials, Error> {
        self.network.redactor.add_key(&found.key);
        let time_of_aws = self.time_of_aws(now);
        check(&found, time_of_aws)?;
        let known = self.steps.get(step).and_then(Option::as_ref);
        if known.is_none_or(|(known, _)| *known != found) {
            // The credentials of later steps were obtained with the old ones.
            self.steps.resize(step, None);
            let left = found.expires.map(|expires| expiry::left(expires, time_of_aws));
            self.steps.push(Some((found.clone(), expiry::refresh_at(now, left))));
        }
        Ok(found)
    }

    fn remembered(&self, step: usize, now: OffsetDateTime) -> Option<Credentials> {
        let (found, refresh_at) = self.steps.get(step)?.as_ref()?;
        refresh_at.is_none_or(|refresh_at| now < refresh_at).then(|| found.clone())
    }
}

/// Checks that credentials are valid at `now`, which is AWS's time, and that they can be sent in headers.
fn check(credentials: &Credentials, now: OffsetDateTime) -> Result<(), Error> {
    let Credentials { key, expires, source, .. } = credentials;
    if let Some(expires) = expires.filter(|expires| *expires <= now) {
        let at = expires.format(&Rfc3339).unwrap_or_default();
        let message = format!("{source}: its credentials expired at {at}");
        return Err(Error::new(Kind::Credentials, message));
    }
    let [id_name, _, token_name] = source.setting_names();
    let token = key.session_token.as_ref().map_or("", Secret::expose);
    check_setting(id_name, &key.access_key_id)
        .and_then(|()| check_setting(token_name, token))
        .map_err(|error| error.context(source))
}

/// The error for a role that requires an MFA code: it cannot be asked for here, because stdin belongs to the client.
fn needs_code(role: &Role) -> Error {
    let profile = role.profile.clone().unwrap_or_default();
    let message = format!(
        "profile {profile:?} needs an MFA code (mfa_serial); run \"sigv4-proxy login --profile {}\" in a terminal",
        shell_word(&profile)
    );
    let method = SignInMethod::Mfa {
        serial: role.mfa_serial.clone().unwrap_or_default(),
        role_arn: Some(role.arn.clone()),
    };
    let problem = "needs an MFA code (mfa_serial)".to_owned();
    Error::new(Kind::Credentials, message).sign_in(Some(SignIn { profile, problem, method }))
}

fn nothing_found(passed_over: &[String], imds: &str) -> Error {
    let reasons = passed_over.join("; ");
    let message = format!("no AWS credentials found ({reasons}; IMDS: {imds})");
    Error::new(Kind::NoCredentials, message).hint(
        "run \"aws sso login\", \"aws login\" or \"aws configure\", \
         or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
    )
}
