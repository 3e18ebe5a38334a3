//! `SignedResponse` and `ErrorReport`: a response to a signed request, and the contents of an error response.

use crate::aws::error_body::words_in;
use crate::aws::error_cause::Cause;
use crate::aws::signature_diff::SigningSteps;
use crate::clock;
use crate::error::Error;
use crate::http::event_stream::EventStream;
use crate::http::{
    BodyKind, Response, parse_date, parse_retry_after, parse_retry_after_millis, read_error,
};
use serde_json::{Map, Value};
use std::io::Read;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use time::OffsetDateTime;

/// A response to a signed request.
#[derive(Debug)]
pub(crate) struct SignedResponse<'a> {
    pub(crate) response: Response<'a>,
    /// The time that the request was signed for.
    pub(crate) signed_at: OffsetDateTime,
    /// The signing steps, if the status is 4xx.
    pub(crate) steps: Option<SigningSteps>,
}

/// The contents of an error response.
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

/// The body of an error response, `max_bytes` at most; of an event stream, the event that reports the error. Errors end it.
pub(crate) fn error_body(response: &mut Response<'_>, max_bytes: usize) -> Vec<u8> {
    if response.is_event_stream() {
        // Such a stream may stay open.
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        return reported_error(response.take(limit), max_bytes).unwrap_or_default();
    }
    let Ok(kind) = response.body_kind() else { return Vec::new() };
    let body = response.read_beginning(max_bytes);
    let is_stream = kind == BodyKind::EventStream;
    is_stream.then(|| reported_error(&body[..], max_bytes)).flatten().unwrap_or(body)
}

/// The data of the first event that looks like an error, or else of the first event.
fn reported_error(stream: impl Read, max_bytes: usize) -> Option<Vec<u8>> {
    let mut events = EventStream::new(stream, max_bytes, read_error);
    let mut first = None;
    while let Ok(Some(event)) = events.next_event() {
        let has_words = || {
            serde_json::from_slice::<Map<String, Value>>(&event.data)
                .is_ok_and(|members| words_in(&members).is_some() || members.contains_key("error"))
        };
        if event.name == "error" || has_words() {
            return Some(event.data);
        }
        first.get_or_insert(event.data);
    }
    first
}

/// The request id, by which AWS finds the request in its logs.
pub(crate) fn request_id<'a>(response: &'a Response<'_>) -> Option<&'a str> {
    const NAMES: [&str; 5] = [
        "x-amzn-requestid",
        "x-amzn-request-id",
        "x-amz-request-id",
        "apigw-requestid",
        "lambda-web-request-id",
    ];
    NAMES.iter().find_map(|name| response.header(name))
}

/// The wait that the server requests.
pub(crate) fn retry_after(response: &Response<'_>) -> Option<Duration> {
    let date = response.header("date").and_then(parse_date).unwrap_or_else(clock::now);
    response
        .header("x-amz-retry-after")
        .and_then(parse_retry_after_millis)
        .or_else(|| parse_retry_after(response.header("retry-after")?, date))
}
