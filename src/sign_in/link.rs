//! Links that users open, and codes that they compare: only AWS's own, and nothing that a terminal or a model could
//! interpret. Pure.

use crate::aws::partition::Partition;
use crate::error::{Error, Kind, quoted};
use crate::http::url::Endpoint;

const MAX_LINK_BYTES: usize = 2048;
const MAX_CODE_CHARS: usize = 32;

/// Domains of AWS's access portals and sign-in pages. `amazonaws.com` is not one of them, since customers' buckets and load
/// balancers are there.
const PORTALS: [&str; 12] = [
    "awsapps.com",
    "awsapps.cn",
    "app.aws",
    "portal.amazonaws.com",
    "portal.amazonaws.com.cn",
    "portal.amazonaws.eu",
    "app.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "identitycenter.amazonaws.com",
    "identitycenter.amazonaws.com.cn",
    "identitycenter.amazonaws.eu",
    "identitycenter.us-gov.amazonaws.com",
];

/// Checks a link of the service at `service`.
///
/// # Errors
/// It leads elsewhere than to AWS.
pub(crate) fn check_link(link: &str, service: &Endpoint, region: &str) -> Result<(), Error> {
    let is_visible = link.bytes().all(|byte| byte.is_ascii_graphic());
    if link.len() > MAX_LINK_BYTES || !is_visible {
        let what = "the sign-in service returned a URL that is too long or not ASCII";
        return Err(Error::new(Kind::Credentials, what));
    }
    if is_trusted(link, service, region) {
        return Ok(());
    }
    let host = authority(link).map_or(link, |(_, authority)| authority);
    let message = format!("the sign-in service returned a URL outside AWS: {}", quoted(host));
    Err(Error::new(Kind::Credentials, message))
}

/// Checks a user code.
///
/// # Errors
/// It has other characters than letters, digits and `-`, or more than 32.
pub(crate) fn check_code(code: &str) -> Result<(), Error> {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=MAX_CODE_CHARS).contains(&code.len()) && code.bytes().all(is_code) {
        return Ok(());
    }
    let what =
        "the sign-in service returned a user code with characters other than letters, digits and -";
    Err(Error::new(Kind::Credentials, what))
}

/// Whether a host belongs to AWS's access portals.
pub(crate) fn is_portal(host: &str) -> bool {
    PORTALS.iter().any(|domain| is_under(host, domain))
}

