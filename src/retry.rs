//! What to do when a request failed: give up, or try again and how. Values in, a decision out.
//!
//! The one rule above all others: a `tools/call` that may have run is never sent again.

use crate::random;
use std::mem::{Discriminant, discriminant};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;

/// Waits grow from these, doubling, and are random between zero and that.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const FIRST_WAIT_WHEN_THROTTLED: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// AgentCore starts a runtime in a minute or two; for so long a 424 is not an answer.
const COLD_START: Duration = Duration::from_secs(300);
const COLD_START_WAIT: Duration = Duration::from_secs(2);

/// A smaller difference is not what AWS refuses signatures for.
const LEAST_SKEW: time::Duration = time::Duration::minutes(4);

/// How far the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Nothing of it left this machine, or no connection came about.
    Nobody,
    /// It may have arrived, and may be running.
    Perhaps,
    /// The server answered with an error.
    Server,
}

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) reached: Reached,
    /// Of the HTTP answer; zero without one.
    pub(crate) status: u16,
    /// Of a JSON-RPC error.
    pub(crate) code: Option<i64>,
    /// AWS's name for it, or empty.
    pub(crate) error_type: &'a str,
    /// What the server says.
    pub(crate) text: &'a str,
    /// How long it asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// When it was signed, and what time it was there when it answered.
    pub(crate) signed_at: OffsetDateTime,
    pub(crate) server_time: Option<OffsetDateTime>,
    /// The request carried a session id.
    pub(crate) had_session: bool,
    /// `Mcp-Param-*` headers belong to such a request (a `tools/call` of 2026-07-28).
    pub(crate) has_mirrors: bool,
    /// The URL says another region than the one that was signed for.
    pub(crate) other_region: bool,
}

/// The request as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Running it twice does no harm.
    pub(crate) is_idempotent: bool,
    /// Time left; `None` is no limit.
    pub(crate) left: Option<Duration>,
    /// Extra attempts the user allows.
    pub(crate) retries: u32,
}

/// What was tried already.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    attempts: u32,
    waited_for_start: Duration,
    /// Each of these helps once or never.
    mends: Vec<Discriminant<Next>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GiveUp,
    /// Wait, then send it again. `costs` is what it takes from the quota.
    Again {
        after: Duration,
        costs: u32,
    },
    /// Ask for new credentials.
    NewCredentials,
    /// Sign with the server's time.
    SetClock(OffsetDateTime),
    SignForService(String),
    /// Sign for the region of the URL.
    SignForRegion,
    NewSession,
    /// Learn which arguments go into headers.
    LearnMirrors,
}

/// Whether running the method twice does no harm. A notification twice does none either.
pub(crate) fn is_idempotent(method: &str) -> bool {
    method.ends_with("/list")
        || matches!(
            method,
            "initialize"
                | "ping"
                | "server/discover"
                | "resources/read"
                | "prompts/get"
                | "completion/complete"
                | "logging/setLevel"
                | "tasks/get"
                | "tasks/result"
        )
        || method.starts_with("notifications/")
}

