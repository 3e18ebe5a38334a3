//! Verifies a request like AWS: from the bytes that arrived, with AWS's error texts.
//!
//! A `SigV4` signature is compared with that of AWS's Rust signer for the same request. A `SigV4a` signature contains a
//! nonce of the client, so it is verified with the public key that belongs to the secret.

use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::{v4, v4a};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, SigningKey};
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::authorization::{Algorithm, Authorization};
use super::canonical::{canonical_request, sha256_hex, string_to_sign};
use super::http::Request;

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The one service with an MCP endpoint that takes, and only takes, unsigned payloads.
const VPC_LATTICE: &str = "vpc-lattice-svcs";
/// How far the clocks may be apart.
const WINDOW: Duration = Duration::minutes(5);

/// An access key that the server accepts.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl Key {
    pub fn new(id: &str, secret: &str) -> Key {
        Key { id: id.to_owned(), secret: secret.to_owned(), token: None }
    }

    #[must_use]
    pub fn with_token(self, token: &str) -> Key {
        Key { token: Some(token.to_owned()), ..self }
    }
}

/// The scope that a request must be signed for.
#[derive(Clone, Debug)]
pub struct Expected {
    pub service: String,
    pub region: String,
    pub algorithms: Vec<Algorithm>,
}

/// A refusal, with AWS's error type and text.
#[derive(Clone, Debug)]
pub struct ErrorResponse {
    pub code: &'static str,
    pub message: String,
}

/// The checks AWS makes, in the order of the pretend gateways: well-formed, who, where, when, what.
pub fn verify(
    request: &Request,
    keys: &[Key],
    expected: &Expected,
    now: OffsetDateTime,
) -> Result<(), ErrorResponse> {
    let authorization = Authorization::parse(request, &expected.algorithms)?;
    let key = who(request, &authorization, keys)?;
    check_scope(request, &authorization, expected)?;
    check_time(&authorization, now)?;
    check_body(request, &authorization)?;
    check_signature(request, &authorization, key)
}

fn who<'a>(
    request: &Request,
    authorization: &Authorization<'_>,
    keys: &'a [Key],
) -> Result<&'a Key, ErrorResponse> {
    let token = request.header("x-amz-security-token");
    keys.iter()
        .find(|key| key.id == authorization.key_id && key.token.as_deref() == token)
        .ok_or_else(|| {
            refusal(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        })
}

fn check_scope(
    request: &Request,
    authorization: &Authorization<'_>,
    expected: &Expected,
) -> Result<(), ErrorResponse> {
    let Expected { service, region, .. } = expected;
    if !authorization.date.starts_with(authorization.scope_date)
        || authorization.scope_date.len() != 8
    {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '{}' != '{}', from '{}'.",
            authorization.scope_date,
            &authorization.date[..8],
            authorization.date
        )));
    }
    if authorization.service != service {
        return Err(invalid(format!(
            "Credential should be scoped to correct service: '{service}'. "
        )));
    }
    match authorization.region {
        Some(given) if given != region => {
            Err(invalid(format!("Credential should be scoped to a valid region, not '{given}'. ")))
        }
        None if !region_set_holds(
            request.header("x-amz-region-set").unwrap_or_default(),
            region,
        ) =>
        {
            Err(invalid(format!(
                "The region set does not hold the region of this endpoint, '{region}'."
            )))
        }
        _ => Ok(()),
    }
}

/// `us-east-1`, `us-east-1,eu-west-1`, `us-*`, `*`.
fn region_set_holds(set: &str, region: &str) -> bool {
    set.split(',').map(str::trim).any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => region.starts_with(start),
        None => pattern == region,
    })
}

fn check_time(authorization: &Authorization<'_>, now: OffsetDateTime) -> Result<(), ErrorResponse> {
    let date = authorization.date;
    if authorization.time < now - WINDOW {
        return Err(invalid(format!(
            "Signature expired: {date} is now earlier than {} ({} - 5 min.)",
            basic(now - WINDOW),
            basic(now)
        )));
    }
    if authorization.time > now + WINDOW {
        return Err(invalid(format!(
            "Signature not yet current: {date} is still later than {} ({} + 5 min.)",
            basic(now + WINDOW),
            basic(now)
        )));
    }
    Ok(())
}

