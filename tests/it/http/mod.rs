pub(crate) mod connections;
mod content_coding;
mod cookies;
pub(crate) mod kept_connections;
mod proxies;
pub(crate) mod tls;
