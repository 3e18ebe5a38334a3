pub(crate) mod connections;
mod content_coding;
mod cookies;
pub(crate) mod kept_connections;
mod proxies;
mod ready_connection;
pub(crate) mod tls;
