//! The choice of an HTTP proxy, hosts that bypass it, and errors when it cannot be used.

use crate::harness::messages::assert_error;
use crate::harness::program::Launch;
use crate::http::tls::authority;
use crate::support::tls::{TlsServer, connect_proxy, localhost};
use crate::support::{Server, ServerOptions};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A proxy that responds to every CONNECT with this head. Returns its port and the number of requests.
fn refusing_proxy(head: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 4096];
            let _ = client.read(&mut request);
            let _ = client.write_all(head.as_bytes());
        }
    });
    (port, count)
}

#[test]
fn https_goes_through_the_proxy_by_connect_with_its_credentials() {
    let authority = authority("proxy CA");
    let server = TlsServer::start(&authority.sign(&localhost()));
    let (proxy, asked) = connect_proxy(server.port);
    let launch = |url: &str| {
        Launch::to(url)
            .arg("--ca-bundle")
            .arg(authority.pem.to_str().unwrap())
            .env("HTTPS_PROXY", &format!("http://user:pass@127.0.0.1:{proxy}"))
    };
    let mut program = launch("https://mcp.example/mcp").start();
    assert!(program.ask(PING)["result"].is_object());
    let heads = asked.lock().unwrap().clone();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("CONNECT mcp.example:443 HTTP/1.1\r\n"), "{heads:?}");
    assert!(
        heads[0].to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"),
        "{heads:?}"
    );
    assert!(!heads[0].contains("AWS4-HMAC"), "nothing of ours is in the clear");
    let ended = program.close();
    assert!(!ended.log.contains("user:pass"));

    // Never for this machine, nor for a host that NO_PROXY names.
    let mut program = launch(&server.url()).start();
    assert!(program.ask(PING)["result"].is_object());
    let ended = launch("https://mcp.example/mcp")
        .env("NO_PROXY", "mcp.example")
        .arg("--retries=0")
        .run(&format!("{PING}\n"));
    assert!(!ended.lines[0].contains("\"result\""), "{:?}", ended.lines);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
#[cfg_attr(windows, ignore = "names of variables have no case there")]
fn a_proxy_that_cannot_be_used_is_named_with_its_variable() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    // Not a proxy: it refuses CONNECT.
    let plain = Server::start(ServerOptions::default());
    let refused = &[
        &format!("connect to 127.0.0.1:{port} (the proxy): connection refused")[..],
        "(check HTTPS_PROXY)",
    ];
    let not_allowed = &[
        "CONNECT mcp.example through the proxy",
        "HTTP 403 (check the URL and HTTPS_PROXY, have the proxy allow mcp.example, or list it in NO_PROXY",
    ];
    let no_tunnel = &["HTTP 502 (check the URL and HTTPS_PROXY, have the proxy allow mcp.example"];
    let (failing_port, _) = refusing_proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let (portal_port, _) = refusing_proxy("HTTP/1.1 302 Found\r\nLocation: http://p/\r\n\r\n");
    let (other_port, _) = refusing_proxy("SSH-2.0-x\r\n");
    let (plain_port, _) = refusing_proxy("HTTP/1.1 400 Bad Request\r\n\r\n");
    let no_tls = &[
        &format!("TLS with 127.0.0.1:{plain_port} (the proxy): "),
        "(if the proxy itself does not expect TLS, write http:// in HTTPS_PROXY)",
    ];
    let cases: [(&str, String, &[&str]); 8] = [
        ("HTTPS_PROXY", format!("http://127.0.0.1:{port}"), refused),
        (
            "https_proxy",
            format!("http://127.0.0.1:{port}"),
            &["(the proxy): connection refused (check https_proxy)"],
        ),
        (
            "HTTPS_PROXY",
            "http://no-such-proxy.invalid:3128".to_owned(),
            &["lookup no-such-proxy.invalid:3128 (the proxy): no such host (check HTTPS_PROXY)"],
        ),
        ("HTTPS_PROXY", plain.url("/").replace("/mcp", ""), not_allowed),
        ("HTTPS_PROXY", format!("http://127.0.0.1:{failing_port}"), no_tunnel),
        (
            "HTTPS_PROXY",
            format!("http://127.0.0.1:{portal_port}"),
            &["HTTP 302 (sign in to the network with a browser)"],
        ),
        (
            "HTTPS_PROXY",
            format!("http://127.0.0.1:{other_port}"),
            &["the response is not HTTP (check HTTPS_PROXY: it may not name an HTTP proxy)"],
        ),
        ("HTTPS_PROXY", format!("https://127.0.0.1:{plain_port}"), no_tls),
    ];
    for (variable, proxy, words) in cases {
        let launch = Launch::to("https://mcp.example/mcp").arg("--retries=0").env(variable, &proxy);
        let mut program = launch.start();
        let answer = program.ask(PING);
        assert_error(&answer, &json!(1), words);
        assert!(!answer.to_string().contains("is the server running"), "{answer}");
    }
    // It does not hinder a server on this machine.
    let mut program =
        Launch::to(&plain.url("/mcp")).env("ALL_PROXY", "socks5://127.0.0.1:1").start();
    assert!(program.ask(PING)["result"].is_object());
}