fn is_trusted(link: &str, service: &Endpoint, region: &str) -> bool {
    let Some((scheme, authority)) = authority(link) else { return false };
    // It ends the host for browsers, and does not for other programs.
    if authority.contains('\\') {
        return false;
    }
    let Ok(target) = Endpoint::parse(&format!("{scheme}://{authority}/")) else { return false };
    if target.had_user_info() {
        return false;
    }
    // The user configured the service on this machine, and its links may lead here as well.
    if service.is_loopback() && target.is_loopback() {
        return true;
    }
    // The parsed host may differ from what a browser makes of the text, so the text has to be the host.
    let host = authority.strip_suffix(":443").unwrap_or(authority).to_ascii_lowercase();
    let labels = host.split('.');
    let is_host = labels.into_iter().all(|label| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    let Partition { suffix, dual_stack_suffix, .. } = Partition::of_region(region);
    // AWS's own hosts for device codes and sign-ins by browser, which a configured endpoint may name as well.
    let is_sign_in_host = [suffix, dual_stack_suffix].iter().any(|suffix| {
        let service = host.strip_suffix(&format!(".{region}.{suffix}"));
        matches!(service, Some("device.sso" | "oidc"))
    });
    scheme.eq_ignore_ascii_case("https")
        && is_host
        && (is_portal(&host) || is_sign_in_host || host == service.host())
}

/// Scheme and authority of a URL, as they are written.
fn authority(link: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = link.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((scheme, &rest[..end]))
}

fn is_under(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(link: &str, service: &str, region: &str) -> Result<(), String> {
        let service = Endpoint::parse(service).unwrap();
        check_link(link, &service, region).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn only_links_to_aws_are_shown() {
        const OIDC: &str = "https://oidc.eu-west-1.amazonaws.com/device_authorization";
        for good in [
            "https://example.awsapps.com/start/#/device?user_code=ABCD-EFGH",
            "https://awsapps.com/start",
            "HTTPS://Example.AWSApps.com:443/start",
            "https://d-123.awsapps.cn/start",
            "https://ssoins-1.portal.eu-west-1.app.aws/#/device",
            "https://x.portal.amazonaws.com",
            "https://portal.amazonaws.com.cn/?user_code=A",
            "https://x.portal.amazonaws.eu",
            "https://x.portal.cn-north-1.app.amazonwebservices.com.cn",
            "https://x.portal.eusc-de-east-1.api.amazonwebservices.eu",
            "https://identitycenter.amazonaws.com/ssoins-1",
            "https://identitycenter.amazonaws.com.cn/ssoins-1",
            "https://identitycenter.amazonaws.eu/ssoins-1",
            "https://identitycenter.us-gov.amazonaws.com/ssoins-1",
            "https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD-EFGH",
            "https://device.sso.eu-west-1.api.aws/?user_code=ABCD-EFGH",
            "https://oidc.eu-west-1.amazonaws.com/authorize?x",
        ] {
            assert_eq!(check(good, OIDC, "eu-west-1"), Ok(()), "{good}");
        }
        for (bad, host) in [
            ("http://example.awsapps.com/start", "example.awsapps.com"),
            ("https://bucket.s3.amazonaws.com/start", "bucket.s3.amazonaws.com"),
            ("https://amazonaws.com", "amazonaws.com"),
            ("https://lb.eu-west-1.elb.amazonaws.com", "lb.eu-west-1.elb.amazonaws.com"),
            ("https://notawsapps.com/start", "notawsapps.com"),
            ("https://awsapps.com.evil.example/", "awsapps.com.evil.example"),
            ("https://example.awsapps.com@evil.example/", "example.awsapps.com@evil.example"),
            ("https://user@example.awsapps.com/", "user@example.awsapps.com"),
            ("https://evil.example\\.awsapps.com/", "evil.example\\.awsapps.com"),
            ("https://example.awsapps.com\\@evil.example/", "example.awsapps.com\\@evil.example"),
            ("https://example.awsapps.com\\/start", "example.awsapps.com\\"),
            ("https://evil.example#.awsapps.com/", "evil.example"),
            ("https://evil.example?.awsapps.com/", "evil.example"),
            ("https://evil%2eexample.awsapps.com/", "evil%2eexample.awsapps.com"),
            ("https://.awsapps.com/", ".awsapps.com"),
            ("https://a..awsapps.com/", "a..awsapps.com"),
            ("https://example.awsapps.com./", "example.awsapps.com."),
            ("https://example.awsapps.com:8443/", "example.awsapps.com:8443"),
            ("https://device.sso.us-east-1.amazonaws.com/", "device.sso.us-east-1.amazonaws.com"),
            (
                "https://x.device.sso.eu-west-1.amazonaws.com/",
                "x.device.sso.eu-west-1.amazonaws.com",
            ),
            ("https://oidc.us-east-1.amazonaws.com/", "oidc.us-east-1.amazonaws.com"),
            ("https://portal.sso.eu-west-1.amazonaws.com/", "portal.sso.eu-west-1.amazonaws.com"),
            ("https://127.0.0.1/", "127.0.0.1"),
            ("https://localhost/", "localhost"),
            ("https:///start", ""),
            ("//example.awsapps.com", "//example.awsapps.com"),
            ("javascript:alert(1)", "javascript:alert(1)"),
            ("file:///etc/passwd", ""),
            ("ftp://example.awsapps.com/", "example.awsapps.com"),
            ("", ""),
        ] {
            let expected = format!("the sign-in service returned a URL outside AWS: {host}");
            assert_eq!(check(bad, OIDC, "eu-west-1"), Err(expected), "{bad}");
        }
        for unreadable in [
            "https://example.awsapps.com/ start",
            "https://example.awsapps.com/\u{1b}[2J",
            "https://example.awsapps.com/ü",
            &format!("https://example.awsapps.com/{}", "a".repeat(2048)),
        ] {
            assert!(check(unreadable, OIDC, "eu-west-1").unwrap_err().contains("ASCII"));
        }
    }

    #[test]
    fn other_partitions_and_services_that_were_moved() {
        let iso = "https://oidc.us-iso-east-1.c2s.ic.gov/";
        assert_eq!(
            check("https://device.sso.us-iso-east-1.c2s.ic.gov/", iso, "us-iso-east-1"),
            Ok(())
        );
        assert!(
            check("https://device.sso.us-iso-east-1.amazonaws.com/", iso, "us-iso-east-1").is_err()
        );
        let here = "http://127.0.0.1:4000/base/device_authorization";
        for link in ["http://127.0.0.1:4000/d", "http://localhost/d", "https://[::1]:1/d"] {
            assert_eq!(check(link, here, "eu-west-1"), Ok(()), "{link}");
        }
        assert_eq!(check("https://example.awsapps.com/start", here, "eu-west-1"), Ok(()));
        assert_eq!(
            check("https://oidc.eu-west-1.amazonaws.com/authorize", here, "eu-west-1"),
            Ok(())
        );
        for link in [
            "http://192.0.2.1/d",
            "http://u@127.0.0.1/d",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1\\@evil.example/",
        ] {
            assert!(check(link, here, "eu-west-1").is_err(), "{link}");
        }
        let own = "https://oidc.corp.example/";
        assert_eq!(check("https://oidc.corp.example/device", own, "eu-west-1"), Ok(()));
        assert!(check("https://corp.example/device", own, "eu-west-1").is_err());
    }

    #[test]
    fn user_codes() {
        for code in ["ABCD-EFGH", "a", "0123456789abcdef0123456789ABCDEF"] {
            assert!(check_code(code).is_ok(), "{code}");
        }
        for code in ["", "ABCD EFGH", "A\n", "Ä", "A_B", "0123456789abcdef0123456789ABCDEF0"] {
            assert!(check_code(code).is_err(), "{code}");
        }
    }
}
