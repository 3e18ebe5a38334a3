//! `BrowserSignIn`: signing in to IAM Identity Center with a browser on this machine: authorization code and PKCE.

use std::time::Instant;

use serde_json::json;
use time::OffsetDateTime;

use crate::credentials::Services;
use crate::credentials::sources::request::RetryPolicy;
use crate::error::{Error, SsoSession};
use crate::sign_in::callback::CallbackListener;
use crate::sign_in::oidc::{Oidc, is_of_client, with_client};
use crate::sign_in::pkce::{self, Pkce};
use crate::sign_in::registration::{Flow, Registration};
use crate::sign_in::sso_token::{self, SignedIn};
use crate::signing::Secret;
use crate::sync::cancel::Cancel;

/// A sign-in that waits for the browser.
#[derive(Debug)]
pub(crate) struct BrowserSignIn {
    /// The address to open on this machine.
    pub(crate) link: String,
    oidc: Oidc,
    registration: Registration,
    pkce: Pkce,
    listener: CallbackListener,
    redirect_uri: String,
}

/// The code that the browser brought.
#[derive(Debug)]
pub(crate) struct BrowserCode {
    oidc: Oidc,
    registration: Registration,
    pkce: Pkce,
    redirect_uri: String,
    code: Secret,
}

impl BrowserSignIn {
    /// # Errors
    /// The service cannot be reached or refuses.
    pub(crate) fn begin(
        services: &Services,
        session: &SsoSession,
        now: OffsetDateTime,
    ) -> Result<BrowserSignIn, Error> {
        let oidc = Oidc::new(services, session)?;
        let registration = Registration::get(&oidc, Flow::Browser, now)?;
        let pkce = Pkce::new(&services.network.redactor)?;
        let listener = CallbackListener::bind()?;
        let redirect_uri = listener.redirect_uri();
        let link = pkce::link(
            &oidc.endpoint("/authorize")?.to_string(),
            &[
                ("response_type", "code"),
                ("client_id", &registration.client_id),
                ("redirect_uri", &redirect_uri),
                ("state", &pkce.state),
                ("code_challenge_method", "S256"),
                ("scopes", &session.scopes.join(" ")),
                ("code_challenge", &pkce.challenge()),
            ],
        );
        Ok(BrowserSignIn { link, oidc, registration, pkce, listener, redirect_uri })
    }

    /// Waits for the browser.
    ///
    /// # Errors
    /// The browser brought an error, `deadline` passed, or the wait was cancelled. The next sign-in then registers again.
    pub(crate) fn wait(self, deadline: Instant, cancel: &Cancel) -> Result<BrowserCode, Error> {
        let BrowserSignIn { oidc, registration, pkce, listener, redirect_uri, .. } = self;
        let code = listener.wait(&pkce.state, deadline, cancel).inspect_err(|_| {
            // The service redirects nowhere if it does not know the client any more.
            if registration.is_old {
                Registration::forget(&oidc, Flow::Browser);
            }
        })?;
        oidc.services.network.redactor.add_temporary(code.expose());
        Ok(BrowserCode { oidc, registration, pkce, redirect_uri, code })
    }
}

impl BrowserCode {
    /// Exchanges the code for a token and writes it to the session's file.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub(crate) fn exchange(self, now: OffsetDateTime) -> Result<SignedIn, Error> {
        let Registration { client_id, client_secret, .. } = &self.registration;
        let grant = json!({
            "grantType": "authorization_code",
            "redirectUri": self.redirect_uri,
            "codeVerifier": self.pkce.verifier.expose(),
            "code": self.code.expose(),
        });
        let body = with_client(client_id, client_secret.expose(), grant);
        let response = self.oidc.post("/token", &body, &RetryPolicy::SERVICE, now);
        let response = response.map_err(|error| {
            if is_of_client(&error) {
                Registration::forget(&self.oidc, Flow::Browser);
                return error.hint("try again with a new registration");
            }
            error
        })?;
        sso_token::save(&self.oidc, &self.registration, &response, now)
    }
}
