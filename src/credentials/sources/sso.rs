//! IAM Identity Center: the token of `aws sso login` is exchanged for the credentials of a role.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use time::OffsetDateTime;

use crate::credentials::config::plan::Sso;
use crate::credentials::expiry;
use crate::credentials::header_value::is_header_value;
use crate::credentials::source::Source;
use crate::credentials::sources::endpoints::{Endpoints, Service};
use crate::credentials::sources::request::{Call, Network, Reply, RetryPolicy};
use crate::credentials::sources::token_cache::{CachedToken, text_of};
use crate::credentials::types::Credentials;
use crate::credentials::watch::Watch;
use crate::environment::Environment;
use crate::error::{Error, Kind, SignIn, SignInMethod, SsoSession, quoted};
use crate::percent;
use crate::signing::AccessKey;
use crate::suggest::shell_word;

/// A token that expires sooner is refreshed.
const TOKEN_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The shortest time between a refresh that failed and the next.
const REFRESH_PAUSE: Duration = Duration::from_secs(30);

/// A role of IAM Identity Center, with everything that requesting its credentials needs.
pub(crate) struct SsoProvider<'a> {
    pub(crate) sso: &'a Sso,
    pub(crate) environment: &'a Environment,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) network: &'a Network,
    /// The local time.
    pub(crate) now: OffsetDateTime,
}

/// When a refresh of the token last failed, and why.
pub(crate) type LastFailure = Option<(OffsetDateTime, RefreshFailure)>;

/// Why a token was not refreshed.
#[derive(Clone)]
pub(crate) struct RefreshFailure {
    why: String,
    /// Only a new sign-in helps, not another attempt.
    is_final: bool,
}

impl RefreshFailure {
    fn last(why: impl Into<String>) -> RefreshFailure {
        RefreshFailure { why: why.into(), is_final: true }
    }

    fn temporary(why: impl Into<String>) -> RefreshFailure {
        RefreshFailure { why: why.into(), is_final: false }
    }
}

/// `~/.aws/sso/cache/SHA1.json`: the hash of the session's name, or of the start URL in the older form. `None` without a
/// home folder.
pub(crate) fn token_file(environment: &Environment, session: &SsoSession) -> Option<PathBuf> {
    let name = session.name.as_deref().unwrap_or(&session.start_url);
    Some(cache_folder(environment)?.join(format!("{}.json", hex::encode(Sha1::digest(name)))))
}

/// The folder of tokens and client registrations.
pub(crate) fn cache_folder(environment: &Environment) -> Option<PathBuf> {
    environment.in_home(".aws/sso/cache")
}

