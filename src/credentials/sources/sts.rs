//! AWS STS: `AssumeRole`, `AssumeRoleWithWebIdentity` and `GetCallerIdentity`, and its responses in XML.

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::aws::error_body::AwsErrorBody;
use crate::aws::error_response::ErrorResponse;
use crate::aws::hint::SignedWith;
use crate::aws::xml::{self, element, text_of};
use crate::credentials::config::plan::{Role, WebIdentity};
use crate::credentials::expiry;
use crate::credentials::source::Source;
use crate::credentials::sources::request::{Call, Network, Reply, RetryPolicy};
use crate::credentials::types::Credentials;
use crate::error::{AwsError, Error, Kind, quoted};
use crate::http::url::Endpoint;
use crate::percent;
use crate::signing::{
    AccessKey, Algorithm, CanonicalTarget, Header, Payload, PayloadSigning, Request, Secret,
    Signer, UriEncoding,
};

const CONTENT_TYPE: Header<'static> =
    ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

/// STS in one region: its endpoint and the region to sign for.
#[derive(Debug)]
pub(crate) struct Sts<'a> {
    pub(crate) network: &'a Network,
    pub(crate) endpoint: Endpoint,
    pub(crate) region: String,
    pub(crate) session_names: &'a SessionNames,
}

/// The names of role sessions.
#[derive(Clone, Debug)]
pub(crate) struct SessionNames {
    /// Takes precedence over the names in profiles.
    pub(crate) named: Option<String>,
    /// For roles without a session name. Constant for the life of the process, since some servers tie a session to the
    /// caller's full ARN.
    pub(crate) default: String,
}

impl SessionNames {
    fn of<'a>(&'a self, configured: Option<&'a String>) -> &'a str {
        self.named.as_ref().or(configured).unwrap_or(&self.default)
    }
}

/// A code of an MFA device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MfaCode<'a> {
    pub(crate) serial: &'a str,
    pub(crate) code: &'a Secret,
}

/// The account and ARN that an access key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    pub account: String,
    pub arn: String,
}

