//! Accepts connections until the process ends: `run`.

use crate::error::{Error, Kind, io_message};
use crate::listener::connection::serve;
use crate::listener::handler::Handler;
use crate::listener::settings::{Address, Settings};
use crate::listener::stream::Stream;
use crate::log::Log;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

/// Serves clients until a signal arrives through `signals`.
///
/// # Errors
/// `Usage`: the address cannot be listened on.
pub fn run(
    settings: Settings,
    handler: Handler,
    log: &Log,
    signals: &Receiver<()>,
) -> Result<(), Error> {
    let Address::Tcp(address) = settings.address else { todo!("sockets in files") };
    let listener = TcpListener::bind(address).map_err(|error| {
        let what = format!("cannot listen on {address}: {}", io_message(&error));
        Error::new(Kind::Usage, what).context("configuration error")
    })?;
    let local = listener.local_addr().unwrap_or(address);
    log.info(format_args!("listening on http://{local}{}", settings.path));
    let (settings, handler) = (Arc::new(settings), Arc::new(handler));
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (settings, handler) = (Arc::clone(&settings), Arc::clone(&handler));
            let _ = stream.set_nodelay(true);
            thread::spawn(move || serve(&Arc::new(Stream::Tcp(stream)), &settings, &handler));
        }
    });
    let _ = signals.recv();
    Ok(())
}
