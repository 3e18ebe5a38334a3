//! IAM Identity Center: the token of `aws sso login` is exchanged for the credentials of a role.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use time::OffsetDateTime;

use crate::credentials::config::plan::Sso;
use crate::credentials::expiry;
use crate::credentials::header_value::is_header_value;
use crate::credentials::shell_word::shell_word;
use crate::credentials::source::Source;
use crate::credentials::sources::endpoints::{Endpoints, Service};
use crate::credentials::sources::request::{Call, Network, Reply, RetryPolicy};
use crate::credentials::sources::token_cache::CachedToken;
use crate::credentials::types::Credentials;
use crate::credentials::watch::Watch;
use crate::environment::Environment;
use crate::error::{Error, Kind, quoted};
use crate::percent;
use crate::signing::AccessKey;

/// A token that expires sooner is refreshed.
const TOKEN_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The shortest time between a refresh that failed and the next.
const REFRESH_PAUSE: Duration = Duration::from_secs(30);

/// A role of IAM Identity Center, and what requesting its credentials needs.
pub(crate) struct SsoProvider<'a> {
    pub(crate) sso: &'a Sso,
    pub(crate) environment: &'a Environment,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) network: &'a Network,
    /// The local time.
    pub(crate) now: OffsetDateTime,
}

/// When a refresh of the token last failed.
pub(crate) type LastFailure = Option<OffsetDateTime>;

impl SsoProvider<'_> {
    pub(crate) fn credentials(
        &self,
        last_failure: &mut LastFailure,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials, Error> {
        let path = self.cache_file()?;
        let Some(mut cached) = CachedToken::read(&path, watch, &self.network.cancel) else {
            return Err(self.no_login("missing"));
        };
        self.register_secrets(&cached);
        let (Some(_), Some(expires)) = (cached.text("accessToken"), cached.time("expiresAt"))
        else {
            return Err(self.no_login("missing"));
        };
        let has_failed_recently = last_failure
            .is_some_and(|at| self.now >= at && expiry::left(self.now, at) < REFRESH_PAUSE);
        let is_expiring = expiry::left(expires, self.time_of_aws()) <= TOKEN_MARGIN;
        if self.sso.session.is_some() && is_expiring && !has_failed_recently {
            match self.refresh(&mut cached, watch, warnings) {
                Ok(()) => *last_failure = None,
                Err(why) => {
                    *last_failure = Some(self.now);
                    if expires <= self.time_of_aws() {
                        return Err(self.no_login(&format!("expired and not refreshable: {why}")));
                    }
                    warnings.push(format!("SSO token not refreshed, though it ends soon: {why}"));
                }
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

    /// `~/.aws/sso/cache/SHA1.json`: the hash of the session's name, or of the start URL in the older form.
    fn cache_file(&self) -> Result<PathBuf, Error> {
        let name = self.sso.session.as_deref().unwrap_or(&self.sso.start_url);
        let home = self.environment.home().ok_or_else(|| {
            self.fault("the folder of SSO tokens is not known: HOME is not set".to_owned())
        })?;
        let hash = hex::encode(Sha1::digest(name));
        Ok(home.join(".aws/sso/cache").join(format!("{hash}.json")))
    }

    /// Exchanges the refresh token for a new token, unless another process has done so already.
    fn refresh(
        &self,
        cached: &mut CachedToken,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
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
        let token = body.get("accessToken").and_then(Value::as_str).filter(|t| !t.is_empty());
        let lifetime = body.get("expiresIn").and_then(expiry::lifetime);
        let (Some(token), Some(lifetime)) = (token, lifetime) else {
            return Err("the response has no accessToken or expiresIn".to_owned());
        };
        let expires = expiry::after(self.time_of_aws(), lifetime);
        cached.set("accessToken", token);
        cached.set("expiresAt", expiry::format(expires));
        // Without a new refresh token, the old one remains valid.
        if let Some(token) = body.get("refreshToken").and_then(Value::as_str) {
            cached.set("refreshToken", token);
        }
        self.register_secrets(cached);
        cached.set("startUrl", &self.sso.start_url);
        cached.set("region", &self.sso.region);
        if let Err(error) = cached.write(watch) {
            warnings.push(format!("the refreshed SSO token cannot be kept for others: {error}"));
        }
        Ok(())
    }

    fn register_secrets(&self, cached: &CachedToken) {
        for name in ["accessToken", "refreshToken", "clientSecret"] {
            self.network.redactor.add(cached.text(name).unwrap_or_default());
        }
    }

    /// OIDC `CreateToken`. The outer error means that no request could be made, the inner one is the server's.
    fn create_token(
        &self,
        cached: &CachedToken,
    ) -> Result<Result<serde_json::Map<String, Value>, String>, String> {
        let member = |name: &str| cached.text(name).ok_or(format!("{name} is not in its file"));
        let registration_ends = cached.time("registrationExpiresAt");
        if registration_ends.is_none_or(|ends| ends <= self.time_of_aws()) {
            return Err("the client registration has expired".to_owned());
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
            .of(Service::SsoOidc, &self.sso.region, "/token")
            .map_err(|error| error.to_string())?;
        let headers = [("content-type", "application/json")];
        let call =
            Call { method: "POST", endpoint: &endpoint, headers: &headers, body: body.as_bytes() };
        let reply = self.send(&call).map_err(|error| error.to_string())?;
        Ok(match reply.json() {
            Some(body) if reply.status == 200 => Ok(body),
            _ => Err(reply.refusal()),
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
            .of(Service::Sso, &self.sso.region, &resource)
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
            let text = found.and_then(|found| found.get(name)?.as_str());
            text.filter(|text| !text.is_empty())
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
        let whose = match &self.sso.session {
            Some(session) => format!("--sso-session {}", shell_word(session)),
            None => format!("--profile {}", shell_word(&self.sso.profile)),
        };
        self.fault(format!("SSO token {what}; run \"aws sso login {whose}\""))
    }

    fn fault(&self, what: String) -> Error {
        Error::new(Kind::Credentials, what).context(format_args!("profile {:?}", self.sso.profile))
    }
}