#[test]
#[cfg_attr(windows, ignore = "names of variables have no case there")]
fn the_variable_that_counts_is_the_one_of_the_urls_scheme_in_lower_case() {
    let server = Server::start(ServerOptions::default());
    let port = server.url("").rsplit_once(':').unwrap().1.parse().unwrap();
    let ((right, used), (wrong, unused)) = (connect_proxy(port), connect_proxy(port));
    let [right, wrong] = [right, wrong].map(|port| format!("http://127.0.0.1:{port}"));
    for variables in [
        &[("http_proxy", &right), ("HTTP_PROXY", &wrong), ("https_proxy", &wrong)][..],
        &[("all_proxy", &right), ("ALL_PROXY", &wrong), ("HTTPS_PROXY", &wrong)],
        &[("ALL_PROXY", &right)],
    ] {
        let launch = Launch::to("http://mcp.example/mcp").arg("--allow-http").arg("--no-sse");
        let launch = variables.iter().fold(launch, |launch, (name, url)| launch.env(name, url));
        assert!(launch.start().ask(PING)["result"].is_object(), "{variables:?}");
    }
    assert_eq!(used.lock().unwrap().len(), 3);
    assert!(used.lock().unwrap()[0].starts_with("CONNECT mcp.example:80 HTTP/1.1\r\n"));
    assert_eq!(unused.lock().unwrap().len(), 0);
}

#[test]
#[cfg_attr(windows, ignore = "names of variables have no case there")]
fn a_variable_that_cannot_be_read_ends_the_start_and_is_named_without_its_password() {
    for (variable, value, url) in [
        ("https_proxy", "http://ann:hush-hush@127.0.0.1:port", "https://mcp.example/mcp"),
        ("HTTPS_PROXY", "ftp://ann:hush-hush@127.0.0.1", "https://mcp.example/mcp"),
        ("ALL_PROXY", "http://", "https://mcp.example/mcp"),
        ("HTTPS_PROXY", "http://ann:hush-hush@wpad/proxy.pac", "https://mcp.example/mcp"),
        ("ALL_PROXY", "socks5h://ann:hush-hush@127.0.0.1:1", "https://mcp.example/mcp"),
        ("https_proxy", "http://ann:hush/hush-hush@127.0.0.1:1", "http://127.0.0.1:9/mcp"),
    ] {
        let ended = Launch::to(url).env(variable, value).run(PING);
        assert_eq!((ended.code, ended.lines.len()), (Some(2), 0), "{variable}: {ended:?}");
        let start = format!("ERROR: configuration error: {variable}");
        assert!(ended.log.starts_with(&start), "{}", ended.log);
        assert!(!ended.log.contains("hush"), "{}", ended.log);
    }
}

