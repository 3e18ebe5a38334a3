//! The start URL of an organisation, and the AWS portal that it leads to.

use crate::credentials::Services;
use crate::credentials::sources::request::{Call, Reply, RetryPolicy};
use crate::error::{Error, Kind, SsoSession, quoted};
use crate::http::url::Endpoint;
use crate::sign_in::link::is_portal;

/// The address of the access portal: the start URL itself, or where an organisation's own domain redirects to.
///
/// # Errors
/// The organisation's domain leads elsewhere than to AWS, or to a portal in another region than the session's.
pub(crate) fn portal(services: &Services, session: &SsoSession) -> Result<String, Error> {
    let Ok(url) = Endpoint::parse(&session.start_url) else { return Ok(session.start_url.clone()) };
    if is_portal(url.host()) || !(url.is_https() || url.is_loopback()) {
        return Ok(session.start_url.clone());
    }
    let head = ask(services, "HEAD", &url);
    let reply = match head {
        Some(reply) if matches!(reply.status, 405 | 501) => ask(services, "GET", &url),
        head => head,
    };
    // Without a redirect, the sign-in service decides about the URL.
    let Some(location) = reply.and_then(|reply| reply.location) else {
        return Ok(session.start_url.clone());
    };
    let fault = |what: String| {
        Err(Error::new(Kind::Credentials, format!("sso_start_url {}: {what}", session.start_url)))
    };
    let target = Endpoint::parse(&location)
        .ok()
        .filter(|target| target.is_https() && is_portal(target.host()) && !target.had_user_info());
    let Some(target) = target else {
        return fault(format!("is outside AWS: {}", quoted(&location)));
    };
    match portal_region(target.host()) {
        Some(region) if region != session.region => fault(format!(
            "the portal is in {region}, but sso_region is {}; write sso_region = {region}",
            session.region
        )),
        _ => Ok(location),
    }
}

/// Whether the portal is reached over IPv6 as well. The service then has to be asked at its dual-stack host, because it
/// names pages of the same kind as the host it was asked at.
pub(crate) fn is_dual_stack(portal: &str) -> bool {
    Endpoint::parse(portal).is_ok_and(|url| portal_region(url.host()).is_some())
}

/// The region in the host name of a dual-stack portal: `NAME.portal.REGION.app.aws`.
fn portal_region(host: &str) -> Option<&str> {
    const SUFFIXES: [&str; 3] =
        [".app.aws", ".app.amazonwebservices.com.cn", ".api.amazonwebservices.eu"];
    let rest = SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let (name, region) = rest.rsplit_once('.')?;
    name.ends_with(".portal").then_some(region)
}

fn ask(services: &Services, method: &'static str, endpoint: &Endpoint) -> Option<Reply> {
    let call = Call { method, endpoint, headers: &[], body: b"" };
    services.network.send(&call, &RetryPolicy::PAGE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dual_stack_portals() {
        for (url, region) in [
            ("https://ssoins-1.portal.us-east-1.app.aws/start", Some("us-east-1")),
            ("https://a.portal.cn-north-1.app.amazonwebservices.com.cn", Some("cn-north-1")),
            ("https://a.portal.eusc-de-east-1.api.amazonwebservices.eu", Some("eusc-de-east-1")),
            ("https://portal.us-east-1.app.aws/", None),
            ("https://a.us-east-1.app.aws/", None),
            ("https://example.awsapps.com/start", None),
            ("https://identitycenter.amazonaws.com/ssoins-1", None),
            ("not a URL", None),
        ] {
            let host = Endpoint::parse(url).map(|url| url.host().to_owned()).unwrap_or_default();
            assert_eq!(portal_region(&host), region, "{url}");
            assert_eq!(is_dual_stack(url), region.is_some(), "{url}");
        }
    }
}
