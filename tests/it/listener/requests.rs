//! Requests as they should be, and as they should not: what two programs could read differently is refused.

use crate::harness::listening::Listening;
use crate::harness::program::{Launch, PATIENCE};
use crate::listener::raw::{PING, Raw, exchange, ping, statuses};
use crate::support::{Server, ServerOptions};
use sigv4_proxy::clock;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

fn start() -> (Server, Listening) {
    let server = Server::start(ServerOptions::default());
    let listening = Listening::open(Launch::to(&server.url("/mcp")));
    (server, listening)
}

#[test]
fn every_response_has_the_date() {
    let (_server, listening) = start();
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (request, status) in [
        (ping(""), 200),
        (ping("").replace("/mcp", "/other"), 404),
        (ping("Expect: more\r\n"), 417),
        (get.to_owned(), 200),
        (get.replace("GET", "HEAD"), 200),
        (get.replace("GET", "PUT"), 405),
        (get.replace("HTTP/1.1", "HTTP/7"), 505),
    ] {
        let response = exchange(listening.address(), &request);
        assert_eq!(statuses(&response), [status], "{request}");
        let head = response.split("\r\n\r\n").next().unwrap();
        let dates: Vec<&str> =
            head.lines().filter_map(|line| line.strip_prefix("Date: ")).collect();
        let [date] = dates[..] else { panic!("{request}: {response}") };
        let date = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).unwrap();
        let passed = clock::now() - date;
        assert!((-1..=20).contains(&passed.whole_seconds()), "{response}");
    }
}