pub(crate) fn next(failure: &Failure<'_>, request: &Request, tried: &mut Tried) -> Next {
    match failure.reached {
        Reached::Nobody => return again(failure, request, tried, FIRST_WAIT, 14),
        Reached::Perhaps if request.is_idempotent => {
            return again(failure, request, tried, FIRST_WAIT, 14);
        }
        Reached::Perhaps => return Next::GiveUp,
        Reached::Server => {}
    }
    let text = failure.text.to_lowercase();
    let says = |words: &str| text.contains(words);
    let is_refusal = matches!(failure.status, 400 | 401 | 403);
    // The first four say so; the others may mean it, if the clocks do differ.
    let may_be_skew = says("signature expired")
        || says("not yet current")
        || [
            "RequestExpired",
            "RequestTimeTooSkewed",
            "RequestInTheFuture",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "AuthFailure",
        ]
        .contains(&failure.error_type);
    let there = time_in(failure.text).or(failure.server_time);
    if is_refusal
        && may_be_skew
        && let Some(there) = there
        && (there - failure.signed_at).abs() >= LEAST_SKEW
    {
        return once(tried, Next::SetClock(there));
    }
    let is_expired = failure.error_type.starts_with("ExpiredToken")
        || says("token included in the request is expired")
        || says("security token has expired");
    let is_unknown = ["UnrecognizedClientException", "InvalidClientTokenId"]
        .contains(&failure.error_type)
        || says("token included in the request is invalid");
    if (is_refusal && (is_expired || is_unknown))
        || (failure.code == Some(-32001) && says("token") && says("expired"))
    {
        return once(tried, Next::NewCredentials);
    }
    if is_refusal && let Some(service) = right_service(failure.text) {
        return once(tried, Next::SignForService(service));
    }
    if is_refusal && failure.other_region && says("scoped to a valid region") {
        return once(tried, Next::SignForRegion);
    }
    if failure.had_session && is_dead_session(failure, &text) {
        return once(tried, Next::NewSession);
    }
    if failure.has_mirrors && failure.code == Some(-32020) {
        return once(tried, Next::LearnMirrors);
    }
    if failure.status == 424 {
        return cold_start(request, tried);
    }
    let is_throttled = failure.error_type.contains("Throttl")
        || ["TooManyRequestsException", "SlowDown", "LimitExceededException"]
            .contains(&failure.error_type)
        || failure.code == Some(-32004);
    // A gateway's 503 says nothing of what ran behind it, unless it asks to come again.
    let is_clean = failure.status == 429
        || is_throttled
        || (failure.status == 503 && failure.retry_after.is_some());
    if is_clean || (failure.status == 503 && request.is_idempotent) {
        return again(failure, request, tried, FIRST_WAIT_WHEN_THROTTLED, 5);
    }
    if matches!(failure.status, 500 | 502 | 504) && failure.code.is_none() && request.is_idempotent
    {
        return again(failure, request, tried, FIRST_WAIT, 14);
    }
    Next::GiveUp
}

fn once(tried: &mut Tried, next: Next) -> Next {
    let mend = discriminant(&next);
    if tried.mends.contains(&mend) {
        return Next::GiveUp;
    }
    tried.mends.push(mend);
    next
}

fn again(
    failure: &Failure<'_>,
    request: &Request,
    tried: &mut Tried,
    first_wait: Duration,
    costs: u32,
) -> Next {
    let growing = first_wait.saturating_mul(1 << tried.attempts.min(16)).min(LONGEST_WAIT);
    let after = failure.retry_after.unwrap_or_else(|| random::up_to(growing));
    tried.attempts += 1;
    if tried.attempts > request.retries || request.left.is_some_and(|left| after >= left) {
        return Next::GiveUp;
    }
    Next::Again { after, costs }
}

fn cold_start(request: &Request, tried: &mut Tried) -> Next {
    let after = COLD_START_WAIT / 2 + random::up_to(COLD_START_WAIT);
    tried.waited_for_start += after;
    let is_too_long = tried.waited_for_start > COLD_START
        || request.left.is_some_and(|left| after >= left)
        || request.retries == 0;
    if is_too_long { Next::GiveUp } else { Next::Again { after, costs: 0 } }
}

/// 404 for the id we sent, unless it says "unknown method"; AWS's own code; or a 400 that names the session.
fn is_dead_session(failure: &Failure<'_>, text: &str) -> bool {
    let names_session = || {
        // What a tool says of its arguments is not about us.
        failure.code.is_none_or(|code| matches!(code, -32001..=-32000 | -32600))
            && (text.contains("session") || text.contains("server not initialized"))
    };
    match (failure.status, failure.code) {
        (_, Some(-30001)) => true,
        (404, code) => code != Some(-32601),
        (400, _) => names_session(),
        _ => false,
    }
}

/// `… scoped to correct service: 'lambda'.`
fn right_service(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("scoped to correct service: '")?;
    let (service, _) = rest.split_once('\'')?;
    let is_name = !service.is_empty()
        && service.len() <= 64
        && service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_name.then(|| service.to_owned())
}

