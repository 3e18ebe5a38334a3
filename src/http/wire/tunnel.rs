//! `TunnelConnector`: opens a tunnel through the proxy, if there is one.
//!
//! Replaces ureq's own, which does not report how a proxy wants to be authenticated.

use crate::http::proxy::ProxyServer;
use crate::http::proxy::tunnel::{TunnelError, connect_request, connect_response};
use crate::http::url::port;
use crate::http::wire::tcp::time_left;
use crate::http::wire::tls::TlsConnector;
use crate::http::wire::unreceived::Unreceived;
use std::io;
use std::sync::Arc;
use ureq::http::Uri;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport,
};

/// Turns a connection to the proxy into one to the server. Without a proxy, the connection is to the server already.
#[derive(Debug)]
pub(crate) struct TunnelConnector {
    pub(crate) proxy: Option<Arc<ProxyServer>>,
    pub(crate) tls: TlsConnector,
}

impl<In: Transport> Connector<In> for TunnelConnector {
    type Out = Either<In, Tunnel>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        let Some(proxy) = &self.proxy else { return Ok(Some(Either::A(transport))) };
        let mut to_proxy = if proxy.is_https() {
            let encrypted = self.tls.handshake(proxy.host(), transport, details);
            let of_proxy = |error| match error {
                ureq::Error::Other(error) => TunnelError::Tls(error).into(),
                error => error,
            };
            encrypted.map_err(of_proxy)?.boxed()
        } else {
            transport.boxed()
        };
        match open(&mut *to_proxy, proxy, details) {
            Ok(()) => Ok(Some(Either::B(Tunnel(to_proxy)))),
            Err(ureq::Error::Io(error)) => Err(TunnelError::Broken(error).into()),
            Err(ureq::Error::Other(error)) if error.is::<Unreceived>() => {
                Err(TunnelError::Broken(io::ErrorKind::UnexpectedEof.into()).into())
            }
            Err(error) => Err(error),
        }
    }
}

fn open(
    to_proxy: &mut dyn Transport,
    proxy: &ProxyServer,
    details: &ConnectionDetails<'_>,
) -> Result<(), ureq::Error> {
    let request = connect_request(proxy, &authority(details.uri));
    let mut rest = request.expose().as_bytes();
    while !rest.is_empty() {
        let output = to_proxy.buffers().output();
        let count = rest.len().min(output.len());
        output[..count].copy_from_slice(&rest[..count]);
        to_proxy.transmit_output(count, time_left(details))?;
        rest = &rest[count..];
    }
    loop {
        if !to_proxy.await_input(time_left(details))? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some(response) = connect_response(to_proxy.buffers().input()) {
            let head_bytes = response?;
            to_proxy.buffers().input_consume(head_bytes);
            return Ok(());
        }
    }
}

/// Host and port of a URL.
fn authority(uri: &Uri) -> String {
    format!("{}:{}", uri.host().unwrap_or_default(), port(uri))
}

/// A connection to the server through a proxy.
#[derive(Debug)]
pub(crate) struct Tunnel(Box<dyn Transport>);

impl Transport for Tunnel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    /// TLS to the proxy is not TLS to the server.
    fn is_tls(&self) -> bool {
        false
    }
}
