//! The floor: the least that a process between stdio and HTTP can do. It signs nothing and parses nothing but what tells
//! where a message ends; one thread a request in flight, each with a connection of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Until stdin ends.
pub fn run(port: u16, query: &str) {
    let stdout = Arc::new(Mutex::new(std::io::stdout()));
    let idle: Arc<Mutex<Vec<Sender<String>>>> = Arc::default();
    let mut input = BufReader::with_capacity(64 * 1024, std::io::stdin());
    let mut line = String::new();
    let target = format!("/mcp?{query}");
    let mut own = connect(port);
    while input.read_line(&mut line).is_ok_and(|count| count > 0) {
        let message = std::mem::take(&mut line);
        if input.buffer().is_empty() && idle.lock().unwrap().is_empty() {
            // One at a time: no other thread is needed.
            exchange(&mut own, &target, "", &message, &stdout);
            continue;
        }
        let free = idle.lock().unwrap().pop();
        let worker = free.unwrap_or_else(|| start(port, &target, &stdout, &idle));
        worker.send(message).unwrap();
    }
}

fn start(
    port: u16,
    target: &str,
    stdout: &Arc<Mutex<std::io::Stdout>>,
    idle: &Arc<Mutex<Vec<Sender<String>>>>,
) -> Sender<String> {
    let (sender, messages) = channel::<String>();
    let (target, stdout, idle) = (target.to_owned(), Arc::clone(stdout), Arc::clone(idle));
    let its = sender.clone();
    thread::spawn(move || {
        let mut connection = connect(port);
        for message in messages {
            exchange(&mut connection, &target, "", &message, &stdout);
            idle.lock().unwrap().push(its.clone());
        }
    });
    sender
}

fn connect(port: u16) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::with_capacity(64 * 1024, stream)
}

/// One request and its response, events as lines. `headers`: more of them, each with its line end.
pub fn exchange(
    connection: &mut BufReader<TcpStream>,
    target: &str,
    headers: &str,
    message: &str,
    stdout: &Mutex<impl Write>,
) {
    let body = message.trim_end();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
    let (mut length, mut is_chunked, mut line) = (0, false, String::new());
    loop {
        line.clear();
        connection.read_line(&mut line).unwrap();
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
        is_chunked |= name.eq_ignore_ascii_case("transfer-encoding");
        if line == "\r\n" {
            break;
        }
    }
    if !is_chunked {
        let mut answer = vec![0; length];
        connection.read_exact(&mut answer).unwrap();
        if length > 0 {
            answer.push(b'\n');
            stdout.lock().unwrap().write_all(&answer).unwrap();
        }
        return;
    }
    loop {
        line.clear();
        connection.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        connection.read_exact(&mut chunk).unwrap();
        if length == 0 {
            return;
        }
        let event = chunk[..length].strip_prefix(b"data: ").unwrap().trim_ascii_end();
        let mut out = stdout.lock().unwrap();
        out.write_all(&[event, b"\n"].concat()).unwrap();
        out.flush().unwrap();
    }
}
