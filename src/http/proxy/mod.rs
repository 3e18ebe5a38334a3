//! HTTP proxies: which one the environment names, the hosts that bypass it, and the tunnel through it.
//!
//! Follows curl in which variable counts and in what `NO_PROXY` means, since people write both for curl. A proxy that cannot be
//! used is an error and never a reason to connect directly.

mod no_proxy;
mod route;
mod server;
mod settings;
pub(crate) mod tunnel;

pub(crate) use route::Route;
pub(crate) use server::ProxyServer;
pub(crate) use settings::{ProxySettings, proxy_passwords};
