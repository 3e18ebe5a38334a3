//! Dates of HTTP headers: `Date` and `Retry-After`. Pure; no value can overflow.

use std::time::Duration;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Reads a date (RFC 9110 §5.6.7), in the one form that is still sent.
pub(crate) fn parse_date(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    PrimitiveDateTime::parse(text.trim(), format).ok().map(PrimitiveDateTime::assume_utc)
}

/// Reads `Retry-After`, in seconds or as a date; `now` is the server's time.
pub(crate) fn parse_retry_after(text: &str, now: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number holds still mean a wait.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    Some(Duration::try_from(parse_date(text)? - now).unwrap_or_default())
}

/// Reads `x-amz-retry-after`, which counts milliseconds.
pub(crate) fn parse_retry_after_millis(text: &str) -> Option<Duration> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().map_or(Duration::MAX, Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    #[test]
    fn dates_and_waits() {
        assert_eq!(parse_date("Fri, 02 Jan 2026 03:04:05 GMT"), Some(NOW));
        for (text, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Fri, 02 Jan 2026 03:04:15 GMT", Some(10)),
            ("Fri, 02 Jan 2026 03:04:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let wait = parse_retry_after(text, NOW).map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{text}");
        }
        assert_eq!(parse_retry_after_millis("1500"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_retry_after_millis("1.5"), None);
    }

    #[test]
    fn absurd_values_are_long_waits_or_none() {
        for text in ["9223372036854775808", "18446744073709551615", "99999999999999999999999999"] {
            assert!(parse_retry_after(text, NOW) >= Some(Duration::from_secs(1 << 62)), "{text}");
            assert!(parse_retry_after_millis(text) >= Some(Duration::from_secs(1 << 50)), "{text}");
        }
        let end = "Fri, 31 Dec 9999 23:59:59 GMT";
        assert!(parse_retry_after(end, NOW) > Some(Duration::from_secs(200_000_000_000)));
        let earliest = time::PrimitiveDateTime::MIN.assume_utc();
        assert!(parse_retry_after(end, earliest).is_some());
        assert_eq!(parse_retry_after("Sat, 01 Jan 0000 00:00:00 GMT", NOW), Some(Duration::ZERO));
        for text in ["1e308", "-5", "-0", "+7", "NaN", "Thu, 32 Foo 20261 25:61:61 XYZ"] {
            assert_eq!(parse_retry_after(text, NOW), None, "{text}");
            assert_eq!(parse_retry_after_millis(text), None, "{text}");
        }
    }
}
