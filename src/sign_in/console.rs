//! `ConsoleSignIn`: `aws login`: signing in to the console, whose credentials the CLI and the SDKs use.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::pkcs8::LineEnding;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::credentials::Services;
use crate::credentials::expiry;
use crate::credentials::sources::dpop;
use crate::credentials::sources::endpoints::Service;
use crate::credentials::sources::login::{missing_permission, token_file};
use crate::credentials::sources::request::{Call, RetryPolicy};
use crate::credentials::sources::token_cache::CachedToken;
use crate::error::{Error, Kind, io_message};
use crate::http::url::Endpoint;
use crate::sign_in::callback::{CallbackListener, parameter};
use crate::sign_in::oidc::text;
use crate::sign_in::pkce::{self, Pkce};
use crate::sign_in::secure_random;
use crate::signing::Secret;
use crate::sync::cancel::Cancel;

const SAME_DEVICE: &str = "arn:aws:signin:::devtools/same-device";
const CROSS_DEVICE: &str = "arn:aws:signin:::devtools/cross-device";

/// A sign-in that waits for the browser.
#[derive(Debug)]
pub(crate) struct ConsoleSignIn {
    /// The address to open.
    pub(crate) link: String,
    services: Services,
    region: String,
    client_id: &'static str,
    redirect_uri: String,
    pkce: Pkce,
    /// `None`: the page shows a text instead.
    listener: Option<CallbackListener>,
}

/// The result of a sign-in. It does not implement `Debug`, because its values are secrets.
pub(crate) struct ConsoleSession {
    /// The ARN of the identity that signed in.
    pub(crate) arn: String,
    members: Map<String, Value>,
}

impl ConsoleSignIn {
    /// # Errors
    /// The region is not known, or there is no port for the browser.
    pub(crate) fn begin(services: &Services, is_remote: bool) -> Result<ConsoleSignIn, Error> {
        let region = services.region.clone().ok_or_else(|| {
            let what = "no region for the sign-in service: set AWS_REGION or --region";
            Error::new(Kind::Credentials, what)
        })?;
        let endpoint = |path| services.endpoints.of(Service::SignIn, &region, path);
        let pkce = Pkce::new(&services.network.redactor)?;
        let listener = if is_remote { None } else { Some(CallbackListener::bind()?) };
        let (client_id, redirect_uri) = match &listener {
            Some(listener) => (SAME_DEVICE, listener.redirect_uri()),
            None => (CROSS_DEVICE, endpoint("/v1/sessions/confirmation")?.0.to_string()),
        };
        let link = pkce::link(
            &endpoint("/v1/authorize")?.0.to_string(),
            &[
                ("response_type", "code"),
                ("client_id", client_id),
                ("state", &pkce.state),
                ("code_challenge_method", "SHA-256"),
                ("scope", "openid"),
                ("redirect_uri", &redirect_uri),
                ("code_challenge", &pkce.challenge()),
            ],
        );
        let services = services.clone();
        Ok(ConsoleSignIn { link, services, region, client_id, redirect_uri, pkce, listener })
    }

    /// Waits for the browser on this machine.
    ///
    /// # Errors
    /// The browser brought an error, `deadline` passed, or the wait was cancelled.
    pub(crate) fn wait(&mut self, deadline: Instant, cancel: &Cancel) -> Result<Secret, Error> {
        let listener =
            self.listener.take().expect("only a sign-in on this machine is waited for, once");
        listener.wait(&self.pkce.state, deadline, cancel)
    }

    /// The authorization code in the text that the page shows: the base64 of `state=…&code=…`.
    ///
    /// # Errors
    /// The text is another one.
    pub(crate) fn code_of_page(&self, pasted: &str) -> Result<Secret, Error> {
        let text: String = pasted.chars().filter(|c| !c.is_whitespace() && *c != '=').collect();
        let bytes = STANDARD_NO_PAD.decode(&text).or_else(|_| URL_SAFE_NO_PAD.decode(&text));
        let decoded = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let query = decoded.unwrap_or_default();
        let code = parameter(&query, "code").filter(|code| !code.is_empty());
        match (parameter(&query, "state"), code) {
            (Some(state), Some(code)) if state == self.pkce.state => Ok(Secret::new(code)),
            (Some(_), Some(_)) => {
                let what = "the authorization code belongs to another sign-in";
                Err(Error::new(Kind::Credentials, what).hint("use the link that was shown last"))
            }
            _ => {
                let what = "not an authorization code";
                Err(Error::new(Kind::Credentials, what).hint("copy the whole text from the page"))
            }
        }
    }

