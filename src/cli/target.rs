//! The target: a URL that is safe to sign for, or the ARN of a runtime that has one.

use crate::aws::{agentcore, hostname};
use crate::cli::leftovers::{looks_like_host, meant_command, shown};
use crate::cli::option_reader::OptionReader;
use crate::cli::parsed_args::Value;
use crate::cli::problem::usage_error;
use crate::cli::row::Key;
use crate::cli::table::{self, COMMANDS};
use crate::error::{Error, Kind};
use crate::http::url::{Endpoint, host_and_port};

/// The error of a command line without a target.
pub(crate) fn missing() -> Error {
    usage_error("target URL is required", "set MCP_TARGET_URL or --target-url")
}

/// The part of an argument before a flag that it also holds.
pub(crate) fn before_flag(text: &str) -> Option<&str> {
    let begins_flag = |(at, space): &(usize, &str)| text[at + space.len()..].starts_with('-');
    let (at, _) = text.match_indices(char::is_whitespace).find(begins_flag)?;
    Some(text[..at].trim_end())
}

/// The error about a URL and a flag, whose value may be a secret, in one value.
pub(crate) fn joined_with_flag() -> Error {
    usage_error("a URL and a flag are in one argument", "write each as a separate argument")
}

/// The server, and what it is signed for.
pub(crate) struct Target {
    /// With the host of `--sign-host` in its requests and signatures.
    pub(crate) endpoint: Endpoint,
    /// What names the endpoint; empty if it is missing.
    pub(crate) from: String,
    /// What names the host that is signed for.
    pub(crate) named_by: &'static str,
    /// What is wrong with the region in the host, for errors that follow from it.
    pub(crate) region_hint: Option<String>,
    /// A correction that was made.
    pub(crate) note: Option<String>,
}

/// Reads the options of the target. An invalid one is replaced by a placeholder.
pub(crate) fn read(reader: &mut OptionReader<'_>, allow_http: bool) -> Target {
    let (endpoint, from) = named_endpoint(reader, allow_http);
    let (endpoint, named_by) = signed_for(reader, endpoint);
    let (endpoint, note) = with_encoded_arn(endpoint);
    let region_hint = hostname::region_hint(endpoint.service_host());
    Target { endpoint, from, named_by, region_hint, note }
}

/// The endpoint of the URL or ARN, and what names it.
fn named_endpoint(reader: &mut OptionReader<'_>, allow_http: bool) -> (Endpoint, String) {
    let Some(Value { mut text, from }) = reader.args.value(Key::TargetUrl) else {
        reader.report_missing(Key::TargetUrl, missing());
        // It may provide the region and the service.
        reader.excuse_missing();
        return (Endpoint::unknown(), String::new());
    };
    if let Some(url) = before_flag(&text) {
        reader.report(Key::TargetUrl, joined_with_flag());
        reader.excuse_missing();
        text = url.to_owned();
    }
    let qualifier = reader.text(Key::Qualifier);
    if qualifier.is_some() && !(is_arn(&text) && text.contains(":runtime/")) {
        let what = "--qualifier is only for the ARN of a runtime";
        let fix = "omit it, or write ?qualifier=NAME into the URL";
        reader.report(Key::Qualifier, usage_error(what, fix));
    }
    let qualifier = qualifier.as_deref().unwrap_or(table::row(Key::Qualifier).default);
    let endpoint = endpoint(&text, qualifier, allow_http).unwrap_or_else(|error| {
        reader.report(Key::TargetUrl, error);
        placeholder(&text).unwrap_or_else(|| {
            reader.excuse_missing();
            Endpoint::unknown()
        })
    });
    (endpoint, from)
}

