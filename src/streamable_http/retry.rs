//! What to do about a failed attempt: give up, or try again and how. Values in, a decision out.
//!
//! The first rule: a `tools/call` that may have run is never sent again.

use crate::aws::clock_skew;
use crate::aws::error_cause::Cause;
use crate::mcp::error_codes::{HEADER_MISMATCH, SESSION_NOT_FOUND, THROTTLED};
use crate::random;
use crate::streamable_http::lost_session::{says_runtime_session_is_gone, says_session_is_lost};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;
use time::OffsetDateTime;

/// Backoff doubles from these up to the maximum; each wait is random between zero and that.
const BACKOFF: Duration = Duration::from_millis(50);
const THROTTLING_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// If the server asks for a longer wait, the error serves the user better than another attempt.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Throttled requests that are idempotent are sent again while all waits together are shorter than this. Beyond
/// `--retries` no wait is shorter than the minimum, even if the server asks for less.
const THROTTLING_TIMEOUT: Duration = Duration::from_secs(60);
const MIN_THROTTLING_WAIT: Duration = Duration::from_millis(500);

/// AgentCore starts a runtime in a minute or two. Time that a starting one is waited for, and the mean wait between attempts.
const COLD_START_TIMEOUT: Duration = Duration::from_secs(300);
const COLD_START_WAIT: Duration = Duration::from_secs(2);

/// Cost of a retry from the quota.
const RETRY_COST: u32 = 14;
const THROTTLED_RETRY_COST: u32 = 5;

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Nothing of it left this machine, or no connection was made.
    NotSent,
    /// It may have arrived, and may be running.
    Unknown,
    /// The server responded with an error.
    Answered,
}

/// Why an attempt failed, if another one may succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) delivery: Delivery,
    /// HTTP status of the response; zero without one.
    pub(crate) status: u16,
    /// Code of a JSON-RPC error.
    pub(crate) code: Option<i64>,
    /// What AWS blames.
    pub(crate) cause: Cause,
    /// The server's message, or its whole body.
    pub(crate) text: String,
    /// Wait that the server asks for.
    pub(crate) retry_after: Option<Duration>,
    /// The time that the request was signed for, if it has a response.
    pub(crate) signed_at: Option<OffsetDateTime>,
    /// `Date` of the response.
    pub(crate) server_time: Option<OffsetDateTime>,
    /// The request belonged to a session that another can replace.
    pub(crate) can_change_session: bool,
    /// The request carried the id of a runtime session that another can replace.
    pub(crate) has_runtime_session: bool,
}

impl Failure {
    /// A failure of which nothing else is known.
    pub(crate) fn new(delivery: Delivery) -> Failure {
        Failure {
            delivery,
            status: 0,
            code: None,
            cause: Cause::Other,
            text: String::new(),
            retry_after: None,
            signed_at: None,
            server_time: None,
            can_change_session: false,
            has_runtime_session: false,
        }
    }
}

/// A request, as far as retries depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Running it twice does no harm.
    pub(crate) is_idempotent: bool,
    /// It is sent with `Mcp-Param-*` headers (a `tools/call` of 2026-07-28).
    pub(crate) has_param_headers: bool,
    /// The server is a runtime or a gateway of AgentCore, whose own JSON-RPC errors say what did not run.
    pub(crate) is_agentcore: bool,
    /// Time left; `None` is no limit.
    pub(crate) left: Option<Duration>,
    /// Maximum number of retries.
    pub(crate) retries: u32,
    /// After throttling, if the server's rate is known: the time until the request may be sent again.
    pub(crate) turn: Option<Duration>,
}

/// What was tried for a request.
#[derive(Debug, Default)]
pub(crate) struct RetryState {
    retries: u32,
    waited_for_throttling: Duration,
    waited_for_start: Duration,
    /// Remedies that were tried: each helps the first time or never.
    tried: Vec<Discriminant<Next>>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GiveUp,
    /// Wait, then send the request again, at this cost from the quota.
    Retry {
        after: Duration,
        cost: u32,
    },
    /// Look for other credentials.
    NewCredentials,
    /// Sign with the server's time.
    SetClock(OffsetDateTime),
    SignForService(String),
    /// Sign for the region of the URL, if that is another one.
    SignForRegion,
    /// Initialize another session.
    NewSession,
    /// Send it outside the runtime session, which begins another.
    NewRuntimeSession,
    /// Learn which arguments go into headers.
    LearnParamHeaders,
}

