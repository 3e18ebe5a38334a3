//! `Request`: one request for the MCP endpoint, whole and allowed.

use crate::sync::cancel::Cancel;
use std::ops::Range;
use std::sync::Arc;

/// The header that names a client's session.
pub(crate) const SESSION_ID: &str = "mcp-session-id";

/// A request of a client that may send it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// Fires when the client's connection closes or breaks, and when the process ends.
    pub(crate) cancel: Arc<Cancel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Post,
    Get,
    Delete,
}

/// Headers as the client sent them, in their order. They may hold secrets.
#[derive(Default)]
pub(crate) struct Headers {
    text: String,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Headers {
    /// Adds a header.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.fields.push((start..middle, middle..self.text.len()));
    }

    /// The value of the first header of this name, in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all headers of this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Names, in lower case, and values of those that a message keeps on its way: the headers of MCP, except the session id,
    /// which is the server's, and `Accept` unless it takes everything. Those that no request can carry are left out.
    pub(crate) fn of_mcp(&self) -> Vec<(String, String)> {
        let passed = self.iter().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let is_of_mcp = name.starts_with("mcp-") && name != SESSION_ID;
            let is_accept = name == "accept" && !value.contains("*/*");
            let can_be_sent = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
            ((is_of_mcp || is_accept) && can_be_sent).then(|| (name, value.to_owned()))
        });
        passed.collect()
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}
