//! `--listen` and its companions: the address, the clients that may connect, and their token.

use crate::cli::args::{ParsedArgs, Value};
use crate::cli::options::{ListenAddress, ListenOptions, ListenToken};
use crate::cli::problem::usage_error;
use crate::cli::table::Key;
use crate::cli::values;
use crate::environment::Environment;
use crate::error::Error;
use crate::http::authority::host_and_port;
use std::net::{Ipv4Addr, SocketAddr};

/// The path of a listener for health checks, which the MCP endpoint cannot have.
const HEALTH_PATH: &str = "/healthz";

/// The listener's options, and what is wrong with them.
pub(crate) struct ListenRead {
    pub(crate) listen: Option<ListenOptions>,
    pub(crate) problems: Vec<(Key, Error)>,
    pub(crate) warnings: Vec<String>,
}

/// Reads all options of the listener. Without `--listen` the others are problems.
pub(crate) fn read(args: &ParsedArgs<'_>, environment: &Environment) -> ListenRead {
    let mut read = ListenRead { listen: None, problems: Vec::new(), warnings: Vec::new() };
    let Some(Value { text, from }) = args.value(Key::Listen) else {
        read.refuse_lone_options(args);
        return read;
    };
    let address = read.checked(Key::Listen, &from, address(&text, environment));
    let path = args.value(Key::ListenPath).map_or_else(
        || Some(Key::ListenPath.row().default.to_owned()),
        |Value { text, from }| read.checked(Key::ListenPath, &from, path(&text)),
    );
    let anyone = read.switch(args, Key::ListenAnyone);
    let origins = read.words(args, Key::AllowOrigin, origin);
    let hosts = read.words(args, Key::AllowHost, host);
    let token = read.token(args, environment);
    if let Some(ListenAddress::Tcp(address)) = &address
        && !address.ip().to_canonical().is_loopback()
    {
        let what = format!("{from} {text} can be reached from other machines");
        let fix = "listen on 127.0.0.1 or [::1], or add --listen-anyone";
        if anyone {
            read.warnings.push(format!("{what}: messages and the token are sent unencrypted"));
        } else {
            read.problems.push((Key::Listen, usage_error(&what, fix)));
        }
    }
    if anyone && token == ListenToken::NotRequired {
        let what = "--listen-anyone requires a bearer token";
        read.problems.push((Key::ListenAnyone, usage_error(what, "omit --no-listen-token")));
    }
    if token == ListenToken::NotRequired {
        let who = match &address {
            Some(ListenAddress::Unix(_)) => "every program of this user",
            _ => "every program on this machine",
        };
        read.warnings.push(format!(
            "--no-listen-token is used: {who} can call the server with your credentials"
        ));
    }
    if args.value(Key::Lazy).is_some_and(|value| values::switch(&value.text).unwrap_or(false)) {
        read.warnings.push("--lazy has no effect with --listen".to_owned());
    }
    if let (Some(address), Some(path)) = (address, path) {
        read.listen = Some(ListenOptions { address, path, anyone, origins, hosts, token });
    }
    read
}

impl ListenRead {
    fn refuse_lone_options(&mut self, args: &ParsedArgs<'_>) {
        const OTHERS: [Key; 6] = [
            Key::ListenPath,
            Key::ListenAnyone,
            Key::AllowOrigin,
            Key::AllowHost,
            Key::ListenTokenFile,
            Key::NoListenToken,
        ];
        for (key, from) in OTHERS.into_iter().filter_map(|key| Some((key, args.flag(key)?.from))) {
            let error = usage_error(&format!("{from} is only for --listen"), "omit it");
            self.problems.push((key, error));
        }
    }

    fn checked<T>(&mut self, key: Key, from: &str, value: Result<T, Error>) -> Option<T> {
        let error = match value {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        self.problems.push((key, error.context(from).context("configuration error")));
        None
    }

    fn switch(&mut self, args: &ParsedArgs<'_>, key: Key) -> bool {
        let value = args.value(key);
        let read = value.map(|value| self.checked(key, &value.from, values::switch(&value.text)));
        read.flatten().unwrap_or(false)
    }

    fn words(
        &mut self,
        args: &ParsedArgs<'_>,
        key: Key,
        read: fn(&str) -> Result<String, Error>,
    ) -> Vec<String> {
        let values = args.flags(key);
        values.filter_map(|value| self.checked(key, &value.from, read(&value.text))).collect()
    }

    fn token(&mut self, args: &ParsedArgs<'_>, environment: &Environment) -> ListenToken {
        let is_omitted = self.switch(args, Key::NoListenToken);
        match (args.value(Key::ListenTokenFile), is_omitted) {
            (Some(Value { from, .. }), true) => {
                let what = format!("{from} and --no-listen-token exclude each other");
                self.problems.push((Key::NoListenToken, usage_error(&what, "omit one of them")));
                ListenToken::Made
            }
            (Some(Value { text, .. }), false) => ListenToken::File(environment.path(&text)),
            (None, true) => ListenToken::NotRequired,
            (None, false) => ListenToken::Made,
        }
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
            ("vscode-webview://1ab", "vscode-webview://1ab"),
        ] {
            assert_eq!(origin(text).unwrap(), expected);
        }
        for text in ["", "*", "null", "example.com", "https://", "https://a/b", "https://a b"]
            .into_iter()
            .chain(["https://u@a", "https://*.a", "://a", "https://a:x", "https://a:", "a,b"])
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
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]", "[::1]"),
            ("[FE80::1]:80", "[fe80::1]:80"),
        ] {
            assert_eq!(host(text).unwrap(), expected);
        }
        for text in ["", "*", "*.a", "http://a", "a/b", "u@a", "a:", "a:b", "a:65536", "::1"]
            .into_iter()
            .chain(["[::1", "[::1]x", "[a]", "a b", "ü"])
        {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
