//! `Oidc`: the OIDC service of IAM Identity Center: requests that are not signed, and its errors.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::credentials::Services;
use crate::credentials::sources::endpoints::{Endpoints, Service};
use crate::credentials::sources::request::{Call, RetryPolicy};
use crate::credentials::sources::token_cache::text_of;
use crate::error::{AwsError, Error, Kind, SsoSession};
use crate::http::url::Endpoint;
use crate::sign_in::start_url;

/// The OIDC service of one session.
#[derive(Clone, Debug)]
pub(crate) struct Oidc {
    pub(crate) services: Services,
    pub(crate) session: SsoSession,
    /// The address of the access portal, where the start URL leads.
    pub(crate) portal: String,
    endpoints: Endpoints,
}

impl Oidc {
    /// # Errors
    /// The start URL does not lead to AWS.
    pub(crate) fn new(services: &Services, session: &SsoSession) -> Result<Oidc, Error> {
        let portal = start_url::portal(services, session)?;
        let endpoints = services.endpoints.clone();
        let is_dual_stack = start_url::is_dual_stack(&portal);
        Ok(Oidc {
            services: services.clone(),
            session: session.clone(),
            portal,
            endpoints: if is_dual_stack { endpoints.dual_stack() } else { endpoints },
        })
    }

    /// The URL of an operation.
    pub(crate) fn endpoint(&self, path: &str) -> Result<Endpoint, Error> {
        let (endpoint, _) = self.endpoints.of(Service::SsoOidc, &self.session.region, path)?;
        Ok(endpoint)
    }

    /// Sends a request. The service's name for a failure is in the error's `aws_error`.
    ///
    /// # Errors
    /// The service refuses, or cannot be reached; only then is the error of another kind than `Credentials`.
    pub(crate) fn post(
        &self,
        path: &str,
        body: &Value,
        policy: &RetryPolicy,
        now: OffsetDateTime,
    ) -> Result<Map<String, Value>, Error> {
        let endpoint = self.endpoint(path)?;
        let body = body.to_string();
        let headers = [("content-type", "application/json")];
        let call =
            Call { method: "POST", endpoint: &endpoint, headers: &headers, body: body.as_bytes() };
        let network = &self.services.network;
        let reply = network.send_dated(now, |_| network.send(&call, policy));
        let reply = reply.map_err(|error| error.context(endpoint.host()))?;
        match reply.json() {
            Some(body) if reply.status == 200 => {
                for name in ["clientSecret", "deviceCode", "accessToken", "refreshToken"] {
                    network
                        .redactor
                        .add_temporary(body.get(name).and_then(Value::as_str).unwrap_or_default());
                }
                Ok(body)
            }
            body => {
                let is_of_service = (400..500).contains(&reply.status) && reply.status != 429;
                let kind = if is_of_service { Kind::Credentials } else { Kind::Unreachable };
                let name = body.and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
                let aws = AwsError { error_type: name, request_id: None };
                Err(Error::new(kind, reply.refusal()).context(endpoint.host()).aws(aws))
            }
        }
    }

    /// AWS's time when it is `now` here.
    pub(crate) fn time_of_aws(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.services.network.time_of_aws(now)
    }
}

/// The service's name for a failure: `slow_down`, `expired_token`, …
pub(crate) fn error_name(error: &Error) -> &str {
    error.aws_error().and_then(|aws| aws.error_type.as_deref()).unwrap_or_default()
}

/// Whether the service does not know the client any more.
pub(crate) fn is_of_client(error: &Error) -> bool {
    matches!(error_name(error), "invalid_client" | "unauthorized_client")
}

/// A text of a response that is not empty.
///
/// # Errors
/// The response has none of this name.
pub(crate) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Error> {
    text_of(body, name).ok_or_else(|| {
        Error::new(Kind::Credentials, format!("the response of the sign-in service has no {name}"))
    })
}

/// The members that identify a registered client.
pub(crate) fn with_client(client_id: &str, client_secret: &str, rest: Value) -> Value {
    let mut body = json!({ "clientId": client_id, "clientSecret": client_secret });
    if let (Some(body), Value::Object(rest)) = (body.as_object_mut(), rest) {
        body.extend(rest);
    }
    body
}
