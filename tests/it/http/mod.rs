pub(crate) mod connections;
mod proxies;
pub(crate) mod tls;
