//! `Log`: lines for people, on stderr or in a file. The only file that writes there.

use crate::clock;
use std::fmt::{Display, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use time::format_description::well_known::Rfc3339;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
    /// Nothing at all.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One object a line: `time`, `level`, `message`.
    Json,
}

/// Cheap to clone; all clones write to one place, whole lines at a time.
#[derive(Clone, Debug)]
pub struct Log {
    level: Level,
    format: Format,
    in_file: bool,
    sink: Arc<Mutex<Sink>>,
}

#[derive(Debug)]
struct Sink {
    file: Option<File>,
    /// What `once` said last.
    last: Option<String>,
}

impl Log {
    /// To stderr, or to the end of `file`.
    pub fn new(level: Level, format: Format, file: Option<&Path>) -> io::Result<Log> {
        let file =
            file.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        let in_file = file.is_some();
        Ok(Log { level, format, in_file, sink: Arc::new(Mutex::new(Sink { file, last: None })) })
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

    /// An error that meets every request in turn is told the first time; `recovered` ends that.
    pub fn error_once(&self, text: impl Display) {
        let text = text.to_string();
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if sink.last.as_deref() != Some(&text) {
            sink.last = Some(text.clone());
            drop(sink);
            self.error(text);
        }
    }

    pub fn recovered(&self) {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).last = None;
    }

    fn write(&self, level: Level, text: &dyn Display) {
        if level < self.level {
            return;
        }
        // Before the lock: what prints itself here might fail, and that is logged too.
        let line = line(self.format, level, text, self.in_file);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written must not stop the work.
        let _ = match &mut sink.file {
            Some(file) => file.write_all(line.as_bytes()),
            None => io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

/// A line on stderr has no time of its own: the client that launched us stamps it.
fn line(format: Format, level: Level, text: &dyn Display, in_file: bool) -> String {
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error | Level::Silent => "ERROR",
    };
    let text = without_controls(&text.to_string());
    let time = || clock::now().format(&Rfc3339).unwrap_or_default();
    match format {
        Format::Json => {
            format!("{}\n", serde_json::json!({ "time": time(), "level": name, "message": text }))
        }
        Format::Text if in_file => format!("{} {name}: {text}\n", time()),
        Format::Text => format!("{name}: {text}\n"),
    }
}

/// Text of a server may end up in a log, and from there on a terminal.
fn without_controls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(
            line(Format::Text, Level::Error, &"a\x1b[31m\nb é", false),
            "ERROR: a\\u{1b}[31m\\nb é\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&line(Format::Json, Level::Info, &"a", false)).expect("JSON");
        assert_eq!((&json["level"], &json["message"]), (&"INFO".into(), &"a".into()));
    }
}
