//! `Verdict`: evidence in a response about the eras that a server speaks. Pure.
//!
//! Nothing else is evidence: neither names and versions of software nor failures of authorization, of the
//! network and of the server itself.

use crate::bridge::facts::{Known, MODERN_VERSION, Speaks, is_modern};
use crate::json::object::Object;
use crate::mcp::error_codes::{
    HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Codes of errors for requests that were not run.
const NOT_RUN: [i64; 5] =
    [INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, -32000, UNSUPPORTED_VERSION];

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Initialize,
    /// `server/discover`.
    Discover,
    /// Another request of 2026-07-28.
    Modern,
}

/// The first response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply<'a> {
    /// JSON of the result.
    Result(&'a str),
    /// A JSON-RPC error, with the HTTP status if that was an error, too.
    Error { code: i64, error: &'a str, status: Option<u16> },
    /// An HTTP error with another body.
    Refused { status: u16 },
}

/// The evidence of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `Unknown` adds nothing.
    pub(crate) legacy: Speaks,
    pub(crate) modern: Speaks,
    /// The server is to be asked for the other era.
    pub(crate) asks: bool,
    /// The request was certainly not run.
    pub(crate) was_not_run: bool,
    /// The `DiscoverResult`, as JSON.
    pub(crate) discovered: Option<Arc<str>>,
    /// The revisions that the server names.
    pub(crate) versions: Vec<String>,
}

impl Verdict {
    /// Adds the evidence to what is known.
    pub(crate) fn apply(&self, known: &mut Known) {
        let news = |old: &mut Speaks, new| {
            if new != Speaks::Unknown {
                *old = new;
            }
        };
        news(&mut known.legacy, self.legacy);
        news(&mut known.modern, self.modern);
        if let Some(discovered) = &self.discovered {
            known.discovered = Some(Arc::clone(discovered));
        } else if self.modern == Speaks::No {
            known.discovered = None;
        }
    }
}

/// Evaluates the response to a request.
pub(crate) fn verdict(asked: Asked, reply: Reply<'_>) -> Verdict {
    match reply {
        Reply::Result(result) => of_result(asked, result),
        Reply::Error { code, error, status } => {
            if status.is_some_and(|status| !is_refusal(status)) {
                return Verdict::default();
            }
            let was_not_run = status.is_some() || NOT_RUN.contains(&code);
            Verdict { was_not_run, ..of_error(asked, code, error) }
        }
        Reply::Refused { status } if is_refusal(status) => {
            Verdict { was_not_run: true, ..unexplained(asked) }
        }
        Reply::Refused { .. } => Verdict::default(),
    }
}

/// Whether a translated request was refused as by a server that does not speak the modern era any more. Its own errors for
/// requests that it understands are none.
pub(crate) fn is_of_legacy_server(reply: Reply<'_>) -> bool {
    match reply {
        Reply::Error { code: UNSUPPORTED_VERSION, error, .. } => supported(error)
            .is_some_and(|versions| !versions.iter().any(|version| is_modern(version))),
        Reply::Error { code: -32000 | -32600, status: Some(status), .. }
        | Reply::Refused { status } => is_refusal(status),
        _ => false,
    }
}

/// Whether servers refuse unknown requests with this HTTP status, without having run them.
fn is_refusal(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 406 | 410 | 415 | 422 | 426 | 501)
}

fn of_result(asked: Asked, result: &str) -> Verdict {
    let Some(members) = Object::parse(result) else { return Verdict::default() };
    let is_modern_result = members.get("resultType").is_some();
    match asked {
        Asked::Initialize => {
            let legacy = match members.get("protocolVersion") {
                Some(_) => Speaks::Yes,
                None => Speaks::Unknown,
            };
            Verdict { legacy, ..Verdict::default() }
        }
        Asked::Discover => {
            let versions = members.get("supportedVersions").map(RawValue::get);
            match versions.and_then(version_list) {
                Some(versions) if versions.iter().any(|version| version == MODERN_VERSION) => {
                    let discovered = Some(result.into());
                    Verdict { modern: Speaks::Yes, discovered, versions, ..Verdict::default() }
                }
                Some(versions) if !versions.is_empty() => {
                    let has_legacy = versions.iter().any(|version| !is_modern(version));
                    let legacy = if has_legacy { Speaks::Yes } else { Speaks::Unknown };
                    Verdict { legacy, modern: Speaks::No, versions, ..Verdict::default() }
                }
                _ if is_modern_result => {
                    let discovered = Some(result.into());
                    Verdict { modern: Speaks::Yes, discovered, ..Verdict::default() }
                }
                _ => Verdict { modern: Speaks::No, ..Verdict::default() },
            }
        }
        // Careless modern servers leave `resultType` out.
        Asked::Modern if is_modern_result => Verdict { modern: Speaks::Yes, ..Verdict::default() },
        Asked::Modern => Verdict::default(),
    }
}

