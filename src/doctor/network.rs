//! The checks from this machine to an encrypted connection: proxy, DNS, TCP, TLS.

use crate::clock;
use crate::doctor::latency::Latency;
use crate::doctor::report::{Check, Finding, Report, Verdict};
use crate::error::Error;
use crate::http::{Handshake, Probe};
use std::io;
use std::time::{Duration, Instant};
use time::format_description::well_known::Rfc3339;

/// Remaining validity of a certificate below which the check warns.
const CERTIFICATE_WARNING: Duration = Duration::from_secs(7 * 24 * 3600);

const NO_SUCH_PROXY: &str = "the proxy cannot be used";
const NOT_FOUND: &str = "the host was not found";
const NOT_REACHED: &str = "the server is unreachable";
const NOT_TRUSTED: &str = "no TLS connection";

/// Adds the findings to the report. Returns the reason to skip later checks, if there is no connection.
///
/// `proxy_problem`: error of a proxy variable. `is_https`: scheme of the server's URL.
pub(crate) fn check(
    probe: &Probe<'_>,
    proxy_problem: Option<&Error>,
    is_https: bool,
    report: &mut Report<'_>,
    latency: &mut Latency,
) -> io::Result<Option<&'static str>> {
    let route = proxy_problem.map_or_else(|| probe.route(), |error| Err(error.clone()));
    match route {
        Ok(route) => report.add(Finding::new(Check::Proxy, Verdict::Pass, route))?,
        Err(error) => {
            report.add(Finding::of_error(Check::Proxy, Verdict::Fail, &error))?;
            report.skip(&[Check::Dns, Check::Tcp, Check::Tls], NO_SUCH_PROXY)?;
            return Ok(Some(NO_SUCH_PROXY));
        }
    }

    let started = Instant::now();
    let addresses = match probe.addresses() {
        Ok(addresses) => addresses,
        Err(error) => {
            report.add(Finding::of_error(Check::Dns, Verdict::Fail, &error))?;
            report.skip(&[Check::Tcp, Check::Tls], NOT_FOUND)?;
            return Ok(Some(NOT_FOUND));
        }
    };
    latency.lookup = Some(started.elapsed());
    let (host, _) = probe.next_hop();
    let shown: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
    let found = format!("{host} → {}", shown.join(", "));
    report.add(Finding::new(Check::Dns, Verdict::Pass, found))?;

    let started = Instant::now();
    let stream = match probe.connect(&addresses) {
        Ok((stream, address)) => {
            latency.connect = Some(started.elapsed());
            let what = if probe.is_through_proxy() { " (the proxy)" } else { "" };
            let found = format!("connected to {address}{what}");
            report.add(Finding::new(Check::Tcp, Verdict::Pass, found))?;
            stream
        }
        Err(error) => {
            report.add(Finding::of_error(Check::Tcp, Verdict::Fail, &error))?;
            report.add(Finding::skipped(Check::Tls, NOT_REACHED))?;
            return Ok(Some(NOT_REACHED));
        }
    };

    let started = Instant::now();
    match probe.handshake(stream) {
        Ok(Some(handshake)) => {
            latency.handshake = Some(started.elapsed());
            report.add(tls_finding(&handshake))?;
            Ok(None)
        }
        Ok(None) => {
            report.add(if is_https {
                Finding::skipped(Check::Tls, "not checked through this kind of proxy")
            } else {
                Finding::skipped(Check::Tls, "the URL is http")
            })?;
            Ok(None)
        }
        Err(error) => {
            report.add(Finding::of_error(Check::Tls, Verdict::Fail, &error))?;
            Ok(Some(NOT_TRUSTED))
        }
    }
}

fn tls_finding(handshake: &Handshake) -> Finding {
    let Handshake { version, cipher_suite, issuers, expires, is_public } = handshake;
    let until = expires.and_then(|time| time.format(&Rfc3339).ok());
    let found =
        format!("{version} {cipher_suite}, certificate until {}", until.unwrap_or_default());
    let trust = if *is_public {
        "trusted by Mozilla's roots"
    } else {
        "a private authority, trusted through the system or your CA bundle"
    };
    let details = vec![format!("issued by {}: {trust}", issuers.join(" ← "))];
    let ends_soon = expires.is_some_and(|time| time < clock::now() + CERTIFICATE_WARNING);
    if ends_soon {
        Finding::new(Check::Tls, Verdict::Warn, found)
            .details(details)
            .fix("renew the server's certificate, which expires soon")
    } else {
        Finding::new(Check::Tls, Verdict::Pass, found).details(details)
    }
}