/// Whether running the method twice does no harm. Repeating a notification does not, either.
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

pub(crate) fn decide(failure: &Failure, request: &Request, state: &mut RetryState) -> Next {
    match failure.delivery {
        Delivery::NotSent => return retry(failure, request, state, BACKOFF, RETRY_COST),
        Delivery::Unknown if request.is_idempotent => {
            return retry(failure, request, state, BACKOFF, RETRY_COST);
        }
        Delivery::Unknown => return Next::GiveUp,
        Delivery::Answered => {}
    }
    match &failure.cause {
        Cause::Clock { server_time } => {
            let Some(signed_at) = failure.signed_at else { return Next::GiveUp };
            let mut times = [*server_time, failure.server_time].into_iter().flatten();
            let time = times.find(|time| clock_skew::explains_refusal(*time, signed_at));
            return time.map_or(Next::GiveUp, |time| once(state, Next::SetClock(time)));
        }
        Cause::ExpiredCredentials | Cause::UnknownCredentials | Cause::WrongSignature => {
            return once(state, Next::NewCredentials);
        }
        Cause::WrongService { expected } => {
            return once(state, Next::SignForService(expected.clone()));
        }
        Cause::WrongRegion => return once(state, Next::SignForRegion),
        Cause::RuntimeStarting if request.is_agentcore => return cold_start(request, state),
        _ => {}
    }
    if request.is_agentcore
        && failure.code == Some(SESSION_NOT_FOUND)
        && is_expired_token(&failure.text)
    {
        return once(state, Next::NewCredentials);
    }
    if failure.can_change_session
        && says_session_is_lost(failure.status, failure.code, &failure.text)
    {
        return once(state, Next::NewSession);
    }
    if failure.has_runtime_session
        && says_runtime_session_is_gone(failure.status, failure.code, &failure.text)
    {
        return once(state, Next::NewRuntimeSession);
    }
    if request.has_param_headers && failure.code == Some(HEADER_MISMATCH) {
        return once(state, Next::LearnParamHeaders);
    }
    let is_throttled = is_throttled(failure, request);
    if is_throttled && (request.is_idempotent || request.turn.is_some()) {
        return wait_out_throttling(failure, request, state);
    }
    let is_conflict = request.is_agentcore && failure.cause == Cause::RetryableConflict;
    if is_throttled || is_conflict || (failure.status == 503 && request.is_idempotent) {
        return retry(failure, request, state, THROTTLING_BACKOFF, THROTTLED_RETRY_COST);
    }
    if matches!(failure.status, 500 | 502 | 504) && failure.code.is_none() && request.is_idempotent
    {
        return retry(failure, request, state, BACKOFF, RETRY_COST);
    }
    Next::GiveUp
}

/// Whether the request was refused for the number of requests, so that it has not run.
pub(crate) fn is_throttled(failure: &Failure, request: &Request) -> bool {
    failure.status == 429
        || matches!(failure.cause, Cause::Throttled | Cause::Unavailable)
        // A gateway's 503 does not say what the server did, unless it asks to come again.
        || (failure.status == 503 && failure.retry_after.is_some())
        || (request.is_agentcore && failure.code == Some(THROTTLED))
}

fn once(state: &mut RetryState, next: Next) -> Next {
    let kind = discriminant(&next);
    if state.tried.contains(&kind) {
        return Next::GiveUp;
    }
    state.tried.push(kind);
    next
}

fn retry(
    failure: &Failure,
    request: &Request,
    state: &mut RetryState,
    first_backoff: Duration,
    cost: u32,
) -> Next {
    let after = wait(failure, state, first_backoff);
    state.retries += 1;
    if state.retries > request.retries || !fits(after, request) {
        return Next::GiveUp;
    }
    Next::Retry { after, cost }
}