fn check_body(request: &Request, authorization: &Authorization<'_>) -> Result<(), ErrorResponse> {
    match (request.header("x-amz-content-sha256"), authorization.service) {
        (Some(UNSIGNED), VPC_LATTICE) => Ok(()),
        (_, VPC_LATTICE) => Err(invalid("x-amz-content-sha256 must be UNSIGNED-PAYLOAD")),
        (Some(hash), _) if hash != sha256_hex(&request.body) => Err(invalid(MISMATCH)),
        _ => Ok(()),
    }
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. \
    Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

fn check_signature(
    request: &Request,
    authorization: &Authorization<'_>,
    key: &Key,
) -> Result<(), ErrorResponse> {
    let payload = match authorization.service {
        VPC_LATTICE => UNSIGNED.to_owned(),
        _ => sha256_hex(&request.body),
    };
    let canonical = canonical_request(request, &authorization.signed, &payload);
    let to_sign = string_to_sign(
        authorization.algorithm.name(),
        authorization.date,
        authorization.scope,
        &canonical,
    );
    let matches = match authorization.algorithm {
        Algorithm::V4 => {
            v4_signature(request, authorization, key).as_deref() == Some(authorization.signature)
        }
        Algorithm::V4a => v4a_matches(&to_sign, authorization.signature, key),
    };
    if matches {
        return Ok(());
    }
    let mut message = MISMATCH.to_owned();
    let _ = write!(
        message,
        "\n\nThe Canonical String for this request should have been\n'{canonical}'"
    );
    let _ = write!(message, "\n\nThe String-to-Sign should have been\n'{to_sign}'\n");
    Err(invalid(message))
}

/// The signature of AWS's signer for the request as it was received; `None` if it refuses such a request.
fn v4_signature(request: &Request, authorization: &Authorization<'_>, key: &Key) -> Option<String> {
    let mut settings = SigningSettings::default();
    settings.excluded_headers = None; // the client decides what is signed
    if request.header("x-amz-content-sha256").is_some() {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let identity =
        Credentials::new(&key.id, &key.secret, key.token.clone(), None, "test server").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(authorization.region?)
        .name(authorization.service)
        .time(SystemTime::from(authorization.time))
        .settings(settings)
        .build()
        .ok()?
        .into();
    let headers = authorization
        .signed
        .iter()
        .flat_map(|name| request.all(name).map(move |value| (name.as_str(), value)));
    let body = match authorization.service {
        VPC_LATTICE => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(&request.body),
    };
    // The signer reads `+` as a space, as in forms; in a URL it is a plus.
    let target = match request.target.split_once('?') {
        Some((path, query)) => format!("{path}?{}", query.replace('+', "%2B")),
        None => request.target.clone(),
    };
    let url = format!("http://{}{target}", request.header("host")?);
    let signable = SignableRequest::new(&request.method, url, headers, body).ok()?;
    Some(sign(signable, &params).ok()?.into_parts().1)
}

fn v4a_matches(to_sign: &str, signature: &str, key: &Key) -> bool {
    let secret = v4a::generate_signing_key(&key.id, &key.secret);
    let signing_key = SigningKey::from_slice(secret.as_ref()).expect("AWS derives a valid scalar");
    let Ok(bytes) = hex::decode(signature) else { return false };
    let Ok(signature) = DerSignature::from_bytes(&bytes) else { return false };
    signing_key.verifying_key().verify(to_sign.as_bytes(), &signature).is_ok()
}

fn basic(time: OffsetDateTime) -> String {
    time.format(format_description!("[year][month][day]T[hour][minute][second]Z"))
        .expect("all its parts are there")
}

pub fn refusal(code: &'static str, message: impl Into<String>) -> ErrorResponse {
    ErrorResponse { code, message: message.into() }
}

fn invalid(message: impl Into<String>) -> ErrorResponse {
    refusal("InvalidSignatureException", message)
}
