//! HTTP/1.1 on blocking connections: TLS roots, proxies, time limits, cancellation. The only room that names ureq and rustls.
//!
//! Knows nothing of MCP or of signatures: it sends exactly the headers and bytes that it is given.

pub mod certificate;
pub mod client;
pub mod connection_watch;
pub mod date;
pub mod event_stream;
pub mod pool;
pub mod probe;
pub mod proxy_route;
pub mod punycode;
pub mod request;
pub mod url;
pub mod wire;

pub use client::{HttpClient, Limits, Response, check_header};
pub(crate) use client::{is_header_name, read_error};
pub(crate) use date::{parse_date, parse_retry_after, parse_retry_after_millis};
pub use probe::{Handshake, Probe};
pub use proxy_route::proxy_passwords;
pub use request::Request;
pub use wire::tls::CaBundle;
