//! `Registration`: this program as a client of the OIDC service, kept in a file while it is valid.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, json};
use time::OffsetDateTime;

use crate::credentials::cache_key::{Style, cache_key};
use crate::credentials::expiry;
use crate::credentials::sources::request::RetryPolicy;
use crate::credentials::sources::sso::cache_folder;
use crate::credentials::sources::token_cache::{CachedToken, forget_unwritten};
use crate::credentials::watch::Watch;
use crate::error::Error;
use crate::sign_in::oidc::{Oidc, text};
use crate::signing::Secret;

/// A registration that ends sooner is not used: its token could not be refreshed.
const MARGIN: Duration = Duration::from_secs(15 * 60);

/// The redirect URI of the browser flow. The port is chosen later (RFC 8252 §7.3).
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1/oauth/callback";

/// How users sign in. The service registers different clients for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    DeviceCode,
    Browser,
}

/// A registered client.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) expires_at: OffsetDateTime,
    /// It was read from its file, so the service may have forgotten it.
    pub(crate) is_old: bool,
}

impl Registration {
    /// The kept registration, or a new one.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub(crate) fn get(oidc: &Oidc, flow: Flow, now: OffsetDateTime) -> Result<Registration, Error> {
        match Registration::kept(oidc, flow, now) {
            Some(kept) => Ok(kept),
            None => Registration::new(oidc, flow, now),
        }
    }

    /// The registration in the cache, if it is valid long enough.
    pub(crate) fn kept(oidc: &Oidc, flow: Flow, now: OffsetDateTime) -> Option<Registration> {
        let network = &oidc.services.network;
        let file = CachedToken::read(&path(oidc, flow)?, &mut Watch::default(), &network.cancel)?;
        let expires_at = file.time("expiresAt")?;
        if expiry::left(expires_at, oidc.time_of_aws(now)) <= MARGIN {
            return None;
        }
        let client_secret = Secret::new(file.text("clientSecret")?);
        network.redactor.add_temporary(client_secret.expose());
        let client_id = file.text("clientId")?.to_owned();
        Some(Registration { client_id, client_secret, expires_at, is_old: true })
    }

    /// Deletes the kept registration.
    pub(crate) fn forget(oidc: &Oidc, flow: Flow) {
        if let Some(path) = path(oidc, flow) {
            forget_unwritten(&path);
            let _ = fs::remove_file(path);
        }
    }

    /// `RegisterClient`.
    fn new(oidc: &Oidc, flow: Flow, now: OffsetDateTime) -> Result<Registration, Error> {
        // The consent page shows the name.
        let name = match &oidc.session.name {
            Some(session) => format!("sigv4-proxy-{session}"),
            None => "sigv4-proxy".to_owned(),
        };
        let mut body = json!({ "clientName": name, "clientType": "public" });
        if !oidc.session.scopes.is_empty() {
            body["scopes"] = json!(oidc.session.scopes);
        }
        let grant_types = json!(["authorization_code", "refresh_token"]);
        if flow == Flow::Browser {
            body["grantTypes"] = grant_types.clone();
            body["redirectUris"] = json!([REDIRECT_URI]);
            body["issuerUrl"] = json!(oidc.portal);
        }
        let response = oidc
            .post("/client/register", &body, &RetryPolicy::SERVICE, now)
            .map_err(|error| error.context("registering with the sign-in service"))?;
        let expires_at = response.get("clientSecretExpiresAt").and_then(expiry::of_unix_seconds);
        let registration = Registration {
            client_id: text(&response, "clientId")?.to_owned(),
            client_secret: Secret::new(text(&response, "clientSecret")?),
            expires_at: expires_at.unwrap_or(now),
            is_old: false,
        };
        let mut members = Map::new();
        members.insert("clientId".to_owned(), json!(registration.client_id));
        members.insert("clientSecret".to_owned(), json!(registration.client_secret.expose()));
        members.insert("expiresAt".to_owned(), json!(expiry::format(registration.expires_at)));
        members.insert("scopes".to_owned(), json!(oidc.session.scopes));
        if flow == Flow::Browser {
            members.insert("grantTypes".to_owned(), grant_types);
        }
        if let Some(path) = path(oidc, flow) {
            // If it cannot be written, this process keeps it.
            let _ = CachedToken::new(path, members).create();
        }
        Ok(registration)
    }
}

/// The file of the registration. The AWS CLI's have other names, because the flow is not part of them.
fn path(oidc: &Oidc, flow: Flow) -> Option<PathBuf> {
    let session = &oidc.session;
    let tool = match flow {
        Flow::DeviceCode => "sigv4-proxy",
        Flow::Browser => "sigv4-proxy-browser",
    };
    let key = cache_key(
        &json!({
            "region": session.region,
            "scopes": Some(&session.scopes).filter(|scopes| !scopes.is_empty()),
            "session_name": session.name,
            "startUrl": session.start_url,
            "tool": tool,
        }),
        Style::Spaced,
    );
    Some(cache_folder(&oidc.services.environment)?.join(format!("{key}.json")))
}