impl SsoProvider<'_> {
    pub(crate) fn credentials(
        &self,
        last_failure: &mut LastFailure,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials, Error> {
        let path = self.cache_file()?;
        let Some(mut cached) = CachedToken::read(&path, watch, &self.network.cancel) else {
            return Err(CachedToken::forbidden(&path).map_or_else(
                || self.no_login("missing"),
                |error| error.context(format_args!("profile {:?}: SSO token", self.sso.profile)),
            ));
        };
        self.register_secrets(&cached);
        let (Some(_), Some(expires)) = (cached.text("accessToken"), cached.time("expiresAt"))
        else {
            return Err(self.no_login("missing"));
        };
        let is_expiring = expiry::left(expires, self.time_of_aws()) <= TOKEN_MARGIN;
        if self.sso.session.name.is_some() && is_expiring {
            let recent = last_failure
                .clone()
                .filter(|(at, _)| expiry::is_recent(*at, self.now, REFRESH_PAUSE));
            let failure = if let Some((_, failure)) = recent {
                Some(failure)
            } else {
                let failure = self.refresh(&mut cached, watch, warnings).err();
                *last_failure = failure.clone().map(|failure| (self.now, failure));
                failure
            };
            if let Some(RefreshFailure { why, is_final }) = failure {
                if expires <= self.time_of_aws() {
                    let error = self.no_login(&format!("expired and not refreshable: {why}"));
                    return Err(if is_final { error } else { error.sign_in(None) });
                }
                warnings
                    .push(format!("the SSO token expires soon and could not be refreshed: {why}"));
            }
        }
        match (cached.text("accessToken"), cached.time("expiresAt")) {
            (Some(token), Some(expires)) if expires > self.time_of_aws() => {
                self.role_credentials(token)
            }
            _ => Err(self.no_login("expired")),
        }
    }

    /// AWS's time, as far as it is known by now.
    fn time_of_aws(&self) -> OffsetDateTime {
        self.network.time_of_aws(self.now)
    }

    fn cache_file(&self) -> Result<PathBuf, Error> {
        token_file(self.environment, &self.sso.session).ok_or_else(|| {
            self.fault("the SSO token cache cannot be located: HOME is not set".to_owned())
        })
    }

    /// Exchanges the refresh token for a new token, unless another process has done so already.
    fn refresh(
        &self,
        cached: &mut CachedToken,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<(), RefreshFailure> {
        let body = match self.create_token(cached)? {
            Ok(body) => body,
            Err(refused) => {
                let newer = cached.newer(watch, &self.network.cancel);
                let ends = newer.as_ref().and_then(|newer| newer.time("expiresAt"));
                let (Some(newer), true) = (newer, ends > Some(self.time_of_aws())) else {
                    return Err(refused);
                };
                self.register_secrets(&newer);
                *cached = newer;
                return Ok(());
            }
        };
        let token = text_of(&body, "accessToken");
        let lifetime = body.get("expiresIn").and_then(expiry::lifetime);
        let (Some(token), Some(lifetime)) = (token, lifetime) else {
            let incomplete = "the response has no accessToken or expiresIn";
            return Err(RefreshFailure::temporary(incomplete));
        };
        let expires = expiry::after(self.time_of_aws(), lifetime);
        cached.set("accessToken", token);
        cached.set("expiresAt", expiry::format(expires));
        // Without a new refresh token, the old one remains valid.
        if let Some(token) = text_of(&body, "refreshToken") {
            cached.set("refreshToken", token);
        }
        self.register_secrets(cached);
        cached.set("startUrl", &self.sso.session.start_url);
        cached.set("region", &self.sso.session.region);
        if let Err(error) = cached.write(watch) {
            warnings.push(format!(
                "the refreshed SSO token cannot be saved for other programs: {error}"
            ));
        }
        Ok(())
    }

    fn register_secrets(&self, cached: &CachedToken) {
        for name in ["accessToken", "refreshToken", "clientSecret"] {
            self.network.redactor.add_temporary(cached.text(name).unwrap_or_default());
        }
    }

    /// OIDC `CreateToken`. The outer error means that no request could be made, the inner one is the server's.
    fn create_token(
        &self,
        cached: &CachedToken,
    ) -> Result<Result<serde_json::Map<String, Value>, RefreshFailure>, RefreshFailure> {
        let member = |name: &str| {
            let missing = || RefreshFailure::last(format!("its file has no {name}"));
            cached.text(name).ok_or_else(missing)
        };
        let registration_ends = cached.time("registrationExpiresAt");
        if registration_ends.is_none_or(|ends| ends <= self.time_of_aws()) {
            return Err(RefreshFailure::last("the client registration has expired"));
        }
        let body = json!({
            "clientId": member("clientId")?,
            "clientSecret": member("clientSecret")?,
            "grantType": "refresh_token",
            "refreshToken": member("refreshToken")?,
        })
        .to_string();
        let (endpoint, _) = self
            .endpoints
            .of(Service::SsoOidc, &self.sso.session.region, "/token")
            .map_err(|error| RefreshFailure::temporary(error.to_string()))?;
        let headers = [("content-type", "application/json")];
        let call =
            Call { method: "POST", endpoint: &endpoint, headers: &headers, body: body.as_bytes() };
        let reply =
            self.send(&call).map_err(|error| RefreshFailure::temporary(error.to_string()))?;
        Ok(match reply.json() {
            Some(body) if reply.status == 200 => Ok(body),
            _ if (400..500).contains(&reply.status) && reply.status != 429 => {
                Err(RefreshFailure::last(reply.refusal()))
            }
            _ => Err(RefreshFailure::temporary(reply.refusal())),
        })
    }

    /// `GetRoleCredentials`.
    fn role_credentials(&self, token: &str) -> Result<Credentials, Error> {
        let Sso { account, role, .. } = self.sso;
        let encoded = |text: &str| percent::encode(text.as_bytes(), b"");
        let resource = format!(
            "/federation/credentials?role_name={}&account_id={}",
            encoded(role),
            encoded(account)
        );
        let (endpoint, _) = self
            .endpoints
            .of(Service::Sso, &self.sso.session.region, &resource)
            .map_err(|error| error.context(format_args!("profile {:?}", self.sso.profile)))?;
        if !is_header_value(token) {
            return Err(self.no_login("not usable"));
        }
        let headers = [("x-amz-sso_bearer_token", token)];
        let call = Call { method: "GET", endpoint: &endpoint, headers: &headers, body: b"" };
        let reply = self.send(&call);
        let reply = reply
            .map_err(|error| error.context(format_args!("profile {:?}: SSO", self.sso.profile)))?;
        match reply.status {
            200 => self.parse_credentials(&reply),
            401 => Err(self.no_login("revoked")),
            403 | 404 => {
                let profile = shell_word(&self.sso.profile);
                let hint = format!(
                    "sign out with \"sigv4-proxy logout --profile {profile}\" to sign in as another user"
                );
                let what = format!("signed in, but {}", self.refusal(&reply));
                Err(self.fault(what).hint(hint))
            }
            _ => Err(self.fault(self.refusal(&reply))),
        }
    }

    /// Sends a request. It is not signed, but a service may still refuse it because of its time.
    fn send(&self, call: &Call<'_>) -> Result<Reply, Error> {
        self.network.send_dated(self.now, |_| self.network.send(call, &RetryPolicy::SERVICE))
    }

    fn refusal(&self, reply: &Reply) -> String {
        let Sso { account, role, .. } = self.sso;
        let body = reply.json().unwrap_or_default();
        let what = match body.get("message").and_then(Value::as_str) {
            Some(message) => format!("{} ({})", quoted(message), reply.status),
            None => reply.refusal(),
        };
        format!("role {role} in account {account}: {what}")
    }

    fn parse_credentials(&self, reply: &Reply) -> Result<Credentials, Error> {
        let Sso { account, role, profile, .. } = self.sso;
        let body = reply.json().unwrap_or_default();
        let found = body.get("roleCredentials").and_then(Value::as_object);
        let text = |name: &str| {
            found
                .and_then(|found| text_of(found, name))
                .ok_or_else(|| self.fault(format!("SSO: no {name} in the response")))
        };
        let expires = found
            .and_then(|found| expiry::of_unix_millis(found.get("expiration")?))
            .ok_or_else(|| self.fault("SSO: no expiration in the response".to_owned()))?;
        Ok(Credentials {
            key: AccessKey::new(
                text("accessKeyId")?,
                text("secretAccessKey")?,
                Some(text("sessionToken")?),
            ),
            expires: Some(expires),
            account: Some(account.clone()),
            source: Source::Sso { profile: profile.clone(), role: role.clone() },
        })
    }

    fn no_login(&self, what: &str) -> Error {
        let profile = shell_word(&self.sso.profile);
        let whose = match &self.sso.session.name {
            Some(session) => format!("--sso-session {}", shell_word(session)),
            None => format!("--profile {profile}"),
        };
        let commands =
            format!("\"sigv4-proxy login --profile {profile}\" or \"aws sso login {whose}\"");
        let error = self.fault(format!("SSO token {what}; run {commands}"));
        error.sign_in(Some(SignIn {
            profile: self.sso.profile.clone(),
            problem: format!("SSO token {what}"),
            method: SignInMethod::Sso(self.sso.session.clone()),
        }))
    }

    fn fault(&self, what: String) -> Error {
        Error::new(Kind::Credentials, what).context(format_args!("profile {:?}", self.sso.profile))
    }
}
