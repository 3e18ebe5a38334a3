//! The target: a URL that is safe to sign for, or the ARN of a runtime that has one.

use crate::aws::{agentcore, hostname};
use crate::cli::args::COMMANDS;
use crate::cli::problem::usage_error;
use crate::error::Error;
use crate::http::url::Endpoint;
use crate::suggest::nearest;

/// The endpoint of a URL or an ARN.
pub(crate) fn read(text: &str, qualifier: &str, allow_http: bool) -> Result<Endpoint, Error> {
    let in_context = |error: Error| error.context("configuration error");
    if is_arn(text) {
        return agentcore::url(text, qualifier)
            .and_then(|url| Endpoint::parse(&url))
            .map_err(in_context);
    }
    if text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        let fix = match nearest(text, COMMANDS) {
            Some(command) => format!("did you mean {command}?"),
            None => "write https://…; the commands are doctor and completions".to_owned(),
        };
        return Err(usage_error("target URL has no scheme", &fix));
    }
    let endpoint = Endpoint::parse(text).map_err(in_context)?;
    if endpoint.had_user_info() {
        let what = "target URL contains a user name or password";
        return Err(usage_error(what, "remove the part before the @"));
    }
    if !is_guarded(&endpoint) && !allow_http {
        let what = "target URL must use https, since its host is not this machine";
        return Err(usage_error(what, "use https, or allow http with --allow-http"));
    }
    Ok(endpoint)
}

/// The URL of a runtime with its ARN percent-encoded, and a note about that.
pub(crate) fn with_encoded_arn(endpoint: Endpoint) -> (Endpoint, Option<String>) {
    let is_agentcore =
        hostname::of_host(endpoint.host()).service.as_deref() == Some("bedrock-agentcore");
    let path = agentcore::corrected_runtime_path(endpoint.path()).filter(|_| is_agentcore);
    let Some(path) = path else { return (endpoint, None) };
    let query = if endpoint.query().is_empty() { "" } else { "?" };
    let url = format!("https://{}{path}{query}{}", endpoint.authority(), endpoint.query());
    match Endpoint::parse(&url) {
        Ok(encoded) => {
            let note = format!("the ARN in the URL is not percent-encoded; using {encoded}");
            (encoded, Some(note))
        }
        Err(_) => (endpoint, None),
    }
}

/// A placeholder for an invalid target, with the same region and service: what a corrected target will provide is not
/// reported missing. The ARN of a runtime always has both.
pub(crate) fn placeholder(text: &str) -> Endpoint {
    let (_, rest) = text.split_once("://").unwrap_or(("", text));
    let url = if is_arn(text) {
        "https://bedrock-agentcore.us-east-1.amazonaws.com".to_owned()
    } else {
        format!("https://{rest}")
    };
    Endpoint::parse(&url).unwrap_or_else(|_| Endpoint::unknown())
}

pub(crate) fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

/// Whether requests cannot be read on the network.
pub(crate) fn is_guarded(endpoint: &Endpoint) -> bool {
    endpoint.is_https() || endpoint.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let check = |text: &str, expected: &str| {
            let endpoint = read(text, "DEFAULT", false).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(endpoint.to_string(), expected, "{text}");
        };
        let api = "https://abc.execute-api.us-east-1.amazonaws.com/prod/mcp";
        check(api, api);
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.9.9.9:81", "[::1]", "[0::1]:8080"]
        {
            let url = format!("http://{}/mcp", host.to_lowercase().replace("[0::1]", "[::1]"));
            check(&format!("http://{host}/mcp"), &url);
        }
        check(
            "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/a-1",
            "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/arn%3Aaws%3A\
             bedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Fa-1/invocations\
             ?qualifier=DEFAULT",
        );
    }

    #[test]
    fn a_runtime_with_a_raw_arn() {
        let host = "https://bedrock-agentcore.us-west-2.amazonaws.com";
        let arn = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/a-1";
        let typed = format!("{host}/runtimes/{arn}/invocations?qualifier=v2");
        let (endpoint, note) = with_encoded_arn(Endpoint::parse(&typed).unwrap());
        let (path, _) = endpoint.path().split_once("/invocations").unwrap();
        assert_eq!(path, format!("/runtimes/{}", arn.replace(':', "%3A").replace('/', "%2F")));
        assert_eq!(endpoint.query(), "qualifier=v2");
        assert!(note.is_some_and(|note| note.contains("; using https://")));
        let other = Endpoint::parse(&typed.replace("amazonaws.com", "example.com")).unwrap();
        assert_eq!(with_encoded_arn(other.clone()), (other, None), "only where AWS reads it");
    }

    #[test]
    fn bad_targets() {
        let check = |text: &str, expected: &str| {
            let error = read(text, "DEFAULT", false).unwrap_err().to_string();
            assert!(error.starts_with("configuration error: "), "{error}");
            assert!(error.contains(expected) && !error.contains("hush"), "{text}: {error}");
        };
        check("mcp.example.com/mcp", "has no scheme");
        check("ws://mcp.example.com", "must use http or https scheme, got: ws");
        check("https://ann:hush@mcp.example.com", "user name or password");
        check("http://localhost@evil.example/", "user name or password");
        check("http://localhost:80@evil.example/", "user name or password");
        check("arn:aws:lambda:us-east-1:123456789012:function:f", "an ARN of lambda");
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for host in [
            "mcp.example.com",
            "localhost.evil.example",
            "x.localhost",
            "localhost.",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "128.0.0.1",
            "[::]",
            "[::ffff:127.0.0.1]",
            "10.0.0.1",
            "169.254.169.254",
        ] {
            let error = read(&format!("http://{host}/"), "", false).unwrap_err().to_string();
            assert!(error.ends_with("(use https, or allow http with --allow-http)"), "{error}");
            assert!(read(&format!("http://{host}/"), "", true).is_ok(), "{host}");
        }
        for host in ["127.1", "0177.0.0.1", "127.0.0.01", "2130706433", "0x7f.1", "%6cocalhost"] {
            assert!(read(&format!("http://{host}/"), "", true).is_err(), "{host}");
        }
    }
}
