//! Parsers of single values: switches, sizes, counts, regions, service names, log levels.

use crate::aws::region::{is_host_label, meant_region};
use crate::aws::runtime_session::{ID_LENGTHS, RuntimeSession};
use crate::cli::options::{BridgeMode, LoginMode};
use crate::error::{Error, Kind};
use crate::log::{Format, Level};
use crate::signing::{Algorithm, Secret};

pub(crate) fn switch(text: &str) -> Result<bool, Error> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(invalid(
            format!("not a boolean: {text}"),
            "write true, yes, on, 1 or false, no, off, 0",
        )),
    }
}

/// Bytes. As in GNU's tools, `K` and `KiB` are 1024, `KB` is 1000.
pub(crate) fn size(text: &str) -> Result<usize, Error> {
    let fix = "write bytes, or a size such as 64K, 64MiB or 64MB; at least 1";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1_000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        _ => return Err(invalid(format!("not a size: {text}"), fix)),
    };
    if number.is_empty() {
        return Err(invalid(format!("not a size: {text}"), fix));
    }
    // No buffer can be larger than `isize::MAX`.
    let most = isize::MAX.unsigned_abs();
    match number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(0) => Err(invalid(format!("too small: {text}"), fix)),
        Some(bytes) if bytes <= most => Ok(bytes),
        _ => Err(invalid(format!("too large: {text}"), fix)),
    }
}

/// A number of concurrent requests. The bound keeps a typo from starting a million threads.
pub(crate) fn count(text: &str) -> Result<usize, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(count) if digits && (1..=1024).contains(&count) => Ok(count),
        _ => Err(invalid(format!("not a number from 1 to 1024: {text}"), "256 is usual")),
    }
}

/// When messages are translated.
pub(crate) fn bridge_mode(text: &str) -> Result<BridgeMode, Error> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(BridgeMode::Auto),
        "always" => Ok(BridgeMode::Always),
        "off" => Ok(BridgeMode::Off),
        _ => Err(invalid(format!("unknown mode: {text}"), "write auto, always or off")),
    }
}

/// A number of additional attempts.
pub(crate) fn retries(text: &str) -> Result<u32, Error> {
    match text.parse() {
        Ok(count @ 0..=10) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(count),
        _ => Err(invalid(format!("not a number from 0 to 10: {text}"), "3 is usual")),
    }
}

/// One region, or with v4a a region set without spaces.
pub(crate) fn region(text: &str, algorithm: Algorithm) -> Result<String, Error> {
    if algorithm == Algorithm::V4 {
        if text.contains([',', '*']) {
            let fix = "use one region, or sign with --sig-version v4a";
            return Err(invalid(format!("{text} is a region set"), fix));
        }
        return label(text.trim(), false).map(str::to_owned);
    }
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    for item in &items {
        if item.is_empty() {
            let fix = "write us-east-1,eu-west-1 or * for all";
            return Err(invalid("empty entry in region set".to_owned(), fix));
        }
        label(item, true)?;
    }
    Ok(items.join(","))
}

/// A region becomes part of host names, so it must be a DNS label; in a set it may also be a glob.
fn label(text: &str, glob: bool) -> Result<&str, Error> {
    let is_label = if glob { is_host_label(&text.replace('*', "x")) } else { is_host_label(text) };
    let lower = text.to_ascii_lowercase();
    if is_label && lower == text {
        return Ok(text);
    }
    let hint = match meant_region(text) {
        Some(region) => format!("did you mean {region}?"),
        None if is_label => format!("did you mean {lower}?"),
        None => "write it like us-east-1".to_owned(),
    };
    Err(invalid(format!("not a region: {}", text.escape_debug()), &hint))
}

pub(crate) fn service(text: &str) -> Result<String, Error> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_allowed) {
        return Ok(text.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let fix = if lower != text && lower.len() <= 64 && lower.bytes().all(is_allowed) {
        format!("did you mean {lower}?")
    } else {
        "write the signing name in lower-case letters, digits and -, such as execute-api".to_owned()
    };
    Err(invalid(format!("not a service name: {}", text.escape_debug()), &fix))
}

/// `arn:PARTITION:iam::ACCOUNT:role/NAME`.
pub(crate) fn role_arn(text: &str) -> Result<String, Error> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "iam", "", account, role]
            if !partition.is_empty()
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty())
                && role.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Error::new(Kind::Usage, format!("not the ARN of a role: {text}"))
            .hint("write arn:aws:iam::ACCOUNT:role/NAME")),
    }
}

