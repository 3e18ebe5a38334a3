//! Who may connect: hosts, origins of pages, the bearer token.

use crate::harness::listening::Listening;
use crate::harness::program::Launch;
use crate::listener::raw::{Raw, exchange, ping, statuses};
use crate::support::{Server, ServerOptions};

fn with(server: &Server, arguments: &[&str]) -> Launch {
    let launch = Launch::to(&server.url("/mcp"));
    arguments.iter().fold(launch, |launch, argument| launch.arg(argument))
}

/// Pages of other sites reach a listener on loopback by names that lead there (DNS rebinding).
#[test]
fn only_the_names_of_the_listener_are_answered() {
    let server = Server::start(ServerOptions::default());
    let names = ["Proxy.example.com", "tunnel:9000", "plain:80", "tls:443"];
    let names = names.map(|name| ["--allow-host", name]);
    let launch = with(&server, names.as_flattened());
    let listening = Listening::open(launch);
    let (_, port) = listening.address().split_once(':').unwrap();
    for (host, status) in [
        ("127.0.0.1:PORT", 200),
        ("127.0.0.1", 200),
        ("localhost:PORT", 200),
        ("LocalHost.:PORT", 200),
        ("proxy.EXAMPLE.com", 200),
        ("proxy.example.com:443", 200),
        ("proxy.example.com.:PORT", 200),
        ("tunnel:9000", 200),
        ("tunnel:PORT", 403),
        ("tunnel", 403),
        ("plain", 200),
        ("tls", 200),
        ("tls:80", 403),
        ("127.0.0.1:1", 403),
        ("localhost:1", 403),
        ("127.0.0.2:PORT", 403),
        ("127.1:PORT", 403),
        ("0.0.0.0:PORT", 403),
        ("2130706433:PORT", 403),
        ("0x7f.0.0.1:PORT", 403),
        ("[::1]:PORT", 403),
        ("[::ffff:127.0.0.1]:PORT", 403),
        ("evil.example:PORT", 403),
        ("localhost.evil.example:PORT", 403),
        ("evil.proxy.example.com", 403),
        ("127.0.0.1.evil.example:PORT", 403),
        ("localhost..:PORT", 403),
        ("localhost@evil.example:PORT", 400),
        ("evil.example@localhost:PORT", 400),
        ("localhost:PORT:PORT", 400),
        ("localhost:", 200),
        ("evil.example:", 403),
        ("localhost:65536", 400),
        ("localhost:x", 400),
        ("localhost, localhost", 400),
        ("localhost/", 400),
        ("http://localhost:PORT", 400),
        ("::1", 400),
        ("[::1", 400),
        ("[::1%lo]:PORT", 400),
        ("*", 400),
    ] {
        let host = host.replace("PORT", port);
        let request = ping("").replace("localhost", &host);
        let response = exchange(listening.address(), request);
        assert_eq!(statuses(&response), [status], "{host}: {response}");
        // The host of an absolute target replaces the header.
        let target = format!("http://{host}/healthz");
        let request = format!("GET {target} HTTP/1.0\r\nConnection: close\r\n\r\n");
        let response = exchange(listening.address(), request);
        let same = host.contains([' ', '/', '*']) || statuses(&response) == [status];
        assert!(same, "{target}: {response}");
    }
    let health =
        exchange(listening.address(), "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(statuses(&health), [403]);
}

/// A browser sends no `Origin` for an image, and the token may not be required.
#[test]
fn requests_that_a_page_makes_a_browser_send_are_refused() {
    let server = Server::start(ServerOptions { get_stream: true, ..ServerOptions::default() });
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    for (site, is_refused) in
        [("cross-site", true), ("same-site", true), ("same-origin", false), ("none", false)]
    {
        for path in ["/healthz", "/mcp"] {
            let mut raw = Raw::connect(listening.address());
            raw.write(format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: {site}\r\n\r\n"
            ));
            let response = raw.read_until("\r\n\r\n");
            assert_eq!(statuses(&response), [if is_refused { 403 } else { 200 }], "{site} {path}");
        }
    }
    let requests = server.requests();
    assert_eq!(requests.iter().filter(|request| request.label() == "GET").count(), 2);
}

