//! `SignedResponse` and `ErrorReport`: a response to a signed request, and what an error response says.

use crate::aws::error_cause::Cause;
use crate::aws::signature_diff::SigningSteps;
use crate::error::Error;
use crate::http::{Response, parse_date};
use std::ops::{Deref, DerefMut};
use time::OffsetDateTime;

/// A response to a signed request.
#[derive(Debug)]
pub(crate) struct SignedResponse<'a> {
    pub(crate) response: Response<'a>,
    /// What was signed, if the status is 4xx.
    pub(crate) steps: Option<SigningSteps>,
}

/// What an error response says.
#[derive(Debug)]
pub(crate) struct ErrorReport {
    /// The beginning of the body.
    pub(crate) body: String,
    pub(crate) cause: Cause,
    /// Its `Date`, if it was made for this request.
    pub(crate) server_time: Option<OffsetDateTime>,
    /// What happened, why, and how to fix it.
    pub(crate) error: Error,
}

impl<'a> Deref for SignedResponse<'a> {
    type Target = Response<'a>;

    fn deref(&self) -> &Response<'a> {
        &self.response
    }
}

impl DerefMut for SignedResponse<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.response
    }
}

/// The request id, by which AWS finds the request in its logs.
pub(crate) fn request_id<'a>(response: &'a Response<'_>) -> Option<&'a str> {
    ["x-amzn-requestid", "x-amzn-request-id", "x-amz-request-id", "apigw-requestid"]
        .iter()
        .find_map(|name| response.header(name))
}

/// The `Date` of a response that does not come from a cache.
pub(crate) fn own_date(response: &Response<'_>) -> Option<OffsetDateTime> {
    response.header("date").filter(|_| response.header("age").is_none()).and_then(parse_date)
}
