//! Certificate authorities that are trusted, and the errors for others.

use crate::harness::messages::{assert_all_verified, assert_error, not_found};
use crate::harness::program::{Launch, Program};
use crate::support::tls::{Authority, Identity, TlsServer, localhost};
use crate::support::{Reply, Server, ServerOptions};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

pub(crate) fn authority(name: &str) -> Authority {
    Authority::new(name, Path::new(env!("CARGO_TARGET_TMPDIR")))
}

fn trusting(authority: &Authority, url: &str) -> Program {
    Launch::to(url).arg("--ca-bundle").arg(authority.pem.to_str().unwrap()).start()
}

#[test]
fn an_authority_of_the_users_is_trusted_however_it_is_named() {
    let authority = self::authority("f6 CA");
    let server = TlsServer::start(&authority.sign(&localhost()));
    let mut program = trusting(&authority, &server.url());
    for _ in 0..3 {
        assert_eq!(program.ask(PING), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    }
    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let mut program =
            Launch::to(&server.url()).env(variable, authority.pem.to_str().unwrap()).start();
        assert!(program.ask(PING)["result"].is_object(), "{variable}");
    }
    let home = crate::credentials::chain::Home::new("f6");
    home.write(".aws/config", format!("[default]\nca_bundle = {}\n", authority.pem.display()));
    let mut program = Launch::to(&server.url()).env("HOME", home.0.to_str().unwrap()).start();
    assert!(program.ask(PING)["result"].is_object());
    assert_eq!(server.requests(), 6);
}

#[test]
fn the_authority_of_any_profile_is_trusted() {
    let authority = self::authority("profiles CA");
    let server = TlsServer::start(&authority.sign(&localhost()));
    let home = crate::credentials::chain::Home::new("tls-profiles");
    let bundle = authority.pem.display();
    home.write(".aws/config", format!("[profile a]\n[profile b]\nca_bundle = {bundle}\n"));
    let keys = |name: &str| format!("[{name}]\naws_access_key_id = A\naws_secret_access_key = S\n");
    home.write(".aws/credentials", format!("{}{}", keys("a"), keys("b")));
    let launch = |url: &str| {
        let launch = Launch::to(url).arg("--profile=a").arg("--profile=b");
        launch.env("HOME", home.0.to_str().unwrap())
    };
    let answer = launch(&server.url()).start().ask(PING);
    assert!(answer["result"].is_object(), "{answer}");
    home.write(".aws/config", "[profile a]\n[profile b]\nca_bundle = /nowhere\n");
    let ended = launch(&server.url()).run("");
    let expected = "configuration error: ca_bundle of profile \"b\": CA bundle /nowhere: ";
    assert!(ended.code == Some(2) && ended.log.contains(expected), "{}", ended.log);
    // As with one profile, what is named elsewhere takes precedence.
    let launch = launch(&server.url()).arg("--ca-bundle").arg(authority.pem.to_str().unwrap());
    let answer = launch.start().ask(PING);
    assert!(answer["result"].is_object(), "{answer}");
}

#[test]
fn untrusted_servers_get_no_byte_and_the_error_says_why() {
    let (authority, other) = (self::authority("f4 CA"), self::authority("Corporate Inspection CA"));
    let day = |day| rcgen::date_time_ymd(day, 1, 1);
    let mut expired = localhost();
    (expired.not_before, expired.not_after) = (day(2019), day(2020));
    let mut early = localhost();
    (early.not_before, early.not_after) = (day(2090), day(2091));
    let elsewhere = CertificateParams::new(vec!["elsewhere.example".to_owned()]).unwrap();
    let mut of_authority = localhost();
    of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own_key = KeyPair::generate().unwrap();
    let own = localhost().self_signed(&own_key).unwrap();
    let own = Identity { certificate: own.der().clone(), key: own_key.serialize_der() };
    for (identity, words) in [
        (
            other.sign(&localhost()),
            &["UnknownIssuer", "Corporate Inspection CA", "to your CA bundle, which lacks it"][..],
        ),
        (own, &["to your CA bundle, which lacks it"]),
        (authority.sign(&of_authority), &["CaUsedAsEndEntity", "basicConstraints=CA:FALSE"]),
        (authority.sign(&expired), &["expired", "(check the local clock"]),
        (authority.sign(&early), &["not valid yet", "(check the local clock"]),
        (
            authority.sign(&elsewhere),
            &[
                "not valid for name",
                "(compare the host in the URL with the names in the certificate; if it is that",
            ],
        ),
    ] {
        let server = TlsServer::start(&identity);
        let mut program = trusting(&authority, &server.url());
        let begun = Instant::now();
        let answer = program.ask(PING);
        assert_error(&answer, &json!(1), words);
        assert_error(&answer, &json!(1), &[&format!("localhost:{}", server.port)]);
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(server.requests(), 0);
    }
}