/// Their end would never come.
#[test]
fn other_protocols_are_refused_at_once() {
    let (_server, listening) = start();
    for (bytes, why) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "the client speaks TLS"),
        (b"\x00\x00\x00\x08", "the request is not HTTP/1.1"),
        (b" GET /mcp", "the request is not HTTP/1.1"),
        (b"\r\n\xff", "the request is not HTTP/1.1"),
    ] {
        let mut raw = Raw::connect(listening.address());
        raw.write(bytes);
        let response = raw.read_until("}}");
        assert_eq!(statuses(&response), [400], "{response}");
        assert!(response.contains(why), "{response}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let (server, listening) = start();
    let post = |rest: &str| format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{rest}");
    let hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = PING.len();
    for (what, request) in [
        (
            "two lengths",
            post(&format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{PING}")),
        ),
        (
            "one length twice",
            post(&format!("Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{PING}")),
        ),
        ("a list of lengths", post(&format!("Content-Length: {length}, {length}\r\n\r\n{PING}"))),
        (
            "length and chunks",
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunks and length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunks twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("a list of codings", post("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")),
        ("another coding", post("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        ("no coding", post("Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}")),
        ("an unknown coding", post("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
        ("a coding that ends in a tab", post("Transfer-Encoding: chunked\u{b}\r\n\r\n0\r\n\r\n")),
        ("a quoted coding", post("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n")),
        ("an empty coding", post("Transfer-Encoding:\r\n\r\n0\r\n\r\n")),
        ("a space before the colon", post("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")),
        (
            "a line that is continued",
            post(&format!("X: a\r\n b\r\nContent-Length: {length}\r\n\r\n{PING}")),
        ),
        ("a length that is continued", post("Content-Length:\r\n 2\r\n\r\n{}")),
        (
            "a space before the first header",
            format!("POST /mcp HTTP/1.1\r\n Host: localhost\r\n\r\n{hidden}"),
        ),
        ("a signed length", post("Content-Length: +2\r\n\r\n{}")),
        ("a negative length", post("Content-Length: -1\r\n\r\n{}")),
        ("a length in hex", post("Content-Length: 0x2\r\n\r\n{}")),
        ("a length with a point", post("Content-Length: 2.0\r\n\r\n{}")),
        ("an empty length", post("Content-Length:\r\n\r\n{}")),
        ("a length beyond all numbers", post("Content-Length: 99999999999999999999999\r\n\r\n{}")),
        ("two hosts", post("Host: example.com\r\n\r\n")),
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned()),
        ("an empty host", "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n".to_owned()),
        (
            "lines without a carriage return",
            "GET /healthz HTTP/1.1\nHost: localhost\n\n".to_owned(),
        ),
        ("a line without a carriage return", post("X: y\nContent-Length: 2\r\n\r\n{}")),
        ("a carriage return in a value", post("X: a\rContent-Length: 2\r\n\r\n{}")),
        ("a zero byte in a value", post("X: a\0b\r\nContent-Length: 2\r\n\r\n{}")),
        ("a header without a name", post(": a\r\nContent-Length: 2\r\n\r\n{}")),
        ("a header without a colon", post("Nothing\r\nContent-Length: 2\r\n\r\n{}")),
        ("a name that is no token", post("X(y): a\r\nContent-Length: 2\r\n\r\n{}")),
        ("no version", "GET /healthz\r\nHost: localhost\r\n\r\n".to_owned()),
        ("two spaces", "GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("a space in the target", "GET /health z HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("a fragment", "GET /healthz#a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        (
            "another scheme",
            "GET https://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        ),
        (
            "a target for another host",
            "GET http://localhost/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(),
        ),
        ("a tunnel", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n".to_owned()),
        (
            "chunks in HTTP/1.0",
            "POST /mcp HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
        ),
        ("two tokens", post("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n")),
        ("two origins", post("Origin: https://a\r\nOrigin: https://b\r\n\r\n")),
        ("two sessions", post("Mcp-Session-Id: a\r\nmcp-session-id: b\r\n\r\n")),
        ("two types", post("Content-Type: application/json\r\nContent-Type: text/plain\r\n\r\n")),
        ("TLS", "\u{16}\u{3}\u{1}\0\u{1}\n".to_owned()),
    ] {
        // Whatever follows is not looked at.
        let response = exchange(listening.address(), format!("{request}{hidden}"));
        assert_eq!(statuses(&response), [400], "{what}: {response}");
        assert!(response.contains("Connection: close\r\n"), "{what}: {response}");
        assert!(
            response.contains(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600"#),
            "{response}"
        );
    }
    assert!(server.requests().is_empty());
    let latin_1 =
        [b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: \xe4\r\n\r\n".as_slice(), PING.as_bytes()];
    assert_eq!(statuses(&exchange(listening.address(), latin_1.concat())), [400]);
}

#[test]
fn chunks_that_are_not_what_they_say_are_refused() {
    let (server, listening) = start();
    for (what, body) in [
        ("no size", ";a\r\n{}\r\n0\r\n\r\n"),
        ("a size that is no number", "g\r\n{}\r\n0\r\n\r\n"),
        ("a prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("a sign", "+2\r\n{}\r\n0\r\n\r\n"),
        ("a space before the size", " 2\r\n{}\r\n0\r\n\r\n"),
        ("a space after the size", "2 \r\n{}\r\n0\r\n\r\n"),
        ("a size beyond all numbers", "10000000000000002\r\n{}\r\n0\r\n\r\n"),
        ("a line without a carriage return", "2\n{}\r\n0\r\n\r\n"),
        ("such a line in an extension", "2;a\n{}\r\n0\r\n\r\n"),
        ("a carriage return in an extension", "2;a\rb\r\n{}\r\n0\r\n\r\n"),
        ("more than the size", "1\r\n{}\r\n0\r\n\r\n"),
        ("no line after a chunk", "2\r\n{}0\r\n\r\n"),
        ("a trailer that is no header", "2\r\n{}\r\n0\r\nnothing\r\n\r\n"),
        ("a trailer that is continued", "2\r\n{}\r\n0\r\nX: a\r\n b: c\r\n\r\n"),
    ] {
        let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        let response = exchange(listening.address(), format!("{head}{body}"));
        assert_eq!(statuses(&response), [400], "{what}: {response}");
    }
    let endless = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2;{}",
        "a".repeat(2000)
    );
    assert_eq!(statuses(&exchange(listening.address(), endless)), [400]);
    assert!(server.requests().is_empty());
}

#[test]
fn requests_in_every_valid_form_are_answered() {
    let (_server, listening) = start();
    let (half, rest) = PING.split_at(7);
    let chunks = format!(
        "7;name=\"value\"\r\n{half}\r\n{:X}\r\n{rest}\r\n000\r\nX-Trailer: a\r\n\r\n",
        rest.len()
    );
    let length = PING.len();
    for (what, request) in [
        ("a length", ping("")),
        ("JSON in UTF-8", ping("Content-Type: application/json; charset=utf-8\r\n")),
        ("a body as it is", ping("Content-Encoding: identity\r\n")),
        (
            "chunks with extensions and a trailer",
            format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\ntransfer-encoding: Chunked\r\nConnection: x, Close\r\n\r\n{chunks}"
            ),
        ),
        (
            "an absolute target",
            format!(
                "POST HTTP://localhost/mcp?x=1 HTTP/1.1\r\nHost: LOCALHOST\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{PING}"
            ),
        ),
        ("a line end before it", format!("\r\n{}", ping(""))),
        ("several of them", format!("\r\n\r\n\r\n{}", ping(""))),
        (
            "HTTP/1.0",
            format!(
                "POST /mcp HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{PING}"
            ),
        ),
        (
            "HTTP/1.0 without a host",
            format!(
                "POST /mcp HTTP/1.0\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n{PING}"
            ),
        ),
        ("two headers of one name", ping("X-Forwarded-For: a\r\nX-Forwarded-For: b\r\n")),
    ] {
        let response = exchange(listening.address(), request);
        assert_eq!(statuses(&response), [200], "{what}: {response}");
        assert!(
            response.ends_with(r#""id":1,"result":{}}"#) || response.contains(r#""result":{}"#),
            "{what}: {response}"
        );
    }
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let (_server, listening) = start();
    let kept = ping("").replace("Connection: close\r\n", "");
    let chunked = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{PING}\r\n0\r\n\r\n",
        PING.len()
    );
    // All at once, and byte by byte.
    let all = format!("{kept}{chunked}{kept}\r\n{}", ping(""));
    assert_eq!(statuses(&exchange(listening.address(), &all)), [200; 4]);
    let mut raw = Raw::connect(listening.address());
    for byte in all.as_bytes() {
        raw.write([*byte]);
    }
    assert_eq!(statuses(&raw.read_to_end()), [200; 4]);
    // HTTP/1.0 keeps a connection only if it is asked to.
    let old = kept.replace("HTTP/1.1", "HTTP/1.0");
    let asked = old.replace("\r\nHost", "\r\nConnection: Keep-Alive\r\nHost");
    let response = exchange(listening.address(), format!("{asked}{old}{old}"));
    assert_eq!(statuses(&response), [200; 2], "{response}");
    assert_eq!(response.matches("Connection: keep-alive\r\n").count(), 1);
    assert_eq!(response.matches("Connection: close\r\n").count(), 1);
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let (_server, listening) = start();
    let request = ping("Expect: 100-Continue\r\n");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut raw = Raw::connect(listening.address());
    raw.write(format!("{head}\r\n\r\n"));
    assert_eq!(raw.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    raw.write(body);
    assert_eq!(statuses(&raw.read_to_end()), [200]);
    // Not if it is refused anyway.
    for (refused, status) in [
        (head.replace("localhost", "example.com"), 403),
        (head.replace("/mcp", "/other"), 404),
        (head.replace("Length: ", "Length: 9999999999"), 413),
        (head.replace("100-Continue", "200-ok"), 417),
    ] {
        let response = exchange(listening.address(), format!("{refused}\r\n\r\n"));
        assert_eq!(statuses(&response), [status], "{response}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--max-message-bytes").arg("100");
    let listening = Listening::open(launch);
    let head = |length: usize| {
        format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {}\r\n\r\n",
            "a".repeat(length)
        )
    };
    assert_eq!(statuses(&exchange(listening.address(), head(64_000))), [200]);
    assert_eq!(statuses(&exchange(listening.address(), head(70_000))), [431]);
    let target = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(70_000));
    assert_eq!(statuses(&exchange(listening.address(), target)), [431]);
    // Without an end.
    assert_eq!(statuses(&exchange(listening.address(), vec![b'a'; 200_000])), [431]);
    let mut many = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n".to_owned();
    (0..200).for_each(|number| write!(many, "X{number}: a\r\n").unwrap());
    assert_eq!(statuses(&exchange(listening.address(), many + "\r\n")), [431]);

    let body = |size: usize| format!("{PING}{}", " ".repeat(size - PING.len()));
    let whole = |size: usize| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{}",
            body(size)
        )
    };
    let chunked = |size: usize| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            &body(size)[..64],
            size - 64,
            &body(size)[64..]
        )
    };
    for (size, status) in [(100, 200), (101, 413), (100_000, 413)] {
        for request in [whole(size), chunked(size)] {
            let response = exchange(listening.address(), request);
            assert_eq!(statuses(&response), [status], "{response}");
            assert_eq!(response.contains("--max-message-bytes"), status == 413);
        }
    }
}

#[test]
fn large_bodies_beyond_the_memory_for_all_are_refused_until_there_is_room() {
    let server = Server::start(ServerOptions::default());
    let launch = Launch::to(&server.url("/mcp")).arg("--max-message-bytes=40000000");
    let listening = Listening::open(launch);
    let head = |length: &str| {
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{length}\r\n\r\n")
    };
    let announce = || {
        let mut raw = Raw::connect(listening.address());
        raw.write(head("Content-Length: 40000000"));
        (raw.read_until("\r\n\r\n"), raw)
    };
    let mut taken: Vec<Raw> = (0..2)
        .map(|_| {
            let (response, raw) = announce();
            assert_eq!(statuses(&response), [100]);
            raw
        })
        .collect();
    let (response, _) = announce();
    assert_eq!(statuses(&response), [503], "{response}");
    assert!(response.contains("\r\nRetry-After: 1\r\n"), "{response}");
    let chunk = format!("{}20000\r\n", head("Transfer-Encoding: chunked"));
    assert_eq!(statuses(&exchange(listening.address(), chunk)), [503]);
    assert_eq!(statuses(&exchange(listening.address(), ping(""))), [200], "small ones are served");
    taken.pop();
    let begun = Instant::now();
    while statuses(&announce().0) != [100] {
        assert!(begun.elapsed() < PATIENCE, "there is room again");
    }
}

#[test]
fn paths_and_methods_that_are_not_served() {
    let (server, listening) = start();
    for (request, status, allowed) in [
        ("GET /healthz", 200, None),
        ("HEAD /healthz", 200, None),
        ("GET /healthz?deep=1", 200, None),
        ("POST /healthz", 405, Some("GET, HEAD")),
        ("OPTIONS /healthz", 405, Some("GET, HEAD")),
        ("GET /", 404, None),
        ("GET /mcp/", 404, None),
        ("POST //mcp", 404, None),
        ("POST /MCP", 404, None),
        ("POST /%6dcp", 404, None),
        ("POST /a/../mcp", 404, None),
        ("POST /mcp;a=b", 404, None),
        ("OPTIONS *", 404, None),
        ("HEAD /.well-known/oauth-protected-resource", 404, None),
        ("HEAD /mcp", 405, Some("GET, POST, DELETE")),
        ("PUT /mcp", 405, Some("GET, POST, DELETE")),
        ("PATCH /mcp", 405, Some("GET, POST, DELETE")),
        ("TRACE /mcp", 405, Some("GET, POST, DELETE")),
        ("OPTIONS /mcp", 405, Some("GET, POST, DELETE")),
        ("post /mcp", 405, Some("GET, POST, DELETE")),
    ] {
        let response = exchange(
            listening.address(),
            format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(statuses(&response), [status], "{request}: {response}");
        let allow = response.split("\r\nAllow: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        assert_eq!(allow, allowed, "{request}");
        let body = response.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body.is_empty(), request.starts_with("HEAD"), "{request}: {body}");
    }
    assert!(server.requests().is_empty(), "nothing of it is the server's business");
    let version = exchange(listening.address(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(statuses(&version), [505]);
}

#[test]
fn bodies_that_pages_could_send_unasked_are_refused() {
    let (server, listening) = start();
    for headers in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/jsonx\r\n",
        "Content-Type:\r\n",
        "Content-Encoding: gzip\r\n",
    ] {
        let response = exchange(listening.address(), ping(headers));
        assert_eq!(statuses(&response), [415], "{headers}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_request_that_breaks_off_is_not_answered() {
    let (server, listening) = start();
    let whole = ping("");
    for length in [10, whole.len() - PING.len(), whole.len() - 1] {
        let mut raw = Raw::connect(listening.address());
        raw.write(&whole[..length]);
        assert!(raw.is_silent_for(Duration::from_millis(20)));
        raw.end_input();
        assert_eq!(raw.read_to_end(), "");
    }
    assert!(server.requests().is_empty());
}
