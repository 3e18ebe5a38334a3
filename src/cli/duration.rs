//! Durations as users write them: Go's (`1m30s`, `500ms`) or plain seconds (`180`, `1.5`).

use crate::error::{Error, Kind};
use std::time::Duration;

/// Parses a duration; `None`: no limit, which is written as zero or `none`.
///
/// Fractions of a nanosecond are rounded up, so that a tiny duration does not become "no limit".
pub(crate) fn parse(text: &str) -> Result<Option<Duration>, Error> {
    let invalid = || {
        Error::new(Kind::Usage, format!("invalid duration: {text}"))
            .hint("write 30s, 1m30s, 500ms or plain seconds such as 180; 0 means no limit")
    };
    let too_long = || {
        Error::new(Kind::Usage, format!("duration too long: {text}"))
            .hint("the maximum is 2562047h (292 years); 0 means no limit")
    };
    if text == "none" {
        return Ok(None);
    }
    if text.starts_with('-') {
        return Err(Error::new(Kind::Usage, format!("a duration cannot be negative: {text}"))
            .hint("0 means no limit"));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: u128 = 0;
    loop {
        let (number, after) = split_number(rest).ok_or_else(invalid)?;
        // Plain seconds only alone: `1m30` is ambiguous.
        let (unit, after) = match split_unit(after) {
            Some(found) => found,
            None if after.is_empty() && total == 0 && !text.contains(char::is_alphabetic) => {
                (SECOND, "")
            }
            None => return Err(invalid()),
        };
        total = number.times(unit).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    // Go's own bound. It also keeps every `Instant + Duration` within range.
    let nanoseconds = i64::try_from(total).map_err(|_| too_long())?;
    Ok((nanoseconds != 0).then(|| Duration::from_nanos(nanoseconds.unsigned_abs())))
}

/// The digits on both sides of a decimal point.
struct Number<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl Number<'_> {
    /// In nanoseconds, rounded up; `None` when out of range.
    fn times(&self, unit: u128) -> Option<u128> {
        let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
        let whole = digits(self.whole)?.checked_mul(unit)?;
        // An hour has 3.6e12 ns: more than eighteen digits make no difference, and the product fits.
        let fraction = self.fraction.get(..18).unwrap_or(self.fraction);
        let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        whole.checked_add((digits(fraction)? * unit).div_ceil(power))
    }
}

const SECOND: u128 = 1_000_000_000;

fn split_unit(text: &str) -> Option<(u128, &str)> {
    let end = text.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(text.len());
    let unit = match &text[..end] {
        "ns" => 1,
        // Both Unicode spellings of micro, as in Go.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        _ => return None,
    };
    Some((unit, &text[end..]))
}

fn split_number(text: &str) -> Option<(Number<'_>, &str)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    (!whole.is_empty() || !fraction.is_empty()).then_some((Number { whole, fraction }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_durations_and_plain_seconds() {
        let check = |text: &str, nanoseconds: u64| {
            let expected = (nanoseconds != 0).then(|| Duration::from_nanos(nanoseconds));
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        };
        let second = 1_000_000_000;
        check("30s", 30 * second);
        check("1m30s", 90 * second);
        check("1h", 3_600 * second);
        check("1h2m3s", 3_723 * second);
        check("500ms", second / 2);
        check("2us", 2_000);
        check("2\u{b5}s", 2_000);
        check("2\u{3bc}s", 2_000);
        check("7ns", 7);
        check("1.5h", 5_400 * second);
        check(".5s", second / 2);
        check("1.s", second);
        check("+5s", 5 * second);
        check("180", 180 * second);
        check("1.5", 1_500_000_000);
        check("0", 0);
        check("0s", 0);
        check("0h0m", 0);
        check("0.0", 0);
        check("0.1ns", 1);
        check("0.3333333333333333333333333333s", 333_333_334);
        check("9223372036854775807ns", i64::MAX.unsigned_abs());
        check("2562047h", 2_562_047 * 3_600 * second);
    }

    #[test]
    fn junk_is_refused_with_a_reason() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(expected), "{text}: {error}");
        };
        check("-5s", "cannot be negative");
        check("-1", "cannot be negative");
        check("9223372036854775808ns", "too long");
        check("2562048h", "too long");
        check("340282366920938463463374607431768211456", "too long");
        check("340282366920938463463374607431768211455h", "too long");
        for text in [
            "", ".", "s", "5x", "5 s", "1m30", "30 ", "1e3", "1d", "0x10", "1,5", "++5", ".s",
            "1..5s", "5S", "٣s", "∞", "1s1", "0s1",
        ] {
            check(text, "invalid duration");
        }
    }
}