#[test]
fn a_certificate_proves_nothing_without_its_key() {
    let authority = authority("key CA");
    let own = authority.sign(&localhost());
    let stolen = Identity {
        certificate: own.certificate.clone(),
        key: KeyPair::generate().unwrap().serialize_der(),
    };
    for version in rustls::ALL_VERSIONS {
        let server = TlsServer::with_config(own.server_config_for(&[version]));
        let response = trusting(&authority, &server.url()).ask(PING);
        assert!(response["result"].is_object(), "{version:?}: {response}");
        let server = TlsServer::with_config(stolen.server_config_for(&[version]));
        let response = trusting(&authority, &server.url()).ask(PING);
        assert_error(&response, &json!(1), &["BadSignature"]);
        assert_eq!(server.requests(), 0, "{version:?}");
    }
}

#[test]
fn a_server_without_tls_is_reported() {
    let plain = Server::start(ServerOptions::default());
    let url = plain.url("/mcp").replace("http://127.0.0.1", "https://localhost");
    let mut program = Launch::to(&url).arg("--retries=0").start();
    assert_error(&program.ask(PING), &json!(1), &["TLS"]);
    assert_eq!(plain.requests().len(), 0);

    // Accepts and sends nothing: the connect timeout covers the handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/mcp", silent.local_addr().unwrap().port());
    let mut program = Launch::to(&url).arg("--connect-timeout=500ms").start();
    let begun = Instant::now();
    assert_error(&program.ask(PING), &json!(1), &["TLS handshake timeout"]);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(2), "{took:?}");

    // Accepts, and hangs up.
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/mcp", rude.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in rude.incoming() {
            drop(stream);
        }
    });
    let mut program = Launch::to(&url).start();
    assert_error(&program.ask(PING), &json!(1), &[]);
}

#[test]
fn a_bundle_that_cannot_be_used_is_said_at_the_start() {
    // What was built on another system names a folder there.
    let folder = std::path::absolute(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let empty = folder.join("empty.pem");
    std::fs::write(&empty, "no certificate here\n").unwrap();
    let cut_off = empty.with_file_name("cut-off.pem");
    std::fs::write(&cut_off, "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    for (path, words) in [
        ("/nonexistent/ca.pem", &not_found("/nonexistent/ca.pem")[..]),
        (
            empty.to_str().unwrap(),
            "contains no certificate (use a PEM file, with a line -----BEGIN CERTIFICATE-----)",
        ),
        (cut_off.to_str().unwrap(), "a certificate in it is cut off or damaged"),
    ] {
        for launch in [
            Launch::to("https://localhost:1/").arg("--ca-bundle").arg(path),
            Launch::to("https://localhost:1/").env("AWS_CA_BUNDLE", path),
        ] {
            let ended = launch.run("");
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(
                ended.log.contains("configuration error") && ended.log.contains(words),
                "{}",
                ended.log
            );
            assert!(ended.log.contains("CA bundle"), "{}", ended.log);
        }
    }
    let tried = std::env::current_dir().unwrap().join("no-such-folder").join("ca.pem");
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let ended = Launch::to("https://localhost:1/").env(name, "no-such-folder/ca.pem").run("");
        let words = format!("{name}: CA bundle {}: ", tried.display());
        assert!(ended.log.contains(&words), "{}", ended.log);
        assert!(ended.log.contains("(use the absolute path"), "{}", ended.log);
    }
}

#[test]
fn no_redirect_is_followed() {
    let target = Server::start(ServerOptions::default());
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    for code in [301, 302, 303, 307, 308] {
        let location = target.url("/mcp");
        server.reply_next(
            "ping",
            Reply::Status {
                code,
                headers: vec![("Location".into(), location.clone())],
                body: vec![],
            },
        );
        let answer = program.ask(PING);
        assert_error(&answer, &json!(1), &["redirect", &location, "--target-url"]);
    }
    assert_eq!(target.requests().len(), 0);
    assert_all_verified(&server.requests());
}
