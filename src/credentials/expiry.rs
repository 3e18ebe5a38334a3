//! When credentials expire, and when to refresh them. Pure.
//!
//! The times come from files, programs and servers, so nothing here can overflow: a time beyond the calendar counts as its
//! first or last moment.

use std::time::Duration;

use serde_json::Value;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::parsing::Parsed;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use crate::random;

/// Credentials are refreshed in the background this long before they expire.
const REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The maximum random delay, so that processes that started together do not refresh together.
const MAX_JITTER: Duration = Duration::from_secs(60);

/// The shortest time between refreshes, for sources that return the same credentials until they expire.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// Date and time of day as ISO 8601 has them: extended or basic, without a fraction.
const ISO_8601: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year][first [-[month]-] [[month]]][day][optional [[first [T] [t] [ ]]]][hour]\
     [optional [[optional [:]][minute][optional [[optional [:]][second]]]]]"
);

/// Date and time of day as mail and HTTP headers have them.
const RFC_1123: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[optional [[weekday repr:short case_sensitive:false], ]][day padding:none] \
     [month repr:short case_sensitive:false] [year] [hour]:[minute][optional [:[second]]]"
);

/// `+05:30`, `+0530` and `+05`.
const UTC_OFFSET: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[offset_hour sign:mandatory][optional [[optional [:]][offset_minute]]]"
);

/// Parses ISO 8601 or RFC 1123, as liberally as botocore, since programs that provide credentials write different forms.
/// The offset from UTC is required: a local time could be that of another machine.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    // A year with a sign is in neither format.
    if text.starts_with(['+', '-']) {
        return None;
    }
    let mut parsed = Parsed::new();
    let rest = parsed.parse_items(text.as_bytes(), ISO_8601).or_else(|_| {
        parsed = Parsed::new();
        parsed.parse_items(text.as_bytes(), RFC_1123)
    });
    let rest = text.get(text.len() - rest.ok()?.len()..)?;
    let (fraction, rest) = split_fraction(rest)?;
    let unit = match (parsed.minute(), parsed.second()) {
        (Some(_), Some(_)) => time::Duration::SECOND,
        (Some(_), None) => time::Duration::MINUTE,
        (None, _) => time::Duration::HOUR,
    };
    let local = PrimitiveDateTime::try_from(parsed).ok()?.saturating_add(unit * fraction);
    let time = local.assume_offset(utc_offset(rest.trim_start())?);
    // `9999-12-31T23:59:59-23:59` is in no year that UTC has.
    Some(time.checked_to_offset(UtcOffset::UTC).unwrap_or_else(|| end_of_time(time.year() > 0)))
}

/// Splits off a decimal fraction after a point or a comma; 0 if there is none.
fn split_fraction(text: &str) -> Option<(f64, &str)> {
    let Some(digits) = text.strip_prefix(['.', ',']) else { return Some((0.0, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let fraction = format!("0.{}", &digits[..end]).parse().ok().filter(|_| end > 0)?;
    Some((fraction, &digits[end..]))
}

fn utc_offset(text: &str) -> Option<UtcOffset> {
    if ["Z", "UTC", "GMT", "UT"].iter().any(|name| name.eq_ignore_ascii_case(text)) {
        return Some(UtcOffset::UTC);
    }
    UtcOffset::parse(text, UTC_OFFSET).ok()
}

/// Formats a time in RFC 3339, in whole seconds.
pub(crate) fn format(time: OffsetDateTime) -> String {
    let seconds = time.replace_nanosecond(0).unwrap_or(time);
    seconds.format(&Rfc3339).unwrap_or_default()
}

/// Converts milliseconds since 1970.
pub(crate) fn of_unix_millis(value: &Value) -> Option<OffsetDateTime> {
    Some(since_1970(number(value)? / 1000.0))
}

/// Converts seconds since 1970.
pub(crate) fn of_unix_seconds(value: &Value) -> Option<OffsetDateTime> {
    number(value).map(since_1970)
}

fn since_1970(seconds: f64) -> OffsetDateTime {
    let whole = time::Duration::saturating_seconds_f64(seconds.floor());
    OffsetDateTime::UNIX_EPOCH.saturating_add(whole)
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

/// Whether `at` was less than `limit` ago. False if it lies in the future: the clock has been set back since.
pub(crate) fn is_recent(at: OffsetDateTime, now: OffsetDateTime, limit: Duration) -> bool {
    now >= at && left(now, at) < limit
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
    fn times_in_every_form() {
        let at = datetime!(2030-01-02 03:04:05 UTC);
        for text in [
            "2030-01-02T03:04:05Z",
            "2030-01-02t03:04:05z",
            " 2030-01-02 03:04:05 UTC\n",
            "2030-01-02T03:04:05UTC",
            "2030-01-02T03:04:05+00",
            "2030-01-02T03:04:05+0000",
            "2030-01-02T03:04:05-00:00",
            "2030-01-02 03:04:05 +0000",
            "2030-01-02T08:34:05+0530",
            "2030-01-01T20:04:05-0700",
            "2030-01-01T20:04:05-07",
            "2030-01-02T05:04:05.000+02:00",
            "2030-01-02T03:04:05,000Z",
            "20300102T030405Z",
            "20300102030405Z",
            "20300102T030405+0000",
            "20300102T03:04:05Z",
            "2030-01-02T030405Z",
            "Wed, 02 Jan 2030 03:04:05 GMT",
            "Wed, 2 Jan 2030 03:04:05 +0000",
            "02 jan 2030 03:04:05 gmt",
            "Tue, 01 Jan 2030 20:04:05 -07:00",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        let minute = at.replace_second(0).unwrap();
        for text in ["2030-01-02T03:04Z", "20300102T0304-0000", "Wed, 02 Jan 2030 03:04 GMT"] {
            assert_eq!(parse(text), Some(minute), "{text}");
        }
        assert_eq!(parse("2030-01-02T03+00"), minute.replace_minute(0).ok());
        assert_eq!(parse("2030-01-02T03:04.5Z"), minute.replace_second(30).ok());
        let nanos = ["2030-01-02T03:04:05.123456789Z", "20300102T030405,12345678900000000001Z"];
        for text in nanos {
            assert_eq!(parse(text), at.replace_nanosecond(123_456_789).ok(), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time() {
        for text in [
            "soon",
            "",
            "UTC",
            "-1",
            "9223372036854775808",
            "2030-01-02",
            "2030-01-02T03:04:05",
            "2030-01-02T03:04:05.Z",
            "2030-01-02T03:04:05+24:00:00",
            "2030-01-02T03:04:05 EST",
            "2030-01-02T03:04:05Z!",
            "2030-02-30T03:04:05Z",
            "2030-01-02T25:61:61Z",
            "2030-0102T03:04:05Z",
            "20é0-01-02T03:04:05Z",
            "2030-01-02T03:04:05é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_in_milliseconds() {
        for value in [
            json!(1_893_456_000_000_i64),
            json!(1.893_456e12),
            json!(1_893_456_000_000.75),
            json!("1893456000000"),
            json!(" 1.893456e12"),
        ] {
            assert_eq!(of_unix_millis(&value), Some(NOW), "{value}");
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
            "9999-12-31T23:59:59.99999999999999999999-23:59",
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
