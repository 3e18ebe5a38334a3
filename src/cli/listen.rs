//! `--listen` and its companions: the address, the clients that may connect, and their token.

use crate::cli::option_reader::OptionReader;
use crate::cli::options::{ListenAddress, ListenOptions, ListenToken};
use crate::cli::parsed_args::Value;
use crate::cli::problem::usage_error;
use crate::cli::row::Key;
use crate::cli::values;
use crate::environment::Environment;
use crate::error::Error;
use crate::http::authority::host_and_port;
use std::net::{Ipv4Addr, SocketAddr};

/// The path of a listener for health checks, which the MCP endpoint cannot have.
const HEALTH_PATH: &str = "/healthz";

/// Reads all options of the listener. Without `--listen` the others are errors.
pub(crate) fn read(reader: &mut OptionReader<'_>) -> Option<ListenOptions> {
    let Some(Value { text, from }) = reader.args.value(Key::Listen) else {
        refuse_lone_options(reader);
        return None;
    };
    let address = address(&text, reader.environment);
    let address = reader.checked(Key::Listen, &from, address);
    let path = reader.or_default(Key::ListenPath, path);
    let anyone = reader.is_on(Key::ListenAnyone);
    let origins = reader.parsed_words(Key::AllowOrigin, origin);
    let hosts = reader.parsed_words(Key::AllowHost, host);
    let token = token(reader);
    if let Some(ListenAddress::Tcp(address)) = &address
        && !address.ip().to_canonical().is_loopback()
    {
        let what = format!("{from} {text} can be reached from other machines");
        let fix = "listen on 127.0.0.1 or [::1], or add --listen-anyone";
        if anyone {
            reader.warn(format!("{what}: messages and the token are sent unencrypted"));
        } else {
            reader.report(Key::Listen, usage_error(&what, fix));
        }
    }
    if anyone && token == ListenToken::NotRequired {
        let what = "--listen-anyone requires a bearer token";
        reader.report(Key::ListenAnyone, usage_error(what, "omit --no-listen-token"));
    }
    if token == ListenToken::NotRequired {
        let who = match &address {
            Some(ListenAddress::Unix(_)) => "every program of this user",
            _ => "every program on this machine",
        };
        reader.warn(format!(
            "--no-listen-token is used: {who} can call the server with your credentials"
        ));
    }
    if reader.is_on(Key::Lazy) {
        reader.warn("--lazy has no effect with --listen");
    }
    Some(ListenOptions { address: address?, path, anyone, origins, hosts, token })
}

fn refuse_lone_options(reader: &mut OptionReader<'_>) {
    const OTHERS: [Key; 6] = [
        Key::ListenPath,
        Key::ListenAnyone,
        Key::AllowOrigin,
        Key::AllowHost,
        Key::ListenTokenFile,
        Key::NoListenToken,
    ];
    for key in OTHERS {
        if let Some(Value { from, .. }) = reader.args.flag(key) {
            reader.report(key, usage_error(&format!("{from} is only for --listen"), "omit it"));
        }
    }
}

fn token(reader: &mut OptionReader<'_>) -> ListenToken {
    let is_omitted = reader.is_on(Key::NoListenToken);
    match (reader.args.value(Key::ListenTokenFile), is_omitted) {
        (Some(Value { from, .. }), true) => {
            let what = format!("{from} and --no-listen-token exclude each other");
            reader.report(Key::NoListenToken, usage_error(&what, "omit one of them"));
            ListenToken::Made
        }
        (Some(Value { text, .. }), false) => ListenToken::File(reader.environment.path(&text)),
        (None, true) => ListenToken::NotRequired,
        (None, false) => ListenToken::Made,
    }
}

/// `IP:PORT`, `localhost:PORT` or `unix:PATH`.
fn address(text: &str, environment: &Environment) -> Result<ListenAddress, Error> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        if cfg!(not(unix)) {
            let what = "sockets in files are available on Unix only";
            return Err(values::invalid(what.to_owned(), "write 127.0.0.1:PORT"));
        }
        return Ok(ListenAddress::Unix(environment.path(path)));
    }
    let port = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local.or_else(|| text.parse().ok()).map(ListenAddress::Tcp).ok_or_else(|| {
        let fix = "write 127.0.0.1:PORT, [::1]:PORT or unix:/PATH; port 0 takes a free one";
        values::invalid(format!("not an address to listen on: {text}"), fix)
    })
}