impl Sts<'_> {
    pub(crate) fn assume_role(
        &self,
        role: &Role,
        with: &AccessKey,
        code: Option<MfaCode<'_>>,
        now: OffsetDateTime,
    ) -> Result<Credentials, Error> {
        let mut fields = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role.arn),
            ("RoleSessionName", self.session_names.of(role.session_name.as_ref())),
        ];
        fields.extend(code.iter().flat_map(MfaCode::fields));
        fields.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        let duration = role.duration_seconds.map(|seconds| seconds.to_string());
        fields.extend(duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let body = form(&fields);

        let source = Source::AssumedRole { role: role.arn.clone(), profile: role.profile.clone() };
        let configured_by = match &role.profile {
            Some(profile) => format!(" (profile {profile:?})"),
            None => " (--role-arn)".to_owned(),
        };
        self.send_signed(&body, with, now)
            .and_then(|reply| parse_reply(&reply, source))
            .map_err(|error| error.context(format_args!("AssumeRole {}{configured_by}", role.arn)))
    }

    /// `GetSessionToken` with the long-term keys of a profile.
    pub(crate) fn session_token(
        &self,
        profile: &str,
        duration_seconds: Option<u32>,
        with: &AccessKey,
        code: MfaCode<'_>,
        now: OffsetDateTime,
    ) -> Result<Credentials, Error> {
        let mut fields = vec![("Action", "GetSessionToken"), ("Version", "2011-06-15")];
        fields.extend(code.fields());
        // STS refuses others.
        let duration = duration_seconds.filter(|seconds| (900..=129_600).contains(seconds));
        let duration = duration.map(|seconds| seconds.to_string());
        fields.extend(duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let source = Source::MfaSession { profile: profile.to_owned() };
        self.send_signed(&form(&fields), with, now)
            .and_then(|reply| parse_reply(&reply, source))
            .map_err(|error| error.context(format_args!("GetSessionToken (profile {profile:?})")))
    }

    /// The request is not signed: the token in the body authenticates it.
    pub(crate) fn assume_role_with_web_identity(
        &self,
        identity: &WebIdentity,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<Credentials, Error> {
        self.network.redactor.add_temporary(token);
        let body = form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &identity.role_arn),
            ("RoleSessionName", self.session_names.of(identity.session_name.as_ref())),
            ("WebIdentityToken", token),
        ]);
        let source = Source::WebIdentity {
            role: identity.role_arn.clone(),
            profile: identity.profile.clone(),
        };
        let network = self.network;
        network
            .send_dated(now, |_| self.send(&[CONTENT_TYPE], &body))
            .and_then(|reply| parse_reply(&reply, source))
            .map_err(|error| {
                error.context(format_args!("AssumeRoleWithWebIdentity {}", identity.role_arn))
            })
    }

    /// `GetCallerIdentity`, which needs no permission.
    pub(crate) fn caller_identity(
        &self,
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Result<CallerIdentity, Error> {
        let body = form(&[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]);
        let reply = self.send_signed(&body, &credentials.key, now)?;
        if reply.status != 200 {
            let body = reply.error();
            // Errors of STS have a type. This is one of something else that responds at its address.
            if reply.status < 400 || body.error_type.is_none() {
                return Err(Error::new(Kind::InvalidResponse, reply.refusal()));
            }
            let identity =
                format!("key {} from {}", credentials.key.masked_id(), credentials.source);
            let error_response = ErrorResponse {
                status: reply.status,
                request_id: None,
                lambda_error: None,
                location: None,
                challenge: None,
                body: &body,
            };
            return Err(error_response.to_error(&SignedWith {
                service: "sts",
                region: &self.region,
                host: "",
                path: "",
                identity: &identity,
                steps: None,
                private_issuer: None,
                intercepted: None,
            }));
        }
        let wrong =
            || Error::new(Kind::InvalidResponse, "the response of STS has no Account and Arn");
        let text = str::from_utf8(&reply.body).map_err(|_| wrong())?;
        let document = xml::parse(text).ok_or_else(wrong)?;
        let text = |name| text_of(document.root(), name);
        let (Some(account), Some(arn)) = (text("Account"), text("Arn")) else {
            return Err(wrong());
        };
        Ok(CallerIdentity { account: quoted(&account), arn: quoted(&arn) })
    }

    /// The headers of a signed POST.
    fn signed_headers(
        &self,
        body: &str,
        with: &AccessKey,
        now: OffsetDateTime,
    ) -> Vec<(&'static str, Zeroizing<String>)> {
        let target = CanonicalTarget::new(
            &self.endpoint.authority(),
            self.endpoint.path(),
            self.endpoint.query(),
            UriEncoding::for_service("sts"),
        );
        let request = Request {
            method: "POST",
            target: &target,
            headers: &[CONTENT_TYPE],
            payload: &Payload::of(body.as_bytes(), PayloadSigning::for_service("sts")),
        };
        let signed = Signer::new(Algorithm::V4, &self.region, "sts").sign(&request, with, now);
        self.network.redactor.add_signature(&signed.signature);
        let (name, value) = CONTENT_TYPE;
        let mut headers = vec![(name, Zeroizing::new(value.to_owned()))];
        headers.extend(signed.headers.iter().map(|(n, v)| (*n, Zeroizing::new(v.clone()))));
        headers
    }

    fn send(&self, headers: &[Header<'_>], body: &str) -> Result<Reply, Error> {
        let call =
            Call { method: "POST", endpoint: &self.endpoint, headers, body: body.as_bytes() };
        self.network.send(&call, &RetryPolicy::SERVICE)
    }

    /// Sends a request signed with AWS's time when it is `now` here.
    fn send_signed(
        &self,
        body: &str,
        with: &AccessKey,
        now: OffsetDateTime,
    ) -> Result<Reply, Error> {
        self.network.send_dated(now, |now| {
            let headers = self.signed_headers(body, with, now);
            let headers: Vec<Header<'_>> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            self.send(&headers, body)
        })
    }
}

impl MfaCode<'_> {
    fn fields(&self) -> [(&str, &str); 2] {
        [("SerialNumber", self.serial), ("TokenCode", self.code.expose())]
    }
}

/// The credentials in a response, or its error.
fn parse_reply(reply: &Reply, source: Source) -> Result<Credentials, Error> {
    if reply.status == 200 { credentials(&reply.body, source) } else { Err(refusal(reply)) }
}

fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", percent::encode(value.as_bytes(), b"")))
        .collect();
    pairs.join("&")
}

