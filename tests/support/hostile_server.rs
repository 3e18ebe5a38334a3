//! A server that multiplies messages and streams, for `make soak`. The name of the called tool selects what it does. It does
//! not verify signatures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;
use std::time::Duration;

use serde_json::Value;

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

pub(crate) struct HostileServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<Weak<TcpStream>>>,
    /// Calls of `together` that have arrived.
    arrived: Mutex<usize>,
    one_arrived: Condvar,
}

impl HostileServer {
    pub(crate) fn start() -> HostileServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/mcp", listener.local_addr().expect("it is bound"));
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&its);
                thread::spawn(move || shared.serve(stream));
            }
        });
        HostileServer { url, shared }
    }

    /// Closes every connection.
    pub(crate) fn hang_up(&self) {
        let connections = self.shared.connections.lock().expect("no panic").split_off(0);
        for stream in connections.iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let stream = Arc::new(stream);
        self.connections.lock().expect("no panic").push(Arc::downgrade(&stream));
        let mut reader = BufReader::new(&*stream);
        let mut writer = &*stream;
        loop {
            let (is_post, message) = read_request(&mut reader)?;
            let id = &message["id"];
            let text = message["params"]["arguments"]["text"].clone();
            let result = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{text}}}]}}}}"#
            );
            match message["params"]["name"].as_str() {
                _ if !is_post => answer(&mut writer, "405 Method Not Allowed", "")?,
                _ if message["method"] == "initialize" => {
                    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"soak","version":"1"}}"#;
                    let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                    answer(&mut writer, "200 OK", &line)?;
                }
                _ if id.is_null() || message["method"].is_null() => {
                    answer(&mut writer, "202 Accepted", "")?;
                }
                Some("stays open") => {
                    write!(writer, "{STREAM}data: {result}\n\n").ok()?;
                    let _ = reader.read(&mut [0]);
                    return None;
                }
                Some("pings") => {
                    writer.write_all(STREAM.as_bytes()).ok()?;
                    let count = message["params"]["arguments"]["count"].as_u64().unwrap_or(0);
                    for ping in 0..count {
                        let ping =
                            format!(r#"{{"jsonrpc":"2.0","id":"p-{ping}","method":"ping"}}"#);
                        write!(writer, "data: {ping}\n\n").ok()?;
                    }
                    write!(writer, "data: {result}\n\n").ok()?;
                    let _ = writer.shutdown(Shutdown::Both);
                    return None;
                }
                Some("together") => {
                    let count = message["params"]["arguments"]["count"].as_u64().unwrap_or(0);
                    let mut arrived = self.arrived.lock().expect("no panic");
                    *arrived += 1;
                    self.one_arrived.notify_all();
                    while (*arrived as u64) < count {
                        arrived = self.one_arrived.wait(arrived).expect("no panic");
                    }
                    drop(arrived);
                    answer(&mut writer, "200 OK", &result)?;
                }
                Some("dribbles") => {
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{";
                    writer.write_all(head.as_bytes()).ok()?;
                    loop {
                        thread::park_timeout(Duration::from_millis(50));
                        writer.write_all(b" ").ok()?;
                    }
                }
                Some("another's") => {
                    let line = r#"{"jsonrpc":"2.0","id":"not yours","result":{}}"#;
                    answer(&mut writer, "200 OK", line)?;
                }
                _ => answer(&mut writer, "200 OK", &result)?,
            }
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<(bool, Value)> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let message = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some((first.starts_with("POST"), message))
}

fn answer(writer: &mut impl Write, status: &str, body: &str) -> Option<()> {
    write!(
        writer,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()
}