#[test]
#[cfg_attr(windows, ignore = "names of variables have no case there")]
fn a_proxy_that_wants_a_sign_in_says_which_and_is_not_asked_again() {
    for (challenge, user, words) in [
        (
            "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n",
            "ann:pw@",
            "HTTP 407: the proxy requires Negotiate or NTLM; only Basic is supported",
        ),
        (
            "proxy-authenticate: Digest realm=\"x\", qop=\"auth\"\r\n",
            "",
            "the proxy requires Digest; only Basic is supported",
        ),
        (
            "Proxy-Authenticate: Negotiate, Basic realm=\"x\"\r\n",
            "",
            "the proxy requires a user and password (set https_proxy=",
        ),
        (
            "Proxy-Authenticate: Basic\r\n",
            "ann:pw@",
            "the proxy rejected the user or password (check the user and password in https_proxy",
        ),
    ] {
        let head = format!("HTTP/1.1 407 Who are you\r\n{challenge}Content-Length: 0\r\n\r\n");
        let (proxy, count) = refusing_proxy(head.leak());
        let launch = Launch::to("https://mcp.example/mcp")
            .env("https_proxy", &format!("http://{user}127.0.0.1:{proxy}"));
        let answer = launch.start().ask(PING);
        assert_error(&answer, &json!(1), &[words]);
        assert_eq!(count.load(Ordering::Relaxed), 1, "{answer}");
    }
}

#[test]
fn the_services_of_aws_are_reached_through_the_proxy_though_the_server_is_not() {
    let server = Server::start(ServerOptions::default());
    let head = "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
    let (proxy, count) = refusing_proxy(head);
    let answer = Launch::to(&server.url("/mcp"))
        .arg("--role-arn=arn:aws:iam::123456789012:role/agent")
        .env("AWS_ENDPOINT_URL_STS", "https://sts.example")
        .env("https_proxy", &format!("http://127.0.0.1:{proxy}"))
        .start()
        .ask(PING);
    let words = [
        "CONNECT sts.example",
        "the proxy requires NTLM; only Basic is supported",
        "(use a proxy that accepts Basic, or a local one that signs in for you",
    ];
    assert_error(&answer, &json!(1), &words);
    assert_eq!(count.load(Ordering::Relaxed), 1, "the account could be locked");
}

#[test]
#[cfg_attr(windows, ignore = "names of variables have no case there")]
fn values_that_were_probably_not_meant_so_are_warned_of_once() {
    let server = Server::start(ServerOptions::default());
    let entries = "good.example, https://a.example:8443/x,b.example;c.example *.d.example,10.*";
    let expected = [
        "HTTPS_PROXY contains a placeholder such as ${…} that was not replaced",
        "NO_PROXY: https://a.example:8443/x matches no host; write a.example:8443",
        "NO_PROXY: b.example;c.example matches no host; write b.example,c.example",
        "NO_PROXY: 10.* matches no host; write 10.0.0.0/8",
    ];
    for proxy in ["http://${USER}:hush-hush@127.0.0.1:9", "http://%USERNAME%:hush-hush@h:9"] {
        let launch = |launch: Launch| {
            let launch = launch.env("HTTPS_PROXY", proxy).env("https_proxy", proxy);
            launch.env("NO_PROXY", entries)
        };
        let ended = launch(Launch::to(&server.url("/mcp"))).run(&format!("{PING}\n{PING}\n"));
        let warnings: Vec<&str> =
            ended.log.lines().filter_map(|line| Some(line.split_once("WARN: ")?.1)).collect();
        let expected = expected.map(|warning| warning.replace("HTTPS_PROXY", "https_proxy"));
        assert_eq!(warnings, expected, "{}", ended.log);
        assert!(!ended.log.contains("hush"), "{}", ended.log);
    }
    // Without a proxy there is nothing to bypass.
    let ended = Launch::to(&server.url("/mcp")).env("NO_PROXY", entries).run("");
    assert!(!ended.log.contains("WARN"), "{}", ended.log);
    let proxy = ("HTTPS_PROXY", "http://$USER:hush-hush@127.0.0.1:9");
    let ended = Launch::bare(&["doctor", &server.url("/mcp"), "--region=r", "--service-name=s"])
        .env(proxy.0, proxy.1)
        .env("NO_PROXY", entries)
        .run("");
    let report = ended.lines.join("\n");
    for warning in expected {
        assert_eq!(report.matches(&format!("warning: {warning}")).count(), 1, "{report}");
    }
}

#[test]
fn a_placeholder_explains_why_a_proxy_cannot_be_used() {
    let ended = Launch::to("https://mcp.example/mcp")
        .env("ALL_PROXY", "http://${PROXY_HOST}:3128")
        .run(PING);
    assert_eq!((ended.code, ended.lines.len()), (Some(2), 0), "{}", ended.log);
    assert!(ended.log.contains("(ALL_PROXY contains a placeholder such as ${…}"), "{}", ended.log);
}