/// The endpoint as it is signed for, and what names its host.
fn signed_for(reader: &mut OptionReader<'_>, endpoint: Endpoint) -> (Endpoint, &'static str) {
    const BY_URL: &str = "the URL";
    let Some(SignHost { host, port, path }) = reader.parsed(Key::SignHost, sign_host) else {
        if reader.args.value(Key::SignHost).is_some() {
            reader.excuse_missing();
        }
        return (endpoint, BY_URL);
    };
    if path.is_some_and(|path| path != endpoint.path()) {
        reader.warn("the path of --sign-host is ignored: the path of the URL is signed");
    }
    let signed = endpoint.clone().signed_for(host, port);
    if signed == endpoint {
        return (signed, BY_URL);
    }
    // Otherwise the wrong one of two servers, and perhaps of two accounts, would be signed for.
    if serves_only_itself(endpoint.host()) {
        let what = "--sign-host differs from the host of the URL, which is an AWS endpoint";
        let fix =
            "write the host of the tunnel or the VPC endpoint into the URL, or omit --sign-host";
        reader.report(Key::SignHost, usage_error(what, fix));
        return (endpoint, BY_URL);
    }
    (signed, "--sign-host")
}

/// The endpoint of a URL or an ARN.
fn endpoint(text: &str, qualifier: &str, allow_http: bool) -> Result<Endpoint, Error> {
    let in_context = |error: Error| error.context("configuration error");
    if is_arn(text) {
        return agentcore::url(text, qualifier)
            .and_then(|url| Endpoint::parse(&url))
            .map_err(in_context);
    }
    if !looks_like_host(text) {
        let fix = match meant_command(text) {
            Some(command) => format!("did you mean {command}?"),
            None => format!("write https://…; the commands are {}", COMMANDS.join(", ")),
        };
        let what = format!("target URL has no scheme: {}", shown(text));
        return Err(usage_error(&what, &fix));
    }
    let endpoint = Endpoint::parse(text).map_err(in_context)?;
    if endpoint.had_user_info() {
        let what = "target URL contains a user name or password";
        return Err(usage_error(what, "remove the part before the @"));
    }
    if !is_guarded(&endpoint) && !allow_http {
        let what = "target URL must use https unless its host is this machine";
        return Err(usage_error(what, "use https, or add --allow-http"));
    }
    Ok(endpoint)
}

/// The URL of a runtime with its ARN percent-encoded, and a note about that.
fn with_encoded_arn(endpoint: Endpoint) -> (Endpoint, Option<String>) {
    let is_agentcore =
        hostname::of_host(endpoint.service_host()).service.as_deref() == Some("bedrock-agentcore");
    let path = agentcore::corrected_runtime_path(endpoint.path()).filter(|_| is_agentcore);
    let Some(path) = path else { return (endpoint, None) };
    let encoded = endpoint.with_path(path);
    let note = format!("the ARN in the URL must be percent-encoded once; using {encoded}");
    (encoded, Some(note))
}

/// A host to sign for, as `--sign-host` names it: a name with or without a port, or a URL.
#[derive(Debug, PartialEq, Eq)]
struct SignHost {
    host: String,
    port: Option<u16>,
    /// The path of the URL, if it has one; what is signed is the target's own.
    path: Option<String>,
}

fn sign_host(text: &str) -> Result<SignHost, Error> {
    let name = "the host to sign for";
    if text.contains("://") {
        let url = Endpoint::parse(text).map_err(|error| error.context(name))?;
        if url.had_user_info() {
            let what = format!("{name} contains a user name or password");
            return Err(Error::new(Kind::Usage, what).hint("remove the part before the @"));
        }
        let (host, port) = host_and_port(name, &url.authority())?;
        let path = Some(url.path().to_owned()).filter(|path| path != "/");
        return Ok(SignHost { host, port, path });
    }
    let (host, port) = host_and_port(name, text)?;
    // As in a URL, the default port is not named.
    Ok(SignHost { host, port: port.filter(|port| *port != 443), path: None })
}

