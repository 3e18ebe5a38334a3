//! `DeviceSignIn`: signing in to IAM Identity Center by device code (RFC 8628): the user opens a link anywhere and compares a
//! code, while this program polls the service.

use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use crate::credentials::Services;
use crate::credentials::expiry;
use crate::credentials::sources::request::RetryPolicy;
use crate::error::{AwsError, Error, Kind, SsoSession};
use crate::sign_in::link::{check_code, check_link};
use crate::sign_in::oidc::{Oidc, error_name, is_of_client, text, with_client};
use crate::sign_in::polling::{self, Polling};
use crate::sign_in::registration::{Flow, Registration};
use crate::sign_in::sso_token::{self, SignedIn, Token};
use crate::signing::Secret;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The lifetime of a code if the service names none, and the longest.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// A code that waits for the user: the checked response of the service.
#[derive(Clone, Debug)]
pub(crate) struct DeviceAuthorization {
    pub(crate) client_id: String,
    pub(crate) device_code: Secret,
    /// The code that the page shows.
    pub(crate) user_code: String,
    /// The address to open.
    pub(crate) link: String,
    pub(crate) interval: Duration,
    pub(crate) expires_at: OffsetDateTime,
}

/// A sign-in that waits for the user.
#[derive(Clone, Debug)]
pub(crate) struct DeviceSignIn {
    pub(crate) authorization: DeviceAuthorization,
    oidc: Oidc,
    registration: Registration,
    polling: Polling,
    /// The token in the file at the beginning.
    old: Option<Token>,
}

/// State of a sign-in after a poll.
#[derive(Debug)]
pub(crate) enum Poll {
    Pending,
    Done(SignedIn),
}

/// A sign-in that has started.
#[derive(Debug)]
pub(crate) enum Begun {
    Waiting(Box<DeviceSignIn>),
    /// It had been granted before.
    Done(SignedIn),
}

impl DeviceSignIn {
    /// Gets a code, and polls once whether it has been granted already, so that the user is not asked in vain.
    ///
    /// # Errors
    /// The service refuses, cannot be reached, or names a link that does not lead to AWS.
    pub(crate) fn begin(
        services: &Services,
        session: &SsoSession,
        now: OffsetDateTime,
    ) -> Result<Begun, Error> {
        let oidc = Oidc::new(services, session)?;
        let registration = Registration::get(&oidc, Flow::DeviceCode, now)?;
        let is_old = registration.is_old;
        match DeviceSignIn::begin_as(&oidc, registration, now) {
            Err(error) if is_old && is_of_client(&error) => {
                Registration::forget(&oidc, Flow::DeviceCode);
                let registration = Registration::get(&oidc, Flow::DeviceCode, now)?;
                DeviceSignIn::begin_as(&oidc, registration, now)
            }
            begun => begun,
        }
    }

    /// Continues a sign-in that another process began. `None` if its client is not registered any more.
    ///
    /// # Errors
    /// Its link or code cannot be shown.
    pub(crate) fn resume(
        services: &Services,
        session: &SsoSession,
        authorization: DeviceAuthorization,
        now: OffsetDateTime,
    ) -> Result<Option<DeviceSignIn>, Error> {
        let oidc = Oidc::new(services, session)?;
        let registration = Registration::kept(&oidc, Flow::DeviceCode, now);
        let registration = registration.filter(|kept| kept.client_id == authorization.client_id);
        let Some(registration) = registration else { return Ok(None) };
        services.network.redactor.add_temporary(authorization.device_code.expose());
        DeviceSignIn::new(oidc, registration, authorization, now).map(Some)
    }

