//! Responses that a network sends in place of the server: pages, redirects, demands for a sign-in.

use crate::doctor::checks::{assert_check, launch as doctor, sts};
use crate::harness::messages::assert_error;
use crate::harness::program::Launch;
use crate::http::tls::authority;
use crate::support::tls::{Identity, connect_proxy, localhost};
use crate::support::{Reply, Server, ServerOptions};
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const PAGE: &str = "<!DOCTYPE html><html><body>Sign in to the guest network</body></html>";
const HTML: &str = "Content-Type: text/html; charset=utf-8\r\n";
const ROLE: &str = "--role-arn=arn:aws:iam::123456789012:role/agent";

/// Sends this response to every request over TLS.
fn filter(identity: &Identity, response: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(identity.server_config());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, response) = (Arc::clone(&config), response.clone());
            std::thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                let mut bytes = [0; 16 * 1024];
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
                    // The body may follow the head.
                    let _ = stream.write_all(response.as_bytes()).and_then(|()| stream.flush());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
        }
    });
    port
}

/// A response with these header lines.
fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{body}")
}

fn page(status: &str) -> String {
    response(status, HTML, PAGE)
}

fn message(response: &Value) -> &str {
    response["error"]["message"].as_str().unwrap()
}

#[test]
fn what_a_proxy_may_have_sent_names_it() {
    let server = Server::start(ServerOptions::default());
    let of_aws = format!("{HTML}x-amzn-RequestId: r-1\r\n");
    let of_cdn = format!("{HTML}Server: CloudFront\r\n");
    let proxy = "have the proxy 127.0.0.1:";
    let sign_in =
        "; or sign in to the network with a browser, if portal.example is its sign-in page";
    for (status, headers, body, words, names_proxy) in [
        ("200 OK", HTML, PAGE, &["HTML or XML page (text/html)", "an MCP endpoint; or "][..], true),
        ("403 Forbidden", HTML, PAGE, &["HTTP 403", "(check the policy", "; or "], true),
        ("404 Not Found", HTML, PAGE, &["(check the path of the URL"], true),
        ("404 Not Found", &of_aws, PAGE, &["(check the path of the URL"], false),
        ("403 Forbidden", &of_cdn, PAGE, &["(check the policy"], false),
        ("404 Not Found", "", r#"{"message":"No such path"}"#, &["No such path (check the"], false),
        ("302 Found", "Location: https://portal.example/login?to=x\r\n", "", &[sign_in], true),
        ("307 To", "Location: http://mcp.example/x/\r\n", "", &["set --target-url"], false),
        ("307 To", "Location: /mcp/\r\n", "", &["set --target-url"], false),
        ("407 Who", HTML, PAGE, &["the network refused", "set HTTPS_PROXY=http://"], true),
        ("511 Who", HTML, PAGE, &["the network refused", "(sign in to the network"], true),
    ] {
        let reply = Reply::Raw(response(status, headers, body).into_bytes());
        let launch = |launch: Launch| {
            server.reply_next("ping", reply.clone());
            launch.arg("--retries=0").start().ask(PING)
        };
        let through_proxy = Launch::under_name(&server, "mcp.example/mcp");
        let response =
            launch(through_proxy.arg("--region=us-east-1").arg("--service-name=execute-api"));
        assert_error(&response, &json!(1), words);
        assert_eq!(message(&response).contains(proxy), names_proxy, "{response}");
        // On this machine, nothing is in between.
        let response = launch(Launch::to(&server.url("/mcp")));
        assert!(!message(&response).contains(proxy), "{response}");
    }
}

#[test]
fn what_a_network_that_opens_tls_may_have_sent_names_its_authority() {
    let authority = authority("Corporate CA of the server");
    let network = ["exempted from TLS inspection", "issued by Corporate CA of the server"];
    for (status, words) in [
        ("200 OK", "check that the URL is an MCP endpoint; or "),
        ("403 Forbidden", "check the policy"),
        ("503 Service Unavailable", "too many requests at once"),
    ] {
        let port = filter(&authority.sign(&localhost()), page(status));
        let response = Launch::to(&format!("https://localhost:{port}/mcp"))
            .arg("--ca-bundle")
            .arg(authority.pem.to_str().unwrap())
            .arg("--retries=0")
            .start()
            .ask(PING);
        assert_error(&response, &json!(1), &[&[words][..], &network].concat());
    }
}

#[test]
fn a_page_in_place_of_sts_does_not_blame_the_key() {
    let authority = authority("Corporate CA of STS");
    let server = Server::start(ServerOptions::default());
    let redirect = "HTTP/1.1 302 Found\r\nLocation: https://portal.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (response, words) in [
        (page("200 OK"), "responded with HTTP 200 with an HTML page"),
        (page("403 Forbidden"), "responded with HTTP 403 with an HTML page"),
        (redirect.to_owned(), "responded with HTTP 302, a redirect to portal.example"),
    ] {
        let (proxy, _) = connect_proxy(filter(&authority.sign(&localhost()), response));
        let through = |launch: Launch| {
            launch
                .arg("--ca-bundle")
                .arg(authority.pem.to_str().unwrap())
                .env("AWS_ENDPOINT_URL_STS", "https://mcp.example")
                .env("HTTPS_PROXY", &format!("http://127.0.0.1:{proxy}"))
        };
        let words = ["the network, not AWS, ", words, "issued by Corporate CA of STS"];
        let failed = through(Launch::to(&server.url("/mcp")).arg(ROLE)).start().ask(PING);
        assert_error(&failed, &json!(1), &words);
        let report = through(doctor(&server.url("/mcp"), &sts())).run("");
        assert_check(&report, "identity", "warn", &[&["STS is unreachable"][..], &words].concat());
    }
    // Nothing else suggests it, but STS sends no pages.
    let portal = Server::start(ServerOptions { verify: false, ..ServerOptions::default() });
    let of_aws = format!("{HTML}x-amzn-RequestId: r-1\r\n");
    for (headers, words) in [
        (HTML, "(check the network for a proxy, a filter or a sign-in page"),
        (&of_aws, "role/agent (--role-arn): status 403"),
    ] {
        let reply = response("403 Forbidden", headers, PAGE);
        portal.script(vec![Reply::Raw(reply.into_bytes())]);
        let launch = Launch::to(&server.url("/mcp")).arg(ROLE);
        let failed = launch.env("AWS_ENDPOINT_URL_STS", &portal.url("/")).start().ask(PING);
        assert_error(&failed, &json!(1), &[words]);
    }
}
