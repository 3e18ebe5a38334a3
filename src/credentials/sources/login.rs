//! `aws login`: the session of a console sign-in, cached in a file and refreshed with proof of possession of its key (DPoP).

use std::path::PathBuf;
use std::time::Duration;

use p256::SecretKey;
use p256::ecdsa::SigningKey;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::credentials::expiry;
use crate::credentials::source::Source;
use crate::credentials::sources::dpop;
use crate::credentials::sources::endpoints::{Endpoints, Service};
use crate::credentials::sources::request::{Call, Network, RetryPolicy};
use crate::credentials::sources::token_cache::{CachedToken, text_of};
use crate::credentials::types::Credentials;
use crate::credentials::watch::Watch;
use crate::environment::Environment;
use crate::error::{Error, Kind, SignIn, SignInMethod};
use crate::signing::AccessKey;
use crate::suggest::shell_word;

/// Credentials that expire sooner are refreshed.
const REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60);

/// A login session, with everything that refreshing it needs.
pub(crate) struct LoginProvider<'a> {
    /// `login_session`.
    pub(crate) session: &'a str,
    pub(crate) profile: &'a str,
    /// For sessions whose file names no region.
    pub(crate) region: Option<&'a str>,
    pub(crate) environment: &'a Environment,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) network: &'a Network,
    /// The local time.
    pub(crate) now: OffsetDateTime,
}

/// The file of a session: `SHA256.json` in `~/.aws/login/cache`, or in the folder that a variable names. `None` without a
/// home folder.
pub(crate) fn token_file(environment: &Environment, session: &str) -> Option<PathBuf> {
    let folder = match environment.get("AWS_LOGIN_CACHE_DIRECTORY") {
        Some(folder) => environment.path(folder),
        None => environment.in_home(".aws/login/cache")?,
    };
    Some(folder.join(format!("{}.json", hex::encode(Sha256::digest(session)))))
}

/// The error for users who may not use `aws login`.
pub(crate) fn missing_permission() -> Error {
    let what = "login session: missing permission for signin:CreateOAuth2Token";
    Error::new(Kind::Credentials, what)
}