fn of_error(asked: Asked, code: i64, error: &str) -> Verdict {
    match code {
        UNSUPPORTED_VERSION => match supported(error) {
            Some(versions) => of_versions(asked, versions),
            None => unexplained(asked),
        },
        HEADER_MISMATCH | MISSING_CAPABILITY => match asked {
            Asked::Initialize => unexplained(asked),
            Asked::Discover | Asked::Modern => {
                Verdict { modern: Speaks::Yes, ..Verdict::default() }
            }
        },
        _ => unexplained(asked),
    }
}

/// The refusal of a version, with the list of those that the server speaks.
fn of_versions(asked: Asked, versions: Vec<String>) -> Verdict {
    let has_modern = versions.iter().any(|version| is_modern(version));
    let has_legacy = versions.iter().any(|version| !is_modern(version));
    let is_known = versions.iter().any(|version| version == MODERN_VERSION);
    let verdict = Verdict { versions, ..Verdict::default() };
    let modern = if has_modern { Speaks::Unknown } else { Speaks::No };
    match asked {
        Asked::Initialize => {
            let legacy = if has_legacy { Speaks::Unknown } else { Speaks::No };
            Verdict { legacy, asks: true, ..verdict }
        }
        Asked::Discover | Asked::Modern if has_legacy => {
            Verdict { modern, asks: asked == Asked::Modern && !has_modern, ..verdict }
        }
        // It speaks none of the two eras as far as they are known here.
        Asked::Discover if !is_known => {
            Verdict { legacy: Speaks::No, modern: Speaks::No, ..verdict }
        }
        Asked::Discover => verdict,
        Asked::Modern => Verdict { modern: Speaks::Yes, ..verdict },
    }
}

/// A refusal without evidence of the other era.
fn unexplained(asked: Asked) -> Verdict {
    match asked {
        Asked::Initialize | Asked::Modern => Verdict { asks: true, ..Verdict::default() },
        Asked::Discover => Verdict { modern: Speaks::No, ..Verdict::default() },
    }
}

/// The revisions in `data.supported` of an error; `None` without any.
fn supported(error: &str) -> Option<Vec<String>> {
    let data = Object::parse(error)?.get("data")?.get();
    let versions = version_list(Object::parse(data)?.get("supported")?.get())?;
    Some(versions).filter(|versions| !versions.is_empty())
}

