//! `Cause`: the cause of an error response of AWS. It decides whether a request is sent again, and the hint for the user.
//!
//! AWS's error type decides. The message decides only where AWS has one type for several causes (a signature refused for
//! its time, its scope or its key), and where a front end sends AWS's own sentence without a type. A word in the message of
//! another type, or of a tool, has no effect.

use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The signature is too old or too new. AWS's time, if the message names it.
    Clock {
        server_time: Option<OffsetDateTime>,
    },
    ExpiredCredentials,
    UnknownCredentials,
    /// The signature does not belong to this key and this request.
    WrongSignature,
    /// Signed for another service than the expected one.
    WrongService {
        expected: String,
    },
    WrongRegion,
    Throttled,
    /// The service did not take the request (`ServiceUnavailable`).
    Unavailable,
    /// A conflict after which AWS asks for another attempt.
    RetryableConflict,
    /// A runtime of AgentCore was still starting, so the request has not reached it.
    RuntimeStarting,
    /// None of these.
    Other,
}

/// The cause of an error response by its HTTP status, AWS's error type (empty: none) and its message.
pub(crate) fn classify(status: u16, error_type: &str, text: &str) -> Cause {
    if is_throttling(error_type) {
        return Cause::Throttled;
    }
    match (status, error_type) {
        (503, "ServiceUnavailable" | "ServiceUnavailableException") => Cause::Unavailable,
        (409, "RetryableConflictException") => Cause::RetryableConflict,
        (424, "" | "RuntimeClientError") if is_still_starting(text) => Cause::RuntimeStarting,
        (400 | 401 | 403, error_type) if !error_type.is_empty() => by_type(error_type, text),
        (401 | 403, _) => by_sentence(text).unwrap_or(Cause::Other),
        _ => Cause::Other,
    }
}

fn is_throttling(error_type: &str) -> bool {
    matches!(
        error_type,
        "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "SlowDown"
    ) || error_type.starts_with("RequestThrottled")
}

/// `RuntimeClientError` is also the type when a runtime ran and failed, so the message decides.
fn is_still_starting(text: &str) -> bool {
    starts_with(text, "Runtime initialization time exceeded")
}

fn by_type(error_type: &str, text: &str) -> Cause {
    match error_type {
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => {
            Cause::Clock { server_time: time_in(text) }
        }
        "ExpiredToken" | "ExpiredTokenException" => Cause::ExpiredCredentials,
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            Cause::UnknownCredentials
        }
        "AuthFailure" => by_sentence(text).unwrap_or(Cause::UnknownCredentials),
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "AuthorizationHeaderMalformed" => by_sentence(text).unwrap_or(Cause::WrongSignature),
        // From sign-in (RFC 9449): the proof is a signature with a time.
        "invalid_dpop_proof" if blames_time_of_proof(text) => Cause::Clock { server_time: None },
        _ => Cause::Other,
    }
}

/// The cause by AWS's own sentences, which begin its messages.
fn by_sentence(text: &str) -> Option<Cause> {
    let begins = |sentence| starts_with(text, sentence);
    let cause = if begins("Signature expired") || begins("Signature not yet current") {
        Cause::Clock { server_time: time_in(text) }
    } else if begins("The security token included in the request is expired")
        || begins("The provided token has expired")
    {
        Cause::ExpiredCredentials
    } else if begins("The security token included in the request is invalid") {
        Cause::UnknownCredentials
    } else if let Some(expected) = expected_service(text) {
        Cause::WrongService { expected }
    } else if begins("Credential should be scoped to a valid region") {
        Cause::WrongRegion
    } else if begins("The request signature we calculated does not match") {
        Cause::WrongSignature
    } else {
        return None;
    };
    Some(cause)
}

fn starts_with(text: &str, sentence: &str) -> bool {
    let start = text.trim_start().as_bytes().get(..sentence.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(sentence.as_bytes()))
}

/// `Credential should be scoped to correct service: 'lambda'.`
fn expected_service(text: &str) -> Option<String> {
    let rest =
        text.trim_start().strip_prefix("Credential should be scoped to correct service: '")?;
    let (service, _) = rest.split_once('\'')?;
    let is_name = (1..=64).contains(&service.len())
        && service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_name.then(|| service.to_owned())
}

/// AWS's time, C in `Signature expired: A is now earlier than B (C - 5 min.)` and in the same sentence with `later`.
fn time_in(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let (_, rest) = text.split_once('(')?;
    PrimitiveDateTime::parse(rest.get(..16)?, format).ok().map(PrimitiveDateTime::assume_utc)
}