/// An external id as STS accepts it. Some users treat it as a secret, so it is not shown.
pub(crate) fn external_id(text: &str) -> Result<String, Error> {
    named(text, 2..=1224, b"_+=,.@:/-").ok_or_else(|| {
        Error::new(Kind::Usage, "not an external ID")
            .hint("2 to 1224 letters, digits and _+=,.@:/-")
    })
}

/// A role session name as STS accepts it.
pub(crate) fn session_name(text: &str) -> Result<String, Error> {
    named(text, 2..=64, b"_+=,.@-").ok_or_else(|| {
        Error::new(Kind::Usage, format!("not a session name: {text}"))
            .hint("2 to 64 letters, digits and _+=,.@-")
    })
}

/// A runtime session; the words of other proxies too. An id is as good as a secret, so it is not shown.
pub(crate) fn runtime_session(text: &str) -> Result<RuntimeSession, Error> {
    match text.to_ascii_lowercase().as_str() {
        "auto" | "session" => return Ok(RuntimeSession::Auto),
        "off" | "request" => return Ok(RuntimeSession::Off),
        "identity" => return Ok(RuntimeSession::Identity),
        _ => {}
    }
    let id = named(text, ID_LENGTHS, b"-_");
    id.map(|id| RuntimeSession::Fixed(Secret::new(id))).ok_or_else(|| {
        Error::new(Kind::Usage, "not a runtime session")
            .hint("auto, off, identity, or an id of 33 to 256 letters, digits, - and _")
    })
}

fn named(text: &str, lengths: std::ops::RangeInclusive<usize>, signs: &[u8]) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || signs.contains(&b);
    (lengths.contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

/// A log level; Python's names too. Nothing here is worse than an error, so `CRITICAL` means `error`.
pub(crate) fn log_level(text: &str) -> Result<Level, Error> {
    match text.to_ascii_lowercase().as_str() {
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warn),
        "critical" | "error" => Ok(Level::Error),
        "silent" => Ok(Level::Silent),
        _ => {
            Err(invalid(format!("unknown log level: {text}"), "debug, info, warn, error or silent"))
        }
    }
}

/// What a call does when a sign-in is needed.
pub(crate) fn login(text: &str) -> Result<LoginMode, Error> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(LoginMode::Auto),
        "browser" => Ok(LoginMode::Browser),
        "off" => Ok(LoginMode::Off),
        _ => Err(invalid(format!("unknown login mode: {text}"), "auto, browser or off")),
    }
}

pub(crate) fn log_format(text: &str) -> Result<Format, Error> {
    match text.to_ascii_lowercase().as_str() {
        "json" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        _ => Err(invalid(format!("unknown log format: {text}"), "text or json")),
    }
}

