pub(crate) mod connections;
mod content_coding;
mod cookies;
mod proxies;
pub(crate) mod tls;
