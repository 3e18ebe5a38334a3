//! `Providers`: gets credentials from the first source of a plan, and has everything that this needs.

use time::OffsetDateTime;

use crate::aws::region::first_of_set;
use crate::credentials::config::plan::{BaseProvider, CredentialSource};
use crate::credentials::config::profile::Profile;
use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::expiry;
use crate::credentials::progress::Progress;
use crate::credentials::services::Services;
use crate::credentials::settings::Settings;
use crate::credentials::sources::cli_cache::{Cached, CliCache};
use crate::credentials::sources::container;
use crate::credentials::sources::endpoints::{Endpoints, Service};
use crate::credentials::sources::environment;
use crate::credentials::sources::imds;
use crate::credentials::sources::login::LoginProvider;
use crate::credentials::sources::process;
use crate::credentials::sources::request::Network;
use crate::credentials::sources::sso::{LastFailure, SsoProvider};
use crate::credentials::sources::sts::{CallerIdentity, SessionNames, Sts};
use crate::credentials::sources::web_identity;
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::suggest::shell_word;

/// The sources.
pub(crate) struct Providers {
    pub(crate) environment: Environment,
    settings: Settings,
    pub(crate) network: Network,
    pub(crate) progress: Progress,
    session_names: SessionNames,
    imds: imds::Imds,
    sso_failure: LastFailure,
    instance_region: Option<String>,
}

/// The circumstances of one look-up.
pub(crate) struct Lookup<'a> {
    pub(crate) profile: Option<Profile<'a>>,
    /// The name of the selected profile, which need not exist.
    pub(crate) profile_name: &'a str,
    endpoints: Endpoints,
    /// The local time.
    pub(crate) now: OffsetDateTime,
}

impl Providers {
    pub(crate) fn new(
        environment: Environment,
        settings: Settings,
        started: OffsetDateTime,
        network: Network,
        progress: Progress,
    ) -> Providers {
        let variable = environment.get("AWS_ROLE_SESSION_NAME");
        let session_names = SessionNames {
            named: settings.session_name.as_deref().or(variable).map(str::to_owned),
            default: format!("sigv4-proxy-{}", started.unix_timestamp()),
        };
        Providers {
            environment,
            settings,
            network,
            progress,
            session_names,
            imds: imds::Imds::default(),
            sso_failure: None,
            instance_region: None,
        }
    }

    /// Forgets the last failure, so that the source is used again at once.
    pub(crate) fn forget_failure(&mut self) {
        self.sso_failure = None;
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

    pub(crate) fn caller_identity(
        &mut self,
        credentials: &Credentials,
        lookup: &Lookup<'_>,
    ) -> Result<CallerIdentity, Error> {
        self.sts(lookup)?.caller_identity(credentials, lookup.now)
    }

    /// The region of this EC2 instance, requested once.
    pub(crate) fn instance_region(&mut self, lookup: &Lookup<'_>) -> Option<String> {
        if self.instance_region.is_none() {
            let service = imds::Service::new(&self.environment, lookup.profile.as_ref()).ok()?;
            self.instance_region = self.imds.region(&service, &self.network, lookup.now);
        }
        self.instance_region.clone()
    }

    pub(crate) fn cli_cache(&self, lookup: &Lookup<'_>) -> CliCache<'_> {
        CliCache {
            environment: &self.environment,
            now: self.time_of_aws(lookup.now),
            cancel: &self.network.cancel,
        }
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
        let (cache, id) = (self.cli_cache(lookup), &keys.key.access_key_id);
        match cache.session(id, serial, profile, &mut diagnostics.watch) {
            Cached::Valid(found) => return found,
            Cached::Expired(at) => diagnostics.warnings.push(format!(
                "profile {profile:?}: its MFA session expired at {}; signing with its long-term keys; run \"sigv4-proxy login --profile {}\"",
                expiry::format(at),
                shell_word(profile)
            )),
            Cached::Nothing => {}
        }
        keys.clone()
    }

    pub(crate) fn provide(
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

    pub(crate) fn sts(&mut self, lookup: &Lookup<'_>) -> Result<Sts<'_>, Error> {
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
        self.configured_region(lookup).or_else(|| self.instance_region(lookup))
    }

    /// The region of `--region`, the environment, the selected profile or the target.
    fn configured_region(&self, lookup: &Lookup<'_>) -> Option<String> {
        let of_profile = lookup.profile.as_ref().and_then(|profile| profile.get("region"));
        let named = [
            self.settings.region.as_deref(),
            self.environment.get("AWS_REGION"),
            self.environment.get("AWS_DEFAULT_REGION"),
            of_profile,
            self.settings.target_region.as_deref(),
        ];
        // With SigV4a, each may be a region set.
        named.into_iter().flatten().find_map(first_of_set).map(str::to_owned)
    }
}

fn nothing_found(passed_over: &[String], imds: &str) -> Error {
    let reasons = passed_over.join("; ");
    let message = format!("no AWS credentials found ({reasons}; IMDS: {imds})");
    Error::new(Kind::NoCredentials, message).advice(
        "run \"sigv4-proxy login\", \"aws sso login\", \"aws login\" or \"aws configure\", \
         or set AWS_PROFILE or AWS_ACCESS_KEY_ID; on AWS, give the instance, task or pod a role",
    )
}
