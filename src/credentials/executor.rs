//! `Executor`: carries a plan out by asking its sources, and remembers what makes asking again cheaper.

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
use crate::credentials::sources::container;
use crate::credentials::sources::endpoints::{Endpoints, Service};
use crate::credentials::sources::environment;
use crate::credentials::sources::imds;
use crate::credentials::sources::login::LoginProvider;
use crate::credentials::sources::process;
use crate::credentials::sources::request::Network;
use crate::credentials::sources::sso::{LastFailure, SsoProvider};
use crate::credentials::sources::sts::{CallerIdentity, Sts};
use crate::credentials::sources::web_identity;
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind, SignIn, SignInMethod};
use crate::signing::Secret;

/// The sources, and the credentials of each step of the last plan.
pub(crate) struct Executor {
    environment: Environment,
    settings: Settings,
    network: Network,
    progress: Progress,
    /// For roles that name no session. It is the same for the life of the process, so that a server that ties a session
    /// to its caller's full ARN keeps recognizing us.
    session_name: String,
    /// The credentials of each step of the plan, and when to refresh them.
    steps: Vec<(Credentials, Option<OffsetDateTime>)>,
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

impl Executor {
    pub(crate) fn new(
        environment: Environment,
        settings: Settings,
        started: OffsetDateTime,
        network: Network,
        progress: Progress,
    ) -> Executor {
        Executor {
            environment,
            settings,
            network,
            progress,
            session_name: format!("sigv4-proxy-{}", started.unix_timestamp()),
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
        plan: Plan,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        if let Some(error) = plan.roles.iter().find_map(needs_code) {
            return Err(error);
        }
        let known_skew = self.network.skew.behind();
        let base = self.base(plan.base, lookup, plan.roles.is_empty(), diagnostics);
        let found = base.and_then(|base| {
            let mistakes = base.likely_mistakes();
            let found = self.assume(base, &plan.roles, lookup);
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

    /// The credentials that a plan begins with. If roles follow, they are remembered until it is time to refresh them.
    fn base(
        &mut self,
        base: BaseProvider,
        lookup: &Lookup<'_>,
        is_whole_plan: bool,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        // Keys in files and in the environment cost nothing to read and are always current.
        let is_static = matches!(base, BaseProvider::Static(_));
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
        base: BaseProvider,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        let Diagnostics { watch, warnings, passed_over, .. } = diagnostics;
        match base {
            BaseProvider::Static(found) => Ok(found),
            BaseProvider::WebIdentity(identity) => {
                self.progress.set_source(format_args!("STS (role {})", identity.role_arn));
                let path = self.environment.path(&identity.token_file.to_string_lossy());
                let sts = self.sts(lookup)?;
                web_identity::credentials(&identity, &path, &sts, lookup.now)
            }
            BaseProvider::Process { command, profile } => {
                self.progress.set_source(format_args!("credential_process of profile {profile:?}"));
                process::credentials(&command, &profile, self.settings.terminal, &self.network)
            }
            BaseProvider::Sso(sso) => {
                self.progress.set_source("IAM Identity Center");
                let provider = SsoProvider {
                    sso: &sso,
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
                    session: &session,
                    profile: &profile,
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
                self.named_source(source, lookup, warnings).map_err(|error| {
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

    /// Assumes each role with the credentials before it. Those of all but the last are remembered until it is time to
    /// refresh them.
    fn assume(
        &mut self,
        base: Credentials,
        roles: &[Role],
        lookup: &Lookup<'_>,
    ) -> Result<Credentials, Error> {
        let mut found = base;
        for (step, role) in (1..).zip(roles) {
            if step < roles.len()
                && let Some(remembered) = self.remembered(step, lookup.now)
            {
                found = remembered;
                continue;
            }
            self.progress.set_source(format_args!("STS (role {})", role.arn));
            let assumed = self.sts(lookup)?.assume_role(role, &found.key, lookup.now)?;
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
            session_name: &self.session_name,
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
        let is_same = self.steps.get(step).is_some_and(|(known, _)| *known == found);
        if !is_same {
            // The credentials of later steps were obtained with the old ones.
            self.steps.truncate(step);
            let left = found.expires.map(|expires| expiry::left(expires, time_of_aws));
            self.steps.push((found.clone(), expiry::refresh_at(now, left)));
        }
        Ok(found)
    }

    fn remembered(&self, step: usize, now: OffsetDateTime) -> Option<Credentials> {
        let (found, refresh_at) = self.steps.get(step)?;
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
fn needs_code(role: &Role) -> Option<Error> {
    let (serial, profile) = (role.mfa_serial.as_ref()?, role.profile.as_ref()?);
    let message = format!(
        "profile {profile:?} needs an MFA code (mfa_serial); run \"sigv4-proxy login --profile {}\" in a terminal",
        shell_word(profile)
    );
    let method = SignInMethod::Mfa { serial: serial.clone(), role_arn: role.arn.clone() };
    let problem = "needs an MFA code (mfa_serial)".to_owned();
    let sign_in = SignIn { profile: profile.clone(), problem, method };
    Some(Error::new(Kind::Credentials, message).sign_in(Some(sign_in)))
}

fn nothing_found(passed_over: &[String], imds: &str) -> Error {
    let reasons = passed_over.join("; ");
    let message = format!("no AWS credentials found ({reasons}; IMDS: {imds})");
    Error::new(Kind::NoCredentials, message).hint(
        "run \"aws sso login\", \"aws login\" or \"aws configure\", \
         or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
    )
}
