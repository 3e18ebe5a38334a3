//! `Settings`: the user's settings of the listener.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Settings {
    pub address: Address,
    /// Of the MCP endpoint.
    pub path: String,
    /// Other machines, or other users, may connect.
    pub anyone: bool,
    /// Of web pages that may connect, as browsers write them.
    pub origins: Vec<String>,
    /// Names in lower case by which the listener may be reached; one without a port stands for any.
    pub hosts: Vec<String>,
    pub token: TokenSource,
    /// Maximum size of a request's body.
    pub max_message_bytes: usize,
    /// Maximum number of requests that are sent to the server at the same time.
    pub max_in_flight: usize,
    /// Maximum time for requests to finish after a signal.
    pub drain_timeout: Duration,
}

/// Where clients connect.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The bearer token that clients have to send.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A new one, in a private file in this folder.
    Made {
        folder: PathBuf,
    },
    /// The content of this file.
    File(PathBuf),
    NotRequired,
}
