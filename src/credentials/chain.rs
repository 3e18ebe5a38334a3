//! `Chain`: which source provides the credentials, in AWS's order.
//!
//! A source that is configured provides credentials or fails; it is never skipped because it failed, since the next one
//! might sign as another identity. Only the last, instance metadata, may end in "nothing found".

use time::OffsetDateTime;

use crate::credentials::config::plan::{BaseProvider, Plan, session_of_section};
use crate::credentials::config::profile::{Files, Profile, Selection};
use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::executor::Executor;
use crate::credentials::providers::{Lookup, Providers};
use crate::credentials::services::Services;
use crate::credentials::settings::Settings;
use crate::credentials::sign_in_plan::SignInPlan;
use crate::credentials::sources::container;
use crate::credentials::sources::environment;
use crate::credentials::sources::sts::{CallerIdentity, MfaCode};
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind, SsoSession};
use crate::suggest::flaw;

/// Variables of the sources that are not options as well. Keys are checked when they are used
/// (`Credentials::likely_mistakes`).
const CHECKED_VARIABLES: [&str; 8] = [
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// The variable that configures a web identity.
const WEB_IDENTITY: &[&str] = &["AWS_WEB_IDENTITY_TOKEN_FILE"];

/// The provider chain.
pub(crate) struct Chain {
    environment: Environment,
    settings: Settings,
    executor: Executor,
}

impl Chain {
    pub(crate) fn new(environment: Environment, settings: Settings, executor: Executor) -> Chain {
        Chain { environment, settings, executor }
    }

    /// Reads the files, chooses the source and gets its credentials. With `force`, nothing remembered is used.
    ///
    /// # Errors
    /// The configuration is not usable, or the source fails.
    pub(crate) fn resolve(
        &mut self,
        force: bool,
        now: OffsetDateTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<Credentials, Error> {
        if force {
            self.executor.forget();
        }
        let found = self.with_plan(now, diagnostics, |executor, plan, lookup, diagnostics| {
            executor.execute(plan, lookup, diagnostics)
        });
        found.map_err(|error| match error.kind() {
            Kind::NoCredentials => with_fix(error, diagnostics.fix.as_deref()),
            _ => error,
        })
    }

    /// The sign-ins that lead to credentials of this chain.
    ///
    /// # Errors
    /// The configuration is not usable.
    pub(crate) fn sign_ins(&mut self, now: OffsetDateTime) -> Result<SignInPlan, Error> {
        let diagnostics = &mut Diagnostics::default();
        self.with_plan(now, diagnostics, |_, plan, lookup, _| {
            let session = lookup.profile.as_ref().and_then(|profile| profile.get("sso_session"));
            Ok(SignInPlan::of(plan, lookup.profile_name, session))
        })
    }

    /// Gets the credentials that a code of this profile's MFA device is exchanged with.
    ///
    /// # Errors
    /// They cannot be obtained.
    pub(crate) fn prepare_exchange(
        &mut self,
        profile: &str,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let diagnostics = &mut Diagnostics::default();
        self.with_plan(now, diagnostics, |executor, plan, lookup, diagnostics| {
            executor.credentials_before(plan, profile, lookup, diagnostics).map(drop)
        })
    }

    /// Exchanges a code of an MFA device for credentials and writes them where this chain and the AWS CLI find them.
    ///
    /// # Errors
    /// STS cannot be reached or refuses the code, or the file cannot be written.
    pub(crate) fn exchange_code(
        &mut self,
        profile: &str,
        code: MfaCode<'_>,
        now: OffsetDateTime,
    ) -> Result<Credentials, Error> {
        let diagnostics = &mut Diagnostics::default();
        self.with_plan(now, diagnostics, |executor, plan, lookup, diagnostics| {
            executor.exchange_code(plan, profile, code, lookup, diagnostics)
        })
    }

    /// Reads the files, chooses the source and calls `act`.
    fn with_plan<T>(
        &mut self,
        now: OffsetDateTime,
        diagnostics: &mut Diagnostics,
        act: impl FnOnce(&mut Executor, &Plan, &Lookup<'_>, &mut Diagnostics) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // An unreadable variable, a mistyped profile and a broken file are errors whichever source is chosen.
        if let Some(problem) = self.environment.problems().into_iter().next() {
            return Err(problem);
        }
        for name in CHECKED_VARIABLES {
            let flaw = self.environment.get(name).and_then(flaw);
            diagnostics.warnings.extend(flaw.map(|flaw| format!("{name} {flaw}")));
        }
        let files = Files::read(&self.environment, diagnostics)?;
        let selection = Selection::new(&self.environment, self.settings.profile.as_deref());
        let profile = files.profile(&selection).map_err(|missing| {
            let unreadable = diagnostics.unreadable.clone();
            unreadable.unwrap_or_else(|| {
                with_fix(explain(missing, &diagnostics.absent), diagnostics.fix.as_deref())
            })
        })?;
        diagnostics.other_profiles = files.others(&selection.name);
        let mut plan = self.plan(&selection, profile.as_ref(), now, diagnostics)?;
        if let Some(error) = diagnostics.unreadable.take() {
            diagnostics.warnings.push(error.message().to_owned());
        }
        plan.roles.extend(self.settings.role.clone());
        let lookup = self.executor.providers.lookup(profile, &selection.name, now);
        act(&mut self.executor, &plan, &lookup, diagnostics)
    }

    /// The account and ARN that STS reports for these credentials.
    pub(crate) fn caller_identity(
        &mut self,
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Result<CallerIdentity, Error> {
        self.with_profile(now, |providers, lookup| providers.caller_identity(credentials, lookup))
    }

    /// The credential services as the selected profile configures them.
    pub(crate) fn services(&mut self, now: OffsetDateTime) -> Result<Services, Error> {
        self.with_profile(now, |providers, lookup| Ok(providers.services(lookup)))
    }

    /// The region of this EC2 instance.
    pub(crate) fn instance_region(&mut self, now: OffsetDateTime) -> Option<String> {
        self.with_profile(now, |providers, lookup| Ok(providers.instance_region(lookup))).ok()?
    }

    /// Reads the files and calls `act` for the selected profile, whatever source is configured.
    fn with_profile<T>(
        &mut self,
        now: OffsetDateTime,
        act: impl FnOnce(&mut Providers, &Lookup<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let files = Files::read(&self.environment, &mut Diagnostics::default())?;
        let selection = Selection::new(&self.environment, self.settings.profile.as_deref());
        let providers = &mut self.executor.providers;
        let lookup = providers.lookup(files.profile(&selection)?, &selection.name, now);
        act(providers, &lookup)
    }

    /// The `[sso-session]` of this name.
    pub(crate) fn sso_session(&self, name: &str) -> Result<SsoSession, Error> {
        let files = Files::read(&self.environment, &mut Diagnostics::default())?;
        session_of_section(name, files.sso_session(name)?)
    }

    /// The first source that is configured. Those before it are noted as passed over; variables that configure one after
    /// it are warned of.
    fn plan(
        &self,
        selection: &Selection,
        profile: Option<&Profile<'_>>,
        now: OffsetDateTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<Plan, Error> {
        let Diagnostics { warnings, passed_over, unreadable, absent, other_profiles, .. } =
            diagnostics;
        let only = |base| Plan { base, roles: Vec::new() };
        let uses_environment = self.settings.profile.is_none();
        if uses_environment {
            let now = self.executor.providers.time_of_aws(now);
            if let Some(keys) = environment::credentials(&self.environment, now, warnings)? {
                warnings.extend(ignored_profile(selection, "AWS_ACCESS_KEY_ID"));
                warnings.extend(self.ignored(WEB_IDENTITY, "AWS_ACCESS_KEY_ID"));
                warnings.extend(self.ignored(&container::VARIABLES, "AWS_ACCESS_KEY_ID"));
                return Ok(only(BaseProvider::Static(keys)));
            }
            passed_over.push("environment variables: AWS_ACCESS_KEY_ID is not set".to_owned());
        } else {
            passed_over.push("environment variables: not used with --profile".to_owned());
        }
        // The file might configure credentials, and those of the next source are another identity's.
        if let Some(error) = unreadable.take() {
            return Err(error);
        }
        // As in botocore, a profile's role ranks above the web identity, everything else in a profile below.
        let assumes_role = profile.is_some_and(|profile| profile.role_to_assume().is_some());
        if uses_environment && !assumes_role {
            if let Some(identity) = environment::web_identity(&self.environment, profile)? {
                warnings.extend(ignored_profile(selection, WEB_IDENTITY[0]));
                warnings.extend(self.ignored(&container::VARIABLES, WEB_IDENTITY[0]));
                return Ok(only(BaseProvider::WebIdentity(identity)));
            }
            passed_over.push("web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set".to_owned());
        }
        if let Some(profile) = profile
            && let Some(plan) =
                Plan::of_profile(profile, warnings).map_err(|error| explain(error, absent))?
        {
            if uses_environment {
                let profile = format!("profile {}", selection.name);
                warnings.extend(self.ignored(WEB_IDENTITY, &profile));
                if !plan.base.asks_container() {
                    warnings.extend(self.ignored(&container::VARIABLES, &profile));
                }
            }
            return Ok(plan);
        }
        let why = match (profile, self.environment.home()) {
            (Some(_), _) => "has no credentials",
            (None, Some(_)) => "not found",
            (None, None) => "not found, and the home directory is unknown",
        };
        let why = [&[why.to_owned()], absent.as_slice()].concat().join(", ");
        let others = other_profiles.as_ref().map(|others| format!(" ({others})"));
        let others = others.unwrap_or_default();
        passed_over.push(format!("profile {}: {why}{others}", selection.name));
        if self.environment.first(&container::VARIABLES).is_some() {
            return Ok(only(BaseProvider::Container));
        }
        let variables =
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI";
        passed_over.push(format!("container: {variables} are not set"));
        Ok(only(BaseProvider::Instance))
    }

    /// A warning if one of `variables` is set, whose source the `winner` outranks.
    fn ignored(&self, variables: &[&str], winner: &str) -> Option<String> {
        let (variable, value) = self.environment.first(variables)?;
        // The path shows which program has set it. A URI may contain a secret.
        let path = if variables == WEB_IDENTITY { format!(" ({value})") } else { String::new() };
        Some(format!("{variable}{path} is ignored: {winner} takes precedence"))
    }
}

/// An error of a profile, with the absent files, which may be its cause.
fn explain(error: Error, absent: &[String]) -> Error {
    if absent.is_empty() {
        return error;
    }
    let message = format!("{} ({})", error.message(), absent.join("; "));
    let explained = Error::new(error.kind(), message);
    match error.hint_text() {
        Some(hint) => explained.hint(hint),
        None => explained,
    }
}

/// An error that may be due to a file that cannot be read.
fn with_fix(error: Error, fix: Option<&str>) -> Error {
    let Some(fix) = fix else { return error };
    let hint = error.own_hint().map(|hint| format!("{fix}; or {hint}"));
    error.hint(hint.unwrap_or_else(|| fix.to_owned()))
}

/// A warning if a variable selects the profile, which the `winner` outranks.
fn ignored_profile(selection: &Selection, winner: &str) -> Option<String> {
    let (variable, name) = (selection.named_by?, &selection.name);
    Some(format!(
        "{variable} ({name}) is ignored: {winner} takes precedence; use --profile to prefer it"
    ))
}