pub(crate) fn invalid(what: String, fix: &str) -> Error {
    Error::new(Kind::Usage, what).hint(fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn same<T: Debug + PartialEq>(text: &str, result: Result<T, Error>, expected: &T) {
        assert_eq!(&result.unwrap_or_else(|error| panic!("{text}: {error}")), expected, "{text}");
    }

    fn refused<T: Debug>(text: &str, result: Result<T, Error>, expected: &str) {
        let error = result.expect_err(text);
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }

    #[test]
    fn switches() {
        for text in ["1", "true", "TRUE", "Yes", "on"] {
            same(text, switch(text), &true);
        }
        for text in ["0", "false", "False", "no", "OFF"] {
            same(text, switch(text), &false);
        }
        for text in ["", "2", "y", "enabled"] {
            refused(text, switch(text), "not a boolean");
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, expected: usize| same(text, size(text), &expected);
        check("1", 1);
        check("4096", 4096);
        check("512b", 512);
        check("64K", 65_536);
        check("64k", 65_536);
        check("64KiB", 65_536);
        check("64KB", 64_000);
        check("64M", 67_108_864);
        check("64MiB", 67_108_864);
        check("64 MiB", 67_108_864);
        check("64MB", 64_000_000);
        check("1G", 1_073_741_824);
        check("1gb", 1_000_000_000);
        for text in ["", "MiB", "-1", "+1", "1.5M", "1T", "1 2", "0x10", "64MiBs", "٣"] {
            refused(text, size(text), "not a size");
        }
        refused("0", size("0"), "too small");
        refused("0K", size("0K"), "too small");
        for text in ["9223372036854775808", "99999999999G", "99999999999999999999999"] {
            refused(text, size(text), "too large");
        }
    }

    #[test]
    fn counts() {
        same("1", count("1"), &1);
        same("1024", count("1024"), &1024);
        for text in ["", "0", "1025", "-1", "+1", "1.5", "many", "99999999999999999999"] {
            refused(text, count(text), "1 to 1024");
        }
    }

    #[test]
    fn one_region() {
        for text in ["us-east-1", "us-gov-west-1", "local", "a", "region-with-1-more"] {
            same(text, region(text, Algorithm::V4), &text.to_owned());
        }
        same("trimmed", region(" us-east-1 ", Algorithm::V4), &"us-east-1".to_owned());
        for text in ["US-EAST-1", "USEAST1", "Us-Eats-1"] {
            refused(text, region(text, Algorithm::V4), "did you mean us-east-1?");
        }
        refused("a,b", region("a,b", Algorithm::V4), "--sig-version v4a");
        refused("*", region("*", Algorithm::V4), "--sig-version v4a");
        let long = "a".repeat(64);
        for text in
            ["-us", "us-", "12", "us east", "us_east_1", "us.east", "us/east", "x@evil", &long, ""]
        {
            refused(text, region(text, Algorithm::V4), "not a region");
        }
        same("63", region(&long[1..], Algorithm::V4), &long[1..].to_owned());
    }

    #[test]
    fn region_sets() {
        let check = |text: &str, expected: &str| {
            same(text, region(text, Algorithm::V4a), &expected.to_owned());
        };
        check("us-east-1", "us-east-1");
        check("us-east-1,eu-west-1", "us-east-1,eu-west-1");
        check(" us-east-1 , eu-west-1 ", "us-east-1,eu-west-1");
        check("*", "*");
        check("eu-*,us-*-1", "eu-*,us-*-1");
        for text in ["", ",", " , ", "a,,b", "a,"] {
            refused(text, region(text, Algorithm::V4a), "empty entry");
        }
        refused("a,B", region("a,B", Algorithm::V4a), "did you mean b?");
        refused("a,b c", region("a,b c", Algorithm::V4a), "not a region: b c");
        refused("a,12", region("a,12", Algorithm::V4a), "not a region: 12");
    }

    #[test]
    fn services() {
        for text in ["execute-api", "s3", "vpc-lattice-svcs"] {
            same(text, service(text), &text.to_owned());
        }
        refused("S3", service("S3"), "did you mean s3?");
        let long = "a".repeat(65);
        for text in ["", "a b", "a/b", "a.b", "a_b", &long] {
            refused(text, service(text), "such as execute-api");
        }
    }

    #[test]
    fn runtime_sessions() {
        for (text, session) in [
            ("auto", RuntimeSession::Auto),
            ("Session", RuntimeSession::Auto),
            ("OFF", RuntimeSession::Off),
            ("request", RuntimeSession::Off),
            ("identity", RuntimeSession::Identity),
        ] {
            same(text, runtime_session(text), &session);
        }
        for id in ["a-Z_9".repeat(7), "x".repeat(33), "x".repeat(256)] {
            same(&id, runtime_session(&id), &RuntimeSession::Fixed(Secret::new(id.clone())));
        }
        for text in ["", "on", &"x".repeat(32), &"x".repeat(257), &format!("{} ", "x".repeat(40))] {
            refused(text, runtime_session(text), "not a runtime session (auto, off, identity");
        }
    }

    #[test]
    fn the_logs_words() {
        for (text, level) in [
            ("debug", Level::Debug),
            ("INFO", Level::Info),
            ("warn", Level::Warn),
            ("WARNING", Level::Warn),
            ("error", Level::Error),
            ("CRITICAL", Level::Error),
            ("Silent", Level::Silent),
        ] {
            same(text, log_level(text), &level);
        }
        refused("loud", log_level("loud"), "unknown log level: loud");
        same("json", log_format("json"), &Format::Json);
        same("TEXT", log_format("TEXT"), &Format::Text);
        refused("xml", log_format("xml"), "text or json");
    }
}