/// AWS's time in `Signature expired: A is now earlier than B (C - 5 min.)` and its twin with `later`: C.
fn time_in(text: &str) -> Option<OffsetDateTime> {
    let (_, rest) = text.split_once('(')?;
    parse_basic(rest.get(..16)?)
}

/// `20260102T030405Z`
fn parse_basic(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    time::PrimitiveDateTime::parse(text, format).ok().map(time::PrimitiveDateTime::assume_utc)
}

/// `Date` and `Retry-After` (RFC 9110 §5.6.7), in the one form that is still written.
pub(crate) fn parse_http_date(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time::PrimitiveDateTime::parse(text.trim(), format)
        .ok()
        .map(time::PrimitiveDateTime::assume_utc)
}

/// `Retry-After` in seconds or as a date; `now` is the time there.
pub(crate) fn parse_retry_after(text: &str, now: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = parse_http_date(text)? - now;
    Some(wait.try_into().unwrap_or(Duration::ZERO))
}

/// Attempts that all calls share, so that a server in trouble is not given more of it.
///
/// The numbers are those of the AWS SDKs: 500, of which a repetition takes 5 or 14; success gives back.
#[derive(Debug)]
pub(crate) struct Quota(AtomicU32);

impl Quota {
    const MOST: u32 = 500;

    /// False when there is not enough left.
    pub(crate) fn take(&self, costs: u32) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(costs))
            .is_ok()
    }

    /// After a success; `costs` is what its last repetition took.
    pub(crate) fn give_back(&self, costs: u32) {
        // Mostly it is full, and nothing is written.
        if self.0.load(Ordering::Relaxed) < Quota::MOST {
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_add(costs.max(1)).min(Quota::MOST))
            });
        }
    }
}

