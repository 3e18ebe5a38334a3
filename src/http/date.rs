//! Dates of HTTP headers: `Date`, `Retry-After` and `Set-Cookie`. Pure; no value can overflow.

use std::time::Duration;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// The form of dates that is still sent (RFC 9110 §5.6.7).
const IMF_FIXDATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// Reads a date, also in the two obsolete forms, which are among those of cookies.
pub(crate) fn parse_date(text: &str) -> Option<OffsetDateTime> {
    let date =
        PrimitiveDateTime::parse(text.trim(), IMF_FIXDATE).map(PrimitiveDateTime::assume_utc);
    date.ok().or_else(|| parse_cookie_date(text))
}

/// Writes a date, which is in UTC.
pub(crate) fn write_date(out: &mut Vec<u8>, date: OffsetDateTime) {
    date.format_into(out, IMF_FIXDATE).expect("a vector takes all, and a UTC time has all parts");
}

/// Reads the date of a cookie (RFC 6265 §5.1.1), which servers write in many ways: its parts in any order.
pub(crate) fn parse_cookie_date(text: &str) -> Option<OffsetDateTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':') {
        let number = || token.parse::<u16>().ok().filter(|_| token.len() <= 4);
        if time.is_none() && token.contains(':') {
            time = time_of_day(token);
        } else if month.is_none() && token.len() >= 3 && token.as_bytes()[0].is_ascii_alphabetic() {
            month = month_of(token);
        } else if day.is_none() && token.len() <= 2 {
            day = number().and_then(|day| u8::try_from(day).ok());
        } else if year.is_none() && token.len() >= 2 {
            year = number();
        }
    }
    let year = match i32::from(year?) {
        year @ 0..=69 => year + 2000,
        year @ 70..=99 => year + 1900,
        year => year,
    };
    let date = Date::from_calendar_date(year, month?, day?).ok()?;
    Some(PrimitiveDateTime::new(date, time?).assume_utc())
}

fn time_of_day(token: &str) -> Option<Time> {
    let mut parts = token.split(':').map(|part| part.parse::<u8>().ok());
    Time::from_hms(parts.next()??, parts.next()??, parts.next()??).ok()
}

fn month_of(token: &str) -> Option<Month> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let name = token.get(..3)?;
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    Month::try_from(u8::try_from(at + 1).ok()?).ok()
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
        let date = "Fri, 02 Jan 2026 03:04:05 GMT";
        assert_eq!(parse_date(date), Some(NOW));
        let mut written = Vec::new();
        write_date(&mut written, NOW);
        assert_eq!(written, date.as_bytes());
        for (text, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Fri, 02 Jan 2026 03:04:15 GMT", Some(10)),
            ("Fri, 02 Jan 2026 03:04:00 GMT", Some(0)),
            ("Friday, 02-Jan-26 03:04:15 GMT", Some(10)),
            ("Fri Jan  2 03:04:15 2026", Some(10)),
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
    fn dates_of_cookies_as_servers_write_them() {
        for text in [
            "Fri, 02 Jan 2026 03:04:05 GMT",
            "Fri, 02-Jan-2026 03:04:05 GMT",
            "Friday, 02-Jan-26 03:04:05 GMT",
            "Fri Jan  2 03:04:05 2026",
            "2 january 2026 3:04:05",
        ] {
            assert_eq!(parse_cookie_date(text), Some(NOW), "{text}");
        }
        let past = parse_cookie_date("Thu, 01-Jan-70 00:00:00 GMT");
        assert_eq!(past, Some(OffsetDateTime::UNIX_EPOCH));
        for text in ["", "later", "0", "Fri, 32 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026", "é"] {
            assert_eq!(parse_cookie_date(text), None, "{text}");
        }
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