/// Whether a host is one of AWS's that serves nothing but itself. Endpoints of a VPC and load balancers lead to others.
fn serves_only_itself(host: &str) -> bool {
    let is_hop = host.ends_with(".vpce.amazonaws.com")
        || host.ends_with(".vpce.amazonaws.com.cn")
        || hostname::of_host(host).service.as_deref() == Some("elasticloadbalancing");
    hostname::of_host(host).service.is_some() && !is_hop
}

/// A placeholder for an invalid target, with the same region and service: what a corrected target will provide is not
/// reported missing. The ARN of a runtime always has both. `None`: not even a host can be made out.
fn placeholder(text: &str) -> Option<Endpoint> {
    let (_, rest) = text.split_once("://").unwrap_or(("", text));
    let url = if is_arn(text) {
        "https://bedrock-agentcore.us-east-1.amazonaws.com".to_owned()
    } else {
        format!("https://{rest}")
    };
    Endpoint::parse(&url).ok().filter(|endpoint| endpoint.host().contains('.'))
}

fn is_arn(text: &str) -> bool {
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
            let endpoint =
                endpoint(text, "DEFAULT", false).unwrap_or_else(|e| panic!("{text}: {e}"));
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
    fn hosts_to_sign_for() {
        let read = |text: &str| sign_host(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let host = "abc.execute-api.us-east-1.amazonaws.com";
        let expected = |port, path: Option<&str>| SignHost {
            host: host.into(),
            port,
            path: path.map(str::to_owned),
        };
        assert_eq!(read(host), expected(None, None));
        assert_eq!(read("ABC.execute-api.us-east-1.amazonaws.com:443"), expected(None, None));
        assert_eq!(read(&format!("{host}:8443")), expected(Some(8443), None));
        assert_eq!(read(&format!("https://{host}/")), expected(None, None));
        assert_eq!(read(&format!("https://{host}:443/a/b?c")), expected(None, Some("/a/b")));
        for text in [
            "",
            "a b",
            "a/b",
            "user@a",
            "https://",
            "https://ann:hush@a/",
            "ftp://a",
            "a:x",
            "127.1",
        ] {
            let error = sign_host(text).expect_err(text).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn hosts_that_lead_to_others() {
        for host in [
            "localhost",
            "mcp.example.com",
            "vpce-0a-1b.execute-api.us-east-1.vpce.amazonaws.com",
            "my-alb-1234.us-east-1.elb.amazonaws.com",
            "d111111abcdef8.cloudfront.net",
            "10.0.0.1",
        ] {
            assert!(!serves_only_itself(host), "{host}");
        }
        for host in ["abc.execute-api.us-east-1.amazonaws.com", "abc.lambda-url.eu-west-1.on.aws"] {
            assert!(serves_only_itself(host), "{host}");
        }
    }

    #[test]
    fn bad_targets() {
        let check = |text: &str, expected: &str| {
            let error = endpoint(text, "DEFAULT", false).unwrap_err().to_string();
            assert!(error.starts_with("configuration error: "), "{error}");
            assert!(error.contains(expected) && !error.contains("hush"), "{text}: {error}");
        };
        check("mcp.example.com/mcp", "has no scheme");
        check("ws://mcp.example.com", "must use http or https scheme, got: ws");
        check("https://ann:hush@mcp.example.com", "user name or password");
        check("http://localhost@evil.example/", "user name or password");
        check("http://localhost:80@evil.example/", "user name or password");
        check("arn:aws:lambda:us-east-1:123456789012:function:f", "ARNs of lambda");
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
            let error = endpoint(&format!("http://{host}/"), "", false).unwrap_err().to_string();
            assert!(error.ends_with("(use https, or add --allow-http)"), "{error}");
            assert!(endpoint(&format!("http://{host}/"), "", true).is_ok(), "{host}");
        }
        for host in ["127.1", "0177.0.0.1", "127.0.0.01", "2130706433", "0x7f.1", "%6cocalhost"] {
            assert!(endpoint(&format!("http://{host}/"), "", true).is_err(), "{host}");
        }
    }
}