fn wait_out_throttling(failure: &Failure, request: &Request, state: &mut RetryState) -> Next {
    let after = match request.turn {
        Some(turn) => turn,
        None if state.retries < request.retries => wait(failure, state, THROTTLING_BACKOFF),
        None => wait(failure, state, THROTTLING_BACKOFF).max(MIN_THROTTLING_WAIT),
    };
    state.retries += 1;
    state.waited_for_throttling = state.waited_for_throttling.saturating_add(after);
    let is_too_long = state.waited_for_throttling > THROTTLING_TIMEOUT || request.retries == 0;
    if is_too_long || !fits(after, request) {
        return Next::GiveUp;
    }
    let cost = if request.turn.is_some() { 0 } else { THROTTLED_RETRY_COST };
    Next::Retry { after, cost }
}

/// What the server asks for, or a random wait that grows with the retries.
fn wait(failure: &Failure, state: &RetryState, first_backoff: Duration) -> Duration {
    let backoff = first_backoff.saturating_mul(1 << state.retries.min(16)).min(MAX_BACKOFF);
    failure.retry_after.unwrap_or_else(|| random::up_to(backoff))
}

/// Whether the wait is short enough, and shorter than the time left.
fn fits(after: Duration, request: &Request) -> bool {
    after <= MAX_RETRY_AFTER && request.left.is_none_or(|left| after < left)
}

fn cold_start(request: &Request, state: &mut RetryState) -> Next {
    let after = COLD_START_WAIT / 2 + random::up_to(COLD_START_WAIT);
    state.waited_for_start += after;
    let is_too_long = state.waited_for_start > COLD_START_TIMEOUT
        || request.left.is_some_and(|left| after >= left)
        || request.retries == 0;
    if is_too_long { Next::GiveUp } else { Next::Retry { after, cost: 0 } }
}

