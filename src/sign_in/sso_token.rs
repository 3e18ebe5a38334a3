//! The token of an IAM Identity Center session, in the file that the AWS CLI and all SDKs read.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::credentials::Services;
use crate::credentials::expiry;
use crate::credentials::sources::sso::token_file;
use crate::credentials::sources::token_cache::CachedToken;
use crate::credentials::watch::Watch;
use crate::error::{Error, Kind, SsoSession, io_message};
use crate::sign_in::oidc::{Oidc, text};
use crate::sign_in::registration::Registration;
use crate::signing::Secret;

/// The result of an earlier sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedIn {
    /// When the token expires. In the session form it is refreshed before.
    pub(crate) until: OffsetDateTime,
    /// Set if other programs do not see the sign-in.
    pub(crate) warning: Option<String>,
}

/// The token in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) access_token: Secret,
    pub(crate) expires_at: OffsetDateTime,
}

impl Token {
    /// The token in the session's file, also an expired one.
    pub(crate) fn read(services: &Services, session: &SsoSession) -> Option<Token> {
        let path = token_file(&services.environment, session)?;
        let network = &services.network;
        let file = CachedToken::read(&path, &mut Watch::default(), &network.cancel)?;
        let access_token = Secret::new(file.text("accessToken")?);
        network.redactor.add_temporary(access_token.expose());
        Some(Token { access_token, expires_at: file.time("expiresAt")? })
    }
}

/// Writes the response of `CreateToken` to the session's file. If it cannot be written, this process uses it.
///
/// # Errors
/// The response is incomplete.
pub(crate) fn save(
    oidc: &Oidc,
    registration: &Registration,
    response: &Map<String, Value>,
    now: OffsetDateTime,
) -> Result<SignedIn, Error> {
    let lifetime = response.get("expiresIn").and_then(expiry::lifetime).ok_or_else(|| {
        Error::new(Kind::Credentials, "the response of the sign-in service has no expiresIn")
    })?;
    let until = expiry::after(oidc.time_of_aws(now), lifetime);
    let mut members = Map::new();
    let mut set = |name: &str, value: &str| members.insert(name.to_owned(), json!(value));
    set("startUrl", &oidc.session.start_url);
    set("region", &oidc.session.region);
    set("accessToken", text(response, "accessToken")?);
    set("expiresAt", &expiry::format(until));
    set("clientId", &registration.client_id);
    set("clientSecret", registration.client_secret.expose());
    set("registrationExpiresAt", &expiry::format(registration.expires_at));
    if let Ok(token) = text(response, "refreshToken") {
        set("refreshToken", token);
    }
    let path = token_file(&oidc.services.environment, &oidc.session).ok_or_else(|| {
        Error::new(Kind::Credentials, "the SSO token cache cannot be located: HOME is not set")
    })?;
    let shown = path.display().to_string();
    let written = CachedToken::new(path, members).create();
    let warning = written.err().map(|error| {
        format!(
            "the sign-in cannot be saved, so other programs cannot use it: {shown}: {}",
            io_message(&error)
        )
    });
    Ok(SignedIn { until, warning })
}
