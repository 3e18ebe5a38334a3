//! The credential endpoint of a container: ECS, EKS Pod Identity, Greengrass, local helpers.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::credentials::expiry;
use crate::credentials::header_value::check_setting;
use crate::credentials::source::Source;
use crate::credentials::sources::request::{Call, Network, RetryPolicy};
use crate::credentials::sources::token_file;
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::url::{Endpoint, without_brackets};
use crate::signing::AccessKey;

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The variables that configure this source.
pub(crate) const VARIABLES: [&str; 2] = [RELATIVE, FULL];

pub(crate) fn credentials(
    environment: &Environment,
    network: &Network,
) -> Result<Credentials, Error> {
    request(environment, network).map_err(|error| error.context("container credentials"))
}

fn request(environment: &Environment, network: &Network) -> Result<Credentials, Error> {
    let endpoint = endpoint(environment)?;
    // Over http it is on this machine or in its network.
    let policy = RetryPolicy { uses_proxy: endpoint.is_https(), ..RetryPolicy::CONTAINER };
    let send = |token: Option<&str>| {
        network.redactor.add_temporary_header(token.unwrap_or_default());
        let mut headers = vec![("accept", "application/json")];
        headers.extend(token.map(|token| ("authorization", token)));
        let call = Call { method: "GET", endpoint: &endpoint, headers: &headers, body: b"" };
        network.send(&call, &policy)
    };
    let reply = if let Some(path) = environment.get(TOKEN_FILE) {
        let file = environment.path(path);
        let token = token_file::read(&file, &network.cancel).map_err(|error| {
            let what = format!("token file {path}");
            error.context(what)
        })?;
        check_token(TOKEN_FILE, &token)?;
        let reply = send(Some(&token))?;
        let is_refused = matches!(reply.status, 400 | 401 | 403);
        // A refused token may have been half written, or replaced since it was read.
        match is_refused.then(|| token_file::read_newer(&file, &token, &network.cancel)) {
            Some(Some(newer)) => {
                check_token(TOKEN_FILE, &newer)?;
                send(Some(&newer))?
            }
            _ => reply,
        }
    } else {
        let token = environment.get(TOKEN);
        check_token(TOKEN, token.unwrap_or_default())?;
        send(token)?
    };
    if reply.status != 200 {
        return Err(Error::new(Kind::Credentials, reply.refusal()));
    }
    match reply.json() {
        Some(body) => parse_metadata(&body, Source::Container),
        None => Err(Error::new(Kind::Credentials, "the response is not JSON")),
    }
}

/// Credentials in the format of both metadata services. Without a token, they are keys of a user, which need not expire.
pub(crate) fn parse_metadata(
    body: &Map<String, Value>,
    source: Source,
) -> Result<Credentials, Error> {
    let wrong = |what: String| Error::new(Kind::Credentials, what);
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let missing = |name: &str| wrong(format!("no {name} in the response"));
    let required = |name| text(name).ok_or_else(|| missing(name));
    let token = text("Token");
    let key = AccessKey::new(required("AccessKeyId")?, required("SecretAccessKey")?, token);
    let expires = match text("Expiration") {
        Some(time) => {
            let not_a_time = || wrong("invalid Expiration in the response".to_owned());
            Some(expiry::parse(time).ok_or_else(not_a_time)?)
        }
        None if token.is_some() => return Err(missing("Expiration")),
        None => None,
    };
    let account = text("AccountId").map(str::to_owned);
    Ok(Credentials { key, expires, account, source })
}

/// The endpoint. It is checked before anything is sent, since the response holds a key and the request may hold a token.
fn endpoint(environment: &Environment) -> Result<Endpoint, Error> {
    let wrong = |what: String| Error::new(Kind::Credentials, what);
    if let Some(path) = environment.get(RELATIVE) {
        if !path.starts_with('/') {
            return Err(wrong(format!("{RELATIVE} must start with /")));
        }
        return Endpoint::parse_as("the URL", &format!("http://169.254.170.2{path}"))
            .map_err(|error| wrong(format!("{RELATIVE}: {}", error.message())));
    }
    let url = environment
        .get(FULL)
        .ok_or_else(|| wrong(format!("neither {RELATIVE} nor {FULL} is set")))?;
    let endpoint = Endpoint::parse_as("the URL", url)
        .map_err(|error| wrong(format!("{FULL}: {}", error.message())))?;
    if endpoint.is_https() || is_allowed_over_http(&endpoint) {
        Ok(endpoint)
    } else {
        Err(wrong(format!("{FULL}: host {} is not allowed over http", endpoint.host())))
    }
}

/// Whether it is this machine or an address of ECS or EKS. Names are not resolved.
fn is_allowed_over_http(endpoint: &Endpoint) -> bool {
    const ALLOWED: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    endpoint.is_loopback()
        || without_brackets(endpoint.host())
            .parse::<IpAddr>()
            .is_ok_and(|address| ALLOWED.iter().any(|allowed| allowed.parse() == Ok(address)))
}

/// Checks the value of the `Authorization` header, which is sent unchanged.
fn check_token(variable: &str, token: &str) -> Result<(), Error> {
    let wrong = |what: String| Error::new(Kind::Credentials, what);
    if token.contains(['\r', '\n']) {
        return Err(wrong(format!("{variable} contains a line break")));
    }
    check_setting(variable, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_and_container_addresses_only() {
        let result = |pairs: &[(&str, &str)]| match endpoint(&Environment::from_pairs(
            pairs.iter().copied(),
        )) {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            result(&[(RELATIVE, "/v2/x?y=1"), (FULL, "z")]),
            "http://169.254.170.2/v2/x?y=1"
        );
        assert!(result(&[(RELATIVE, "@evil.example/")]).ends_with("must start with /"));
        for good in [
            "http://127.9.9.9/a",
            "http://[::1]:8080/a",
            "http://localhost/a",
            "http://169.254.170.2/a",
            "http://169.254.170.23/a",
            "http://[fd00:ec2::23]/a",
            "https://creds.example/a",
        ] {
            assert_eq!(result(&[(FULL, good)]), good);
        }
        for bad in ["http://169.254.169.254/a", "http://loopback.example/a", "http://[fd00::23]/a"]
        {
            assert!(result(&[(FULL, bad)]).ends_with("is not allowed over http"), "{bad}");
        }
        assert!(result(&[(FULL, "ftp://127.0.0.1/")]).contains("must use http or https"));
    }
}
