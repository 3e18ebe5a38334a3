//! When credentials expire, and when to refresh them. Pure.
//!
//! The times come from files, programs and servers, so nothing here can overflow: a time beyond the calendar counts as its
//! first or last moment.

use std::time::Duration;

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use crate::random;

/// Credentials are refreshed in the background this long before they expire.
const REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The maximum random delay, so that processes that started together do not refresh together.
const MAX_JITTER: Duration = Duration::from_secs(60);

/// The shortest time between refreshes, for sources that return the same credentials until they expire.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// Parses RFC 3339, also with `UTC` in place of `Z`, as older AWS tools write it.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let time = match text.strip_suffix("UTC") {
        Some(local) => OffsetDateTime::parse(&format!("{local}Z"), &Rfc3339),
        None => OffsetDateTime::parse(text, &Rfc3339),
    };
    let time = time.ok()?;
    // `9999-12-31T23:59:59-23:59` is in no year that UTC has.
    Some(time.checked_to_offset(UtcOffset::UTC).unwrap_or_else(|| end_of_time(time.year() > 0)))
}

/// Formats a time in RFC 3339, in whole seconds.
pub(crate) fn format(time: OffsetDateTime) -> String {
    let seconds = time.replace_nanosecond(0).unwrap_or(time);
    seconds.format(&Rfc3339).unwrap_or_default()
}

/// Converts milliseconds since 1970.
pub(crate) fn of_unix_millis(value: &Value) -> Option<OffsetDateTime> {
    let seconds = time::Duration::saturating_seconds_f64((number(value)? / 1000.0).floor());
    Some(OffsetDateTime::UNIX_EPOCH.saturating_add(seconds))
}

/// Converts a lifetime in seconds.
pub(crate) fn lifetime(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(number(value)?).ok()
}

/// A number, also with a fraction, an exponent or in quotes: not every implementation of AWS's services writes integers.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// The time from `now` to `expires`; zero if that has passed.
pub(crate) fn left(expires: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(expires - now).unwrap_or_default()
}

/// The time `wait` after `time`.
pub(crate) fn after(time: OffsetDateTime, wait: Duration) -> OffsetDateTime {
    time.saturating_add(time::Duration::try_from(wait).unwrap_or(time::Duration::MAX))
}

/// When to refresh credentials that are valid for `left`; never if that is `None`.
pub(crate) fn refresh_at(now: OffsetDateTime, left: Option<Duration>) -> Option<OffsetDateTime> {
    let left = left?;
    let wait = match left.checked_sub(2 * REFRESH_MARGIN) {
        Some(more) => more + REFRESH_MARGIN + random::up_to(MAX_JITTER),
        None => left / 2,
    };
    Some(after(now, wait.max(MIN_REFRESH_INTERVAL)))
}

fn end_of_time(is_future: bool) -> OffsetDateTime {
    if is_future { PrimitiveDateTime::MAX } else { PrimitiveDateTime::MIN }.assume_utc()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    #[test]
    fn times() {
        for text in
            ["2030-01-01T00:00:00Z", "2030-01-01T00:00:00UTC", "2030-01-01T02:00:00.000+02:00"]
        {
            assert_eq!(parse(text), Some(NOW), "{text}");
        }
        for value in [
            json!(1_893_456_000_000_i64),
            json!(1.893_456e12),
            json!(1_893_456_000_000.75),
            json!("1893456000000"),
            json!(" 1.893456e12"),
        ] {
            assert_eq!(of_unix_millis(&value), Some(NOW), "{value}");
        }
        for text in ["soon", "", "UTC", "-1", "9223372036854775808", "2030-02-30T25:61:61Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
        for value in [json!("soon"), json!(""), json!("inf"), json!(null), json!([1])] {
            assert_eq!(of_unix_millis(&value), None, "{value}");
        }
    }

    #[test]
    fn lifetimes() {
        for value in [json!(900), json!(900.0), json!(9e2), json!("900"), json!("9.0e2")] {
            assert_eq!(lifetime(&value), Some(Duration::from_secs(900)), "{value}");
        }
        for value in [json!(-1), json!("soon"), json!(1e300), json!("NaN"), json!({})] {
            assert_eq!(lifetime(&value), None, "{value}");
        }
    }

    #[test]
    fn credentials_are_refreshed_before_they_expire() {
        let wait = |lasts: u64| {
            let at = refresh_at(NOW, Some(Duration::from_secs(lasts))).unwrap() - NOW;
            at.whole_seconds()
        };
        assert!((3300..=3360).contains(&wait(3600)), "{}", wait(3600));
        assert_eq!((wait(599), wait(100), wait(1), wait(0)), (299, 50, 30, 30));
        assert_eq!(refresh_at(NOW, None), None);
    }

    #[test]
    fn absurd_times_are_far_away_and_overflow_nothing() {
        let texts = [
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-23:59",
            "9999-12-31T23:59:59.999999999-23:59",
            "0000-01-01T00:00:00Z",
            "0000-01-01T00:00:00+23:59",
            "99999999999-12-31T23:59:59Z",
        ];
        let numbers = [
            json!(0),
            json!(-1),
            json!(i64::MAX),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(1_u64 << 63),
            json!(1e308),
            json!(-1e308),
            json!(0.5),
        ];
        let ends = texts.iter().filter_map(|text| parse(text));
        let ends: Vec<_> = ends.chain(numbers.iter().filter_map(of_unix_millis)).collect();
        assert_eq!(ends.len(), texts.len() - 1 + numbers.len());
        for now in [NOW, end_of_time(false), end_of_time(true)] {
            for expires in &ends {
                let left = left(*expires, now);
                assert_eq!(left.is_zero(), *expires <= now, "{expires}");
                assert!(refresh_at(now, Some(left)).is_some_and(|at| at >= now), "{expires}");
            }
            assert_eq!(after(now, Duration::MAX), end_of_time(true));
        }
        let is_over = |expires| left(expires, NOW).is_zero();
        assert!(
            !is_over(parse(texts[1]).unwrap()) && !is_over(of_unix_millis(&numbers[4]).unwrap())
        );
        assert!(is_over(parse(texts[4]).unwrap()) && is_over(of_unix_millis(&numbers[7]).unwrap()));
    }
}