#[test]
fn only_pages_of_allowed_origins_are_answered() {
    let server = Server::start(ServerOptions::default());
    let origins =
        ["--allow-origin=https://App.example.com/", "--allow-origin", "http://localhost:3000"];
    let listening = Listening::start(with(&server, &origins));
    let token = format!("Authorization: Bearer {}\r\n", listening.token.as_deref().unwrap());
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nConnection: close\r\n\
             Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization, content-type,mcp-protocol-version, Mcp-Param-x, cookie, x-y\r\n\r\n"
        )
    };
    for (origin, is_allowed) in [
        ("https://app.example.com", true),
        ("http://localhost:3000", true),
        ("https://app.example.com:443", false),
        ("https://APP.example.com", false),
        ("https://app.example.com.", false),
        ("https://app.example.com/", false),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("https://evil.example", false),
        ("https://app.example.com.evil.example", false),
        ("https://evil.example/https://app.example.com", false),
        ("https://user@app.example.com", false),
        ("https://app.example.com https://evil.example", false),
        ("http://localhost", false),
        ("http://localhost:3001", false),
        ("http://127.0.0.1:3000", false),
        ("null", false),
        ("*", false),
        ("file://", false),
        ("", false),
    ] {
        let allow = format!("Access-Control-Allow-Origin: {origin}\r\n");
        let request = ping(&format!("Origin: {origin}\r\n{token}"));
        let response = exchange(listening.address(), request);
        assert_eq!(
            statuses(&response),
            [if is_allowed { 200 } else { 403 }],
            "{origin}: {response}"
        );
        assert_eq!(response.contains(&allow), is_allowed, "{origin}: {response}");
        let response = exchange(listening.address(), preflight(origin));
        assert_eq!(
            statuses(&response),
            [if is_allowed { 204 } else { 403 }],
            "{origin}: {response}"
        );
        assert_eq!(response.contains(&allow), is_allowed, "{origin}: {response}");
        assert_eq!(
            response.contains("Access-Control-Allow-Methods: GET, POST, DELETE\r\n"),
            is_allowed
        );
        let headers = "Access-Control-Allow-Headers: authorization, content-type, mcp-protocol-version, Mcp-Param-x\r\n";
        assert_eq!(response.contains(headers), is_allowed, "{response}");
        assert!(!response.contains("Allow-Credentials"), "{response}");
        // Whether the process is there is not the page's business either.
        let health = format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
        );
        let response = exchange(listening.address(), health);
        assert_eq!(statuses(&response), [if is_allowed { 200 } else { 403 }], "{origin}");
    }
    // A page sees why it is refused, and what it needs in order to continue.
    let page = "Origin: http://localhost:3000\r\n";
    let response = exchange(listening.address(), ping(page));
    assert_eq!(statuses(&response), [401]);
    assert!(
        response.contains("Access-Control-Allow-Origin: http://localhost:3000\r\n"),
        "{response}"
    );
    assert!(response.contains("Access-Control-Expose-Headers: Mcp-Session-Id, "), "{response}");
    assert!(response.contains("Vary: Origin\r\n"), "{response}");
}

#[test]
fn nothing_is_sent_without_the_token() {
    let server = Server::start(ServerOptions::default());
    let listening = Listening::start(with(&server, &[]));
    let token = listening.token.clone().unwrap();
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let other = token.replace('0', "1") + "0";
    for (what, headers) in [
        ("none", String::new()),
        ("an empty one", "Authorization: \r\n".to_owned()),
        ("no token", "Authorization: Bearer\r\n".to_owned()),
        ("an empty token", "Authorization: Bearer \r\n".to_owned()),
        ("another one", format!("Authorization: Bearer {other}\r\n")),
        ("the beginning", format!("Authorization: Bearer {}\r\n", &token[..63])),
        ("more than it", format!("Authorization: Bearer {token}0\r\n")),
        ("two", format!("Authorization: Bearer {token}, {token}\r\n")),
        ("upper case", format!("Authorization: Bearer {}\r\n", token.to_ascii_uppercase())),
        ("another scheme", format!("Authorization: Basic {token}\r\n")),
        ("no scheme", format!("Authorization: {token}\r\n")),
        ("another header", format!("X-Authorization: Bearer {token}\r\n")),
    ] {
        let response = exchange(listening.address(), ping(&headers));
        assert_eq!(statuses(&response), [401], "{what}: {response}");
        assert!(response.contains("\r\nWWW-Authenticate: Bearer"), "{what}: {response}");
        assert!(!response.contains(&token), "{what}: {response}");
    }
    for request in ["GET /mcp", "DELETE /mcp", "POST /mcp?access_token=TOKEN"] {
        let request = request.replace("TOKEN", &token);
        let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(statuses(&exchange(listening.address(), request)), [401]);
    }
    assert!(server.requests().is_empty());
    for scheme in ["Bearer", "bearer", "BEARER "] {
        let headers = format!("Authorization: {scheme} {token}\r\n");
        let response = exchange(listening.address(), ping(&headers));
        assert_eq!(statuses(&response), [200], "{response}");
    }
    for request in server.requests() {
        assert!(!format!("{request:?}").contains(&token), "the token is not the server's business");
    }
}
