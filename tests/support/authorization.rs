//! The `Authorization` header taken apart, and whether the request goes with it: all that needs no key.

use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::http::Request;
use super::verify::{ErrorResponse, refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    V4,
    V4a,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::V4 => "AWS4-HMAC-SHA256",
            Algorithm::V4a => "AWS4-ECDSA-P256-SHA256",
        }
    }
}

/// `Authorization` taken apart, with the date it belongs to.
pub struct Authorization<'a> {
    pub algorithm: Algorithm,
    pub key_id: &'a str,
    /// All of `Credential` that follows the key id.
    pub scope: &'a str,
    pub scope_date: &'a str,
    /// `None` in `SigV4a`, which sends `x-amz-region-set` instead.
    pub region: Option<&'a str>,
    pub service: &'a str,
    pub signed: Vec<String>,
    pub signature: &'a str,
    pub date: &'a str,
    pub time: OffsetDateTime,
}

impl<'a> Authorization<'a> {
    pub fn parse(
        request: &'a Request,
        accepted: &[Algorithm],
    ) -> Result<Authorization<'a>, ErrorResponse> {
        let missing =
            || refusal("MissingAuthenticationTokenException", "Missing Authentication Token");
        let header = request.header("authorization").ok_or_else(missing)?;
        let (name, fields) = header.split_once(' ').ok_or_else(missing)?;
        if !name.starts_with("AWS4-") {
            return Err(missing());
        }
        let algorithm = *accepted
            .iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| incomplete(format!("Unsupported AWS 'algorithm': '{name}'.")))?;
        let field = |wanted: &str| {
            fields
                .split(',')
                .filter_map(|field| field.trim().split_once('='))
                .find(|(name, value)| *name == wanted && !value.is_empty())
                .map(|(_, value)| value)
                .ok_or_else(|| {
                    incomplete(format!("Authorization header requires '{wanted}' parameter."))
                })
        };
        let (key_id, scope) = field("Credential")?
            .split_once('/')
            .ok_or_else(|| incomplete("Credential must be slash-delimited."))?;
        let parts: Vec<&str> = scope.split('/').collect();
        let (scope_date, region, service) = match (algorithm, parts.as_slice()) {
            (Algorithm::V4, [date, region, service, "aws4_request"]) => {
                (date, Some(*region), service)
            }
            (Algorithm::V4a, [date, service, "aws4_request"]) => (date, None, service),
            _ => return Err(incomplete("Credential is not scoped as this algorithm asks.")),
        };
        let signed: Vec<String> = field("SignedHeaders")?.split(';').map(str::to_owned).collect();
        check_signed_headers(request, &signed, algorithm)?;
        let (date, time) = date_of(request)?;
        let signature = field("Signature")?;
        Ok(Authorization {
            algorithm,
            key_id,
            scope,
            scope_date,
            region,
            service,
            signed,
            signature,
            date,
            time,
        })
    }
}

fn check_signed_headers(
    request: &Request,
    signed: &[String],
    algorithm: Algorithm,
) -> Result<(), ErrorResponse> {
    if !signed.is_sorted_by(|a, b| a < b) || signed.iter().any(|name| *name != name.to_lowercase())
    {
        return Err(incomplete("SignedHeaders must be lower case, unique and sorted."));
    }
    let region_set = (algorithm == Algorithm::V4a).then_some("x-amz-region-set");
    for needed in ["host", "x-amz-date"].into_iter().chain(region_set) {
        if !signed.iter().any(|name| name == needed) {
            return Err(incomplete(format!(
                "'{needed}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    if let Some(name) = signed.iter().find(|name| request.header(name).is_none()) {
        return Err(incomplete(format!(
            "'{name}' is named as a SignedHeader, but it does not exist in the HTTP request."
        )));
    }
    let loose = request
        .headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .find(|name| name.starts_with("x-amz-") && !signed.contains(name));
    match loose {
        Some(name) => Err(refusal(
            "AccessDeniedException",
            format!("There were headers present in the request which were not signed: {name}"),
        )),
        None => Ok(()),
    }
}

fn date_of(request: &Request) -> Result<(&str, OffsetDateTime), ErrorResponse> {
    let mut dates = request.all("x-amz-date");
    let (Some(date), None) = (dates.next(), dates.next()) else {
        return Err(incomplete("'X-Amz-Date' must appear once."));
    };
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = PrimitiveDateTime::parse(date, format).map_err(|_| {
        incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{date}'."))
    })?;
    Ok((date, time.assume_utc()))
}

fn incomplete(message: impl Into<String>) -> ErrorResponse {
    refusal("IncompleteSignatureException", message)
}
