//! The endpoints of credential services: service and region → URL, by AWS's endpoint rules. Pure.

use crate::aws::partition::Partition;
use crate::aws::region::is_host_label;
use crate::credentials::config::profile::Profile;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::url::Endpoint;

/// Services that provide credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Sts,
    Sso,
    SsoOidc,
    SignIn,
}

impl Service {
    const ALL: [Service; 4] = [Service::Sts, Service::Sso, Service::SsoOidc, Service::SignIn];

    /// The service's name in `AWS_ENDPOINT_URL_…` and in a `[services]` section.
    fn id(self) -> &'static str {
        match self {
            Service::Sts => "sts",
            Service::Sso => "sso",
            Service::SsoOidc => "sso_oidc",
            Service::SignIn => "signin",
        }
    }
}

/// Endpoint settings of the environment and the selected profile.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    fips: bool,
    dual_stack: bool,
    /// The setting that names the URL, and the URL, which takes precedence over FIPS and dual stack; in the order of
    /// `Service::ALL`.
    overrides: [Option<(String, String)>; 4],
    allow_http: bool,
}

impl Endpoints {
    pub(crate) fn new(
        environment: &Environment,
        profile: Option<&Profile<'_>>,
        allow_http: bool,
    ) -> Endpoints {
        let of_profile = |setting| profile.and_then(|profile| profile.get(setting));
        let is_on = |variable, setting| {
            let value = environment.get(variable).or_else(|| of_profile(setting));
            value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        let ignored =
            is_on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls");
        let overridden = |service: Service| {
            let own = format!("AWS_ENDPOINT_URL_{}", service.id().to_uppercase());
            let variable = environment.first(&[&own, "AWS_ENDPOINT_URL"]);
            let variable = variable.map(|(name, url)| (name.to_owned(), url.to_owned()));
            variable.or_else(|| {
                let profile = profile?;
                let url = profile
                    .service_setting(service.id(), "endpoint_url")
                    .or_else(|| profile.get("endpoint_url"))?;
                Some((format!("endpoint_url of profile {:?}", profile.name), url.to_owned()))
            })
        };
        Endpoints {
            fips: is_on("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
            dual_stack: is_on("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"),
            overrides: Service::ALL.map(|service| if ignored { None } else { overridden(service) }),
            allow_http,
        }
    }

    /// These settings with dual stack enabled.
    pub(crate) fn dual_stack(mut self) -> Endpoints {
        self.dual_stack = true;
        self
    }

    /// The endpoint with `resource` (path and query, beginning with `/`), and the region to sign for.
    pub(crate) fn of<'r>(
        &self,
        service: Service,
        region: &'r str,
        resource: &str,
    ) -> Result<(Endpoint, &'r str), Error> {
        let (region, is_fips) = without_fips(region);
        if !is_host_label(region) {
            let message = format!("region {region:?} is not valid");
            return Err(Error::new(Kind::Credentials, message).hint("write it like us-east-1"));
        }
        let signing_region = if region == "aws-global" { "us-east-1" } else { region };
        if let Some((by, url)) = &self.overrides[service as usize] {
            return Ok((self.overridden(by, url, resource)?, signing_region));
        }
        let host = self.host(service, region, self.fips || is_fips);
        let url = format!("https://{host}{resource}");
        let endpoint = Endpoint::parse(&url).map_err(|error| {
            Error::new(Kind::Credentials, format!("endpoint of {}: {error}", service.id()))
        })?;
        Ok((endpoint, signing_region))
    }

    fn overridden(&self, by: &str, url: &str, resource: &str) -> Result<Endpoint, Error> {
        let wrong = |why: String| Error::new(Kind::Credentials, format!("{by}: {why}"));
        let url = format!("{}{resource}", url.trim_end_matches('/'));
        let endpoint = Endpoint::parse_as("the URL", &url)
            .map_err(|error| wrong(error.message().to_owned()))?;
        if endpoint.is_https() || endpoint.is_loopback() || self.allow_http {
            Ok(endpoint)
        } else {
            let why =
                format!("{} would receive credential requests over http", endpoint.authority());
            Err(wrong(why).hint("use https, or --allow-http if the network in between is trusted"))
        }
    }

    fn host(&self, service: Service, region: &str, is_fips: bool) -> String {
        let partition = Partition::of_region(region);
        let suffix = if self.dual_stack { partition.dual_stack_suffix } else { partition.suffix };
        // GovCloud's regular hosts are FIPS endpoints.
        let is_gov = region.starts_with("us-gov-");
        let fips = if is_fips && (self.dual_stack || !is_gov) { "-fips" } else { "" };
        match service {
            Service::Sts if region == "aws-global" => "sts.amazonaws.com".to_owned(),
            Service::Sts => format!("sts{fips}.{region}.{suffix}"),
            Service::Sso => format!("portal.sso{fips}.{region}.{suffix}"),
            Service::SsoOidc => format!("oidc{fips}.{region}.{suffix}"),
            Service::SignIn if is_gov && is_fips && !self.dual_stack => {
                let of_region =
                    if region == "us-gov-west-1" { String::new() } else { format!("{region}.") };
                format!("{of_region}signin-fips.amazonaws-us-gov.com")
            }
            Service::SignIn if is_fips => format!("signin-fips.{region}.{suffix}"),
            Service::SignIn if self.dual_stack => format!("signin.{region}.{suffix}"),
            Service::SignIn => format!("{region}.{}", partition.sign_in_suffix),
        }
    }
}

/// The region that an older name of its FIPS endpoints stands for, and whether it is one: `us-east-1-fips`, `fips-us-gov-west-1`.
fn without_fips(region: &str) -> (&str, bool) {
    let of_fips = region.strip_prefix("fips-").or_else(|| region.strip_suffix("-fips"));
    (of_fips.unwrap_or(region), of_fips.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(pairs: &[(&str, &str)], service: Service, region: &str) -> String {
        let environment = Environment::from_pairs(pairs.iter().copied());
        match Endpoints::new(&environment, None, false).of(service, region, "/x?y=z") {
            Ok((endpoint, signing_region)) => format!("{endpoint} {signing_region}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn hosts_by_partition_and_kind() {
        const FIPS: (&str, &str) = ("AWS_USE_FIPS_ENDPOINT", "True");
        const DUAL: (&str, &str) = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
        use Service::{SignIn, Sso, SsoOidc, Sts};
        for (pairs, service, region, host) in [
            (&[][..], Sts, "us-east-1", "sts.us-east-1.amazonaws.com"),
            (&[], Sts, "xx-new-9", "sts.xx-new-9.amazonaws.com"),
            (&[], Sts, "eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
            (&[], Sts, "us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
            (&[FIPS], Sts, "us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
            (&[FIPS, DUAL], Sts, "us-gov-west-1", "sts-fips.us-gov-west-1.api.aws"),
            (&[FIPS], Sso, "us-east-1", "portal.sso-fips.us-east-1.amazonaws.com"),
            (&[DUAL], SsoOidc, "cn-north-1", "oidc.cn-north-1.api.amazonwebservices.com.cn"),
            (&[], SignIn, "us-east-1", "us-east-1.signin.aws.amazon.com"),
            (&[], SignIn, "cn-north-1", "cn-north-1.signin.amazonaws.cn"),
            (&[], SignIn, "us-gov-east-1", "us-gov-east-1.signin.amazonaws-us-gov.com"),
            (&[], SignIn, "eusc-de-east-1", "eusc-de-east-1.signin.amazonaws-eusc.eu"),
            (&[FIPS], SignIn, "us-east-1", "signin-fips.us-east-1.amazonaws.com"),
            (&[FIPS], SignIn, "us-gov-west-1", "signin-fips.amazonaws-us-gov.com"),
            (&[FIPS], SignIn, "us-gov-east-1", "us-gov-east-1.signin-fips.amazonaws-us-gov.com"),
            (&[FIPS, DUAL], SignIn, "us-gov-east-1", "signin-fips.us-gov-east-1.api.aws"),
            (&[], SignIn, "us-iso-east-1", "us-iso-east-1.signin.c2shome.ic.gov"),
            (&[], SignIn, "us-isob-east-1", "us-isob-east-1.signin.sc2shome.sgov.gov"),
            (&[], SignIn, "eu-isoe-west-1", "eu-isoe-west-1.signin.csphome.adc-e.uk"),
            (&[], SignIn, "us-isof-south-1", "us-isof-south-1.signin.csphome.hci.ic.gov"),
            (&[DUAL], SignIn, "us-east-1", "signin.us-east-1.api.aws"),
        ] {
            assert_eq!(url(pairs, service, region), format!("https://{host}/x?y=z {region}"));
        }
        for (name, region, host) in [
            ("us-east-1-fips", "us-east-1", "sts-fips.us-east-1.amazonaws.com"),
            ("fips-us-gov-west-1", "us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ] {
            assert_eq!(url(&[], Sts, name), format!("https://{host}/x?y=z {region}"));
        }
        assert_eq!(url(&[], Sts, "aws-global"), "https://sts.amazonaws.com/x?y=z us-east-1");
    }

    #[test]
    fn overrides() {
        let own = ("AWS_ENDPOINT_URL_SSO_OIDC", "http://localhost:1/base/");
        let all = ("AWS_ENDPOINT_URL", "https://all.example");
        let off = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE");
        let oidc = |pairs: &[(&str, &str)]| url(pairs, Service::SsoOidc, "us-east-1");
        assert_eq!(oidc(&[own, all]), "http://localhost:1/base/x?y=z us-east-1");
        assert_eq!(oidc(&[all]), "https://all.example/x?y=z us-east-1");
        assert_eq!(oidc(&[own, all, off]), "https://oidc.us-east-1.amazonaws.com/x?y=z us-east-1");
        let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
        let dual_stack = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
        assert_eq!(oidc(&[own, fips, dual_stack]), oidc(&[own]));
        assert_eq!(
            oidc(&[own, fips, off]),
            "https://oidc-fips.us-east-1.amazonaws.com/x?y=z us-east-1"
        );
        assert_eq!(
            oidc(&[("AWS_ENDPOINT_URL", "sts.example")]),
            "AWS_ENDPOINT_URL: the URL has no scheme (write https://…)"
        );
        let open = ("AWS_ENDPOINT_URL", "http://sts.example");
        assert!(oidc(&[open]).starts_with("AWS_ENDPOINT_URL: sts.example would receive"));
    }
}
