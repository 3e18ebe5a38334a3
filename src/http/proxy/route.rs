//! `Route`: directly to a server, or through a proxy.

use crate::error::Error;
use crate::http::proxy::server::{InvalidProxy, ProxyServer};
use std::sync::Arc;

/// The way of requests to one server.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// No variable names a proxy.
    Direct,
    /// Only this variable names one, and it does not count.
    Ignored(&'static str),
    /// A proxy is never used for this machine and for link-local addresses.
    Local,
    /// This variable exempts the host.
    Bypassed(&'static str),
    Through {
        proxy: Arc<ProxyServer>,
        /// The variable that names it.
        variable: &'static str,
    },
    /// This variable names a proxy that cannot be used.
    Invalid(&'static str, InvalidProxy),
}

impl Route {
    pub(crate) fn proxy(&self) -> Option<&Arc<ProxyServer>> {
        match self {
            Route::Through { proxy, .. } => Some(proxy),
            _ => None,
        }
    }

    /// The variable that names the proxy; the usual one if there is no proxy.
    pub(crate) fn variable(&self) -> &'static str {
        match self {
            Route::Through { variable, .. } | Route::Invalid(variable, _) => variable,
            Route::Direct | Route::Ignored(_) | Route::Local | Route::Bypassed(_) => "HTTPS_PROXY",
        }
    }

    /// Fails if the proxy cannot be used.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Route::Invalid(_, invalid) => Err(invalid.error().clone().unsent()),
            _ => Ok(()),
        }
    }
}