fn version_list(json: &str) -> Option<Vec<String>> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Speaks::{No, Unknown, Yes};

    const INITIALIZE_RESULT: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
    const NONE: (Speaks, Speaks, bool) = (Unknown, Unknown, false);
    const ASKS: (Speaks, Speaks, bool) = (Unknown, Unknown, true);

    /// The evidence of a response to each of the three requests about legacy and modern, and whether the server is asked.
    #[track_caller]
    fn check(reply: Reply<'_>, expected: [(Speaks, Speaks, bool); 3]) {
        let all = [Asked::Initialize, Asked::Discover, Asked::Modern].map(|asked| {
            let verdict = verdict(asked, reply);
            (verdict.legacy, verdict.modern, verdict.asks)
        });
        assert_eq!(all, expected, "{reply:?}");
    }

    fn error(code: i64, error: &str) -> Reply<'_> {
        Reply::Error { code, error, status: Some(400) }
    }

    #[test]
    fn results() {
        let no_modern = (Unknown, No, false);
        let modern = (Unknown, Yes, false);
        check(Reply::Result(INITIALIZE_RESULT), [(Yes, Unknown, false), no_modern, NONE]);
        check(Reply::Result("{}"), [NONE, no_modern, NONE]);
        check(Reply::Result(r#"{"resultType":"complete"}"#), [NONE, modern, modern]);
        for (versions, discover) in [
            (r#"["2026-07-28"]"#, modern),
            (r#"["2025-11-25","2026-07-28"]"#, modern),
            (r#"["2025-11-25"]"#, (Yes, No, false)),
            (r#"["2027-03-01","2025-11-25"]"#, (Yes, No, false)),
            (r#"["2027-03-01"]"#, no_modern),
            ("[]", modern),
            ("7", modern),
        ] {
            let result = format!(r#"{{"resultType":"complete","supportedVersions":{versions}}}"#);
            check(Reply::Result(&result), [NONE, discover, modern]);
        }
    }

    #[test]
    fn refused_versions() {
        for (supported, expected) in [
            (r#"["2026-07-28"]"#, [(No, Unknown, true), NONE, (Unknown, Yes, false)]),
            (r#"["2027-03-01"]"#, [(No, Unknown, true), (No, No, false), (Unknown, Yes, false)]),
            (r#"["2026-07-28","2025-11-25"]"#, [ASKS, NONE, NONE]),
            (r#"["2025-11-25","2024-11-05"]"#, [ASKS, (Unknown, No, false), (Unknown, No, true)]),
            ("[]", [ASKS, (Unknown, No, false), ASKS]),
            ("null", [ASKS, (Unknown, No, false), ASKS]),
        ] {
            let text = format!(r#"{{"code":-32022,"data":{{"supported":{supported}}}}}"#);
            check(error(-32022, &text), expected);
        }
    }

    #[test]
    fn other_refusals() {
        let unexplained = [ASKS, (Unknown, No, false), ASKS];
        for code in [-32600, -32601, -32602, -32000, -32603, 7, -32001] {
            check(error(code, "{}"), unexplained);
            check(Reply::Error { code, error: "{}", status: None }, unexplained);
        }
        for code in [-32020, -32021] {
            check(error(code, "{}"), [ASKS, (Unknown, Yes, false), (Unknown, Yes, false)]);
        }
        for status in [400, 404, 405, 406, 410, 415, 422, 426, 501] {
            check(Reply::Refused { status }, unexplained);
        }
        for status in [401, 402, 403, 407, 408, 409, 413, 425, 429, 500, 502, 503, 504, 302] {
            check(Reply::Refused { status }, [NONE; 3]);
            let error = Reply::Error { code: -32022, error: "{}", status: Some(status) };
            check(error, [NONE; 3]);
        }
    }

    #[test]
    fn refusals_of_requests_that_were_not_run() {
        for (reply, expected) in [
            (Reply::Refused { status: 404 }, true),
            (Reply::Error { code: -32603, error: "{}", status: Some(400) }, true),
            (Reply::Error { code: -32601, error: "{}", status: None }, true),
            (Reply::Error { code: -32022, error: "{}", status: None }, true),
            (Reply::Error { code: -32603, error: "{}", status: None }, false),
            (Reply::Error { code: -32601, error: "{}", status: Some(500) }, false),
        ] {
            assert_eq!(verdict(Asked::Modern, reply).was_not_run, expected, "{reply:?}");
        }
    }

    #[test]
    fn refusals_of_a_server_that_was_replaced() {
        let legacy = r#"{"data":{"supported":["2025-11-25"]}}"#;
        let both = r#"{"data":{"supported":["2025-11-25","2026-07-28"]}}"#;
        for (reply, expected) in [
            (error(-32022, legacy), true),
            (error(-32022, both), false),
            (error(-32000, "{}"), true),
            (error(-32600, "{}"), true),
            (error(-32602, "{}"), false),
            (error(-32601, "{}"), false),
            (Reply::Error { code: -32000, error: "{}", status: None }, false),
            (Reply::Error { code: -32000, error: "{}", status: Some(503) }, false),
            (Reply::Refused { status: 404 }, true),
            (Reply::Refused { status: 403 }, false),
            (Reply::Result("{}"), false),
        ] {
            assert_eq!(is_of_legacy_server(reply), expected, "{reply:?}");
        }
    }

    #[test]
    fn what_is_known_changes_by_news_alone() {
        let mut known = Known::default();
        let result = Reply::Result(r#"{"supportedVersions":["2026-07-28"]}"#);
        verdict(Asked::Discover, result).apply(&mut known);
        verdict(Asked::Modern, Reply::Result("{}")).apply(&mut known);
        assert_eq!((known.legacy, known.modern), (Unknown, Yes));
        assert!(known.discovered.is_some());
    }

    #[test]
    fn a_server_that_stops_speaking_an_era_has_nothing_discovered() {
        let mut known = Known::default();
        let result = r#"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#;
        verdict(Asked::Discover, Reply::Result(result)).apply(&mut known);
        assert!(known.modern == Yes && known.discovered.is_some());
        verdict(Asked::Discover, Reply::Result("{}")).apply(&mut known);
        assert!(known.modern == No && known.discovered.is_none());
    }
}
