//! A gate in front of a server without signature checks: it forwards only correctly signed requests.
//!
//! `gate URL` prints its own URL and forwards requests to URL's host until its stdin ends. Keys, service and region
//! are those of the test server. Refusals are logged on stderr.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program is what it prints")]

#[path = "mod.rs"]
mod support;

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

use support::ServerOptions;
use support::http::{Connection, Request, Response};
use support::verify::{Expected, Key, verify};
use time::OffsetDateTime;

fn main() -> ExitCode {
    let url = std::env::args().nth(1).unwrap_or_default();
    let Some((authority, path)) = url.strip_prefix("http://").map(split) else {
        eprintln!("gate: an http:// URL is missing");
        return ExitCode::from(2);
    };
    let options = ServerOptions::default();
    let expected = Expected {
        service: options.service,
        region: options.region,
        algorithms: options.algorithms,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    println!("http://{address}{path}");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (authority, expected, keys) =
                (authority.clone(), expected.clone(), options.keys.clone());
            thread::spawn(move || {
                // Either side may leave at any time; that is theirs to do.
                let _ = serve(stream, &authority, &expected, &keys);
            });
        }
    });
    // The parent holds its stdin.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    ExitCode::SUCCESS
}

fn split(rest: &str) -> (String, String) {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    (authority.to_owned(), format!("/{path}"))
}

/// One request per connection, so that the end of the response is the end of the stream.
fn serve(
    mut client: TcpStream,
    authority: &str,
    expected: &Expected,
    keys: &[Key],
) -> io::Result<()> {
    let mut connection = Connection::new(client.try_clone()?)?;
    let Some(request) = connection.read_request()? else { return Ok(()) };
    #[expect(clippy::disallowed_methods, reason = "a server has a clock")]
    let now = OffsetDateTime::now_utc();
    if let Err(refusal) = verify(&request, keys, expected, now) {
        eprintln!("gate: {} refused: {}: {}", request.method, refusal.code, refusal.message);
        let body = serde_json::json!({"message": refusal.message}).to_string();
        connection.respond(
            &Response::json(403, body)
                .with("x-amzn-ErrorType", refusal.code)
                .with("connection", "close"),
        )?;
        return client.shutdown(Shutdown::Both);
    }
    let mut server = TcpStream::connect(authority)?;
    server.set_nodelay(true)?;
    server.write_all(&passed_on(&request, authority))?;
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = pass_back(BufReader::new(from_server), &to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    // The request ends when its client disconnects.
    let _ = client.read(&mut [0; 1]);
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
    Ok(())
}

/// Forwards the response unchanged, except that its head closes the connection.
fn pass_back(mut from_server: impl BufRead, mut to_client: &TcpStream) -> io::Result<()> {
    let mut head = String::new();
    while from_server.read_line(&mut head)? > 2 {
        let line = head.trim_end().rsplit('\n').next().unwrap_or_default().to_lowercase();
        if line.starts_with("connection:") || line.starts_with("keep-alive:") {
            head.truncate(head.trim_end().rfind('\n').map_or(0, |end| end + 1));
        }
    }
    head.truncate(head.len().saturating_sub(2));
    to_client.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    loop {
        let piece = from_server.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        to_client.write_all(piece)?;
        let length = piece.len();
        from_server.consume(length);
    }
}

fn passed_on(request: &Request, authority: &str) -> Vec<u8> {
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {authority}\r\n", request.method, request.target);
    let of_this_hop = ["host", "connection", "transfer-encoding", "content-length"];
    for (name, value) in &request.headers {
        if !of_this_hop.contains(&name.to_lowercase().as_str()) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    let length = request.body.len();
    let _ = write!(head, "Content-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), &request.body].concat()
}
