//! HTTP/1.1 on blocking connections: TLS roots, proxies, cookies, time limits, cancellation. The only room that names ureq and rustls.
//!
//! Knows nothing of MCP or of signatures: it sends exactly the headers and bytes that it is given.

pub(crate) mod authority;
mod body;
mod certificate;
mod client;
mod connection_watch;
mod content_coding;
mod cookies;
mod date;
mod errors;
pub mod event_stream;
mod idle;
mod idle_set;
mod intermediary;
mod lease;
mod peer;
mod pool;
mod probe;
mod proxy;
mod punycode;
mod request;
mod response;
pub mod url;
mod wire;

pub(crate) use body::BodyKind;
pub(crate) use client::{HttpClient, Limits};
pub(crate) use cookies::CookieJar;
pub(crate) use date::{parse_date, parse_retry_after, parse_retry_after_millis, write_date};
pub(crate) use errors::read_error;
pub(crate) use intermediary::Intermediary;
pub(crate) use probe::{Handshake, Probe};
pub(crate) use proxy::{ProxySettings, proxy_passwords};
pub use request::check_header;
pub(crate) use request::{Request, is_header_name};
pub(crate) use response::Response;
pub use wire::trusted_roots::CaBundle;