impl LoginProvider<'_> {
    pub(crate) fn credentials(
        &self,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials, Error> {
        let path = self.cache_file()?;
        let Some(mut cached) = CachedToken::read(&path, watch, &self.network.cancel) else {
            return Err(CachedToken::forbidden(&path).map_or_else(
                || self.no_login(&format!("missing: no usable {}", path.display())),
                |error| error.context("login session"),
            ));
        };
        let found = self.parse_credentials(&cached)?;
        let expires = found.expires.unwrap_or(self.now);
        if expiry::left(expires, self.time_of_aws()) > REFRESH_MARGIN {
            return Ok(found);
        }
        let refreshed = match self.refresh(&mut cached, watch, warnings) {
            Ok(()) => return self.parse_credentials(&cached),
            Err(refusal) => self.renewed(&cached, watch).ok_or(refusal),
        };
        match refreshed {
            Ok(renewed) => Ok(renewed),
            Err(Refusal::Permanent(error)) => Err(error),
            Err(Refusal::Temporary(why)) if expires > self.time_of_aws() => {
                warnings.push(format!(
                    "the login session expires soon and could not be refreshed: {why}"
                ));
                Ok(found)
            }
            Err(Refusal::Temporary(why)) => {
                Err(self.no_login(&format!("expired: {why}")).sign_in(None))
            }
        }
    }

    /// AWS's time, as far as it is known by now.
    fn time_of_aws(&self) -> OffsetDateTime {
        self.network.time_of_aws(self.now)
    }

    fn cache_file(&self) -> Result<PathBuf, Error> {
        token_file(self.environment, self.session)
            .ok_or_else(|| self.no_login("missing: HOME is not set").sign_in(None))
    }

    /// The credentials that another process has written to the file meanwhile, or that a new `aws login` has.
    fn renewed(&self, cached: &CachedToken, watch: &mut Watch) -> Option<Credentials> {
        let newer = cached.newer(watch, &self.network.cancel)?;
        let found = self.parse_credentials(&newer).ok()?;
        (found.expires > Some(self.time_of_aws())).then_some(found)
    }

    /// The credentials in the file. The data for a refresh must be there, even if none is needed yet. Secrets are
    /// registered with the redactor.
    fn parse_credentials(&self, cached: &CachedToken) -> Result<Credentials, Error> {
        for name in ["refreshToken", "dpopKey"] {
            self.network.redactor.add_temporary(cached.text(name).unwrap_or_default());
        }
        let missing = |name: &str| self.no_login(&format!("not usable ({name} is missing)"));
        let current = cached.object("accessToken").ok_or_else(|| missing("accessToken"))?;
        let text = |name: &str| {
            text_of(current, name).ok_or_else(|| missing(&format!("accessToken.{name}")))
        };
        for name in ["refreshToken", "clientId", "dpopKey"] {
            cached.text(name).ok_or_else(|| missing(name))?;
        }
        let key = AccessKey::new(
            text("accessKeyId")?,
            text("secretAccessKey")?,
            Some(text("sessionToken")?),
        );
        let account = Some(text("accountId")?.to_owned());
        let expires =
            expiry::parse(text("expiresAt")?).ok_or_else(|| missing("accessToken.expiresAt"))?;
        self.network.redactor.add_key(&key);
        let source = Source::Login { profile: self.profile.to_owned() };
        Ok(Credentials { key, expires: Some(expires), account, source })
    }

    fn refresh(
        &self,
        cached: &mut CachedToken,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let body = self.create_token(cached)?;
        let fresh = body.get("accessToken").and_then(Value::as_object);
        let lifetime = body.get("expiresIn").and_then(expiry::lifetime);
        let (Some(fresh), Some(lifetime)) = (fresh, lifetime) else {
            return Err(temporary("the response has no accessToken or expiresIn"));
        };
        let expires = expiry::after(self.time_of_aws(), lifetime);
        let names = ["accessKeyId", "secretAccessKey", "sessionToken"];
        // Before anything changes: what is cached stays in use after a failure.
        if let Some(name) = names.iter().find(|name| text_of(fresh, name).is_none()) {
            return Err(temporary(&format!("the response has no {name}")));
        }
        let current =
            cached.object_mut("accessToken").ok_or_else(|| temporary("no accessToken"))?;
        for name in names {
            current.insert(name.to_owned(), fresh[name].clone());
        }
        current.insert("expiresAt".to_owned(), expiry::format(expires).into());
        if let Some(token) = text_of(&body, "refreshToken") {
            cached.set("refreshToken", token);
        }
        if let Err(error) = cached.write(watch) {
            warnings.push(format!("the refreshed login session cannot be saved: {error}"));
        }
        Ok(())
    }

    /// Sign-in's `CreateOAuth2Token`.
    fn create_token(&self, cached: &CachedToken) -> Result<Map<String, Value>, Refusal> {
        let region = cached.text("signInRegion").or(self.region).ok_or_else(|| {
            temporary("no region for the sign-in service: set AWS_REGION or --region")
        })?;
        let (endpoint, _) = self
            .endpoints
            .of(Service::SignIn, region, "/v1/token")
            .map_err(|error| Refusal::Temporary(error.to_string()))?;
        let body = json!({
            "clientId": cached.text("clientId"),
            "grantType": "refresh_token",
            "refreshToken": cached.text("refreshToken"),
        })
        .to_string();
        let key = cached.text("dpopKey").unwrap_or_default();
        let url = endpoint.to_string();
        let key = SecretKey::from_sec1_pem(key).map(SigningKey::from);
        let key = key.map_err(|_| Refusal::Permanent(self.no_login("not usable (dpopKey)")))?;
        let send = |now| {
            let proof = dpop::proof(&key, &url, now);
            self.network.redactor.add_temporary(&proof);
            let headers = [("content-type", "application/json"), ("dpop", proof.as_str())];
            let body = body.as_bytes();
            let call = Call { method: "POST", endpoint: &endpoint, headers: &headers, body };
            self.network.send(&call, &RetryPolicy::SERVICE)
        };
        let reply = self.network.send_dated(self.now, send);
        let reply = reply.map_err(|error| Refusal::Temporary(error.to_string()))?;
        let reply_body = reply.json().unwrap_or_default();
        if reply.status == 200 {
            return Ok(reply_body);
        }
        match reply_body.get("error").and_then(Value::as_str) {
            Some("TOKEN_EXPIRED") => Err(Refusal::Permanent(self.no_login("expired"))),
            Some("USER_CREDENTIALS_CHANGED") => {
                let what = "not usable: your password has changed";
                Err(Refusal::Permanent(self.no_login(what)))
            }
            Some("INSUFFICIENT_PERMISSIONS") => {
                let profile = format_args!("profile {:?}", self.profile);
                Err(Refusal::Permanent(missing_permission().context(profile)))
            }
            _ => Err(Refusal::Temporary(reply.refusal())),
        }
    }

    fn no_login(&self, what: &str) -> Error {
        let profile = self.profile;
        let word = shell_word(profile);
        let commands =
            format!("\"sigv4-proxy login --profile {word}\" or \"aws login --profile {word}\"");
        let message = format!("profile {profile:?}: login session {what}; run {commands}");
        Error::new(Kind::Credentials, message).sign_in(Some(SignIn {
            profile: profile.to_owned(),
            problem: format!("login session {what}"),
            method: SignInMethod::Login { session: self.session.to_owned() },
        }))
    }
}

/// Why a session was not refreshed.
enum Refusal {
    /// Only the user can fix it.
    Permanent(Error),
    Temporary(String),
}

fn temporary(why: &str) -> Refusal {
    Refusal::Temporary(why.to_owned())
}