impl Default for Quota {
    fn default() -> Quota {
        Quota(AtomicU32::new(Quota::MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skew::Skew;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    const CALL: Request = Request { is_idempotent: false, left: None, retries: 3 };
    const LIST: Request = Request { is_idempotent: true, ..CALL };

    fn answered(status: u16, error_type: &'static str, text: &'static str) -> Failure<'static> {
        Failure {
            reached: Reached::Server,
            status,
            code: None,
            error_type,
            text,
            retry_after: None,
            signed_at: NOW,
            server_time: None,
            had_session: false,
            has_mirrors: false,
            other_region: false,
        }
    }

    fn first(failure: &Failure<'_>, request: &Request) -> Next {
        next(failure, request, &mut Tried::default())
    }

    fn is_again(next: &Next) -> bool {
        matches!(next, Next::Again { .. })
    }

    #[test]
    fn a_call_that_may_have_run_is_not_sent_again() {
        let lost = Failure { reached: Reached::Perhaps, ..answered(0, "", "") };
        assert_eq!(first(&lost, &CALL), Next::GiveUp);
        assert!(is_again(&first(&lost, &LIST)));
        let unsent = Failure { reached: Reached::Nobody, ..answered(0, "", "") };
        assert!(is_again(&first(&unsent, &CALL)));
        for status in [500, 502, 503, 504] {
            assert_eq!(first(&answered(status, "", ""), &CALL), Next::GiveUp, "{status}");
            assert!(is_again(&first(&answered(status, "", ""), &LIST)), "{status}");
        }
        for status in [200, 301, 307, 400, 401, 402, 403, 404, 405, 406, 409, 413, 415, 501] {
            assert_eq!(first(&answered(status, "", ""), &LIST), Next::GiveUp, "{status}");
        }
    }

    #[test]
    fn throttling() {
        for failure in [
            answered(429, "", ""),
            answered(400, "ThrottlingException", "Rate exceeded"),
            Failure { code: Some(-32004), ..answered(200, "", "slow down") },
            Failure { retry_after: Some(Duration::from_secs(2)), ..answered(503, "", "") },
        ] {
            let next = first(&failure, &CALL);
            let Next::Again { after, .. } = next else { panic!("{failure:?}: {next:?}") };
            match failure.retry_after {
                Some(asked) => assert_eq!(after, asked),
                None => assert!(after <= FIRST_WAIT_WHEN_THROTTLED),
            }
        }
        let hour =
            Failure { retry_after: Some(Duration::from_secs(3600)), ..answered(429, "", "") };
        let soon = Request { left: Some(Duration::from_secs(60)), ..CALL };
        assert_eq!(first(&hour, &soon), Next::GiveUp, "it does not fit into the time left");
    }

    #[test]
    fn attempts_are_counted() {
        let mut tried = Tried::default();
        let failure = answered(429, "", "");
        for _ in 0..3 {
            assert!(is_again(&next(&failure, &CALL, &mut tried)));
        }
        assert_eq!(next(&failure, &CALL, &mut tried), Next::GiveUp);
        let never = Request { retries: 0, ..CALL };
        assert_eq!(first(&failure, &never), Next::GiveUp);
    }

    #[test]
    fn a_runtime_that_starts_is_waited_for() {
        let mut tried = Tried::default();
        let failure = answered(424, "RuntimeClientError", "");
        let mut waited = Duration::ZERO;
        while let Next::Again { after, .. } = next(&failure, &CALL, &mut tried) {
            waited += after;
        }
        assert!(waited + 2 * COLD_START_WAIT > COLD_START && waited <= COLD_START, "{waited:?}");
    }

    #[test]
    fn what_is_mended_is_mended_once() {
        let expired = "Signature expired: 20260102T030405Z is now earlier than 20260102T040405Z (20260102T040905Z - 5 min.)";
        let there = datetime!(2026-01-02 04:09:05 UTC);
        let dead =
            |status, code, text| Failure { code, had_session: true, ..answered(status, "", text) };
        for (failure, expected) in [
            (answered(403, "InvalidSignatureException", expired), Next::SetClock(there)),
            (
                Failure { server_time: Some(there), ..answered(403, "RequestExpired", "") },
                Next::SetClock(there),
            ),
            (answered(403, "ExpiredTokenException", ""), Next::NewCredentials),
            (
                answered(403, "", "The security token included in the request is expired"),
                Next::NewCredentials,
            ),
            (answered(403, "UnrecognizedClientException", ""), Next::NewCredentials),
            (
                Failure {
                    code: Some(-32001),
                    ..answered(200, "", "Your session token has expired")
                },
                Next::NewCredentials,
            ),
            (
                answered(403, "", "Credential should be scoped to correct service: 'lambda'."),
                Next::SignForService("lambda".into()),
            ),
            (
                Failure {
                    other_region: true,
                    ..answered(403, "", "Credential should be scoped to a valid region.")
                },
                Next::SignForRegion,
            ),
            (dead(404, None, ""), Next::NewSession),
            (dead(404, Some(-32001), "Session not found"), Next::NewSession),
            (dead(200, Some(-30001), "SessionId was not found or has expired"), Next::NewSession),
            (
                dead(400, Some(-32000), "Bad Request: No valid session ID provided"),
                Next::NewSession,
            ),
            (
                Failure { code: Some(-32020), has_mirrors: true, ..answered(400, "", "") },
                Next::LearnMirrors,
            ),
        ] {
            let mut tried = Tried::default();
            assert_eq!(next(&failure, &CALL, &mut tried), expected, "{failure:?}");
            assert_eq!(next(&failure, &CALL, &mut tried), Next::GiveUp, "{failure:?}");
        }
    }

    #[test]
    fn what_only_looks_like_it() {
        let with_session = |failure| Failure { had_session: true, ..failure };
        for failure in [
            // Less than four minutes are not what the signature was refused for.
            Failure {
                server_time: Some(NOW + LEAST_SKEW / 2),
                ..answered(403, "RequestExpired", "")
            },
            answered(403, "", "Credential should be scoped to a valid region."),
            answered(403, "", "scoped to correct service: 'evil\r\nX: y'"),
            answered(404, "", "Session not found"),
            with_session(Failure { code: Some(-32601), ..answered(404, "", "Method not found") }),
            with_session(Failure { code: Some(-32602), ..answered(400, "", "no session given") }),
            with_session(answered(400, "", "bad JSON")),
            with_session(answered(403, "AccessDeniedException", "session policy")),
            Failure { code: Some(-32020), ..answered(400, "", "") },
            answered(403, "AccessDeniedException", "User is not authorized"),
        ] {
            assert_eq!(first(&failure, &LIST), Next::GiveUp, "{failure:?}");
        }
    }

    /// The cases that the AWS SDKs share: each attempt's times, the server's `Date`, and what the skew is after it.
    #[test]
    fn clock_skew_as_the_aws_sdks_have_it() {
        struct Attempt {
            sent: i64,
            received: i64,
            /// Against the time here.
            signed: i64,
            error: &'static str,
            /// `None`: without a `Date`, or with an `Age`.
            date: Option<i64>,
            again: bool,
            skew: i64,
        }
        let ok = |sent, received, signed, date, skew| Attempt {
            sent,
            received,
            signed,
            error: "",
            date,
            again: false,
            skew,
        };
        let skewed = "RequestTimeTooSkewed";
        let possible = "InvalidSignatureException";
        let bad = |error, date, again, skew| Attempt {
            sent: 0,
            received: 2,
            signed: 0,
            error,
            date,
            again,
            skew,
        };
        for (name, first_skew, attempts) in [
            ("the clocks agree", 0, vec![ok(0, 2, 0, Some(1), 0)]),
            (
                "a definite error, and what was learned lasts",
                0,
                vec![
                    bad(skewed, Some(301), true, 300),
                    ok(2, 4, 302, Some(303), 300),
                    ok(60, 62, 360, Some(361), 300),
                ],
            ),
            (
                "a slow answer is not believed",
                0,
                vec![ok(0, 960, 0, Some(600), 0), ok(1020, 1022, 1020, Some(1321), 300)],
            ),
            ("a success corrects it too", 300, vec![ok(0, 2, 300, Some(1), 0)]),
            ("a small difference is no reason", 0, vec![bad(possible, Some(121), false, 120)]),
            (
                "a possible error with a large difference is",
                0,
                vec![bad(possible, Some(301), true, 300), ok(2, 4, 302, Some(303), 300)],
            ),
            ("no date, no attempt", 0, vec![bad(skewed, None, false, 0)]),
            (
                "what comes from a cache is not believed",
                0,
                vec![ok(0, 2, 0, None, 0), ok(10, 12, 10, Some(311), 300)],
            ),
            (
                "nor does it spoil what is known",
                0,
                vec![ok(0, 2, 0, None, 0), ok(10, 12, 10, Some(11), 0)],
            ),
        ] {
            let at = |seconds| NOW + time::Duration::seconds(seconds);
            let skew = Skew::default();
            skew.set(NOW, at(first_skew));
            for attempt in attempts {
                let signed_at = skew.at(at(attempt.sent));
                assert_eq!(signed_at, at(attempt.signed), "{name}");
                let date = attempt.date.map(at);
                let believed = date
                    .is_some_and(|date| skew.learn(at(attempt.sent), at(attempt.received), date));
                if !attempt.error.is_empty() {
                    let failure = Failure {
                        signed_at,
                        server_time: date.filter(|_| believed),
                        ..answered(403, attempt.error, "")
                    };
                    let is_again = matches!(first(&failure, &CALL), Next::SetClock(_));
                    assert_eq!(is_again, attempt.again, "{name}");
                }
                assert_eq!(skew.at(NOW), at(attempt.skew), "{name}");
            }
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse_http_date("Fri, 02 Jan 2026 03:04:05 GMT"), Some(NOW));
        for (text, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Fri, 02 Jan 2026 03:04:15 GMT", Some(10)),
            ("Fri, 02 Jan 2026 03:04:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(parse_retry_after(text, NOW).map(|wait| wait.as_secs()), expected, "{text}");
        }
    }

    #[test]
    fn the_quota_is_shared_and_comes_back() {
        let quota = Quota::default();
        assert_eq!((0..100).filter(|_| quota.take(14)).count(), 35);
        quota.give_back(14);
        assert!(quota.take(14) && !quota.take(14));
    }
}