    /// Exchanges the code for credentials, bound to a new key of this machine.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub(crate) fn exchange(
        &self,
        code: &Secret,
        now: OffsetDateTime,
    ) -> Result<ConsoleSession, Error> {
        let network = &self.services.network;
        network.redactor.add_temporary(code.expose());
        let key = new_key()?;
        let pem = key.to_sec1_pem(LineEnding::LF).map_err(|error| {
            Error::new(Kind::Internal, format!("the key cannot be written: {error}"))
        })?;
        network.redactor.add_temporary(&pem);
        let (endpoint, _) =
            self.services.endpoints.of(Service::SignIn, &self.region, "/v1/token")?;
        let response = self.create_token(&endpoint, code, &SigningKey::from(key), now)?;
        for name in ["refreshToken", "idToken"] {
            network
                .redactor
                .add_temporary(response.get(name).and_then(Value::as_str).unwrap_or_default());
        }
        let incomplete = |name: &str| {
            let what = format!("the response of the sign-in service has no {name}");
            Error::new(Kind::Credentials, what)
        };
        let keys = response.get("accessToken").and_then(Value::as_object);
        let keys = keys.ok_or_else(|| incomplete("accessToken"))?;
        for name in ["secretAccessKey", "sessionToken"] {
            network.redactor.add_temporary(text(keys, name)?);
        }
        let lifetime = response.get("expiresIn").and_then(expiry::lifetime);
        let lifetime = lifetime.ok_or_else(|| incomplete("expiresIn"))?;
        let expires = expiry::after(network.time_of_aws(now), lifetime);
        let id_token = text(&response, "idToken")?;
        let arn = subject(id_token).ok_or_else(|| incomplete("sub of the idToken"))?;
        let account = arn.split(':').nth(4).unwrap_or_default();
        let members = json!({
            "accessToken": {
                "accessKeyId": text(keys, "accessKeyId")?,
                "secretAccessKey": text(keys, "secretAccessKey")?,
                "sessionToken": text(keys, "sessionToken")?,
                "accountId": account,
                "expiresAt": expiry::format(expires),
            },
            "tokenType": "aws_sigv4",
            "refreshToken": text(&response, "refreshToken")?,
            "idToken": id_token,
            "clientId": self.client_id,
            "dpopKey": pem.as_str(),
        });
        let Value::Object(members) = members else { unreachable!("it is written above") };
        Ok(ConsoleSession { arn, members })
    }

    /// Sign-in's `CreateOAuth2Token`.
    fn create_token(
        &self,
        endpoint: &Endpoint,
        code: &Secret,
        key: &SigningKey,
        now: OffsetDateTime,
    ) -> Result<Map<String, Value>, Error> {
        let network = &self.services.network;
        let body = json!({
            "clientId": self.client_id,
            "grantType": "authorization_code",
            "code": code.expose(),
            "codeVerifier": self.pkce.verifier.expose(),
            "redirectUri": self.redirect_uri,
        })
        .to_string();
        let url = endpoint.to_string();
        let reply = network.send_dated(now, |now| {
            let proof = dpop::proof(key, &url, now);
            network.redactor.add_temporary(&proof);
            let headers = [("content-type", "application/json"), ("dpop", proof.as_str())];
            let body = body.as_bytes();
            network.send(
                &Call { method: "POST", endpoint, headers: &headers, body },
                &RetryPolicy::SERVICE,
            )
        });
        let reply = reply.map_err(|error| error.context(endpoint.host()))?;
        let response = reply.json().unwrap_or_default();
        if reply.status == 200 {
            return Ok(response);
        }
        Err(match response.get("error").and_then(Value::as_str) {
            Some("AUTHCODE_EXPIRED") => {
                Error::new(Kind::Credentials, "the authorization code has expired; try again")
            }
            Some("INSUFFICIENT_PERMISSIONS") => missing_permission(),
            _ => Error::new(Kind::Credentials, reply.refusal()).context(endpoint.host()),
        })
    }
}

impl ConsoleSession {
    /// Writes the file that the AWS CLI and the SDKs read.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(self, services: &Services) -> Result<(), Error> {
        let path = token_file(&services.environment, &self.arn).ok_or_else(|| {
            let what = "the login session cache cannot be located: HOME is not set";
            Error::new(Kind::Credentials, what)
        })?;
        let shown = path.display().to_string();
        CachedToken::new(path, self.members).create().map_err(|error| {
            let what =
                format!("the login session cannot be saved: {shown}: {}", io_message(&error));
            Error::new(Kind::Credentials, what).hint("make the directory writable")
        })
    }
}

/// A P-256 key.
fn new_key() -> Result<SecretKey, Error> {
    loop {
        let bytes = zeroize::Zeroizing::new(secure_random::bytes::<32>()?);
        // Nearly every number is a key.
        if let Ok(key) = SecretKey::from_slice(&*bytes) {
            return Ok(key);
        }
    }
}

/// `sub` of a JWT, whose signature is not checked: it comes from the service itself.
fn subject(id_token: &str) -> Option<String> {
    let payload = id_token.split('.').nth(1)?.trim_end_matches('=');
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    payload.get("sub")?.as_str().filter(|sub| !sub.is_empty()).map(str::to_owned)
}