/// The `Credentials` element of a response, wherever it is.
fn credentials(body: &[u8], source: Source) -> Result<Credentials, Error> {
    let wrong = |what: &str| Error::new(Kind::Credentials, what);
    let text = str::from_utf8(body).map_err(|_| wrong("response is not UTF-8"))?;
    let document = xml::parse(text).ok_or_else(|| wrong("response is not XML with Credentials"))?;
    let found = element(document.root(), "Credentials")
        .ok_or_else(|| wrong("response has no Credentials"))?;
    let field = |name: &str| {
        text_of(found, name)
            .ok_or_else(|| wrong(&format!("response has no {name} in its Credentials")))
    };
    let token = field("SessionToken")?;
    let key = AccessKey::new(&field("AccessKeyId")?, &field("SecretAccessKey")?, Some(&token));
    let expires = expiry::parse(&field("Expiration")?)
        .ok_or_else(|| wrong("response has an invalid Expiration"))?;
    let account = element(document.root(), "AssumedRoleUser")
        .and_then(|user| text_of(user, "Arn"))
        .and_then(|arn| arn.split(':').nth(4).map(str::to_owned))
        .filter(|account| !account.is_empty());
    Ok(Credentials { key, expires: Some(expires), account, source })
}

/// The credentials in a response of STS.
#[cfg(fuzzing)]
pub fn parse_response(xml: &[u8]) -> Result<Credentials, Error> {
    credentials(xml, Source::Environment)
}

/// The error of a response: `AccessDenied: User … is not authorized … [request id]`.
fn refusal(reply: &Reply) -> Error {
    let AwsErrorBody { error_type, message, request_id, .. } = reply.error();
    let Some(error_type) = error_type else {
        return Error::new(Kind::Credentials, reply.refusal());
    };
    let request_id = request_id.map(|id| quoted(&id));
    let message = message.map(|message| format!(": {}", quoted(&message))).unwrap_or_default();
    let id = request_id.as_ref().map(|id| format!(" [{id}]")).unwrap_or_default();
    let error = Error::new(Kind::Credentials, format!("{error_type}{message}{id}"));
    error.aws(AwsError { error_type: Some(error_type), request_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Result<Credentials, Error> {
        credentials(xml.as_bytes(), Source::Environment)
    }

    #[test]
    fn credentials_in_a_response() {
        let found = read(
            "<?xml version=\"1.0\"?><r xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <R><Credentials><Expiration>2030-01-01T00:00:00.5Z</Expiration><!-- c -->\
             <SessionToken>a<![CDATA[&b]]></SessionToken><AccessKeyId> A&#75;ID\n</AccessKeyId>\
             <SecretAccessKey>x&amp;y<!-- c -->z</SecretAccessKey></Credentials>\
             <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/R/s</Arn></AssumedRoleUser></R></r>",
        )
        .unwrap();
        let key = &found.key;
        let token = key.session_token.as_ref().map(Secret::expose);
        assert_eq!(
            (key.access_key_id.as_str(), key.secret_access_key.expose(), token),
            ("AKID", "x&yz", Some("a&b"))
        );
        assert_eq!(found.account.as_deref(), Some("123456789012"));
    }

    #[test]
    fn responses_without_credentials() {
        for (xml, message) in [
            ("{}", "response is not XML with Credentials"),
            ("<a/>", "response has no Credentials"),
            ("<a><Credentials/></a>", "response has no SessionToken in its Credentials"),
        ] {
            assert_eq!(read(xml).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn errors_of_a_response() {
        let error = |status, body: &str| {
            refusal(&Reply {
                status,
                body: body.into(),
                token_ttl: None,
                error_type: None,
                location: None,
                date: None,
                intercepted: None,
            })
            .to_string()
        };
        let xml = "<E><Error><Code>AccessDenied</Code><Message>not\n so</Message></Error><RequestId>1-2</RequestId></E>";
        assert_eq!(error(403, xml), "AccessDenied: not so [1-2]");
        assert_eq!(error(502, "<html>"), "status 502");
        assert_eq!(error(307, ""), "status 307 (redirects are not followed)");
    }

    #[test]
    fn deep_nesting_is_refused_or_read_but_harmless() {
        let deep = "<a>".repeat(200_000);
        assert!(read(&deep).is_err());
        let closed = "<a>".repeat(50_000) + &"</a>".repeat(50_000);
        assert!(read(&closed).is_err());
    }
}