    fn begin_as(
        oidc: &Oidc,
        registration: Registration,
        now: OffsetDateTime,
    ) -> Result<Begun, Error> {
        let secret = registration.client_secret.expose();
        let start_url = json!({ "startUrl": oidc.portal });
        let body = with_client(&registration.client_id, secret, start_url);
        let response = oidc
            .post("/device_authorization", &body, &RetryPolicy::SERVICE, now)
            .map_err(|error| error.context("starting the sign-in"))?;
        let lifetime = response.get("expiresIn").and_then(expiry::lifetime);
        let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME).min(MAX_LIFETIME);
        let link = text(&response, "verificationUriComplete");
        let link = link.or_else(|_| text(&response, "verificationUri"))?.to_owned();
        let authorization = DeviceAuthorization {
            client_id: registration.client_id.clone(),
            device_code: Secret::new(text(&response, "deviceCode")?),
            user_code: text(&response, "userCode")?.to_owned(),
            link,
            interval: polling::interval(response.get("interval")),
            expires_at: expiry::after(now, lifetime),
        };
        let mut begun = DeviceSignIn::new(oidc.clone(), registration, authorization, now)?;
        Ok(match begun.poll(now)? {
            Poll::Done(signed_in) => Begun::Done(signed_in),
            Poll::Pending => Begun::Waiting(Box::new(begun)),
        })
    }

    fn new(
        oidc: Oidc,
        registration: Registration,
        authorization: DeviceAuthorization,
        now: OffsetDateTime,
    ) -> Result<DeviceSignIn, Error> {
        let DeviceAuthorization { link, user_code, interval, expires_at, .. } = &authorization;
        check_link(link, &oidc.endpoint("/device_authorization")?, &oidc.session.region)?;
        check_code(user_code)?;
        let polling = Polling::new(*interval, now, *expires_at);
        let old = Token::read(&oidc.services, &oidc.session);
        Ok(DeviceSignIn { authorization, oidc, registration, polling, old })
    }

    /// The time to wait before the next poll.
    pub(crate) fn wait(&self, now: OffsetDateTime) -> Duration {
        self.polling.wait(now)
    }

    /// Polls whether the user has finished, unless a new token is in the file. A token that is granted is written there.
    ///
    /// # Errors
    /// This is the end of the sign-in: its code has expired (`expired_token` in `aws_error`), the user has refused
    /// (`access_denied`), or the service names another reason.
    pub(crate) fn poll(&mut self, now: OffsetDateTime) -> Result<Poll, Error> {
        if let Some(until) = self.granted_elsewhere(now) {
            return Ok(Poll::Done(SignedIn { until, warning: None }));
        }
        if self.polling.is_over(now) {
            return Err(expired());
        }
        let grant = json!({
            "grantType": GRANT_TYPE,
            "deviceCode": self.authorization.device_code.expose(),
        });
        let Registration { client_id, client_secret, .. } = &self.registration;
        let body = with_client(client_id, client_secret.expose(), grant);
        match self.oidc.post("/token", &body, &RetryPolicy::ONCE, now) {
            Ok(response) => {
                sso_token::save(&self.oidc, &self.registration, &response, now).map(Poll::Done)
            }
            Err(error) => {
                match error_name(&error) {
                    "authorization_pending" => self.polling.pending(now),
                    "slow_down" => self.polling.slow_down(now),
                    "expired_token" => return Err(expired()),
                    "access_denied" => {
                        let denied = Error::new(error.kind(), "access was denied in the browser");
                        return Err(denied.aws(named("access_denied")));
                    }
                    _ if error.kind() == Kind::Credentials || error.kind() == Kind::Cancelled => {
                        return Err(error);
                    }
                    _ => self.polling.no_response(now),
                }
                Ok(Poll::Pending)
            }
        }
    }

    /// When the token expires that another process has written meanwhile.
    fn granted_elsewhere(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let token = Token::read(&self.oidc.services, &self.oidc.session)?;
        let is_new = self.old.as_ref().is_none_or(|old| old.access_token != token.access_token);
        (is_new && token.expires_at > self.oidc.time_of_aws(now)).then_some(token.expires_at)
    }
}

fn expired() -> Error {
    let what = "the sign-in was not completed before its code expired";
    Error::new(Kind::Credentials, what).aws(named("expired_token"))
}

fn named(name: &str) -> AwsError {
    AwsError { error_type: Some(name.to_owned()), request_id: None }
}
