//! Responses that something between here and AWS has sent in place of AWS: a proxy, a filter, the sign-in page of a network.

use crate::error::{Error, Kind};
use crate::http::url::{Endpoint, host_and_port};
use crate::http::{Intermediary, Response};

/// How to fix it if the response was probably not sent by the server; `None`: nothing suggests that. `is_foreign`: its body is
/// not one of the service. `intermediary`: what may have sent it.
pub(crate) fn advice(
    response: &Response<'_>,
    is_foreign: bool,
    intermediary: impl FnOnce() -> Option<Intermediary>,
    endpoint: &Endpoint,
) -> Option<String> {
    let host = other_host(response, endpoint);
    if is_of_aws(response) || !(is_foreign || host.is_some()) {
        return None;
    }
    let sign_in = host.map(|host| {
        format!("sign in to the network with a browser, if {host} is its sign-in page")
    });
    let of_way = intermediary().map(|intermediary| intermediary.to_string());
    let advice: Vec<String> = sign_in.into_iter().chain(of_way).collect();
    (!advice.is_empty()).then(|| advice.join("; or "))
}

/// What was sent in place of a service of AWS that sends neither pages nor redirects to other hosts, and how to fix it.
pub(crate) fn in_place_of_service(
    response: &Response<'_>,
    body: &[u8],
    intermediary: impl FnOnce() -> Option<Intermediary>,
    endpoint: &Endpoint,
) -> Option<Error> {
    let status = response.status();
    let is_page = response.is_page(body);
    let content = match status {
        // Load balancers of AWS send pages, too.
        500..=510 | 512..=599 => return None,
        407 | 511 => String::new(),
        _ if is_page => " with an HTML page".to_owned(),
        _ => format!(", a redirect to {}", other_host(response, endpoint)?),
    };
    if is_of_aws(response) {
        return None;
    }
    let hint = advice(response, true, intermediary, endpoint).unwrap_or_else(|| {
        "check the network for a proxy, a filter or a sign-in page, and the endpoint of the service".to_owned()
    });
    let what = format!("the network, not AWS, responded with HTTP {status}{content}");
    Some(Error::new(Kind::InvalidResponse, what).hint(hint))
}

/// Whether the headers show that AWS sent the response.
fn is_of_aws(response: &Response<'_>) -> bool {
    response.all_headers().any(|(name, value)| match name {
        "server" => {
            ["awselb/", "CloudFront", "AmazonS3"].iter().any(|server| value.starts_with(server))
        }
        name => ["x-amz", "apigw-", "lambda-"].iter().any(|prefix| name.starts_with(prefix)),
    })
}

/// The host that a redirect leads to, if it is another one.
fn other_host(response: &Response<'_>, endpoint: &Endpoint) -> Option<String> {
    let location =
        response.header("location").filter(|_| (300..400).contains(&response.status()))?;
    let (_, rest) = location.split_once("//")?;
    let host = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let (host, _) = host_and_port("Location", host).ok()?;
    (host != endpoint.host()).then_some(host)
}
