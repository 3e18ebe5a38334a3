//! The target of all measurements: an HTTP/1.1 server that responds to JSON-RPC, and does as little else as possible.
//!
//! The query of the URL says how: `delay` in milliseconds, `bytes` of a result, `events` before it and `gap` between
//! them in microseconds; `stream` that a GET opens a stream without events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Serves until the process ends; gives the port.
pub fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    port
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

struct Wanted {
    delay: Duration,
    bytes: usize,
    events: u32,
    gap: Duration,
    stream: bool,
}

fn serve(stream: &TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut input = BufReader::with_capacity(256 * 1024, stream);
    let mut output = stream;
    let mut body = Vec::new();
    loop {
        let (wanted, length, is_post) = read_head(&mut input)?;
        body.resize(length, 0);
        input.read_exact(&mut body).ok()?;
        if !is_post && wanted.stream {
            output.write_all(STREAM_HEAD.as_bytes()).ok()?;
            continue;
        }
        if !is_post {
            output
                .write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
                .ok()?;
            continue;
        }
        let Some(id) = id_of(&body) else {
            output.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").ok()?;
            continue;
        };
        thread::sleep(wanted.delay);
        let result = if contains(&body, b"\"initialize\"") {
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}"#.to_owned()
        } else if contains(&body, b"\"tools/list\"") && wanted.bytes == 0 {
            r#"{"tools":[{"name":"x","inputSchema":{"type":"object"}}]}"#.to_owned()
        } else {
            format!(r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#, "x".repeat(wanted.bytes))
        };
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        if wanted.events == 0 || !contains(&body, b"\"tools/call\"") {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            output.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).ok()?;
        } else {
            stream_events(output, &wanted, &answer)?;
        }
    }
}

fn stream_events(mut output: &TcpStream, wanted: &Wanted, answer: &str) -> Option<()> {
    output.write_all(STREAM_HEAD.as_bytes()).ok()?;
    let mut burst = Vec::new();
    for number in 0..wanted.events {
        thread::sleep(wanted.gap);
        let now = nanoseconds();
        let event = format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progress\":{number},\"at\":{now}}}}}\n\n"
        );
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        if wanted.gap.is_zero() {
            burst.extend_from_slice(chunk.as_bytes());
        } else {
            output.write_all(chunk.as_bytes()).ok()?;
        }
    }
    let last = format!("data: {answer}\n\n");
    burst.extend_from_slice(format!("{:x}\r\n{last}\r\n0\r\n\r\n", last.len()).as_bytes());
    output.write_all(&burst).ok()
}

/// The clock that both ends of a measurement read.
pub fn nanoseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

fn read_head(input: &mut impl BufRead) -> Option<(Wanted, usize, bool)> {
    let mut line = String::new();
    if input.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let query = line.split(' ').nth(1)?.split_once('?').map_or("", |(_, query)| query);
    let number = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| value.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let wanted = Wanted {
        delay: Duration::from_millis(number("delay")),
        bytes: usize::try_from(number("bytes")).ok()?,
        events: u32::try_from(number("events")).ok()?,
        gap: Duration::from_micros(number("gap")),
        stream: number("stream") > 0,
    };
    let is_post = line.starts_with("POST");
    let mut length = 0;
    loop {
        line.clear();
        input.read_line(&mut line).ok()?;
        if line.trim_end().is_empty() {
            return Some((wanted, length, is_post));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
}

/// Clients write the id as one of the first members, or as the last.
fn id_of(body: &[u8]) -> Option<u64> {
    let (head, tail) = (&body[..body.len().min(200)], &body[body.len().saturating_sub(200)..]);
    [head, tail].into_iter().find_map(|part| {
        let text = String::from_utf8_lossy(part);
        let (_, rest) = text.split_once("\"id\":")?;
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body[..body.len().min(200)].windows(part.len()).any(|window| window == part)
}