/// A path as it stands in requests.
fn path(text: &str) -> Result<String, Error> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%\\\"<>".contains(&byte);
    let has_dots = text.split('/').any(|part| part == "." || part == "..");
    if text.starts_with('/') && text.bytes().all(is_plain) && !has_dots && text != HEALTH_PATH {
        return Ok(text.to_owned());
    }
    Err(values::invalid(
        format!("not a path to listen on: {text}"),
        "write a path such as /mcp; /healthz is taken",
    ))
}

/// An origin as browsers write it: in lower case, without the default port.
fn origin(text: &str) -> Result<String, Error> {
    let lower = text.to_ascii_lowercase();
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let default_port = |scheme: &str| match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let read = |lower: &str| {
        let (scheme, authority) = lower.split_once("://")?;
        let (host, port) = host_and_port(authority.strip_suffix('/').unwrap_or(authority))?;
        let port = port.filter(|port| Some(*port) != default_port(scheme));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        is_scheme(scheme).then(|| format!("{scheme}://{host}{port}"))
    };
    read(&lower).ok_or_else(|| {
        let fix =
            "write scheme and host, such as https://app.example.com; * and null are not accepted";
        values::invalid(format!("not an origin: {text}"), fix)
    })
}

/// A host as `Host` has it, in lower case: a name or an address, and perhaps a port.
fn host(text: &str) -> Result<String, Error> {
    let lower = text.to_ascii_lowercase();
    let read = host_and_port(&lower).map(|(host, port)| {
        let host = host.strip_suffix('.').unwrap_or(host);
        port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    });
    read.ok_or_else(|| {
        let fix = "write a name or an address, such as proxy.example.com or proxy:8080";
        values::invalid(format!("not a host name: {text}"), fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let environment = Environment::default();
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        for (text, expected) in [
            ("127.0.0.1:8080", tcp("127.0.0.1:8080")),
            ("localhost:0", tcp("127.0.0.1:0")),
            ("[::1]:8080", tcp("[::1]:8080")),
            ("0.0.0.0:80", tcp("0.0.0.0:80")),
        ] {
            assert_eq!(address(text, &environment).unwrap(), expected, "{text}");
        }
        #[cfg(unix)]
        assert_eq!(
            address("unix:/run/a b.sock", &environment).unwrap(),
            ListenAddress::Unix("/run/a b.sock".into())
        );
        for text in
            ["", "8080", ":8080", "127.0.0.1", "::1:80", "[::1]", "localhost", "example.com:80"]
                .into_iter()
                .chain(["127.0.0.1:65536", "unix:", "http://127.0.0.1:80", "127.1:80", "tcp:1"])
        {
            let error = address(text, &environment).unwrap_err().to_string();
            assert!(error.contains("not an address to listen on"), "{text}: {error}");
        }
    }

    #[test]
    fn paths() {
        for text in ["/mcp", "/", "/a/b-c_d~e", "/.well-known/mcp"] {
            assert_eq!(path(text).unwrap(), text);
        }
        for text in ["", "mcp", "/a b", "/a?b", "/a#b", "/a/../b", "/.", "/%6dcp", "/ü", "/healthz"]
        {
            assert!(path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_brought_into_the_form_of_browsers() {
        for (text, expected) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443/", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:5173", "http://[::1]:5173"),
            ("https://a:80", "https://a:80"),
            ("https://a:", "https://a"),
            ("vscode-webview://1ab", "vscode-webview://1ab"),
        ] {
            assert_eq!(origin(text).unwrap(), expected);
        }
        for text in ["", "*", "null", "example.com", "https://", "https://a/b", "https://a b"]
            .into_iter()
            .chain(["https://u@a", "https://*.a", "://a", "https://a:x", "a,b"])
        {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for (text, expected) in [
            ("Proxy", "proxy"),
            ("proxy.example.com.", "proxy.example.com"),
            ("proxy:8080", "proxy:8080"),
            ("proxy:", "proxy"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]", "[::1]"),
            ("[FE80::1]:80", "[fe80::1]:80"),
        ] {
            assert_eq!(host(text).unwrap(), expected);
        }
        for text in ["", "*", "*.a", "http://a", "a/b", "u@a", "a:b", "a:65536", "::1"]
            .into_iter()
            .chain(["[::1", "[::1]x", "[a]", "a b", "ü"])
        {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