/// Whether AgentCore's `SESSION_NOT_FOUND` speaks of an expired token.
fn is_expired_token(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("token") && text.contains("expired")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    const CALL: Request = Request {
        is_idempotent: false,
        has_param_headers: false,
        is_agentcore: false,
        left: None,
        retries: 3,
        turn: None,
    };
    const LIST: Request = Request { is_idempotent: true, ..CALL };
    const AGENTCORE_CALL: Request = Request { is_agentcore: true, ..CALL };

    fn answered(status: u16, text: &str) -> Failure {
        Failure {
            status,
            text: text.into(),
            signed_at: Some(NOW),
            ..Failure::new(Delivery::Answered)
        }
    }

    fn first(failure: &Failure, request: &Request) -> Next {
        decide(failure, request, &mut RetryState::default())
    }

    fn is_retry(next: &Next) -> bool {
        matches!(next, Next::Retry { .. })
    }

    #[test]
    fn a_call_that_may_have_run_is_not_sent_again() {
        let lost = Failure { delivery: Delivery::Unknown, ..answered(0, "") };
        assert_eq!(first(&lost, &CALL), Next::GiveUp);
        assert!(is_retry(&first(&lost, &LIST)));
        let unsent = Failure { delivery: Delivery::NotSent, ..answered(0, "") };
        assert!(is_retry(&first(&unsent, &CALL)));
        for status in [500, 502, 503, 504] {
            assert_eq!(first(&answered(status, ""), &CALL), Next::GiveUp, "{status}");
            assert!(is_retry(&first(&answered(status, ""), &LIST)), "{status}");
        }
        for status in [200, 301, 307, 400, 401, 402, 403, 404, 405, 406, 409, 413, 415, 501] {
            assert_eq!(first(&answered(status, ""), &LIST), Next::GiveUp, "{status}");
        }
    }

    /// Row by row: what a call that has certainly not run was answered with, and its nearest neighbours.
    #[test]
    fn a_call_is_sent_again_only_where_it_has_not_run() {
        let blamed = |status, cause| Failure { cause, ..answered(status, "") };
        let coded = |status, code, text| Failure { code: Some(code), ..answered(status, text) };
        let soon = Some(Duration::from_secs(2));
        for (request, failure, expected) in [
            (CALL, answered(429, ""), true),
            (CALL, coded(429, -32004, ""), true),
            (CALL, blamed(400, Cause::Throttled), true),
            (CALL, blamed(500, Cause::Throttled), true),
            (CALL, Failure { retry_after: soon, ..answered(503, "") }, true),
            (CALL, blamed(503, Cause::Unavailable), true),
            (AGENTCORE_CALL, blamed(409, Cause::RetryableConflict), true),
            (AGENTCORE_CALL, blamed(424, Cause::RuntimeStarting), true),
            (AGENTCORE_CALL, coded(200, -32004, "slow down"), true),
            (CALL, answered(503, ""), false),
            (CALL, answered(500, ""), false),
            (CALL, Failure { retry_after: soon, ..answered(500, "") }, false),
            (CALL, Failure { retry_after: soon, ..answered(502, "") }, false),
            (CALL, blamed(409, Cause::RetryableConflict), false),
            (CALL, blamed(424, Cause::RuntimeStarting), false),
            (CALL, coded(200, -32004, "slow down"), false),
            (AGENTCORE_CALL, answered(409, ""), false),
            (AGENTCORE_CALL, answered(424, ""), false),
            (AGENTCORE_CALL, answered(500, ""), false),
            (AGENTCORE_CALL, coded(200, -32003, "slow down"), false),
        ] {
            let next = first(&failure, &request);
            assert_eq!(is_retry(&next), expected, "{failure:?}: {next:?}");
            if let Next::Retry { after, .. } = next {
                let most = THROTTLING_BACKOFF.max(2 * COLD_START_WAIT);
                assert!(failure.retry_after.map_or(after <= most, |asked| asked == after));
            }
        }
    }

    #[test]
    fn a_wait_that_is_too_long_is_not_begun() {
        let asks = |seconds| Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..answered(429, "")
        };
        let soon = Request { left: Some(Duration::from_secs(30)), ..CALL };
        assert!(is_retry(&first(&asks(20), &soon)));
        assert_eq!(first(&asks(30), &soon), Next::GiveUp, "it does not fit into the time left");
        for seconds in [3600, u64::MAX] {
            assert_eq!(first(&asks(seconds), &LIST), Next::GiveUp, "there is no limit at all");
        }
        let longest = Failure { retry_after: Some(Duration::MAX), ..answered(503, "") };
        assert_eq!(first(&longest, &CALL), Next::GiveUp);
    }

    #[test]
    fn attempts_are_counted() {
        let mut state = RetryState::default();
        let failure = answered(429, "");
        for _ in 0..3 {
            assert!(is_retry(&decide(&failure, &CALL, &mut state)));
        }
        assert_eq!(decide(&failure, &CALL, &mut state), Next::GiveUp);
        let never = Request { retries: 0, ..CALL };
        assert_eq!(first(&failure, &never), Next::GiveUp);
    }

    #[test]
    fn throttling_of_idempotent_requests_is_waited_out() {
        let throttled = |seconds| Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..answered(429, "")
        };
        let retries = |failure: &Failure, request: &Request| {
            let mut state = RetryState::default();
            (0..1000).take_while(|_| is_retry(&decide(failure, request, &mut state))).count()
        };
        assert_eq!(retries(&throttled(7), &LIST), 8, "up to a minute");
        assert_eq!(retries(&throttled(60), &LIST), 1);
        assert_eq!(retries(&throttled(7), &CALL), 3);
        assert_eq!(retries(&throttled(0), &LIST), 123, "three at once, then two in a second");
        assert_eq!(retries(&throttled(1), &Request { retries: 0, ..LIST }), 0);
        let blamed = Failure { cause: Cause::Throttled, ..answered(400, "") };
        assert!(retries(&blamed, &LIST) > 3);
        let agentcore = Failure { code: Some(-32004), ..answered(200, "") };
        assert!(retries(&agentcore, &Request { is_agentcore: true, ..LIST }) > 3);
        assert_eq!(retries(&answered(503, ""), &LIST), 3, "it does not ask to come again");
    }

    #[test]
    fn a_call_to_a_server_of_known_rate_is_sent_again_in_its_turns() {
        let turn = Some(Duration::from_secs(5));
        let call = Request { turn, ..CALL };
        let mut state = RetryState::default();
        for _ in 0..12 {
            let next = decide(&answered(429, ""), &call, &mut state);
            assert_eq!(next, Next::Retry { after: Duration::from_secs(5), cost: 0 });
        }
        assert_eq!(decide(&answered(429, ""), &call, &mut state), Next::GiveUp, "after a minute");
        assert_eq!(first(&answered(429, ""), &Request { retries: 0, ..call }), Next::GiveUp);
        let soon = Request { left: turn, ..call };
        assert_eq!(first(&answered(429, ""), &soon), Next::GiveUp);
        assert_eq!(first(&answered(500, ""), &call), Next::GiveUp, "it may have run");
    }

    #[test]
    fn a_runtime_that_starts_is_waited_for() {
        let mut state = RetryState::default();
        let failure = Failure { cause: Cause::RuntimeStarting, ..answered(424, "") };
        let mut waited = Duration::ZERO;
        while let Next::Retry { after, .. } = decide(&failure, &AGENTCORE_CALL, &mut state) {
            waited += after;
        }
        assert!(
            waited + 2 * COLD_START_WAIT > COLD_START_TIMEOUT && waited <= COLD_START_TIMEOUT,
            "{waited:?}"
        );
    }

    #[test]
    fn a_remedy_is_tried_once() {
        let there = datetime!(2026-01-02 04:09:05 UTC);
        let clock = || Cause::Clock { server_time: None };
        let clock_in_words = Cause::Clock { server_time: Some(there) };
        let service = Cause::WrongService { expected: "lambda".into() };
        let blamed = |cause| Failure { cause, ..answered(403, "") };
        let dead = |status, code, text| Failure {
            code,
            can_change_session: true,
            ..answered(status, text)
        };
        let call = Request { has_param_headers: true, ..AGENTCORE_CALL };
        for (failure, expected) in [
            (blamed(clock_in_words), Next::SetClock(there)),
            (Failure { server_time: Some(there), ..blamed(clock()) }, Next::SetClock(there)),
            (blamed(Cause::ExpiredCredentials), Next::NewCredentials),
            (blamed(Cause::UnknownCredentials), Next::NewCredentials),
            (blamed(Cause::WrongSignature), Next::NewCredentials),
            (
                Failure {
                    code: Some(-32001),
                    can_change_session: true,
                    ..answered(200, "Your session token has expired")
                },
                Next::NewCredentials,
            ),
            (blamed(service), Next::SignForService("lambda".into())),
            (blamed(Cause::WrongRegion), Next::SignForRegion),
            (dead(404, None, ""), Next::NewSession),
            (dead(410, None, ""), Next::NewSession),
            (dead(404, Some(-32001), "Session not found"), Next::NewSession),
            (dead(200, Some(-32001), "Session not found"), Next::NewSession),
            (dead(500, None, "Session expired"), Next::NewSession),
            (dead(200, Some(-30001), "SessionId was not found or has expired"), Next::NewSession),
            (
                dead(400, Some(-32000), "Bad Request: No valid session ID provided"),
                Next::NewSession,
            ),
            (Failure { code: Some(-32020), ..answered(400, "") }, Next::LearnParamHeaders),
        ] {
            let mut state = RetryState::default();
            assert_eq!(decide(&failure, &call, &mut state), expected, "{failure:?}");
            assert_eq!(decide(&failure, &call, &mut state), Next::GiveUp, "{failure:?}");
        }
    }

    #[test]
    fn other_refusals_have_no_remedy() {
        let with_session = |failure| Failure { can_change_session: true, ..failure };
        let clock = || Cause::Clock { server_time: None };
        let clock_of_year_9999 =
            Cause::Clock { server_time: Some(datetime!(9999-12-31 23:59:59 UTC)) };
        let blamed = |cause| Failure { cause, ..answered(403, "") };
        for failure in [
            // A skew under four minutes is not why the signature was refused.
            Failure { server_time: Some(NOW + time::Duration::minutes(2)), ..blamed(clock()) },
            blamed(clock()),
            blamed(clock_of_year_9999),
            // A Date two days ahead blames nothing by itself.
            Failure { server_time: Some(NOW + time::Duration::days(2)), ..answered(403, "") },
            answered(404, "Session not found"),
            with_session(Failure { code: Some(-32601), ..answered(404, "Method not found") }),
            with_session(Failure { code: Some(-32602), ..answered(400, "no session given") }),
            with_session(answered(400, "bad JSON")),
            with_session(answered(403, "the session policy is unknown")),
            with_session(Failure { code: Some(-32001), ..answered(200, "the token has expired") }),
            Failure { code: Some(-32020), ..answered(400, "") },
            answered(403, "User is not authorized"),
        ] {
            assert_eq!(first(&failure, &LIST), Next::GiveUp, "{failure:?}");
        }
        let of_a_tool = with_session(answered(500, "the tool's browser session has expired"));
        assert_eq!(first(&of_a_tool, &CALL), Next::GiveUp);
    }
}
