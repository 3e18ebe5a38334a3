//! `Log`: log lines on stderr or in a file, all through `redact`. The only file that writes there.

use crate::clock;
use crate::environment::file;
use crate::process;
use crate::redact::Redactor;
use crate::sync::{Sender, bounded_channel, channel};
use crate::sync::{lock, spawn};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use time::OffsetDateTime;

/// Severity of a line, and the minimum severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
    /// Logs nothing.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One object per line: `time`, `level`, `message`.
    Json,
}

/// Maximum number of lines that wait for stderr; further lines are dropped.
const MAX_WAITING: usize = 1000;

/// Timeout of `flush` at the end of a session: a client may leave stderr unread.
pub const SESSION_FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// The log. Cheap to clone; all clones write whole lines to the same sink.
#[derive(Clone, Debug)]
pub struct Log {
    level: Level,
    format: Format,
    in_file: bool,
    redactor: Redactor,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sink: Sink,
    /// The last line of `error_once`.
    last: Mutex<Option<String>>,
    /// Whether `last` is set: all that a successful call reads.
    any_last: AtomicBool,
}

#[derive(Debug)]
enum Sink {
    File(Mutex<File>),
    /// Written by a separate thread: a client may leave stderr unread, and a write would block forever.
    Stderr(OnceLock<Sender<Order>>),
}

#[derive(Debug)]
enum Order {
    Write(String),
    /// Confirms that everything before it is written.
    Flush(Sender<()>),
}

impl Log {
    /// Logs to stderr, or to the end of the file at `path`: a regular file, so that writes do not block, or the null device.
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    pub fn new(
        level: Level,
        format: Format,
        path: Option<&Path>,
        redactor: Redactor,
    ) -> io::Result<Log> {
        let sink = match path {
            Some(path) if path != Path::new("/dev/stderr") => {
                Sink::File(Mutex::new(file::append(path)?))
            }
            _ => Sink::Stderr(OnceLock::new()),
        };
        let shared =
            Arc::new(Shared { sink, last: Mutex::default(), any_last: AtomicBool::new(false) });
        Ok(Log { level, format, in_file: path.is_some(), redactor, shared })
    }

    /// Waits for queued lines to reach stderr, up to a limit.
    pub fn flush(&self, timeout: Duration) {
        let Sink::Stderr(writer) = &self.shared.sink else { return };
        let Some(writer) = writer.get() else { return };
        let (flushed, is_flushed) = channel();
        if writer.send(Order::Flush(flushed)).is_ok() {
            let _ = is_flushed.recv_timeout(timeout);
        }
    }

    /// The redactor that all lines pass, for text that leaves elsewhere.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    pub fn is_debug(&self) -> bool {
        self.level == Level::Debug
    }

    pub fn error(&self, text: impl Display) {
        self.write(Level::Error, &text);
    }

    pub fn warn(&self, text: impl Display) {
        self.write(Level::Warn, &text);
    }

    pub fn info(&self, text: impl Display) {
        self.write(Level::Info, &text);
    }

    pub fn debug(&self, text: impl Display) {
        self.write(Level::Debug, &text);
    }

    /// Logs an error that affects every request once; `recovered` resets that.
    pub fn error_once(&self, text: impl Display) {
        // Redacted before the comparison: an echoed signature would make each of them look new.
        let text = self.redactor.safe(&text.to_string());
        let mut last = lock(&self.shared.last);
        if last.as_deref() != Some(&text) {
            *last = Some(text.clone());
            self.shared.any_last.store(true, Ordering::Relaxed);
            drop(last);
            self.error(text);
        }
    }

    /// Makes the next `error_once` log its error again.
    pub fn recovered(&self) {
        if self.shared.any_last.load(Ordering::Relaxed) {
            let mut last = lock(&self.shared.last);
            *last = None;
            self.shared.any_last.store(false, Ordering::Relaxed);
        }
    }

    fn write(&self, level: Level, text: &dyn Display) {
        if level < self.level {
            return;
        }
        // Before the lock: formatting may panic, and panics are logged too.
        let text = self.redactor.safe(&text.to_string());
        let line = line(self.format, level, &text, self.in_file);
        // A log that cannot be written must not stop the work.
        match &self.shared.sink {
            Sink::File(file) => {
                let _ = lock(file).write_all(line.as_bytes());
            }
            Sink::Stderr(writer) => {
                let _ = writer.get_or_init(start_writer).send(Order::Write(line));
            }
        }
    }
}

fn start_writer() -> Sender<Order> {
    let (writer, orders) = bounded_channel(MAX_WAITING);
    // Without a thread the lines are lost.
    let _ = spawn("log", move || {
        let mut stderr = process::stderr();
        for order in orders {
            match order {
                Order::Write(line) => {
                    let _ = stderr.write_all(line.as_bytes());
                }
                Order::Flush(flushed) => {
                    let _ = flushed.send(());
                }
            }
        }
    });
    writer
}

/// Lines on stderr have no timestamp: the client adds one.
fn line(format: Format, level: Level, text: &str, in_file: bool) -> String {
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error | Level::Silent => "ERROR",
    };
    match format {
        Format::Json => {
            let time = timestamp(clock::now());
            format!("{}\n", serde_json::json!({ "time": time, "level": name, "message": text }))
        }
        Format::Text if in_file => format!("{} {name}: {text}\n", timestamp(clock::now())),
        Format::Text => format!("{name}: {text}\n"),
    }
}

/// A time in UTC, always of the same length, so that lines align and sort.
fn timestamp(now: OffsetDateTime) -> String {
    let (hour, minute, second) = now.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}.{:03}Z", now.date(), now.millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(line(Format::Text, Level::Error, "a é", false), "ERROR: a é\n");
        let json: serde_json::Value =
            serde_json::from_str(&line(Format::Json, Level::Info, "a", false)).expect("JSON");
        assert_eq!((&json["level"], &json["message"]), (&"INFO".into(), &"a".into()));
        let time = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(70);
        assert_eq!(timestamp(time), "1970-01-01T00:00:00.070Z");
    }
}
