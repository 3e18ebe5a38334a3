//! `Executor`: executes a plan step by step, and remembers results that make the next look-up cheaper.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::credentials::config::plan::{BaseProvider, Plan, Role};
use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::expiry;
use crate::credentials::header_value::check_setting;
use crate::credentials::providers::{Lookup, Providers};
use crate::credentials::sources::cli_cache;
use crate::credentials::sources::sts::MfaCode;
use crate::credentials::types::Credentials;
use crate::credentials::watch::Watch;
use crate::error::{Error, Kind, SignIn, SignInMethod, io_message};
use crate::signing::Secret;
use crate::suggest::shell_word;

/// The credentials of each step of the last plan.
pub(crate) struct Executor {
    pub(crate) providers: Providers,
    /// The credentials of each step of the plan, and when to refresh them. Steps that are not needed have none.
    steps: Vec<Option<(Credentials, Option<OffsetDateTime>)>>,
    /// The files that the first step read.
    base_files: Watch,
}

impl Executor {
    pub(crate) fn new(providers: Providers) -> Executor {
        Executor { providers, steps: Vec::new(), base_files: Watch::default() }
    }

    /// Forgets the credentials of earlier steps, so that all sources of a plan are used again.
    pub(crate) fn forget(&mut self) {
        self.steps.clear();
        self.providers.forget_failure();
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
        let known_skew = self.providers.network.skew.behind();
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
        if let Some(behind) =
            self.providers.network.skew.behind().filter(|now| Some(*now) != known_skew)
        {
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
        if let Some(at) = plan.roles.iter().position(is_it) {
            let before = Plan { base: plan.base.clone(), roles: plan.roles[..at].to_vec() };
            let found = self.execute(&before, lookup, diagnostics)?;
            return Ok((found, Some(&plan.roles[at])));
        }
        let BaseProvider::StaticWithMfa { keys, .. } = &plan.base else {
            let what = format!("profile {profile:?} no longer requires an MFA code");
            return Err(Error::new(Kind::Credentials, what));
        };
        self.providers.network.redactor.add_key(&keys.key);
        Ok((keys.clone(), None))
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
        let sts = self.providers.sts(lookup)?;
        let (found, path) = match (role, &plan.base) {
            (Some(role), _) => {
                let found = sts.assume_role(role, &source.key, Some(code), lookup.now)?;
                (found, cli_cache::role_file(&self.providers.environment, role))
            }
            (None, base) => {
                let BaseProvider::StaticWithMfa { duration_seconds, profile, .. } = base else {
                    return Ok(source);
                };
                let duration = *duration_seconds;
                let found = sts.session_token(profile, duration, &source.key, code, lookup.now)?;
                let id = &source.key.access_key_id;
                (found, cli_cache::session_file(&self.providers.environment, id, code.serial))
            }
        };
        self.providers.network.redactor.add_key(&found.key);
        let path = path.ok_or_else(|| {
            Error::new(Kind::Credentials, "~/.aws/cli/cache cannot be located: HOME is not set")
        })?;
        let shown = path.display().to_string();
        cli_cache::write(path, &found).map_err(|error| {
            let what = format!("the credentials cannot be saved: {shown}: {}", io_message(&error));
            Error::new(Kind::Credentials, what).hint("make the directory writable")
        })?;
        Ok(found)
    }

    /// The first credentials of a plan that can be had without the user, and the number of roles that they include.
    fn first(
        &mut self,
        plan: &Plan,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<(usize, Credentials), Error> {
        let roles = &plan.roles;
        // A code cannot be entered here. Nothing before the last role that requires one is needed.
        if let Some(at) = roles.iter().rposition(|role| role.mfa_serial.is_some()) {
            let found = self.providers.cli_cache(lookup).role(&roles[at], &mut diagnostics.watch);
            let found = found.ok_or_else(|| needs_code(&roles[at]))?;
            return Ok((at + 1, self.accept(at + 1, found, lookup.now)?));
        }
        let error = match self.base(&plan.base, lookup, roles.is_empty(), diagnostics) {
            Ok(found) => return Ok((0, found)),
            Err(error) => error,
        };
        let Some(sign_in) = error.needed_sign_in() else { return Err(error) };
        let (cache, watch) = (self.providers.cli_cache(lookup), &mut diagnostics.watch);
        let of_base = match &plan.base {
            BaseProvider::Sso(sso) => cache.sso(sso, watch).map(|found| (0, found)),
            _ => None,
        };
        let cached = of_base.or_else(|| {
            (1..).zip(roles).find_map(|(steps, role)| Some((steps, cache.role(role, watch)?)))
        });
        let Some((steps, found)) = cached else { return Err(error) };
        let until = found.expires.map(expiry::format).unwrap_or_default();
        let SignIn { profile, problem, .. } = sign_in;
        diagnostics.warnings.push(format!(
            "profile {profile:?}: {problem}; credentials in the AWS CLI's cache are used until {until}"
        ));
        Ok((steps, self.accept(steps, found, lookup.now)?))
    }

    /// The credentials of the first provider. If roles follow, they are remembered until it is time to refresh them; until
    /// then their files are watched.
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
            diagnostics.watch.extend(&self.base_files);
            return Ok(found);
        }
        let others = std::mem::take(&mut diagnostics.watch);
        let found = self.providers.provide(base, lookup, diagnostics);
        self.base_files = std::mem::replace(&mut diagnostics.watch, others);
        diagnostics.watch.extend(&self.base_files);
        self.accept(0, found?, lookup.now)
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
            self.providers.progress.set_source(format_args!("STS (role {})", role.arn));
            let assumed =
                self.providers.sts(lookup)?.assume_role(role, &found.key, None, lookup.now)?;
            found = self.accept(step, assumed, lookup.now)?;
        }
        Ok(found)
    }

    /// Registers the key with the redactor, checks the credentials and remembers them for this step.
    fn accept(
        &mut self,
        step: usize,
        found: Credentials,
        now: OffsetDateTime,
    ) -> Result<Credentials, Error> {
        self.providers.network.redactor.add_key(&found.key);
        let time_of_aws = self.providers.time_of_aws(now);
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

/// The error for a role that requires an MFA code: it cannot be entered here, because stdin belongs to the client.
fn needs_code(role: &Role) -> Error {
    let profile = role.profile.clone().unwrap_or_default();
    let message = format!(
        "profile {profile:?} requires an MFA code (mfa_serial); run \"sigv4-proxy login --profile {}\" in a terminal",
        shell_word(&profile)
    );
    let method = SignInMethod::Mfa {
        serial: role.mfa_serial.clone().unwrap_or_default(),
        role_arn: Some(role.arn.clone()),
    };
    let problem = "requires an MFA code (mfa_serial)".to_owned();
    Error::new(Kind::Credentials, message).sign_in(Some(SignIn { profile, problem, method }))
}
