//! Requests byte by byte, and the responses as they are.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

pub(crate) const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// Longer than any response takes, and than the listener waits for the end of what it refuses.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection of a client that writes what it likes.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) fn connect(address: &str) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw(stream)
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // What is refused early may not be read to its end.
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// The bytes until this text has come.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                other => panic!("{other:?} after {}", String::from_utf8_lossy(&text)),
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// Whether nothing arrives for this time.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.0.set_read_timeout(Some(time)).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Sends nothing more.
    pub(crate) fn end_input(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything until the listener closes the connection.
    pub(crate) fn read_to_end(&mut self) -> String {
        let mut text = Vec::new();
        let mut part = [0; 8192];
        loop {
            match self.0.read(&mut part) {
                Ok(0) => break,
                Ok(count) => text.extend_from_slice(&part[..count]),
                // The listener does not wait forever for what it does not want.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&text)),
            }
        }
        String::from_utf8(text).unwrap()
    }
}

/// Sends bytes on a connection of their own, and reads until it is closed.
pub(crate) fn exchange(address: &str, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(address);
    raw.write(bytes);
    raw.read_to_end()
}

/// The statuses of all responses in a text.
pub(crate) fn statuses(text: &str) -> Vec<u16> {
    let after = text.split("HTTP/1.1 ").skip(1);
    after.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

/// A ping after which the connection is closed, with these headers in addition.
pub(crate) fn ping(headers: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{PING}",
        PING.len()
    )
}