fn blames_time_of_proof(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["iat", "expired", "not active", "not yet", "future", "too old"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const EXPIRED: &str = "Signature expired: 20260102T030405Z is now earlier than 20260102T040405Z (20260102T040905Z - 5 min.)";

    #[test]
    fn types_of_aws() {
        let clock = |server_time| Cause::Clock { server_time };
        let there = Some(datetime!(2026-01-02 04:09:05 UTC));
        for (status, error_type, text, expected) in [
            (403, "InvalidSignatureException", EXPIRED, clock(there)),
            (403, "SignatureDoesNotMatch", EXPIRED, clock(there)),
            (400, "RequestExpired", "Request has expired.", clock(None)),
            (403, "RequestTimeTooSkewed", "The difference is too large", clock(None)),
            (401, "RequestInTheFuture", "", clock(None)),
            (400, "invalid_dpop_proof", "iat is too far in the past", clock(None)),
            (403, "ExpiredTokenException", "", Cause::ExpiredCredentials),
            (400, "ExpiredToken", "", Cause::ExpiredCredentials),
            (403, "UnrecognizedClientException", "", Cause::UnknownCredentials),
            (403, "InvalidClientTokenId", "", Cause::UnknownCredentials),
            (401, "AuthFailure", "AWS was not able to validate", Cause::UnknownCredentials),
            (403, "InvalidSignatureException", "The request signature", Cause::WrongSignature),
            (
                403,
                "InvalidSignatureException",
                "Credential should be scoped to correct service: 'lambda'. ",
                Cause::WrongService { expected: "lambda".into() },
            ),
            (
                403,
                "SignatureDoesNotMatch",
                "Credential should be scoped to a valid region. ",
                Cause::WrongRegion,
            ),
            (400, "ThrottlingException", "", Cause::Throttled),
            (500, "Throttling", "", Cause::Throttled),
            (503, "SlowDown", "", Cause::Throttled),
            (429, "TooManyRequestsException", "", Cause::Throttled),
            (400, "RequestLimitExceeded", "", Cause::Throttled),
            (400, "RequestThrottledException", "", Cause::Throttled),
            (503, "ServiceUnavailableException", "", Cause::Unavailable),
            (409, "RetryableConflictException", "", Cause::RetryableConflict),
            (
                424,
                "RuntimeClientError",
                "Runtime initialization time exceeded. Please make sure that it completes in 30s.",
                Cause::RuntimeStarting,
            ),
        ] {
            assert_eq!(classify(status, error_type, text), expected, "{status} {error_type}");
        }
    }

    #[test]
    fn sentences_without_a_type_count_where_aws_refuses() {
        for (text, expected) in [
            (EXPIRED, Cause::Clock { server_time: Some(datetime!(2026-01-02 04:09:05 UTC)) }),
            ("The security token included in the request is expired", Cause::ExpiredCredentials),
            ("The security token included in the request is invalid.", Cause::UnknownCredentials),
            ("Credential should be scoped to a valid region. ", Cause::WrongRegion),
        ] {
            for status in [401, 403] {
                assert_eq!(classify(status, "", text), expected, "{status} {text}");
            }
            for status in [200, 400, 404, 409, 424, 500, 503] {
                assert_eq!(classify(status, "", text), Cause::Other, "{status} {text}");
            }
            let quoted = format!("upstream said: {text}");
            assert_eq!(classify(403, "", &quoted), Cause::Other, "{quoted}");
            assert_eq!(classify(403, "AccessDeniedException", text), Cause::Other, "{text}");
        }
    }

    #[test]
    fn words_alone_blame_nothing() {
        for (status, error_type, text) in [
            (500, "", "ThrottlingException: Rate exceeded, SlowDown"),
            (400, "ValidationException", "ThrottlingException"),
            (409, "", "RetryableConflictException"),
            (409, "ConflictException", "RetryableConflictException"),
            (400, "RetryableConflictException", ""),
            (424, "RuntimeClientError", "Received error (500) from runtime."),
            (424, "", "a dependency of the tool failed"),
            (424, "", "the tool said: Runtime initialization time exceeded"),
            (503, "", "ServiceUnavailable"),
            (500, "ExpiredTokenException", ""),
            (403, "", "scoped to correct service: 'lambda'"),
            (403, "", "Credential should be scoped to correct service: 'evil\r\nX: y'"),
            (403, "", "größe"),
            (403, "invalid_dpop_proof", "wrong key"),
        ] {
            assert_eq!(classify(status, error_type, text), Cause::Other, "{status} {text}");
        }
    }

    #[test]
    fn absurd_times_are_none_or_harmless() {
        for text in [
            "Signature expired: x (00000000T000000Z - 5 min.)",
            "Signature expired: x (20260102T0304é5Z",
            "Signature expired: x (",
            "Signature expired",
        ] {
            assert_eq!(classify(403, "", text), Cause::Clock { server_time: None }, "{text}");
        }
        let far = "Signature expired: x (99991231T235959Z - 5 min.)";
        assert!(matches!(classify(403, "", far), Cause::Clock { server_time: Some(_) }));
    }
}
